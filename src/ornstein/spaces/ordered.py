"""Autoregression as noise: tokens are hidden from the end on, and revealed one after the other.

    log p(x₀) = Σ_k log p(x_{o(k)} | x_{o(1)}, …, x_{o(k−1)}),     o = start, start + 1, …, L, 1, …, start − 1

At time t the last t·L tokens of the order are masked. A causal network hides the future from itself, so that one look
at clean data trains all times at once, and the loss is the exact likelihood, not a bound. With start = 0 the order is
left to right; any other start puts the end before the beginning (fill in the middle, Bavarian et al. 2022).
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Int
from torch import Tensor

from ..beliefs import Belief, Probs
from ..keys import Keys
from ..schedules import RectifiedFlow, Schedule
from ..states import State, Time, as_time, left
from .base import require_shape
from .categorical import Categorical, Choice


@dataclass(frozen=True)
class Autoregressive(Categorical):
    """`size` categories at each of L positions, which are known in a fixed order.

    Attributes:
        start: the position that is known first.
    """

    start: int = 0

    @classmethod
    def of(cls, length: int, size: int, start: int = 0, schedule: Schedule = RectifiedFlow()) -> Self:
        """Sequences of a length over so many categories, known from the position `start` on."""
        return replace(cls.masked((length,), size, schedule), start=start)

    @property
    def rank(self) -> Int[Tensor, " positions"]:
        """When each position is known."""
        return (torch.arange(self.shape[0]) - self.start) % self.shape[0]

    def noise(self, x0: State, t: Time, keys: Keys, since: Time = 0.0) -> Int[Tensor, "batch positions"]:
        assert isinstance(x0, Tensor)
        return self._existing(torch.where(self._known(t, x0), x0, self.size))

    def noising(self, x0: State, t: Time, since: Time = 0.0) -> Choice:
        """Certain: what is hidden is decided by the time alone.

        Args:
            x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for
                a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            since: the earlier time from which noise is added; 0 = clean data.
        """
        assert isinstance(x0, Tensor)
        hidden = torch.where(self._known(t, x0), x0, self.size)
        return Choice(torch.nn.functional.one_hot(hidden, self.states).double().log(), x0, self.mask)

    def corrupt(self, x0: State, t: Time, keys: Keys) -> Any:
        """All tokens, each to those after it: numbers from `states` on are known to the teacher alone.

        Args:
            x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for
                a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            keys: random keys, one a sample; they decide everything random.
        """
        assert isinstance(x0, Tensor)
        return x0 + self.states

    def inputs(self, x_t: State, t: Time) -> Any:
        assert isinstance(x_t, Tensor)
        return x_t % self.states

    def belief(self, output: Any, x_t: State, t: Time) -> Probs:
        assert isinstance(x_t, Tensor)
        output = require_shape(output, (*x_t.shape, self.size))
        logits = torch.nn.functional.pad(output, (0, 1), value=-torch.inf)
        certain = torch.nn.functional.one_hot(x_t.clamp(max=self.size), self.states).to(logits).log()
        return Probs(torch.where((x_t < self.size)[..., None], certain, logits))

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Choice:
        """The next tokens of the order; one at a time on a grid of L steps.

        Args:
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            belief: p(x₀ | x_t), one a sample.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            s: the time to go to, at most t.
            eta: share of fresh noise in a step: 0 = deterministic, 1 = ancestral.
        """
        assert isinstance(x_t, Tensor)
        now = self.hidden(x_t) & self._known(s, x_t)
        stay = torch.nn.functional.one_hot(x_t, self.states).double()
        return Choice(torch.where(now[..., None], belief.mean.double(), stay).log(), x_t, self.mask)

    def _nats(self, belief: Probs, x0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        return -belief.log_probs.gather(-1, x0[..., None]).squeeze(-1)

    def _known(self, t: Time, like: Tensor) -> Tensor:
        """Which positions come early enough to be known at time t."""
        known = torch.round((1 - as_time(t, like)) * self.shape[0])
        return self.rank.to(like.device) < left(known, like)
