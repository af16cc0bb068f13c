"""Ensembles on the disk, as xarray reads them.

ens.zarr        every variable, (time, number, step, *grid), in the units and on the grid of the truth that was learned;
                the folder itself where that is called NAME.zarr
summary.zarr    mean and standard deviation over the members, NAME_mean and NAME_std, (time, step, *grid)
forecast.zarr   the forecast that was given, on that grid; guidance.zarr: the median that a regression makes of it
truth.zarr      what happened, where it is known
ens.csv         of stations, if it was asked for

Samples wait in the scratch folder until all are there. Then, time by time and member by member, each is written once,
u' = u + (f − 1)(u − ū) if the ensemble is recalibrated, ū the mean over the members of its case and f a factor by
variable and step. u is the variable, or its root if it is never negative: its square stays so, and a zero is left one.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....denoisers.base import Condition, Origin
from ....errors import InputError
from ....states import State
from ....tasks.memory import available
from ....tasks.native.members import NUMBER, MemberStore
from ....tasks.samples import Samples
from . import tables, zarrs
from .frame import Frame
from .waiting import KNOWN, Waiting

ENSEMBLE, SUMMARY, TABLE = "ens.zarr", "summary.zarr", "ens.csv"
BESIDE: Mapping[str, tuple[str, str]] = {
    "truth": ("truth.zarr", "what happened"),
    "raw": ("forecast.zarr", "the forecast that was given, on the grid of the truth"),
    "base": ("guidance.zarr", "statistical guidance: the median that a regression makes of the forecast"),
}
"""Where what is known of each case is written, and what it is."""
_PIECE = 2**21
"""Numbers of a variable that are written at a time, where a field is not larger."""


class EnsembleStore(MemberStore):
    """Samples as they finish, and ensembles of them in the end."""

    def __init__(self, folder: Path, origin: Origin, numbers: range, settings: Mapping[str, Any] | None = None) -> None:
        """Makes no file yet.

        Args:
            folder: of the ensembles.
            origin: the model.
            numbers: of all samples.
            settings: that samples which are read were drawn with.
        """
        self.folder, self.origin, self.numbers, self.settings = folder, origin, numbers, settings
        self._waiting: Waiting | None = None

    @property
    def path(self) -> Path:
        """Of the store of all members."""
        return self.folder if self.folder.suffix == ".zarr" else self.folder / ENSEMBLE

    # One by one ---------------------------------------------------------------------------------------

    def add(self, samples: Samples) -> list[Path]:
        return self._begun(samples.settings).add(samples)

    def _begun(self, settings: Mapping[str, Any]) -> Waiting:
        assert self.scratch is not None
        if self._waiting is None:
            self._waiting = Waiting(self.scratch, Frame.of(self.origin.metadata, settings).members)
        return self._waiting

    # All of them --------------------------------------------------------------------------------------

    def finish(self, samples: Samples) -> Sequence[str]:
        frame = Frame.of(self.origin.metadata, samples.settings)
        moved = frame.factors is not None and not samples.created  # those that are read have been
        source = _Source(self._begun(samples.settings), frame, self.numbers, moved)
        said = {**frame.said, "Conventions": "CF-1.11", "source": f"ornstein, {self.origin.domain}/{self.origin.name}"}
        Written(self.folder, self.path, frame, self.numbers, said).fill(source)
        if samples.settings.get("csv"):
            tables.write(self.folder / TABLE, self.path, frame, self.numbers)
        return source.notes

    # Read again ---------------------------------------------------------------------------------------

    def read(self, numbers: range) -> tuple[State, Condition]:
        if self.scratch is not None:
            waiting = Waiting(self.scratch, 1)
            return torch.from_numpy(np.stack([waiting.state(number) for number in numbers])), {}
        frame = Frame.of(self.origin.metadata, self.settings or {})
        self._require_room(len(numbers), frame)
        members = _shapes(frame, self.numbers)
        states = torch.cat(list(_read(self.path, members, frame, self.numbers, numbers)))
        condition = {}
        for name, (file, _) in BESIDE.items():
            if (self.folder / file).is_dir():
                shapes = {one: (shape[0], *shape[2:]) for one, shape in members.items()}
                cases = list(_read(self.folder / file, shapes, frame, self.numbers, numbers))
                if name == "base":
                    cases = [frame.rooted(one[:1]).expand(one.shape) for one in cases]
                condition[name] = (cases[0] if len(cases) == 1 else torch.cat(cases)).flatten(1, 2)  # no copies of one
        return states.flatten(1, 2).nan_to_num(), condition  # NaN where the truth was never known

    def _require_room(self, count: int, frame: Frame) -> None:
        """InputError for more samples than memory holds: all that are read or shown at once are in it."""
        need, free = 4 * count * frame.size * (2 + 2 * len(KNOWN)), available()
        if need > free:
            raise InputError(
                f"{self.path}: {count} samples of {frame.size:,} numbers need {need / 1e9:.3g} GB in memory, "
                f"{free / 1e9:.3g} GB are free; ornstein evaluate reads them time by time, xarray piece by piece, and "
                f"{SUMMARY} has mean and spread"
            )


def _shapes(frame: Frame, numbers: range) -> dict[str, tuple[int, ...]]:
    """(times, members, steps, *grid) of every variable."""
    outer = (len(frame.times_of(numbers)), len(frame.members_of(numbers)), frame.count)
    return dict.fromkeys(frame.variables, (*outer, *frame.grid.shape))


def _read(
    path: Path, shapes: Mapping[str, tuple[int, ...]], frame: Frame, numbers: range, wanted: range
) -> Iterator[Float[Tensor, "n v s *grid"]]:
    """Case by case what is there of some samples, in the units of the variables; of files without members repeated."""
    arrays = zarrs.opened(path, shapes)
    times, first = frame.times_of(numbers), frame.members_of(numbers).start
    with_members = all(len(shape) == 3 + len(frame.grid.shape) for shape in shapes.values())
    for case in frame.cases(wanted):
        inside = frame.numbers(case, wanted)
        time, step = divmod(case, frame.per_time)
        low = inside.start - case * frame.members - first
        chosen: tuple[Any, ...] = (slice(low, low + len(inside)),) if with_members else ()
        steps = slice(step, step + 1) if frame.each else slice(None)
        at = (time - times.start, *chosen, steps)
        found = torch.from_numpy(np.stack([np.asarray(arrays[name][at]) for name in frame.variables], len(chosen)))
        yield found if with_members else found.expand(len(inside), *found.shape)


class _Source:
    """Members as they are written, field by field."""

    def __init__(self, waiting: Waiting, frame: Frame, numbers: range, moved: bool) -> None:
        self.waiting, self.frame, self.numbers, self.moved = waiting, frame, numbers, moved
        self._left = 0

    def members(self, case: int) -> Iterator[tuple[int, Float[np.ndarray, "v s *grid"]]]:
        """Number and fields of each, in the units of the variables."""
        numbers = self.frame.numbers(case, self.numbers)
        mean, factor = self._mean(case, numbers), self.frame.factor(case)
        for number in numbers:
            fields = self.frame.fields(torch.from_numpy(self.waiting.state(number))[None])
            if mean is not None:
                fields = self.frame.spread(fields, mean, factor)
            yield number - case * self.frame.members, self._seen(fields[0].numpy())

    def _mean(self, case: int, numbers: range) -> Tensor | None:
        """Of u, over the members of a case, from which they are moved away; None where they stay."""
        if not self.moved:
            return None
        if len(numbers) < self.frame.members or len(numbers) < 2:
            self._left += 1
            return None
        total: Any = 0.0
        for number in numbers:
            fields = self.frame.fields(torch.from_numpy(self.waiting.state(number))[None])
            total = total + self.frame.rooted(fields)[0].double()
        return (total / len(numbers)).float()

    def known(self, case: int) -> dict[str, Float[np.ndarray, "v s *grid"]]:
        """What is known of it, in the units of the variables."""
        found = {}
        for name, value in self.waiting.known(case).items():
            fields = self.frame.fields(torch.from_numpy(value)[None])
            found[name] = self._seen((self.frame.squared(fields) if name == "base" else fields)[0].numpy())
        return found

    def _seen(self, fields: Float[np.ndarray, "v s *grid"]) -> Float[np.ndarray, "v s *grid"]:
        """NaN where the truth was never known."""
        unseen = self.frame.unseen
        return fields if unseen is None else np.where(unseen, np.float32("nan"), fields)

    @property
    def notes(self) -> list[str]:
        """How members were spread about their mean, in words."""
        if not self.moved:
            return []
        factors = self.frame.factors or ()
        said = f"recalibrated: members are spread about their mean by {min(factors):.3f} to {max(factors):.3f}"
        few = f"{self._left} cases are not recalibrated, of which not all members were drawn"
        return [said, *([few] if self._left else [])]


class Written:
    """The stores of an ensemble, filled time by time."""

    def __init__(self, folder: Path, path: Path, frame: Frame, numbers: range, said: Mapping[str, Any]) -> None:
        """Makes no file yet.

        Args:
            folder: of the stores.
            path: of the one with all members.
            frame: what samples are of.
            numbers: of the samples.
            said: attributes of every store.
        """
        self.folder, self.path, self.frame, self.said = folder, path, frame, said
        self.times, self.members = frame.times_of(numbers), frame.members_of(numbers)
        self.cases = frame.cases(numbers)
        shape = (len(self.times), len(self.members), frame.count, *frame.grid.shape)
        first, second, *rest = zarrs.chunked(shape, _PIECE)
        self.chunks = (first, second, *(rest if second > 1 or not frame.each else [1, *rest[1:]]))
        self._beside: dict[str, Any] = {}

    def fill(self, source: _Source) -> None:
        """Writes all of it.

        Args:
            source: of the members.
        """
        every = self._store(self.path, [("", {})], members=True)
        of_members = [("_mean", {"cell_methods": f"{NUMBER}: mean"})]
        of_members.append(("_std", {"cell_methods": f"{NUMBER}: standard_deviation"}))
        summary = self._store(self.folder / SUMMARY, of_members)
        for begin in range(0, len(self.times), self.chunks[0]):
            group = self.times[begin : begin + self.chunks[0]]
            self._fill(source, group, every, summary)
        for path in (self.folder / SUMMARY, *(self.folder / BESIDE[name][0] for name in self._beside), self.path):
            zarrs.finished(path)

    def _fill(self, source: _Source, group: range, every: Any, summary: Any) -> None:
        """Of some times."""
        frame, begin = self.frame, group.start - self.times.start
        v, _, *grid = frame.shape
        blank = np.full((len(group), v, frame.count, *grid), np.nan, np.float32)
        parts = {name: blank.copy() for name in ("_mean", "_std", *KNOWN)}
        whole = self.chunks[1] == len(self.members)
        block = np.full((len(group), len(self.members), *blank.shape[1:]), np.nan, np.float32) if whole else None
        for case in range(group.start * frame.per_time, group.stop * frame.per_time):
            if case not in self.cases:
                continue
            time, step = divmod(case, frame.per_time)
            steps = slice(step, step + 1) if frame.each else slice(None)
            moments = _Moments()
            for member, fields in source.members(case):
                moments.add(fields)
                m = member - self.members.start
                if block is not None:
                    block[time - group.start, m, :, steps] = fields
                else:
                    _put(every, frame.variables, (time - self.times.start, m, steps), fields)
            for name, value in {"_mean": moments.mean, "_std": moments.std, **source.known(case)}.items():
                parts[name][time - group.start, :, steps] = value
        at = slice(begin, begin + len(group))
        if block is not None:
            _put(every, frame.variables, at, np.moveaxis(block, 2, 0))
        for name in ("_mean", "_std"):
            _put(summary, [f"{one}{name}" for one in frame.variables], at, np.moveaxis(parts[name], 1, 0))
        for name in KNOWN:
            if np.isfinite(parts[name]).any():
                _put(self._known(name), frame.variables, at, np.moveaxis(parts[name], 1, 0))

    def _known(self, name: str) -> Any:
        """The store of what is known, which is begun when there is something."""
        if name not in self._beside:
            file, title = BESIDE[name]
            self._beside[name] = self._store(self.folder / file, [("", {})], title=title)
        return self._beside[name]

    def _store(
        self, path: Path, kinds: Sequence[tuple[str, dict[str, str]]], members: bool = False, title: str = ""
    ) -> Any:
        import xarray

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
        return zarrs.begun(path, coords, arrays, {**self.said, **({"title": title} if title else {})})


def _put(group: Any, names: Sequence[str], at: Any, values: np.ndarray) -> None:
    for name, one in zip(names, values, strict=True):
        group[name][at] = one


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
