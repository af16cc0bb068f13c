"""Observations of today in files: what was read, where, when, and how sure.

A CSV file has a header and a line a reading:

    variable,valid_time,latitude,longitude,value,std

The time is a `valid_time` (or `time`), or a `step` as the forecast has them, of a forecast of one time; with both,
`time` is the forecast's and `step` its lead. The place is in the coordinates of the model's grid, or a `station`. `std`
may be left out where it is said elsewhere. Lines that are blank or begin with # are comments.

A NetCDF or Zarr file has the model's variables along a time and stations (or points), with their coordinates; the
standard deviation is a variable of that name with _std behind it.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ....config import suggestion
from ....errors import InputError, needed_for
from ....files import MB, text
from ....values import number_written
from ..files.grids import Grid, role_of
from .places import STATION, axes_of

_LIMIT = 256 * MB
_MOST = 10**7  # readings of a file of fields
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "variable": ("variable", "name", "parameter"),
    "value": ("value", "observation", "observed"),
    "std": ("std", "error", "sigma", "uncertainty"),
    "valid_time": ("valid_time", "valid time", "date", "datetime"),
    "time": ("time",),
    "step": ("step", "lead", "lead_time", "leadtime", "prediction_timedelta", "forecast_period"),
    STATION: ("station", "station_id", "site", "id"),
}
_NO_NUMBER = ("", "nan", "na", "null", "-", "missing")


@dataclass(frozen=True, eq=False)
class Reading:
    """One number that was observed.

    Attributes:
        variable: its name.
        value: in the variable's unit; NaN = there was none.
        std: of its error; None = not said.
        when: as the file says it, by name: "valid_time", "time" and "step".
        place: likewise, of the grid's coordinates, or "station".
        where: in the file it stands.
    """

    variable: str
    value: float
    std: float | None
    when: Mapping[str, Any]
    place: Mapping[str, Any]
    where: str


@dataclass(eq=False)
class Skipped:
    """Readings that are left out, by why.

    Attributes:
        counts: by the reason: how many, and where the first stands.
    """

    counts: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, why: str, where: str) -> None:
        """Counts one.

        Args:
            why: it is left out.
            where: it stands.
        """
        n, first = self.counts.get(why, (0, where))
        self.counts[why] = (n + 1, first)

    def notes(self, path: object) -> list[str]:
        """In words.

        Args:
            path: of the file.
        """
        some = self.counts.items()
        return [f"{path}: {n} left out, {why} (the first at {first})" for why, (n, first) in some]


def read(path: Path, variables: Sequence[str], grid: Grid, units: Mapping[str, str]) -> list[Reading]:
    """The readings of a file.

    Args:
        path: CSV, NetCDF or Zarr.
        variables: of the model.
        grid: of the model, in whose coordinates places are said.
        units: of the variables.

    InputError names file, line and column of what is wrong.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file, expected observations in CSV or NetCDF")
    if path.suffix.lower() in (".csv", ".txt"):
        return list(_of_table(path, grid))
    return list(_of_fields(path, variables, grid, units))


# CSV --------------------------------------------------------------------------------------------------


def _of_table(path: Path, grid: Grid) -> Iterator[Reading]:
    header: list[str | None] = []
    lines = text(path, _LIMIT, "a CSV file of observations").splitlines()
    for number, line in enumerate(lines, 1):
        where = f"{path}: line {number}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
        except csv.Error as error:
            raise InputError(f"{where}: no line of a CSV file ({error})") from None
        if not header:
            header = _header(cells, grid, where)
        elif len(cells) != len(header):
            raise InputError(f"{where}: has {len(cells)} fields, expected {len(header)}, as the header has")
        else:
            yield _reading({name: cell for name, cell in zip(header, cells, strict=True) if name}, where)
    if not header:
        raise InputError(f"{path}: is empty, expected the header {_expected(grid)} and a line a reading")


def _header(cells: Sequence[str], grid: Grid, where: str) -> list[str | None]:
    """What each column is."""
    names = [_column(cell, grid) for cell in cells]
    for name, cell in zip(names, cells, strict=True):
        if name is None:
            raise InputError(f"{where}: column {cell[:40]!r} is unknown, expected {_expected(grid)}")
        if names.count(name) > 1:
            raise InputError(f"{where}: {name} stands there {names.count(name)} times, expected {_expected(grid)}")
    for name in ("variable", "value"):
        if name not in names:
            raise InputError(f"{where}: column {name!r} is missing, expected {_expected(grid)}")
    if not {"valid_time", "time", "step"} & set(names):
        raise InputError(f"{where}: no column says when, expected valid_time or step: {_expected(grid)}")
    if not _placed([name for name in names if name], grid):
        raise InputError(f"{where}: no columns say where, expected {', '.join(axes_of(grid))}: {_expected(grid)}")
    return names


def _placed(names: Sequence[str], grid: Grid) -> bool:
    """Whether a place is said."""
    by_sphere = {"latitude", "longitude"} <= set(names)
    return set(axes_of(grid)) <= set(names) or (grid.kind == "stations" and by_sphere)


def _column(name: str, grid: Grid) -> str | None:
    lower = name.lower()
    if name in grid.dims and role_of(name, grid.attrs.get(name, {})) not in ("latitude", "longitude"):
        return name if grid.kind == "grid" else STATION
    for meant, words in _ALIASES.items():
        if lower in words:
            return meant
    role = role_of(lower, {})
    return role if role in ("latitude", "longitude") else None


def _expected(grid: Grid) -> str:
    return ",".join(["variable", "valid_time (or step)", *axes_of(grid), "value", "std"])


def _reading(cells: Mapping[str, str], where: str) -> Reading:
    place = {name: cell for name, cell in cells.items() if name not in _ALIASES or name == STATION}
    at = {name: cell if name == STATION else _number(cell, f"{where}: {name}") for name, cell in place.items()}
    when = {name: cells[name] for name in ("valid_time", "time", "step") if cells.get(name)}
    if not when:
        raise InputError(f"{where}: says no time, expected a valid_time or a step")
    value = cells["value"]
    number = float("nan") if value.lower() in _NO_NUMBER else _number(value, f"{where}: value")
    std = _number(cells["std"], f"{where}: std") if cells.get("std") else None
    if std is not None and std <= 0:
        raise InputError(f"{where}: std is {std:g}, expected a positive number")
    return Reading(cells["variable"], number, std, when, at, where)


def _number(cell: str, where: str) -> float:
    value = number_written(cell)
    if not isfinite(value):
        raise InputError(f"{where} is {cell[:40]!r}, expected a finite number")
    return value


# NetCDF -----------------------------------------------------------------------------------------------


def _of_fields(path: Path, variables: Sequence[str], grid: Grid, units: Mapping[str, str]) -> Iterator[Reading]:
    with needed_for("reading NetCDF", "fields"):
        import xarray
    try:
        data = xarray.open_zarr(path) if path.is_dir() else xarray.open_dataset(path)
    except (OSError, ValueError, KeyError) as error:
        why = str(error).splitlines()[0][:120]
        raise InputError(f"{path}: cannot be read ({why}), expected observations in CSV, NetCDF or Zarr") from None
    with data:
        known = [name for name in variables if name in data.data_vars]
        if not known:
            found = ", ".join(map(str, data.data_vars)) or "none"
            raise InputError(f"{path}: holds {found}, expected one of the model's variables, {', '.join(variables)}")
        for name in known:
            said, ours = data[name].attrs.get("units"), units.get(name, "")
            if said is not None and ours and said != ours:
                raise InputError(f"{path}: {name} is in {said!r}, expected {ours!r}, as the model has it")
            yield from _of_variable(path, data, name, grid)


def _of_variable(path: Path, data: Any, name: str, grid: Grid) -> Iterator[Reading]:
    values = data[name]
    if values.size > _MOST:
        raise InputError(f"{path}: {name} has {values.size} numbers, expected observations, {_MOST} at most")
    std = data.get(f"{name}_std")
    named = {coord: meant for coord in values.coords if (meant := _meant(str(coord), values.coords[coord], grid))}
    for needed, there in (("when", {"valid_time", "time", "step"} & set(named.values())),
                          ("where", _placed(list(named.values()), grid))):  # fmt: skip
        if not there:
            hint = ", ".join(axes_of(grid)) if needed == "where" else "valid_time or step"
            raise InputError(f"{path}: no coordinate of {name} says {needed}, expected {hint}")
    table = {meant: _alike(values.coords[coord], values) for coord, meant in named.items()}
    numbers = np.asarray(values.values, dtype=np.float64)
    errors = None if std is None else _alike(std, values).astype(np.float64)
    for at in np.ndindex(numbers.shape):
        where = f"{path}: {name}[{', '.join(map(str, at))}]"
        cells = {meant: column[at] for meant, column in table.items()}
        when = {key: cells[key] for key in ("valid_time", "time", "step") if key in cells}
        place = {key: str(value) if key == STATION else float(value) for key, value in cells.items() if key not in when}
        error = None if errors is None or not isfinite(errors[at]) else float(errors[at])
        if error is not None and error <= 0:
            raise InputError(f"{where}: std is {error:g}, expected a positive number")
        yield Reading(name, float(numbers[at]), error, when, place, where)


def _alike(part: Any, values: Any) -> np.ndarray:
    """A coordinate along all dimensions of a variable."""
    return part.broadcast_like(values).transpose(*values.dims).values


def _meant(name: str, values: Any, grid: Grid) -> str | None:
    """What a coordinate is; None where it says neither when nor where."""
    role = role_of(name, values.attrs)
    found = role if role in ("latitude", "longitude") else _column(name, grid)
    return found if found in ("valid_time", "time", "step", STATION, *axes_of(grid), "latitude", "longitude") else None


def known_variable(reading: Reading, variables: Sequence[str]) -> str | None:
    """Why a reading is left out: the model does not know its variable; None if it does.

    Args:
        reading: of a file.
        variables: of the model.
    """
    if reading.variable in variables:
        return None
    near = suggestion(reading.variable, list(variables))
    return f"the variable {reading.variable!r} is none of the model's, {', '.join(variables)}{near}"
