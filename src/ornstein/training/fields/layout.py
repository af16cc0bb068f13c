"""Which variables of a data set are learned, which are known, and which dimension counts the records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ...errors import InputError
from ...files import ANY, require

FILE = "file"
"""The name of the dimension that counts the files themselves."""
SCHEMA = {
    **{name: [str] for name in ("state", "static", "records", "grid")},
    **{name: {str: [str]} for name in ("conditions", "scalars", "dims")},
    "mask": (str, None),
    "select": {str: ANY},
    "missing": ("refuse", "mask"),
}
"""Of `Layout.plain`."""


@dataclass(frozen=True)
class Layout:
    """What the variables of files mean to a model. No more is known of them: any grid, any quantity.

    A record is one choice of the dimensions `records`, such as a time, a time and a level, a file and a slice. The last
    axes of a state are `grid`; every other dimension of a variable, such as levels, makes channels, and so do the real
    and the imaginary part of complex numbers.

    Attributes:
        state: variables that are learned, (channels, *grid) together.
        conditions: fields that are known, by the name of the condition: its variables, (channels, *grid) together.
        scalars: numbers that are known, by the name of the condition: its variables, (numbers,) together.
        static: fields that are the same in all records, (channels, *grid) together.
        mask: a static variable that is not 0 where elements of the state exist, such as land or the inside of a head.
        records: dimensions that count the records; the first of them is the order in which data are split. "file"
            counts the files, for data of which each file is one subject or one trajectory.
        grid: dimensions of the grid; empty = the last two of the first variable of the state.
        select: by dimension the coordinates that are kept, a list of values or a slice(from, to) of them, both ends
            kept; positions, where the dimension has no coordinate.
        dims: names of the dimensions of variables whose files have none (HDF5, NumPy), else dim_0, dim_1, …
        missing: "refuse": a NaN in a record is an error. "mask": the state is 0 where it is NaN and the condition
            "mask" says where it is not; fields and scalars that are known keep their NaN, which a network takes for
            "not known".
    """

    state: Sequence[str]
    conditions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scalars: Mapping[str, Sequence[str]] = field(default_factory=dict)
    static: Sequence[str] = ()
    mask: str | None = None
    records: Sequence[str] = ("time",)
    grid: Sequence[str] = ()
    select: Mapping[str, Sequence[Any] | slice] = field(default_factory=dict)
    dims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    missing: Literal["refuse", "mask"] = "refuse"

    def __post_init__(self) -> None:
        for name in ("state", "static", "records", "grid"):
            object.__setattr__(self, name, _words(name, getattr(self, name)))
        for name in ("conditions", "scalars", "dims"):
            object.__setattr__(self, name, _lists(name, getattr(self, name)))
        for name in ("state", "records"):
            if not getattr(self, name):
                raise InputError(f"layout.{name} is empty, expected one name at least")
        if self.missing not in ("refuse", "mask"):
            raise InputError(f"layout.missing is {self.missing!r}, expected 'refuse' or 'mask'")
        if not isinstance(self.select, Mapping):
            raise InputError(f"layout.select is {self.select!r}, expected values by dimension")
        if FILE in self.records[1:]:
            raise InputError(f"layout.records is {list(self.records)}, expected {FILE!r} first, as files come in order")
        self._require_distinct()

    def _require_distinct(self) -> None:
        both = sorted(set(self.conditions) & set(self.scalars))
        if both:
            raise InputError(f"layout: the condition {both[0]!r} is a field and a scalar, expected one of the two")
        for name in ("mask", "state", "static"):
            if name in self.conditions or name in self.scalars:
                raise InputError(f"layout: a condition is called {name!r}, which is the name of something else")
        for name in ("records", "grid"):
            _require_once(f"layout.{name}", getattr(self, name))
        _require_once("layout.state", self.state)
        twice = sorted(set(self.records) & (set(self.grid) | set(self.select)))
        if twice:
            raise InputError(f"layout: {twice[0]!r} counts the records, so it is no dimension of the grid nor selected")

    @property
    def varying(self) -> list[str]:
        """The variables that records are made of, each once."""
        known = [name for names in (*self.conditions.values(), *self.scalars.values()) for name in names]
        return list(dict.fromkeys((*self.state, *known)))

    @property
    def fixed(self) -> list[str]:
        """The variables that are the same in all records."""
        return list(dict.fromkeys((*self.static, *((self.mask,) if self.mask else ()))))

    def plain(self) -> dict[str, Any]:
        """In JSON values."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        select = {
            name: {"from": kept.start, "to": kept.stop} if isinstance(kept, slice) else list(kept)
            for name, kept in self.select.items()
        }
        return found | {"select": select}

    @classmethod
    def from_plain(cls, found: Mapping[str, Any]) -> "Layout":
        """What `plain` was made of; InputError if it is nothing of the kind.

        Args:
            found: JSON values.
        """
        require(found, SCHEMA, "layout")
        select = {
            name: slice(kept.get("from"), kept.get("to")) if isinstance(kept, Mapping) else kept
            for name, kept in found["select"].items()
        }
        said: dict[str, Any] = {one.name: found[one.name] for one in fields(cls)} | {"select": select}
        return cls(**said)


def _words(name: str, value: Any) -> tuple[str, ...]:
    """One name, or several."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else None
    if found is None or not all(isinstance(one, str) and one for one in found):
        raise InputError(f"layout.{name} is {value!r}, expected names")
    return found


def _lists(name: str, value: Any) -> dict[str, tuple[str, ...]]:
    """Names by name."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        raise InputError(f"layout.{name} is {value!r}, expected names by name")
    found = {key: _words(f"{name}.{key}", names) for key, names in value.items()}
    for key, names in found.items():
        if not names and name != "dims":
            raise InputError(f"layout.{name}.{key} is empty, expected one name at least")
        _require_once(f"layout.{name}.{key}", names)
    return found


def _require_once(where: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where} names {name!r} twice")
