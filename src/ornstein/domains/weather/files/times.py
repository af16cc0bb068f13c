"""Initial times, steps and valid times: dates of one calendar, or plain numbers.

The valid time of a record is its initial time plus its step. Dates are datetime64 (ns) or, in calendars other than
ours, cftime. Steps are durations where times are dates, else numbers of the same unit.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ....errors import InputError

if TYPE_CHECKING:
    import xarray

_NANOSECONDS = {
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 1),
    **dict.fromkeys(("us", "microsecond", "microseconds"), 1_000),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1_000_000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000_000_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000_000_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000_000_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000_000_000),
}
_REAL = ("standard", "gregorian", "proleptic_gregorian")
"""Calendars that datetime64 counts by, after 1582."""


def durations(values: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Steps as timedelta64 (ns), or as plain numbers where no unit is said.

    Args:
        values: as the file has them.
        attrs: of them.
    """
    if values.dtype.kind == "m":
        return values.astype("timedelta64[ns]")
    unit = _NANOSECONDS.get(str(attrs.get("units", "")).strip().lower())
    if unit is None or values.dtype.kind not in "fiu":
        return values
    return np.round(values.astype(np.float64) * unit).astype(np.int64).astype("timedelta64[ns]")


def dates(values: np.ndarray, where: object) -> np.ndarray:
    """Times as datetime64 (ns), cftime or plain numbers; of cftime, our own calendar becomes datetime64.

    Args:
        values: as the file has them.
        where: they stand.
    """
    if values.dtype.kind == "M":
        return values.astype("datetime64[ns]")
    if values.dtype.kind in "fiu":
        return values.astype(np.float64)
    if values.dtype.kind in "USTO" and all(isinstance(one, str | bytes) for one in values.ravel()):
        return _read(values, where)
    if values.dtype.kind != "O" or not all(hasattr(one, "calendar") for one in values.ravel()):
        raise InputError(f"{where}: times such as {values.ravel()[0]!r}, expected dates or numbers")
    if calendar(values) in _REAL and all(1678 <= one.year <= 2261 for one in values.ravel()):
        return np.array([one.isoformat() for one in values.ravel()], dtype="datetime64[ns]").reshape(values.shape)
    return values


def _read(values: np.ndarray, where: object) -> np.ndarray:
    """Dates of texts such as 2020-01-31T06:00."""
    texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in values.ravel().tolist()]
    try:
        found = [np.datetime64(one.strip().removesuffix("Z").replace(" ", "T"), "ns") for one in texts]
    except ValueError as error:
        raise InputError(f"{where}: {error}, expected dates such as 2020-01-31T06:00") from None
    return np.array(found).reshape(values.shape)


def calendar(times: np.ndarray) -> str:
    """Of times: "standard", another of CF such as "noleap", or "" of plain numbers."""
    if times.dtype.kind == "M":
        return "standard"
    found = getattr(times.ravel()[0], "calendar", "") if times.dtype.kind == "O" and times.size else ""
    return "standard" if found in _REAL else found


def times_of(data: "xarray.Dataset", where: object) -> np.ndarray:
    """Times of a file by our names, (T,); InputError if one is missing. Without any, the number 0.

    Args:
        data: of the file.
        where: it is from.
    """
    if "time" not in data.coords:
        if "time" in data.dims:
            raise InputError(f"{where}: dimension 'time' has no coordinate, expected dates or numbers")
        return np.zeros(1)
    if not data["time"].size:
        raise InputError(f"{where}: 'time' is empty, expected one time or more")
    found = dates(np.atleast_1d(data["time"].values), f"{where}: 'time'")
    missing = _missing(found)
    if missing.any():
        raise InputError(f"{where}: 'time' {int(np.argmax(missing))} is missing, expected a date or a number")
    return found


def steps_of(data: "xarray.Dataset", times: np.ndarray, where: object) -> tuple[np.ndarray, list[str]]:
    """Steps of a forecast by our names, (S,), and what is to be said of them.

    Args:
        data: of the file.
        times: of it.
        where: it is from.
    """
    dated = times.dtype.kind in "MO"
    if "step" not in data.coords:
        if data.sizes.get("step", 1) > 1:
            raise InputError(f"{where}: dimension 'step' has no coordinate, expected durations or numbers")
        return (np.zeros(1, "timedelta64[ns]") if dated else np.zeros(1)), []
    found = durations(np.atleast_1d(data["step"].values), data["step"].attrs)
    if found.dtype.kind not in "mfiu" or _missing(found).any():
        raise InputError(f"{where}: steps such as {found[0]!r}, expected durations or numbers, none missing")
    if dated and found.dtype.kind != "m":
        hours = durations(found, {"units": "hours"})
        return hours, [f"{where}: steps {_listed(found)} have no unit, taken as hours"]
    if not dated and found.dtype.kind == "m":
        raise InputError(f"{where}: steps are durations and times plain numbers, expected dates or numbers for both")
    return (found if dated else found.astype(np.float64)), []


def chosen_steps(steps: np.ndarray, wanted: Sequence[float], where: object) -> Int[np.ndarray, " s"]:
    """Places of the steps that are wanted, in that order, each once; all that do not repeat if none is said.

    InputError names those that are not there.

    Args:
        steps: of a file.
        wanted: in hours, or plain numbers where the steps have no unit.
        where: the file is.
    """
    hours = step_hours(steps)
    if not len(wanted):
        return np.sort(np.unique(hours, return_index=True)[1])
    gaps = np.abs(hours[None] - np.asarray(wanted, dtype=np.float64)[:, None])
    missing = [one for one, gap in zip(wanted, gaps, strict=True) if gap.min() > 1e-4 * max(1.0, abs(one))]
    if missing:
        unit = " h" if steps.dtype.kind == "m" else ""
        raise InputError(
            f"{where}: has no lead {_listed(missing)}{unit}, expected {_listed(wanted)}{unit}; it has "
            f"{_listed(hours)}{unit}"
        )
    return np.array(list(dict.fromkeys(gaps.argmin(1).tolist())))


def step_hours(steps: np.ndarray) -> Float[np.ndarray, " s"]:
    """Leads in hours, or as they are where they have no unit."""
    return steps / np.timedelta64(1, "h") if steps.dtype.kind == "m" else steps.astype(np.float64)


def lead_names(steps: Any) -> list[str]:
    """Of steps: hours of times, else numbers.

    Args:
        steps: timedelta64 or numbers.
    """
    values = np.asarray(steps)
    if values.dtype.kind == "m":
        return [f"{hours:g} h" for hours in values / np.timedelta64(1, "h")]
    return [f"{value:g}" for value in values]


def valid_times(times: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(T, S) of initial times (T,) and steps (S,)."""
    if times.dtype.kind != "O":
        return times[:, None] + steps[None, :]
    leads = [np.timedelta64(step, "us").item() for step in steps]
    return np.array([[time + lead for lead in leads] for time in times], dtype=object).reshape(len(times), len(steps))


def rows(wanted: np.ndarray, known: np.ndarray, where: object) -> Int[np.ndarray, "*shape"]:
    """The place of each time among those that are known, −1 where it is not; the first of those that repeat.

    InputError for two calendars, or for dates beside numbers.

    Args:
        wanted: times.
        known: times (K,).
        where: the known ones are from.
    """
    ours, theirs = calendar(wanted), calendar(known)
    if ours != theirs:
        raise InputError(
            f"{where}: the calendar is {theirs or 'none, plain numbers'}, and that of the forecast "
            f"{ours or 'none, plain numbers'}: expected the same"
        )
    a, b = ordinals(wanted), ordinals(known)
    order = np.argsort(b, kind="stable")
    at = np.searchsorted(b[order], a - _slack(b), side="left").clip(max=len(b) - 1)
    place = order[at]
    return np.where(np.abs(b[place] - a) <= _slack(b), place, -1)


def written(time: Any) -> str:
    """A date as ISO 8601 has it, a duration in hours, a number as it is.

    Args:
        time: one time or step.
    """
    if isinstance(time, np.datetime64):
        return str(np.datetime_as_string(time, unit="s"))
    if isinstance(time, np.timedelta64):
        return f"{time / np.timedelta64(1, 'h'):g}"
    return time.isoformat() if hasattr(time, "isoformat") else f"{time:g}"


def ordinals(times: np.ndarray) -> np.ndarray:
    """Times as numbers in order: nanoseconds, microseconds of cftime, or what they are."""
    if times.dtype.kind == "M":
        return times.astype("datetime64[ns]").astype(np.int64)
    if times.dtype.kind != "O":
        return times.astype(np.float64)
    first = times.ravel()[0]
    zero = type(first)(1, 1, 1, calendar=first.calendar) if type(first).__name__ == "datetime" else type(first)(1, 1, 1)
    found = [(one - zero).days * 86_400_000_000 + _rest(one - zero) for one in times.ravel()]
    return np.array(found, dtype=np.int64).reshape(times.shape)


def _rest(delta: Any) -> int:
    return delta.seconds * 1_000_000 + delta.microseconds


def _slack(known: np.ndarray) -> Any:
    """How far two times of one moment may lie apart: rounding, of plain numbers."""
    if known.dtype.kind == "i":
        return 0
    gaps = np.diff(np.unique(known))
    return 1e-3 * gaps.min() if len(gaps) else 1e-9 * max(1.0, abs(known[0]))


def _missing(values: np.ndarray) -> Bool[np.ndarray, " n"]:
    if values.dtype.kind in "Mm":
        return np.isnat(values)
    return ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)


def _listed(values: Any) -> str:
    shown = [f"{float(one):g}" for one in list(values)[:12]]
    return ", ".join(shown) + (f" and {len(values) - 12} more" if len(values) > 12 else "")
