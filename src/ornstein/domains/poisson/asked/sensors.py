"""Readings at scattered points, from CSV or NPZ files: where, which value, how sure.

A CSV file has the header `x,y,value,std` (in one dimension `x,value,std`, in three `x,y,z,value,std`; the columns in
any order) and a line a sensor; lines that are blank or begin with # are left out and counted. An NPZ file has arrays of
these names. Places are in the units of the domain's lengths, values and standard deviations in those of the field.
Sensors at one place are independent readings.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ....disk.arrays import members
from ....errors import InputError
from ....files import MB, text
from ....values import Numbers, as_places, number_written
from ..equations.boundaries import AXES

_LIMIT = 256 * MB
_EXPECTED = "a CSV or NPZ file of sensors"


@dataclass(frozen=True, eq=False)
class Sensors:
    """Independent readings of one field.

    Attributes:
        points: (sensors, axes), where, x first, in the units of the domain's lengths.
        values: (sensors,), what was read, in the unit of the field.
        std: standard deviation of the noise, in the unit of the field: one number, or (sensors,), one each.
        source: of the readings, for errors.
        places: of each reading in its source, for errors, such as "line 3".
        skipped: what of the source was left out, in words; "" if nothing was.
    """

    points: Numbers
    values: Numbers
    std: Numbers
    source: str = "sensors"
    places: tuple[str, ...] = ()
    skipped: str = ""

    def __post_init__(self) -> None:
        checked = {name: as_places(getattr(self, name), f"{self.source}: {name}") for name in ("points", "values")}
        points, values = checked["points"], checked["values"]
        if points.ndim != 2 or not 1 <= points.shape[1] <= len(AXES) or not len(points):
            raise InputError(
                f"{self.source}: points have the shape {tuple(points.shape)}, expected (sensors, axes), one or more"
            )
        std = as_places(self.std, f"{self.source}: std")
        if values.shape != points.shape[:1] or std.shape not in ((), values.shape):
            found = f"values {tuple(values.shape)} and std {tuple(std.shape)}"
            raise InputError(f"{self.source}: has {found} for {len(points)} points, expected one each")
        if points.requires_grad or std.requires_grad:
            raise InputError(
                f"{self.source}: points or std want a gradient, but are not learnt: give them as .detach()"
            )
        for name, value in {**checked, "std": std.expand(values.shape).clone()}.items():
            object.__setattr__(self, name, value)
        self.require("std", self.std, self.std > 0, "a positive number")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, chosen: Bool[Tensor, " sensors"]) -> Self:
        """Some of them."""
        places = tuple(place for place, kept in zip(self.places, chosen.tolist(), strict=False) if kept)
        parts = (self.points[chosen], self.values[chosen], self.std[chosen])
        return type(self)(*parts, self.source, places, self.skipped)

    def inside(self, low: Sequence[float], high: Sequence[float]) -> Self:
        """The sensors, those on the border just there; InputError, which names the first that lies outside.

        On the border is what single precision takes for it.

        Args:
            low, high: the corners of the domain, x first, in the units of the points.
        """
        if len(low) != self.points.shape[1]:
            raise InputError(f"{self.source}: points of {self.points.shape[1]} axes, expected {len(low)}")
        for k, (least, most) in enumerate(zip(low, high, strict=True)):
            at, room = self.points[:, k], 1e-7 * max(abs(least), abs(most))
            inside = (at >= least - room) & (at <= most + room)
            self.require(AXES[k], at, inside, f"{least:g} to {most:g}, inside of the domain")
        corners = (self.points.new_tensor(end) for end in (low, high))
        return replace(self, points=self.points.clamp(*corners))

    def table(self) -> Float[Tensor, "sensors columns"]:
        """Points, values and standard deviations side by side."""
        return torch.cat([self.points, self.values[:, None], self.std[:, None]], 1)

    @classmethod
    def of_table(cls, table: Float[Tensor, "sensors columns"], source: str = "sensors") -> Self:
        """What `table` was made of."""
        return cls(table[:, :-2], table[:, -2], table[:, -1], source)

    def require(self, what: str, values: Tensor, right: Tensor, expected: str) -> None:
        """InputError, which names the first sensor of which something is not right.

        Args:
            what: it is of each sensor, such as "std".
            values: these, (sensors,).
            right: which are, (sensors,).
            expected: in words.
        """
        if bool(right.all()):
            return
        first, wrong = int((~right).nonzero()[0]), int((~right).sum())
        place = self.places[first] if self.places else f"sensor {first}"
        others = f"; {wrong} sensors in all" if wrong > 1 else ""
        raise InputError(f"{self.source}: {place}: {what} is {float(values[first]):g}, expected {expected}{others}")


def sensors_of(value: Any, ndim: int, source: str = "sensors") -> Sensors:
    """Sensors of a path, of `Sensors`, or of three parts: points, values, std.

    Args:
        value: a CSV or NPZ file, Sensors, or (points (sensors, axes) with x first, values (sensors,), std).
        ndim: axes of the domain.
        source: of the readings, for errors.
    """
    if isinstance(value, str | Path):
        return read_sensors(Path(value), ndim)
    if not isinstance(value, Sensors):
        if not isinstance(value, tuple | list) or len(value) != 3:
            raise InputError(f"{source}: a {type(value).__name__}, expected a file, Sensors, or (points, values, std)")
        points, values, std = value
        value = Sensors(points, values, std, source)
    if value.points.shape[1] != ndim:
        raise InputError(f"{value.source}: points of {value.points.shape[1]} axes, expected {ndim}")
    return value


def read_sensors(path: Path, ndim: int) -> Sensors:
    """The sensors of a CSV or NPZ file; InputError names file, line and column of what is wrong.

    Args:
        path: of the file.
        ndim: axes of the domain, 1 to 3.
    """
    names = (*AXES[:ndim], "value", "std")
    rows, places, skipped = (_of_npz if path.suffix.lower() == ".npz" else _of_csv)(path, names)
    table = torch.from_numpy(rows)
    return Sensors(table[:, :ndim], table[:, ndim], table[:, ndim + 1], str(path), places, skipped)


def write_sensors(path: Path, sensors: Sensors) -> None:
    """A CSV file that `read_sensors` reads: nine digits of places and values, six of standard deviations.

    Args:
        path: of the file.
        sensors: at least one.
    """
    rows = [[*(f"{number:.9g}" for number in row), f"{std:.6g}"] for *row, std in sensors.table().tolist()]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[*AXES[: sensors.points.shape[1]], "value", "std"], *rows])


# CSV --------------------------------------------------------------------------------------------------


def _of_csv(path: Path, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...], str]:
    """Numbers in the order of the names, the place of each row, and what was left out."""
    order: list[int] | None = None
    rows: list[list[float]] = []
    places: list[str] = []
    blank = comments = 0
    lines = text(path, _LIMIT, _EXPECTED).replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        where = f"line {number}"
        if not line.strip():
            blank += 1
        elif line.lstrip().startswith("#"):
            comments += 1
        elif order is None:
            order = _order(_cells(line, f"{path}: {where}"), names, f"{path}: {where}")
        else:
            rows.append(_numbers(_cells(line, f"{path}: {where}"), names, order, f"{path}: {where}"))
            places.append(where)
    if order is None:
        raise InputError(f"{path}: is empty, expected the header {','.join(names)} and a line a sensor")
    if not rows:
        raise InputError(f"{path}: has a header and no sensors, expected a line a sensor")
    return np.array(rows), tuple(places), _left_out(blank, comments)


def _cells(line: str, where: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
    except (csv.Error, StopIteration) as error:
        raise InputError(f"{where}: no line of a CSV file ({error})") from None


def _order(cells: list[str], names: Sequence[str], where: str) -> list[int]:
    """The column of each name."""
    expected = f"expected the header {','.join(names)}"
    for name in cells:
        if name not in names:
            raise InputError(f"{where}: column {name[:40]!r} is unknown, {expected}")
        if cells.count(name) > 1:
            raise InputError(f"{where}: column {name!r} stands there {cells.count(name)} times, {expected}")
    missing = [name for name in names if name not in cells]
    if missing:
        raise InputError(f"{where}: column {missing[0]!r} is missing, {expected}")
    return [cells.index(name) for name in names]


def _numbers(cells: list[str], names: Sequence[str], order: list[int], where: str) -> list[float]:
    if len(cells) != len(names):
        raise InputError(f"{where}: has {len(cells)} fields, expected {len(names)}, as the header has")
    return [_number(cells[place], f"{where}: {name}") for name, place in zip(names, order, strict=True)]


def _number(cell: str, where: str) -> float:
    value = number_written(cell)
    if not isfinite(value):
        raise InputError(f"{where} is {cell[:40]!r}, expected a finite number")
    return value


def _left_out(blank: int, comments: int) -> str:
    counted = ((blank, "blank line"), (comments, "comment"))
    return " and ".join(f"{n} {what}{'s' if n > 1 else ''}" for n, what in counted if n)


# NPZ --------------------------------------------------------------------------------------------------


def _of_npz(path: Path, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...], str]:
    arrays = members(path, _LIMIT)
    expected = f"expected arrays {', '.join(names)}, a number a sensor each"
    for name in arrays:
        if name not in names:
            raise InputError(f"{path}: array {name!r} is unknown, {expected}")
    columns = []
    for name in names:
        if name not in arrays:
            raise InputError(f"{path}: has no array {name!r}, {expected}")
        array, size = arrays[name], len(arrays["x"]) if "x" in arrays and arrays["x"].ndim else 0
        if array.dtype.kind not in "fiu":
            raise InputError(f"{path}: array {name!r} holds {array.dtype}, expected real numbers")
        if (array.ndim != 1 and not (name == "std" and not array.ndim)) or (array.ndim and len(array) != size):
            raise InputError(f"{path}: array {name!r} has the shape {array.shape}, {expected}")
        columns.append(np.broadcast_to(array.astype(np.float64), (size,)))
    if not len(columns[0]):
        raise InputError(f"{path}: has no sensors, {expected}")
    rows = np.stack(columns, 1)
    _require_finite(rows, names, path)
    return rows, tuple(f"element {k}" for k in range(len(rows))), ""


def _require_finite(rows: np.ndarray, names: Sequence[str], path: Path) -> None:
    wrong = np.argwhere(~np.isfinite(rows))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(f"{path}: element {row}: {names[column]} is {rows[row, column]}, expected a finite number")
