"""Quantile mapping: each raw member becomes the value that is as rare as it (Panofsky & Brier 1958).

    y = F_truth⁻¹(F_forecast(x))

Both laws are those of the training: of each point, where there are enough records, else of all points together.
Beyond the ends the shift of the end is kept. Equal lowest values (no rain) are spread below the lowest by a key, so
that a point mass of the forecast may become one of another size.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ....keys import Keys
from .records import HELD, Given, Records, size

LEVELS = 200
"""Quantiles of each law at most."""
ENOUGH = 100
"""Records from which the law of a point is taken."""
_BELOW = 1e-6


@dataclass(frozen=True, eq=False)
class QuantileMapping:
    """Of each variable and step, at each point or (points = 1) of all.

    Attributes:
        forecast, truth: quantiles at the same levels, rising.
        lowest: value of each variable's forecasts.
        bounded: whether the truth of a variable is never negative.
    """

    forecast: Float[np.ndarray, "V S points L"]
    truth: Float[np.ndarray, "V S points L"]
    lowest: Float[np.ndarray, " V"]
    bounded: tuple[bool, ...]

    @classmethod
    def fit(cls, records: Records) -> "QuantileMapping":
        """To records with their truths, as many as memory allows, spread over all."""
        count = len(records.times)
        few = int(np.clip(HELD // size(records), 1, count))
        index = np.unique(np.linspace(0, count - 1, few).round().astype(int))
        given = Given.of(records, index)
        truth, members = np.moveaxis(given.happened, 0, -1), np.moveaxis(given.members, (0, 1), (-2, -1))
        lowest = np.nanmin(members.reshape(len(members), -1), 1)
        places = np.moveaxis(_places(given, Keys.of(0, index.tolist())), (0, 1), (-2, -1))
        members = spread(members, lowest[:, None, None, None, None], places)
        members = members.reshape(*truth.shape[:3], -1)
        if len(index) < ENOUGH:
            truth, members = (values.reshape(*values.shape[:2], 1, -1) for values in (truth, members))
        levels = (np.arange(n := min(LEVELS, truth.shape[-1])) + 0.5) / n
        found = [np.moveaxis(_quantiles(values, levels), 0, -1) for values in (members, truth)]
        return cls(found[0], found[1], lowest, tuple(bool(np.nanmin(one) >= 0) for one in truth))

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """The raw members, mapped, at most `count`."""
        lowest = self.lowest[:, None, None]
        members = spread(given.members, lowest, _places(given, keys))[:, :count]
        found = np.empty_like(members)
        for place in np.ndindex(*self.forecast.shape[:3]):
            where = (..., *place[:2], slice(None) if self.forecast.shape[2] == 1 else place[2])
            found[where] = _mapped(members[where], self.forecast[place], self.truth[place])
        for v, bounded in enumerate(self.bounded):
            found[:, :, v] = np.maximum(found[:, :, v], 0.0) if bounded else found[:, :, v]
        return found


def spread(values: np.ndarray, lowest: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values that equal the lowest put a little below it, in the order of uniform numbers."""
    return np.where(values <= lowest, lowest - _BELOW * places, values)


def _places(given: Given, keys: Keys) -> np.ndarray:
    """Uniform numbers, of each member's variables and points."""
    return keys.fold("lowest").uniform(*given.members.shape[1:]).numpy()


def _quantiles(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Of the last axis, NaN left out."""
    if np.isnan(values).any():
        with np.errstate(all="ignore"):
            return np.nanquantile(values, levels, axis=-1, method="hazen")
    return np.quantile(values, levels, axis=-1, method="hazen")


def _mapped(values: np.ndarray, forecast: np.ndarray, truth: np.ndarray) -> np.ndarray:
    inside = np.interp(values, forecast, truth)
    beyond = np.minimum(values - forecast[0], 0.0) + np.maximum(values - forecast[-1], 0.0)
    return np.where(np.isnan(values), np.nan, inside + beyond)
