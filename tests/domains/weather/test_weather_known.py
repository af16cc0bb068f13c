"""What a model keeps of its training, and is told of a forecast alone; the map from its states to what is measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein import InputError
from ornstein.domains.weather.data import WeatherData, split
from ornstein.domains.weather.files.opened import opened, opened_for
from ornstein.domains.weather.files.pairs import Pairs, Read
from ornstein.domains.weather.kept import Kept
from ornstein.domains.weather.known import FACTS, Known, cycles_of, dated, phases
from ornstein.domains.weather.measured import measured
from ornstein.domains.weather.roots import Roots, to_u
from ornstein.files import require
from ornstein.guidance.maps import Residual
from ornstein.testing import check_map
from small_weather import fields, written

xarray = pytest.importorskip("xarray")
DAYS = np.datetime64("2019-01-01", "ns") + np.arange(800) * np.timedelta64(1, "D")


def pairs(folder: Path, kind: str = "grid", members: int = 1) -> Pairs:
    """Of small files, of an ensemble if there are members."""
    paths = written(folder, kind)
    if members > 1:
        raw, rng = fields(kind)[0], np.random.default_rng(5)
        many = xarray.concat([raw * rng.uniform(0.8, 1.2, raw["t2m"].shape) for _ in range(members)], "number")
        for name in raw:
            many[name].attrs = raw[name].attrs
        many.to_netcdf(paths[0])
    return opened(*paths)


def learned(found: Pairs, leads: Any = "joint", **said: Any) -> WeatherData:
    return split(found, (6, 9), leads, 10**9, **{"cycles": (), **said})[0]


def known_of(found: Pairs, **said: Any) -> Known:
    return measured(Kept(found, 10**9), "joint", (), **{"missing": False, **said})


# Metadata -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grid", "stations"])
@pytest.mark.parametrize("leads", ["joint", "each"])
def test_metadata_say_all_that_is_known(tmp_path: Path, kind: str, leads: str) -> None:
    data = learned(pairs(tmp_path, kind), leads, cycles=("year",), told={"files": {}, "source": "a test"})
    require(dict(data.metadata), FACTS, "metadata")
    again = Known.of(data.metadata)
    assert again.record() == data.known.record()
    assert (again.steps, again.channels, again.scalars) == (2, data.known.channels, data.known.scalars)
    assert again.grid.same(data.known.grid)
    assert data.metadata["calendar"] == "standard"


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["grid", "stations"])
def test_a_forecast_alone_is_told_as_in_the_training(tmp_path: Path, kind: str, members: int) -> None:
    found = pairs(tmp_path, kind, members)
    data = learned(found)
    index = torch.tensor([4, 1])
    x, condition = data.batch(index)
    today = opened_for(data.metadata, tmp_path / "raw.nc")
    known = Known.of(data.metadata)
    told = dict(known.conditions(today.read(index.numpy()), today.times[index.numpy()]))
    base, scale = told.pop("base"), told.pop("scale")
    assert told.keys() == condition.keys() == set(known.fields)
    for name, value in told.items():
        assert torch.allclose(value, condition[name], atol=1e-5), name
        assert value.shape[1] == known.fields[name]
    truth = torch.from_numpy(np.asarray(found.read(index.numpy()).truth)).flatten(1, 2)
    seen = truth > 0  # rain of 0 is a draw below
    back = Roots(tuple(known.each_channel(known.positive)))(base + scale * x)
    assert torch.allclose(back[seen], truth[seen], rtol=1e-3, atol=1e-3)
    assert bool((back[~seen] == 0).all())


def test_another_calendar_is_refused(tmp_path: Path) -> None:
    metadata = dict(learned(pairs(tmp_path)).metadata)
    raw = fields()[0]
    raw["time"] = xarray.date_range("2020-01-01", periods=12, calendar="360_day", use_cftime=True)
    raw["time"].encoding = {}
    raw.to_netcdf(tmp_path / "other.nc")
    with pytest.raises(InputError, match="the calendar is 360_day, expected standard"):
        opened_for(metadata, tmp_path / "other.nc")


# What is told ----------------------------------------------------------------------------------------


def test_predictors_are_standardised_by_variable_and_step(tmp_path: Path) -> None:
    found = pairs(tmp_path)
    known = known_of(found)
    flat = known.standardised(found.read(slice(None))).transpose(0, 2).flatten(2)
    assert torch.allclose(flat.mean(2), torch.zeros(2, 2), atol=1e-4)
    assert torch.allclose(flat.std(2, correction=0), torch.ones(2, 2), atol=1e-4)
    assert list(known.positive) == [False, True]  # temperature, and rain, of which the root is told


def test_what_is_missing_or_constant_is_told_as_such(tmp_path: Path) -> None:
    raw, truth = fields()
    raw["t2m"][:, :, 2, 3] = np.nan
    raw["depth"] = raw["t2m"] * 0 + 1e5
    for path, one in zip((tmp_path / "raw.nc", tmp_path / "truth.nc"), (raw, truth), strict=True):
        one.to_netcdf(path)
    found = opened(tmp_path / "raw.nc", tmp_path / "truth.nc")
    known = known_of(found)
    told = known.conditions(found.read(slice(None)), found.times)
    gaps = told["forecast"].isnan()
    assert bool(gaps[:, 0, 2, 3].all())
    assert not gaps[:, 2:4].any()
    assert bool((told["forecast"][:, 4:].nan_to_num() == 0).all())
    assert all(bool(told[name].isfinite().all()) for name in ("guess", "base", "scale"))
    assert known.predictor_std[2].tolist() == [1, 1]


def test_a_predictor_that_is_never_there_is_named(tmp_path: Path) -> None:
    raw, truth = fields()
    raw["t2m"][:, 1] = np.nan
    raw.to_netcdf(tmp_path / "raw.nc")
    truth.to_netcdf(tmp_path / "truth.nc")
    with pytest.raises(InputError, match="t2m: the forecast of lead 12 is missing at all times"):
        known_of(opened(tmp_path / "raw.nc", tmp_path / "truth.nc"))


def test_an_ensemble_of_which_members_are_missing_has_its_usual_spread(tmp_path: Path) -> None:
    found = pairs(tmp_path, members=3)
    read = found.read(slice(0, 2))
    assert read.spread is not None
    known = known_of(found)
    usual = known.squared(read)
    read.spread[0, 0, 1, 2, 3] = np.nan
    squared = known.squared(read)
    assert squared.shape == (2, 2, 2, 8, 16)
    assert torch.allclose(squared[0, 1, 0, 2, 3], known.spread_mean[0, 1] ** 2)
    squared[0, 1, 0, 2, 3] = usual[0, 1, 0, 2, 3]
    assert torch.equal(squared, usual)
    told = known.conditions(read, found.times[:2])
    assert bool(told["spread"][0, 1, 2, 3].isnan())
    assert bool(told["scale"].isfinite().all())


def test_the_spread_of_roots_is_that_of_roots(tmp_path: Path) -> None:
    known = replace(known_of(pairs(tmp_path)), positive=(True, False), spread_mean=torch.ones(2, 2))
    rain = np.random.default_rng(0).normal(9.0, 0.9, (4000, 1))
    field = np.ones((1, 2, 2, 1), np.float32)
    read = Read(9 * field, 0.9 * field, None)
    squared = known.squared(read)
    assert squared[0, 0, 0, 0].sqrt().item() == pytest.approx(np.sqrt(rain).std(), rel=0.1)
    assert squared[0, 0, 1, 0].item() == pytest.approx(0.81)


def test_a_wind_that_is_forecast_stronger_is_less_certain(tmp_path: Path) -> None:
    known = replace(known_of(pairs(tmp_path)), positive=(False, False), bounded=(False, True))
    known.predictor_mean[1] = 4.0
    field = np.full((1, 2, 2, 3), 6.0, np.float32)
    field[..., 1], field[..., 2] = -1.0, np.nan
    squared = known.squared(Read(field, None, None))
    assert squared[0, :, 0].tolist() == [[0, 0, 0]] * 2
    assert squared[0, :, 1].tolist() == [[36, 0, 16]] * 2  # a forecast that is missing is as forecasts are on average


def test_one_lead_is_told_of_one_channel_a_variable(tmp_path: Path) -> None:
    found = pairs(tmp_path)
    known = known_of(found)
    told = known.conditions(found.read(slice(0, 2)), found.times[:2])
    each = known.one_lead(told, torch.tensor([1, 0]))
    for name in ("forecast", "guess", "base", "scale"):
        assert torch.equal(each[name][0], told[name][0, 1::2])
        assert torch.equal(each[name][1], told[name][1, ::2])
    assert each["lead"].tolist() == [[1], [-1]]


# The calendar -----------------------------------------------------------------------------------------


def assert_round(said: np.ndarray) -> None:
    """Each day is as far from the next as any other, the last of the year from the first, too."""
    way = np.linalg.norm(np.diff(said[:, :2], axis=0), axis=1)
    assert way.max() < 1.3 * way.min() + 1e-9


@pytest.mark.parametrize("calendar", ["360_day", "noleap", "all_leap"])
def test_the_season_goes_round_in_every_calendar(calendar: str) -> None:
    times = xarray.date_range("2019-01-01", periods=800, calendar=calendar, use_cftime=True).values
    said = phases(times, ["year"])
    assert said.shape == (800, 4)
    assert np.allclose(said[:, 0] ** 2 + said[:, 1] ** 2, 1)
    assert_round(said)
    assert cycles_of(times) == ("year",)
    if calendar == "360_day":
        assert np.allclose(said[:360], said[360:720])
        with pytest.raises(AssertionError):
            assert_round(said[np.r_[:355, 360:800]])  # of years that are too short


def test_dates_of_numpy_and_of_cftime_are_told_alike() -> None:
    theirs = xarray.date_range("2019-01-01 05:30", periods=500, calendar="proleptic_gregorian", use_cftime=True).values
    ours = np.datetime64("2019-01-01T05:30", "ns") + np.arange(500) * np.timedelta64(1, "D")
    assert np.allclose(phases(ours, ["year", "day"]), phases(theirs, ["year", "day"]))


def test_the_hour_goes_round() -> None:
    said = phases(DAYS[0] + np.arange(5) * np.timedelta64(6, "h"), ["day"])
    assert np.allclose(said[:, :2], [[0, 1], [1, 0], [0, -1], [-1, 0], [0, 1]], atol=1e-9)
    assert np.allclose(said[:, 2:], [[0, 1], [0, -1], [0, 1], [0, -1], [0, 1]], atol=1e-9)


def test_what_is_worth_telling_of_the_time() -> None:
    assert cycles_of(DAYS) == ("year",)
    assert cycles_of(DAYS[:365]) == ()
    assert cycles_of(DAYS[:1]) == ()
    assert cycles_of(np.arange(9.0)) == ()
    assert cycles_of(DAYS[0] + np.arange(8) * np.timedelta64(6, "h")) == ("day",)
    assert cycles_of(DAYS[0] + np.arange(9000) * np.timedelta64(12, "h")) == ("year", "day")
    assert not dated(np.arange(3.0))


# Roots ------------------------------------------------------------------------------------------------


class Above(Roots):
    """Of fields above 0, where it can be undone: states are shifted there."""

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x.exp())

    def inverse(self, field: Any) -> Tensor:
        return super().inverse(field).log()

    def log_slope(self, x: Tensor) -> Tensor:
        return super().log_slope(x.exp()) + x


def test_roots_are_a_map_above_zero() -> None:
    assert check_map(Above((True, False, False), (False, True, False)), (3, 2)) == 8


def test_below_zero_is_zero_and_has_no_density() -> None:
    x = torch.tensor([[-1.0, -1.0, -1.0], [2.0, 2.0, 2.0]])
    map = Roots((True, False, False), (False, True, False))
    assert map(x).tolist() == [[0, 0, -1], [4, 2, 2]]
    assert map.inverse(map(x)).tolist() == [[0, 0, -1], [2, 2, 2]]
    assert map.log_slope(x).tolist() == [[-torch.inf, -torch.inf, 0], [pytest.approx(np.log(4)), 0, 0]]
    with pytest.raises(InputError, match="expected 0 or more"):
        map.inverse(x)
    with pytest.raises(InputError, match="of 3 channels, found 2"):
        map(x[:, :2])


def test_a_map_without_its_roots_leads_to_u() -> None:
    residual, roots = Residual("base", "scale"), Roots((True,))
    assert to_u(roots) is None
    assert to_u(residual) is residual
    assert to_u(roots @ residual) is residual
