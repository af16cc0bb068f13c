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
from ..spaces import Categorical, Euclidean, Space
from ..states import Time, left

Term = Callable[[Tensor], Tensor]


@members(slopes="gradients")
@dataclass(frozen=True)
class MCMCState:
    """Where samples stand.

    Attributes:
        x: the state.
        values: f_k(x), nats, float64.
        gradients: ∇f_k(x) by the code of x; None where only values were asked for.
    """

    x: Float[Tensor, "batch ..."] | Any
    values: Float[Tensor, "terms batch"]
    gradients: Float[Tensor, "terms batch ..."] | None = None

    def __getitem__(self, index: Any) -> "MCMCState":
        gradients = None if self.gradients is None else self.gradients[:, index]
        return MCMCState(self.x[index], self.values[:, index], gradients)

    def where(self, chosen: Tensor, other: "MCMCState") -> "MCMCState":
        """This point for the samples chosen (batch,), the other for the rest."""
        x = torch.where(left(chosen, self.x), self.x, other.x)
        values = torch.where(chosen, self.values, other.values)
        if self.gradients is None or other.gradients is None:
            return MCMCState(x, values)
        return MCMCState(x, values, torch.where(left(chosen, self.gradients[0]), self.gradients, other.gradients))


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
    """−E, of an energy of the user's; InputError with the place if it raises, or is not one real number a sample."""

    energy: Term

    def __post_init__(self) -> None:
        require_function(self, self.energy)

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"of": name_of(self.energy)}

    def __call__(self, code: Tensor) -> Float[Tensor, " batch"]:
        value = _of_shape(called(self, self.energy, code), code)
        return -(value if value.is_floating_point() else value.double())


@members(of="of_energy", slope="gradient")
@dataclass(frozen=True)
class Density:
    """exp Σ_k w_k f_k on a space.

    Attributes:
        terms: functions of the code of x (numbers as they are, categories one-hot), (batch, ...) → (batch,),
            differentiable.
        weights: one a term, a number or (batch,).
        noisy: the states are not clean data, so that categories may be masked.
        tally: counts the evaluations of the last term, the target's.
    """

    space: Space
    terms: tuple[Term, ...]
    weights: tuple[Time, ...] = (1.0,)
    noisy: bool = False
    tally: EvaluationCount = field(default_factory=EvaluationCount)

    @classmethod
    def of_energy(cls, energy: Term, space: Space) -> "Density":
        """exp(−E)."""
        return cls(space, (BoltzmannFactor(energy),))

    @classmethod
    def marginal(cls, denoiser: Denoiser, t: Time, condition: Condition | None = None) -> "Density":
        """The law of the noisy states at time t, of a denoiser that has a density.

        Args:
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        space = denoiser.space.with_mask((condition or {}).get("mask"))
        if isinstance(space, Categorical):
            return cls(space, (lambda code: denoiser.log_density(code.argmax(-1), t, condition),), noisy=True)
        return cls(space, (lambda x: denoiser.log_density(x, t, condition),), noisy=True)

    @property
    def states(self) -> int:
        """Of a position with categories: a mask is one only where states are noisy."""
        assert isinstance(self.space, Categorical), "states are of categories"
        return self.space.states if self.noisy else self.space.size

    def from_base(self, base: Term) -> "Density":
        """The path base^{1 − β} self^β, at β = 0; `at_weights(1 − β, β)` walks it."""
        return replace(self, terms=(base, *self.terms), weights=(1.0, *(0.0 for _ in self.weights)))

    def at_weights(self, *weights: Time) -> "Density":
        return replace(self, weights=weights)

    def log_p(self, point: MCMCState) -> Float[Tensor, " batch"]:
        """Σ w_k f_k, −∞ where it is infinite or not a number."""
        return sum_of(self.weights, point.values)

    def gradient(self, point: MCMCState) -> Tensor:
        """Its gradient, by the code of x."""
        assert point.gradients is not None, "this point was found without slopes"
        weights = [left(weight, slope).to(slope) for weight, slope in zip(self.weights, point.gradients, strict=True)]
        return torch.stack(
            [torch.where(w == 0, 0.0, w * s) for w, s in zip(weights, point.gradients, strict=True)]
        ).sum(0)

    def code(self, x: Any) -> Tensor:
        """Numbers as they are, categories one-hot."""
        if not isinstance(x, Tensor):
            raise InputError(f"Markov chains move one tensor of numbers or categories, not {type(x).__name__}")
        return self.space.point_mass(x).mean if isinstance(self.space, Categorical) else x

    def at(self, x: Any, with_gradients: bool = True) -> MCMCState:
        """The terms at x, with their gradients if asked for; InputError if they are not one number a sample."""
        code = self.code(x).detach()
        if not with_gradients:
            self.tally.values += len(code)
            with torch.no_grad():
                return MCMCState(x, torch.stack([_value(term, code) for term in self.terms]))
        self.tally.gradients += len(code)
        pairs = [_value_and_slope(term, code) for term in self.terms]
        values, gradients = zip(*pairs, strict=True)
        return MCMCState(x, torch.stack(values), self._projected(torch.stack(gradients)))

    def _projected(self, gradients: Tensor) -> Tensor:
        if not isinstance(self.space, Euclidean):
            return gradients
        return torch.stack([self.space.project(slope) for slope in gradients])


def sum_of(weights: Sequence[Time], values: Float[Tensor, "terms batch"]) -> Float[Tensor, " batch"]:
    """Σ w_k v_k, in which a weight of 0 leaves out what is infinite; −∞ where the sum is infinite or not a number."""
    parts = [torch.as_tensor(w, dtype=v.dtype, device=v.device) for w, v in zip(weights, values, strict=True)]
    total = torch.stack([torch.where(w == 0, 0.0, w * v) for w, v in zip(parts, values, strict=True)]).sum(0)
    return total.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)


def _value(term: Term, code: Tensor) -> Tensor:
    return _of_shape(term(code), code).double()


def _of_shape(value: Any, code: Tensor) -> Tensor:
    """The value of an energy, one real number a sample."""
    if not isinstance(value, Tensor) or value.shape != code.shape[:1]:
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"the energy of {tuple(code.shape)} must be of shape ({len(code)},), found {found}")
    if value.is_complex():
        raise InputError(f"the energy of {tuple(code.shape)} is complex, expected real numbers")
    return value


def _value_and_slope(term: Term, code: Tensor) -> tuple[Tensor, Tensor]:
    code = code.requires_grad_()
    with torch.enable_grad():
        value = _value(term, code)
        if not value.requires_grad:
            return value, torch.zeros_like(code)
        (slope,) = torch.autograd.grad(value.sum(), code, materialize_grads=True)
    return value.detach(), slope.detach()
