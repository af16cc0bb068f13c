"""From a fast draw to samples of exp(−E): draws, a search, one pool of both, then moves.

    weigh     w = exp(−E)/q of every draw; k̂ says whether the draws alone could be trusted
    search    a population that knows nothing of the draws walks from wide noise to exp(−E) (search.py)
    pool      draws and search are one weighted sample of their mixture, so that what either has found counts (pool.py)
    cloud     where the draws cannot be weighed, or the search has found what they lack: a population is annealed from
              a cloud about all that was found, and joins the pool, which then knows its modes' weights better
    jump      Metropolis's rule between members of the pool, which moves weight between modes
    move      HMC or MALA with a step learnt and then frozen, which mends what is wrong within them

What neither draws nor search have found is bounded by what the search is worth: of n independent families none has seen
a share of 3/n, or less, with 95 %. A few moves after a draw are not exact by themselves: they keep the draw's weights.
"""

from dataclasses import dataclass, replace
from functools import partial
from math import expm1, hypot, isnan, nan
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError
from ..events import Stream, part, streamed
from ..guidance.values import is_number
from ..keys import Keys
from ..sampling.convergence import pareto_smoothed, r_hat
from ..sampling.diagnostics import effective_sample_size, missing, systematic
from ..sampling.likelihood import ROUNDS
from ..spaces import Transition
from ..states import State, batch_size, cast, concatenate, take
from .annealing import Annealed, anneal
from .budget import Budget
from .densities import Density, MCMCState
from .discrete import moves_about, moves_for
from .moves import MALA, Move, TransitionInfo, repeated, warmed
from .pool import Members, Pool
from .proposals import Defended, Draws, Kernels
from .report import TOLERANCE, MCMCReport, percent
from .search import EACH, FEWEST, Purse, many, searched

TRUSTED = 0.7
"""The largest k̂ with which weights of draws are trusted."""
LEAST = 50
"""The smallest effective sample size with which they are."""
EVEN = 0.95
"""The effective share above which k̂ says nothing."""
CLOUD = 1000
"""Particles that are annealed from a cloud."""
PLACED, FEW = 1000, 250
"""Points of a population whose density under the draws is found: half as many as draws, within these bounds."""
DRIFTING = 3.0
"""Standard errors of the mean energy by which the last moves of a search may change it."""
DEFENCE = 0.2
"""The share of a cloud that is wide noise."""
GROUPS = 4
"""Groups of families that R̂ compares."""
JUDGED = 4 * GROUPS
"""The fewest samples that can be judged by themselves."""


@dataclass(frozen=True)
class Effort:
    """What a correction may cost.

    Attributes:
        moves: local moves of every sample, after twice as many for learning the step.
        check: particles of the search, of its first population within a budget; 0 = none.
        cloud: particles of a cloud, or as many as samples if these are more.
        tolerance: the share that may be missing from what is called exact.
        budget: evaluations or seconds, all included; None = as many as the particles take.
    """

    moves: int = 20
    check: int = 2000
    cloud: int = CLOUD
    tolerance: float = TOLERANCE
    budget: Budget | None = None

    @classmethod
    def of(cls, budget: Any = None, tolerance: Any = TOLERANCE, **sizes: int) -> "Effort":
        """What a user says; InputError if it makes no sense."""
        if not (is_number(tolerance) and 0 < tolerance < 1):
            raise InputError(f"tolerance is {tolerance!r}, expected a share between 0 and 1, such as 0.01")
        return cls(tolerance=tolerance, budget=Budget.of(budget), **sizes)

    @property
    def work(self) -> int:
        """Units of work of a correction."""
        return 300 + 3 * self.moves

    def mending(self, n: int) -> int:
        """Evaluations of the local moves of n samples."""
        return (3 * self.moves + 1) * n


@streamed
def corrected(
    draws: Draws | State,
    density: Density,
    base: Transition,
    keys: Keys,
    effort: Effort = Effort(),
    move: Move | None = None,
) -> Stream[tuple[Any, MCMCReport]]:
    """Samples of the density, one a key, and how exact they are.

    Args:
        draws: with their density, at least twice as many as keys; or samples (m, ...) whose density is not known, about
            which a cloud is annealed.
        density: the unnormalised density.
        base: wide noise from which the search starts.
        keys: random keys, one a sample; they decide everything random.
        effort: what it may cost. InputError if the budget is too small for the least of it.
        move: that of the space if not given (`moves_for`), MALA for numbers.
    """
    n, total = len(keys), effort.work
    purse = _purse(draws, density, n, effort)
    purse.measure(base, keys)
    known = _weighed(draws, density) if isinstance(draws, Draws) else None
    second = None
    if effort.check:
        looking = searched(density, base, keys, effort.check, effort.tolerance, purse)
        second = yield from part(looking, 0, 100, total)
    purse.reserved = effort.mending(n) + _placing(draws)
    sources = [known.members] if known else []
    if second:
        placing = _placed(second, known, density, keys.fold("search"))
        sources.append((yield from part(placing, 100, 50, total, "weighing what the search has found")))
    if known is None or not known.trusted or _lack(Pool(sources), effort):
        x = cast(draws.x if isinstance(draws, Draws) else draws, torch.float64)
        centres = _centres(x, Pool(sources) if second else None, max(n, effort.cloud), keys)
        clouding = _clouded(centres, base, density, n, keys, effort, purse, optional=bool(sources))
        third = yield from part(clouding, 150, 100, total)
        if third:
            placing = _placed(third, known, density, keys.fold("cloud"))
            sources.append((yield from part(placing, 250, 50, total, "weighing the cloud")))
    pool = Pool(sources)
    index, jumps = pool.resampled(n, keys)
    start = pool.members()[index]
    move = move or moves_for(density, MALA())
    mending = _mended(start, move, density, keys.fold("moves"), effort.moves)
    point, moved, drift = yield from part(mending, total - 3 * effort.moves, 3 * effort.moves, total)
    judged = _Judged(known, second, pool, effort)
    found = judged.report(point, moved, drift, jumps, density, move, keys)
    return take(point.x, shuffled(keys, n)), found


def shuffled(keys: Keys, n: int) -> Int[Tensor, " n"]:
    """The order in which corrected samples come: families no longer stand side by side."""
    return keys[:1].fold("shuffle").uniform(n)[0].argsort()


# What there is ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weighed:
    """Draws and their weights by themselves.

    Attributes:
        members: of a pool.
        ess: effective sample size.
        k_hat: shape of the weights' tail.
    """

    draws: Draws
    members: Members
    ess: float
    k_hat: float

    @property
    def trusted(self) -> bool:
        even = self.ess > EVEN * len(self.members.log_w)  # weights that hardly differ have no tail to speak of
        return self.ess >= LEAST and (self.k_hat < TRUSTED or even)


def _purse(draws: Draws | State, density: Density, n: int, effort: Effort) -> Purse:
    """The budget, less what the draws, the moves and a cloud take; InputError if it does not suffice for them."""
    drawn = len(draws.log_q) + 2 * _placing(draws) if isinstance(draws, Draws) else EACH * FEWEST
    fixed = effort.mending(n) + drawn
    purse = Purse(density, effort.budget, fixed)
    if effort.budget is not None and effort.budget.evaluations is not None and effort.budget.evaluations < fixed:
        raise InputError(
            f"budget is {effort.budget}, expected {fixed:,} at least for {n} samples with {effort.moves} moves each: "
            "take fewer of either, or a larger budget"
        )
    if purse.left is not None and effort.check:
        purse.reserved += min(EACH * max(n, effort.cloud), purse.left // 2)
    return purse


def _placing(draws: Draws | State) -> int:
    """Evaluations, at most, that it takes to find the density of the draws at the points of a population."""
    return (1 + ROUNDS) * _some(draws) if isinstance(draws, Draws) and draws.way == "flow" else 0


def _some(draws: Draws) -> int:
    return min(PLACED, max(FEW, len(draws.log_q) // 2))


def _weighed(draws: Draws, density: Density) -> Weighed:
    point = density.at(cast(draws.x, torch.float64), with_gradients=False)
    log_w = (density.log_p(point) - draws.log_q).nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    size = float(effective_sample_size(log_w).nan_to_num(0.0))
    return Weighed(draws, Members(point, log_w), size, pareto_smoothed(log_w)[1])


def _placed(found: Annealed, known: Weighed | None, density: Density, keys: Keys) -> Stream[Members]:
    """Points of a population, at some of which the density under the draws is found, if there are draws with one."""
    count = len(found.ancestor)
    if known:
        count = min(count, _some(known.draws))
    index = systematic(found.log_weights, keys[:1].fold("thin").uniform()[0], count)
    point = replace(found.point[index], gradients=None)
    log_w = torch.full_like(point.values[0], torch.inf)
    if known:
        ratio = known.draws.ratio(point.x, density.log_p(point), partial(_log_p, density), many(keys, count))
        log_w = (yield from ratio).nan_to_num(nan=torch.inf)
    return Members(point, log_w, found, found.ancestor[index])


def _log_p(density: Density, x: Any) -> Float[Tensor, " some"]:
    return density.log_p(density.at(cast(x, torch.float64), with_gradients=False))


def _lack(pool: Pool, effort: Effort) -> bool:
    """Whether the search has found so much that draws lack that its share should be known better."""
    share, size = pool.uncovered, sum(source.size for source, _ in pool.populations)
    return bool(pool.populations) and (share * (1 - share) / size) ** 0.5 > effort.tolerance / 2


def _centres(x: State, pool: Pool | None, count: int, keys: Keys) -> Any:
    """Points for a cloud: half of them draws, half of them the search's, those first that the draws do not reach."""
    m, device = batch_size(x), keys.root.device
    if pool is None:
        return take(x, _spread(m, min(m, count), device))
    found = take(pool.members().x, ~pool.drawn)
    lacking = (1 - pool.covered[~pool.drawn] + 1e-3).log()
    index = systematic(lacking, keys[:1].fold("centres").uniform()[0], min(count // 2, len(lacking)))
    return concatenate([take(x, _spread(m, min(m, count - count // 2), device)), take(found, index.unique())])


def _clouded(
    centres: State,
    base: Transition,
    density: Density,
    n: int,
    keys: Keys,
    effort: Effort,
    purse: Purse,
    optional: bool,
) -> Stream[Annealed | None]:
    """A population annealed from kernels about the centres, and some wide noise; None if the budget allows none.

    Kernels alone end short of the tails beyond the outermost centres, and log Z came out up to .02 too small.

    optional: whether there are samples without it.
    """
    cloud = Kernels.of(centres, density.space)
    size = purse.affordable(max(n, effort.cloud)) or (0 if optional else FEWEST)
    if not size:
        return None
    move = moves_about(density, cloud)
    own = many(keys, size).fold("cloud")
    most = None if purse.left is None else max(purse.left, size)
    annealing = anneal.events(density, Defended(cloud, base, DEFENCE), own, move, most=most)
    return (yield from part(annealing, 0, 1, 1, "annealing from a cloud about what was found"))


# Moves ------------------------------------------------------------------------------------------------


def _mended(
    start: MCMCState, move: Move, density: Density, keys: Keys, moves: int
) -> Stream[tuple[MCMCState, TransitionInfo, float]]:
    """Local moves, and the drift of the mean energy under those that count."""
    point = density.at(start.x, move.needs_gradients)
    move = move.in_units_of(point.x, 0.1)
    learning = warmed.events(move, density, point, keys.fold("warmup"), 2 * moves)
    move, point = yield from part(learning, 0, 2 * moves, 3 * moves)
    before = density.log_p(point)
    moved = yield from part(
        repeated.events(move, point, density, keys.fold("counted"), moves), 2 * moves, moves, 3 * moves
    )
    change = density.log_p(moved.point) - before
    return moved.point, moved, float(change.mean() / (change.std() / len(change) ** 0.5).clamp(min=1e-12))


# What is said of it -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """What the samples come from."""

    known: Weighed | None
    second: Annealed | None
    pool: Pool
    effort: Effort

    def report(
        self,
        point: MCMCState,
        moved: TransitionInfo,
        drift: float,
        jumps: float,
        density: Density,
        move: Move,
        keys: Keys,
    ) -> MCMCReport:
        """All of it, with what speaks against the samples."""
        evidence = self.pool.evidence(keys)
        lacking = missing(self.second.shares) if self.second and self._at_rest else 1.0
        lacking = max(lacking, self._overlooked(evidence.log_z, float(evidence.replicates.std())))
        error, low, high = evidence.judged(lacking, keys)
        sources = 1 / (1 / len(moved.acceptance) + 1 / self.pool.sources_worth)
        spread = grouped_r_hat(density.features(point.x), density.log_p(point))
        acceptance = moved.acceptance.mean().item()
        return MCMCReport(
            self._method,
            len(self.known.members.log_w) if self.known else 0,
            self.known.ess / len(self.known.members.log_w) if self.known else nan,
            self.known.k_hat if self.known else nan,
            self.pool.uncovered,
            jumps,
            acceptance,
            drift,
            spread,
            evidence.log_z,
            error,
            low,
            high,
            lacking,
            self.effort.tolerance,
            self.second.size if self.second else 0.0,
            sources,
            self.second.log_evidence if self.second else None,
            self.second.error if self.second else None,
            density.tally.gradients,
            density.tally.values,
            str(self.effort.budget) if self.effort.budget else None,
            (*self._unweighed(), *_concerns(spread, drift, acceptance, move, sources)),
            tuple(self._said(evidence.log_z)),
            int(moved.divergences),
        )

    @property
    def _method(self) -> str:
        draws = ["draws"] if self.pool.sources[0].population is None else []
        names = ["the search"] if self.second else []
        clouds = ["a cloud about what was found"] if len(self.pool.populations) > len(names) else []
        return " and ".join([*draws, *names, *clouds])

    @property
    def _at_rest(self) -> bool:
        """Whether there is a search, whose moves were not still on their way to where they would have stayed."""
        return self.second is not None and abs(self.second.drift) <= DRIFTING

    def _overlooked(self, log_z: float, error: float) -> float:
        """The share that the search itself has not found, though it is there: as much may be missing elsewhere."""
        if self.second is None:
            return 0.0
        gap, scatter = log_z - self.second.log_evidence, hypot(error, self.second.error)
        return -expm1(-gap) if gap > 3 * scatter else 0.0

    def _unweighed(self) -> list[str]:
        trusted = self.known is None or self.known.trusted or bool(self.pool.populations)
        return [] if trusted else ["the budget allows no population in the place of draws that cannot be weighed"]

    def _said(self, log_z: float) -> list[str]:
        """What else should be known."""
        said = []
        if self.known and not self.known.trusted:
            weights = f"k̂ {self.known.k_hat:.2f}, effective size {self.known.ess:.0f}"
            said.append(f"the draws alone cannot be weighed ({weights})")
        if self.second is None and self.effort.check:
            said.append("the budget allows no search")
        if self.second and not self._at_rest:
            drift = f"{self.second.drift:+.1f} standard errors"
            said.append(f"the search was still on its way ({drift}), and bounds nothing")
        if self.second and self._overlooked(log_z, 0.0) > 0:
            gap = f"log Z {self.second.log_evidence:.3f} ± {self.second.error:.3f} against {log_z:.3f}"
            said.append(f"the search has missed a part of what was drawn ({gap})")
        if self.pool.uncovered >= 0.001:
            said.append(f"the draws lack {percent(self.pool.uncovered)} of the mass, which the search has found")
        return said


def _concerns(spread: float, drift: float, acceptance: float, move: Move, sources: float) -> list[str]:
    """What speaks against samples that stem from so many independent draws."""
    most = max(1.01, 1 + 12 * GROUPS / sources)  # few differ by chance
    if sources < JUDGED or isnan(spread):
        spread, drift = 1.0, 0.0
    least, highest = move.healthy
    gates = {
        f"R̂ {spread:.3f} is above {most:.3f}": not spread <= most,
        f"the energy drifts under exact moves, by {drift:+.1f} standard errors": not abs(drift) <= 5,
        f"local moves are accepted {acceptance:.0%} of the time": not least < acceptance < highest,
    }
    return [words for words, wrong in gates.items() if wrong]


def grouped_r_hat(x: Float[Tensor, "n features"], log_p: Float[Tensor, " n"]) -> float:
    """The largest R̂ of log p and the coordinates, with groups of samples as chains (cf. nested R̂, Margossian 2024).

    Coordinates are those of `Density.features`. Samples are many short chains, which never visit each other's modes: it
    is their groups that must agree, and these are of different families where families stand side by side.
    """
    size = len(x) // GROUPS
    if len(x) < JUDGED:
        return nan
    quantities = [log_p, *x.T]
    varying = [values for values in quantities if (values != values[0]).any()]
    return max((r_hat(values[: GROUPS * size].reshape(GROUPS, size)) for values in varying), default=nan)


def _spread(size: int, n: int, device: torch.device) -> Tensor:
    """n of `size` equally weighted samples, evenly."""
    return torch.arange(n, device=device) * size // n
