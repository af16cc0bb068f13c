"""Past truths that are like today's: what climatology is made of, and what the Schaake shuffle takes its order from."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Float, Int

from ....keys import Keys
from .records import BATCH, Given, Records, size
from .seasons import Seasons, picked


@dataclass(frozen=True, eq=False)
class Past:
    """The records of a training.

    Attributes:
        records: with their truths.
        seasons: of their times.
    """

    records: Records
    seasons: Seasons

    @classmethod
    def of(cls, records: Records) -> "Past":
        """Of records, in memory or not."""
        return cls(records, Seasons.of(records.times))

    def picked(self, given: Given, count: int, keys: Keys) -> Int[np.ndarray, "n count"]:
        """Which past records are of the season and the hour of each of these."""
        return picked(given.seasons, self.seasons, count, keys)

    def given(self, which: Int[np.ndarray, " count"]) -> Iterator[tuple[Int[np.ndarray, " some"], Given]]:
        """These records, each read once, some at a time, with the places that each has in the order asked for."""
        unique, place = np.unique(which, return_inverse=True)
        step = max(1, BATCH // size(self.records))
        for first in range(0, len(unique), step):
            here = np.flatnonzero((place >= first) & (place < first + step))
            yield here, Given.of(self.records, unique[first : first + step]).taken(place[here] - first)

    def truths(self, which: Int[np.ndarray, " count"]) -> Float[np.ndarray, "count V S points"]:
        """What happened in these records, in this order."""
        channels = len(self.records.variables), len(self.records.steps), prod(self.records.grid.shape)
        found = np.empty((len(which), *channels), np.float32)
        for here, given in self.given(which):
            found[here] = given.happened
        return found


@dataclass(frozen=True, eq=False)
class Climatology:
    """Members are past truths of the season and the hour, whole: joint in all variables, leads and points."""

    past: Past

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """`count` members of each record."""
        return np.stack([self.past.truths(which) for which in self.past.picked(given, count, keys)])
