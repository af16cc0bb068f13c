"""What `exact="mcmc"` makes samples exact for: a density that is known up to a constant.

denoiser & Boltzmann(energy)     exp(−E) itself: the model is a fast way to draw, not part of the answer
energy model & factor            p_θ(x₀) g(x₀), of a model that has a density (denoisers/energy.py) and smooth factors
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief
from ..denoisers.base import Condition, Denoiser, Guide, Guided, Traits
from ..denoisers.mapped import map_of
from ..errors import InputError
from ..guidance.factors import Factored, Smooth
from ..guidance.functions import After, called, name_of
from ..keys import Keys
from ..spaces import Categorical, Space, Transition
from ..states import State, Time, batch_size
from .densities import Density, decoded
from .proposals import wide


@dataclass(frozen=True)
class Boltzmann(Guide):
    """exp(−E(x₀)), whatever the model believes.

    Attributes:
        energy: dimensionless (kT = 1), (batch, ...) → (batch,), of the code of x₀: numbers as they are, by which it is
            differentiable, categories one-hot (batch, *positions, categories), a dictionary of both for a product.
        width: standard deviation of wide noise about 0 that reaches all numbers, in the unit of the model's states;
            1.5 times the model's data if not given. InputError unless it is positive. Of categories all letters alike
            are the wide noise.
        numbered: the energy takes categories by number, int64, −1 where no position exists: a program without
            gradients, such as a folding algorithm.
    """

    energy: Callable[[Any], Float[Tensor, " batch"]]
    width: float | None = None
    numbered: bool = False

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


@dataclass(frozen=True)
class EnergyOfStates(After):
    """E(field) − log |det ∂field/∂x|: the energy of states whose fields follow exp(−E)."""

    def __call__(self, x: Any) -> Any:
        energy, log_det = called(self, super().__call__, x), self.map.log_det(x)
        if not isinstance(energy, Tensor) or energy.shape != log_det.shape or energy.is_complex():
            return energy  # which the density refuses
        return energy - log_det.to(energy)

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "Boltzmann", "of": name_of(self.function)}


def target_of(denoiser: Denoiser, condition: Condition | None = None) -> tuple[Density, Transition]:
    """The density that samples are corrected to, and wide noise that reaches it; InputError if there is none.

    condition: of one sample; under its mask, where there is one, only some positions exist.
    """
    _require_nothing_held(denoiser)
    space = denoiser.space.with_mask((condition or {}).get("mask"))
    map = map_of(denoiser, condition, 1)
    if isinstance(denoiser, Targeted):
        target = denoiser.target
        energy = target.energy if map is None else EnergyOfStates(target.energy, map)
        return Density.of_energy(energy, space, target.numbered), wide(space, target.width, denoiser.device)
    prior = denoiser.denoiser if isinstance(denoiser, Factored) else denoiser
    factors = denoiser.bound(condition, 1) if isinstance(denoiser, Factored) else ()
    said = denoiser.factors if isinstance(denoiser, Factored) else ()
    rough = [type(factor).__name__ for factor in said if not isinstance(factor, Smooth)]
    if rough and not isinstance(space, Categorical):
        raise InputError(f"exact='mcmc' takes factors with a smooth log g, not {rough[0]}; take exact='particles'")

    _require_density(prior, space, condition or {})

    def log_p(code: Any) -> Tensor:
        n = batch_size(code)
        given = {name: value.expand(n, *value.shape[1:]) for name, value in (condition or {}).items()}
        x = decoded(space, code)
        log_g = [f.log_g(code) if isinstance(f, Smooth) else f.log_expect(space.point_mass(x)) for f in factors]
        return prior.log_density(x, 0.0, given) + sum(log_g)

    return Density(space, (log_p,), smooth=False), wide(space, None, denoiser.device)


def _require_nothing_held(denoiser: Denoiser) -> None:
    """InputError if proposals are held to what the energy does not know, which Markov chains would leave."""
    factors = getattr(denoiser.denoiser, "factors", ()) if isinstance(denoiser, Targeted) else ()
    held = [type(factor).__name__ for factor in factors if factor.first]
    if held and not isinstance(denoiser.space, Categorical):
        raise InputError(
            f"exact='mcmc' corrects to the energy alone, in which {held[0]} does not hold: take the energy as a "
            "factor, Energy(energy), and exact='particles'"
        )


def _require_density(prior: Denoiser, space: Space, condition: Condition) -> None:
    """InputError unless the denoiser says how likely clean data are, before anything is drawn."""
    x = wide(space, None, prior.device).sample(Keys.of(0, 1, prior.device))
    try:
        prior.log_density(x, 0.0, condition)
    except InputError as error:
        raise InputError(
            f"exact='mcmc' corrects to a density or to an energy: {error}. Of an energy of your own: "
            "boltzmann(model, energy)"
        ) from None
