"""Members of independent points put into an order that goes together: the values of EMOS, the ranks of other members.

    ECC      the order of the raw members (Schefzik, Thorarinsdottir & Gneiting 2013)
    Schaake  the order of past truths (Clark et al. 2004)

The k-th smallest value of each variable, lead and point goes to the member that is the k-th smallest there of the
fields whose order is taken. The values are draws, not levels k/(M + 1): members stay draws of one law.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ....keys import Keys
from .emos import Emos
from .past import Past
from .records import Given

FEWEST = 5
"""Raw members whose order says something."""


def ordered(
    values: Float[np.ndarray, "M *field"], like: Float[np.ndarray, "M *field"]
) -> Float[np.ndarray, "M *field"]:
    """The values of each point in the order of other fields.

    Args:
        values: of members.
        like: whose ranks are taken; members that are equal keep their order.
    """
    found = np.empty_like(values)
    for place in np.ndindex(*values.shape[1:-1]):
        where = (slice(None), *place)
        ranks = np.argsort(np.argsort(like[where], 0, kind="stable"), 0, kind="stable")
        found[where] = np.take_along_axis(np.sort(values[where], 0), ranks, 0)
    return found


@dataclass(frozen=True, eq=False)
class Coupled:
    """ECC: EMOS in the order of the raw members, M at a time, where more are asked for than there are."""

    emos: Emos

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """`count` members of each record."""
        raw = given.members.shape[1]
        values = self.emos(given, -(-count // raw) * raw, keys)
        found = [
            ordered(some, like)
            for each, like in zip(values, given.members, strict=True)
            for some in np.split(each, len(each) // raw)
        ]
        return np.stack(found).reshape(values.shape)[:, :count]


@dataclass(frozen=True, eq=False)
class Schaake:
    """EMOS in the order of past truths of the season."""

    emos: Emos
    past: Past

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """`count` members of each record."""
        values, which = self.emos(given, count, keys), self.past.picked(given, count, keys)
        pairs = zip(values, which, strict=True)
        return np.stack([ordered(each, self.past.truths(some)) for each, some in pairs])
