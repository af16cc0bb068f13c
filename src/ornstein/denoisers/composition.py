"""Denoisers made of denoisers: prompts, products, negations and mixtures.

A product of powers, p(x₀) ∝ Π_k p_k(x₀)^{w_k} with Σ w_k = 1, is believed in natural parameters, b = Σ w_k b_k:

    classifier-free guidance   p(x₀ | c)^w p(x₀)^{1 − w}       Ho & Salimans 2022
    autoguidance               p(x₀)^w p_weak(x₀)^{1 − w}      Karras et al. 2024
    product of a and b         p_a p_b / p_base                both, each relative to what they have in common
    several prompts            p^{1 − Σw} Π p(x₀ | c_k)^{w_k}  composed (Liu et al. 2022), or the way from c₁ to c₂
    negation of b              p_a^{1 + w} p_b^{−w}            a, but not b

These hold for the data, not for the noisy states between, so samples of the combined belief follow the product only
nearly; exact="particles" weighs them with the terms' own transitions (Feynman–Kac correctors, Skreta et al. 2025), in
every space. A mixture is exact as it is: each sample draws its component before it starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Joint, Normal, Probs, combined
from ..covariances import Weighted
from ..errors import InputError
from ..keys import Keys
from ..spaces import TimePath
from ..spaces.categorical import draw
from ..states import State, Time, batch_size, leaves
from ..values import as_places, is_number
from .agreement import require_same_space
from .base import Condition, Denoiser, Guide, Guided, Traits, carry

Term = tuple[Time, Belief]
COMPONENT = "component"


@dataclass(frozen=True)
class GuidanceInterval:
    """Guidance only between two times (Kynkäänniemi et al. 2024): scale inside, 1 outside."""

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def at(self, t: Time) -> Time:
        low, high = self.interval
        if isinstance(t, Tensor):
            return 1.0 + (self.scale - 1.0) * ((t >= low) & (t <= high)).double()
        return self.scale if low <= t <= high else 1.0


@dataclass(frozen=True)
class ClassifierFreeGuidance(Guide):
    """Condition on something, by classifier-free guidance.

    Attributes:
        condition: name → the value for every sample (a number or the tensor of one sample), or None for the value that
            each sample is given in `sample(..., condition={name: ...})`.
        scale: 1 conditions without guidance, more sharpens, 0 ignores the condition.
        interval: the times (from, to) within which the scale holds; elsewhere it is 1.
    """

    condition: Mapping[str, Tensor | float | int | None]
    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    of_prior = True

    def guide(self, denoiser: Denoiser) -> Denoiser:
        for name, value in self.condition.items():
            if value is not None and name in denoiser.fixed_condition:
                raise InputError(f"{name!r} is said already: a denoiser takes one prompt of a name")
        return ClassifierFreeGuided(denoiser, self)


@dataclass(frozen=True, repr=False)
class ClassifierFreeGuided(Guided):
    """A denoiser under a prompt: two calls a step, one at scale 0 or 1."""

    prompt: ClassifierFreeGuidance

    def changed(self, traits: Traits) -> Traits:
        condition, scale = self.prompt.condition, self.prompt.scale
        fixed = {name: torch.as_tensor(value) for name, value in condition.items() if value is not None}
        return replace(
            traits.recorded(prompt={name: _plain(value) for name, value in condition.items()}, scale=scale),
            fixed_condition={**traits.fixed_condition, **fixed},
            calls=traits.calls * (1 if scale in (0, 1) else 2),
            time_independent=traits.time_independent and self.prompt.interval == (0.0, 1.0),
        )

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        return combined(self.terms(x_t, t, condition))

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[Term]:
        asked = self._asked(x_t, t, condition or {})
        return [term for weight, said in asked for term in _scaled(weight, self.denoiser.terms(x_t, t, said))]

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        asked = self._asked(x_t, t, condition or {})
        return _weighted([(weight, self.denoiser.log_density(x_t, t, said)) for weight, said in asked])

    def _asked(self, x_t: State, t: Time, condition: Condition) -> list[tuple[Time, Condition]]:
        """The weight of each condition: what is said and what is not, or the one of them that counts alone."""
        said = {**condition, **self._values(condition, x_t)}
        unsaid = {name: value for name, value in condition.items() if name not in self.prompt.condition}
        scale = GuidanceInterval(self.prompt.scale, self.prompt.interval).at(t)
        if not isinstance(scale, Tensor) and scale in (0, 1):
            return [(1.0, said if scale else unsaid)]
        return [(scale, said), (1 - scale, unsaid)]

    def _values(self, condition: Condition, x_t: State) -> dict[str, Tensor]:
        n, device = batch_size(x_t), leaves(x_t)[0].device
        values = {}
        for name, value in self.prompt.condition.items():
            if value is None and name not in condition:
                raise InputError(f"the prompt leaves {name!r} to each sample: pass condition={{{name!r}: ...}}")
            if value is not None:
                one = torch.as_tensor(value, device=device)
                values[name] = one.expand(n, *one.shape)
        return values


WEIGHTS = "weights"


@dataclass(frozen=True)
class ComposedPrompts(Guide):
    """Several things said at once, by each sample for itself: Π_k p(x₀ | c_k)^{w_k} with Σ w_k = 1.

    Samples bring condition[name] (batch, terms, ...) for every name and condition["weights"] (batch, terms). The first
    term is what the others are measured against: nothing said, or a negative prompt.

    Attributes:
        names: of the conditions.
        terms: how many things are said.
        interval: the times (from, to) within which the weights hold; elsewhere the positive ones do in proportion, and
            the first term does not count.
    """

    names: tuple[str, ...]
    terms: int
    interval: tuple[float, float] = (0.0, 1.0)

    of_prior = True

    def guide(self, denoiser: Denoiser) -> Denoiser:
        return GuidedByPrompts(denoiser, self)


@dataclass(frozen=True, repr=False)
class GuidedByPrompts(Guided):
    """A denoiser under several prompts: a call for each that counts."""

    prompts: ComposedPrompts

    def changed(self, traits: Traits) -> Traits:
        return replace(
            traits.recorded(prompts=list(self.prompts.names), interval=list(self.prompts.interval)),
            calls=traits.calls * self.prompts.terms,
            time_independent=traits.time_independent and self.prompts.interval == (0.0, 1.0),
        )

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        return combined(self.terms(x_t, t, condition))

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[Term]:
        asked = self._asked(t, condition or {})
        return [term for weight, said in asked for term in _scaled(weight, self.denoiser.terms(x_t, t, said))]

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        asked = self._asked(t, condition or {})
        return _weighted([(weight, self.denoiser.log_density(x_t, t, said)) for weight, said in asked])

    def _asked(self, t: Time, condition: Condition) -> list[tuple[Time, Condition]]:
        rest = {name: value for name, value in condition.items() if name != WEIGHTS}
        weights = self._weights(condition[WEIGHTS].double(), t)
        said = ({**rest, **{name: rest[name][:, k] for name in self.prompts.names}} for k in range(weights.shape[1]))
        return [(weight, one) for weight, one in zip(weights.T, said, strict=True) if (weight != 0).any()]

    def _weights(self, weights: Float[Tensor, "batch terms"], t: Time) -> Float[Tensor, "batch terms"]:
        """At t; a sample of which nothing is wanted has its first term everywhere."""
        wanted = weights[:, 1:].clamp(min=0)
        total = wanted.sum(1, keepdim=True)
        elsewhere = torch.cat([(total == 0).double(), wanted / total.clamp(min=1e-12)], 1)
        outside = torch.as_tensor(GuidanceInterval(0.0, self.prompts.interval).at(t)).to(weights).reshape(-1, 1)
        return weights + outside * (elsewhere - weights)  # outside: 0 within the interval, else 1


@dataclass(frozen=True, repr=False)
class Composed(Denoiser):
    """Π_k p_k(x₀)^{w_k}; InputError unless the spaces agree and the weights sum to 1.

    Attributes:
        parts: (weight, denoiser) pairs.
        interval: the times (from, to) at which all parts count; elsewhere only the first does.
    """

    _kind: ClassVar[str] = "product"

    parts: tuple[tuple[float, Denoiser], ...]
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        for weight, part in self.parts:
            if not isinstance(part, Denoiser):
                raise InputError(f"a {self._kind} is of denoisers, found a {type(part).__name__}")
            if not is_number(weight):
                raise InputError(f"a weight of a {self._kind} is {weight!r}, expected a finite number")
        if abs(sum(weight for weight, _ in self.parts) - 1) > 1e-9:
            raise InputError(
                f"the weights of a product sum to 1, not {sum(weight for weight, _ in self.parts):g}: divide by what "
                "the parts have in common, as in product(a, b, base)"
            )
        require_same_space([part for _, part in self.parts])
        carry(self, self._traits())

    def _traits(self) -> Traits:
        """Those of the first part, with all calls, the least reach and a record of all; no condition is everybody's."""
        parts = [{"weight": weight, "of": list(part.provenance)} for weight, part in self.parts]
        return replace(
            self.parts[0][1].traits,
            calls=sum(part.calls for _, part in self.parts),
            fixed_condition={},
            provenance=({self._kind: parts},),
            reach=min(part.reach for _, part in self.parts),
            time_independent=False,
        )

    @property
    def device(self) -> torch.device:
        return self.parts[0][1].device

    def along(self, path: TimePath) -> Self:
        return replace(self, parts=tuple((weight, part.along(path)) for weight, part in self.parts))

    def __repr__(self) -> str:
        parts = ", ".join(f"{weight:g} × {part!r}" for weight, part in self.parts)
        return f"{self._kind}({parts})"

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        return combined(self.terms(x_t, t, condition))

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[Term]:
        parts = self._active(t)
        return [term for weight, part in parts for term in _scaled(weight, part.terms(x_t, t, condition))]

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        return _weighted([(weight, part.log_density(x_t, t, condition)) for weight, part in self._active(t)])

    def _active(self, t: Time) -> list[tuple[Time, Denoiser]]:
        """The parts that count at t, with their weights there."""
        outside = GuidanceInterval(0.0, self.interval).at(t)  # 0 inside, 1 outside
        parts = [(weight + outside * (float(k == 0) - weight), part) for k, (weight, part) in enumerate(self.parts)]
        return [(weight, part) for weight, part in parts if isinstance(weight, Tensor) or weight != 0]


@dataclass(frozen=True)
class Autoguidance(Guide):
    """Guidance away from a weaker model of the same data (Karras et al. 2024).

    Attributes:
        weak: smaller, or trained for less time.
        scale: 1 = none.
        interval: the times (from, to) within which it holds.
    """

    weak: Denoiser
    scale: float
    interval: tuple[float, float] = (0.0, 1.0)

    of_prior = True

    def guide(self, denoiser: Denoiser) -> Denoiser:
        return Composed(((self.scale, denoiser), (1 - self.scale, self.weak)), self.interval)


def product(a: Denoiser, b: Denoiser, base: Denoiser) -> Composed:
    """p_a p_b / p_base: what a and b have in common, each seen as a change of base; models of one space."""
    return Composed(((1.0, a), (1.0, b), (-1.0, base)))


def negation(a: Denoiser, b: Denoiser, weight: float = 1.0) -> Composed:
    """p_a^{1 + weight} p_b^{−weight}: a, away from b, by a weight of which 0 is a itself; models of one space."""
    return Composed(((1 + weight, a), (-weight, b)))


@dataclass(frozen=True, repr=False)
class Mixed(Composed):
    """Σ_k w_k p_k(x₀): each sample draws its component before it starts, and is told it as a condition."""

    _kind = "mixture"

    def latent(self, keys: Keys) -> Condition:
        weights = torch.tensor([weight for weight, _ in self.parts], dtype=torch.float64, device=keys.root.device)
        inner = [part.latent(keys.fold(k)) for k, (_, part) in enumerate(self.parts)]
        return {COMPONENT: draw(weights.expand(len(keys), -1), keys), **{k: v for one in inner for k, v in one.items()}}

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[Term]:
        condition = dict(condition or {})
        if COMPONENT not in condition:
            raise InputError("each sample of a mixture belongs to a component: pass condition={'component': ...}")
        component = condition.pop(COMPONENT)
        return [(1.0, _chosen(component, [part(x_t, t, condition) for _, part in self.parts]))]

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        """InputError: the parts know theirs up to a constant each, and the constants count in a sum.

        Args:
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        raise InputError("a mixture of denoisers has no log-density: its parts know theirs only up to a constant each")


def mixture(parts: Sequence[Denoiser], weights: Sequence[float] | None = None) -> Mixed:
    """Σ_k w_k p_k.

    Args:
        parts: models of one space, none of them a mixture.
        weights: w, of any sum; equal if not given.

    InputError for a mixture within a mixture, and for weights that are negative or all 0.
    """
    parts = list(parts)
    if not parts:
        raise InputError("a mixture has one denoiser or more")
    if any(isinstance(part, Mixed) for part in parts):
        raise InputError("mixtures do not nest: give all components, with their weights, at once")
    shares = [1.0] * len(parts) if weights is None else as_places(weights, "the weights of a mixture").tolist()
    if not isinstance(shares, list) or len(shares) != len(parts):
        raise InputError(f"the weights of a mixture are {shares}, expected one for each of {len(parts)} denoisers")
    if min(shares) < 0 or sum(shares) == 0:
        raise InputError(f"the weights of a mixture are not negative, nor all 0; these are {shares}")
    return Mixed(tuple((share / sum(shares), part) for share, part in zip(shares, parts, strict=True)))


def within(denoiser: Denoiser) -> list[Denoiser]:
    """The denoisers that it is made of, itself left out."""
    parts = [part for _, part in denoiser.parts] if isinstance(denoiser, Composed) else []
    parts += [denoiser.denoiser] if isinstance(denoiser, Guided) else []
    return [inner for part in parts for inner in (part, *within(part))]


def _chosen(component: Tensor, beliefs: Sequence[Any]) -> Any:
    """Sample by sample the belief of its component."""
    first = beliefs[0]
    if isinstance(first, Joint):
        return Joint({name: _chosen(component, [belief[name] for belief in beliefs]) for name in first.parts})
    if isinstance(first, Probs):
        return replace(first, logits=_pick(component, [belief.logits for belief in beliefs]))
    covs = [((component == k).double(), belief.cov) for k, belief in enumerate(beliefs)]
    mean = _pick(component, [belief.mean for belief in beliefs])
    return Normal(mean, None if any(cov is None for _, cov in covs) else Weighted(tuple(covs)))


def _pick(component: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors))[component, torch.arange(len(component), device=component.device)]


def _scaled(weight: Time, terms: Sequence[Term]) -> list[Term]:
    return [(weight * own, belief) for own, belief in terms]


def _weighted(densities: Sequence[tuple[Time, Tensor]]) -> Tensor:
    """Σ_k w_k log p_k; −∞ where a part of positive weight says so, whatever the others say."""
    weights = [torch.as_tensor(weight, dtype=value.dtype, device=value.device) for weight, value in densities]
    scaled = [torch.where(w == 0, 0.0, w * value) for w, (_, value) in zip(weights, densities, strict=True)]
    ruled_out = torch.stack([value.isneginf() for value in scaled]).any(0)
    return torch.where(ruled_out, -torch.inf, torch.stack(scaled).sum(0))


def _plain(value: Tensor | float | int | None) -> Any:
    """A prompt's value for a manifest: numbers as they are, long tensors by their shape."""
    if not isinstance(value, Tensor):
        return "each sample's own" if value is None else value
    return value.tolist() if value.numel() <= 16 else f"tensor of shape {tuple(value.shape)}"
