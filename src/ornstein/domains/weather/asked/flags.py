"""What a user may say of the ensemble that is drawn, in flags, and which of these go together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Int

from ....config import require_in
from ....errors import InputError
from ..files.times import written

EXPECTED = (
    "expected numbers from 0 such as 3, 0:10, 0:100:5 or -5: (the last five), or dates such as 2020-01-31, "
    "2020-01:2020-03 or 2020-01-01T00:2020-01-01T12, both ends included"
)
_DATE = r"\d{4}-\d{2}(?:-\d{2}(?:T\d{2}(?::\d{2}(?::\d{2})?)?)?)?"
_DATES = re.compile(rf"(?P<start>{_DATE})?(?:(?P<range>[:/])(?P<stop>{_DATE})?)?")
_NUMBERS = re.compile(r"(?P<start>-?\d{1,9})?(?:(?P<range>:)(?P<stop>-?\d{1,9})?(?::(?P<step>[1-9]\d{0,8}))?)?")


@dataclass(frozen=True)
class WeatherRequest:
    """What to draw.

    Attributes:
        forecast: the forecast of today, or of many days: NetCDF, Zarr, GRIB, or a table of stations (CSV, Parquet),
            with the variables and leads that the model has learned; a path or a pattern. What ships with the model if
            neither this nor --held-out is given.
        members: of the ensemble of each time.
        times: which of the forecast's initial times: numbers from 0, as 0:10, or dates, as 2020-01-01:2020-02-01, both
            ends included; all if not given.
        truth: what happened, kept beside the ensemble to judge it by; the model is not told.
        held_out: draw for the forecasts of the training's own files that it did not learn from: those that validate, or
            those it is judged on.
        observations: readings of today, a CSV file of places, or a NetCDF file of stations; see the factors.
        observation_std: of the errors of these, where the file does not say them: 0.5, or t2m=0.5,u10=1.2.
        event: a threshold, such as "t2m > 303.15 @ 47.3,11.4": how probable it is, by --exact particles.
        recalibrate: whether members are spread about their mean by factors that were fitted on times that validate;
            not said = if that helped there.
        window: points a side of the windows by which a model that learned from windows draws the whole grid, a multiple
            of what its network divides by; 0 = as many as it learned from.
        csv: of stations, write ens.csv, too: a row a time, member, step and station.
    """

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "the forecast": ("forecast", "members", "times", "held_out"),
        "what is known besides": ("observations", "observation_std", "event"),
        "what is written": ("recalibrate", "window", "csv"),
        "what samples are judged by": ("truth",),
    }

    forecast: Path | None = None
    members: int = 50
    times: str = ""
    truth: Path | None = None
    held_out: Literal["", "validation", "test"] = ""
    observations: Path | None = None
    observation_std: str = ""
    event: str = ""
    recalibrate: bool | None = None
    window: int = 0
    csv: bool = False

    def __post_init__(self) -> None:
        require_in(self, "--", {"members": "[1, 1e6]", "window": "[0, 65536]"})
        if self.forecast is not None and self.held_out:
            raise InputError("--forecast and --held-out both say which forecasts are meant, expected one of them")
        if self.truth is not None and self.held_out:
            raise InputError("--held-out knows the truth from the training's files: leave out --truth")
        if self.truth is not None and self.forecast is None:
            raise InputError("--truth is for --forecast: give it, too")
        if self.times and not (_NUMBERS.fullmatch(self.times) or _DATES.fullmatch(self.times)):
            raise InputError(f"--times is {self.times!r}, {EXPECTED}")

    @property
    def said(self) -> list[str]:
        """The names of the flags that were given."""
        return [one.name for one in fields(self) if getattr(self, one.name) != one.default]

    def chosen(self, times: np.ndarray) -> Int[np.ndarray, " n"]:
        """The places of the times that were asked for, rising.

        Args:
            times: initial times of the forecast: dates of NumPy or of another calendar, or plain numbers.
        """
        found = np.arange(len(times))
        if self.times:
            numbers = _NUMBERS.fullmatch(self.times)
            found = found[_slice(numbers)] if numbers else found[_between(self.times, times)]
        if not len(found):
            span = f", from {written(times[0])} to {written(times[-1])}" if len(times) else ""
            raise InputError(
                f"--times is {self.times!r}, but none of the {len(times)} times is meant{span}; {EXPECTED}"
            )
        return found

    def short_of(self, count: int) -> list[str]:
        """What is to be said where a range of numbers ends after the last time.

        Args:
            count: of the times that there are.
        """
        numbers = _NUMBERS.fullmatch(self.times)
        stop = None if numbers is None else numbers["stop"]
        return [] if stop is None or int(stop) <= count else [f"--times {self.times}: there are {count} times"]


def _slice(found: re.Match[str]) -> slice:
    start, stop = (None if found[end] is None else int(found[end]) for end in ("start", "stop"))
    if found["range"]:
        return slice(start, stop, None if found["step"] is None else int(found["step"]))
    place = int(found[0])
    return slice(place, place + 1 if place != -1 else None)


def _between(said: str, times: np.ndarray) -> np.ndarray:
    """Which dates lie within two that are said, to the day, hour or minute that these are said to."""
    texts = [written(time) for time in times]
    if texts and not re.match(r"\d{4}-", texts[0]):
        raise InputError(f"--times is {said!r}, a date, but the forecast's times are numbers such as {texts[0]}")
    found = _DATES.fullmatch(said)
    assert found is not None
    start, stop = found["start"] or "", found["stop"] or ""
    if not found["range"]:
        stop = start
    if start and stop and start[: len(stop)] > stop[: len(start)]:
        raise InputError(f"--times is {said!r}, which ends before it begins; {EXPECTED}")
    last = stop or "9999"
    return np.array([text[: len(start)] >= start and text[: len(last)] <= last for text in texts], dtype=bool)


def flag(name: str) -> str:
    """How a field of a request is said on the command line."""
    return f"--{name}".replace("_", "-")
