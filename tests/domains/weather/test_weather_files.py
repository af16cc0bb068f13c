"""Forecasts and truths from files: what is read is what was written, under any name; what does not fit is named."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ornstein.domains.weather.files import opened, opened_for
from ornstein.errors import InputError
from weather_pairs import (
    LONGITUDE,
    STEPS,
    TIMES,
    M,
    S,
    T,
    assert_same,
    forecast,
    saved,
    told,
    truth,
    values,
)

xarray = pytest.importorskip("xarray")
# What goes together -----------------------------------------------------------------------------------


def test_the_truth_is_that_of_the_valid_time() -> None:
    raw, known = forecast(), truth()
    pairs = opened(raw, known)
    found = pairs.read([4, 1])
    assert pairs.variables == ("t2m",)
    assert pairs.predictors == ("t2m", "u10")
    assert pairs.step_hours.tolist() == [24, 48, 72]
    assert found.truth is not None
    assert found.spread is None
    assert np.array_equal(found.truth[0, 0, 2], known.t2m.values[4 + 3])
    assert not np.array_equal(found.truth[0, 0, 2], known.t2m.values[4])  # that of the initial time is another
    assert np.array_equal(found.mean[1, 1], raw.u10.values[1])
    assert np.array_equal(pairs.valid_times[4], TIMES[4] + STEPS)
    assert pairs.attrs["t2m"]["long_name"] == "2 m temperature"


def test_members_their_mean_and_spread() -> None:
    raw = forecast(M)
    raw["t2m"][2, 0, 1] = np.nan
    pairs = opened(raw, truth())
    found = pairs.read([2])
    assert pairs.members == M
    assert found.spread is not None
    assert np.allclose(found.mean[0], np.stack([raw[name][2].mean("number") for name in ("t2m", "u10")]), atol=1e-4)
    assert np.allclose(found.spread[0, 1], raw.u10[2].std("number", ddof=1), atol=1e-5)
    members = pairs.raw([2])
    assert members.shape == (1, M, 1, S, 6, 8)
    assert np.array_equal(members[0, :, 0], raw.t2m[2].transpose("number", "step", ...), equal_nan=True)


def test_part_of_the_times() -> None:
    pairs = opened(forecast(), truth())
    part = pairs.part(slice(2, 5)).part(np.array([2, 0]))
    assert np.array_equal(part.times, TIMES[[4, 2]])
    whole, some = pairs.read([4, 2]), part.read(slice(None))
    assert np.array_equal(whole.mean, some.mean)
    assert whole.truth is not None
    assert np.array_equal(whole.truth, np.asarray(some.truth))
    assert part.bytes == 4 * 2 * (2 + 1) * S * 48


def test_times_without_a_truth_are_counted() -> None:
    pairs = opened(forecast(), truth(T + 1))
    assert len(pairs) == 4
    assert any("2 of 6 times of the forecast have no truth" in note for note in pairs.notes)
    gap = truth().isel(time=[0, 1, 2, 3, 4, 5, 8])
    kept = opened(forecast(), gap)
    found = kept.read(slice(None)).truth
    assert found is not None
    assert len(kept) == 3  # of which every lead is known


def test_where_half_is_missing_the_rest_is_nan() -> None:
    pairs = opened(forecast(), truth().isel(time=slice(1, None, 2)))
    found = pairs.read(slice(None)).truth
    assert found is not None
    assert len(pairs) == T
    assert np.isnan(found).all((1, 3, 4)).mean() == pytest.approx(0.5)
    assert any("9 of 18 valid times have no truth" in note for note in pairs.notes)


def test_a_truth_by_initial_time_and_step() -> None:
    known = truth()
    pairs = opened(forecast(), known)
    both = xarray.concat([known.shift(time=-k).isel(time=slice(T)) for k in (3, 2, 1)], "step").assign_coords(
        step=STEPS[::-1]
    )
    assert_same(pairs, opened(pairs.forecast, both.transpose("time", "step", ...)))


# Names ------------------------------------------------------------------------------------------------

OTHER_NAMES: Mapping[str, Callable[[Any], Any]] = {
    "weatherbench": lambda d: d.rename(step="prediction_timedelta", latitude="lat", longitude="lon"),
    "cf": lambda d: d.rename(time="forecast_reference_time", step="forecast_period"),
    "any name with CF's standard name": lambda d: d.rename(time="a", step="b").assign_coords(
        a=("a", TIMES, {"standard_name": "forecast_reference_time"}),
        b=("b", STEPS, {"standard_name": "forecast_period"}),
    ),
    "capitals": lambda d: d.rename(time="Init_Time", step="Lead"),
    "valid time beside": lambda d: d.assign_coords(valid_time=d.time + d.step),
    "time is the valid time": lambda d: d.rename(time="init_time").assign_coords(
        time=(("init_time", "step"), TIMES[:, None] + STEPS)
    ),
    "steps in hours": lambda d: d.assign_coords(step=("step", [24, 48, 72], {"units": "hours"})),
    "steps in days": lambda d: d.assign_coords(step=("step", [1.0, 2.0, 3.0], {"units": "days"})),
    "other axes": lambda d: d.transpose("longitude", "step", "latitude", "time"),
    "descending": lambda d: d.isel(latitude=slice(None, None, -1)),
    "times as texts": lambda d: d.assign_coords(time=[f"2020-01-0{k + 1}T00:00:00Z" for k in range(T)]),
    "longitudes to the west": lambda d: d.assign_coords(longitude=LONGITUDE - 360),
    "times in another order": lambda d: d.isel(time=[3, 1, 0, 5, 4, 2]),
    "a height of one": lambda d: d.expand_dims(height=[2.0]),
    "bounds": lambda d: d.assign(lat_bnds=(("latitude", "bnds"), values(6, 2))),
    "words": lambda d: d.assign(remark=("time", ["a"] * T)),
    "celsius": lambda d: d.assign(t2m=(d.t2m - 273.15).assign_attrs(units="degC")),
    "another name of the variable": lambda d: d.rename(t2m="2m_temperature"),
    "standard name": lambda d: d.rename(t2m="abc").assign(
        abc=d.t2m.assign_attrs(units="K", standard_name="air_temperature")
    ),
}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_the_same_under_other_names(name: str) -> None:
    raw, known = forecast(), truth()
    known.t2m.attrs["standard_name"] = "air_temperature"
    found = opened(OTHER_NAMES[name](raw), known)
    assert found.predictors[1] == "u10"
    assert_same(opened(raw, known), found)


def test_levels_are_variables() -> None:
    raw = forecast()
    levels = raw[["u10"]].rename(u10="u").expand_dims(level=[850, 500]).copy()
    levels["u"] = levels.u * xarray.DataArray([1.0, 2.0], dims="level")
    pairs = opened(xarray.merge([raw[["t2m"]], levels]), truth())
    assert pairs.predictors == ("t2m", "u_850", "u_500")
    assert np.allclose(pairs.read([0]).mean[0, 2], 2 * raw.u10.values[0], atol=1e-6)


def test_one_forecast_by_valid_time() -> None:
    raw = forecast().isel(time=2)
    flat = (
        raw.drop_vars("time").rename(step="time").assign_coords(time=TIMES[2] + STEPS, forecast_reference_time=TIMES[2])
    )
    pairs = opened(flat)
    assert pairs.times.tolist() == TIMES[2:3].tolist()
    assert np.array_equal(pairs.steps, STEPS)
    assert np.array_equal(pairs.read([0]).mean[0, 0], raw.t2m.values)


def test_plain_numbers_for_times() -> None:
    raw = forecast().assign_coords(time=np.arange(T) * 10.0, step=[10.0, 20.0, 30.0])
    known = truth().assign_coords(time=np.arange(T + S) * 10.0)
    pairs = opened(raw, known, steps=[20])
    assert pairs.step_hours.tolist() == [20]
    assert np.array_equal(np.asarray(pairs.read([1]).truth)[0, 0, 0], known.t2m.values[3])


def test_no_steps_at_all() -> None:
    raw = forecast().isel(step=0, drop=True)
    pairs = opened(raw, truth())
    assert pairs.step_hours.tolist() == [0]
    assert len(pairs) == T


def test_no_grid_but_a_place() -> None:
    raw, known = (data.isel(latitude=2, longitude=3) for data in (forecast(), truth()))
    pairs = opened(raw, known)
    assert pairs.grid.kind == "stations"
    assert pairs.read([0]).mean.shape == (1, 2, S, 1)


def test_fields_that_do_not_change() -> None:
    raw, known = forecast(), truth()
    known["orography"] = (("latitude", "longitude"), values(6, 8))
    raw["land"] = (("latitude", "longitude"), values(6, 8))
    soil = xarray.Dataset(
        {"soil": (("latitude", "longitude"), values(6, 8))}, coords=dict(known.coords.drop_vars("time"))
    )
    pairs = opened(raw, known, static=soil)
    assert pairs.static_names == ("soil", "orography", "land")
    assert pairs.static is not None
    assert np.array_equal(pairs.static[1], known.orography.values)
    assert pairs.predictors == ("t2m", "u10")


# Files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["raw.zarr", "raw.nc", "raw3.nc"])
def test_formats(tmp_path: Path, name: str) -> None:
    raw, known = forecast(M), truth()
    pairs = opened(saved(tmp_path, raw, name), saved(tmp_path, known, "truth.nc"))
    assert_same(opened(raw, known), pairs)
    assert np.array_equal(pairs.raw([3]), opened(raw, known).raw([3]))


PIECES: Mapping[str, Callable[[Any], list[Any]]] = {
    "times": lambda d: [d.isel(time=k) for k in range(T)],
    "variables": lambda d: [d[[name]] for name in d],
    "members": lambda d: [d.assign_coords(number=range(M)).isel(number=m) for m in range(M)],
    "steps": lambda d: [d.isel(step=k) for k in range(S)],
}


@pytest.mark.parametrize("name", PIECES)
def test_many_files(tmp_path: Path, name: str) -> None:
    pytest.importorskip("dask")
    raw, known = forecast(M).isel(latitude=slice(2)), truth().isel(latitude=slice(2))
    for k, piece in enumerate(PIECES[name](raw)):
        saved(tmp_path, piece, f"part{k}.nc")
    pairs = opened(str(tmp_path / "part*.nc"), known)
    assert np.array_equal(pairs.raw([1, 4]), opened(raw, known).raw([1, 4]))
    assert_same(opened(raw, known), pairs)


def test_what_dask_computes_is_read_when_it_is_needed() -> None:
    dask: Any = pytest.importorskip("dask")
    raw, known = forecast(M), truth()
    seen: list[int] = []

    def counted(block: np.ndarray) -> np.ndarray:
        seen.append(block.size)
        return block

    lazy = raw.chunk(time=1)
    lazy = lazy.map(
        lambda value: value.copy(data=value.data.map_blocks(counted, dtype=np.float32, meta=value.data._meta))
    )
    with dask.config.set(scheduler="synchronous"):
        pairs = opened(lazy, known.chunk(time=1))
        seen.clear()
        assert np.array_equal(pairs.part(slice(1, 4)).raw([1]), opened(raw, known).raw([2]))
    assert seen == [S * M * 48]  # of one variable at one time


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zarr = pytest.importorskip("zarr")
    raw = forecast(M)
    encoding = {name: {"chunks": (1, 1, M, 6, 8)} for name in raw}
    raw.to_zarr(tmp_path / "raw.zarr", consolidated=False, encoding=encoding)
    chunks: list[str] = []
    get = zarr.storage.LocalStore.get

    async def counted(self: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        chunks.extend([key] if "/c/" in key else [])
        return await get(self, key, *args, **kwargs)

    pairs = opened(tmp_path / "raw.zarr", truth())
    monkeypatch.setattr(zarr.storage.LocalStore, "get", counted)
    pairs.part(slice(1, 5)).read([1, 3])
    assert len(chunks) == 2 * 2 * S
    assert {key.split("/")[2] for key in chunks} == {"2", "4"}


def test_messages_of_grib(tmp_path: Path) -> None:
    pytest.importorskip("cfgrib")
    eccodes: Any = pytest.importorskip("eccodes")
    grid = {"Ni": 12, "Nj": 7, "iDirectionIncrementInDegrees": 30, "jDirectionIncrementInDegrees": 30}
    ends = {"latitudeOfFirstGridPointInDegrees": 90, "latitudeOfLastGridPointInDegrees": -90}
    ends |= {"longitudeOfFirstGridPointInDegrees": 0, "longitudeOfLastGridPointInDegrees": 330}
    kinds = [("heightAboveGround", 2, "2t"), ("heightAboveGround", 10, "10u")]
    kinds += [("isobaricInhPa", 850, "t"), ("isobaricInhPa", 500, "t")]
    fields = values(3, 2, 4, 7, 12)
    with (tmp_path / "raw.grib2").open("wb") as file:
        for t, s, k in np.ndindex(3, 2, 4):
            message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
            level = dict(zip(("typeOfLevel", "level", "shortName"), kinds[k], strict=True))
            about = {**grid, **ends, **level, "dataDate": 20200101 + t, "dataTime": 0, "forecastTime": 24 * (s + 1)}
            for key, value in about.items():
                eccodes.codes_set(message, key, value)
            eccodes.codes_set_values(message, fields[t, s, k].ravel())
            eccodes.codes_write(message, file)
            eccodes.codes_release(message)
    pairs = opened(tmp_path / "raw.grib2")
    assert sorted(pairs.predictors) == ["t2m", "t_500", "t_850", "u10"]
    assert pairs.step_hours.tolist() == [24, 48]
    assert pairs.grid.periodic == (False, True)
    found = pairs.read([1]).mean[0]
    for k, name in enumerate(("t2m", "u10", "t_850", "t_500")):
        assert np.allclose(found[pairs.predictors.index(name)], fields[1, :, k], atol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.grib2"]


# For a model ------------------------------------------------------------------------------------------


def test_a_forecast_of_today_for_a_model(tmp_path: Path) -> None:
    raw, known = forecast(), truth()
    model = told(opened(raw, known))
    today = raw.isel(time=4).rename(t2m="2t", latitude="lat", longitude="lon").isel(lat=slice(None, None, -1))
    today["2t"] = (today["2t"] - 273.15).assign_attrs(units="Celsius")
    pairs = opened_for(model, saved(tmp_path, today.isel(step=[2, 0, 1]), "today.nc"))
    assert pairs.truth is None
    assert pairs.variables == ("t2m",)
    assert pairs.predictors == ("t2m", "u10")
    assert np.allclose(pairs.read([0]).mean[0], opened(raw, known).read([4]).mean[0], atol=1e-3)
    assert any("'2t' is converted from Celsius to K" in note for note in pairs.notes)


def test_a_finer_grid_for_a_model() -> None:
    fine, coarse = truth(), forecast().isel(latitude=slice(0, 6, 5), longitude=slice(0, 8, 7))
    pairs = opened(coarse, fine)
    assert pairs.grid.shape == (6, 8)
    assert any("interpolated from 2 × 2 points to 6 × 8" in note for note in pairs.notes)
    again = opened_for(told(pairs), coarse, fine.isel(latitude=slice(None, None, -1)))
    assert_same(pairs, again)


def test_a_model_of_one_member_is_told_of_one() -> None:
    model, raw = told(opened(forecast(), truth())), forecast(M)
    pairs = opened_for(model, raw)
    assert np.array_equal(pairs.read([0]).mean[0, 0], raw.t2m.values[0, :, 0])
    assert any("the first of 4 is taken" in note for note in pairs.notes)
    with pytest.raises(InputError, match="a forecast of one member, the model learned from 4"):
        opened_for(told(opened(raw, truth())), forecast())
