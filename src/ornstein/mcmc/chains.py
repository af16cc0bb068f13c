"""Long chains: many at once, a warm-up that is thrown away, and what R̂ says of the rest.

chains = run(HMC(), Density.of(energy, space), start, Keys.of(seed, len(start)), draws=1000, warmup=200)
chains.x                (draws, chains, ...)
chains.r_hat            ≤ 1.01, or they have not forgotten where they started
"""

from dataclasses import dataclass
from math import nan

import torch
from jaxtyping import Float
from torch import Tensor

from ..deprecation import members
from ..errors import InputError
from ..events import Stream, part, streamed
from ..keys import Keys
from ..sampling.convergence import chain_ess, r_hat
from .densities import Density
from .moves import Move, repeated, warmed
from .tempering import ParallelTempering


@members(swaps="swap_acceptance")
@dataclass(frozen=True)
class Chains:
    """Draws of many chains.

    Attributes:
        x: the states, (draws, chains, ...).
        log_p: up to a constant, nats.
        acceptance: mean over the draws, one number, or one a temperature.
        swap_acceptance: mean exchange rate of neighbouring temperatures, if there are any.
        move: the move with the step that was learnt.
        gradients: evaluations of the target, warm-up included (values, for moves that need no gradient).
        divergences: proposals of HMC after the warm-up whose energy went astray; more than a few say that the step is
            too long somewhere, and the samples too few there.
    """

    x: Float[Tensor, "draws chains ..."] | Tensor
    log_p: Float[Tensor, "draws chains"]
    acceptance: Float[Tensor, "*groups"]
    swap_acceptance: Float[Tensor, " pairs"] | None
    move: Move
    gradients: int
    divergences: int = 0

    @property
    def r_hat(self) -> float:
        """The largest of log p and all coordinates that vary (rank-normalised, split; Vehtari et al. 2021).

        NaN if nothing varies at all.
        """
        return max((r_hat(values) for values in self._quantities()), default=nan)

    @property
    def ess(self) -> float:
        """The smallest effective sample size, bulk or tail, of log p and all coordinates that vary; else NaN."""
        return min((chain_ess(values) for values in self._quantities()), default=nan)

    def _quantities(self) -> list[Float[Tensor, "chains draws"]]:
        every = [self.log_p.T, *self.x.double().flatten(2).permute(2, 1, 0)]
        return [values for values in every if (values != values[0, 0]).any()]


@streamed
def run(
    move: Move, density: Density, x: Tensor, keys: Keys, draws: int, warmup: int = 0, thin: int = 1
) -> Stream[Chains]:
    """Chains from x, (chains, ...), one key a chain.

    Args:
        move: of `ParallelTempering` x holds all levels, coldest first, and the coldest alone is kept.
        draws: kept of each chain, every `thin` moves.
        warmup: moves in which the step is learnt, not kept.
        density: the unnormalised density to sample.
        keys: random keys, one a sample; they decide everything random.
    """
    levels = len(move.inverse_temperatures) if isinstance(move, ParallelTempering) else 1
    if draws < 1 or thin < 1 or len(x) % levels:
        raise InputError(
            f"draws and thin are 1 or more, and x {levels} levels: not {draws}, {thin} and {len(x)} states"
        )
    before = density.tally.evaluations
    total, start = warmup + draws * thin, density.at(x, move.needs_gradients)
    move, point = yield from part(warmed.events(move, density, start, keys.fold("warmup"), warmup), 0, warmup, total)
    chains, kept, log_p, rates, swap_acceptance, divergences = len(x) // levels, [], [], [], [], 0
    for k in range(draws):
        thinned = repeated.events(move, point, density, keys.fold("draws").fold(k), thin)
        moved = yield from part(thinned, warmup + k * thin, thin, total)
        point = moved.point
        kept.append(point.x[:chains])
        log_p.append(point.values[-1, :chains] if levels > 1 else density.log_p(point))
        rates.append(moved.acceptance)
        divergences += int(moved.divergences)
        swap_acceptance += [moved.swap_acceptance] if moved.swap_acceptance is not None else []
    acceptance = torch.stack(rates).mean(0).reshape(levels, chains).mean(1)
    return Chains(
        torch.stack(kept),
        torch.stack(log_p),
        acceptance if levels > 1 else acceptance[0],
        torch.stack(swap_acceptance).nanmean(0) if swap_acceptance else None,
        move,
        density.tally.evaluations - before,
        divergences,
    )


def levels_of(x: Tensor, inverse_temperatures: tuple[float, ...]) -> Tensor:
    """States of as many chains at every level of a ladder, for `ParallelTempering`.

    Args:
        x: the states of the chains, (chains, ...).
        inverse_temperatures: of the ladder, falling from 1.
    """
    return x.repeat(len(inverse_temperatures), *(1 for _ in x.shape[1:]))
