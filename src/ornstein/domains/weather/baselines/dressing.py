"""Residual dressing: the law of today with the residuals of past days (Roulston & Smith 2003), as whole fields.

    member k = F⁻¹(u_k),  u_k = F'(y'),   F' the EMOS law of a past day and y' what happened then

Of a normal law it is μ + σ (y' − μ')/σ': the mean of today and a past residual, in today's spread. Of a law with a
point mass the place in it is one uniform number a field, which keeps dry points together.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ....keys import Keys
from .emos import Emos
from .past import Past
from .records import Given


@dataclass(frozen=True, eq=False)
class Dressed:
    """EMOS with past residual fields."""

    emos: Emos
    past: Past

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """`count` members of each record."""
        which = self.past.picked(given, count, keys)
        places = keys.fold("place").uniform(*which.shape[1:]).numpy()
        found = np.empty((*which.shape, *given.members.shape[2:]), np.float32)
        for case, place in enumerate(places):
            today = self.emos.predicted(given.taken(np.array([case])))
            for here, past in self.past.given(which[case]):
                levels = self._levels(past, place[here])
                for channel in np.ndindex(*levels.shape[1:3]):
                    found[case, here, *channel] = today.quantile(channel, levels[None, :, *channel])[0]
        return found

    def _levels(self, past: Given, place: np.ndarray) -> np.ndarray:
        """Of past residuals in their laws, (some, V, S, points); in the middle where the past is not known."""
        places = np.broadcast_to(place[:, None, None, None], past.happened.shape)
        return np.nan_to_num(self.emos.predicted(past).level(past.happened, places), nan=0.5)
