"""What `exact="mcmc"` makes samples exact for: a density that is known up to a constant.

denoiser & Boltzmann(energy)     exp(−E) itself: the model is a fast way to draw, not part of the answer
energy model & factor            p_θ(x₀) g(x₀), of a model that has a density (energetic.py) and smooth factors
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief
from ..denoisers.base import Condition, Denoiser, Guide, Guided, Traits
from ..errors import InputError
from ..guidance.factors import Factored, Smooth
from ..guidance.functions import name_of
from ..spaces import Euclidean, Gaussian
from ..states import State, Time
from .densities import Density
from .proposals import wide


@dataclass(frozen=True)
class Boltzmann(Guide):
    """exp(−E(x₀)), whatever the model believes.

    Attributes:
        energy: dimensionless (kT = 1), (batch, ...) → (batch,), differentiable.
        width: standard deviation of wide noise about 0 that reaches all of it; 1.5 times the model's data if not given.
            InputError unless it is positive.
    """

    energy: Callable[[Tensor], Float[Tensor, " batch"]]
    width: float | None = None

    def __post_init__(self) -> None:
        if self.width is not None and not 0 < self.width < inf:
            raise InputError(f"width is {self.width}, expected a positive number")

    def guide(self, denoiser: Denoiser) -> "Targeted":
        if isinstance(denoiser, Targeted):
            raise InputError("a model is corrected to one energy; add energies up in one function")
        return Targeted(denoiser, self)


@dataclass(frozen=True, repr=False)
class Targeted(Guided):
    """A denoiser whose draws are proposals for a Boltzmann distribution; as a denoiser the same as before."""

    target: Boltzmann

    def changed(self, traits: Traits) -> Traits:
        return traits.recorded(target="Boltzmann", of=name_of(self.target.energy))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Any:
        return self.denoiser(x_t, t, condition)

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[tuple[Time, Belief]]:
        return self.denoiser.terms(x_t, t, condition)

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        return self.denoiser.log_density(x_t, t, condition)

    def __and__(self, guide: Guide) -> Denoiser:
        """What is said after the target is said of the proposals."""
        return guide.guide(self) if isinstance(guide, Boltzmann) else Targeted(self.denoiser & guide, self.target)


def target_of(denoiser: Denoiser, condition: Condition | None = None) -> tuple[Density, Gaussian]:
    """The density that samples are corrected to, and wide noise that reaches it; InputError if there is none.

    condition: of one sample.
    """
    space = denoiser.space
    if not isinstance(space, Euclidean):
        raise InputError(f"exact='mcmc' is for continuous data, not for {type(space).__name__}; take exact='particles'")
    if isinstance(denoiser, Targeted):
        width = denoiser.target.width or 1.5 * space.data_std
        return Density.of_energy(denoiser.target.energy, space), wide(space, width, denoiser.device)
    prior = denoiser.denoiser if isinstance(denoiser, Factored) else denoiser
    factors = denoiser.factors if isinstance(denoiser, Factored) else ()
    rough = [type(factor).__name__ for factor in factors if not isinstance(factor, Smooth)]
    if rough:
        raise InputError(f"exact='mcmc' takes factors with a smooth log g, not {rough[0]}; take exact='particles'")

    def log_p(x: Tensor) -> Tensor:
        given = {name: value.expand(len(x), *value.shape[1:]) for name, value in (condition or {}).items()}
        return prior.log_density(x, 0.0, given) + sum(f.log_g(x) for f in factors if isinstance(f, Smooth))

    return Density(space, (log_p,)), wide(space, 1.5 * space.data_std, denoiser.device)
