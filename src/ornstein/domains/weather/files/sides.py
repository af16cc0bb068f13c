"""One side of a pair, the forecast or the truth: its fields, their axes, units and times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ....config import nearest
from ....errors import InputError
from .grids import Grid
from .names import counterpart, grid_dims
from .reading import Files, read
from .regridding import Regridding
from .tables import GROUPED
from .times import ordinals, times_of

if TYPE_CHECKING:
    import xarray

_OURS = ("time", "step", "number")
_LOOKED_AT = 8  # times, for a number
_NUMBERS = 100_000  # that are looked at where fields are small
_FILLS = (
    -999999.0,
    -99999.0,
    -32768.0,
    -32767.0,
    -9999.0,
    -999.9,
    -999.0,
    -99.9,
    999.0,
    999.9,
    9999.0,
    32767.0,
    99999.0,
)
"""Numbers that stand for a missing one, where they are far from all others."""


@dataclass(frozen=True, eq=False)
class Side:
    """What files of one side hold, by our names; nothing but coordinates is in memory.

    Attributes:
        data: of the files.
        where: they are, for errors.
        times: of the data, in order, none twice.
        notes: what was left out.
    """

    data: "xarray.Dataset"
    where: str
    times: np.ndarray
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, files: Files, truth: bool = False) -> "Side":
        """Of files.

        Args:
            files: see `reading.Files`.
            truth: whether it is the truth's side.
        """
        data, where = read(files, truth)
        dims = grid_dims(data, where)
        if not dims:  # a series at one place
            data, dims = _one_station(data), ("station",)
        if truth and data.sizes.get("number", 1) > 1:
            raise InputError(f"{where}: a truth with {data.sizes['number']} members, expected one")
        data = data.squeeze("number", drop=True) if truth and "number" in data.dims else data
        Grid.of(data, dims).require_places(where, rising=truth)
        times = times_of(data, where)
        order, notes = _in_order(times, where)
        if order is not None:
            data, times = data.isel(time=order), times[order]
        said = [f"{where}: {data.attrs[GROUPED]}"] if GROUPED in data.attrs else []
        return cls(data, where, times, (*said, *notes))

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """Axes of the grid."""
        return grid_dims(self.data, self.where)

    @cached_property
    def grid(self) -> Grid:
        """Of the fields."""
        return Grid.of(self.data, self.dims)

    @cached_property
    def fields(self) -> list[str]:
        """Names of the variables over all axes of the grid that change with time."""
        whole = [name for name, value in self.data.items() if set(value.dims) - set(_OURS) == set(self.dims)]
        return [str(name) for name in whole if self._changes(name)]

    @cached_property
    def still(self) -> list[str]:
        """Names of the variables over the grid that do not."""
        whole = [name for name, value in self.data.items() if set(value.dims) == set(self.dims)]
        return [str(name) for name in whole if not self._changes(name)]

    @property
    def members(self) -> int:
        """1 = deterministic."""
        return int(self.data.sizes.get("number", 1))

    def _changes(self, name: Any) -> bool:
        varying = {"time", "step"} & set(self.data.dims)
        return not varying or bool(varying & set(self.data[name].dims))

    @property
    def left_out(self) -> list[str]:
        """A note of the variables with other axes."""
        other = [str(name) for name in self.data if name not in self.fields and name not in self.still]
        return [f"{self.where}: left out, as they have other axes: {', '.join(other)}"] if other else []

    def unit(self, name: str) -> str:
        """Of a variable; "" if none is said."""
        return str(self.data[name].attrs.get("units", "")).strip()

    def named(self, name: str, what: str) -> str:
        """The name, if there is such a field; InputError otherwise.

        Args:
            name: of a variable.
            what: it is, for the error.
        """
        if name in self.fields:
            return name
        raise InputError(
            f"{self.where}: has no {what} {name!r} over the grid ({', '.join(self.dims)}){nearest(name, self.fields)}; "
            f"it has {', '.join(self.fields[:20]) or 'none'}"
        )

    def alike(self, name: str, other: Mapping[str, Any]) -> str | None:
        """The field here that is the same quantity as a variable elsewhere; None if there is none.

        Args:
            name: of the variable.
            other: its attributes.
        """
        standard = {field: str(self.data[field].attrs.get("standard_name", "")) for field in self.fields}
        return counterpart(name, self.fields, {**standard, f"={name}": str(other.get("standard_name", ""))})

    def members_chosen(self, number: int) -> "Side":
        """With one member alone."""
        return replace(self, data=self.data.isel(number=number))

    def require_numbers(self, names: Sequence[str]) -> None:
        """InputError for a variable without a number in the times that are looked at, evenly spread.

        Args:
            names: of variables.
        """
        for name in dict.fromkeys(names):
            count = max(_LOOKED_AT, _NUMBERS * len(self.times) // max(1, self.data[name].size))
            looked = np.unique(np.linspace(0, len(self.times) - 1, min(count, len(self.times))).astype(int))
            values = self.data[name].isel({"time": looked}, missing_dims="ignore").values
            values = values[np.isfinite(values)]
            if not len(values):
                raise InputError(
                    f"{self.where}: {name!r} has no number in {len(looked)} of {len(self.times)} times looked at, "
                    "expected some that are not NaN"
                )
            if (fill := _unsaid(values)) is not None:
                raise InputError(
                    f"{self.where}: {name!r} is {fill:g} in {(values == fill).sum()} of {len(values)} numbers looked "
                    "at, far from all others: a fill value that the file does not say; expected NaN, or a _FillValue"
                )

    def statics(self, grid: Grid, names: Sequence[str], notes: list[str]) -> dict[str, Float[np.ndarray, "*grid"]]:
        """Fields that do not change, on a grid, their mean where they have no number.

        Args:
            grid: where they are wanted.
            names: of the fields.
            notes: to which it is added what was filled.
        """
        move = None if self.grid.same(grid) else Regridding.between(self.grid, grid)
        found = {}
        for name in names:
            values = self.data[name].transpose(*self.dims).values.astype(np.float32)
            values = values if move is None else move(values)
            there = np.isfinite(values)
            if not there.any():
                raise InputError(f"{self.where}: the static field {name!r} has no number, expected some")
            if not there.all():
                notes.append(
                    f"{self.where}: the static field {name!r} has no number at {(~there).sum()} of {there.size} "
                    "points, where it is taken as its mean"
                )
            found[name] = np.where(there, values, values[there].mean(dtype=np.float64)).astype(np.float32)
        return found


def _unsaid(values: np.ndarray) -> float | None:
    """A usual sign of a missing number, out of the range of the others by more than that is wide; None if none is."""
    for fill in np.array(_FILLS, values.dtype if values.dtype.kind == "f" else np.float64):
        others = values[values != fill].astype(np.float64)
        if len(others) in (0, len(values)):
            continue
        low, high = float(others.min()), float(others.max())
        wide = max(high - low, 1e-3 * max(abs(low), abs(high)))
        if not low - wide <= fill <= high + wide:
            return float(fill)
    return None


def _one_station(data: "xarray.Dataset") -> "xarray.Dataset":
    fields = [name for name, value in data.items() if set(value.dims) & set(_OURS)]
    return data[fields].expand_dims(station=["0"])


def _in_order(times: np.ndarray, where: object) -> tuple[np.ndarray | None, list[str]]:
    """Places of the times in order, each once; None if they are so."""
    _, first = np.unique(ordinals(times), return_index=True)
    if len(first) == len(times):
        return (None if np.array_equal(first, np.arange(len(times))) else first), []
    return first, [f"{where}: {len(times) - len(first)} of {len(times)} times are there before, and left out"]
