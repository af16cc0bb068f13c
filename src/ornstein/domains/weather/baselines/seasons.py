"""The season and the hour of times: which past days are like today.

Dates are datetime64 or cftime; plain numbers (of a world without a calendar) have no season.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ....keys import Keys

YEAR = 365.2425
"""Days."""
WINDOW = 20.0
"""Days on either side of a day of the year that are like it."""
_HOURS = 1.5 / 24


@dataclass(frozen=True, eq=False)
class Seasons:
    """Times as phases.

    Attributes:
        days: since any date, (n,); None of times without a calendar.
    """

    days: Float[np.ndarray, " n"] | None
    count: int

    @classmethod
    def of(cls, times: Any) -> "Seasons":
        """Of datetime64, cftime or numbers."""
        values = np.asarray(times)
        if values.dtype.kind == "M":
            days = (values - np.datetime64("2000-01-01", "us")) / np.timedelta64(86_400_000_000, "us")
            return cls(days.astype(np.float64), len(values))
        if values.dtype == object and len(values) and hasattr(values[0], "dayofyr"):
            return cls(np.array([_cftime_days(one) for one in values]), len(values))
        return cls(None, len(values))

    def harmonics(self, annual: bool, daily: bool) -> Float[np.ndarray, "n H"]:
        """Sines and cosines of the season and of the hour, (n, 0 … 8).

        Args:
            annual: whether the season is asked for.
            daily: whether the hour is.
        """
        found = [np.zeros((self.count, 0))]
        if self.days is not None:
            phases = [self.days / YEAR] * annual + [self.days] * daily
            for phase in phases:
                angles = 2 * np.pi * phase[:, None] * np.array([1.0, 2.0])
                found += [np.sin(angles), np.cos(angles)]
        return np.concatenate(found, 1)

    @property
    def annual(self) -> bool:
        """Whether there are dates of a year or more."""
        return self.days is not None and self.count > 1 and float(np.ptp(self.days)) >= YEAR

    @property
    def daily(self) -> bool:
        """Whether there are several hours of a day."""
        return self.days is not None and self.count > 1 and bool(np.ptp(self.days % 1.0) > 1e-3)

    def near(self, others: "Seasons", least: int) -> Bool[np.ndarray, "n others"]:
        """Which of the others are like each of these: of its season and hour, `least` of them or all.

        Args:
            others: such as those of a training.
            least: how many are needed; the window is widened until they are there.
        """
        found = np.ones((self.count, others.count), bool)
        if self.days is None or others.days is None or not (others.annual or others.daily):
            return found
        apart = self.days[:, None] - others.days
        hours = np.abs((apart + 0.5) % 1.0 - 0.5) <= _HOURS if others.daily else found
        days = np.abs((apart + YEAR / 2) % YEAR - YEAR / 2) if others.annual else np.zeros_like(apart)
        window = np.full((self.count, 1), WINDOW)
        while window.min() < YEAR:
            found = hours & (days <= window)
            few = found.sum(1, keepdims=True) < least
            if not few.any():
                return found
            window = np.where(few, 2 * window, window)
        few = found.sum(1) < least
        return found | few[:, None]


def picked(now: Seasons, past: Seasons, count: int, keys: Keys) -> Int[np.ndarray, "n count"]:
    """Past times that are like each of these, drawn without repetition while there are enough.

    Args:
        now: times asked about.
        past: times to draw from.
        count: how many of each.
        keys: one a time.
    """
    order = keys.fold("past").uniform(past.count).numpy()
    order = np.argsort(np.where(now.near(past, count), order, 2.0), axis=1)
    return np.take(order, np.arange(count) % past.count, axis=1)


def _cftime_days(time: Any) -> float:
    """Of any calendar, its years stretched to one length."""
    hours = time.hour + time.minute / 60 + time.second / 3600
    share = (time.dayofyr - 1 + hours / 24) / (360 if time.calendar == "360_day" else YEAR)
    return round((time.year - 2000) * YEAR + np.floor(share * YEAR)) + hours / 24
