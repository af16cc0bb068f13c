"""Conditions that stand beside a model: what factors are told of each sample, or what is only kept with it.

A network refuses a condition that it does not know, as that may be misspelt. The mean that a constraint holds in each
sample, or the truth that a sample will be judged by, is known to others.
"""

from collections.abc import Collection
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief
from ..states import State, Time
from .base import Condition, Denoiser, Guided, NeuralDenoiser
from .composition import within


@dataclass(frozen=True, repr=False)
class Beside(Guided):
    """A denoiser that is not told of some conditions, unless it knows them itself.

    Attributes:
        names: of the conditions.
    """

    names: frozenset[str]

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        return self.denoiser(x_t, t, self._told(condition))

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[tuple[Time, Belief]]:
        return self.denoiser.terms(x_t, t, self._told(condition))

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        return self.denoiser.log_density(x_t, t, self._told(condition))

    def _told(self, condition: Condition | None) -> Condition:
        unheard = self.names - _heard(self.denoiser)
        return {name: value for name, value in (condition or {}).items() if name not in unheard}


def beside(denoiser: Denoiser, names: Collection[str]) -> Denoiser:
    """The denoiser, beside which conditions of these names stand.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        names: of the conditions; none leave it as it is.
    """
    if not names:
        return denoiser
    if isinstance(denoiser, Beside):
        return Beside(denoiser.denoiser, denoiser.names.union(names))
    return Beside(denoiser, frozenset(names))


def _heard(denoiser: Denoiser) -> frozenset[str]:
    """The conditions that networks, maps and others beside which they stand know."""
    found = denoiser.map.names if denoiser.map is not None else frozenset[str]()
    for one in (denoiser, *within(denoiser)):
        if isinstance(one, NeuralDenoiser):
            found = found.union(one.unconditional)
    return found
