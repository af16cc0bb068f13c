"""The Zarr stores of an ensemble, filled group of times by group of times: one chunk has the times of one group.

What a group's chunks hold is a function of its samples alone, so that several processes may fill groups at the same
time, and one that was cut off is filled again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from jaxtyping import Float

from ....tasks.native.members import NUMBER
from . import zarrs
from .frame import Frame
from .sources import Source
from .waiting import KNOWN

ENSEMBLE, SUMMARY = "ens.zarr", "summary.zarr"
BESIDE: Mapping[str, tuple[str, str]] = {
    "truth": ("truth.zarr", "what happened"),
    "raw": ("forecast.zarr", "the forecast that was given, on the grid of the truth"),
    "base": ("guidance.zarr", "statistical guidance: the median that a regression makes of the forecast"),
}
"""Where what is known of each case is written, and what it is."""
_PIECE = 2**21
"""Numbers of a variable that are written at a time, where a field is not larger."""
_MEAN, _STD = "_mean", "_std"


def path_in(folder: Path) -> Path:
    """The store of all members: in the folder, or that itself where it is called NAME.zarr."""
    return folder if folder.suffix == ".zarr" else folder / ENSEMBLE


class Stores:
    """The stores of one ensemble."""

    def __init__(self, folder: Path, frame: Frame, numbers: range, said: Mapping[str, Any]) -> None:
        """Makes no file yet.

        Args:
            folder: of the stores.
            frame: what samples are of.
            numbers: of all samples.
            said: attributes of every store.
        """
        self.folder, self.path, self.frame, self.numbers, self.said = folder, path_in(folder), frame, numbers, said
        self.times, self.members = frame.times_of(numbers), frame.members_of(numbers)
        shape = (len(self.times), len(self.members), frame.count, *frame.grid.shape)
        first, second, *rest = zarrs.chunked(shape, _PIECE)
        self.chunks = (first, second, *(rest if second > 1 or not frame.each else [1, *rest[1:]]))
        self._opened: dict[Path, Any] = {}

    # Groups of times ----------------------------------------------------------------------------------

    @property
    def units(self) -> range:
        """The numbers at which the samples of groups begin."""
        each = self.frame.per_time * self.frame.members
        return range(self.times.start * each, self.times.stop * each, self.chunks[0] * each)

    def samples(self, unit: int) -> range:
        """Those of a group that are wanted.

        Args:
            unit: at which it begins.
        """
        return range(max(unit, self.numbers.start), min(unit + self.units.step, self.numbers.stop))

    def within(self, numbers: range) -> Iterator[int]:
        """The units of which all samples are among these.

        Args:
            numbers: of some samples.
        """
        first = max(0, (numbers.start - self.units.start) // self.units.step)
        for unit in self.units[first:]:
            if unit >= numbers.stop:
                break
            some = self.samples(unit)
            if numbers.start <= some.start and some.stop <= numbers.stop:
                yield unit

    # Their files --------------------------------------------------------------------------------------

    @property
    def are_begun(self) -> bool:
        """Whether all of them are there."""
        return all(zarrs.is_begun(path) for path in self._paths)

    @property
    def _paths(self) -> list[Path]:
        return [self.path, self.folder / SUMMARY, *(self.folder / file for file, _ in BESIDE.values())]

    def begin(self) -> None:
        """Makes those that are not there, without members."""
        self._begin(self.path, [("", {})], members=True)
        cells = ((_MEAN, "mean"), (_STD, "standard_deviation"))
        self._begin(self.folder / SUMMARY, [(end, {"cell_methods": f"{NUMBER}: {what}"}) for end, what in cells])
        for file, title in BESIDE.values():
            self._begin(self.folder / file, [("", {})], title=title)

    def _begin(
        self, path: Path, kinds: Sequence[tuple[str, dict[str, str]]], members: bool = False, title: str = ""
    ) -> None:
        import xarray

        if zarrs.is_begun(path):
            return
        frame, coords = self.frame, self.frame.coords(self.times)
        dims, shape, chunks = ("time", "step"), (len(self.times), frame.count), (self.chunks[0], frame.count)
        if members:
            numbers = np.arange(self.members.start, self.members.stop)
            attrs = {"standard_name": "realization", "long_name": "member of the ensemble"}
            coords[NUMBER] = xarray.Variable((NUMBER,), numbers, attrs)
            dims, chunks = ("time", NUMBER, "step"), self.chunks[:3]
            shape = (len(self.times), len(self.members), frame.count)
        grid = frame.grid
        arrays = {
            f"{name}{ending}": zarrs.Array(
                (*dims, *grid.dims), (*shape, *grid.shape), (*chunks, *grid.shape), {**frame.described(name), **more}
            )
            for name in frame.variables
            for ending, more in kinds
        }
        zarrs.begin(path, coords, arrays, {**self.said, **({"title": title} if title else {})})

    def fill(self, source: Source, unit: int) -> list[Path]:
        """Writes a group, and returns the files that hold it.

        Args:
            source: of its members.
            unit: at which it begins.
        """
        frame, k = self.frame, self.units.index(unit)
        begin = k * self.chunks[0]
        group = self.times[begin : begin + self.chunks[0]]
        v, _, *grid = frame.shape
        blank = np.full((len(group), v, frame.count, *grid), np.nan, np.float32)
        parts = {name: blank.copy() for name in (_MEAN, _STD, *KNOWN)}
        whole = self.chunks[1] == len(self.members)
        block = np.full((len(group), len(self.members), *blank.shape[1:]), np.nan, np.float32) if whole else None
        for case in frame.cases(self.samples(unit)):
            time, step = divmod(case, frame.per_time)
            steps = slice(step, step + 1) if frame.each else slice(None)
            moments = _Moments()
            for first, some in _together(source.members(case), _PIECE // prod(frame.shape[1:])):
                for fields in some:
                    moments.add(fields)
                chosen = slice(first - self.members.start, first - self.members.start + len(some))
                if block is not None:
                    block[time - group.start, chosen, :, steps] = some
                else:
                    at = (time - self.times.start, chosen, steps)
                    self._put(self.path, frame.variables, at, np.moveaxis(some, 1, 0))
            for name, value in {_MEAN: moments.mean, _STD: moments.std, **source.known(case)}.items():
                parts[name][time - group.start, :, steps] = value
        at = slice(begin, begin + len(group))
        if block is not None:
            self._put(self.path, frame.variables, at, np.moveaxis(block, 2, 0))
        for name in (_MEAN, _STD):
            names = [f"{one}{name}" for one in frame.variables]
            self._put(self.folder / SUMMARY, names, at, np.moveaxis(parts[name], 1, 0))
        for name in KNOWN:
            if np.isfinite(parts[name]).any():
                self._put(self.folder / BESIDE[name][0], frame.variables, at, np.moveaxis(parts[name], 1, 0))
        return self.files(unit)

    def _put(self, path: Path, names: Sequence[str], at: Any, values: np.ndarray) -> None:
        for name, one in zip(names, values, strict=True):
            if path / name not in self._opened:
                self._opened[path / name] = zarrs.group(path)[name]
            self._opened[path / name][at] = one

    def files(self, unit: int) -> list[Path]:
        """The chunks of a group that are there: one without any number is not written.

        Args:
            unit: at which it begins.
        """
        k, names = self.units.index(unit), self.frame.variables
        ended = [f"{name}{ending}" for name in names for ending in (_MEAN, _STD)]
        return [
            file
            for path in self._paths
            for name in (ended if path == self.folder / SUMMARY else names)
            for file in zarrs.chunks_of(path / name, k)
        ]

    def finish(self) -> None:
        """Says in one place what each store has, once all groups are filled; removes those that hold nothing."""
        first, *others = self._paths
        for path in others:
            if not any(zarrs.chunks_of(path / name) for name in self.frame.variables) and path.name != SUMMARY:
                rmtree(path)
            else:
                zarrs.finished(path)
        zarrs.finished(first)  # in which the others are, where that is the folder itself


def _together(
    members: Iterable[tuple[int, Float[np.ndarray, "v s *grid"]]], most: int
) -> Iterator[tuple[int, Float[np.ndarray, "m v s *grid"]]]:
    """The first number and the fields of members in a row, as many at a time: zarr writes their chunks together."""
    members = iter(members)
    while some := [*islice(members, max(1, most))]:
        yield some[0][0], np.stack([fields for _, fields in some])


class _Moments:
    """Mean and standard deviation of fields that come one by one (Welford 1962)."""

    def __init__(self) -> None:
        self.count, self._mean, self._square = 0, np.zeros(()), np.zeros(())

    def add(self, fields: np.ndarray) -> None:
        self.count += 1
        off = fields.astype(np.float64) - self._mean
        self._mean = self._mean + off / self.count
        self._square = self._square + off * (fields - self._mean)

    @property
    def mean(self) -> np.ndarray:
        return self._mean.astype(np.float32)

    @property
    def std(self) -> np.ndarray:
        """n − 1 below; NaN of one member."""
        return np.sqrt(self._square / (self.count - 1 if self.count > 1 else np.nan)).astype(np.float32)
