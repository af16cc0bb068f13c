"""Forecasts and the truths that go with them, read a few times at once.

A forecast of initial time t and step s is of the valid time t + s; the truth is what the analysis or the stations say
of that time. Files stay where they are: `read` loads the records that it is asked for, and puts the forecast on the
grid of the truth.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from ....errors import InputError
from . import times
from .grids import Grid
from .regridding import Regridding

if TYPE_CHECKING:
    import xarray


_LARGEST = 1e18
"""Beyond, a number is a fill value that the file does not say, or infinite, and its square no float32."""


@dataclass(frozen=True, eq=False)
class Read:
    """Records in memory, float32, NaN where a value is missing.

    Attributes:
        mean: of the forecast's members, (n, P, S, *grid), on the grid of the truth.
        spread: standard deviation of the members (n − 1 below), likewise; None of a forecast of one member.
        truth: (n, V, S, *grid); None if there is none.
    """

    mean: Float[np.ndarray, "n p s *grid"]
    spread: Float[np.ndarray, "n p s *grid"] | None
    truth: Float[np.ndarray, "n v s *grid"] | None

    def taken(self, index: Int[np.ndarray, " m"]) -> "Read":
        """Some of the records, which may repeat.

        Args:
            index: their numbers.
        """
        spread = None if self.spread is None else self.spread[index]
        return Read(self.mean[index], spread, None if self.truth is None else self.truth[index])


@dataclass(frozen=True, eq=False)
class Pairs:
    """Forecasts and truths by time and step, in files or in memory.

    Attributes:
        forecast: dims (time, step, [number], *its grid), in any order, the predictors alone, as the file has them.
        truth: the variables alone, dims (time, step, *grid), or (time, *grid) where `rows` says which of its times is
            that of a record; None where there is none, as of today.
        variables: what is learned, the truth's names; V of them.
        predictors: what is told, the forecast's names; P ≥ V, and the first V are the variables' counterparts.
        times: initial times (T,): datetime64, cftime or numbers.
        steps: leads (S,): timedelta64 or numbers.
        units: of variables and predictors, by name; "" if not known. A counterpart has those of its variable.
        grid: of the truth.
        attrs: of variables, such as long_name.
        static: fields that do not change, (K, *grid) float32.
        static_names: their names.
        members: of the raw forecast, 1 = deterministic.
        notes: what a user should know: records dropped, named and counted.
        rows: (T, S), the place of each record's valid time in `truth`, −1 where there is none.
        scales: factor and offset of each predictor, from the units of the file to those of `units`; () = as they are.
        truth_scales: likewise of each variable.
        where: the forecast and the truth are from, for errors.
    """

    forecast: "xarray.Dataset"
    truth: "xarray.Dataset | None"
    variables: tuple[str, ...]
    predictors: tuple[str, ...]
    times: np.ndarray
    steps: np.ndarray
    units: Mapping[str, str]
    grid: Grid
    attrs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    static: Float[np.ndarray, "K *grid"] | None = None
    static_names: tuple[str, ...] = ()
    members: int = 1
    notes: list[str] = field(default_factory=list)
    rows: Int[np.ndarray, "T S"] | None = None
    scales: tuple[tuple[float, float], ...] = ()
    truth_scales: tuple[tuple[float, float], ...] = ()
    where: tuple[str, str] = ("forecast", "truth")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def step_hours(self) -> Float[np.ndarray, " S"]:
        """Leads in hours, or as plain numbers where they have no unit."""
        return times.step_hours(self.steps)

    @property
    def valid_times(self) -> np.ndarray:
        """Times that the records are of, (T, S), as `times` are."""
        return times.valid_times(self.times, self.steps)

    @property
    def calendar(self) -> str:
        """Of the times: "standard", another of CF, or "" of plain numbers."""
        return times.calendar(self.times)

    @property
    def bytes(self) -> int:
        """Of all records, read."""
        channels = len(self.predictors) * (1 + (self.members > 1)) + (0 if self.truth is None else len(self.variables))
        return 4 * channels * len(self.times) * len(self.steps) * prod(self.grid.shape)

    @cached_property
    def regridding(self) -> Regridding | None:
        """From the forecast's grid to the truth's; None where they are the same."""
        return _between(self.forecast, self.grid)

    @cached_property
    def truth_regridding(self) -> Regridding | None:
        """From the grid of the truth's file, where a model that learned on another is told of it."""
        return None if self.truth is None else _between(self.truth, self.grid)

    def part(self, chosen: slice | Int[np.ndarray, " n"]) -> "Pairs":
        """Those of some of the times.

        Args:
            chosen: which times.
        """
        truth = self.truth if self.truth is None or self.rows is not None else _at(self.truth, chosen)
        rows = None if self.rows is None else self.rows[chosen]
        found = replace(self, forecast=_at(self.forecast, chosen), truth=truth, times=self.times[chosen], rows=rows)
        for name in ("regridding", "truth_regridding"):  # which are the same, and long to make
            if name in self.__dict__:
                found.__dict__[name] = self.__dict__[name]
        return found

    def read(self, index: slice | Sequence[int] | Int[np.ndarray, " n"]) -> Read:
        """Records in memory.

        Args:
            index: numbers of the times.
        """
        at = self._numbers(index)
        shape = (len(at), len(self.predictors), len(self.steps), *self.grid.shape)
        mean = np.empty(shape, dtype=np.float32)
        spread = None if self.members == 1 else np.empty(shape, dtype=np.float32)
        for p, values in enumerate(self._forecasts(at, self.predictors)):
            mean[:, p] = _mean(values)
            if spread is not None:
                spread[:, p] = _spread(values)
        return Read(mean, spread, self._truths(at))

    def raw(self, index: slice | Sequence[int] | Int[np.ndarray, " n"]) -> Float[np.ndarray, "n m v s *grid"]:
        """The forecast's own members of the variables, on the grid of the truth.

        Args:
            index: numbers of the times.
        """
        counterparts = self.predictors[: len(self.variables)]
        return np.stack([values.swapaxes(1, 2) for values in self._forecasts(self._numbers(index), counterparts)], 2)

    def _numbers(self, index: slice | Sequence[int] | Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        return np.arange(len(self.times))[index if isinstance(index, slice) else np.asarray(index, dtype=np.int64)]

    def _forecasts(self, at: Int[np.ndarray, " n"], names: Sequence[str]) -> Iterator[Float[np.ndarray, "n s m *grid"]]:
        """One variable after the other."""
        chosen, dims = _at(self.forecast, at), own_dims(self.forecast)
        shape = (len(at), len(self.steps), self.members)
        for k, name in enumerate(names):
            values = _scaled(
                _loaded(chosen[name], ("time", "step", "number"), shape, dims, self.where[0]), self.scales, k
            )
            yield values if self.regridding is None else self.regridding(values)

    def _truths(self, at: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n v s *grid"] | None:
        if self.truth is None:
            return None
        found = np.empty((len(at), len(self.variables), len(self.steps), *self.grid.shape), dtype=np.float32)
        dims = own_dims(self.truth)
        rows = None if self.rows is None else self.rows[at]
        needed, where = (at, at) if rows is None else np.unique(rows.clip(min=0), return_inverse=True)
        chosen = _at(self.truth, needed)
        for k, name in enumerate(self.variables):
            if rows is None:
                values = _loaded(
                    chosen[name], ("time", "step"), found.shape[:1] + found.shape[2:3], dims, self.where[1]
                )
            else:
                values = _loaded(chosen[name], ("time",), (len(needed),), dims, self.where[1])[
                    where.reshape(rows.shape)
                ]
            values = _scaled(values, self.truth_scales, k)
            found[:, k] = values if self.truth_regridding is None else self.truth_regridding(values)
        if rows is not None:
            np.moveaxis(found, 1, 2)[rows < 0] = np.nan
        return found


def own_dims(data: "xarray.Dataset") -> tuple[str, ...]:
    """The axes of the grid: all but time, step and number, in the order of the first variable that has them all."""
    dims = [tuple(str(d) for d in value.dims if d not in ("time", "step", "number")) for value in data.values()]
    return max(dims, key=len, default=())


def _between(data: "xarray.Dataset", grid: Grid) -> Regridding | None:
    source = Grid.of(data, own_dims(data))
    return None if source.same(grid) else Regridding.between(source, grid)


def _at(data: "xarray.Dataset", index: slice | Int[np.ndarray, " n"]) -> "xarray.Dataset":
    """Some of the times of a file, which may be of one."""
    return data.isel({"time": index}, missing_dims="ignore")


def _loaded(
    values: "xarray.DataArray", first: tuple[str, ...], shape: tuple[int, ...], dims: tuple[str, ...], where: str
) -> np.ndarray:
    """In memory as float32, the same along a dimension that is not there."""
    there = [dim for dim in first if dim in values.dims]
    try:
        found = values.load().transpose(*there, *dims).values
    except PermissionError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # of a file that is damaged in the middle
        raise InputError(f"{where}: variable {values.name!r}: cannot be read ({error}), expected numbers") from None
    wrong = np.abs(found) > _LARGEST  # which NaN is not
    if wrong.any():
        time = (
            f", time {values['time'].values[np.argwhere(wrong)[0][0]]}"
            if "time" in values.coords and "time" in there
            else ""
        )
        raise InputError(
            f"{where}: variable {values.name!r}{time}: holds {found[wrong][0]:g}, expected numbers below "
            f"{_LARGEST:g}, NaN where one is missing"
        )
    sizes = (n if dim in there else 1 for dim, n in zip(first, shape, strict=True))
    found = found.astype(np.float32).reshape(*sizes, *found.shape[len(there) :])
    return np.broadcast_to(found, shape + found.shape[len(first) :])


def _scaled(values: np.ndarray, scales: tuple[tuple[float, float], ...], k: int) -> np.ndarray:
    factor, offset = scales[k] if scales else (1.0, 0.0)
    return values if (factor, offset) == (1.0, 0.0) else (values * np.float32(factor) + np.float32(offset))


def _mean(values: Float[np.ndarray, "n s m *grid"]) -> Float[np.ndarray, "n s *grid"]:
    """Over the members that are there."""
    if values.shape[2] == 1:
        return values[:, :, 0]
    there = np.isfinite(values)
    count = there.sum(2)
    total = np.where(there, values, 0).sum(2, dtype=np.float64)
    return np.where(count > 0, total / count.clip(min=1), np.nan)


def _spread(values: Float[np.ndarray, "n s m *grid"]) -> Float[np.ndarray, "n s *grid"]:
    there = np.isfinite(values)
    count = there.sum(2)
    squares = np.where(there, values - _mean(values)[:, :, None], 0) ** 2
    return np.where(count > 1, np.sqrt(squares.sum(2) / (count - 1).clip(min=1)), np.nan)
