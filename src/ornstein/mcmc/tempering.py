"""Parallel tempering (Geyer 1991): the same density at several temperatures, which exchange their states.

Level k of the ladder follows base^{1 − β_k} target^{β_k}; neighbours exchange x_j and x_k with probability

    min(1, exp (β_j − β_k) (g(x_k) − g(x_j))),     g = log target − log base

The batch holds the levels one after another, the coldest first: with K levels, its first 1/K are the samples.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from ..deprecation import members, renamed
from ..errors import InputError
from ..keys import Keys
from .densities import Density, MCMCState
from .moves import HMC, Move, TransitionInfo


@renamed(ladder="inverse_temperatures")
@members(ladder="inverse_temperatures")
@dataclass(frozen=True, kw_only=True)
class ParallelTempering(Move):
    """A move within every level, then exchanges between neighbours, even and odd pairs in turn by chance.

    The density has one term, or base and target (`Density.from_base`); their weights are those of the ladder.

    Attributes:
        inverse_temperatures: β of the levels, falling from 1, to 0 at least.
        inner: the move within; its step is learnt level by level.
    """

    inverse_temperatures: tuple[float, ...]
    inner: HMC = field(default_factory=lambda: HMC(step_size=0.1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.inverse_temperatures, default=0) != 1 or any(
            a <= b for a, b in pairwise((*self.inverse_temperatures, -1e-300))
        ):
            raise InputError(
                f"inverse temperatures fall from 1, level by level, to 0 at least; these are "
                f"{self.inverse_temperatures}"
            )

    @property
    def target_accept(self) -> float:
        return self.inner.target_accept

    @property
    def tuned_step(self) -> Tensor:
        return self.inner.tuned_step.expand(len(self.inverse_temperatures))

    def evaluations(self, density: Density) -> int:
        return self.inner.evaluations(density)

    def with_step(self, step: Tensor) -> Self:
        """The same move with this step."""
        return replace(self, inner=self.inner.with_step(step))

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        """Acceptance is that of the moves within.

        Args:
            point: where the samples stand, with the values and gradients of the density's terms.
            density: the unnormalised density.
            keys: random keys, one a sample; they decide everything random.
        """
        tempered = density.at_weights(*self._weights(point, density))
        moved = self.inner.move(point, tempered, keys.fold("within"))
        gain = moved.point.values[-1] - (moved.point.values[0] if len(density.terms) > 1 else 0)
        order, swap_acceptance = self._exchange(gain.reshape(len(self.inverse_temperatures), -1), keys.fold("exchange"))
        return replace(moved, point=moved.point[order], swap_acceptance=swap_acceptance)

    def _weights(self, point: MCMCState, density: Density) -> list[Tensor]:
        beta = torch.tensor(self.inverse_temperatures, dtype=torch.float64, device=point.values.device)
        beta = beta.repeat_interleave(len(point.x) // len(self.inverse_temperatures))
        return [1 - beta, beta] if len(density.terms) > 1 else [beta]

    def _exchange(self, gain: Float[Tensor, "levels chains"], keys: Keys) -> tuple[Tensor, Tensor]:
        """The index of the state that each place of the batch gets, and how often each pair would have exchanged."""
        levels, chains = gain.shape
        beta = torch.tensor(self.inverse_temperatures, dtype=torch.float64, device=gain.device)
        rate = ((beta[:-1] - beta[1:])[:, None] * (gain[1:] - gain[:-1])).nan_to_num(-torch.inf).clamp(max=0).exp()
        first = keys[:1].fold("parity").uniform() < 0.5
        tried = torch.arange(levels - 1, device=gain.device) % 2 == first.long()
        chosen = tried[:, None] & (keys[: (levels - 1) * chains].uniform().reshape(levels - 1, chains) < rate)
        order = torch.arange(levels * chains, device=gain.device).reshape(levels, chains)
        up, down = torch.zeros_like(gain, dtype=torch.bool), torch.zeros_like(gain, dtype=torch.bool)
        up[:-1], down[1:] = chosen, chosen
        order = order + chains * (up.long() - down.long())
        return order.flatten(), torch.where(tried, rate.mean(1), torch.nan)
