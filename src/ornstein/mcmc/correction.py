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

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError
from ..events import Stream, part, streamed
from ..keys import Keys
from ..sampling.convergence import pareto_smoothed
from ..sampling.diagnostics import effective_sample_size, systematic
from ..sampling.likelihood import ROUNDS
from ..spaces import Transition
from ..states import State, batch_size, cast, concatenate, take
from .annealing import Annealed, anneal
from .budget import Effort
from .densities import Density, MCMCState
from .discrete import moves_about, moves_for
from .judging import Judged, Weighed
from .moves import MALA, Move, TransitionInfo, repeated, warmed
from .pool import Members, Pool
from .proposals import Defended, Draws, Kernels
from .report import MCMCReport
from .search import EACH, FEWEST, Purse, many, searched

PLACED, FEW = 1000, 250
"""Points of a population whose density under the draws is found: half as many as draws, within these bounds."""
DEFENCE = 0.2
"""The share of a cloud that is wide noise."""


@streamed
def corrected(
    draws: Draws | State,
    density: Density,
    base: Transition,
    keys: Keys,
    effort: Effort | None = None,
    move: Move | None = None,
) -> Stream[tuple[Any, MCMCReport]]:
    """Samples of the density, one a key, and how exact they are.

    Args:
        draws: with their density, at least twice as many as keys; or samples (m, ...) whose density is not known, about
            which a cloud is annealed.
        density: the unnormalised density.
        base: wide noise from which the search starts.
        keys: random keys, one a sample; they decide everything random.
        effort: what it may cost; Effort() if not given. InputError if the budget is too small for the least of it.
        move: that of the space if not given (`moves_for`), MALA for numbers.
    """
    effort = effort or Effort()
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
        size = effort.cloud if known and known.trusted else max(n, effort.cloud)
        centres = _centres(x, Pool(sources) if second else None, size, keys)
        clouding = _clouded(centres, base, density, size, keys, purse, optional=bool(sources))
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
    judged = Judged(known, second, pool, effort)
    found = judged.report(point, moved, drift, jumps, density, move, keys)
    return take(point.x, shuffled(keys, n)), found


def shuffled(keys: Keys, n: int) -> Int[Tensor, " n"]:
    """The order in which corrected samples come: families no longer stand side by side."""
    return keys[:1].fold("shuffle").uniform(n)[0].argsort()


# What there is ----------------------------------------------------------------------------------------


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
    unsure = share > effort.tolerance and (share * (1 - share) / size) ** 0.5 > effort.tolerance / 2
    return bool(pool.populations) and unsure


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
    size: int,
    keys: Keys,
    purse: Purse,
    optional: bool,
) -> Stream[Annealed | None]:
    """A population annealed from kernels about the centres, and some wide noise; None if the budget allows none.

    Kernels alone end short of the tails beyond the outermost centres, and log Z came out up to .02 too small.

    Args:
        size: particles, or as many as the budget allows.
        optional: whether there are samples without it.
    """
    cloud = Kernels.of(centres, density.space)
    size = purse.affordable(size) or (0 if optional else FEWEST)
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


def _spread(size: int, n: int, device: torch.device) -> Tensor:
    """n of `size` equally weighted samples, evenly."""
    return torch.arange(n, device=device) * size // n
