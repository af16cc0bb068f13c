"""When readings are: the records and steps of a forecast that a time in a file is of."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from ....errors import InputError
from ....values import is_number, number_written
from ..files.pairs import Pairs
from .readings import Reading


@dataclass(frozen=True, eq=False)
class Moments:
    """Which times records are of.

    Attributes:
        times: when forecasts began, (records,): dates, or numbers.
        valid: which times their steps are of, (records, steps), likewise.
        hours: the steps, hours or as the file counts them, (records, steps).
    """

    times: np.ndarray
    valid: np.ndarray
    hours: Float[np.ndarray, "records steps"]

    @classmethod
    def of(cls, pairs: Pairs, leads: str = "joint") -> "Moments":
        """Of all times of a forecast.

        Args:
            pairs: the forecast.
            leads: "joint": a record has all steps; "each": a record is one step of one time, in this order.
        """
        valid = pairs.valid_times
        hours = np.broadcast_to(pairs.step_hours, valid.shape)
        if leads == "joint":
            return cls(pairs.times, valid, hours)
        steps = valid.shape[1]
        return cls(np.repeat(pairs.times, steps), valid.reshape(-1, 1), hours.reshape(-1, 1))

    def matching(self, reading: Reading) -> list[tuple[int, int]]:
        """Records and steps that a reading is of; none where the forecast does not have it.

        Args:
            reading: of a file.

        InputError for a time that is none, and for a step alone where forecasts began at several times.
        """
        when = reading.when
        fits = np.ones(self.valid.shape, dtype=bool)
        if "step" in when:
            fits &= np.abs(self.hours - _hours(when["step"], reading.where)) < 1e-6
            if "time" in when:
                fits &= (_keys(self.times) == _key(when["time"], self.times, reading.where))[:, None]
            elif "valid_time" not in when and len(set(_keys(self.times).tolist())) > 1:
                raise InputError(
                    f"{reading.where}: a step, but the forecast is of several times: expected a valid_time"
                )
        elif "time" in when:
            fits &= self._valid_keys == _key(when["time"], self.valid, reading.where)
        if "valid_time" in when:
            fits &= self._valid_keys == _key(when["valid_time"], self.valid, reading.where)
        return [(int(record), int(step)) for record, step in np.argwhere(fits)]

    @cached_property
    def _valid_keys(self) -> np.ndarray:
        return _keys(self.valid)

    @property
    def words(self) -> str:
        """From when to when."""
        keys = self._valid_keys.ravel()
        return f"{min(keys)} to {max(keys)}"


def _keys(times: np.ndarray) -> np.ndarray:
    """Times as values that are equal where the times are."""
    if times.dtype.kind == "M":
        return times.astype("datetime64[s]")
    if times.dtype == object:
        return np.array([one.isoformat()[:19] for one in times.ravel()]).reshape(times.shape)
    return times.astype(np.float64).round(6)


def _key(said: Any, like: np.ndarray, where: str) -> Any:
    """What a file says of a time, likewise."""
    dates = like.dtype.kind in "MO"
    try:
        if like.dtype == object:
            words = said.isoformat() if hasattr(said, "isoformat") else str(said)
            day, _, clock = words.strip().removesuffix("Z").replace(" ", "T").partition("T")
            return f"{day}T{(clock or '00:00:00') if clock.count(':') != 1 else clock + ':00'}"[:19]
        if dates:
            return np.datetime64(said.strip().removesuffix("Z") if isinstance(said, str) else said).astype(
                "datetime64[s]"
            )
        value = number_written(said) if isinstance(said, str) else float(said)
    except (TypeError, ValueError):
        value = float("nan")
    if not is_number(value):
        expected = "a date such as 2020-01-31T06:00" if dates else "a number, as the forecast's times are"
        raise InputError(f"{where}: time is {str(said)[:40]!r}, expected {expected}")
    return round(value, 6)


def _hours(said: Any, where: str) -> float:
    if isinstance(said, np.timedelta64):
        return float(said / np.timedelta64(1, "h"))
    value = number_written(said.strip().removesuffix("h")) if isinstance(said, str) else float(said)
    if not is_number(value):
        raise InputError(f"{where}: step is {str(said)[:40]!r}, expected a number, as the forecast's steps are")
    return value
