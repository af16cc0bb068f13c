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

from ..deprecation import members
from ..errors import InputError
from ..events import Event, Stream, streamed
from ..keys import Keys
from ..sampling.diagnostics import effective_sample_size, genealogy_error, log_mean_exp, systematic
from ..spaces import Transition
from .densities import Density, MCMCState
from .moves import HMC, repeated

LEVELS = 200
"""The most temperatures on the way."""


@members(ladder="betas", eve="ancestor")
@dataclass(frozen=True)
class Annealed:
    """A population that has arrived.

    Attributes:
        point: where its equally weighted samples stand.
        ancestor: which first particle each descends from.
        log_evidence: log ∫ p, where the base is normalised.
        error: its standard error, from the scatter of the families.
        betas: the β that were visited.
        acceptance: of the moves at each.
    """

    point: MCMCState
    ancestor: Int[Tensor, " n"]
    log_evidence: float
    error: float
    betas: tuple[float, ...]
    acceptance: tuple[float, ...]

    @property
    def families(self) -> int:
        return len(self.ancestor.unique())

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
        keys: random keys, one a sample; they decide everything random.
        dtype: of the numbers.
    """
    path = density.from_base(lambda x: base.log_prob(x))
    point = path.at(base.sample(keys.fold("base")).to(dtype))
    if not point.values[1].isfinite().any():
        raise InputError(f"the energy is infinite or not a number at each of {len(keys)} points to start from")
    move = move or HMC(step_size=0.3, num_steps=5)
    move, ancestor = move.with_step(move.tuned_step * point.x.std()), torch.arange(len(keys), device=point.x.device)
    betas, rates, log_z, error = [0.0], [], torch.zeros((), dtype=torch.float64), 0.0
    while betas[-1] < 1:
        gain = (point.values[1] - point.values[0]).nan_to_num(nan=-torch.inf, posinf=-torch.inf)
        betas.append(betas[-1] + _largest(gain, 1 - betas[-1], share))
        _require_progress(betas)
        weights = (betas[-1] - betas[-2]) * gain
        k = keys.fold(len(betas))
        index = systematic(weights, k[:1].fold("resample").uniform()[0])
        log_z, error = log_z + log_mean_exp(weights).cpu(), float(genealogy_error(weights, ancestor))
        at = path.at_weights(1 - betas[-1], betas[-1])
        moved = repeated(move, point[index], at, k.fold("moves"), moves)
        point, ancestor = moved.point, ancestor[index]
        yield Event(_come(betas[-1]), 100, "annealing", point.x)
        rates.append(moved.acceptance.mean().item())
        move = move.with_step(move.tuned_step * torch.tensor(2 * (rates[-1] - move.target_accept)).exp())
    return Annealed(_last(point), ancestor, float(log_z), error, tuple(betas), tuple(rates))


def _come(beta: float) -> int:
    """How far, of 100: the first temperatures are the closest, so that β itself would stand still and then leap."""
    return round(100 * beta**0.25)


def _require_progress(betas: Sequence[float]) -> None:
    if len(betas) > LEVELS or betas[-1] == betas[-2]:
        raise InputError(
            f"exp(−E) is not reached in {len(betas) - 1} temperatures: it is too far from where the population "
            "starts, or has no integral"
        )


def _last(point: MCMCState) -> MCMCState:
    """The point of the density alone."""
    assert point.gradients is not None
    return replace(point, values=point.values[1:], gradients=point.gradients[1:])


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
