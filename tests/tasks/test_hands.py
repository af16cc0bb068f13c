"""Files that are made with a pointer, and what every domain says of the files of its requests."""

import csv
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from PIL import Image

from ornstein import InputError
from ornstein.tasks.hands import Backdrop, Column, Given, Mark, Painted, Picked, Placed, Row
from ornstein.tasks.registry import domains, task
from ornstein.tasks.task import Task

THIRD_PARTY = Path(__file__).parents[1] / "third_party"


# What domains say -------------------------------------------------------------------------------------


def require_said(this: type[Task]) -> None:
    """Of every field that is a file it is known which, and nothing is said of fields that there are none of."""
    hints = get_type_hints(this.request_type)
    names = {one.name for one in fields(this.request_type)}
    paths = {name for name in names if "Path" in str(hints[name])}
    assert paths <= set(this.files) <= names
    assert set(this.by_hand) <= set(this.files)
    for suffixes in this.files.values():
        assert suffixes
        assert all(one == "" or one.startswith(".") for one in suffixes)
    for name, hand in this.by_hand.items():
        assert hand.kind in ("painted", "placed", "picked")
        assert hand.over in ("", name, *paths)


@pytest.mark.parametrize("name", domains())
def test_every_file_of_a_request_is_known_to_the_studio(name: str) -> None:
    require_said(type(task(name)))


@pytest.mark.parametrize(("package", "name"), [("rings", "Rings"), ("waves", "Waves")])
def test_that_of_somebody_else_too(package: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(THIRD_PARTY / package)
    require_said(getattr(import_module(f"ornstein_{package}.task"), name))


def test_a_field_that_nobody_speaks_of_is_found() -> None:
    class Forgetful(type(task("mri"))):
        files = {"kspace": (".h5",)}  # noqa: RUF012

    with pytest.raises(AssertionError):
        require_said(Forgetful)


# Painted ----------------------------------------------------------------------------------------------


def picture(given: Given, metadata: Mapping[str, Any]) -> Backdrop:
    return Backdrop((0.0, 4.0, 3.0, 0.0), size=(4, 3))


PAINTED = Painted(over="seen", look=picture)
GIVEN = {"seen": Path("seen.png")}


def png(pixels: np.ndarray, format: str = "png") -> str:
    buffer = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format)
    return b64encode(buffer.getvalue()).decode()


def brushed(colour: tuple[int, int, int, int]) -> np.ndarray:
    """Transparent, but for the two pixels on the left of the second row."""
    pixels = np.zeros((3, 4, 4))
    pixels[1, :2] = colour
    return pixels


@pytest.mark.parametrize("colour", [(255, 255, 255, 255), (255, 0, 0, 200)])
@pytest.mark.parametrize("before", ["", "data:image/png;base64,"])
def test_what_is_painted_becomes_white(colour: tuple[int, int, int, int], before: str, tmp_path: Path) -> None:
    path = PAINTED.write({"png": before + png(brushed(colour))}, GIVEN, {}, tmp_path)
    expected = np.zeros((3, 4))
    expected[1, :2] = 255
    assert np.array_equal(np.asarray(Image.open(path)), expected)
    assert [path] == list(tmp_path.iterdir())


def test_black_on_white_is_painted_where_it_is_white(tmp_path: Path) -> None:
    grey = np.full((3, 4), 255)
    grey[0] = 0
    path = PAINTED.write({"png": png(grey)}, GIVEN, {}, tmp_path)
    assert np.array_equal(np.asarray(Image.open(path)), grey)


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ({}, "found nothing, expected 'png'"),
        ({"png": 3}, "expected 'png' alone"),
        ({"png": "", "more": 1}, "more"),
        ({"png": "no base64!"}, "cannot be read"),
        ({"png": b64encode(b"\x80\x04K\x01.").decode()}, "cannot be read"),
        ({"png": png(np.full((3, 4), 255), "bmp")}, "cannot be read"),
        ({"png": png(np.full((4, 3), 255))}, "is 3 × 4 pixels, expected a PNG of 4 × 3"),
        ({"png": png(brushed((255, 255, 255, 100)))}, "nothing is painted"),
        ({"png": png(brushed((90, 90, 90, 255)))}, "nothing is painted"),
    ],
)
def test_a_painting_that_is_none_is_refused(marks: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        PAINTED.write(marks, GIVEN, {}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_painted_over_comes_first(tmp_path: Path) -> None:
    for given in ({}, {"seen": None}):
        with pytest.raises(InputError, match="--seen is not given"):
            PAINTED.backdrop(given, {})
        with pytest.raises(InputError, match="--seen is not given"):
            PAINTED.write({"png": png(brushed((255, 255, 255, 255)))}, given, {}, tmp_path)


# Placed -----------------------------------------------------------------------------------------------

COLUMNS = (Column("x"), Column("y"), Column("kind", "warm", ("warm", "cold")), Column("std", 0.5))


def turned(points: Sequence[Row], given: Given, metadata: Mapping[str, Any]) -> list[Row]:
    return [{"y": point["y"], **{name: point[name] for name in ("x", "kind", "std")}} for point in points]


PLACED = Placed(look=lambda given, metadata: Backdrop((0.0, 1.0, 0.0, 1.0), columns=COLUMNS), rows=turned)


def test_points_become_a_table_with_what_is_not_said_by_default(tmp_path: Path) -> None:
    points = [[0.25, 1, "cold", 2], [1e-9, 0.1, None, None]]
    path = PLACED.write({"points": points}, {}, {}, tmp_path)
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert found == [
        {"y": "1.0", "x": "0.25", "kind": "cold", "std": "2.0"},
        {"y": "0.1", "x": "1e-09", "kind": "warm", "std": "0.5"},
    ]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "no point is placed"),
        ([[0, 0, "warm", 1]] * 10_001, "10001 points are placed"),
        ([[0, 0, "warm", 1], [0, 0]], "point 2: is .*expected a list of x, y, kind, std"),
        (["a,b"], "point 1: is a,b"),
        ([[0, 0, "hot", 1]], "kind is 'hot', expected one of warm, cold"),
        ([[0, 0, ["warm"], 1]], "kind is"),
        ([[None, 0, "warm", 1]], "x is missing, expected a finite number"),
        ([[0, "1; DROP", "warm", 1]], "y is '1; DROP'"),
        ([[0, float("nan"), "warm", 1]], "y is nan"),
        ([[0, True, "warm", 1]], "y is True"),
    ],
)
def test_points_that_are_none_are_refused(points: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        PLACED.write({"points": points}, {}, {}, tmp_path)
    assert not list(tmp_path.iterdir())


# Picked -----------------------------------------------------------------------------------------------


def save(chosen: Sequence[int], given: Given, metadata: Mapping[str, Any], folder: Path) -> Path:
    path = folder / "picked.txt"
    path.write_text(" ".join(map(str, chosen)))
    return path


PICKED = Picked(
    over="whole",
    look=lambda given, metadata: Backdrop((0, 1, 0, 1), marks=[Mark(0, 0, "C"), Mark(1, 0, "O"), Mark(0, 1, "N")]),
    save=save,
)


def test_chosen_marks_are_saved_in_order_each_once(tmp_path: Path) -> None:
    path = PICKED.write({"chosen": [2, 0, 2]}, {"whole": Path("whole.sdf")}, {}, tmp_path)
    assert path.read_text() == "0 2"


@pytest.mark.parametrize(
    ("chosen", "said"),
    [([], "nothing is chosen"), ([3], "from 0 to 2"), ([-1], "from 0 to 2"), ([True], "True"), (["0"], "'0'")],
)
def test_marks_that_are_not_there_are_refused(chosen: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        PICKED.write({"chosen": chosen}, {"whole": Path("whole.sdf")}, {}, tmp_path)
    assert not list(tmp_path.iterdir())
