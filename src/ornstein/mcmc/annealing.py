"""Annealed sequential Monte Carlo: from a distribution that can be drawn to one that can only be weighed.

A population walks the path π_β ∝ base^{1 − β} p^β (Neal 2001; Del Moral et al. 2006). At every β it is weighed by
(p/base)^{Δβ}, resampled, and moved by a kernel that leaves π_β as it is. Δβ is as large as the effective sample size
allows (Jasra et al. 2011). The product of the mean weights estimates Z = ∫ p, whatever the moves achieve; but where
they leave log p/base as it was, the weights of one β after another add up in the same families. So they go on until it
is forgotten (cf. Buchholz, Chopin & Jacob 2021).

The descendants of a first particle are a family, of share W_f among the last weights. Families are independent but for
the resampling, so that Σ d_f², d_f = W_f − 1/N, estimates the variance of Ẑ/Z (Chan & Lai 2013). Of few families it is
uncertain itself, and too small most often: Student's t with ν = (Σ d_f²)² / Σ d_f⁴ degrees of freedom (Satterthwaite
1946) takes the place of the normal distribution.

Independent populations r are one: Z = Σ N_r Z_r / Σ N_r, and each point of population r counts Z_r / Z.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..deferred import deferred
from ..deprecation import members
from ..errors import InputError
from ..events import Event, Stream, streamed
from ..keys import Keys
from ..sampling.diagnostics import effective_sample_size, log_mean_exp, mean_and_error, systematic
from ..spaces import Centered, Transition
from ..states import cast, map_state
from .clouds import PILOTS, that_change
from .densities import Density, MCMCState
from .discrete import Alternating, moves_for
from .moves import HMC, Move, repeated
from .turns import InTurn

special: Any = deferred("scipy.special")

LEVELS = 300
"""The most temperatures on the way."""
ROUNDS, FORGOTTEN = 3, 0.5
"""The most rounds of moves at a temperature, unless more are asked for, and the rank correlation of log p/base before
and after that ends them. Mixtures and wells take one round; lj-13, where condensation makes it slow, would keep 40
families of 1,000 particles in place of ten with ten rounds, for 2.4 times the gradients."""
SMALLEST = 0.03
"""Of the factors by which steps are shortened in every second round after these, so that narrow places are entered. Of
the neck of funnel-10, .16 of the mass, ten rounds find .07 with them, and .02 without."""


@members(ladder="betas", eve="ancestor")
@dataclass(frozen=True)
class Annealed:
    """A population that has arrived.

    Attributes:
        point: where its equally weighted samples stand.
        ancestor: which first particle each descends from.
        log_evidence: log ∫ p, where the base is normalised.
        error: its standard error, from the scatter of the families, widened where they are few: ± 1.96 errors are an
            interval of 95 %.
        betas: the β that were visited; those of the longest way, where populations were merged.
        acceptance: of the moves at each, NaN where none could be afforded.
        log_weights: of the samples, of mean weight 1: all 0 in one population, log Z_r/Z where several were merged.
        cut: whether the evaluations allowed did not suffice for all temperatures and moves.
        drift: how far the moves at the last four temperatures changed the mean of log p − log base, in standard errors.
            One far from 0 says that they were still on their way, so that what they had not reached is missing from Z.
    """

    point: MCMCState
    ancestor: Int[Tensor, " n"]
    log_evidence: float
    error: float
    betas: tuple[float, ...]
    acceptance: tuple[float, ...]
    log_weights: Float[Tensor, " n"]
    cut: bool = False
    drift: float = 0.0

    @property
    def families(self) -> int:
        return len(self.ancestor.unique())

    @property
    def shares(self) -> Float[Tensor, " n"]:
        """The share of the samples that descends from each first particle; 0 of those without descendants."""
        return torch.zeros_like(self.log_weights).index_add(0, self.ancestor, self.log_weights.softmax(0))

    @property
    def size(self) -> float:
        """How many equally large families would be worth as much, 1/Σ shares²."""
        return 1 / float(self.shares.square().sum())

    @property
    def collapsed(self) -> bool:
        """Whether too few of the first particles have descendants to trust the answer."""
        return self.families < 10


@streamed
def anneal(
    density: Density,
    base: Transition,
    keys: Keys,
    move: Move | None = None,
    moves: int | None = None,
    share: float = 0.85,
    dtype: torch.dtype = torch.float64,
    most: int | None = None,
    rounds: int = ROUNDS,
) -> Stream[Annealed]:
    """Walks a population of one particle a key from the base to the density.

    Args:
        density: InputError if it is finite at none of the first particles, or 300 temperatures do not lead to it.
        base: normalised, and wide enough: what it does not reach is not found. `mcmc.proposals.wide` is of one width,
            `mcmc.widths.widths` of several.
        move: that of the space if not given (`moves_for`), trajectories of several lengths for numbers, and for centred
            point clouds such exchanges and rotations as change their energy; its first step is in units of the base's
            spread, and follows the acceptance.
        moves: at each β in a round, of which there are several where log p/base is not forgotten after one; 1 if the
            move is several in turn, else 3.
        share: the effective sample size that a change of β leaves.
        keys: random keys, one a sample; they decide everything random.
        dtype: of the numbers.
        most: evaluations of the energy, at least one a particle. Where the moves at a further temperature would take
            more, β goes to 1 at once, and as many moves follow as are left: still unbiased, and `cut`.
        rounds: of moves at each β at most; more than 3 where populations drift, or few families are left.
    """
    affordable = _Allowance(density, len(keys), most)
    path, gradients = density.from_base(lambda x: base.log_prob(x)), (move or moves_for(density)).needs_gradients
    point = path.at(cast(base.sample(keys.fold("base")), dtype), gradients)
    if not point.values[1].isfinite().any():
        raise InputError(f"the energy is infinite or not a number at each of {len(keys)} points to start from")
    move = move or _local(path, point, keys.fold("symmetry"), affordable)
    moves = moves or (1 if isinstance(move, InTurn | Alternating) else 3)
    move, ancestor = move.in_units_of(point.x), torch.arange(len(keys), device=point.values.device)
    betas, rates, drifts, log_z, error, count = [0.0], [], [], torch.zeros((), dtype=torch.float64), 0.0, moves
    while betas[-1] < 1:
        gain, count = _gain(point), affordable.moves(move, moves)
        betas.append(betas[-1] + _largest(gain, 1 - betas[-1], share) if count == moves else 1.0)
        _require_progress(betas)
        weights = (betas[-1] - betas[-2]) * gain
        k = keys.fold(len(betas))
        index = systematic(weights, k[:1].fold("resample").uniform()[0])
        log_z, error = log_z + log_mean_exp(weights).cpu(), family_error(weights, ancestor)
        start, ancestor = point[index], ancestor[index]
        at = path.at_weights(1 - betas[-1], betas[-1])
        move, point, rate = _forgotten(move, start, at, k.fold("moves"), count, affordable, rounds)
        yield Event(_come(betas[-1]), 100, "annealing", point.x)
        rates.append(rate)
        drifts.append(_drift(_gain(point) - _gain(start), ancestor))
    equal = torch.zeros(len(keys), dtype=torch.float64, device=ancestor.device)
    drift, cut = _combined(drifts[-4:]), count < moves
    return Annealed(
        _last(point), ancestor, float(log_z), error, tuple(betas), tuple(rates), equal, cut=cut, drift=drift
    )


def _forgotten(
    move: Move, point: MCMCState, density: Density, keys: Keys, moves: int, affordable: "_Allowance", rounds: int
) -> tuple[Move, MCMCState, float]:
    """Rounds of moves until where they started is forgotten: the move with its new step, the point, the acceptance."""
    first, rate = _gain(point), torch.nan
    for k in range(rounds if moves else 0):
        short = k >= ROUNDS and k % 2 == 1
        moved = repeated(_shortened(move) if short else move, point, density, keys.fold(k), moves)
        point = moved.point
        if not short:
            rate = moved.acceptance.mean().item()
            move = _followed(move, rate)
        if not _rank_correlation(first, _gain(point)) > FORGOTTEN or not affordable.spare(move, moves):
            break
    return move, point, rate


def _shortened(move: Any) -> Any:
    """Its steps drawn over a wide range."""
    if isinstance(move, InTurn):
        return replace(move, moves=tuple(_shortened(one) for one in move.moves))
    return replace(move, smallest=SMALLEST) if isinstance(move, HMC) else move


def _rank_correlation(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> float:
    """Spearman's: energies are heavy-tailed."""
    ranks = torch.stack([values.argsort().argsort().double() for values in (a, b)])
    return float(torch.corrcoef(ranks)[0, 1]) if len(a) > 1 else 0.0


def family_error(log_weights: Float[Tensor, " n"], ancestor: Int[Tensor, " n"]) -> float:
    """The standard error of log Z, with which ± 1.96 errors are an interval of 95 % by Student's t.

    Args:
        log_weights: of the last particles, up to a constant.
        ancestor: which first particle each descends from.
    """
    shares = torch.zeros_like(log_weights).index_add(0, ancestor, log_weights.softmax(0))
    squares = (shares - 1 / len(shares)).square()
    variance = squares.sum()
    freedom = (variance.square() / squares.square().sum().clamp(min=1e-300)).clamp(min=1)
    widened = float(special.stdtrit(float(freedom), 0.975) / special.ndtri(0.975))
    return widened * float(variance.sqrt())


def _local(path: Density, point: MCMCState, keys: Keys, affordable: "_Allowance") -> Move:
    """What moves where nothing else is asked for."""
    move = moves_for(path)
    clouds = isinstance(path.space, Centered) and point.x.ndim == 3 and point.x.shape[1] > 1
    if not clouds or affordable.left() < 2 * PILOTS:
        return move
    return InTurn(moves=(*(move.moves if isinstance(move, InTurn) else (move,)), *that_change(path, point, keys)))


def merged(populations: Sequence[Annealed]) -> Annealed:
    """Independent populations as one, with weights; families of different ones stay apart.

    Args:
        populations: one or more, of the same density.
    """
    sizes = torch.tensor([len(one.ancestor) for one in populations], dtype=torch.float64)
    log_z = torch.tensor([one.log_evidence for one in populations], dtype=torch.float64)
    total = float((log_z + sizes.log()).logsumexp(0) - sizes.sum().log())
    first = (sizes.cumsum(0) - sizes).long().tolist()
    ancestor = torch.cat([one.ancestor + start for one, start in zip(populations, first, strict=True)])
    log_weights = torch.cat([one.log_weights + one.log_evidence - total for one in populations])
    longest = max(populations, key=lambda one: len(one.betas))
    return replace(
        longest,
        point=MCMCState.joined([one.point for one in populations]),
        ancestor=ancestor,
        log_evidence=total,
        error=family_error(log_weights, ancestor),
        log_weights=log_weights,
        cut=any(one.cut for one in populations),
        drift=_combined([one.drift for one in populations]),
    )


class _Allowance:
    """The evaluations of the energy that are left."""

    def __init__(self, density: Density, particles: int, most: int | None) -> None:
        if most is not None and most < particles:
            raise InputError(f"{particles} particles take as many evaluations of the energy or more, not most={most}")
        self.density, self.particles, self.most = density, particles, most
        self.before = density.tally.evaluations

    def moves(self, move: Move, wanted: int) -> int:
        """How many of the moves wanted can be paid for."""
        return int(min(wanted, self.left() // (move.evaluations(self.density) * self.particles)))

    def spare(self, move: Move, moves: int) -> bool:
        """Whether more moves at a temperature leave half of the evaluations for those to come."""
        cost = moves * move.evaluations(self.density) * self.particles
        return self.most is None or 2 * (self.spent + cost) <= self.most

    def left(self) -> float:
        return inf if self.most is None else self.most - self.spent

    @property
    def spent(self) -> int:
        return self.density.tally.evaluations - self.before


def _gain(point: MCMCState) -> Float[Tensor, " n"]:
    """log p − log base, −∞ where it is infinite or not a number."""
    return (point.values[1] - point.values[0]).nan_to_num(nan=-torch.inf, posinf=-torch.inf)


def _drift(changes: Float[Tensor, " n"], ancestor: Int[Tensor, " n"]) -> float:
    """The mean change of moved particles in standard errors; 0 where there is none."""
    mean, error = mean_and_error(changes, ancestor)
    return mean / error if error > 0 else 0.0


def _combined(drifts: Sequence[float]) -> float:
    """Of independent deviations in standard errors."""
    return sum(drifts) / len(drifts) ** 0.5


def _followed(move: Move, rate: float) -> Move:
    """The move with a longer step where more is accepted than it aims at."""
    step = move.tuned_step
    return move if step is None else move.with_step(step * torch.tensor(2 * (rate - move.target_accept)).exp())


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
    gradients = None if point.gradients is None else map_state(lambda slopes: slopes[1:], point.gradients)
    return replace(point, values=point.values[1:], gradients=gradients)


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
