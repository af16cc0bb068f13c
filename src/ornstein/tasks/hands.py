"""Files that a person makes with a pointer: a mask painted over a picture, readings placed on a field, atoms picked.

A domain says for which fields of its request that makes sense (`Task.by_hand`); whoever has a screen shows the
backdrop, takes what was done on it as JSON values (`marks`) and lets the domain write the file that the request names:

    backdrop = hand.backdrop(given, metadata)
    path = hand.write(marks, given, metadata, folder)

Three kinds suffice for every domain so far: painted, placed and picked. None of them knows a field: the functions are
the domain's.
"""

import csv
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import InputError
from ..values import is_number
from .figures import Figure

Given = Mapping[str, Any]
"""The other fields of a request as far as they are said, with paths where these are files."""


@dataclass(frozen=True)
class Mark:
    """What can be picked on a backdrop, or stands there.

    Attributes:
        x, y: its place, in the units of the backdrop's extent.
        label: what it is, in a word, such as an element.
        colour: of CSS, such as "#3050f8".
    """

    x: float
    y: float
    label: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Column:
    """What is said of every point that is placed.

    Attributes:
        name: of the column.
        default: what stands there at first; None if it must be said, or is said by the place.
        choices: values that it may have; any number if none are given.
        unit: of the number; "" if it has none, or nobody knows it.
    """

    name: str
    default: Any = None
    choices: Sequence[Any] = ()
    unit: str = ""

    def value(self, said: Any, where: str) -> Any:
        """The value of a cell; InputError for one that is no choice, or no finite number.

        Args:
            said: a JSON value; null is the default.
            where: it stands, for the error.
        """
        value = self.default if said is None else said
        if self.choices:
            if value not in self.choices or isinstance(value, bool):
                raise InputError(f"{where}: {self.name} is {value!r}, expected one of {_listed(self.choices)}")
            return value
        if not is_number(value):
            found = "missing" if value is None else repr(value)
            raise InputError(f"{where}: {self.name} is {found}, expected a finite number")
        return float(value)


@dataclass(frozen=True)
class Backdrop:
    """What lies under the pointer.

    Attributes:
        extent: (left, right, bottom, top) in the user's units; bottom may be above top where y grows downwards.
        picture: that fills the extent; none if not given.
        size: (width, height) of the canvas in its own pixels, such as those of the picture that is painted over.
        marks: what is there, by number.
        columns: of points that are placed. The first two are where a point is on the backdrop, to the right and up.
        note: what to do, in words.
    """

    extent: tuple[float, float, float, float]
    picture: Figure | None = None
    size: tuple[int, int] = (480, 480)
    marks: Sequence[Mark] = ()
    columns: Sequence[Column] = ()
    note: str = ""


Row = Mapping[str, Any]
"""What is said of a point, by column."""


def size_of(extent: tuple[float, float, float, float], longest: int = 480) -> tuple[int, int]:
    """A canvas on which a unit is as long to the right as upwards, but no side less than a quarter of the other.

    Args:
        extent: (left, right, bottom, top), in one unit.
        longest: of its sides, pixels.
    """
    left, right, bottom, top = extent
    width, height = abs(right - left), abs(top - bottom)
    scale = longest / max(width, height)
    return max(longest // 4, round(width * scale)), max(longest // 4, round(height * scale))


Look = Callable[[Given, Mapping[str, Any]], Backdrop]
"""What is shown, of a request's fields so far and of a model's metadata."""


@dataclass(frozen=True, kw_only=True)
class Hand(ABC):
    """One way to make a file with a pointer.

    Attributes:
        kind: what is done: painted, placed or picked.
        over: the field whose file is shown behind, which must be given first; none if empty. If it is the field whose
            file is made, a file is given to the hand, which makes another of it: the whole of what is picked from.
        look: makes the backdrop.
    """

    kind: ClassVar[str]
    over: str = ""
    look: Look

    def backdrop(self, given: Given, metadata: Mapping[str, Any]) -> Backdrop:
        """What is shown; InputError if what is given is not what it must be.

        Args:
            given: the request's fields so far, those that are not said left out.
            metadata: of the model.
        """
        if self.over and given.get(self.over) is None:
            flag = f"--{self.over.replace('_', '-')}"
            raise InputError(f"{flag} is not given, expected the file that is shown here: give it first")
        return self.look(given, metadata)

    @abstractmethod
    def write(self, marks: Mapping[str, Any], given: Given, metadata: Mapping[str, Any], folder: Path) -> Path:
        """The file that the marks make, in a folder of its own; InputError for marks that make none.

        Args:
            marks: what was done, in JSON values; each kind says which.
            given: the request's fields so far.
            metadata: of the model.
            folder: an empty one.
        """


@dataclass(frozen=True, kw_only=True)
class Painted(Hand):
    """A mask painted over a picture, pixel by pixel; it becomes a PNG of that size, white where it was painted.

    Marks: {"png": "iVBORw0…"}, a PNG in base64, also as a data URL, of the backdrop's size. A pixel is painted where
    it is opaque and light: its alpha and the largest of its colours are above one half.
    """

    kind = "painted"

    def write(self, marks: Mapping[str, Any], given: Given, metadata: Mapping[str, Any], folder: Path) -> Path:
        from PIL import Image

        painted = _painted(_only(marks, "png", str, "a PNG in base64"), self.backdrop(given, metadata).size)
        if not painted.any():
            raise InputError("nothing is painted, expected some of the picture")
        path = folder / "painted.png"
        Image.fromarray(np.where(painted, np.uint8(255), np.uint8(0))).save(path)
        return path


@dataclass(frozen=True, kw_only=True)
class Placed(Hand):
    """Points placed on a plane, with numbers and choices; they become a CSV file.

    Marks: {"points": [[x, y, …], …]}, a value a column of the backdrop, in their order; null is its default.

    Attributes:
        rows: what is written of the points, a mapping by column each, such as names of the stations that are nearest;
            InputError for points that cannot be.
    """

    kind = "placed"
    rows: Callable[[Sequence[Row], Given, Mapping[str, Any]], Sequence[Row]]

    def write(self, marks: Mapping[str, Any], given: Given, metadata: Mapping[str, Any], folder: Path) -> Path:
        columns = self.backdrop(given, metadata).columns
        points = _only(marks, "points", list, "a list of points")
        if not points:
            raise InputError("no point is placed, expected one or more")
        if len(points) > MOST:
            raise InputError(f"{len(points)} points are placed, expected {MOST} at most: write a file of them")
        said = [_point(point, columns, f"point {k + 1}") for k, point in enumerate(points)]
        rows = self.rows(said, given, metadata)
        path = folder / "placed.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path


@dataclass(frozen=True, kw_only=True)
class Picked(Hand):
    """Some of the marks of a backdrop; the domain writes a file of these.

    Marks: {"chosen": [0, 3, 4]}, numbers of marks of the backdrop, from 0.

    Attributes:
        save: writes the chosen ones of what is given, whose numbers rise, into a folder, and returns the file.
    """

    kind = "picked"
    save: Callable[[Sequence[int], Given, Mapping[str, Any], Path], Path]

    def write(self, marks: Mapping[str, Any], given: Given, metadata: Mapping[str, Any], folder: Path) -> Path:
        count = len(self.backdrop(given, metadata).marks)
        chosen = _only(marks, "chosen", list, "a list of numbers")
        for one in chosen:
            if not isinstance(one, int) or isinstance(one, bool) or not 0 <= one < count:
                raise InputError(f"chosen: {one!r} is there, expected numbers from 0 to {count - 1}")
        if not chosen:
            raise InputError("nothing is chosen, expected one or more")
        return self.save(sorted(set(chosen)), given, metadata, folder)


MOST = 10_000
"""Points that are placed by hand."""


def _only(marks: Mapping[str, Any], name: str, kind: type, expected: str) -> Any:
    """The one value that marks have; InputError for others."""
    if set(marks) != {name} or not isinstance(marks[name], kind):
        found = ", ".join(sorted(map(str, marks))) or "nothing"
        raise InputError(f"marks: found {found}, expected {name!r} alone, {expected}")
    return marks[name]


def _point(point: Any, columns: Sequence[Column], where: str) -> dict[str, Any]:
    """What is said of a point by column."""
    if not isinstance(point, list) or len(point) != len(columns):
        names = ", ".join(column.name for column in columns)
        raise InputError(f"{where}: is {str(point)[:80]}, expected a list of {names}")
    return {column.name: column.value(value, where) for column, value in zip(columns, point, strict=True)}


def _painted(said: str, size: tuple[int, int]) -> np.ndarray:
    """Where a picture is opaque and light, (height, width); InputError for one of another size, or none."""
    from PIL import Image

    expected = f"expected a PNG of {size[0]} × {size[1]} pixels in base64"
    try:
        data = b64decode(said.removeprefix("data:image/png;base64,"), validate=True)
        with Image.open(BytesIO(data), formats=["PNG"]) as image:
            if image.size != size:
                raise InputError(f"png: is {image.size[0]} × {image.size[1]} pixels, {expected}")
            levels = np.asarray(image.convert("RGBA"))
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file breaks
        raise InputError(f"png: cannot be read ({str(error)[:80]}), {expected}") from None
    return (levels[..., :3].max(-1) > 127) & (levels[..., 3] > 127)


def _listed(choices: Sequence[Any]) -> str:
    shown = ", ".join(map(str, choices[:12]))
    return f"{shown}, …" if len(choices) > 12 else shown
