"""p(x₀ | x_t): what a denoiser thinks the clean data is.

Beliefs are exponential families, and everything the engine does to them is linear in their natural parameters:

    tilt         p(x₀) exp(g·x₀)           guidance by a gradient g
    extrapolate  b + Σ w_i (b − b_i)       a higher-order solver (b_i: earlier beliefs), classifier-free guidance
                                           (b_i: the belief without the condition)

For a Normal the mean moves by Cov·g (the covariance is held fixed); for Probs the logits move by g.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from .states import State, Time, left


@runtime_checkable
class Covariance(Protocol):
    """A symmetric linear map on tensors shaped like the mean, sample by sample."""

    def __call__(self, v: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Diagonal:
    """Independent coordinates with the given variance, which broadcasts against the mean."""

    variance: Tensor

    def __call__(self, v: Tensor) -> Tensor:
        return self.variance * v


@dataclass(frozen=True)
class Dense:
    """A matrix a sample over the flattened event."""

    matrix: Float[Tensor, "batch d d"]

    def __call__(self, v: Tensor) -> Tensor:
        return torch.einsum("bij,bj->bi", self.matrix, v.flatten(1)).reshape(v.shape)


@dataclass(frozen=True)
class Tweedie:
    """Cov[x₀ | x_t] = (σ²/α) ∂x̂₀/∂x_t, applied by a vector–Jacobian product (the Jacobian is symmetric).

    x_t must have been the input of a differentiable computation of mean. Where α = 0 the formula is 0/0 and x_t says
    nothing: there scale is 0 and `prior`, the variance of the data, takes its place. `project` is the space's projector
    onto its degrees of freedom. Source: Tweedie's second-order formula, e.g. Boys et al. 2023 (arXiv 2310.06721).
    """

    mean: Tensor
    x_t: Tensor
    scale: Tensor
    prior: Tensor | float = 0.0
    project: Callable[[Tensor], Tensor] = lambda v: v

    def __call__(self, v: Tensor) -> Tensor:
        v = self.project(v)
        (product,) = torch.autograd.grad(self.mean, self.x_t, v, retain_graph=True)
        return self.project(self.scale * product + self.prior * v)


class Belief(ABC):
    """A distribution over x₀, factored over the batch.

    Attributes:
        mean: E[x₀ | x_t], a state; for categories the probabilities.
    """

    mean: Any

    @abstractmethod
    def tilt(self, gradient: State) -> Self:
        """The belief times exp(gradient · x₀), renormalised."""

    @abstractmethod
    def extrapolate(self, others: Sequence[Any], weights: Sequence[Time]) -> Self:
        """self + Σ w_i (self − others_i) in natural parameters; weights are numbers or (batch, ...) tensors."""


@dataclass(frozen=True)
class Normal(Belief):
    """A Gaussian belief over continuous data.

    Attributes:
        mean: E[x₀ | x_t], (batch, ...).
        cov: Cov[x₀ | x_t] as a linear map on tensors of that shape; None if only the mean is known.
    """

    mean: Float[Tensor, "batch ..."]
    cov: Covariance | None = None

    def tilt(self, gradient: State) -> Self:
        if self.cov is None:
            raise ValueError("tilting a Normal belief needs its covariance: see ornstein.with_covariance")
        return replace(self, mean=self.mean + self.cov(_tensor(gradient)))

    def extrapolate(self, others: Sequence[Any], weights: Sequence[Time]) -> Self:
        # by differences, 0 where all agree, so that hard constraints stay to the last bit; lerp spares a pass
        mean = torch.lerp(self.mean, others[0].mean, _weight(-weights[0], self.mean))
        for other, weight in zip(others[1:], weights[1:], strict=True):
            mean = added(mean, self.mean - other.mean, weight)
        return type(self)(mean, self.cov)


@dataclass(frozen=True)
class Probs(Belief):
    """An independent categorical belief at every position.

    Attributes:
        logits: unnormalised log-probabilities, (batch, *positions, states); −∞ rules a state out.
    """

    logits: Float[Tensor, "batch *positions states"]

    @property
    def log_probs(self) -> Float[Tensor, "batch *positions states"]:
        """Normalised log-probabilities."""
        return self.logits.log_softmax(-1)

    @property
    def mean(self) -> Float[Tensor, "batch *positions states"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Probabilities, which are the mean of the one-hot code."""
        return self.logits.softmax(-1)

    def tilt(self, gradient: State) -> Self:
        return replace(self, logits=self.logits + _tensor(gradient))

    def extrapolate(self, others: Sequence[Any], weights: Sequence[Time]) -> Self:
        start = total = self.log_probs
        for other, weight in zip(others, weights, strict=True):
            change = start - other.log_probs
            change = torch.where(change.isfinite(), change, 0.0)  # −∞ − (−∞): ruled out in both, stays so
            total = total + _weight(weight, total) * change
        return replace(self, logits=total)


@dataclass(frozen=True)
class Joint(Belief):
    """A belief a part of a product space; the parts are independent given x_t."""

    parts: Mapping[str, Belief]

    @property
    def mean(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return {name: part.mean for name, part in self.parts.items()}

    def __getitem__(self, name: str) -> Belief:
        return self.parts[name]

    def tilt(self, gradient: State) -> Self:
        """Tilts the parts that the gradient names; the others stay."""
        assert isinstance(gradient, Mapping), "the gradient of a joint belief is a dictionary"
        tilted = {name: self.parts[name].tilt(part) for name, part in gradient.items()}
        return replace(self, parts={**self.parts, **tilted})

    def extrapolate(self, others: Sequence[Any], weights: Sequence[Time]) -> Self:
        parts = {
            name: part.extrapolate([other.parts[name] for other in others], weights)
            for name, part in self.parts.items()
        }
        return replace(self, parts=parts)


def _tensor(state: State) -> Tensor:
    assert isinstance(state, Tensor), "a single belief is tilted by a single tensor"
    return state


def added(x: Tensor, y: Tensor, weight: Time) -> Tensor:
    """x + weight · y in one pass where weight is a number."""
    return x + left(weight, y).to(y) * y if isinstance(weight, Tensor) else torch.add(x, y, alpha=weight)


def _weight(weight: Time, like: Tensor) -> Tensor | float:
    return weight if isinstance(weight, int | float) else left(weight, like).to(like.dtype)
