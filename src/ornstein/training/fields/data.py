"""Fields in files as a data set for training: any number of records, of which as many are in memory as was said.

A record's state is (channels, *grid) float32; see `Layout` for what becomes of the variables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError, RecordError
from ...files import GB, MB, plain
from . import records as counting
from .layout import Layout
from .packing import iso
from .source import Files, Source, sourced

STATE, STATIC = "state", "static"


@runtime_checkable
class Inverse(Protocol):
    """What leads from fields to a model's states: the maps of `ornstein.guidance.maps` do."""

    @property
    def names(self) -> frozenset[str]:
        """The conditions that it is made of."""
        ...

    def bound(self, condition: Condition) -> "Inverse": ...

    def inverse(self, field: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]: ...


@dataclass(frozen=True, eq=False)
class FieldData:
    """A Dataset of records in files: `open_fields` makes one, `split` and `between` take parts of it.

    Attributes:
        source: the files.
        rows: of this part; see `Records`.
        scaling: by "state", "static" and the name of a condition the mean and spread that its channels are freed of.
        map: from the states to the fields in the files; None where these are the states.
        about: what was measured of the data, in JSON values, for the metadata.
    """

    source: Source
    rows: range
    scaling: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    map: Inverse | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """Which variables are states, conditions and static fields."""
        return self.source.layout

    @property
    def sizes(self) -> None:
        """All records are of one size."""
        return None

    @property
    def first(self) -> int:
        """The number of this part's first record among all."""
        return self.source.records.first(self.rows.start)

    def __len__(self) -> int:
        return self.source.records.first(self.rows.stop) - self.first

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of one state: (channels, *grid)."""
        if self.map is None:
            return self._shape(self.layout.state)
        return tuple(self.batch(torch.zeros(1, dtype=torch.int64))[0].shape[1:])

    @property
    def channels(self) -> list[str]:
        """The names of the state's channels, such as "t[level=500]"."""
        return self.labels[STATE]

    @property
    def labels(self) -> dict[str, list[str]]:
        """The names of the channels of "state", "static" and each condition."""
        groups = {STATE: self.layout.state, STATIC: self.layout.static, **self.layout.conditions, **self.layout.scalars}
        of = {name: found.labels for name, found in self.source.variables.items()}
        found = {name: [label for one in names for label in of[one]] for name, names in groups.items()}
        if len(found[STATE]) != self.shape[0]:  # behind a map that is not of channels
            found[STATE] = [f"state[{k}]" for k in range(self.shape[0])]
        return found

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Condition]:
        """States (batch, channels, *grid) float32, and conditions: fields, scalars (batch, numbers), and "mask".

        The mask (batch, channels, *grid), true where elements exist, is there if the layout has one or allows missing
        values. RecordError, naming file, variable and record, if a number is missing that must not, or infinite.
        """
        numbers = self._numbers(index)
        groups = {STATE: self.layout.state, **self.layout.conditions, **self.layout.scalars}
        whole = {name: np.empty((len(numbers), *self._shape(names)), np.float32) for name, names in groups.items()}
        self.source.read([view for name, names in groups.items() for view in self._views(whole[name], names)], numbers)
        found = {name: torch.from_numpy(values) for name, values in whole.items()}
        mask = self._checked(found, numbers)
        x = found.pop(STATE)
        for name, values in found.items():
            self._scale(name, values)
        x = self._scale(STATE, x if self.map is None else self._state(self.map, x, found, mask))
        return (x, found) if mask is None else (x.masked_fill(~mask, 0.0), found | {"mask": mask})

    def times(self) -> list[str] | None:
        """When the rows are, ISO 8601; None where the files do not say."""
        values = self.source.records.values
        return None if values is None or values.dtype.kind != "M" else iso(values[self.rows.start : self.rows.stop])

    @cached_property
    def static(self) -> Float[Tensor, "channels ..."] | None:
        """The fields that are the same in all records, (channels, *grid), for the network; None without any."""
        if not self.layout.static:
            return None
        found = torch.from_numpy(np.concatenate([self.source.static[name] for name in self.layout.static]))
        mean, std = self.scaling.get(STATIC, (0.0, 1.0))
        return (found - mean) / std

    @cached_property
    def exists(self) -> Bool[Tensor, "channels ..."] | None:
        """Where elements of the state exist, by the mask of the layout; None without one."""
        found = self.source.exists
        return None if found is None else torch.from_numpy(found.copy())

    # Parts --------------------------------------------------------------------------------------------

    def split(self, *parts: float, gap: int = 0) -> tuple["FieldData", ...]:
        """Parts of the rows one after another, never shuffled: `train, validation, test = data.split(.8, .1, .1)`.

        Args:
            parts: shares of the rows, together 1 at most.
            gap: rows that are left out between two parts, so that these are less alike.
        """
        ranges = counting.shares(len(self.rows), parts, gap)
        return tuple(
            replace(self, rows=range(self.rows.start + one.start, self.rows.start + one.stop)) for one in ranges
        )

    def between(self, begin: str | float | None = None, end: str | float | None = None) -> "FieldData":
        """The rows from `begin` on and before `end`: dates as ISO 8601, or numbers where rows have such.

        Args:
            begin, end: such as "1979" and "2016-07-01"; None for no limit.
        """
        return replace(self, rows=counting.between(self.source.records, self.rows, begin, end))

    def mapped(self, map: Inverse) -> "FieldData":
        """The states of a model that believes in something else: field = map(state), such as a residual.

        The map is made of conditions as the batches have them. So one that a map takes is left as it is in the files:
        `standardised(data, keep=["base"])`, else it is an InputError.

        Args:
            map: see `ornstein.guidance.maps`.
        """
        if not isinstance(map, Inverse):
            raise InputError(
                f"data are mapped by a map, such as Standardised(mean, std), not by a {type(map).__name__}"
            )
        return self._whole(replace(self, map=map))

    def scaled(self, scaling: Mapping[str, tuple[Tensor, Tensor]], about: Mapping[str, Any]) -> "FieldData":
        """With mean 0 and spread 1; see `Statistics.standardised`.

        Args:
            scaling: mean and spread by "state", "static" and the name of a condition.
            about: where they come from, in JSON values, for the metadata.
        """
        return self._whole(replace(self, scaling=scaling, about={**self.about, **about}))

    def told(self, **about: Any) -> "FieldData":
        """With more that was measured of it, such as a spectrum, in the metadata.

        Args:
            about: by name, in JSON values.
        """
        return replace(self, about={**self.about, **about})

    @staticmethod
    def _whole(data: "FieldData") -> "FieldData":
        wrong = sorted(data.map.names & data.scaling.keys()) if data.map else []
        if wrong:
            raise InputError(
                f"the map is made of the condition {wrong[0]!r}, which is standardised: give the map one that is kept "
                "as it is in the files, of the same variables"
            )
        return data

    # What it is ---------------------------------------------------------------------------------------

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Shape, channels, units, coordinates of the grid, first and last time, in JSON values."""
        names = [*self.layout.varying, *self.layout.fixed]
        variables = {name: self.source.variables[name] for name in names}
        values = self.source.records.values
        rows = {} if values is None else {
            "first": counting.written(values[self.rows.start]),
            "last": counting.written(values[self.rows.stop - 1]),
        }  # fmt: skip
        return {
            "shape": list(self.shape),
            "channels": self.channels,
            "conditions": {name: self._shape(names)[0] for name, names in self.layout.conditions.items()},
            "scalars": {name: self._shape(names)[0] for name, names in self.layout.scalars.items()},
            "static": 0 if self.static is None else len(self.static),
            "layout": plain(self.layout.plain()),
            "units": {name: found.pieces[0].units for name, found in variables.items()},
            "grid": self._grid(),
            "records": {"dims": list(self.layout.records), "rows": len(self.rows), "count": len(self), **rows},
            **self.about,
        }

    def describe(self) -> str:
        """What is read, how, and how much memory it takes, in words."""
        source, one = self.source, 4 * prod(self.shape)
        lines = [
            f"{len(source.paths)} files, {len(self):,} records by {', '.join(self.layout.records)}",
            f"state {self.shape}: {', '.join(self.channels[:8])}{', …' if len(self.channels) > 8 else ''}",
            f"memory: {source.blocks.bound / MB:,.0f} MB of blocks at most, and {one / MB:.3g} MB a state of a batch",
        ]
        absent = [
            f"{name}: {said}" for name, variable in source.variables.items() for said in variable.absent(source.opened)
        ]
        return "\n".join([*lines, *map(self._reading, self.layout.varying), *absent])

    def _reading(self, name: str) -> str:
        """How a variable is read."""
        variable = self.source.variables[name]
        shape, piece = self.source.block_shape(variable, 0), variable.pieces[0]
        stored = [min(piece.chunks[piece.dims.index(dim)], piece.size(dim)) for dim in variable.records]
        told = f"{name}: {prod(shape)} records at once, {prod(shape) * prod(variable.shape) * 4 / MB:.3g} MB"
        if any(part < whole for part, whole in zip(shape, stored, strict=True)):
            told += f"; {prod(stored)} records are stored as one, so each is unpacked several times: raise the bound"
        return told

    def _grid(self) -> dict[str, Any]:
        first = self.source.variables[self.layout.state[0]]
        found = {}
        for dim, size in zip(first.grid, first.shape[1:], strict=True):
            known = self.source.coordinates(first.pieces[0].path, dim)
            values = None if known is None else known[0][first.kept.get(dim, slice(None))].astype(np.float64).tolist()
            found[dim] = {"size": size, "values": values, "units": str(known[1].get("units", "")) if known else ""}
        return found

    # Reading ------------------------------------------------------------------------------------------

    def _scale(self, name: str, values: Tensor) -> Tensor:
        if name not in self.scaling:
            return values
        mean, std = self.scaling[name]
        return values.sub_(mean).div_(std)

    def _state(self, map: Inverse, x: Tensor, condition: Condition, mask: Tensor | None) -> Tensor:
        """The states of fields; InputError where a missing element would make others unknown, too."""
        found = map.bound(condition).inverse(x)
        if mask is not None and (found.shape != x.shape or not found[mask].isfinite().all()):
            raise InputError(f"{type(map).__name__} mixes elements of the field, of which some are missing")
        return found.contiguous()

    def _shape(self, names: Sequence[str]) -> tuple[int, ...]:
        shapes = [self.source.variables[name].shape for name in names]
        return sum(shape[0] for shape in shapes), *shapes[0][1:]

    def _numbers(self, index: Tensor) -> np.ndarray:
        numbers = np.asarray(index)
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
            raise InputError(f"records are asked for by whole numbers, (batch,), found {index!r}")
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < len(self)):
            raise InputError(f"records {numbers.min()} to {numbers.max()} are asked for, expected 0 to {len(self) - 1}")
        return numbers + self.first

    def _views(self, whole: np.ndarray, names: Sequence[str]) -> list[tuple[str, np.ndarray]]:
        """The part of an array that each variable fills."""
        ends = np.cumsum([self.source.variables[name].shape[0] for name in names]).tolist()
        begins = [0, *ends[:-1]]
        return [(name, whole[:, a:b]) for name, a, b in zip(names, begins, ends, strict=True)]

    def _checked(self, found: Mapping[str, Tensor], numbers: np.ndarray) -> Tensor | None:
        """Where elements of the state exist, if not everywhere; RecordError for a number that must not be."""
        exists, masked, x = self.exists, self.layout.missing == "mask", found[STATE]
        mask = None
        if masked or exists is not None:
            mask = ~x.isnan() if masked else torch.ones_like(x, dtype=torch.bool)
            mask = mask if exists is None else mask & exists
        for name, values in found.items():
            with np.errstate(invalid="ignore"):  # ∞ − ∞
                total = values.numpy().sum(dtype=np.float64)
            if np.isfinite(total):  # as is no sum with a NaN or ∞
                continue
            bad = values.isinf() if masked else ~values.isfinite()
            if name == STATE and mask is not None:
                bad = bad & mask
            if bad.any():
                raise self._error(name, values, bad, numbers)
        return mask

    def _error(self, name: str, values: Tensor, bad: Tensor, numbers: np.ndarray) -> RecordError:
        record, channel, *place = bad.nonzero()[0].tolist()
        names = self.layout.state if name == STATE else {**self.layout.conditions, **self.layout.scalars}[name]
        labels = [(one, label) for one in names for label in self.source.variables[one].labels]
        variable, label = labels[channel]
        number = int(numbers[record])
        rows, rest = self.source.records.places(np.array([number]))
        which = counting.located(self.source.variables[variable], rows, rest, self.source.records)[0]
        path = self.source.variables[variable].pieces[int(which[0])].path
        value = values[(record, channel, *place)].item()
        hint = "" if abs(value) == float("inf") else " (missing='mask' reads such data)"
        at = f" at {tuple(place)}" if place else ""
        what = f"{self.source.records.named(number, self.source.paths)}: {label} is {value}{at}"
        return RecordError(f"{path}: variable {variable!r}", number - self.first, f"{what}, expected a number{hint}")


def open_fields(files: Files | Mapping[str, Files], layout: Layout, bound: int = 2 * GB, threads: int = 4) -> FieldData:
    """Opens Zarr, NetCDF, HDF5 and NumPy files as a data set; nothing but coordinates and static fields is read yet.

    InputError, naming file and variable, where something is missing or files do not agree.

    Args:
        files: a path, a pattern such as "era5-*.nc", or a list of these, which follow one another along the first
            dimension of records; or these by the name of the variable, where each has its own. A file that holds one
            array only, as .npy, gives it under any name if it is asked for one variable only.
        layout: what the variables mean.
        bound: bytes of records in memory, those being read among them. Batches, static fields and what the libraries
            need to unpack a chunk are beside it.
        threads: that read at once.
    """
    source = sourced(files, layout, bound, threads)
    data = FieldData(source, range(source.records.rows))
    _ = data.static, data.exists  # which are read now, so that what is wrong with them is said
    return data
