"""Ensembles on the disk, as xarray reads them.

ens.zarr        every variable, (time, number, step, *grid), in the units and on the grid of the truth that was learned;
                the folder itself where that is called NAME.zarr
summary.zarr    mean and standard deviation over the members, NAME_mean and NAME_std, (time, step, *grid)
forecast.zarr   the forecast that was given, on that grid; guidance.zarr: the median that a regression makes of it
truth.zarr      what happened, where it is known
ens.csv         of stations, if it was asked for

A chunk has all members of some times, its group: few files, and recalibrated members (sources.py) need their mean. Who
has all samples of a group in memory writes them straight into the stores. Those that come in parts wait in the scratch
folder, and are written in the end.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
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
from ....tasks.native.members import MemberStore
from ....tasks.samples import Samples
from . import tables, zarrs
from .frame import Frame
from .sources import Held, Source, States
from .stores import BESIDE, SUMMARY, Stores, path_in
from .waiting import KNOWN, Waiting

TABLE = "ens.csv"


class EnsembleStore(MemberStore):
    """Samples as they finish, and ensembles of them."""

    def __init__(self, folder: Path, origin: Origin, numbers: range) -> None:
        """Makes no file yet.

        Args:
            folder: of the ensembles.
            origin: the model.
            numbers: of all samples.
        """
        self.folder, self.origin, self.numbers = folder, origin, numbers
        self._finished = False

    @property
    def path(self) -> Path:
        """Of the store of all members."""
        return path_in(self.folder)

    @property
    def units(self) -> range:
        return self._stores.units

    def begin(self) -> None:
        self._stores.begin()

    @cached_property
    def _frame(self) -> Frame:
        return Frame.of(self.origin.metadata, self.settings or {})

    @cached_property
    def _stores(self) -> Stores:
        source = f"ornstein, {self.origin.domain}/{self.origin.name}"
        said = {**self._frame.said, "Conventions": "CF-1.11", "source": source}
        return Stores(self.folder, self._frame, self.numbers, said)

    @cached_property
    def _waiting(self) -> Waiting:
        assert self.scratch is not None
        return Waiting(self.scratch, self._frame.members)

    # One by one ---------------------------------------------------------------------------------------

    def add(self, samples: Samples) -> list[Path]:
        self._told(samples)
        numbers = range(samples.first, samples.first + len(samples))
        source, written, low = self._source(Held(samples, self._frame.members), samples), [], numbers.start
        for unit in self._stores.within(numbers) if self._stores.are_begun else ():
            some = self._stores.samples(unit)
            written += self._wait(samples, range(low, some.start))
            written += self._stores.fill(source, unit)
            low = some.stop
        return written + self._wait(samples, range(low, numbers.stop))

    def _told(self, samples: Samples) -> None:
        """What samples are of, the same for all of them, if it was not said before."""
        if self.settings is None:
            self.settings = samples.settings

    def _source(self, states: States, samples: Samples) -> Source:
        moved = self._frame.factors is not None and not samples.created  # those that are read have been
        return Source(states, self._frame, self.numbers, moved)

    def _wait(self, samples: Samples, some: range) -> list[Path]:
        if not some:
            return []
        return self._waiting.add(samples[some.start - samples.first : some.stop - samples.first])

    # All of them --------------------------------------------------------------------------------------

    def finish(self, samples: Samples) -> Sequence[str]:
        self._told(samples)
        self._stores.begin()
        source = self._source(self._waiting, samples)
        for unit in self._stores.units:
            if self._waits(unit):
                self._stores.fill(source, unit)
        self._stores.finish()
        self._finished = True
        if samples.settings.get("csv"):
            tables.write(self.folder / TABLE, self.path, self._frame, self.numbers)
        return source.notes

    def _waits(self, unit: int) -> bool:
        """Whether the samples of a group are in the scratch, or else in the stores; InputError if some are nowhere."""
        some = self._stores.samples(unit)
        absent = [number for number in some if number not in self._waiting]
        if absent and (len(absent) < len(some) or not self._stores.files(unit)):
            raise InputError(f"{self.folder}: sample {absent[0]} is not there")
        return not absent

    # Read again ---------------------------------------------------------------------------------------

    def read(self, numbers: range) -> tuple[State, Condition]:
        frame = self._frame
        if self.scratch is not None:
            states = torch.cat([*self._so_far(numbers)])
            return states.flatten(1, 2).nan_to_num(), {}
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

    def _so_far(self, numbers: range) -> Iterator[Float[Tensor, "n v s *grid"]]:
        """Case by case samples as files hold them; as they were drawn, where some of their case are not there yet."""
        source = Source(self._waiting, self._frame, self.numbers, self._frame.factors is not None)
        shapes = _shapes(self._frame, self.numbers)
        for case in self._frame.cases(numbers):
            inside = self._frame.numbers(case, numbers)
            if self._finished or inside.start not in self._waiting:
                yield from _read(self.path, shapes, self._frame, self.numbers, inside)
            elif all(number in self._waiting for number in self._frame.numbers(case, self.numbers)):
                first = case * self._frame.members
                fields = dict(source.members(case))
                yield torch.from_numpy(np.stack([fields[number - first] for number in inside]))
            else:
                states = np.stack([self._waiting.state(number) for number in inside])
                yield self._frame.fields(torch.from_numpy(states))

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
