"""Annealed sequential Monte Carlo: from a distribution that can be drawn to one that can only be weighed.

A population walks the path π_β ∝ base^{1 − β} p^β (Neal 2001; Del Moral et al. 2006). At every β it is weighed by
(p/base)^{Δβ}, resampled, and moved by a kernel that leaves π_β as it is. Δβ is as large as the effective sample size
allows (Jasra et al. 2011). The product of the mean weights estimates Z = ∫ p, whatever the moves achieve.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError
from ..events import Event, Stream, streamed
from ..keys import Keys
from ..sampling.diagnostics import effective_sample_size, family_error, log_mean_exp, systematic
from ..spaces import Transition
from .densities import Density, Point
from .moves import HMC, repeated

LEVELS = 200
"""The most temperatures on the way."""


@dataclass(frozen=True)
class Annealed:
    """A population that has arrived.

    Attributes:
        point: where its equally weighted samples stand.
        eve: which first particle each descends from.
        log_evidence: log ∫ p, where the base is normalised.
        error: its standard error, from the scatter of the families.
        ladder: the β that were visited.
        acceptance: of the moves at each.
    """

    point: Point
    eve: Int[Tensor, " n"]
    log_evidence: float
    error: float
    ladder: tuple[float, ...]
    acceptance: tuple[float, ...]

    @property
    def families(self) -> int:
        return len(self.eve.unique())

    @property
    def collapsed(self) -> bool:
        """Whether too few of the first particles have descendants to trust the answer."""
        return self.families < 10


@streamed
def anneal(
    density: Density,
    base: Transition,
    keys: Keys,
    move: HMC | None = None,
    moves: int = 3,
    share: float = 0.7,
    dtype: torch.dtype = torch.float64,
) -> Stream[Annealed]:
    """Walks a population of one particle a key from the base to the density.

    Args:
        density: InputError if it is finite at none of the first particles, or 200 temperatures do not lead to it.
        base: normalised, and wide enough: what it does not reach is not found.
        move: HMC of five steps if not given; its first step is in units of the base's spread, and after each β it
            follows the acceptance.
        moves: at each β.
        share: the effective sample size that a change of β leaves.
    """
    path = density.from_base(lambda x: base.log_prob(x))
    point = path.at(base.sample(keys.fold("base")).to(dtype))
    if not point.values[1].isfinite().any():
        raise InputError(f"the energy is infinite or not a number at each of {len(keys)} points to start from")
    move = move or HMC(step=0.3, leaps=5)
    move, eve = move.with_step(move.step_size * point.x.std()), torch.arange(len(keys), device=point.x.device)
    ladder, rates, log_z, error = [0.0], [], torch.zeros((), dtype=torch.float64), 0.0
    while ladder[-1] < 1:
        gain = (point.values[1] - point.values[0]).nan_to_num(nan=-torch.inf, posinf=-torch.inf)
        ladder.append(ladder[-1] + _largest(gain, 1 - ladder[-1], share))
        _require_progress(ladder)
        weights = (ladder[-1] - ladder[-2]) * gain
        k = keys.fold(len(ladder))
        index = systematic(weights, k[:1].fold("resample").uniform()[0])
        log_z, error = log_z + log_mean_exp(weights).cpu(), float(family_error(weights, eve))
        at = path.at_weights(1 - ladder[-1], ladder[-1])
        moved = repeated(move, point[index], at, k.fold("moves"), moves)
        point, eve = moved.point, eve[index]
        yield Event(_come(ladder[-1]), 100, "annealing", point.x)
        rates.append(moved.acceptance.mean().item())
        move = move.with_step(move.step_size * torch.tensor(2 * (rates[-1] - move.goal)).exp())
    return Annealed(_last(point), eve, float(log_z), error, tuple(ladder), tuple(rates))


def _come(beta: float) -> int:
    """How far, of 100: the first temperatures are the closest, so that β itself would stand still and then leap."""
    return round(100 * beta**0.25)


def _require_progress(ladder: Sequence[float]) -> None:
    if len(ladder) > LEVELS or ladder[-1] == ladder[-2]:
        raise InputError(
            f"exp(−E) is not reached in {len(ladder) - 1} temperatures: it is too far from where the population "
            "starts, or has no integral"
        )


def _last(point: Point) -> Point:
    """The point of the density alone."""
    assert point.slopes is not None
    return replace(point, values=point.values[1:], slopes=point.slopes[1:])


def _largest(gain: Float[Tensor, " n"], most: float, share: float) -> float:
    """The largest Δβ ≤ most that leaves the effective sample size, by bisection of its logarithm."""
    if _share(most * gain) >= share:
        return most
    low, high = -40.0, 0.0  # powers of e, in units of `most`
    for _ in range(50):
        middle = (low + high) / 2
        delta = most * torch.tensor(middle, dtype=torch.float64).exp().item()
        low, high = (middle, high) if _share(delta * gain) >= share else (low, middle)
    return most * torch.tensor(low, dtype=torch.float64).exp().item()


def _share(log_weights: Tensor) -> Any:
    return (effective_sample_size(log_weights) / len(log_weights)).nan_to_num(0.0)
