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
        levels = np.stack([self._levels(some, place) for some, place in zip(which, places, strict=True)])
        return self.emos.predicted(given).quantile(levels)

    def _levels(self, which: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Of past residuals in their laws, (M, V, S, points); in the middle where the past is not known."""
        past = self.past.given(which)
        places = np.broadcast_to(place[:, None, None, None], past.happened.shape)
        return np.nan_to_num(self.emos.predicted(past).level(past.happened, places), nan=0.5)
