"""What stored numbers mean, by the CF conventions (version 1.11, 2.5 and 8.1; xarray reads the same).

    value = stored · scale_factor + add_offset,     NaN where stored is _FillValue or one of missing_value

Times are numbers with units such as "hours since 1900-01-01" and a calendar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError, needed_for

_PIECE = 1 << 18
"""Numbers that are unpacked at once: in float64, whatever the memory of the whole."""


@dataclass(frozen=True)
class Packing:
    """How the numbers of a variable are stored.

    Attributes:
        scale, offset: of the values.
        missing: stored numbers that stand for none.
        unsigned: whether whole numbers are to be taken as not negative, whatever their type.
    """

    scale: float = 1.0
    offset: float = 0.0
    missing: tuple[float, ...] = ()
    unsigned: bool = False

    @property
    def plain(self) -> bool:
        """Whether the numbers are the values."""
        return self == Packing()

    def values(self, stored: np.ndarray) -> np.ndarray:
        """float32, or complex64 of complex numbers; computed in double precision and rounded once."""
        kind = stored.dtype.kind
        if self.unsigned and kind == "i":
            stored = stored.view(stored.dtype.str.replace("i", "u"))
        target = np.complex64 if kind == "c" else np.float32
        if self.plain:
            with np.errstate(over="ignore"):
                return stored.astype(target, copy=False)
        found = np.empty(stored.shape, target)
        flat, out = stored.reshape(-1), found.reshape(-1)
        for first in range(0, len(flat), _PIECE):
            piece = flat[first : first + _PIECE]
            with np.errstate(over="ignore"):  # too large for float32 becomes ∞, which is found and named
                out[first : first + _PIECE] = (
                    piece.astype(np.result_type(target, np.float64)) * self.scale + self.offset
                )
            for value in self.missing:
                out[first : first + _PIECE][piece == np.asarray(value).astype(piece.dtype)] = np.nan
        return found


def packing(attributes: Mapping[str, Any], dtype: np.dtype, where: str) -> Packing:
    """As the attributes of a variable say it; InputError if they are no numbers.

    Args:
        attributes: of the variable.
        dtype: of what is stored.
        where: file and variable, for the error.
    """

    def number(name: str, default: float) -> float:
        value = attributes.get(name, default)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InputError(f"{where}: attribute {name} is {value!r}, expected a number") from None

    missing: list[float] = []
    for name in ("_FillValue", "missing_value"):
        value = attributes.get(name)
        for one in value if isinstance(value, list | tuple) else [] if value is None else [value]:
            missing += _stands_for_none(one, dtype, f"{where}: attribute {name}")
    unsigned = str(attributes.get("_Unsigned", "false")).lower() == "true"
    return Packing(number("scale_factor", 1.0), number("add_offset", 0.0), tuple(dict.fromkeys(missing)), unsigned)


def _stands_for_none(value: Any, dtype: np.dtype, where: str) -> list[float]:
    """The number of that type that stands for a missing one, if there can be one: NaN is missing anyway."""
    if dtype.kind in "cb":
        return []
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where} is {value!r}, expected a number") from None
    if found != found:
        return []
    if dtype.kind in "iu" and not (found.is_integer() and np.iinfo(dtype).min <= found <= np.iinfo(dtype).max):
        return []
    return [found]


# Times ------------------------------------------------------------------------------------------------


def times(stored: np.ndarray, attributes: Mapping[str, Any], where: str) -> np.ndarray | None:
    """Instants as datetime64, if the numbers are such, of a calendar of the real world; else None.

    InputError if the units cannot be understood.

    Args:
        stored: the numbers of a coordinate.
        attributes: of the coordinate.
        where: file and variable, for the error.
    """
    if stored.dtype.kind == "M":
        return stored
    calendar = str(attributes.get("calendar", "standard")).lower()
    if " since " not in str(attributes.get("units", "")) or calendar not in _REAL:
        return None
    with needed_for(f"{where}: reading times", "fields"):
        import xarray
    about = {key: attributes[key] for key in ("units", "calendar") if key in attributes}
    try:
        found = xarray.decode_cf(xarray.Dataset({"t": ("t", stored, about)}))["t"].values
    except (ValueError, TypeError, OverflowError, ImportError) as error:
        raise InputError(f"{where}: times in {about} cannot be read ({str(error).splitlines()[0]})") from None
    if found.dtype.kind != "M":
        raise InputError(f"{where}: times in {about} are not those of a calendar of the real world")
    return found


_REAL = ("standard", "gregorian", "proleptic_gregorian")


def iso(times: Sequence[Any] | np.ndarray) -> list[str]:
    """Instants as ISO 8601, to the second, or finer where they are."""
    found = np.asarray(times)
    whole = found.astype("datetime64[s]")
    return np.datetime_as_string(whole if (whole == found).all() else found).tolist()
