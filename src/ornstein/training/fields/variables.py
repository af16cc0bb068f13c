"""A variable of many files as one array, of which blocks of records are read: (records …, channels, grid …).

The files follow one another along the first dimension of records. Units, sizes and coordinates must agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

from ...config import suggestion
from ...errors import InputError
from .layout import FILE, Layout
from .packing import Packing, packing
from .stores import Key, Opened


@dataclass(frozen=True)
class Piece:
    """A variable in one file.

    Attributes:
        path: of the file.
        name: of the array in it.
        dims, shape, dtype: of the whole stored array.
        chunks: of the stored array, 1 where it is not chunked.
        packing: of its numbers.
        units: as the file says; "" if it does not.
        attributes: that the file says of it.
    """

    path: Path
    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]
    packing: Packing
    units: str
    attributes: dict[str, Any] = field(repr=False)

    def size(self, dim: str) -> int:
        return self.shape[self.dims.index(dim)]


def piece(opened: Opened, path: Path, name: str, layout: Layout, alone: bool) -> Piece:
    """What a file says of a variable; InputError if it is not there, or holds no numbers.

    Args:
        opened: the files.
        path: of the file.
        name: of the variable.
        layout: of the data.
        alone: whether the file is asked for no other variable, so that its only array has that name, whatever its own.
    """
    store = opened(path)
    known = store.names()
    stored = known[0] if alone and len(known) == 1 else name
    if stored not in known:
        raise InputError(
            f"{path}: has no variable {name!r}{suggestion(name, known)}, found {', '.join(known[:12]) or 'none'}"
        )
    where, array = f"{path}: variable {name!r}", store.array(stored)
    shape, dtype = tuple(array.shape), np.dtype(array.dtype)
    if dtype.kind not in "fiubc":
        raise InputError(f"{where} holds {dtype}, expected numbers")
    given = layout.dims.get(name)
    dims = tuple(given or store.dims(stored) or (f"dim_{k}" for k in range(len(shape))))
    if len(dims) != len(shape):
        raise InputError(f"{where} has the shape {shape}, but layout.dims names {list(dims)}")
    about = store.attributes(stored)
    chunks = store.chunks(stored) or (1,) * len(shape)
    units = about.get("units")
    said = "" if units is None else str(units)
    return Piece(path, stored, dims, shape, dtype, tuple(chunks), packing(about, dtype, where), said, about)


@dataclass(frozen=True)
class Variable:
    """A variable of all files.

    Attributes:
        name: of the variable.
        pieces: of it, file by file; one where it does not depend on the first dimension of the records.
        records, channels, grid: its dimensions, in this order when it is read.
        kept: by dimension the positions that are read; all where there are none.
        labels: of its channels, such as "t[level=500]".
    """

    name: str
    pieces: tuple[Piece, ...]
    records: tuple[str, ...]
    channels: tuple[str, ...]
    grid: tuple[str, ...]
    kept: dict[str, np.ndarray] = field(repr=False)
    labels: tuple[str, ...] = ()

    @cached_property
    def ends(self) -> np.ndarray:
        """The rows of all pieces up to each."""
        return np.cumsum([one.size(self.records[0]) if self.records else 1 for one in self.pieces])

    @property
    def is_complex(self) -> bool:
        return self.pieces[0].dtype.kind == "c"

    def sizes(self, dims: Sequence[str]) -> tuple[int, ...]:
        """How many positions of these dimensions are kept."""
        first = self.pieces[0]
        return tuple(len(self.kept[dim]) if dim in self.kept else first.size(dim) for dim in dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one record: (channels, *grid)."""
        return len(self.labels), *self.sizes(self.grid)

    def absent(self, opened: Opened) -> list[str]:
        """Which files lack chunks, in words: these are read as the value that fills."""
        counts = [(one.path, *opened(one.path).absent(one.name)) for one in self.pieces]
        return [f"{path}: {n} chunks are not stored, and read as {value}" for path, n, value in counts if n]

    def read(self, opened: Opened, which: int, begin: Sequence[int], end: Sequence[int]) -> np.ndarray:
        """A block of records of one piece, (records …, channels, *grid) float32; what is missing is NaN.

        Args:
            opened: the files.
            which: the piece.
            begin, end: of the block, a number for each of `records`.
        """
        found = self.pieces[which]
        spans = {dim: [slice(a, b)] for dim, a, b in zip(self.records, begin, end, strict=True)}
        spans |= {dim: runs(kept, found.chunks[found.dims.index(dim)]) for dim, kept in self.kept.items()}
        parts = [spans.get(dim, [slice(None)]) for dim in found.dims]
        stored = _gathered(lambda key: opened(found.path).read(found.name, key), parts, ())
        for dim, kept in self.kept.items():
            stored = _picked(stored, found.dims.index(dim), kept, spans[dim])
        order = [found.dims.index(dim) for dim in (*self.records, *self.channels, *self.grid)]
        values = found.packing.values(stored).transpose(order)
        head = values.shape[: len(self.records)]
        if self.is_complex:
            pairs = np.ascontiguousarray(values)[..., None].view(np.float32)
            values = np.moveaxis(pairs, -1, values.ndim - len(self.grid))
        return np.ascontiguousarray(values).reshape(*head, *self.shape)


def runs(kept: np.ndarray, chunk: int) -> list[slice]:
    """The slices in which positions are read: none crosses a chunk of which nothing is kept."""
    order = np.unique(kept)
    breaks = [k + 1 for k, (a, b) in enumerate(pairwise(order)) if b // chunk > a // chunk + 1]
    return [slice(int(part[0]), int(part[-1]) + 1) for part in np.split(order, breaks)]


def _gathered(read: Any, parts: Sequence[list[slice]], key: Key) -> np.ndarray:
    """What is read under the products of slices, joined."""
    if not parts:
        return read(key)
    found = [_gathered(read, parts[1:], (*key, one)) for one in parts[0]]
    return found[0] if len(found) == 1 else np.concatenate(found, len(key))


def _picked(stored: np.ndarray, axis: int, kept: np.ndarray, spans: list[slice]) -> np.ndarray:
    """The kept positions of an axis of which these slices were read."""
    read = np.concatenate([np.arange(one.start, one.stop) for one in spans])
    if len(read) == len(kept) and (read == kept).all():
        return stored
    return stored.take(np.searchsorted(read, kept), axis)


# Joining ----------------------------------------------------------------------------------------------


class Coordinates:
    """The coordinates of dimensions, file by file: variables of one dimension that have its name."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self._known = opened, dict[tuple[Path, str], tuple[np.ndarray, dict[str, Any]] | None]()

    def __call__(self, path: Path, dim: str) -> tuple[np.ndarray, dict[str, Any]] | None:
        """Numbers as they are stored and what is said of them; None where there are none."""
        if (path, dim) not in self._known:
            self._known[path, dim] = self._read(path, dim)
        return self._known[path, dim]

    def _read(self, path: Path, dim: str) -> tuple[np.ndarray, dict[str, Any]] | None:
        store = self.opened(path)
        if dim not in store.names() or len(store.array(dim).shape) != 1:
            return None
        found = store.read(dim, (slice(None),))
        return (found, store.attributes(dim)) if found.dtype.kind in "fiuM" else None


def joined(
    coordinates: Coordinates, paths: Sequence[Path], name: str, layout: Layout, grid: Sequence[str], alone: bool
) -> Variable:
    """A variable over all files; InputError naming file and variable where they do not agree.

    Args:
        coordinates: of the dimensions of the files.
        paths: of the files, in order.
        name: of the variable.
        layout: of the data.
        grid: dimensions of the grid; none for scalars.
        alone: whether the files are asked for no other variable.
    """
    opened = coordinates.opened
    first = piece(opened, paths[0], name, layout, alone)
    over = layout.records[0]
    split = over == FILE or over in first.dims
    pieces = (first, *(piece(opened, path, name, layout, alone) for path in paths[1:])) if split else (first,)
    records = tuple(dim for dim in layout.records if dim in first.dims)
    channels = tuple(dim for dim in first.dims if dim not in (*records, *grid))
    where = f"{first.path}: variable {name!r}"
    for dim in grid:
        if dim not in first.dims:
            raise InputError(
                f"{where} has the dimensions {list(first.dims)}, expected {dim!r} of the grid among them; layout.dims "
                "names them where a file does not"
            )
    for other in pieces[1:]:
        _require_like(first, other, name, records if over == FILE else records[:1])
        for dim in (*channels, *grid, *(() if over == FILE else records[1:])):
            _require_same_coordinate(coordinates, first.path, other.path, dim)
    kept = {
        dim: _positions(coordinates(first.path, dim), first.size(dim), values, f"{where}: layout.select, {dim}")
        for dim, values in layout.select.items()
        if dim in (*channels, *grid)
    }
    labels = _labels(name, first, channels, kept, coordinates)
    return Variable(name, pieces, records, channels, tuple(grid), kept, labels)


def _require_like(first: Piece, other: Piece, name: str, free: Sequence[str]) -> None:
    """The pieces of a variable agree, but for the sizes of some dimensions."""
    where = f"{other.path}: variable {name!r}"
    if other.dims != first.dims:
        raise InputError(f"{where} has the dimensions {list(other.dims)}, {list(first.dims)} in {first.path}")
    for dim in first.dims:
        if dim not in free and other.size(dim) != first.size(dim):
            raise InputError(f"{where} has {other.size(dim)} along {dim!r}, {first.size(dim)} in {first.path}")
    if other.units != first.units:
        raise InputError(f"{where} has the units {other.units!r}, {first.units!r} in {first.path}")
    if (other.dtype.kind == "c") != (first.dtype.kind == "c"):
        raise InputError(f"{where} holds {other.dtype}, {first.dtype} in {first.path}")


def _require_same_coordinate(coordinates: Coordinates, first: Path, other: Path, dim: str) -> None:
    ours, theirs = coordinates(first, dim), coordinates(other, dim)
    if ours is None and theirs is None:
        return
    if ours is None or theirs is None:
        lacks, has = (first, other) if ours is None else (other, first)
        raise InputError(f"{lacks}: dimension {dim!r} has no coordinate, but it has one in {has}")
    if ours[0].shape != theirs[0].shape or not np.array_equal(ours[0], theirs[0]):
        place = "" if ours[0].shape != theirs[0].shape else _first_difference(ours[0], theirs[0])
        raise InputError(f"{other}: coordinate {dim!r} is not that of {first}{place}")
    if str(ours[1].get("units", "")) != str(theirs[1].get("units", "")):
        raise InputError(
            f"{other}: coordinate {dim!r} has the units {theirs[1].get('units')!r}, {ours[1].get('units')!r} in {first}"
        )


def _first_difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    k = int((ours != theirs).argmax())
    return f": at position {k} it is {theirs[k]}, expected {ours[k]}"


def _positions(
    coordinate: tuple[np.ndarray, dict[str, Any]] | None, size: int, wanted: Sequence[Any] | slice, where: str
) -> np.ndarray:
    """The positions of values along a dimension, or of all within a slice of values."""
    values = np.arange(size) if coordinate is None else coordinate[0]
    if isinstance(wanted, slice):
        if wanted.step is not None:
            raise InputError(f"{where} is {wanted}, expected no step")
        low, high = sorted((_or(wanted.start, -np.inf), _or(wanted.stop, np.inf)))
        found = np.flatnonzero((values >= low) & (values <= high))
        if not len(found):
            raise InputError(f"{where}: no value from {low} to {high}, found {_some(values)}")
        return found
    try:
        asked = np.asarray(wanted, np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise InputError(f"{where} is {wanted!r}, expected numbers") from None
    if not len(asked):
        raise InputError(f"{where} is empty, expected one value at least")
    return np.array([_position(values, one, where) for one in asked])


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _position(values: np.ndarray, wanted: float, where: str) -> int:
    close = np.flatnonzero(np.isclose(values.astype(np.float64), wanted, rtol=1e-6, atol=1e-9))
    if len(close) != 1:
        found = "no such value" if not len(close) else f"{len(close)} such values"
        raise InputError(f"{where}: {found} as {wanted:g}, found {_some(values)}")
    return int(close[0])


def _some(values: np.ndarray) -> str:
    told = [f"{value:g}" for value in values[:8].astype(np.float64)]
    return ", ".join(told) + (f", … {values[-1]:g}" if len(values) > 8 else "")


def _labels(
    name: str, first: Piece, channels: Sequence[str], kept: dict[str, np.ndarray], coordinates: Coordinates
) -> tuple[str, ...]:
    """One label a channel, by the coordinates."""
    along = []
    for dim in channels:
        known = coordinates(first.path, dim)
        values = np.arange(first.size(dim)) if known is None else known[0]
        along.append([f"{dim}={value:g}" for value in values[kept.get(dim, slice(None))].astype(np.float64)])
    told = [f"{name}[{', '.join(words)}]" if words else name for words in product(*along)]
    return (
        tuple(f"{one}.{part}" for one in told for part in ("real", "imag")) if first.dtype.kind == "c" else tuple(told)
    )
