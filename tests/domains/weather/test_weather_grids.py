"""Grids and interpolation between them: exact for what is linear, across the date line, missing where it must be."""

import json
from typing import Any

import numpy as np
import pytest

from ornstein.domains.weather.files import Grid, Regridding
from ornstein.domains.weather.files.regridding import line
from ornstein.errors import InputError


def globe(
    n: int, m: int, start: float = 0.0, descending: bool = False, names: tuple[str, str] = ("lat", "lon")
) -> Grid:
    latitude = np.linspace(-90 + 90 / n, 90 - 90 / n, n)
    coords = {names[0]: latitude[::-1] if descending else latitude, names[1]: start + np.arange(m) * 360 / m}
    return Grid("grid", names, (n, m), coords)


def box(n: int, attrs: dict[str, Any] | None = None, length: float = 1.0) -> Grid:
    at = np.arange(n) * length / n
    return Grid("grid", ("y", "x"), (n, n), {"y": at, "x": at}, {"y": attrs or {}, "x": attrs or {}})


def stations(latitude: list[float], longitude: list[float]) -> Grid:
    coords = {"latitude": np.array(latitude), "longitude": np.array(longitude)}
    ids = np.array([f"S{k}" for k in range(len(latitude))])
    return Grid("stations", ("station",), (len(latitude),), {"station": ids, **coords})


# Grid -------------------------------------------------------------------------------------------------


def test_a_longitude_that_goes_round_is_found() -> None:
    assert globe(6, 12).periodic == (False, True)
    assert globe(6, 12, -180.0).periodic == (False, True)
    part = Grid("grid", ("lat", "lon"), (3, 4), {"lat": np.arange(3.0), "lon": np.arange(4) * 30.0})
    assert part.periodic == (False, False)


@pytest.mark.parametrize(("said", "periodic"), [(1, True), ("true", True), (0, False), (None, False)])
def test_other_axes_go_round_where_they_say_so(said: Any, periodic: bool) -> None:
    assert box(4, {} if said is None else {"periodic": said}).periodic == (periodic, periodic)


def test_weights_are_the_areas_of_the_points() -> None:
    grid = globe(18, 36)
    latitude = np.deg2rad(grid.coords["lat"])
    assert grid.weights.mean() == pytest.approx(1)
    assert np.allclose(grid.weights[:, 0] / grid.weights[9, 0], np.cos(latitude) / np.cos(latitude[9]))
    exact = (grid.weights[:, 0] * np.sin(latitude) ** 2).mean()  # ∫ sin² over a sphere is 1/3
    assert exact == pytest.approx(1 / 3, abs=2e-3)
    assert np.mean(np.sin(latitude) ** 2) > 0.45  # which unweighted means are not
    assert np.array_equal(box(3).weights, np.ones((3, 3)))


@pytest.mark.parametrize("grid", [globe(4, 8), box(3, {"periodic": 1, "units": "km"}), stations([1, 2], [3, 4])])
def test_a_record_is_json_and_the_same_grid(grid: Grid) -> None:
    again = Grid.from_record(json.loads(json.dumps(grid.record())))
    assert again.same(grid)
    assert again.periodic == grid.periodic
    assert again.ids == grid.ids
    assert {name: dict(value) for name, value in again.attrs.items()} == {n: dict(v) for n, v in grid.attrs.items()}


def test_a_record_of_a_curvilinear_grid_is_packed() -> None:
    y, x = np.meshgrid(np.linspace(40, 50, 70), np.linspace(5, 15, 80), indexing="ij")
    grid = Grid("grid", ("y", "x"), (70, 80), {"latitude": y + x / 50, "longitude": x - y / 50})
    again = Grid.from_record(json.loads(json.dumps(grid.record())))
    assert np.array_equal(again.coords["latitude"], grid.coords["latitude"])
    assert len(json.dumps(grid.record())) < 120_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [4]}, "as many of each"),
        ({"coords": {"lat": [1.0, 2.0], "lon": [0.0] * 8}}, "'lat'"),
        ({"coords": {"lat": {"packed": "AAAA", "shape": [4]}, "lon": [0.0] * 8}}, "no coordinate"),
        ({"kind": "ball"}, "kind"),
        ({"over": {"lat": ["nowhere"], "lon": ["lon"]}}, "'lat'"),
    ],
)
def test_a_record_that_is_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Grid.from_record({**globe(4, 8).record(), **change})


def test_the_same_grid_under_other_names() -> None:
    grid = globe(4, 8)
    assert grid.same(globe(4, 8, names=("latitude", "longitude")))
    assert not grid.same(globe(4, 8, -180.0))
    assert not grid.same(globe(4, 8, descending=True))
    assert not grid.same(stations([1] * 32, [1] * 32))


# Interpolation ----------------------------------------------------------------------------------------


def linear(grid: Grid) -> np.ndarray:
    return 2 * np.asarray(grid.place("latitude")) - 1.0


@pytest.mark.parametrize("source", [globe(9, 12), globe(9, 12, -180), globe(9, 12, descending=True)])
def test_what_is_linear_is_kept_whatever_the_order(source: Grid) -> None:
    target = globe(18, 24, -180.0)
    found = Regridding.between(source, target)(linear(source)[None])
    inside = np.abs(target.coords["lat"]) < 80
    assert found.shape == (1, 18, 24)
    assert np.allclose(found[0][inside], linear(target)[inside], atol=1e-4)


def test_longitudes_are_counted_round() -> None:
    source, target = globe(6, 36), globe(6, 72, -180.0)
    field = lambda grid: np.cos(np.deg2rad(grid.place("longitude")) - 0.7)  # noqa: E731
    found = Regridding.between(source, target)(field(source))
    assert np.abs(found - field(target)).max() < 0.01
    broken = field(target)[:, ::-1]
    assert np.abs(found - broken).max() > 0.5  # a longitude that is counted the other way is seen


def test_doubly_periodic_grids_are_interpolated_across_their_end() -> None:
    source, target = box(8, {"periodic": 1}, 2 * np.pi), box(16, {"periodic": 1}, 2 * np.pi)
    field = lambda grid: np.sin(grid.coords["y"])[:, None] * np.ones(grid.shape)  # noqa: E731
    found = Regridding.between(source, target)(field(source))
    assert np.allclose(found[::2, ::2], field(source), atol=1e-6)  # points in common are kept
    assert found[-1, 0] == pytest.approx(field(source)[-1, 0] / 2, abs=1e-6)  # between the last and the first


def test_without_going_round_the_last_half_cell_is_held() -> None:
    found = Regridding.between(box(8), box(16))(np.broadcast_to(np.arange(8.0), (8, 8)))
    assert found[0, -1] == pytest.approx(7)


def test_to_stations_and_from_them() -> None:
    source, target = globe(18, 36), stations([47.3, -12.0], [11.4, -179.9])
    found = Regridding.between(source, target)(linear(source))
    assert np.allclose(found, linear(target), atol=1e-4)
    order = Regridding.between(
        stations([1, 2, 3], [0, 0, 0]), Grid("stations", ("id",), (2,), {"id": np.array(["S2", "S0"])})
    )
    assert order(np.array([[10.0, 20.0, 30.0]])).tolist() == [[30.0, 10.0]]
    with pytest.raises(InputError, match=r"lacks 1 of the truth's 3 stations, such as 'S2'"):
        Regridding.between(stations([1, 2], [0, 0]), stations([1, 2, 3], [0, 0, 0]))
    with pytest.raises(InputError, match="stations and the truth of a grid"):
        Regridding.between(stations([1, 2], [0, 0]), source)


def test_missing_values_are_left_out_where_they_are_less_than_half() -> None:
    values = np.zeros((4, 4))
    values[:, 0] = np.nan
    grid, fine = Grid("grid", ("x", "y"), (4, 4), {"x": np.arange(4.0), "y": np.arange(4.0)}), np.arange(0, 3.01, 0.25)
    target = Grid("grid", ("x", "y"), (4, 13), {"x": np.arange(4.0), "y": fine})
    found = Regridding.between(grid, target)(values)
    assert np.isnan(found[0]).tolist() == [y < 0.49 for y in fine]
    assert np.nanmax(np.abs(found)) == 0


def test_what_lies_outside_is_named() -> None:
    source = Grid("grid", ("lat", "lon"), (4, 4), {"lat": np.arange(40.0, 44), "lon": np.arange(5.0, 9)})
    with pytest.raises(InputError, match=r"'lat' reaches from 40 to 43, and 1 of the truth's 2 points lie beyond"):
        Regridding.between(source, stations([41, 47], [6, 6]))
    with pytest.raises(InputError, match="'lon' reaches from 5 to 8"):
        Regridding.between(source, stations([41], [-175]))
    inside = Regridding.between(source, stations([43.4, 39.6], [8.4, 364.8]))
    assert np.isfinite(inside(np.ones((4, 4)))).all()


def region(longitude: np.ndarray, n: int = 3) -> Grid:
    return Grid("grid", ("lat", "lon"), (n, len(longitude)), {"lat": np.arange(40.0, 40 + n), "lon": longitude})


@pytest.mark.parametrize("start", [350.0, -10.0, 170.0])
def test_a_region_across_greenwich_or_the_date_line(start: float) -> None:
    counted = (start + np.arange(21)) % 360
    source, target = region(counted), region((start + np.arange(0, 20.5, 0.5) + 180) % 360 - 180)
    values = np.broadcast_to(np.arange(21.0), (3, 21))
    found = Regridding.between(source, target)(values)
    assert np.allclose(found, np.arange(0, 20.5, 0.5), atol=1e-4)
    with pytest.raises(InputError, match="3 of the truth's 9 points lie beyond"):  # in the gap, not in the region
        Regridding.between(source, region(np.array([start + 1, start + 5, start + 100])))


def test_a_longitude_that_is_there_at_both_ends() -> None:
    source = region(np.linspace(0, 360, 13))
    found = Regridding.between(source, region(np.array([345.0, 15.0, -15.0, 0.0])))(
        np.broadcast_to(np.cos(np.deg2rad(np.linspace(0, 360, 13))), (3, 13))
    )
    assert np.allclose(found[0], [(1 + np.cos(np.pi / 6)) / 2] * 3 + [1], atol=1e-5)


def test_axes_in_other_units_are_the_same_places() -> None:
    far = Grid(
        "grid",
        ("y", "x"),
        (4, 4),
        {"y": np.arange(4.0), "x": np.arange(4.0)},
        {"y": {"units": "km"}, "x": {"units": "km"}},
    )
    near = Grid(
        "grid",
        ("y", "x"),
        (2, 2),
        {"y": np.array([500.0, 1000]), "x": np.array([0.0, 2000])},
        {"y": {"units": "m"}, "x": {"units": "m"}},
    )
    found = Regridding.between(far, near)(np.arange(16.0).reshape(4, 4))
    assert found.tolist() == [[2.0, 4.0], [4.0, 6.0]]


def test_grids_without_coordinates_cannot_be_compared() -> None:
    with pytest.raises(InputError, match=r"'y' has 4 points .* no coordinate"):
        Regridding.between(Grid("grid", ("y", "x"), (4, 4)), Grid("grid", ("y", "x"), (8, 8)))


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [0.0, 1.0, 1.0]])
def test_an_axis_must_rise_or_fall(values: list[float]) -> None:
    with pytest.raises(InputError, match="two or more, none of them twice"):
        line(np.array(values), np.array([0.5]))


def curvilinear(n: int) -> Grid:
    y, x = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n), indexing="ij")
    return Grid("grid", ("j", "i"), (n, n), {"latitude": 50 + 4 * y + x, "longitude": 10 + 5 * x - y})


@pytest.mark.parametrize("target", [stations([50.0, 51.3, 49.2], [10.0, 12.1, 7.9]), curvilinear(17)])
def test_from_a_curvilinear_grid(target: Grid) -> None:
    source = curvilinear(9)
    found = Regridding.between(source, target)(linear(source)[None])
    assert np.allclose(found[0], linear(target), atol=1e-3)


def test_a_curvilinear_grid_across_the_date_line() -> None:
    source = curvilinear(9)
    moved = {**source.coords, "longitude": (source.coords["longitude"] + 170 + 180) % 360 - 180}
    source = Grid("grid", source.dims, source.shape, moved)
    target = stations([50.0, 50.1], [179.9, -179.9])
    assert np.allclose(Regridding.between(source, target)(linear(source)), linear(target), atol=1e-3)
    with pytest.raises(InputError, match=r"1 of the truth's 2 points lie outside"):
        Regridding.between(source, stations([50, 20], [180, 180]))
