"""Tables of stations, CSV or Parquet, as data sets with the dims (time, [step], [number], station).

One row a record, in any order; a column for each variable, or one of names and one of values ("variable", "value").
What a row is of is said by columns with the usual names: station (or an id), time, step or valid_time, number,
latitude, longitude, altitude. A unit may stand in a header, "t2m [K]", and members side by side, "rain.1", "rain.2", …
"""

import gzip
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import InputError, needed_for
from ....files import GB
from .grids import role_of
from .names import role

if TYPE_CHECKING:
    import xarray

TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".parquet", ".pq")
"""Ends of the names of tables."""
STATIONS = (
    *(
        "station",
        "station_id",
        "stationid",
        "id",
        "stid",
        "wmo_id",
        "wmo",
        "site",
        "site_id",
        "location",
        "location_id",
    ),
    *("station_name", "name"),
)
"""Headers of the names of stations."""
GROUPED = "columns_as_members"
"""The attribute of a table that says so."""
_LARGEST = 16 * GB  # of a table as an array
_HEADER = re.compile(r"^(.*?)\s*[\[(]([^\])]*)[\])]$")
_MEMBER = re.compile(r"^(.+?)[._\[ -](?:m|mem|member|ens|number)?(\d+)\]?$", re.IGNORECASE)
_AXES = ("time", "valid_time", "step", "number")


def is_table(path: Path) -> bool:
    """Whether a file is one, by its name."""
    return path.name.lower().endswith(TABLES)


def read_table(path: Path) -> "xarray.Dataset":
    """A table of a file.

    InputError names the line and the column of what is no number, no date, or said twice.

    Args:
        path: of a file with a header.
    """
    pandas = _pandas()
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            with needed_for("Parquet files", "parquet"):
                import pyarrow  # noqa: F401  # pyright: ignore[reportMissingImports]
            frame = pandas.read_parquet(path).reset_index()
        else:
            frame = pandas.read_csv(path, sep=_separator(path), skipinitialspace=True, low_memory=False)
    except (ValueError, OSError) as error:  # of pandas and pyarrow: all of theirs are one of these
        if isinstance(error, PermissionError | InputError):
            raise
        raise InputError(f"{path}: no table that can be read ({error}), expected UTF-8, a header and rows") from None
    return of_frame(frame, path)


def _pandas() -> Any:
    with needed_for("tables of stations", "weather"):
        return import_module("pandas")


def _separator(path: Path) -> str:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        head = file.readline(65536)
    return max(",;\t", key=lambda mark: head.count(mark.encode()))


def of_frame(frame: Any, where: object) -> "xarray.Dataset":
    """A table in memory as a data set.

    Args:
        frame: with named columns.
        where: it is from.
    """
    import xarray

    frame, units = _headers(frame)
    known = _known_columns(frame)
    if not ({"time", "valid_time"} & set(known)):
        raise InputError(f"{where}: no column of times among {', '.join(frame.columns[:20])}, expected 'time'")
    if not len(frame):
        raise InputError(f"{where}: no rows, expected one for each time and station")
    station, places = _stations(frame, known, where)
    said = [name for name in _AXES if name in known and not (name == "valid_time" and "time" in known)]
    axes = {name: _axis(frame[known[name]], name, where) for name in said}
    codes = {name: np.unique(axis, return_inverse=True) for name, axis in axes.items()}
    shape = (*(len(values) for values, _ in codes.values()), len(places["station"][1]))
    if 8 * prod(shape) > _LARGEST:
        raise InputError(f"{where}: {shape} times, steps and stations, more than {_LARGEST // GB} GB as an array")
    at = np.ravel_multi_index([code for _, code in codes.values()] + [station], shape)
    coords: dict[str, Any] = {name: (name, values) for name, (values, _) in codes.items()} | places
    data = {}
    about = {}
    for name, columns in _variables(frame, known, where).items():
        parts = [_filled(values, rows, at, shape, f"{where}: {name!r}") for values, rows in columns]
        several = len(parts) > 1
        dims = (*codes, "station", *["number"] * several)
        data[name] = (dims, np.stack(parts, -1) if several else parts[0], {"units": units.get(name, "")})
        if several:
            coords["number"] = ("number", np.arange(len(parts)))
            about[GROUPED] = f"columns {name}… that count on are taken as {len(parts)} members"
    _require_members(data, where)
    found = xarray.Dataset(data, coords=coords, attrs=about)
    for name in axes:
        found[name].attrs["units"] = units.get(known[name], "")
    return found


def _headers(frame: Any) -> tuple[Any, dict[str, str]]:
    """Columns by their names alone, and the units that stood beside them."""
    names, units = [], {}
    for column in map(str, frame.columns):
        found = None if _MEMBER.match(column) else _HEADER.match(column)
        names.append(found[1] if found else column.strip())
        if found:
            units[found[1]] = found[2].strip()
    return frame.set_axis(names, axis=1), units


def _known_columns(frame: Any) -> dict[str, str]:
    """The column of each thing that rows are of."""
    found: dict[str, str] = {}
    for column in frame.columns:
        one = role(column, {}) or role_of(column, {})
        one = "time" if one == "initial" else one
        if one is not None and one != "level":
            found.setdefault(one, column)
    low = {column.lower(): column for column in reversed(frame.columns)}
    names = [low[name] for name in STATIONS if name in low]
    return found | ({"station": names[0]} if names else {})


def _stations(frame: Any, known: Mapping[str, str], where: object) -> tuple[np.ndarray, dict[str, Any]]:
    """The number of each row's station, and ids, latitude, longitude and altitude of the stations."""
    places = [role for role in ("latitude", "longitude", "altitude") if role in known]
    if "station" in known:
        ids = frame[known["station"]].map(_id).to_numpy(dtype=str)
    elif places:
        ids = frame[[known[name] for name in places[:2]]].astype(str).agg(" ".join, axis=1).to_numpy(dtype=str)
    else:
        ids = np.full(len(frame), "0")
    names, first, code = np.unique(ids, return_index=True, return_inverse=True)
    coords: dict[str, Any] = {"station": ("station", names)}
    for name in places:
        values = _numbers(frame[known[name]], known[name], where)
        moved = np.abs(values - values[first][code]) > 1e-4
        if moved.any():
            k = int(np.argmax(moved))
            raise InputError(
                f"{where}: line {k + 2}, station '{ids[k]}' has the {name} {values[k]:g} and before "
                f"{values[first][code][k]:g}, expected one place for each station"
            )
        coords[name] = ("station", values[first])
    return code, coords


def _id(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and value == int(value) else str(value).strip()


def _axis(column: Any, name: str, where: object) -> np.ndarray:
    """Times as datetime64 (UTC) or numbers, steps and numbers of members as they are."""
    pandas = _pandas()
    if name in ("step", "number") or column.dtype.kind in "fiu":
        if column.dtype.kind == "m":
            return column.to_numpy().astype("timedelta64[ns]")
        if column.dtype.kind not in "fiu" and name == "step":
            return _timed(pandas.to_timedelta, column, where).to_numpy().astype("timedelta64[ns]")
        form = _counted(column.to_numpy()) if name in ("time", "valid_time") and column.dtype.kind in "iu" else None
        if form is None:
            return _numbers(column, str(column.name), where)
        column = pandas.to_datetime(column.astype(str), format=form, errors="coerce").rename(column.name)
    found = _timed(lambda values, errors: pandas.to_datetime(values, errors=errors, utc=True), column, where)
    return found.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")


def _counted(numbers: np.ndarray) -> str | None:
    """The form of dates that are written as whole numbers, 20200131 or 2020013106; None of other numbers."""
    for form, unit in (("%Y%m%d", 1), ("%Y%m%d%H", 100)):
        if (numbers >= 17000101 * unit).all() and (numbers <= 22001231 * unit + unit - 1).all():
            return form
    return None


def _timed(convert: Any, column: Any, where: object) -> Any:
    found = convert(column, errors="coerce")
    if found.isna().any():
        k = int(np.argmax(found.isna().to_numpy()))
        raise InputError(
            f"{where}: line {k + 2}, column {column.name!r}: {column.iloc[k]!r}, expected a time as 2020-01-31T06:00"
        )
    return found


def _numbers(column: Any, name: str, where: object) -> np.ndarray:
    """A column of numbers, NaN where there is none; InputError names what is neither."""
    pandas = _pandas()
    if column.dtype.kind in "fiub":
        return column.to_numpy(dtype=np.float64)
    found = pandas.to_numeric(column, errors="coerce")
    wrong = (found.isna() & column.notna()).to_numpy()
    if wrong.any():
        k = int(np.argmax(wrong))
        raise InputError(f"{where}: line {k + 2}, column {name!r}: {column.iloc[k]!r}, expected a number or nothing")
    return found.to_numpy(dtype=np.float64)


def _variables(frame: Any, known: Mapping[str, str], where: object) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Columns of each variable, those of members together: numbers, and which rows have one."""
    low = {column.lower(): column for column in frame.columns}
    everywhere = np.ones(len(frame), dtype=bool)
    if "variable" in low and "value" in low:
        names = frame[low["variable"]].astype(str).str.strip().to_numpy(dtype=str)
        values = _numbers(frame[low["value"]], low["value"], where)
        return {name: [(values, names == name)] for name in dict.fromkeys(names.tolist())}
    used = set(known.values()) | {column for name, column in low.items() if name in STATIONS}
    numeric = [column for column in frame.columns if column not in used and _is_numeric(frame[column])]
    if not numeric:
        raise InputError(
            f"{where}: no column of numbers besides {', '.join(used)}, expected one a variable, with decimal points"
        )
    return {
        name: [(_numbers(frame[column], column, where), everywhere) for column in of]
        for name, of in _members(numeric).items()
    }


def _is_numeric(column: Any) -> bool:
    """Mostly numbers; a column of remarks is not."""
    pandas = _pandas()
    if column.dtype.kind in "fiub":
        return True
    there = column.dropna()
    if column.dtype.kind in "Mm" or not len(there):
        return False
    return bool(pandas.to_numeric(there, errors="coerce").notna().mean() > 0.5)


def _members(names: Sequence[str]) -> dict[str, list[str]]:
    """Columns that are members of one variable: three or more that count on from 0 or 1."""
    stems: dict[str, dict[int, str]] = {}
    for name in names:
        found = _MEMBER.match(name)
        if found:
            stems.setdefault(found[1], {})[int(found[2])] = name
    groups = {
        stem: [of[k] for k in sorted(of)]
        for stem, of in stems.items()
        if len(of) > 2 and sorted(of) == list(range(min(of), min(of) + len(of))) and min(of) < 2 and stem not in names
    }
    grouped = {column: stem for stem, of in groups.items() for column in of}
    return {grouped.get(name, name): groups.get(grouped.get(name, ""), [name]) for name in names}


def _require_members(data: Mapping[str, Any], where: object) -> None:
    sizes = {name: values.shape[-1] for name, (dims, values, _) in data.items() if dims[-1] == "number"}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{n} of {name}" for name, n in sizes.items())
        raise InputError(f"{where}: columns of {found}, which count on as members do, expected as many of each")


def _filled(values: np.ndarray, rows: np.ndarray, at: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Numbers at their places; InputError if one is said twice."""
    places, first = np.unique(at[rows], return_index=True)
    if len(places) < rows.sum():
        k = int(np.flatnonzero(rows)[np.setdiff1d(np.arange(rows.sum()), first)[0]])
        raise InputError(
            f"{where}: line {k + 2} is of a time and station that had a line before, expected one for each"
        )
    out = np.full(prod(shape), np.nan)
    out[at[rows]] = values[rows]
    return out.reshape(shape)
