"""A space is one kind of data and what noise means for it; everything else in the engine is written against this page.

    x_t ~ q(x_t | x₀)                      noise
    x_s ~ p(x_s | x_t) = ∫ q(x_s | x_t, x₀) belief(dx₀)      step, for s < t; at s = 0 it is a draw from the data

`with_mask(mask)` binds a space to one batch of unequal sizes (molecules, sequences): positions that do not exist are
neither noised, nor moved, nor counted.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf
from typing import Any, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..beliefs import Belief
from ..deprecation import members
from ..errors import InputError
from ..keys import Keys
from ..schedules import Schedule
from ..states import State, Time

Mask = Bool[Tensor, "batch *positions"]


def require_shape(output: Any, expected: Sequence[int]) -> Tensor:
    """What a network returned, if it has the shape that a belief is made of: nothing is broadcast; else InputError."""
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if found != tuple(expected):
        raise InputError(f"the network returned {found}, expected a tensor of shape {tuple(expected)}")
    return output


class Transition(ABC):
    """The distribution of the next state given this one."""

    @abstractmethod
    def sample(self, keys: Keys) -> Any:
        """One next state a sample."""

    @abstractmethod
    def log_prob(self, x: State) -> Float[Tensor, " batch"]:
        """Log-density (continuous parts) or log-probability (categories) of x, nats.

        A deterministic move is a point mass: 0 at its point, −∞ elsewhere.
        """


@members(where="with_mask", certain="point_mass", steer="apply_score", shown="corrupt", clock="schedule_and_std")
class Space(ABC):
    """One kind of data under one noise process. Immutable; the noise schedule is part of it."""

    @property
    def schedule_and_std(self) -> tuple[Schedule, float] | None:
        """The schedule and the data's spread by which a flow's time is measured; None where there is no flow."""
        return None

    @abstractmethod
    def with_mask(self, mask: Mask | None) -> Self:
        """This space for one batch in which only the positions under the mask exist."""

    @abstractmethod
    def prior(self, keys: Keys) -> Any:
        """States of pure noise (t = 1), one a key."""

    @abstractmethod
    def noise(self, x0: State, t: Time, keys: Keys, since: Time = 0.0) -> Any:
        """x_t ~ q(x_t | x₀) for t a number, (batch,), or (batch, positions).

        With `since` > 0, x0 is a state at that earlier time and noise is added from there on.

        Args:
            keys: random keys, one a sample; they decide everything random.
        """

    def noising(self, x0: State, t: Time, since: Time = 0.0) -> Transition:
        """q(x_t | x₀), or q(x_t | x_since), which `noise` draws from; InputError where a space does not say it.

        Args:
            x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for
                a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            since: the earlier time from which noise is added; 0 = clean data.
        """
        raise InputError(f"{type(self).__name__} does not say how likely its noise is")

    def prior_law(self, device: torch.device | str = "cpu") -> Transition:
        """The distribution of pure noise, which `prior` draws from; InputError where a space does not say it.

        Args:
            device: where the tensors are.
        """
        raise InputError(f"{type(self).__name__} does not say how likely its noise is")

    @property
    def paced(self) -> bool:
        """Whether a path says how fast the flow goes along the clock: then even steps of the clock are its steps."""
        return False

    def own_times(self, t: Any) -> Any:
        """The time as a network is told it: t itself, or a dictionary, part → time, where parts have their own.

        Args:
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        """
        return t

    def average(self, past: Sequence[tuple[Time, Belief]], t: Time, s: Time, eta: float = 0.0) -> Belief:
        """The belief averaged over the step from t to s, for solvers of higher order.

        past: (time, belief) pairs to interpolate, latest last; it may hold the belief at s itself (a corrector).
        The latest, where a space has no flow to integrate.

        Args:
            eta: share of fresh noise in a step: 0 = deterministic, 1 = ancestral.
        """
        return past[-1][1]

    def correct(self, before: State, x: State, past: Sequence[tuple[Time, Belief]], t: Time, s: Time) -> Any:
        """The deterministic step from `before` at t to x at s, taken again with beliefs that include the one at s.

        x itself, where a space has no flow to integrate.

        Args:
            past: (time, belief) pairs, the latest last.
        """
        return x

    @abstractmethod
    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Transition:
        """The move from time t to s ≤ t under a belief about x₀.

        eta: how much fresh noise, 1 = ancestral, 0 = deterministic where the space has a deterministic flow.

        Args:
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
        """

    def corrupt(self, x0: State, t: Any, keys: Keys) -> Any:
        """What a network in training is shown of x₀ at time t: x_t.

        Args:
            x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for
                a product.
            t: time of the noise level: a number, (batch,), or (batch, positions); of a product also its parts' times.
            keys: random keys, one a sample; they decide everything random.
        """
        return self.noise(x0, t, keys)

    @abstractmethod
    def loss(self, belief: Belief, x0: State, x_t: State, t: Time) -> Float[Tensor, " batch"]:
        """Training loss a sample, weighted by noise level; proper: smallest in expectation for the true belief.

        Args:
            x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for
                a product.
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        """

    @abstractmethod
    def inputs(self, x_t: State, t: Time) -> Any:
        """x_t as a network should see it (unit variance)."""

    @abstractmethod
    def belief(self, output: Any, x_t: State, t: Time) -> Belief:
        """The belief that a network's raw output stands for (preconditioning; states ruled out by x_t).

        InputError, naming both shapes, if the output has not the shape that this space expects of x_t.

        Args:
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        """

    @abstractmethod
    def second_moment(self, belief: Belief, x_t: State, t: Time, reach: float = inf) -> Belief:
        """The belief with Tweedie's covariance, where it was differentiably computed from x_t.

        reach: the σ/α, in units of the data's spread, up to which the gradient is trusted. Beyond, the covariance goes
            over to that of Gaussian data: Tweedie's formula multiplies the gradient's error by σ²/α.

        Args:
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        """

    @abstractmethod
    def point_mass(self, x0: State) -> Belief:
        """The belief that has no doubt about x0; its mean is the code of x0 (itself, or one-hot)."""

    @abstractmethod
    def apply_score(self, belief: Belief, slope: State, t: Time, most: float = inf) -> Belief:
        """The belief given c, by the slope of log p(c | x_t) with respect to the code of x_t.

        Args:
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            most: that c may explain of the noise of a sample, in standard deviations, or of the odds of a category, in
                nats; steeper slopes are shortened.
        """

    @abstractmethod
    def check(self, x0: State, where: str = "data") -> None:
        """Raises InputError if x0 is not clean data of this space: a RecordError, where one record is at fault."""
