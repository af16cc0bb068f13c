"""A U-Net that is linear in what it sees: for what depends linearly on a state and on given fields, at every time.

    f(a x + b y, t, a u + b v) = a f(x, t, u) + b f(y, t, v)

Convolutions without constants over several resolutions, as in a cycle of multigrid, whose channels are scaled by gates
that know the time alone. Where the answer is linear, as the solution of a linear equation is in its source, such a
network learns from few records, and what it has learnt of one kind of fields holds for their sums, multiples and
for fields of another kind (compare the linear multigrid networks of He & Xu 2019, MgNet).
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from .borders import convolution, cropped, padded, padding
from .embeddings import TimeEmbedding
from .fields import Fields, field_of, require_no_infinity, require_state
from .mlp import zeroed
from .unet import UNetConfig

_QUIET = 0.3
"""Of the usual size of its weights a convolution begins with, so that each stage begins near the identity."""


class Stage(nn.Module):
    """x + gate(t) · conv(x)."""

    def __init__(self, channels: int, embedding: int, fields: Fields) -> None:
        super().__init__()
        self.conv = convolution(fields.borders, channels, channels, bias=False)
        self.gate = zeroed(nn.Linear(embedding, channels))
        with torch.no_grad():
            self.conv.weight.mul_(_QUIET)

    def forward(self, x: Tensor, about: Tensor) -> Tensor:
        gate = 1 + self.gate(about)
        return x + gate.reshape(*gate.shape, *(1,) * (x.ndim - 2)) * self.conv(x)


class LinearUNet(nn.Module):
    """(batch, channels, *grid) → the same shape, linear in the state and the conditions, of any size.

    Axes whose length the factor does not divide are padded by the rule of their border and cropped again.

    Args:
        config: its size; it has no attention, dropout or patches.
        fields: what it is told: a state and conditions that are fields.

    InputError for what would not be linear, and for settings that it does not have.
    """

    def __init__(self, config: UNetConfig, fields: Fields) -> None:
        super().__init__()
        _require_linear(config, fields)
        self.config, self.fields = config, fields
        widths, embedding = [config.channels * m for m in config.multipliers], 4 * config.channels
        self.time = TimeEmbedding(embedding)
        inputs = fields.channels + sum(fields.conditions.values())
        self.first = convolution(fields.borders, inputs, widths[0], bias=False)

        def stages(channels: int) -> nn.ModuleList:
            return nn.ModuleList(Stage(channels, embedding, fields) for _ in range(config.blocks))

        self.down, self.up = nn.ModuleList(map(stages, widths)), nn.ModuleList(map(stages, widths))
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(convolution(fields.borders, a, b, stride=2, bias=False) for a, b in pairs)
        self.grow = nn.ModuleList(convolution(fields.borders, b, a, bias=False) for a, b in pairs)
        self.last = zeroed(convolution(fields.borders, widths[0], fields.channels, bias=False))

    def forward(
        self, x: Float[Tensor, "batch c *grid"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch c *grid"]:
        widths = padding(x.shape[2:], self.config.factor)
        seen = padded(self._seen(x, condition), widths, self.fields.borders)
        out = self.last(self._cycle(self.first(seen), F.silu(self.time(t))))
        return cropped(out, widths).contiguous()

    def _seen(self, x: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        """The state and all conditions; InputError where one is not said, or not everywhere."""
        require_state(x, self.fields, None)
        parts = [x]
        for name, channels in self.fields.conditions.items():
            value = field_of(name, channels, condition, x)
            if not (self.training and value.is_cuda):  # which would wait; its loss is looked at
                self._require_whole(name, value)
            parts.append(value)
        return torch.cat(parts, 1)

    def _require_whole(self, name: str, value: Tensor) -> None:
        require_no_infinity(name, value)
        if bool(value.isnan().any()):
            raise InputError(f"condition {name!r} is missing, or NaN somewhere, but this network needs all of it")

    def _cycle(self, x: Tensor, about: Tensor) -> Tensor:
        """Down to the coarsest level and up again, adding what each level held on the way down."""
        held = []
        for level, stages in enumerate(self.down):
            x = _through(stages, x, about)
            if level < len(self.shrink):
                held.append(x)
                x = self.shrink[level](x)
        for level in reversed(range(len(self.up))):
            if held and level < len(self.grow):
                x = held.pop() + self.grow[level](F.interpolate(x, scale_factor=2.0))
            x = _through(self.up[level], x, about)
        return x


def _through(stages: Any, x: Tensor, about: Tensor) -> Tensor:
    for stage in stages:
        x = stage(x, about)
    return x


def _require_linear(config: UNetConfig, fields: Fields) -> None:
    """InputError for settings that a linear network does not have."""
    unused = {"attention": config.attention != (), "dropout": config.dropout > 0, "patch": config.patch > 1}
    for name in (name for name, said in unused.items() if said):
        value = getattr(config, name)
        raise InputError(f"network.{name} is {value}, but a network that is linear has none")
    told = {
        "scalars": bool(fields.scalars),
        "static": fields.static is not None,
        "coordinates": fields.coordinates,
        "mask": fields.mask,
    }
    for name in (name for name, said in told.items() if said):
        raise InputError(f"Fields: {name}: a network that is linear is told of a state and of conditions alone")
