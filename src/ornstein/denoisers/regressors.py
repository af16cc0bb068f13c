"""What noisy data say of numbers y that belong to x₀: each is Normal given x_t, with a mean of its own.

    p(y_k | x_t) = N(m_k(x_t, t), s_k(t)²)          loss: −log p(y | x_t), over the y that are known (not NaN)

At the optimum m = E[y | x_t], and s² is how far y scatters about it at that noise level. A regressor of noisy data
guides (`NoisyClassifierGuidance`; Dhariwal & Nichol 2021), one of clean data, trained at t = 0 alone, judges what was
drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..keys import Keys
from ..spaces import Space
from ..states import State, map_state
from .base import Condition, Origin, in_precision, times


@dataclass(frozen=True)
class Predicted:
    """Numbers as they are believed, in the units they were learned in.

    Attributes:
        mean, std: (batch, numbers).
    """

    mean: Float[Tensor, "batch numbers"]
    std: Float[Tensor, "batch numbers"]

    def log_prob(self, y: Float[Tensor, "#batch numbers"]) -> Float[Tensor, " batch"]:
        """log p(y | x_t), nats; what is NaN is not known and says nothing."""
        known = ~y.isnan()
        off = (y.where(known, 0.0) - self.mean) / self.std
        each = -off.square() / 2 - self.std.log() - log(2 * pi) / 2
        return each.where(known, 0.0).sum(-1)


@dataclass(frozen=True)
class Regressor:
    """A network that predicts, trained like a denoiser. It is none: nothing can be sampled from it.

    Attributes:
        network: called with (inputs, times (batch,), condition); returns means and logarithms of the spread,
            (batch, 2, numbers).
        space: of the data and their noise.
        target: the condition that holds y.
        clean: it knows clean data alone, and so t = 0.
        origin: the trained model that this is; None for one of your own.
    """

    kind: ClassVar[str] = "regressor"
    unconditional: ClassVar[Mapping[str, Tensor]] = {}  # what is to be predicted is never hidden

    network: nn.Module
    space: Space
    target: str
    clean: bool = False
    origin: Origin | None = None

    def __call__(self, x_t: State, t: Any, condition: Condition | None = None) -> Predicted:
        """What states x_t say, or their codes, in which it is differentiable; condition: "mask", if there is one.

        t: where the clock of the regressor's own space stands, or a dictionary, part → time.
        """
        given = {name: value for name, value in (condition or {}).items() if name != self.target}
        inputs: Any = map_state(lambda x: in_precision(x, self.network), self.space.inputs(x_t, t))
        mean, log_std = self.network(inputs, times(self.space.own_times(t), x_t), given).float().unbind(1)
        return Predicted(mean, log_std.exp())

    def losses(
        self, x0: State, t: Any, condition: Condition, keys: Keys, recall: bool | None = None
    ) -> Float[Tensor, " batch"]:
        """−log p(y | x_t) of each record, nats a number.

        Args:
            x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for
                a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions); or a dictionary
                of them, part → time.
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
            keys: random keys, one a sample; they decide everything random.
            recall: not used: it believes nothing of states.
        """
        t = map_state(torch.zeros_like, t) if self.clean else t
        x_t = self.space.with_mask(condition.get("mask")).noise(x0, t, keys.fold("noise"))
        y = condition[self.target]
        return -self(x_t, t, condition).log_prob(y) / y.shape[1]
