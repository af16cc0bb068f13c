"""Guidance with a knob that can be predicted: how far does γ · w(x₀) push the mean of w?

Samples of p(x₀) exp(γ w(x₀)) have the mean K′(γ), K(γ) = log E exp(γ w) the cumulant generating function of w under the
unguided model, so unguided samples predict it:

    E_γ[w] = μ + σ² γ + κ₃ γ²/2 + …

the line holds for all γ if w is Gaussian, and to 5 % while |κ₃ γ| < σ²/10. Beyond, unguided samples are reweighted,
while a fifth of them still counts; farther out, a ladder of populations (particles.py), each reweighted from the last.

For w = a · x₀ the tilt needs no approximation at all: exp(γ a·x₀) only shifts what x_t says, and the tilted belief is
b(x_t + γ a σ²/α, t). A property with foresight, m(x_t, t) = E[w | x_t], is pushed by the slope of γ m(x_t, t), which
knows how all parts of x₀ depend on one another; any other w is expanded at a belief whose categories are independent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, combined
from ..denoisers.base import Condition, Denoiser, Guide, Guided, Traits
from ..denoisers.mapped import field_space, map_of
from ..errors import InputError
from ..events import Event, Stream, finished, part, streamed
from ..guidance.classifiers import NoisyClassifierGuidance
from ..guidance.factors import Energy, Factored
from ..spaces import Euclidean
from ..states import State, Time
from ..text import markup
from ..values import as_constants, is_number
from .brackets import Bracket, Measured, tilted_mean
from .drawing import draws
from .engines import Independent, Population
from .samples import Samples


@dataclass(frozen=True)
class ValueFunction:
    """A property with foresight.

    Attributes:
        of: E[w(x₀) | x_t] from the code of x_t, (batch, ...), and t, differentiable; at t = 0 it is w itself. Of a
            product on a path t is a dictionary, part → time.
    """

    of: Callable[[Any, Any], Tensor]

    def __call__(self, code: Any) -> Float[Tensor, " batch"]:
        return self.of(code, 0.0)


@dataclass(frozen=True)
class ValueFunctionOf:
    """A property with foresight that is made of the model it is asked of.

    Attributes:
        make: the property, as the denoiser foresees it; InputError if it cannot.
    """

    make: Callable[[Denoiser], ValueFunction]


Property = Callable[[Any], Tensor] | ValueFunction | ValueFunctionOf | Tensor
TRIES = 6
"""How often a strength is measured, and corrected, at most."""


@dataclass(frozen=True)
class Law:
    """The first three cumulants of w under the unguided model.

    Attributes:
        mean, variance, third: μ, σ², κ₃.
    """

    mean: float
    variance: float
    third: float

    @classmethod
    def of(cls, values: Float[Tensor, " n"]) -> "Law":
        centred = values - values.mean()
        return cls(values.mean().item(), centred.square().mean().item(), centred.pow(3).mean().item())

    def __call__(self, gamma: float) -> float:
        """μ + σ² γ."""
        return self.mean + self.variance * gamma

    @property
    def trusted(self) -> float:
        """The largest |γ| at which the next term, κ₃ γ²/2, is under 5 % of the shift."""
        return float("inf") if self.third == 0 else 0.1 * self.variance / abs(self.third)


@dataclass(frozen=True)
class ExponentialTilt(Guide):
    """exp(gamma · direction · x₀), exactly: continuous data, one call a step, through any sampler."""

    of_prior = True

    direction: Float[Tensor, "..."]
    gamma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", as_constants(self.direction, "ExponentialTilt: direction"))
        if not is_number(self.gamma):
            raise InputError(f"ExponentialTilt: gamma is {self.gamma!r}, expected a finite number")

    def guide(self, denoiser: Denoiser) -> Denoiser:
        if not isinstance(denoiser.space, Euclidean):
            raise InputError(f"only Gaussian noise can be shifted, not that of {type(denoiser.space).__name__}")
        shape, own = getattr(field_space(denoiser), "shape", ()), tuple(self.direction.shape)
        if len(own) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(own), reversed(shape), strict=False)):
            raise InputError(f"ExponentialTilt: direction has the shape {own}, expected that of a state, {shape}")
        return ExponentiallyTilted(denoiser, self)


@dataclass(frozen=True, repr=False)
class ExponentiallyTilted(Guided):
    """The denoiser of p(x₀) exp(γ a·x₀)."""

    shift: ExponentialTilt

    def changed(self, traits: Traits) -> Traits:
        return traits.recorded(shift="along a direction", gamma=self.shift.gamma)

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        return combined(self.terms(x_t, t, condition))

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[tuple[Time, Belief]]:
        space = self.space
        assert isinstance(x_t, Tensor)
        assert isinstance(space, Euclidean)
        along = space.project(self.shift.gamma * self._direction(x_t, condition))
        along = along if space.noise_cov is None else space.noise_cov(along)
        return self.denoiser.terms(x_t + space.tweedie(t, x_t) * along, t, condition)

    def _direction(self, x_t: Tensor, condition: Condition | None) -> Tensor:
        """a, in the model's states: Mᵀ a where a map leads to the field that a is a direction of."""
        map, direction = map_of(self, condition, len(x_t)), self.shift.direction.to(x_t)
        if map is None:
            return direction.expand_as(x_t)
        if not map.affine:
            raise InputError(
                f"a tilt along a direction of the field is none of the states behind {map.name}: use Energy"
            )
        return map.operator.adjoint(direction.expand(len(x_t), *direction.shape))


@dataclass(frozen=True)
class MomentConstraint(Guide):
    """Calibrated on the spot: `denoiser & MomentConstraint(w, 0.4)` finds the strength for a mean of 0.4 and applies
    it.

    Attributes:
        w, target, n, steps: as of `guidance_strength`.
    """

    w: Property
    target: float
    n: int = 2048
    steps: int | None = None

    def guide(self, denoiser: Denoiser) -> Denoiser:
        return finished(self.guiding(denoiser))

    def guiding(self, denoiser: Denoiser) -> Stream[Denoiser]:
        found = yield from guidance_strength.events(denoiser, self.w, self.target, n=self.n, steps=self.steps)
        return denoiser & found.guide


@dataclass(frozen=True)
class GuidanceStrength:
    """The strength that brings the mean of a property to its target, and how well it was found to do so.

    Attributes:
        gamma: the strength; `guide` applies it.
        predicted: E_γ[w] at the γ first tried, before measuring corrected it.
        method: what predicted it: the line, reweighting, or a ladder of populations.
        measured, error: mean of w over a fresh draw at γ, and its standard error.
        ess: how many independent samples that draw is worth.
        law: the unguided cumulants.
    """

    target: float
    gamma: float
    predicted: float
    method: str
    measured: float
    error: float
    ess: float
    law: Law
    guide: Guide

    @property
    def interval(self) -> tuple[float, float]:
        """Of the measured mean, 95 %."""
        return self.measured - 1.96 * self.error, self.measured + 1.96 * self.error

    def __str__(self) -> str:
        low, high = self.interval
        trust = "within" if abs(self.gamma) <= self.law.trusted else "beyond"
        line = f"the line says {self.law(self.gamma):.4g}, {trust} its range |γ| ≤ {self.law.trusted:.3g}"
        measured = f"measured {self.measured:.4g} [{low:.4g}, {high:.4g}], ESS {self.ess:.0f}"
        return f"γ = {self.gamma:.4g} for a mean of {self.target:g}: {measured} (by {self.method}; {line})"

    def _repr_html_(self) -> str:
        low, high = self.interval
        told = f"γ = {self.gamma:.4g} for a mean of {self.target:g}"
        rows = [
            ("measured mean", f"{self.measured:.4g} ± {self.error:.2g}, 95 %: {low:.4g} to {high:.4g}"),
            ("predicted mean", f"{self.predicted:.4g}, by {self.method}"),
            ("effective sample size", f"{self.ess:.0f}"),
            ("the line says", f"{self.law(self.gamma):.4g}; it is trusted up to |γ| = {self.law.trusted:.3g}"),
        ]
        return markup.boxed(markup.verdict(told, low <= self.target <= high), markup.pairs(rows))


@streamed
def guidance_strength(
    denoiser: Denoiser,
    w: Property,
    target: float,
    *,
    n: int = 4096,
    steps: int | None = None,
    seed: int = 0,
    rungs: int = 12,
    condition: Condition | None = None,
) -> Stream[GuidanceStrength]:
    """Finds γ such that p(x₀) exp(γ w(x₀)) has E[w] = target, and measures it.

    E_γ[w] grows with γ, so every measured γ is an end of a bracket, and none outside of it is tried again.

    Args:
        w: of the code of x₀, (n, ...) → (n,), differentiable; one with foresight; or a direction a, of one sample's
            shape, for w = a·x₀.
        n: samples a draw; the target is met to about σ/√n.
        steps: of the sampler, for each draw.
        rungs: the most populations of a ladder.
        condition: what each of the n samples is given, such as the mask of its size.
        denoiser: the model, (x_t, t, condition) → belief.
        seed: of all random numbers.

    InputError if the target lies beyond what the model draws, or where a handful of particles carries the population,
    so that its mean cannot be measured.
    """
    if n < 32:
        raise InputError(f"n is {n}, expected at least 32 samples to calibrate on")
    if not isfinite(target):
        raise InputError(f"target is {target}, expected a finite number")
    search, most = StrengthSearch(denoiser, w, n, steps, condition or {}), rungs + TRIES + 1
    unguided = yield from _measured(search, 0.0, seed, 0, most)
    law = Law.of(unguided.values)
    if not law.variance > 0:
        raise InputError(f"the property is {law.mean:g} for all samples; it cannot be pushed to {target:g}")
    bracket, predicted, method, tries = Bracket(target, unguided), target, "the line", 0
    for number in range(1, most):
        gamma, reached = bracket.proposed()
        if reached and not tries:
            predicted = tilted_mean(bracket.nearest.values, gamma - bracket.nearest.gamma)
            method = f"a ladder of {number}" if number > 1 else _way(law, gamma)
        tries += reached
        found = yield from _measured(search, gamma, seed + number + (1000 if reached else 0), number, most)
        if reached and found.hits(target):
            made = search.found(target, found, predicted, method, law)
            yield Event(most, most, "calibrating", result=made)
            return made
        if tries == TRIES or (number == rungs and not tries):
            break
        bracket = bracket.narrowed(found, reached)
    raise bracket.refusal()


def _way(law: Law, gamma: float) -> str:
    return "the line" if abs(gamma) <= law.trusted else "reweighting"


def _measured(search: "StrengthSearch", gamma: float, seed: int, number: int, most: int) -> Stream[Measured]:
    """One of at most so many populations."""
    values, genealogy = yield from part(search.drawing(gamma, seed), number, 1, most, "calibrating")
    return Measured(gamma, values, genealogy)


@dataclass(frozen=True)
class StrengthSearch:
    """A property of a model's samples at any strength γ."""

    denoiser: Denoiser
    w: Property
    n: int
    steps: int | None = None
    condition: Condition = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self.of  # refused at once, if the model cannot foresee it

    @cached_property
    def of(self) -> Callable[[Any], Tensor] | ValueFunction | Tensor:
        """The property, of this model."""
        return self.w.make(self.denoiser) if isinstance(self.w, ValueFunctionOf) else self.w

    def found(self, target: float, at: Measured, predicted: float, method: str, law: Law) -> GuidanceStrength:
        """The strength at which the target was measured."""
        guide = self.guide(at.gamma)
        return GuidanceStrength(target, at.gamma, predicted, method, at.mean, at.error, at.ess, law, guide)

    def guide(self, gamma: float) -> Guide:
        """exp(γ w) as a guide: an exact shift along a direction, else a factor."""
        if isinstance(self.of, ValueFunction):
            return NoisyClassifierGuidance(self.of.of, gamma)
        return ExponentialTilt(self.of, gamma) if isinstance(self.of, Tensor) else Energy(self.of, -gamma)

    def value(self, drawn: Samples) -> Float[Tensor, " n"]:
        code = self.denoiser.space.with_mask(drawn.condition.get("mask")).point_mass(drawn.x).mean
        return ((code * self.of).flatten(1).sum(1) if isinstance(self.of, Tensor) else self.of(code)).double()

    def draw(self, gamma: float, seed: int) -> tuple[Float[Tensor, " n"], Tensor]:
        """w of n samples at γ, and which of them are of one family; independent where no particles are needed."""
        return finished(self.drawing(gamma, seed))

    def drawing(self, gamma: float, seed: int) -> Stream[tuple[Float[Tensor, " n"], Tensor]]:
        """The same as events."""
        if not isinstance(self.denoiser, Factored) and (gamma == 0 or isinstance(self.of, Tensor)):
            guided = self.denoiser & self.guide(gamma) if gamma else self.denoiser
            free = Independent(steps=self.steps)
            drawn = yield from draws(guided, self.n, free, seed=seed, condition=self.condition)
            return self.value(drawn), torch.arange(self.n)
        guided = self.denoiser & self.guide(gamma) if gamma else self.denoiser
        weighed = Population(particles=self.n, steps=self.steps)
        drawn = yield from draws(guided, self.n, weighed, seed=seed, condition=self.condition)
        assert drawn.genealogy is not None
        return self.value(drawn), drawn.genealogy
