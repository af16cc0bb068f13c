"""What is said of corrected samples: what speaks for and against them, and how much could be missing."""

from dataclasses import dataclass
from math import expm1, hypot, isnan, nan

from jaxtyping import Float
from torch import Tensor

from ..keys import Keys
from ..sampling.convergence import r_hat
from ..sampling.diagnostics import missing
from .annealing import Annealed
from .budget import Effort
from .densities import Density, MCMCState
from .moves import Move, TransitionInfo
from .pool import Members, Pool
from .proposals import Draws
from .report import MCMCReport, percent

TRUSTED = 0.7
"""The largest k̂ with which weights of draws are trusted."""
LEAST = 50
"""The smallest effective sample size with which they are."""
EVEN = 0.95
"""The effective share above which k̂ says nothing."""
DRIFTING = 3.0
"""Standard errors of the mean energy by which the last moves of a search may change it."""
GROUPS = 4
"""Groups of families that R̂ compares."""
JUDGED = 4 * GROUPS
"""The fewest samples that can be judged by themselves."""


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


@dataclass(frozen=True)
class Judged:
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
