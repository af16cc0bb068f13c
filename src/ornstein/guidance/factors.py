"""What is known or wanted about x₀, as a factor g(x₀). `denoiser & factor` is a denoiser of p(x₀) g(x₀), nearly.

A factor answers two questions about a belief, and everything else follows from the answers:

    log_expect     log E[g(x₀)] under the belief: how well x_t already agrees     weighs particles
    update         the same, and the belief given g: ∝ belief · g                 moves samples

Both are exact where the belief is right and the factor `conjugate` (measurements.py). Any other factor is expanded at
the mean m: with slope d = ∇ log g(m) and the belief's covariance C

    log E[g] ≈ log g(m) + log E exp d·(x₀ − m),      belief ∝ belief · exp d·x₀  (mean += C d, logits += d)

which is exact for every g that is exponential in x₀, in every space. A bend of log g along C d, κ < 0, shortens the
step to d/(1 − κ), as Newton's method would. The plug-in g(m) alone is biased: see docs/say-what-you-know.md.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Probs, counted, tallied, with_mean
from ..denoisers.base import Condition, Denoiser, Guide, Guided, Traits, require_guide
from ..denoisers.beside import beside
from ..denoisers.mapped import field_space, map_of, said
from ..denoisers.maps import Map
from ..denoisers.tweedie import with_covariance
from ..deprecation import members, renamed
from ..effort import Tally
from ..errors import InputError
from ..spaces import Space
from ..states import State, Time, batch_size, left, map_state
from .functions import (
    After,
    called,
    differentiated,
    name_of,
    number_of,
    one_each,
    require_function,
    require_log_g,
    require_weight,
)
from .slopes import bend, gradient, inner, learns

Updated = tuple[Float[Tensor, " batch"], Any]


@members(timeless="time_independent", record="provenance")
class Factor(Guide):
    """log g(x₀).

    Attributes:
        time_independent: what it makes of a belief does not depend on the time.
        first: it comes before other conjugate factors, whose equations are then smaller: what holds exactly.
    """

    time_independent: ClassVar[bool] = True
    first: ClassVar[bool] = False

    @property
    def conjugate(self) -> bool:
        """Whether `update` is exact for the beliefs it is made for."""
        return False

    @abstractmethod
    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        """log E[g(x₀)] under the belief (batch,) and the belief given g; x_t, t: where the belief was formed.

        Args:
            space: the kind of data and its noise.
        """

    @abstractmethod
    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        """log E[g(x₀)], nats; of a belief without doubt it is log g(x₀)."""

    @abstractmethod
    def tempered(self, power: float) -> "Factor":
        """g to a power, up to a constant."""

    def merged(self, other: "Factor") -> "Factor | None":
        """Both as one factor whose update is one linear solve, not a solve inside a solve; None where there is none."""
        return None

    def through(self, map: Map) -> "Factor":
        """What a factor about the physical field says of a model's own states.

        Args:
            map: from the states to the field, bound to what the samples are given.

        InputError for a factor that is not about the field alone.
        """
        own = "a factor of your own says what it knows of the model's states by a method through(map)"
        raise InputError(f"{type(self).__name__} cannot go through {map.name} to the physical field: {own}")

    def known(self, x_t: Any, space: Space) -> Any:
        """x_t with what is certain filled in, where the denoiser may see it clean: letters under masks."""
        return x_t

    @property
    def names(self) -> frozenset[str]:
        """The conditions that `bound` makes it of; the model need not know them."""
        return frozenset()

    def bound(self, condition: Condition | None) -> "Factor":
        """The factor of the samples that are given this, name → (batch, ...), for one that names a condition."""
        return self

    def held(self, x: Any, space: Space) -> Any:
        """x₀, or the mean of a belief about it, in which all that it says exactly holds to round-off.

        Args:
            space: the kind of data and its noise.
        """
        return x

    def shared(self, x: State) -> bool:
        """Whether it says the same of every sample, so that they can be one population; x: any state of one sample."""
        return True

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The factor for a manifest."""
        return {"factor": type(self).__name__}

    def on(self, part: str) -> "Factor":
        """The same about one part of a product space."""
        from .within import OnPart

        return OnPart(part, self)

    def require_fit(self, space: Space) -> None:
        """InputError if it is not about data of this space."""

    def guide(self, denoiser: Denoiser) -> "Factored":
        self.require_fit(field_space(denoiser))
        prior, others = (denoiser.denoiser, denoiser.factors) if isinstance(denoiser, Factored) else (denoiser, ())
        return Factored(beside(prior, self.names), (*others, self))


@dataclass(frozen=True, repr=False)
class Factored(Guided):
    """A denoiser of the prior times its factors: what holds exactly, then the other conjugate ones, then the rest."""

    factors: tuple[Factor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", _ordered(self.factors))
        super().__post_init__()

    def __and__(self, guide: Guide) -> Denoiser:
        require_guide(guide)
        return replace(self, denoiser=self.denoiser & guide) if guide.of_prior else super().__and__(guide)

    def changed(self, traits: Traits) -> Traits:
        return replace(
            traits,
            provenance=(*traits.provenance, *(factor.provenance for factor in self.factors)),
            time_independent=traits.time_independent and all(factor.time_independent for factor in self.factors),
        )

    def bound(self, condition: Condition | None, n: int) -> tuple[Factor, ...]:
        """What the factors say of the model's own states, of the samples that are given this; in their order there.

        Args:
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
            n: how many samples there are.
        """
        given, map = said(self, condition, n), map_of(self, condition, n)
        factors = tuple(factor.bound(given) for factor in self.factors)
        return factors if map is None else _ordered([factor.through(map) for factor in factors])

    def held(self, x0: Any, condition: Condition | None = None) -> Any:
        space = self.space.with_mask((condition or {}).get("mask"))
        for _, factor in _solved_together(self.bound(condition, batch_size(x0))):
            x0 = factor.held(x0, space)
        return x0

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        space = self.space.with_mask((condition or {}).get("mask"))
        factors = self.bound(condition, batch_size(x_t))
        for factor in factors:
            x_t = factor.known(x_t, space)
        prior = with_covariance(self.denoiser, x_t, t, condition)
        tally = Tally() if prior.tally is None else prior.tally
        tally.valued = False
        _, updated = update(factors, counted(prior, tally, self.denoiser.calls), x_t, t, space)
        return tallied(updated, tally)  # whatever belief a user's own factor made


def _ordered(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    return tuple(sorted(factors, key=lambda factor: (not factor.conjugate, not factor.first)))


def update(
    factors: Sequence[Factor], belief: Belief, x_t: State, t: Time, space: Space
) -> tuple[Float[Tensor, "factors batch"], Belief]:
    """log E of each factor given the ones before it, and the belief given them all.

    Measurements of one state are one solve (`Factor.merged`): what they say together stands with the first of them, 0
    with the others.

    Args:
        factors: the factors, conjugate ones first.
        x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of
            them for a product.
        t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        space: the kind of data and its noise.
    """
    values: list[Any] = [None] * len(factors)
    groups = _solved_together(factors)
    for places, factor in groups:
        value, belief = factor.update(belief, x_t, t, space)
        values[places[0]] = value
        for place in places[1:]:
            values[place] = torch.zeros_like(value)
    for _, factor in groups[:-1]:  # what came later may have moved what holds exactly, if only by round-off
        if factor.time_independent:
            mean = belief.mean
            belief = with_mean(belief, mean, factor.held(mean, space))
    return torch.stack(values), belief


def _solved_together(factors: Sequence[Factor]) -> list[tuple[list[int], Factor]]:
    """The factors in their order, those that can be one solve merged into the first of them, each with its places."""
    groups: list[tuple[list[int], Factor]] = []
    for place, factor in enumerate(factors):
        for k, (places, group) in enumerate(groups):
            if (both := group.merged(factor)) is not None:
                groups[k] = ([*places, place], both)
                break
        else:
            groups.append(([place], factor))
    return groups


# Smooth factors ---------------------------------------------------------------------------------------


class Smooth(Factor):
    """A factor with a differentiable log g on the code of x₀ (numbers as they are, categories one-hot)."""

    @abstractmethod
    def log_g(self, code: Any) -> Float[Tensor, " batch"]:
        """log g(x₀), differentiable in the code."""

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._expand(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        value, slope = self._expand(belief)
        return value, belief.tilt(slope)

    def through(self, map: Map) -> Factor:
        if type(self).update is not Smooth.update or type(self).log_expect is not Smooth.log_expect:
            return super().through(map)  # it says more than its log g
        from .within import Pulled

        return Pulled(self, map)

    def _expand(self, belief: Belief) -> tuple[Tensor, Any]:
        """log E[g] and the shortened slope; with their graphs where log g has parameters that are being learnt."""
        learning = torch.is_grad_enabled()
        with torch.enable_grad():
            mean = map_state(lambda x: x.detach().requires_grad_(), belief.mean)
            value = self.log_g(mean)
            learning = learning and learns(value, mean)
            slope = differentiated(self, lambda: gradient(value.sum(), mean, create_graph=True))
            held = slope if learning else map_state(torch.Tensor.detach, slope)
            require_log_g(self, value, held)
            towards = belief.covary(held)
            bent = differentiated(self, lambda: bend(slope, mean, towards, create_graph=learning))
        with torch.set_grad_enabled(learning):
            rise, curvature = inner(held, towards), inner(bent, towards)
            concave = (rise > 0) & (curvature < 0)  # a network's covariance need not be positive
            short = 1 / (1 - torch.where(concave, curvature / torch.where(concave, rise, 1.0), 0.0))
            slope = map_state(lambda x: x * left(short, x).to(x), held)
            value = (value if learning else value.detach()) + belief.cumulant(slope) / short + short.log() / 2
        return value, slope


@dataclass(frozen=True)
class Energy(Smooth):
    """g = exp(−weight · E(x₀)): a property or an energy to push down, or up with a negative weight.

    Attributes:
        energy: of the code of x₀, (batch, ...) → (batch,), differentiable. Parameters in it that want gradients get
            them from a loss on what is guided, where gradients are enabled.
        weight: 1/kT, if E is an energy.
    """

    energy: Callable[[Any], Tensor]
    weight: float | Tensor = 1.0

    def __post_init__(self) -> None:
        require_function(self, self.energy)
        require_weight(self, self.weight)

    def log_g(self, code: Any) -> Float[Tensor, " batch"]:
        return -self.weight * one_each(self, called(self, self.energy, code), code)

    def tempered(self, power: float) -> "Energy":
        return replace(self, weight=self.weight * power)

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "Energy", "of": name_of(self.energy), "weight": number_of(self.weight)}


@renamed(score="reward")
@members(score="reward")
@dataclass(frozen=True)
class Reward(Factor):
    """g = exp(weight · score(x₀)) of a program that has no gradient, such as a folding algorithm.

    The belief does not see it: particles must weigh it, with its value at what is likeliest as their foresight.

    Attributes:
        reward: of clean states, (batch, ...) → (batch,).
    """

    reward: Callable[[Any], Tensor]
    weight: float | Tensor = 1.0

    def __post_init__(self) -> None:
        require_function(self, self.reward)
        require_weight(self, self.weight)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        likeliest = belief.logits.argmax(-1) if isinstance(belief, Probs) else belief.mean
        value = self.weight * one_each(self, called(self, self.reward, likeliest), likeliest, smooth=False).double()
        require_log_g(self, value)
        return value

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self.log_expect(belief), belief

    def tempered(self, power: float) -> "Reward":
        return replace(self, weight=self.weight * power)

    def through(self, map: Map) -> "Reward":
        return replace(self, reward=After(self.reward, map))

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "Reward", "of": name_of(self.reward), "weight": number_of(self.weight)}
