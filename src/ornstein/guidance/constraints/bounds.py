"""Inequalities, with a stated slack: low ≤ x₀ ≤ high.

    log g(x₀) = Σ_i log Φ((x_i − low_i)/slack) + log Φ((high_i − x_i)/slack)

Φ is the normal distribution function: a wall whose foot is as wide as the slack. At a limit itself g is ½, a slack
beyond it 0.16, three slacks beyond it 0.0013. What must never be beyond is a matter of a transform of the data (a
logarithm, a logit), not of a factor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import pi, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...spaces import Euclidean, Space
from ...states import per_sample_sum
from ..factors import Smooth
from ..values import Numbers, as_tensor, is_number


@dataclass(frozen=True, eq=False)
class Bounded(Smooth):
    """low ≤ x₀ ≤ high, element by element, to within a slack. Particles weigh it with its own value.

    Attributes:
        low: a number, or a field that broadcasts to an event, in the units of the data; None, or −∞ here and there = no
            limit.
        high: likewise, with +∞.
        slack: the width of the foot of the wall, in the units of the data.
        power: of g.
    """

    low: Numbers | None = None
    high: Numbers | None = None
    slack: float = 1e-2
    power: float = 1.0

    def __post_init__(self) -> None:
        if not is_number(self.slack) or self.slack <= 0:
            raise InputError(f"Bounded: slack is {self.slack}, expected a positive width in the units of the data")
        limits = {name: _limit(name, getattr(self, name)) for name in ("low", "high")}
        if all(limit is None for limit in limits.values()):
            raise InputError("Bounded: neither low nor high is given, expected one of them at least")
        for name, limit in limits.items():
            object.__setattr__(self, name, limit)
        if self.low is not None and self.high is not None:
            self._require_room(self.low, self.high)

    def _require_room(self, low: Tensor, high: Tensor) -> None:
        try:
            wrong = (low >= high).nonzero()
        except RuntimeError:
            shapes = f"{tuple(low.shape)} and {tuple(high.shape)}"
            raise InputError(f"Bounded: low and high have the shapes {shapes}, expected that of an event") from None
        if len(wrong):
            place = tuple(wrong[0].tolist())
            below, above = (limit[place].item() for limit in torch.broadcast_tensors(low, high))
            raise InputError(f"Bounded: element {place}: low is {below:g} and high {above:g}, expected low < high")

    def require_fit(self, space: Space) -> None:
        if not isinstance(space, Euclidean):
            raise InputError(f"Bounded is of continuous data, not of {type(space).__name__}: see .on(name)")
        for name in ("low", "high"):
            limit = getattr(self, name)
            if limit is None:
                continue
            try:
                fits = torch.broadcast_shapes(limit.shape, space.shape) == space.shape
            except RuntimeError:
                fits = False
            if not fits:
                raise InputError(f"Bounded: {name} has the shape {tuple(limit.shape)}, expected that of {space.shape}")

    def log_g(self, code: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
        x = code.double()
        walls = torch.zeros_like(x)
        if self.low is not None:
            walls = walls + _log_phi((x - self.low.to(x)) / self.slack)
        if self.high is not None:
            walls = walls + _log_phi((self.high.to(x) - x) / self.slack)
        return self.power * per_sample_sum(walls)

    def violations(self, x: Float[Tensor, "batch ..."], by: float = 0.0) -> Float[Tensor, " batch"]:
        """The share of the elements of each sample that lie beyond a limit.

        Args:
            x: samples, (batch, ...).
            by: how far beyond, in units of the slack.
        """
        beyond, room = torch.zeros_like(x, dtype=torch.bool), by * self.slack
        if self.low is not None:
            beyond = beyond | (x < self.low.to(x) - room)
        if self.high is not None:
            beyond = beyond | (x > self.high.to(x) + room)
        return beyond.flatten(1).double().mean(1)

    def tempered(self, power: float) -> "Bounded":
        return replace(self, power=self.power * power)

    @property
    def provenance(self) -> Mapping[str, Any]:
        limits = {name: _in_short(getattr(self, name)) for name in ("low", "high") if getattr(self, name) is not None}
        return {"factor": "Bounded", **limits, "slack": float(self.slack)}


def _log_phi(z: Tensor) -> Tensor:
    """log Φ(z), whose slope and bend are right far out, too: below −12 its asymptotic series.

    There torch's own bend is a difference of large numbers, and of either sign.
    """
    near, far = z.clamp(-12.0, 40.0), -z.clamp(max=-12.0)
    series = torch.log1p(-(far**-2) + 3 * far**-4 - 15 * far**-6 + 105 * far**-8)
    return torch.where(z < -12, -(far**2) / 2 - (far * sqrt(2 * pi)).log() + series, torch.special.log_ndtr(near))


def _limit(name: str, value: Any) -> Tensor | None:
    """A limit as numbers, infinite where there is none; InputError for NaN, or a limit that nothing can meet."""
    if value is None:
        return None
    limit = as_tensor(value, f"Bounded: {name}")
    if limit.is_complex() or limit.dtype == torch.bool:
        raise InputError(f"Bounded: {name} holds {limit.dtype}, expected real numbers")
    limit = limit if limit.is_floating_point() else limit.double()
    wrong = (limit.isnan() | (limit == (torch.inf if name == "low" else -torch.inf))).nonzero()
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise InputError(f"Bounded: {name}: element {place} is {limit[place].item()}, expected a limit that can be met")
    return limit


def _in_short(limit: Tensor) -> float | str:
    return limit.item() if limit.numel() == 1 else "one an element"
