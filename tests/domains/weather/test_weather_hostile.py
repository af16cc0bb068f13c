"""Files as users have them that say less, or something else, than they mean: named, or noted, and never learned."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ornstein.domains.weather.files import opened
from ornstein.domains.weather.task import Weather, WeatherConfig
from ornstein.errors import InputError
from weather_pairs import LATITUDE, LONGITUDE, forecast, saved, truth

xarray = pytest.importorskip("xarray")
PLACES = dict(zip(("lat", "lon"), np.meshgrid(LATITUDE, LONGITUDE, indexing="ij"), strict=True))


def curvilinear(data: Any) -> Any:
    found = data.drop_vars(["latitude", "longitude"]).rename(latitude="y", longitude="x")
    return found.assign_coords({name: (("y", "x"), value) for name, value in PLACES.items()})


REFUSED: Mapping[str, tuple[Callable[[Any, Any], Any], str]] = {
    "infinite": (
        lambda f, t: opened(f.where(f.time != f.time[2], np.inf), t).read([1, 2]),
        r"forecast: variable 't2m', time 2020-01-03.*: holds inf, expected numbers below 1e\+18",
    ),
    "fill value of CMIP": (
        lambda f, t: opened(f, t.where(t.latitude > 41, 1e20)).read([0]),
        r"truth: variable 't2m', time .*: holds 1e\+20",
    ),
    "-9999": (
        lambda f, t: opened(f, t.where(t.latitude > 41, -9999)),
        r"truth: 't2m' is -9999 in 144 of 432 numbers looked at, far from all others: a fill value that .* not say",
    ),
    "latitude missing": (
        lambda f, t: opened(f, t.assign_coords(latitude=[40, np.nan, 42, 43, 44, 45])),
        r"truth: coordinate 'latitude' is missing at 1, expected numbers",
    ),
    "curvilinear, missing": (
        lambda f, t: opened(curvilinear(f).assign_coords(lat=(("y", "x"), PLACES["lat"] * [np.nan, *[1] * 7])), t),
        r"forecast: coordinate 'lat' is missing at 0, 0, expected numbers",
    ),
    "latitudes as texts": (
        lambda f, t: opened(f.assign_coords(latitude=LATITUDE.astype(str)), t),
        r"forecast: coordinate 'latitude' holds '40.0', expected numbers",
    ),
    "a truth out of order": (
        lambda f, t: opened(f, t.isel(latitude=[0, 2, 1, 3, 4, 5])),
        r"truth: coordinate 'latitude' goes from 42 to 41, expected points in order, none twice",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        make(forecast(), truth())


NOTED: Mapping[str, tuple[Callable[[Any, Any], Any], str]] = {
    "a lead twice": (
        lambda f, t: opened(f.isel(step=[0, 1, 2, 1]), t),
        "forecast: 1 of 4 leads are there before, and left out",
    ),
    "a truth without a forecast": (
        lambda f, t: opened(f, t.assign(q=t.t2m, r=t.t2m)),
        "truth: left out, as forecast has no forecast of them: q, r",
    ),
    "no coordinate": (
        lambda f, t: opened(f.drop_vars("latitude"), t),
        "forecast: no coordinate says where it is along latitude; taken as the grid's, in its order",
    ),
    "a static field with gaps": (
        lambda f, t: opened(f, t.assign(z=t.t2m.isel(time=0, drop=True).where(t.latitude > 40))),
        "truth: the static field 'z' has no number at 8 of 48 points, where it is taken as its mean",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_left_out_or_taken_for_granted_is_said(name: str) -> None:
    make, note = NOTED[name]
    plain = opened(forecast(), truth())
    assert plain.notes == []
    pairs = make(forecast(), truth())
    assert note in pairs.notes
    assert pairs.times.shape == plain.times.shape
    assert np.array_equal(pairs.steps, plain.steps)


def test_longitudes_may_begin_anew() -> None:
    over = [-1.0, 0, 1, 2, 3, 4, 5, 6]
    said = [359.0, *over[1:]]
    pairs = opened(forecast(longitude=over), truth().assign_coords(longitude=said))
    assert pairs.regridding is None or np.allclose(np.asarray(pairs.regridding.matrix.todense()), np.eye(48))


def learned(tmp_path: Path, raw: Any, known: Any) -> Any:
    return Weather().data(WeatherConfig(str(saved(tmp_path, raw, "raw.nc")), str(saved(tmp_path, known, "known.nc"))))


def test_what_does_not_vary_is_not_learned(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"known.nc: 't2m' is 280 at all times that are learned from, expected"):
        learned(tmp_path, forecast(), truth() * 0 + 280)


def test_a_lead_that_is_missing_is_named(tmp_path: Path) -> None:
    raw = forecast()
    with pytest.raises(InputError, match="t2m: the forecast of lead 48 is missing at all times that are learned from"):
        learned(tmp_path, raw.where(raw.step != raw.step[1]), truth())


@pytest.mark.parametrize("factor", [1e-10, 1e9])
def test_any_unit_is_learned_alike(tmp_path: Path, factor: float) -> None:
    first = torch.arange(2)
    raw, known = (data[["t2m"]] - 280 for data in (forecast(), truth()))
    x, _ = learned(tmp_path, raw, known)[0].batch(first)
    assert 0.3 < float(x.std()) < 3
    y, _ = learned(tmp_path, raw * factor, known * factor)[0].batch(first)
    assert np.allclose(x, y, atol=0.01)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("station,time,t2m\nZürich,2020-01-01,280\n".encode("latin-1"), "table.csv: no table .* expected UTF-8"),
        (b"station;time;t2m\nA;2020-01-01;280,5\n", "table.csv: no column of numbers .* with decimal points"),
    ],
)
def test_other_ways_to_write_a_table_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        opened(tmp_path / "table.csv")
