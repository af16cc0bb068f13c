"""From a fast draw to samples of exp(−E): weights, then moves, then doubt.

    weigh     w = exp(−E)/q, Pareto-smoothed, resampled: right if q reaches everywhere; k̂ says whether w can be trusted
    or anneal where it cannot: a population walks from a cloud about the draws to exp(−E) (annealing.py)
    jump      independence Metropolis–Hastings against fresh draws, which moves weight between modes
    move      HMC or MALA with a step learnt and then frozen, which mends what is wrong within them
    doubt     log Z by a second population that knows nothing of the draws: if it finds more, the draws have lost a
              mode, which their own weights cannot see; its samples then take their place

A few moves after a draw are not exact by themselves: they keep the draw's mode weights.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import hypot, isnan, log, nan
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..events import Stream, part, streamed
from ..files import number, plain
from ..keys import Keys
from ..sampling.convergence import pareto_smoothed, r_hat
from ..sampling.diagnostics import effective_sample_size, log_mean_exp, systematic
from ..spaces import Transition
from .annealing import Annealed, anneal
from .densities import Density, MCMCState
from .moves import HMC, MALA, TransitionInfo, repeated, warmed
from .proposals import Draws, Kernels

TRUSTED = 0.7
"""The largest k̂ with which weights are trusted."""
LEAST = 50
"""The smallest effective sample size with which weights are."""
CLOUD = 1000
"""Particles that are annealed from a cloud about samples."""
GROUPS = 4
"""Groups of families that R̂ compares."""
JUDGED = 4 * GROUPS
"""The fewest samples that can be judged by themselves."""


@dataclass(frozen=True)
class MCMCReport:
    """How samples were brought to exp(−E), and how well that went.

    Attributes:
        method: where the samples start: "weights", "annealing from the draws", or "annealing from wide noise".
        proposals: how many draws were weighed.
        ess: effective sample size of the weights, as a share of the proposals; NaN if their density was not known.
        k_hat: shape of the weights' tail; NaN likewise.
        jumps: acceptance of independence moves against fresh draws; None if there were none.
        acceptance: of the local moves.
        drift: change of the mean energy under the local moves, in standard errors: exact samples do not drift.
        r_hat: of the final samples, in four groups of families; NaN if they are fewer than sixteen.
        log_evidence, error: log Z of the method, nats.
        check, check_error: log Z of the independent population; None if it was not asked for.
        gradients, values: evaluations of the energy, all included.
        concerns: what is wrong, in words.
        notes: what else should be known, in words.
        divergences: local moves whose energy went astray.
    """

    method: str
    proposals: int
    ess: float
    k_hat: float
    jumps: float | None
    acceptance: float
    drift: float
    r_hat: float
    log_evidence: float
    error: float
    check: float | None
    check_error: float | None
    gradients: int
    values: int
    concerns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    divergences: int = 0

    @property
    def passed(self) -> bool:
        """Whether every gate was passed, so that the samples can be taken for draws from exp(−E)."""
        return not self.concerns

    @property
    def verdict(self) -> str:
        """In words."""
        said = "; ".join((*self.notes, *self.concerns))
        return ("exact within the errors stated" if self.passed else "NOT TO BE TRUSTED") + (
            f": {said}" if said else ""
        )

    def __str__(self) -> str:
        checked = "" if self.check is None else f" (checked: {self.check:.3f} ± {self.check_error:.3f})"
        jumps = "" if self.jumps is None else f", jumps {self.jumps:.0%}"
        jumps += f", {self.divergences} divergences" if self.divergences else ""
        weights = "" if isnan(self.ess) else f"ESS {self.ess:.0%} of {self.proposals}, k̂ {self.k_hat:.2f}; "
        return (
            f"by {self.method}: {weights}accepted: moves "
            f"{self.acceptance:.0%}{jumps}; R̂ {self.r_hat:.3f}; log Z {self.log_evidence:.3f} ± {self.error:.3f}"
            f"{checked}; {self.gradients + self.values:,} evaluations of the energy, {self.gradients:,} of them with "
            f"gradient; {self.verdict}"
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "MCMCReport":
        """What `record` was made of."""
        record = {"divergences": 0, **record}  # of which older records say nothing
        values: dict[str, Any] = {field.name: record[field.name] for field in fields(cls)}
        numbers = {field.name: number(values[field.name]) for field in fields(cls) if field.type is float}
        return cls(**{**values, **numbers, "concerns": tuple(values["concerns"]), "notes": tuple(values["notes"])})

    def record(self) -> dict[str, Any]:
        """In JSON values, for the manifest."""
        return plain({**asdict(self), "passed": self.passed, "verdict": self.verdict})


@dataclass(frozen=True)
class Start:
    """Samples before the local moves; see `MCMCReport` for the rest.

    Attributes:
        point: where n samples stand, those of one family side by side.
        sources: how many independent draws they stem from, about.
    """

    point: MCMCState
    method: str
    log_evidence: float
    error: float
    proposals: int
    sources: int
    ess: float = float("nan")
    k_hat: float = float("nan")
    jumps: float | None = None
    notes: tuple[str, ...] = ()
    concerns: tuple[str, ...] = ()


@streamed
def weighed(draws: Draws, density: Density, n: int, keys: Keys) -> Stream[Start]:
    """n samples by the weights of at least 2 n draws; from a cloud about them, where weights cannot be trusted.

    Args:
        density: the unnormalised density.
        keys: random keys, one a sample; they decide everything random.
    """
    points = density.at(draws.x.double(), with_gradients=False)
    weights = (density.log_p(points) - draws.log_q).nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    smoothed, k_hat = pareto_smoothed(weights)
    size, proposals = float(effective_sample_size(weights)), len(weights)
    if not (k_hat < TRUSTED and size >= LEAST):
        why = f"the draws alone cannot be weighed (k̂ {k_hat:.2f}, effective size {size:.0f})"
        start = yield from clouded.events(draws.x, density, n, keys)
        return replace(start, ess=size / proposals, k_hat=k_hat, notes=(why, *start.notes))
    point, jumps = _jumped(points, weights, smoothed, n, keys)
    error = max(0.0, 1 / size - 1 / proposals) ** 0.5
    sources, log_z = min(n, int(size)), float(log_mean_exp(weights))
    return Start(point, "weights", log_z, error, proposals, sources, size / proposals, k_hat, jumps)


@streamed
def clouded(x: Float[Tensor, "m ..."], density: Density, n: int, keys: Keys, particles: int = CLOUD) -> Stream[Start]:
    """n samples by annealing from normal distributions about the points x.

    Args:
        particles: at least so many, or n if that is more, are annealed, from about so many of the points at most.
        density: the unnormalised density.
        keys: random keys, one a sample; they decide everything random.
    """
    centres = x.double()[_spread(len(x), min(len(x), particles), x.device)]
    space: Any = density.space
    cloud = Kernels.of(centres, space)
    move = HMC(step_size=0.3 * cloud.width / float(centres.std()), num_steps=5)
    annealing = anneal.events(density, cloud, _many(keys, max(n, particles)).fold("cloud"), move)
    found = yield from part(annealing, 0, 100, 100, "annealing from the draws")
    return _annealed(found, "annealing from the draws", n, len(x))


@streamed
def corrected(
    start: Start,
    density: Density,
    base: Transition,
    keys: Keys,
    *,
    moves: int = 20,
    move: HMC | None = None,
    check: int = 2000,
) -> Stream[tuple[Tensor, MCMCReport]]:
    """Samples of the density, (n, ...), and how exact they are.

    Args:
        base: wide noise from which the check starts.
        keys: one a sample.
        moves: local moves of every sample, after twice as many for learning the step.
        move: MALA if not given.
        check: particles of the check; 0 = none.
        start: samples before the local moves, with their weights.
    """
    total, second = (100 if check else 0) + 3 * moves, None
    if check:
        annealing = anneal.events(density, base, _many(keys, check).fold("check"))
        second = yield from part(annealing, 0, 100, total, "annealing an independent population")
    start = _doubted(start, second) if second else _noted(start, "no independent population has looked for lost modes")
    mending = _mended(start, move or MALA(), density, keys.fold("moves"), moves)
    point, moved, drift = yield from part(mending, total - 3 * moves, 3 * moves, total)
    found = MCMCReport(
        start.method,
        start.proposals,
        start.ess,
        start.k_hat,
        start.jumps,
        moved.acceptance.mean().item(),
        drift,
        grouped_r_hat(point.x, density.log_p(point)),
        start.log_evidence,
        start.error,
        second.log_evidence if second else None,
        second.error if second else None,
        density.tally.gradients,
        density.tally.values,
        start.concerns,
        start.notes,
        int(moved.divergences),
    )
    found = replace(found, concerns=(*found.concerns, *_concerns(found, start.sources)))
    return point.x[shuffled(keys, len(point.x))], found


def shuffled(keys: Keys, n: int) -> Int[Tensor, " n"]:
    """The order in which corrected samples come: families no longer stand side by side."""
    return keys[:1].fold("shuffle").uniform(n)[0].argsort()


def _jumped(points: MCMCState, weights: Tensor, smoothed: Tensor, n: int, keys: Keys) -> tuple[MCMCState, float]:
    """Resampled from the first draws, then offered the others, one after another, by Metropolis's rule."""
    rounds = max(1, len(weights) // (2 * n))
    first = len(weights) - rounds * n
    index, rates = systematic(smoothed[:first], keys[:1].fold("resample").uniform()[0], n), []
    for k in range(rounds):
        offered = first + k * n + torch.arange(n, device=index.device)
        rate = (weights[offered] - weights[index]).clamp(max=0).exp()
        index = torch.where(keys[:n].fold("jump").fold(k).uniform() < rate, offered, index)
        rates.append(rate.mean().item())
    return points[index], sum(rates) / rounds


def _annealed(found: Annealed, method: str, n: int, proposals: int) -> Start:
    index = _spread(len(found.ancestor), n, found.ancestor.device)
    concerns = (f"only {found.families} families survived the annealing",) if found.collapsed else ()
    sources = len(found.ancestor[index].unique())
    return Start(found.point[index], method, found.log_evidence, found.error, proposals, sources, concerns=concerns)


def _doubted(start: Start, second: Annealed) -> Start:
    """The start, or that of the second population where it has found what the draws have lost, or knows more."""
    gap, error = second.log_evidence - start.log_evidence, hypot(second.error, start.error)
    said = f"log Z {second.log_evidence:.3f} ± {second.error:.3f} against {start.log_evidence:.3f} ± {start.error:.3f}"
    if gap > 3 * error + 0.05:
        return _replaced(start, second, f"WARNING: the draws have lost part of the density ({said})")
    if start.error > max(2 * second.error, LEAST**-0.5):
        return _replaced(start, second, f"few of the draws count ({said})")
    if gap < -3 * error - 0.05:
        return _noted(start, f"the independent population found less ({said}): it has lost something itself")
    if 3 * error > log(2):
        return _noted(start, f"the check is too coarse to notice that half of the density is lost ({said})")
    return start


def _replaced(start: Start, second: Annealed, why: str) -> Start:
    """The second population, in the place of the start."""
    other = _annealed(second, "annealing from wide noise", len(start.point.x), start.proposals)
    notes = (*start.notes, f"{why}; the samples are the independent population's")
    return replace(other, ess=start.ess, k_hat=start.k_hat, notes=notes)


def _noted(start: Start, note: str) -> Start:
    return replace(start, notes=(*start.notes, note))


def _mended(
    start: Start, move: HMC, density: Density, keys: Keys, moves: int
) -> Stream[tuple[MCMCState, TransitionInfo, float]]:
    """Local moves, and the drift of the mean energy under those that count."""
    point = density.at(start.point.x) if start.point.gradients is None else start.point
    move = move.with_step(move.tuned_step * 0.1 * point.x.std())
    learning = warmed.events(move, density, point, keys.fold("warmup"), 2 * moves)
    move, point = yield from part(learning, 0, 2 * moves, 3 * moves)
    before = density.log_p(point)
    moved = yield from part(
        repeated.events(move, point, density, keys.fold("counted"), moves), 2 * moves, moves, 3 * moves
    )
    change = density.log_p(moved.point) - before
    return moved.point, moved, float(change.mean() / (change.std() / len(change) ** 0.5).clamp(min=1e-12))


def _concerns(found: MCMCReport, sources: int) -> list[str]:
    """What speaks against the samples, which stem from so many independent draws."""
    most = max(1.01, 1 + 12 * GROUPS / sources)  # few differ by chance
    r_hat, drift = (found.r_hat, found.drift) if sources >= JUDGED else (1.0, 0.0)
    gates = {
        f"R̂ {r_hat:.3f} is above {most:.3f}": not r_hat <= most,
        f"the energy drifts under exact moves, by {drift:+.1f} standard errors": not abs(drift) <= 5,
        f"local moves are accepted {found.acceptance:.0%} of the time": not 0.1 < found.acceptance < 0.99,
    }
    return [words for words, wrong in gates.items() if wrong]


def grouped_r_hat(x: Float[Tensor, "n ..."], log_p: Float[Tensor, " n"]) -> float:
    """The largest R̂ of log p and the coordinates, with groups of samples as chains (cf. nested R̂, Margossian 2024).

    Samples are many short chains, which never visit each other's modes: it is their groups that must agree, and these
    are of different families where families stand side by side.
    """
    size = len(x) // GROUPS
    if len(x) < JUDGED:
        return nan
    quantities = [log_p, *x.double().flatten(1).T]
    varying = [values for values in quantities if (values != values[0]).any()]
    return max((r_hat(values[: GROUPS * size].reshape(GROUPS, size)) for values in varying), default=nan)


def _spread(size: int, n: int, device: torch.device) -> Tensor:
    """n of `size` equally weighted samples, evenly."""
    return torch.arange(n, device=device) * size // n


def _many(keys: Keys, n: int) -> Keys:
    """As many keys as wanted, derived from the first."""
    return Keys.of(int(keys[:1].key), n, keys.root.device)
