"""p(x₀ | x_t): what a denoiser thinks the clean data is.

Beliefs are exponential families, and everything the engine does to them is linear in their natural parameters:

    tilt         p(x₀) exp(g·x₀)           guidance by a gradient g; its size is the cumulant log E exp g·(x₀ − mean)
    extrapolate  b + Σ w_i (b − b_i)       a higher-order solver (b_i: earlier beliefs), classifier-free guidance
                                           (b_i: the belief without the condition)

For a Normal the mean moves by Cov·g (the covariance is held fixed); for Probs the logits move by g.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .covariances import Counted, Covariance, Weighted, dense, written
from .effort import Effort, Tally
from .errors import InputError
from .states import State, Time, left, per_sample_sum


class Belief(ABC):
    """A distribution over x₀, factored over the batch.

    Attributes:
        mean: E[x₀ | x_t], a state; for categories the probabilities.
        tally: of what it took to form it, where that is counted: see `element_count`.
    """

    mean: Any
    tally: Tally | None = None

    @abstractmethod
    def tilt(self, gradient: State) -> Self:
        """The belief times exp(gradient · x₀), renormalised."""

    @abstractmethod
    def covary(self, v: State) -> Any:
        """Cov · v."""

    @abstractmethod
    def cumulant(self, gradient: State) -> Float[Tensor, " batch"]:
        """log E exp(gradient · (x₀ − mean)), nats: what a tilt by that gradient gains over its value at the mean."""

    @abstractmethod
    def extrapolate(self, others: Sequence[Any], weights: Sequence[Time]) -> Self:
        """self + Σ w_i (self − others_i) in natural parameters; weights are numbers or (batch, ...) tensors."""

    def settled(self) -> Self:
        """What the past keeps of it: a covariance only where it is written down, as one that is applied by gradients
        holds all the network remembers of its call; and without autograd's graph, unless gradients are being taken.
        """
        return self


@dataclass(frozen=True)
class Normal(Belief):
    """A Gaussian belief over continuous data.

    Attributes:
        mean: E[x₀ | x_t], (batch, ...).
        cov: Cov[x₀ | x_t] as a linear map on tensors of that shape; None if only the mean is known.
    """

    mean: Float[Tensor, "batch ..."]
    cov: Covariance | None = None
    tally: Tally | None = field(default=None, compare=False, repr=False)

    def tilt(self, gradient: State) -> Self:
        return replace(self, mean=self.mean + self.covary(gradient))

    def covary(self, v: State) -> Tensor:
        return self.spread(_tensor(v))

    def cumulant(self, gradient: State) -> Float[Tensor, " batch"]:
        return per_sample_sum(_tensor(gradient) * self.covary(gradient)) / 2

    @property
    def spread(self) -> Covariance:
        """The covariance; InputError if only the mean is known."""
        if self.cov is None:
            raise InputError("tilting a Normal belief needs its covariance: see ornstein.with_covariance")
        return self.cov

    def spelled_out(self) -> "Normal":
        """The belief with its covariance as a matrix a sample, from which it can be drawn."""
        return Normal(self.mean, dense(self.spread, self.mean))

    def extrapolate(self, others: Sequence[Any], weights: Sequence[Time]) -> Self:
        # by differences, 0 where all agree, so that hard constraints stay to the last bit; lerp spares a pass
        mean = torch.lerp(self.mean, others[0].mean, _weight(-weights[0], self.mean))
        for other, weight in zip(others[1:], weights[1:], strict=True):
            mean = added(mean, self.mean - other.mean, weight)
        return type(self)(mean, self.cov)

    def settled(self) -> Self:
        mean, cov = _at_rest(self.mean), self.cov
        if cov is None or written(cov):
            return self if mean is self.mean else replace(self, mean=mean)
        return replace(self, mean=mean, cov=None)


@dataclass(frozen=True)
class Probs(Belief):
    """An independent categorical belief at every position.

    Attributes:
        logits: unnormalised log-probabilities, (batch, *positions, states); −∞ rules a state out.
        exists: the positions that do; the others have no category, and rows of zeros in the mean. None = all.
    """

    logits: Float[Tensor, "batch *positions states"]
    exists: Bool[Tensor, "batch *positions"] | None = None
    tally: Tally | None = field(default=None, compare=False, repr=False)

    @property
    def log_probs(self) -> Float[Tensor, "batch *positions states"]:
        """Normalised log-probabilities."""
        return self._existing.log_softmax(-1)

    @property
    def mean(self) -> Float[Tensor, "batch *positions states"]:
        """Probabilities, which are the mean of the one-hot code."""
        probs = self._existing.softmax(-1)
        return probs if self.exists is None else probs * self.exists[..., None]

    @property
    def _existing(self) -> Tensor:
        """The logits, all alike where nothing exists: there every state may be ruled out, which has no softmax."""
        return self.logits if self.exists is None else self.logits.masked_fill(~self.exists[..., None], 0.0)

    def tilt(self, gradient: State) -> Self:
        return replace(self, logits=self.logits + _tensor(gradient))

    def covary(self, v: State) -> Tensor:
        v = _tensor(v)
        return self.mean * (v - (self.mean * v).sum(-1, keepdim=True))

    def cumulant(self, gradient: State) -> Float[Tensor, " batch"]:
        g = _tensor(gradient)
        each = (self.log_probs + g).logsumexp(-1) - (self.mean * g).sum(-1)
        return per_sample_sum(each if self.exists is None else each.where(self.exists, 0.0))

    def extrapolate(self, others: Sequence[Any], weights: Sequence[Time]) -> Self:
        start = total = self.log_probs
        for other, weight in zip(others, weights, strict=True):
            change = _weight(weight, total) * (start - other.log_probs)
            total = total + torch.where(change < torch.inf, change, 0.0)  # −∞ − (−∞): ruled out in both, stays so
        nothing = total.isneginf().all(-1, keepdim=True)  # they contradict one another: the first is believed
        return replace(self, logits=torch.where(nothing, start, total))

    def settled(self) -> Self:
        logits = _at_rest(self.logits)
        return self if logits is self.logits else replace(self, logits=logits)


@dataclass(frozen=True)
class Joint(Belief):
    """A belief a part of a product space; the parts are independent given x_t."""

    parts: Mapping[str, Belief]
    tally: Tally | None = field(default=None, compare=False, repr=False)

    @property
    def mean(self) -> dict[str, Any]:
        """The means of the parts, by name."""
        return {name: part.mean for name, part in self.parts.items()}

    def __getitem__(self, name: str) -> Belief:
        return self.parts[name]

    def tilt(self, gradient: State) -> Self:
        """Tilts the parts that the gradient names; the others stay."""
        assert isinstance(gradient, Mapping), "the gradient of a joint belief is a dictionary"
        tilted = {name: self.parts[name].tilt(part) for name, part in gradient.items()}
        return replace(self, parts={**self.parts, **tilted})

    def covary(self, v: State) -> dict[str, Any]:
        assert isinstance(v, Mapping), "a joint belief covaries with a dictionary"
        return {name: self.parts[name].covary(part) for name, part in v.items()}

    def cumulant(self, gradient: State) -> Float[Tensor, " batch"]:
        assert isinstance(gradient, Mapping), "the gradient of a joint belief is a dictionary"
        return torch.stack([self.parts[name].cumulant(part) for name, part in gradient.items()]).sum(0)

    def extrapolate(self, others: Sequence[Any], weights: Sequence[Time]) -> Self:
        parts = {
            name: part.extrapolate([other.parts[name] for other in others], weights)
            for name, part in self.parts.items()
        }
        return replace(self, parts=parts)

    def settled(self) -> Self:
        return replace(self, parts={name: part.settled() for name, part in self.parts.items()})


def counted(belief: Any, tally: Tally, gradients: int) -> Any:
    """The belief with a tally, in which each product with a covariance that asks the network counts as `gradients`."""
    if isinstance(belief, Joint):
        return Joint({name: counted(part, tally, gradients) for name, part in belief.parts.items()}, tally)
    if isinstance(belief, Normal) and belief.cov is not None and not written(belief.cov):
        return replace(belief, cov=Counted(belief.cov, tally, gradients), tally=tally)
    return tallied(belief, tally)


def tallied(belief: Any, tally: Tally | None) -> Any:
    """The belief with another tally, where it has a place for one."""
    return replace(belief, tally=tally) if isinstance(belief, Normal | Probs | Joint) else belief


def with_mean(belief: Any, before: State, mean: State) -> Any:
    """The belief with another mean, where that of continuous data has changed.

    Args:
        belief: a Normal, or a Joint of some.
        before: its mean as it was.
        mean: the same object, or another.
    """
    if isinstance(belief, Joint):
        assert isinstance(before, Mapping)
        assert isinstance(mean, Mapping)
        return replace(belief, parts={k: with_mean(one, before[k], mean[k]) for k, one in belief.parts.items()})
    return replace(belief, mean=mean) if isinstance(belief, Normal) and mean is not before else belief


def combined(terms: Sequence[tuple[Time, Belief]]) -> Belief:
    """Σ_k w_k b_k in natural parameters, for weights of sum 1; a Normal's covariance is that of its mean's slope."""
    (_, first), *rest = terms
    if not rest:
        return first
    belief = _with_slope(first.extrapolate([other for _, other in rest], [-weight for weight, _ in rest]), terms)
    efforts = [term.tally.effort for _, term in terms if term.tally is not None]
    return tallied(belief, Tally(sum(efforts, Effort()))) if efforts else belief


def _with_slope(belief: Any, terms: Sequence[tuple[Time, Any]]) -> Any:
    """The combined belief with the covariance Σ w_k C_k, where all terms know theirs."""
    if isinstance(belief, Joint):
        parts = {name: [(weight, term[name]) for weight, term in terms] for name in belief.parts}
        return Joint({name: _with_slope(part, parts[name]) for name, part in belief.parts.items()})
    if not isinstance(belief, Normal):
        return belief
    covs = [(weight, term.cov) for weight, term in terms]
    return Normal(belief.mean, None if any(cov is None for _, cov in covs) else Weighted(tuple(covs)))


def _tensor(state: State) -> Tensor:
    assert isinstance(state, Tensor), "a single belief is tilted by a single tensor"
    return state


def added(x: Tensor, y: Tensor, weight: Time) -> Tensor:
    """x + weight · y in one pass where weight is a number."""
    return x + left(weight, y).to(y) * y if isinstance(weight, Tensor) else torch.add(x, y, alpha=weight)


def _at_rest(x: Tensor) -> Tensor:
    """x without its graph, unless gradients are being taken."""
    return x.detach() if x.requires_grad and not torch.is_grad_enabled() else x


def _weight(weight: Time, like: Tensor) -> Tensor | float:
    return weight if isinstance(weight, int | float) else left(weight, like).to(like.dtype)
