"""Files as one table of records, read block by block: the part of a data set that its splits share."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...files import MB
from . import records as counting
from .blocks import Blocks
from .layout import Layout
from .records import Records
from .stores import Opened, found_files
from .variables import Coordinates, Variable, joined

Files = str | Path | Sequence[str | Path]
_LEAST = 1 << 18
"""Bytes of a block, at least, where files are read in smaller pieces."""


@dataclass(frozen=True, eq=False)
class Source:
    """Files as one table of records, which the parts of a data set share.

    Attributes:
        layout: of the data.
        variables: by name.
        records: of all files.
        opened: the files.
        coordinates: of the dimensions.
        blocks: of records in memory.
        threads: that read at once.
    """

    layout: Layout
    variables: Mapping[str, Variable]
    records: Records
    opened: Opened
    coordinates: Coordinates
    blocks: Blocks
    threads: int

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, "ornstein-blocks")

    @property
    def paths(self) -> list[Path]:
        """Of the files of the first variable of the state."""
        return [one.path for one in self.variables[self.layout.state[0]].pieces]

    @property
    def share(self) -> int:
        """Bytes of a block of one variable: all variables have one in memory, and one being read in three copies."""
        return self.blocks.bound // (4 * len(self.layout.varying))

    def block_shape(self, variable: Variable, which: int) -> tuple[int, ...]:
        """How many records along each dimension are read as one: what is stored as one, if there is room for it."""
        piece = variable.pieces[which]
        sizes = [piece.size(dim) for dim in variable.records]
        shape = [min(piece.chunks[piece.dims.index(dim)], n) for dim, n in zip(variable.records, sizes, strict=True)]
        one = 4 * prod(variable.shape)
        for k in reversed(range(len(shape))):  # small ones together, those first that follow one another
            while shape[k] < sizes[k] and prod(shape) * one < min(_LEAST, self.share // 2):
                shape[k] = min(2 * shape[k], sizes[k])
        while prod(shape) * one > self.share and max(shape, default=1) > 1:
            k = shape.index(max(shape))
            shape[k] = (shape[k] + 1) // 2
        return tuple(shape)

    def read(self, wanted: Sequence[tuple[str, np.ndarray]], numbers: np.ndarray) -> None:
        """Fills arrays (n, channels, *grid) with a variable of these records each; see `Variable.read`.

        Args:
            wanted: the name of a variable and its array.
            numbers: of the records among all.
        """
        rows, rest = self.records.places(numbers)
        tasks: list[Callable[[], None]] = []
        for name, out in wanted:
            tasks += self._tasks(self.variables[name], rows, rest, out)
        if self.threads == 1 or len(tasks) < 2:
            for task in tasks:
                task()
        else:
            done = [self.pool.submit(task) for task in tasks]
            errors = [one.exception() for one in done]
            for error in filter(None, errors):
                raise error

    def _tasks(
        self, variable: Variable, rows: np.ndarray, rest: np.ndarray, out: np.ndarray
    ) -> list[Callable[[], None]]:
        """One a block: read it, and copy the records that are wanted."""
        pieces, index = counting.located(variable, rows, rest, self.records)
        found = []
        for which in np.unique(pieces).tolist():
            shape = self.block_shape(variable, which)
            here = np.flatnonzero(pieces == which)
            for corner, members in _grouped(index[here] // np.array(shape, np.int64)):
                places = here[members]
                found.append(partial(self._copy, variable, which, corner, shape, index[places], places, out))
        return found

    def _copy(
        self,
        variable: Variable,
        which: int,
        corner: tuple[int, ...],
        shape: tuple[int, ...],
        index: np.ndarray,
        places: np.ndarray,
        out: np.ndarray,
    ) -> None:
        sizes = [variable.pieces[which].size(dim) for dim in variable.records]
        begin = [k * n for k, n in zip(corner, shape, strict=True)]
        end = [min(a + n, size) for a, n, size in zip(begin, shape, sizes, strict=True)]
        size = 3 * 4 * prod(variable.shape) * prod(b - a for a, b in zip(begin, end, strict=True))
        read = partial(variable.read, self.opened, which, begin, end)
        with self.blocks.using((variable.name, which, corner, shape), size, read) as block:
            inside = index - np.array(begin, np.int64)
            out[places] = block[tuple(inside.T)] if len(begin) else block

    @cached_property
    def static(self) -> Mapping[str, np.ndarray]:
        """The variables that are the same in all records, (channels, *grid)."""
        found = {}
        for name in self.layout.fixed:
            along = self.variables[name].records  # one time, in files that write even the shape of the land with one
            block = self.variables[name].read(self.opened, 0, [0] * len(along), [1] * len(along))
            found[name] = block.reshape(self.variables[name].shape)
        return found

    @cached_property
    def exists(self) -> np.ndarray | None:
        """Where elements of the state exist, (channels, *grid), by the mask of the layout."""
        if self.layout.mask is None:
            return None
        found = self.static[self.layout.mask]
        where = f"{self.variables[self.layout.mask].pieces[0].path}: mask {self.layout.mask!r}"
        if np.isnan(found).any():
            found = np.nan_to_num(found)
        if not found.any():
            raise InputError(f"{where} is 0 everywhere, so that nothing exists")
        channels = sum(self.variables[name].shape[0] for name in self.layout.state)
        if len(found) not in (1, channels):
            raise InputError(f"{where} has {len(found)} channels, expected 1 or the {channels} of the state")
        return np.broadcast_to(found != 0, (channels, *found.shape[1:]))


def _grouped(corners: np.ndarray) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Each row of a table that there is (n, columns), and the places where it is."""
    if not corners.shape[1]:
        return [((), np.arange(len(corners)))]
    each, members = np.unique(corners, axis=0, return_inverse=True)
    members = members.reshape(-1)
    return [(tuple(one), np.flatnonzero(members == k)) for k, one in enumerate(each.tolist())]


# Opening ----------------------------------------------------------------------------------------------


def sourced(files: Files | Mapping[str, Files], layout: Layout, bound: int, threads: int) -> Source:
    """The files, checked against each other; see `open_fields`.

    Args:
        files: paths and patterns, or these by the name of the variable.
        layout: of the data.
        bound: bytes of blocks in memory.
        threads: that read at once.
    """
    if threads < 1:
        raise InputError(f"threads is {threads}, expected 1 at least")
    opened = Opened()
    coordinates = Coordinates(opened)
    by_name = isinstance(files, Mapping)
    found = {name: found_files(one) for name, one in files.items()} if by_name else found_files(files)
    names = [*layout.varying, *layout.fixed]
    paths = {name: _paths(found, name, name in layout.fixed, opened) for name in names}
    alone = by_name or len(names) == 1
    grid = layout.grid or _last_two(paths[layout.state[0]][0], layout, coordinates, alone)
    scalars = {name for group in layout.scalars.values() for name in group}
    variables = {
        name: joined(coordinates, paths[name], name, layout, () if name in scalars else grid, alone) for name in names
    }
    _require_one_grid(variables, layout, coordinates, scalars)
    records = counting.counted([variables[name] for name in layout.varying], layout, coordinates)
    source = Source(layout, variables, records, opened, coordinates, Blocks(bound), threads)
    _require_room(source)
    return source


def _paths(found: list[Path] | dict[str, list[Path]], name: str, fixed: bool, opened: Opened) -> list[Path]:
    """The files of a variable; of one that is the same in all records, the first that has it."""
    if isinstance(found, dict):
        if name not in found:
            raise InputError(f"files are given by variable, but not for {name!r}; found {', '.join(found)}")
        return found[name]
    if not fixed:
        return found
    having = [path for path in found if name in opened(path).names()]
    return having[:1] or found[:1]


def _last_two(path: Path, layout: Layout, coordinates: Coordinates, alone: bool) -> tuple[str, ...]:
    """The last two dimensions of the first variable of the state that count no records."""
    first = joined(coordinates, [path], layout.state[0], layout, (), alone)
    if not first.channels:
        raise InputError(
            f"{path}: variable {first.name!r} has no dimension but {list(first.records)}, which count the records"
        )
    return first.channels[-2:]


def _require_one_grid(
    variables: Mapping[str, Variable], layout: Layout, coordinates: Coordinates, scalars: set[str]
) -> None:
    first = variables[layout.state[0]]
    for dim in layout.select:
        if not any(dim in one.kept for one in variables.values()):
            raise InputError(f"layout.select names {dim!r}, which is a dimension of none of the variables")
    for name, one in variables.items():
        where = f"{one.pieces[0].path}: variable {name!r}"
        if name in layout.fixed and any(one.pieces[0].size(dim) > 1 for dim in one.records):
            raise InputError(f"{where} has the dimension {one.records[0]!r}, but is to be the same in all records")
        if name in scalars:
            _require_scalar(one, first, where)
        elif one.shape[1:] != first.shape[1:]:
            raise InputError(f"{where} has the grid {one.shape[1:]}, expected {first.shape[1:]} as {first.name!r}")
        else:
            for dim in first.grid:
                ours, theirs = (coordinates(it.pieces[0].path, dim) for it in (first, one))
                if ours and theirs and not np.array_equal(ours[0], theirs[0]):
                    raise InputError(f"{where}: coordinate {dim!r} is not that of {first.name!r} in another file")


def _require_scalar(one: Variable, first: Variable, where: str) -> None:
    wrong = [dim for dim in one.channels if dim in first.grid]
    if wrong:
        raise InputError(f"{where} has the dimension {wrong[0]!r} of the grid, expected numbers; name it in conditions")


def _require_room(source: Source) -> None:
    """One record of each variable, in three copies, must fit into the bound."""
    need = 3 * sum(4 * prod(source.variables[name].shape) for name in source.layout.varying)
    if need > source.blocks.bound:
        raise InputError(
            f"{source.paths[0]}: one record takes {need / MB:.4g} MB to read, more than the bound of "
            f"{source.blocks.bound / MB:.4g} MB"
        )
