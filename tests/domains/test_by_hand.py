"""Files that a pointer makes, in each domain: the request takes them, and they mean what was done."""

from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ornstein as on
import small_weather
from ornstein import InputError, Keys
from ornstein.domains.images.requests import ImagesRequest
from ornstein.domains.molecules.asked.flags import MoleculesRequest
from ornstein.domains.molecules.chemistry import files
from ornstein.domains.poisson import examples
from ornstein.domains.poisson.asked.flags import PoissonRequest
from ornstein.domains.poisson.asked.sensors import read_sensors
from ornstein.domains.weather.asked.flags import WeatherRequest
from ornstein.events import finished
from ornstein.tasks.registry import task
from ornstein.tasks.requests import drawing
from ornstein.tasks.samples import Samples


def sample(model: Any, asked: Any, n: int, **how: Any) -> Samples:
    return finished(drawing(model, asked, n, seed=0, **how))


def facts(name: str) -> Mapping[str, Any]:
    """The metadata of a shipped model."""
    origin = on.load(name).origin
    assert origin is not None
    return origin.metadata


def new(folder: Path) -> Path:
    """An empty folder."""
    made = folder / f"hand-{len(list(folder.iterdir()))}"
    made.mkdir()
    return made


# A mask painted over a picture ------------------------------------------------------------------------


def test_what_is_painted_is_drawn_anew_and_the_rest_stays(tmp_path: Path) -> None:
    metadata, hand = facts("images/digits"), task("images").by_hand["mask"]
    seen = tmp_path / "seen.png"
    levels = (Keys.of(0, 1).uniform(8, 8)[0] * 255).byte().numpy()
    Image.fromarray(levels).save(seen)
    white = np.zeros((8, 8), np.uint8)
    white[:4] = 255
    backdrop = hand.backdrop({"observation": seen}, metadata)
    assert backdrop.size == (8, 8)
    assert backdrop.picture is not None
    assert np.array_equal(np.asarray(Image.open(BytesIO(backdrop.picture.image))), levels)
    brush = np.zeros((8, 8, 4), np.uint8)
    brush[:4] = (200, 30, 30, 255)
    Image.fromarray(brush).save(buffer := BytesIO(), "png")
    marks = {"png": b64encode(buffer.getvalue()).decode()}
    painted = hand.write(marks, {"observation": seen}, metadata, new(tmp_path))
    assert np.array_equal(np.asarray(Image.open(painted)), white)
    drawn = sample(
        on.load("images/digits"), ImagesRequest(observation=seen, mask=painted, noise=0.0, label=(3,)), 1, steps=1
    ).x[0, 0]
    known = torch.from_numpy(levels / 127.5 - 1).float()
    assert torch.allclose(drawn[4:], known[4:], atol=1e-5)
    assert (drawn[:4] - known[:4]).abs().mean() > 0.1


def test_a_picture_of_another_size_or_of_rays_is_not_painted_over(tmp_path: Path) -> None:
    metadata, hand = facts("images/digits"), task("images").by_hand["mask"]
    Image.new("L", (9, 8)).save(tmp_path / "wide.png")
    with pytest.raises(InputError, match="8 × 9 pixels, expected 8 × 8"):
        hand.backdrop({"observation": tmp_path / "wide.png"}, metadata)
    with pytest.raises(InputError, match="rays"):
        hand.backdrop({"observation": tmp_path / "rays.npz"}, metadata)
    half = tmp_path / "half.png"
    Image.new("L", (4, 4)).save(half)
    assert hand.backdrop({"observation": half, "operator": "blocks"}, metadata).size == (4, 4)


# Sensors placed on a domain ---------------------------------------------------------------------------


def test_sensors_are_read_as_they_were_placed(tmp_path: Path) -> None:
    this, metadata = task("poisson"), facts("poisson/discs")
    truth = examples.write("discs", tmp_path / "example") / examples.TRUTH
    given: dict[str, Any] = {"lengths": (2.0, 1.0), "origin": (1.0, 0.0)}
    hand = this.by_hand["solution_sensors"]
    backdrop = hand.backdrop(given, metadata)
    assert backdrop.extent == (1.0, 3.0, 0.0, 1.0)
    assert backdrop.size == (480, 240)
    assert [column.name for column in backdrop.columns] == ["x", "y", "value", "std"]
    assert backdrop.picture is None
    path = hand.write({"points": [[2.5, 0.25, 0.01, None], [1, 1, 2, 0.5]]}, given, metadata, new(tmp_path))
    found = read_sensors(path, 2)
    assert found.points.tolist() == [[2.5, 0.25], [1, 1]]
    assert found.values.tolist() == [0.01, 2]
    assert found.std.tolist() == [backdrop.columns[-1].default, 0.5]
    request = this.request(PoissonRequest(solution_sensors=path, **given), range(2), metadata)
    assert request.beside["solution_sensors"].shape == (2, 2, 4)
    for name in ("source_sensors", "solution_sensors"):
        assert this.by_hand[name].backdrop({"truth": truth}, metadata).picture is not None
    with pytest.raises(InputError, match=r"point 1: x is 0\.5, expected 1 to 3"):
        hand.write({"points": [[0.5, 0.25, 0, None]]}, given, metadata, new(tmp_path))
    with pytest.raises(InputError, match="std is 0, expected a positive number"):
        hand.write({"points": [[1.5, 0.25, 0, 0]]}, given, metadata, new(tmp_path))


def test_the_truth_lies_where_its_sensors_do(tmp_path: Path) -> None:
    this, metadata = task("poisson"), facts("poisson/discs")
    field = np.zeros((64, 64))
    field[:, :16] = 1.0  # the left quarter
    field[:8] = 2.0  # below
    np.savez(tmp_path / "truth.npz", source=field)
    figure = this.by_hand["source_sensors"].backdrop({"truth": tmp_path / "truth.npz"}, metadata).picture
    assert figure is not None
    pixels = np.asarray(Image.open(BytesIO(figure.image)).convert("RGB")).astype(int)
    left, middle, below = pixels[100, 20], pixels[100, 300], pixels[470, 300]
    assert (pixels[100, 100] == left).all()
    assert len({tuple(one) for one in (left, middle, below)}) == 3
    assert (pixels[470, 20] == below).all()


def test_on_a_line_a_sensor_is_a_place_and_a_value_and_in_a_box_it_has_a_depth(tmp_path: Path) -> None:
    this, metadata = task("poisson"), facts("poisson/discs")
    hand = this.by_hand["source_sensors"]
    line, box = ({**metadata, "shape": shape} for shape in ([1, 20], [1, 6, 7, 8]))
    path = hand.write({"points": [[0.25, 0.5, 0.1]]}, {}, line, new(tmp_path))
    assert read_sensors(path, 1).table().tolist() == [[0.25, 0.5, 0.1]]
    path = hand.write({"points": [[0.25, 0.5, None, 1, 0.1]]}, {}, box, new(tmp_path))
    assert read_sensors(path, 3).table().tolist() == [[0.25, 0.5, 0.5, 1, 0.1]]


def test_a_learned_solver_takes_no_sensors() -> None:
    with pytest.raises(InputError, match="models of sources"):
        task("poisson").by_hand["solution_sensors"].backdrop({}, facts("poisson/solver"))


# Observations placed on a map -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grid", "stations"])
def test_observations_are_used_where_they_were_placed(kind: str, tmp_path: Path) -> None:
    small_weather.written(tmp_path, kind)
    model, this = small_weather.model(tmp_path, kind), task("weather")
    assert model.origin is not None
    metadata = model.origin.metadata
    given: dict[str, Any] = {"forecast": tmp_path / "raw.nc", "times": "2:4"}
    hand = this.by_hand["observations"]
    backdrop = hand.backdrop(given, metadata)
    columns = {column.name: column for column in backdrop.columns}
    assert list(columns)[:2] == ["longitude", "latitude"]
    assert columns["variable"].choices == ["t2m", "tp"]
    assert columns["time"].choices == ["2020-01-03T00:00:00", "2020-01-04T00:00:00"]
    assert columns["step"].choices == [6.0, 12.0]
    assert [mark.label for mark in backdrop.marks] == (["Åre", "Bonn", "Chur"] if kind == "stations" else [])
    points = [[8, 50, "t2m", "2020-01-04T00:00:00", 12.0, 285.5, 0.5], [9, 47, "tp", None, None, 1, 0.2]]
    path = hand.write({"points": points}, given, metadata, new(tmp_path))
    asked = WeatherRequest(observations=path, members=1, **given)
    request = this.request(asked, range(2), metadata)
    assert request.record["observed"] == 2
    assert not [note for note in request.notes if "left out" in note]
    if kind == "stations":
        assert "Bonn" in path.read_text()
        assert "Chur" in path.read_text()
    for k, (value, said) in enumerate([(-1, "std is -1"), (None, "std is missing")]):
        points[k][-1] = value
        with pytest.raises(InputError, match=said):
            hand.write({"points": [points[k]]}, given, metadata, new(tmp_path))


def test_a_place_beyond_the_grid_is_refused(tmp_path: Path) -> None:
    small_weather.written(tmp_path)
    model = small_weather.model(tmp_path)
    assert model.origin is not None
    given, point = {"forecast": tmp_path / "raw.nc"}, [8, 89, "t2m", None, None, 285.5, 0.5]
    with pytest.raises(InputError, match=r"point 1: .*89"):
        task("weather").by_hand["observations"].write({"points": [point]}, given, model.origin.metadata, new(tmp_path))
    with pytest.raises(InputError, match="--forecast is not given"):
        task("weather").by_hand["observations"].backdrop({}, model.origin.metadata)


# Atoms picked from a molecule -------------------------------------------------------------------------

WATER_AND_MORE = """4

O 0.000000001 0.0 0.1173
H 0.0 0.7572 -0.4692
H 0.0 -0.7572 -0.4692
C 1.5 0.0 0.3
"""


def test_atoms_that_are_picked_stay_to_the_last_digit(tmp_path: Path) -> None:
    this, metadata = task("molecules"), facts("molecules/qm9")
    whole = tmp_path / "whole.xyz"
    whole.write_text(WATER_AND_MORE)
    hand = this.by_hand["fixed"]
    backdrop = hand.backdrop({"fixed": whole}, metadata)
    assert [mark.label for mark in backdrop.marks] == ["O", "H", "H", "C"]
    left, right, bottom, top = backdrop.extent
    assert all(left < mark.x < right and bottom < mark.y < top for mark in backdrop.marks)
    assert backdrop.picture is not None
    assert backdrop.picture.image.count(b"<circle") == 4
    path = hand.write({"chosen": [3, 0]}, {"fixed": whole}, metadata, new(tmp_path))
    (found,), (before,) = files.read(path).molecules, files.read(whole).molecules
    assert found.numbers.tolist() == [8, 6]
    assert np.abs(found.positions - before.positions[[0, 3]]).max() < 1e-8
    held = this.request(MoleculesRequest(fixed=path, atoms=8), range(1), metadata).record["held"]
    assert held["numbers"] == [8, 6]


def test_atoms_are_picked_from_one_molecule(tmp_path: Path) -> None:
    two = tmp_path / "two.xyz"
    two.write_text(2 * WATER_AND_MORE)
    with pytest.raises(InputError, match="holds 2 molecules, expected one"):
        task("molecules").by_hand["fixed"].backdrop({"fixed": two}, facts("molecules/qm9"))
