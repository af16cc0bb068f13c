"""Records by number over files: which row and which places of the other dimensions a number means, and how rows split.

A row is one step along the first dimension of the records: a time over all files, or a file. Each has its records in
the order of the other dimensions, so that a range of rows is a range of numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...errors import InputError
from .layout import FILE, Layout
from .packing import iso, times
from .variables import Coordinates, Variable


@dataclass(frozen=True)
class Records:
    """All records of the files.

    Attributes:
        dims: that count them, the first for the rows.
        rest: (rows, others), how large the others are in each row; (1, others) where that is the same in all.
        rows: how many there are.
        values: of the rows, rising: instants, or numbers; None where the files say none.
    """

    dims: tuple[str, ...]
    rest: np.ndarray
    rows: int
    values: np.ndarray | None

    @cached_property
    def ends(self) -> np.ndarray:
        """How many records there are up to the end of each row."""
        return np.cumsum(np.broadcast_to(self.rest.prod(1), (self.rows,)))

    def first(self, row: int) -> int:
        """The number of the first record of a row."""
        return int(self.ends[row - 1]) if row else 0

    def places(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows (n,) and the places along the other dimensions (n, others) of records."""
        rows = np.searchsorted(self.ends, numbers, side="right")
        left = numbers - (self.ends[rows] - np.broadcast_to(self.rest.prod(1), (self.rows,))[rows])
        rest = np.broadcast_to(self.rest, (self.rows, self.rest.shape[1]))[rows]
        places = np.empty_like(rest)
        for k in range(rest.shape[1] - 1, -1, -1):
            left, places[:, k] = left // rest[:, k], left % rest[:, k]
        return rows, places

    def named(self, number: int, paths: Sequence[Path]) -> str:
        """What a record is, in words."""
        rows, places = self.places(np.array([number]))
        row = int(rows[0])
        told = [f"{dim} {place}" for dim, place in zip(self.dims[1:], places[0].tolist(), strict=True)]
        if self.dims[0] == FILE:
            return ", ".join([paths[row].name, *told])
        return ", ".join([f"{self.dims[0]} {row if self.values is None else written(self.values[row])}", *told])


def written(value: np.generic) -> str:
    """The value of a row: an instant as ISO 8601, or a number."""
    return iso([value])[0] if value.dtype.kind == "M" else f"{value:g}"


def located(variable: Variable, rows: np.ndarray, rest: np.ndarray, records: Records) -> tuple[np.ndarray, np.ndarray]:
    """In which piece of a variable records are (n,), and where along its own dimensions of records (n, dims).

    Args:
        variable: of all files.
        rows, rest: of the records; see `Records.places`.
        records: of all files.
    """
    columns = [rest[:, k - 1] for k, dim in enumerate(records.dims) if k and dim in variable.records]
    if records.dims[0] == FILE:
        pieces = rows
    elif records.dims[0] in variable.records:
        pieces = np.searchsorted(variable.ends, rows, side="right")
        columns.insert(0, rows - np.concatenate([[0], variable.ends])[pieces])
    else:
        pieces = np.zeros_like(rows)
    return pieces, np.stack(columns, 1) if columns else np.zeros((len(rows), 0), np.int64)


# What they are ----------------------------------------------------------------------------------------


def counted(variables: Sequence[Variable], layout: Layout, coordinates: Coordinates) -> Records:
    """The records that variables have in common; InputError where they do not agree, or times do not rise.

    Args:
        variables: that records are made of; the first has all dimensions that count them.
        layout: of the data.
        coordinates: of the dimensions.
    """
    first, over = variables[0], layout.records[0]
    for dim in layout.records:
        if dim not in (*first.records, FILE):
            found = first.pieces[0]
            raise InputError(
                f"{found.path}: variable {first.name!r} has the dimensions {list(found.dims)}, expected {dim!r}, which "
                "counts the records, among them"
            )
    others = tuple(dim for dim in layout.records if dim not in (over, FILE))
    for variable in variables:
        _require_as_many(first, variable, over, others)
    for one in first.pieces:
        for dim in others:
            _require_one_way(coordinates, one.path, dim)
    pieces = first.pieces if over == FILE else first.pieces[:1]
    rest = np.array([[one.size(dim) for dim in others] for one in pieces], np.int64).reshape(len(pieces), len(others))
    rows = len(first.pieces) if over == FILE else int(first.ends[-1])
    found = Records(tuple(layout.records), rest, rows, _values(variables, over, coordinates))
    if not rows or not found.ends[-1]:
        raise InputError(f"{first.pieces[0].path}: variable {first.name!r} has no records along {over!r}")
    return found


def _require_as_many(first: Variable, other: Variable, over: str, others: Sequence[str]) -> None:
    """Both have as many rows, and as many records in each, as far as the other depends on them."""
    ours, theirs = first.pieces[0].path, other.pieces[0].path
    if over == FILE and len(other.pieces) != len(first.pieces):
        raise InputError(
            f"{theirs}: variable {other.name!r} is in {len(other.pieces)} files, {first.name!r} in {len(first.pieces)}"
        )
    if over != FILE and over in other.records and other.ends[-1] != first.ends[-1]:
        raise InputError(
            f"{theirs}: variable {other.name!r} has {other.ends[-1]} along {over!r} in all files, expected "
            f"{first.ends[-1]} as {first.name!r} in {ours}"
        )
    for k, one in enumerate(other.pieces if over == FILE else other.pieces[:1]):
        for dim in others:
            if dim in other.records and one.size(dim) != first.pieces[k].size(dim):
                raise InputError(
                    f"{one.path}: variable {other.name!r} has {one.size(dim)} along {dim!r}, expected "
                    f"{first.pieces[k].size(dim)} as {first.name!r} in {first.pieces[k].path}"
                )


def _values(variables: Sequence[Variable], over: str, coordinates: Coordinates) -> np.ndarray | None:
    """The coordinate of the rows over all files, rising and the same for all variables."""
    if over == FILE:
        return None
    values = None
    known: dict[tuple[Path, ...], np.ndarray | None] = {}
    for variable in variables:
        if over not in variable.records:
            continue
        paths = tuple(one.path for one in variable.pieces)
        if paths not in known:
            known[paths] = _rising(paths, over, coordinates)
        theirs = known[paths]
        if values is None:
            values = theirs
        elif theirs is not None and not np.array_equal(values, theirs):
            k = int((values != theirs).argmax())
            raise InputError(
                f"{paths[0]}: variable {variable.name!r}, record {k}: {over} is {written(theirs[k])}, expected "
                f"{written(values[k])} as of {variables[0].name!r}"
            )
    return values


def _rising(paths: Sequence[Path], dim: str, coordinates: Coordinates) -> np.ndarray | None:
    found = [(path, _coordinate(path, dim, coordinates)) for path in paths]
    lacking = [path for path, one in found if one is None]
    if len(lacking) == len(found):
        return None
    if lacking:
        raise InputError(f"{lacking[0]}: dimension {dim!r} has no coordinate, but it has one in other files")
    _require_same_units(paths, dim, coordinates)
    values = np.concatenate([one for _, one in found if one is not None])
    wrong = np.flatnonzero(~(values[1:] > values[:-1]))
    if len(wrong):
        k = int(wrong[0]) + 1
        path = paths[int(np.searchsorted(np.cumsum([len(one) for _, one in found if one is not None]), k, "right"))]
        raise InputError(
            f"{path}: {dim} does not rise: record {k} is {written(values[k])} after {written(values[k - 1])}, expected "
            "each once, in order, and files in this order"
        )
    return values


def _coordinate(path: Path, dim: str, coordinates: Coordinates) -> np.ndarray | None:
    known = coordinates(path, dim)
    if known is None:
        return None
    instants = times(*known, f"{path}: variable {dim!r}")
    return known[0] if instants is None else instants


def _require_same_units(paths: Sequence[Path], dim: str, coordinates: Coordinates) -> None:
    """Numbers that are no instants can only be compared in the same units."""
    known = [coordinates(path, dim) for path in paths]
    units = [str(one[1].get("units", "")) if one and times(one[0][:0], one[1], dim) is None else "" for one in known]
    for path, one in zip(paths, units, strict=True):
        if one != units[0]:
            raise InputError(f"{path}: coordinate {dim!r} has the units {one!r}, {units[0]!r} in {paths[0]}")


def _require_one_way(coordinates: Coordinates, path: Path, dim: str) -> None:
    values = _coordinate(path, dim, coordinates)
    if values is None or len(values) < 2:
        return
    rises, falls = (values[1:] > values[:-1]).all(), (values[1:] < values[:-1]).all()
    if not (rises or (falls and values.dtype.kind != "M")):
        wrong = int((~(values[1:] > values[:-1])).argmax()) + 1
        raise InputError(
            f"{path}: {dim} is not in order: at {wrong} it is {written(values[wrong])} after "
            f"{written(values[wrong - 1])}, expected each once, in order"
        )


# Splits -----------------------------------------------------------------------------------------------


def shares(rows: int, parts: Sequence[float], gap: int) -> list[range]:
    """Ranges of rows one after another, the parts of the whole; InputError if one would be empty.

    Args:
        rows: how many there are.
        parts: of the rows, more than 0 and 1 at most together.
        gap: rows left out between two parts.
    """
    if not parts or not all(isinstance(one, int | float) and one > 0 for one in parts) or sum(parts) > 1 + 1e-9:
        raise InputError(f"shares of the records are {list(parts)}, expected more than 0 each and 1 at most together")
    if gap < 0:
        raise InputError(f"the gap between parts is {gap} rows, expected 0 or more")
    edges = [0, *(round(rows * edge) for edge in np.cumsum(parts).tolist())]
    found = [range(a + (gap if k else 0), b) for k, (a, b) in enumerate(pairwise(edges))]
    for part, one in zip(parts, found, strict=True):
        if not len(one):
            raise InputError(
                f"a share of {part:g} of {rows} rows with a gap of {gap} holds none, expected one at least"
            )
    return found


def between(records: Records, rows: range, begin: str | float | None, end: str | float | None) -> range:
    """The rows with values from `begin` on and before `end`; InputError if there are none.

    Args:
        records: of all files.
        rows: among which.
        begin, end: ISO 8601, such as "2010" or "2010-03-01T06:00", or numbers where rows have such; None for no limit.
    """
    values = records.values
    if values is None:
        raise InputError(f"{records.dims[0]!r} has no coordinate, so nothing lies between {begin} and {end}")
    values = values[rows.start : rows.stop]
    edges = [
        len(values) * k if edge is None else int(np.searchsorted(values, _edge(edge, values), "left"))
        for k, edge in enumerate((begin, end))
    ]
    if edges[0] >= edges[1]:
        raise InputError(
            f"no records with {records.dims[0]} from {begin} to before {end}, found {written(values[0])} to "
            f"{written(values[-1])}"
        )
    return range(rows.start + edges[0], rows.start + edges[1])


def _edge(edge: str | float, values: np.ndarray) -> np.generic:
    try:
        if isinstance(edge, str):
            edge = edge.removesuffix("Z")  # as all times are
        return np.datetime64(edge) if values.dtype.kind == "M" else np.float64(edge)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except (ValueError, TypeError):
        expected = "a date such as 2010-03-01" if values.dtype.kind == "M" else "a number"
        raise InputError(f"{edge!r}, expected {expected}") from None
