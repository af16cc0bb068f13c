"""Samples of fields in the field's own files, member by member, while others are drawn.

    t2m = Variable(("lat", "lon"), (721, 1440), "float32", {"units": "K"})
    files = ZarrMembers(path, Layout({"t2m": t2m}, range(64)))
    files.write(3, {"t2m": field})        one member, whole, on the disk
    files.finish()                        what only all of them have
    files.read(3)                         now, or of ZarrMembers.open(path) at any other time

A domain that has such files returns a `FieldStore` of them as its `Task.store`, and draws more than memory holds. The
formats are in formats.py. Numbers are kept as they are, bit for bit, in the type that they have.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ...denoisers.base import Condition
from ...disk.trees import flushed
from ...errors import InputError
from ...files import plain
from ...states import State

if TYPE_CHECKING:
    from ..samples import Samples

NUMBER = "number"
"""The axis of the members, as weather centres name it."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MOST_MEMBERS = 10**8
_TYPES = (
    *("bool", "float16", "float32", "float64", "complex64", "complex128"),
    *(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")),
)


class MemberStore(ABC):
    """Native files that samples are written to as they finish, so that no more than a block is ever in memory.

    Attributes:
        scratch: a folder, which is not there yet, for what is needed only until all samples are; it is gone once they
            are sealed. None where finished samples are read.
        settings: of the samples, as far as they are the same for all; None where nobody has said them yet.
        manifest: of a finished folder, as `read_manifest` gives it; None of one that is written.
    """

    scratch: Path | None = None
    settings: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] | None = None

    @property
    def units(self) -> range | None:
        """The numbers at which units begin: samples, as many as from one to the next, that are best added together.

        What is added as a whole unit becomes files of its own at once; what comes in parts has to wait for the rest.
        None where every sample is a unit.
        """
        return None

    def begin(self) -> None:  # noqa: B027, most have nothing to do
        """Makes what all blocks are written into, once, before workers write theirs at the same time."""

    @abstractmethod
    def add(self, samples: "Samples") -> Iterable[Path]:
        """Writes some of the samples, whole, and returns the files that hold them.

        Called once for each block, in any order, and again for one whose writing was cut off: it then writes over it.
        """

    def is_added(self, numbers: range) -> bool:
        """Whether what `add` wrote of a block of these numbers is all there, as far as file names tell."""
        return True

    @abstractmethod
    def read(self, numbers: range) -> tuple[State, Condition]:
        """The states and conditions of samples that were added."""

    @abstractmethod
    def finish(self, samples: "Samples") -> Sequence[str] | None:
        """Writes what only all of them have, such as consolidated metadata, or a mean; again, if that was cut off.

        Returns what was found of all of them that a user should know, in words: notes of the samples.

        Args:
            samples: all of them, their states shapes without numbers (torch's device "meta").
        """


# What a member is -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variable:
    """One field of every member, or one coordinate.

    Attributes:
        dims: the names of its axes.
        shape: their sizes.
        dtype: of its numbers, by NumPy's name: real, whole, complex, or true and false.
        attrs: units, a long name and so on, JSON values.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str = "float32"
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.dims) != len(self.shape) or len(set(self.dims)) != len(self.dims) or NUMBER in self.dims:
            raise InputError(
                f"a variable has the axes {self.dims} of sizes {self.shape}, expected one name a size, each once, and "
                f"none {NUMBER!r}, which is the axis of the members"
            )
        if any(not isinstance(size, int) or size < 1 for size in self.shape):
            raise InputError(f"a variable has the shape {self.shape}, expected sizes of at least 1")
        if self.dtype not in _TYPES:
            raise InputError(f"a variable is of the type {self.dtype!r}, expected one of {', '.join(_TYPES)}")
        object.__setattr__(self, "attrs", _json(self.attrs))

    def record(self) -> dict[str, Any]:
        """In JSON values."""
        return {"dims": list(self.dims), "shape": list(self.shape), "dtype": self.dtype, "attrs": dict(self.attrs)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Variable":
        """What `record` was made of."""
        return cls(tuple(record["dims"]), tuple(record["shape"]), record["dtype"], dict(record["attrs"]))


@dataclass(frozen=True)
class Layout:
    """What every member is made of, and which members there are.

    Attributes:
        variables: the fields of one member, by name.
        numbers: of the members.
        coords: the values of coordinates, by name, as arrays of real or whole numbers.
        axes: of each coordinate: names of its axes and attributes; one that is named as its only axis may be left out.
        attrs: of all of it, JSON values; "affine" is that of NIfTI.
    """

    variables: Mapping[str, Variable]
    numbers: range
    coords: Mapping[str, np.ndarray] = field(default_factory=dict)
    axes: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.variables or self.numbers.step != 1 or not 0 < len(self.numbers) <= _MOST_MEMBERS:
            raise InputError(
                f"{len(self.variables)} variables of members {self.numbers}, expected at least one of each"
            )
        if twice := set(self.variables) & {*self.coords, NUMBER}:
            raise InputError(f"{min(twice)!r} is a variable and a coordinate, expected one of them")
        sizes: dict[str, tuple[int, str]] = {}
        for name, one in self.described.items():
            if not _NAME.fullmatch(name):
                raise InputError(f"a variable is called {name!r}, expected letters, digits, '_', '-' and '.'")
            for dim, size in zip(one.dims, one.shape, strict=True):
                before, other = sizes.setdefault(dim, (size, name))
                if before != size:
                    raise InputError(f"axis {dim!r} has {before} places in {other!r} and {size} in {name!r}")

    @property
    def described(self) -> dict[str, Variable]:
        """Variables and coordinates by name."""
        return {**self.variables, **{name: self.coordinate(name) for name in self.coords}}

    def coordinate(self, name: str) -> Variable:
        """What a coordinate is, without its values."""
        values, (dims, attrs) = self.coords[name], self.axes.get(name, ((name,), {}))
        return Variable(tuple(dims), values.shape, str(values.dtype), attrs)

    @classmethod
    def like(cls, dataset: Any, numbers: range) -> "Layout":
        """Of members that have the variables, coordinates and attributes of an xarray Dataset of one member.

        Dates become seconds since 1970-01-01, which xarray reads back as dates.
        """
        found = {name: Variable(v.dims, v.shape, str(v.dtype), dict(v.attrs)) for name, v in dataset.data_vars.items()}
        coords, axes = {}, {}
        for name, one in dataset.coords.items():
            values, attrs = _undated(np.asarray(one.values), f"coordinate {name!r}")
            coords[name], axes[name] = values, (tuple(one.dims), {**one.attrs, **attrs})
        return cls(found, numbers, coords, axes, dict(dataset.attrs))

    @classmethod
    def on_grid(cls, grid: Mapping[str, Any], units: Mapping[str, str], numbers: range) -> "Layout":
        """Of members that are float32 fields on one grid.

        Args:
            grid: of the data: `FieldData.metadata["grid"]`.
            units: of each field, by its name.
            numbers: of the members.
        """
        shape = tuple(one["size"] for one in grid.values())
        fields = {name: Variable(tuple(grid), shape, attrs={"units": unit}) for name, unit in units.items()}
        known = {name: one for name, one in grid.items() if one["values"] is not None}
        coords = {name: np.array(one["values"], np.float64) for name, one in known.items()}
        return cls(fields, numbers, coords, {name: ((name,), {"units": one["units"]}) for name, one in known.items()})

    def record(self) -> dict[str, Any]:
        """In JSON values."""
        return {
            "variables": {name: one.record() for name, one in self.variables.items()},
            "first": self.numbers.start,
            "n": len(self.numbers),
            "coords": {
                name: {**self.coordinate(name).record(), "values": values.tolist()}
                for name, values in self.coords.items()
            },
            "attrs": dict(self.attrs),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Layout":
        """What `record` was made of."""
        coords = record["coords"]
        return cls(
            {name: Variable.from_record(one) for name, one in record["variables"].items()},
            range(record["first"], record["first"] + record["n"]),
            {name: np.array(one["values"], one["dtype"]).reshape(one["shape"]) for name, one in coords.items()},
            {name: (tuple(one["dims"]), one["attrs"]) for name, one in coords.items()},
            record["attrs"],
        )


def _json(value: Any) -> Any:
    """Attributes as JSON holds them, with NumPy's numbers as Python's; InputError for what it does not hold."""
    if isinstance(value, Mapping):
        return {str(name): _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return _json(value.tolist())
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    raise InputError(f"an attribute is {value!r}, expected text, finite numbers, or lists of them")


def _undated(values: np.ndarray, where: str) -> tuple[np.ndarray, dict[str, str]]:
    """Values of a coordinate, dates as seconds, and the attributes that say so."""
    if values.dtype.kind == "M":
        seconds = values.astype("datetime64[s]")
        if (seconds != values).any():
            raise InputError(f"{where} has dates of fractions of a second, expected whole seconds")
        return seconds.astype("int64"), {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
    if values.dtype.kind not in "fiub":
        raise InputError(f"{where} holds {values.dtype}, expected numbers or dates")
    return values, {}


# Files of members -------------------------------------------------------------------------------------


class MemberFiles(ABC):
    """The members of one layout in the files of one format. Makes no file before the first member is written.

    Attributes:
        path: of the file or the folder.
        layout: what every member is made of.
    """

    format: ClassVar[str]

    def __init__(self, path: Path | str, layout: Layout) -> None:
        self.path, self.layout = Path(path), layout
        for name, one in layout.variables.items():
            self._require(name, one)

    @classmethod
    @abstractmethod
    def open(cls, path: Path | str) -> Self:
        """The members that are in the files; InputError if they are not what such files are."""

    @abstractmethod
    def _require(self, name: str, variable: Variable) -> None:
        """InputError for a variable that the format cannot hold."""

    @abstractmethod
    def _write(self, number: int, fields: Mapping[str, np.ndarray]) -> Sequence[Path]:
        """Writes a member, and returns its files."""

    @abstractmethod
    def _read(self, number: int) -> Mapping[str, np.ndarray]:
        """A member, of which all files are there."""

    @abstractmethod
    def _files(self, number: int) -> Sequence[Path]:
        """The files of a member, there or not."""

    def write(self, number: int, fields: Mapping[str, Any], flush: bool = True) -> Sequence[Path]:
        """Writes one member, whole; returns the files that hold it.

        InputError if it is not what the layout says: nothing is converted.

        Args:
            number: of the member.
            fields: its variables, name → array or tensor of the layout's shape and type.
            flush: wait until it is on the disk.
        """
        files = self._write(self._require_number(number), self._fitting(number, fields))
        return flushed(files, self.path.parent) if flush else files

    def read(self, number: int) -> dict[str, np.ndarray]:
        """One member, name → array; InputError if it is not there, or not what the layout says.

        Args:
            number: of the member.
        """
        if not all(path.is_file() for path in self._files(self._require_number(number))):
            raise InputError(f"{self.path}: member {number} is not there; {self.counted}")
        return self._fitting(number, self._read(number))

    def require_same(self, layout: Layout) -> None:
        """InputError if the files are there already, of another layout."""
        if plain(layout.record()) != plain(self.layout.record()):
            raise InputError(f"{self.path}: holds members of another layout")

    @property
    def whole(self) -> list[int]:
        """The numbers of the members that are there."""
        return [number for number in self.layout.numbers if all(path.is_file() for path in self._files(number))]

    @property
    def counted(self) -> str:
        """How many members are there, in words."""
        return f"{len(self.whole)} of {len(self.layout.numbers)} members are there"

    def finish(self) -> None:
        """Writes what only all members have; InputError if some are missing."""
        if len(self.whole) != len(self.layout.numbers):
            raise InputError(f"{self.path}: {self.counted}, expected all of them")

    def _require_number(self, number: int) -> int:
        if number not in self.layout.numbers:
            numbers = self.layout.numbers
            raise InputError(f"{self.path}: no member {number}, expected {numbers.start} to {numbers.stop - 1}")
        return number

    def _fitting(self, number: int, fields: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """A member as arrays, if it is what the layout says."""
        where = f"{self.path}: member {number}"
        if fields.keys() != self.layout.variables.keys():
            raise InputError(f"{where} has {', '.join(fields)}, expected {', '.join(self.layout.variables)}")
        found = {name: np.asarray(fields[name]) for name in self.layout.variables}
        for name, array in found.items():
            one = self.layout.variables[name]
            if array.shape != one.shape or array.dtype != np.dtype(one.dtype):
                raise InputError(
                    f"{where}: {name!r} is {array.dtype} of shape {array.shape}, expected {one.dtype} of {one.shape}"
                )
        return found


class FieldStore(MemberStore):
    """Samples as members of fields.

    Attributes:
        files: where they are.
    """

    def __init__(
        self,
        files: MemberFiles,
        to_fields: Callable[["Samples"], Mapping[str, Any]],
        to_states: Callable[[Mapping[str, np.ndarray]], tuple[State, Condition]],
    ) -> None:
        """How samples are fields, and fields samples.

        Args:
            files: of a layout with the numbers of all samples.
            to_fields: of some samples the variables, name → (n, ...), in physical units.
            to_states: the states and conditions of these, (n, ...).
        """
        self.files, self._to_fields, self._to_states = files, to_fields, to_states

    def add(self, samples: "Samples") -> list[Path]:
        fields = self._to_fields(samples)
        for name, values in fields.items():
            if len(values) != len(samples):
                raise InputError(f"{self.files.path}: {name!r} has {len(values)} members, expected {len(samples)}")
        written = []
        for k in range(len(samples)):
            member = {name: values[k] for name, values in fields.items()}
            written += self.files.write(samples.first + k, member, flush=False)  # whoever keeps samples does so at once
        return written

    def read(self, numbers: range) -> tuple[State, Condition]:
        members = [self.files.read(number) for number in numbers]
        return self._to_states({name: np.stack([one[name] for one in members]) for name in members[0]})

    def finish(self, samples: "Samples") -> None:
        self.files.finish()
