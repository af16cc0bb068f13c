"""Past truths that are like today's: what climatology is made of, and what the Schaake shuffle takes its order from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ....keys import Keys
from .records import Given, Records
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

    def given(self, which: Int[np.ndarray, " count"]) -> Given:
        """These records, in this order, each read once."""
        unique, place = np.unique(which, return_inverse=True)
        found = Given.of(self.records, unique)
        return Given(
            found.predictors[place],
            found.members[place],
            found.happened[place],
            Seasons.of(self.records.times[which]),
            found.shape,
        )


@dataclass(frozen=True, eq=False)
class Climatology:
    """Members are past truths of the season and the hour, whole: joint in all variables, leads and points."""

    past: Past

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """`count` members of each record."""
        return np.stack([self.past.given(which).happened for which in self.past.picked(given, count, keys)])
