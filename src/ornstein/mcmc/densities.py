"""Unnormalised densities, which is all that Metropolis's rule asks for.

    log p(x) = Σ_k w_k f_k(x) + constant

A bare energy has one term, f = −E. A path between two densities has two, with weights 1 − β and β, and products of
models have one a model. A `MCMCState` keeps the terms and their slopes where a sample stands, so that a change of
weights (annealing, an exchange of temperatures) costs no evaluation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..denoisers.base import Condition, Denoiser
from ..deprecation import members
from ..errors import InputError
from ..guidance.functions import called, name_of, require_function
from ..guidance.slopes import gradient
from ..keys import Keys
from ..spaces import Categorical, Euclidean, Product, Space
from ..states import Time, batch_size, concatenate, leaves, left, map_state, take

Term = Callable[[Any], Tensor]
SUMS = 16
"""Random sums by which categories are compared."""


@members(slopes="gradients")
@dataclass(frozen=True)
class MCMCState:
    """Where samples stand.

    Attributes:
        x: the state: a tensor, or a dictionary of them for a product.
        values: f_k(x), nats, float64.
        gradients: ∇f_k(x) by the code of x, (terms, batch, ...) a tensor of it; None where only values were asked for.
    """

    x: Float[Tensor, "batch ..."] | Any
    values: Float[Tensor, "terms batch"]
    gradients: Float[Tensor, "terms batch ..."] | Any = None

    def __getitem__(self, index: Any) -> "MCMCState":
        gradients = None if self.gradients is None else take(self.gradients, (slice(None), index))
        return MCMCState(take(self.x, index), self.values[:, index], gradients)

    def where(self, chosen: Tensor, other: "MCMCState") -> "MCMCState":
        """This point for the samples chosen (batch,), the other for the rest."""
        x = map_state(lambda own, its: torch.where(left(chosen, own), own, its), self.x, other.x)
        values = torch.where(chosen, self.values, other.values)
        if self.gradients is None or other.gradients is None:
            return MCMCState(x, values)
        pairs = self.gradients, other.gradients
        return MCMCState(x, values, map_state(lambda own, its: torch.where(left(chosen, own[0]), own, its), *pairs))

    @classmethod
    def joined(cls, points: Sequence["MCMCState"]) -> "MCMCState":
        """The samples of one after those of another; without gradients unless all have them."""
        gradients = [point.gradients for point in points]
        known = None if any(one is None for one in gradients) else map_state(lambda *g: torch.cat(g, 1), *gradients)
        x = concatenate([point.x for point in points])
        return cls(x, torch.cat([point.values for point in points], 1), known)


@dataclass
class EvaluationCount:
    """Evaluations of an energy, counted sample by sample."""

    values: int = 0
    gradients: int = 0

    @property
    def evaluations(self) -> int:
        """With or without a gradient."""
        return self.values + self.gradients


@dataclass(frozen=True)
class BoltzmannFactor:
    """−E, of an energy of the user's; InputError with the place if it raises, or is not one real number a sample.

    Attributes:
        energy: of the code of x: numbers as they are and categories one-hot, dictionaries of both for a product.
        numbered: the energy takes categories by number, −1 where no position exists, and has no gradient by them.
        space: of x, where categories are numbered.
    """

    energy: Term
    numbered: bool = False
    space: Space | None = None

    def __post_init__(self) -> None:
        require_function(self, self.energy)

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"of": name_of(self.energy)}

    def __call__(self, code: Any) -> Float[Tensor, " batch"]:
        argument = code if self.space is None or not self.numbered else decoded(self.space, code, nothing=-1)
        value = _of_shape(called(self, self.energy, argument), argument)
        return -(value if value.is_floating_point() else value.double())


@members(of="of_energy", slope="gradient")
@dataclass(frozen=True)
class Density:
    """exp Σ_k w_k f_k on a space.

    Attributes:
        terms: functions of the code of x (numbers as they are, categories one-hot, a dictionary of both for a product),
            (batch, ...) → (batch,), differentiable where moves follow gradients.
        weights: one a term, a number or (batch,).
        noisy: the states are not clean data, so that categories may be masked.
        smooth: the terms have gradients by the code of categories, too.
        tally: counts the evaluations of the last term, the target's.
    """

    space: Space
    terms: tuple[Term, ...]
    weights: tuple[Time, ...] = (1.0,)
    noisy: bool = False
    smooth: bool = True
    tally: EvaluationCount = field(default_factory=EvaluationCount)

    @classmethod
    def of_energy(cls, energy: Term, space: Space, numbered: bool = False) -> "Density":
        """exp(−E).

        Args:
            energy: dimensionless (kT = 1), (batch, ...) → (batch,), of the code of x: numbers as they are, categories
                one-hot (batch, *positions, categories) with rows of zeros where no position exists, and a dictionary of
                both for a product.
            space: the kind of data.
            numbered: the energy takes categories by number, int64, −1 where no position exists: a program without
                gradients, such as a folding algorithm.
        """
        return cls(space, (BoltzmannFactor(energy, numbered, space),), smooth=not numbered)

    @classmethod
    def marginal(cls, denoiser: Denoiser, t: Time, condition: Condition | None = None) -> "Density":
        """The law of the noisy states at time t, of a denoiser that has a density.

        Args:
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        space = denoiser.space.with_mask((condition or {}).get("mask"))
        if isinstance(space, Categorical):
            of_letters = lambda code: denoiser.log_density(code.argmax(-1), t, condition)  # noqa: E731
            return cls(space, (of_letters,), noisy=True, smooth=False)
        return cls(space, (lambda x: denoiser.log_density(x, t, condition),), noisy=True)

    @property
    def states(self) -> int:
        """Of a position with categories: a mask is one only where states are noisy."""
        assert isinstance(self.space, Categorical), "states are of categories"
        return self.space.states if self.noisy else self.space.size

    def from_base(self, base: Callable[[Any], Tensor]) -> "Density":
        """The path base^{1 − β} self^β, at β = 0; `at_weights(1 − β, β)` walks it.

        base: its log-density of states, (batch, ...) → (batch,).
        """
        term = base if isinstance(self.space, Euclidean) else lambda code: base(self.state(code))
        return replace(self, terms=(term, *self.terms), weights=(1.0, *(0.0 for _ in self.weights)))

    def at_weights(self, *weights: Time) -> "Density":
        """The same terms with other weights, one a term."""
        return replace(self, weights=weights)

    def log_p(self, point: MCMCState) -> Float[Tensor, " batch"]:
        """Σ w_k f_k, −∞ where it is infinite or not a number."""
        return sum_of(self.weights, point.values)

    def gradient(self, point: MCMCState) -> Any:
        """Its gradient, by the code of x."""
        assert point.gradients is not None, "this point was found without slopes"
        return map_state(self._weighted, point.gradients)

    def _weighted(self, slopes: Float[Tensor, "terms batch ..."]) -> Float[Tensor, "batch ..."]:
        weights = [left(weight, slope).to(slope) for weight, slope in zip(self.weights, slopes, strict=True)]
        return torch.stack([torch.where(w == 0, 0.0, w * s) for w, s in zip(weights, slopes, strict=True)]).sum(0)

    def code(self, x: Any) -> Any:
        """Numbers as they are, categories one-hot; a dictionary of both for a product."""
        return encoded(self.space, x, self.noisy)

    def state(self, code: Any) -> Any:
        """What it is the code of."""
        return decoded(self.space, code)

    def features(self, x: Any) -> Float[Tensor, "batch features"]:
        """What samples can be compared by: all numbers, and of categories some random sums over their code."""
        return features_of(self.space, self.code(x))

    def at(self, x: Any, with_gradients: bool = True) -> MCMCState:
        """The terms at x, with their gradients if asked for; InputError if they are not one number a sample."""
        code = map_state(torch.Tensor.detach, self.code(x))
        if not with_gradients:
            self.tally.values += batch_size(code)
            with torch.no_grad():
                return MCMCState(x, torch.stack([_value(term, code) for term in self.terms]))
        self.tally.gradients += batch_size(code)
        pairs = [_value_and_slope(term, code) for term in self.terms]
        values, gradients = zip(*pairs, strict=True)
        each = [_projected(self.space, slope) for slope in gradients]
        return MCMCState(x, torch.stack(values), map_state(lambda *slopes: torch.stack(slopes), *each))


def encoded(space: Space, x: Any, noisy: bool = False) -> Any:
    """Numbers as they are, categories one-hot, with rows of zeros where nothing exists, a dictionary for a product.

    Args:
        space: the kind of data.
        x: states, (batch, ...): a tensor, or a dictionary of them for a product.
        noisy: the states are not clean data, so that a mask is one category more.
    """
    if isinstance(space, Product):
        return {name: encoded(part, x[name], noisy) for name, part in space.parts.items()}
    if not isinstance(x, Tensor):
        raise InputError(f"Markov chains move one tensor of numbers or categories, not {type(x).__name__}")
    if not isinstance(space, Categorical):
        return x
    code = torch.nn.functional.one_hot(x, space.states if noisy else space.size).double()
    return code if space.mask is None else code * space.existing(x)[..., None]


def decoded(space: Space, code: Any, nothing: int = 0) -> Any:
    """The states of a code.

    Args:
        space: the kind of data.
        code: as `encoded` makes it.
        nothing: the number of a category that does not exist.
    """
    if isinstance(space, Product):
        return {name: decoded(part, code[name], nothing) for name, part in space.parts.items()}
    if not isinstance(space, Categorical):
        return code
    x = code.argmax(-1)
    return x if space.mask is None or not nothing else torch.where(left(space.mask, x), x, nothing)


def features_of(space: Space, code: Any) -> Float[Tensor, "batch features"]:
    """All numbers, side by side; of categories sums over the code with random weights, since a letter may be rare.

    Args:
        space: the kind of data.
        code: as `encoded` makes it.
    """
    if isinstance(space, Product):
        return torch.cat([features_of(part, code[name]) for name, part in space.parts.items()], 1)
    flat = code.double().flatten(1)
    if not isinstance(space, Categorical):
        return flat
    return flat @ Keys.of(0, 1).normal(flat.shape[1], SUMS)[0].to(flat)


def sum_of(weights: Sequence[Time], values: Float[Tensor, "terms batch"]) -> Float[Tensor, " batch"]:
    """Σ w_k v_k, in which a weight of 0 leaves out what is infinite; −∞ where the sum is infinite or not a number."""
    parts = [torch.as_tensor(w, dtype=v.dtype, device=v.device) for w, v in zip(weights, values, strict=True)]
    total = torch.stack([torch.where(w == 0, 0.0, w * v) for w, v in zip(parts, values, strict=True)]).sum(0)
    return total.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)


def _value(term: Term, code: Any) -> Tensor:
    return _of_shape(term(code), code).double()


def _of_shape(value: Any, code: Any) -> Tensor:
    """The value of an energy, one real number a sample."""
    n, shapes = batch_size(code), " and ".join(str(tuple(leaf.shape)) for leaf in leaves(code))
    if not isinstance(value, Tensor) or value.shape != (n,):
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"the energy of {shapes} must be of shape ({n},), found {found}")
    if value.is_complex():
        raise InputError(f"the energy of {shapes} is complex, expected real numbers")
    return value


def _value_and_slope(term: Term, code: Any) -> tuple[Tensor, Any]:
    code = map_state(torch.Tensor.requires_grad_, code)
    with torch.enable_grad():
        value = _value(term, code)
        slope = gradient(value.sum(), code)
    if slope is None:
        return value.detach(), map_state(lambda leaf: torch.zeros_like(leaf, requires_grad=False), code)
    return value.detach(), map_state(torch.Tensor.detach, slope)


def _projected(space: Space, slope: Any) -> Any:
    """A gradient along the degrees of freedom."""
    if isinstance(space, Product):
        return {name: _projected(part, slope[name]) for name, part in space.parts.items()}
    return space.project(slope) if isinstance(space, Euclidean) else slope
