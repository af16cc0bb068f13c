"""Exact denoisers of mixtures p(x₀) = Σ_k w_k p_k(x₀), of components whose noisy marginals have a closed form:

p(k | x_t) ∝ w_k p_k(x_t),      belief = Σ_k p(k | x_t) p_k(x₀ | x_t)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ..beliefs import Belief
from ..errors import InputError
from ..keys import Keys
from ..spaces import Categorical, TimePath
from ..spaces.categorical import draw
from ..states import State, Time
from .base import Condition, Denoiser, Traits, carry


class Components(ABC):
    """The components of a mixture over one space."""

    space: Any

    @abstractmethod
    def log_likelihood(self, x_t: State, t: Time) -> Float[Tensor, "batch components"]:
        """log p_k(x_t) up to a constant shared by the components."""

    @abstractmethod
    def belief(self, share: Float[Tensor, "batch components"], x_t: State, t: Time) -> Belief:
        """Σ_k share_k p_k(x₀ | x_t).

        Args:
            share: probability of each component, sample by sample, (batch, components).
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        """

    def along(self, path: TimePath) -> "Components":
        """The same components on another path through the times of their parts; InputError if they have none."""
        raise InputError(f"a path is for data of several parts, not for a {type(self.space).__name__} space")

    @abstractmethod
    def draw(self, component: Int[Tensor, " batch"], keys: Keys) -> Any:
        """Clean data from the given components."""


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Denoiser):
    """The exact denoiser of Σ_k weights_k p_k.

    Attributes:
        weights: (k), sum 1.
        components: the p_k.
        labels: an optional class for each component; the condition {"label": (batch,)} then keeps a class's components.
    """

    weights: Float[Tensor, " k"]
    components: Components
    labels: Int[Tensor, " k"] | None = None

    def __post_init__(self) -> None:
        space = self.components.space
        masks = isinstance(space, Categorical) and space.absorbing  # they hide tokens whatever the time
        carry(self, Traits(space, time_independent=masks))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        t = 0.5 if self.time_independent else t  # at t = 1 what is not hidden would be impossible
        log_weights = self._log_weights(condition) + self.components.log_likelihood(x_t, t)
        return self.components.belief(_share(log_weights, self.weights), x_t, t)

    def along(self, path: TimePath) -> Self:
        return replace(self, components=self.components.along(path))

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        """Of tokens the log-probability itself; −∞ where x_t is impossible.

        Args:
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        log_weights = self._log_weights(condition)
        return (log_weights + self.components.log_likelihood(x_t, t)).logsumexp(-1) - log_weights.logsumexp(-1)

    def _log_weights(self, condition: Condition | None) -> Float[Tensor, "*batch k"]:
        """Of the components under the condition; those of other labels have none."""
        if not condition or self.labels is None or "label" not in condition:
            return self.weights.log()
        other = self.labels != rearrange(condition["label"], "b -> b 1")
        return self.weights.log().masked_fill(other, -torch.inf)

    def draw(self, keys: Keys) -> Any:
        """Exact samples of the clean data."""
        component = draw(self.weights.expand(len(keys), -1), keys.fold("component"))
        return self.components.draw(component, keys.fold("draw"))


def _share(log_weights: Float[Tensor, "batch k"], prior: Float[Tensor, " k"]) -> Float[Tensor, "batch k"]:
    """Normalised weights; the prior's where x_t cannot have come from any component (as parallel draws can make it)."""
    impossible = log_weights.isneginf().all(-1, keepdim=True)
    return torch.where(impossible, prior.log(), log_weights).softmax(-1)
