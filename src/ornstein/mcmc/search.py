"""Looking for what draws may lack: populations annealed from wide noise, which know nothing of the draws.

One population of a fixed size where nothing is said of a budget; within a budget as many as it takes until no more than
the tolerance could be missing, at 95 %, or the budget ends.
"""

import time
from dataclasses import dataclass, field

import torch

from ..events import Stream, part
from ..keys import Keys
from ..sampling.diagnostics import missing
from ..spaces import Transition
from ..states import cast
from .annealing import Annealed, anneal, merged
from .budget import Budget
from .densities import Density

EACH = 100
"""Evaluations of a particle on its way, about: 60 to 100 on mixtures and wells, 200 in 32 dimensions, 400 on lj-13."""
FEWEST = 20
"""The smallest population that is worth its evaluations."""
ROUNDS = 8
"""Searches within a budget, at most."""
SEARCHING = "searching with a population that knows nothing of the draws"
OVERHEAD = 3.0
"""How much longer a move takes than its evaluations, until it is known better."""
PILOTS = 64
"""Evaluations by which the seconds of one are measured."""


@dataclass
class Purse:
    """What may still be spent, and what is kept back.

    Attributes:
        reserved: evaluations that the rest of the work takes.
        rate: evaluations a second; measured where seconds are given, from `begun` and so many evaluations `before` on.
    """

    density: Density
    budget: Budget | None
    reserved: int = 0
    rate: float = 1.0
    begun: float = field(default_factory=time.perf_counter)
    before: int = 0

    def measure(self, base: Transition, keys: Keys) -> None:
        """Measures the rate by a few evaluations, where the budget is in seconds."""
        if self.budget is not None and self.budget.seconds is not None:
            pilots = cast(base.sample(many(keys, PILOTS).fold("pilots")), torch.float64)
            self.density.at(pilots)  # the first evaluation may build what later ones use
            self.begun, self.before = time.perf_counter(), self.density.tally.evaluations
            self.density.at(pilots)
            self._update()
            self.rate /= OVERHEAD

    def _update(self) -> None:
        self.rate = (self.density.tally.evaluations - self.before) / max(time.perf_counter() - self.begun, 1e-9)

    @property
    def left(self) -> int | None:
        """Evaluations beyond those kept back; None without a budget."""
        if self.budget is None:
            return None
        if self.budget.seconds is not None:
            self._update()
        return max(0, self.budget.left(self.density.tally, self.rate) - self.reserved)

    def affordable(self, wanted: int, each: float = EACH) -> int:
        """As many of the particles wanted as can be annealed; 0 if these are too few to be worth it.

        Args:
            each: evaluations a particle.
        """
        if self.left is None:
            return wanted
        found = min(wanted, int(self.left / each))
        return found if found >= min(FEWEST, wanted) else 0


def searched(
    density: Density, base: Transition, keys: Keys, particles: int, tolerance: float, purse: Purse
) -> Stream[Annealed | None]:
    """The populations that were annealed, as one; None if the budget allows none.

    Args:
        particles: of the first.
        tolerance: the share that may be missing, above which a budget is spent on more.
    """
    found: list[Annealed] = []
    size, lacking, before = purse.affordable(particles), 1.0, density.tally.evaluations
    while size and lacking > tolerance and len(found) < ROUNDS:
        own = many(keys, size).fold("check").fold(len(found))
        annealing = anneal.events(density, base, own, most=purse.left)
        found.append((yield from part(annealing, len(found), 1, 1 if purse.left is None else ROUNDS, SEARCHING)))
        lacking, tried = missing(merged(found).shares), sum(len(one.ancestor) for one in found)
        needed = int(1.2 * tried * (lacking / tolerance - 1))
        spent = (density.tally.evaluations - before) / tried
        size = 0 if purse.left is None else purse.affordable(max(needed, FEWEST), spent)
    return merged(found) if found else None


def many(keys: Keys, count: int) -> Keys:
    """So many independent keys, of which the first key decides."""
    return Keys.of(int(keys[:1].key), count, keys.root.device)
