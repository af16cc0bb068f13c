"""Forecasts and truths from files: what is read is what was written, under any name; what does not fit is named."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ornstein.domains.weather.files import Pairs, opened, opened_for
from ornstein.errors import InputError

xarray = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")
T, S, M = 6, 3, 4
DAY = np.timedelta64(24, "h").astype("timedelta64[ns]")
TIMES = np.datetime64("2020-01-01", "ns") + np.arange(T) * DAY
STEPS = np.arange(1, S + 1) * DAY
LATITUDE, LONGITUDE = np.arange(40.0, 46), np.arange(5.0, 13)
G = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return G.normal(size=shape).astype(np.float32)


def forecast(members: int = 0, **more: Any) -> Any:
    """A forecast of temperature and wind."""
    dims = ("time", "step", *["number"] * bool(members), "latitude", "longitude")
    shape = (T, S, *[members] * bool(members), 6, 8)
    coords = {"time": TIMES, "step": STEPS, "latitude": LATITUDE, "longitude": LONGITUDE}
    data = {"t2m": (dims, 280 + values(*shape), {"units": "K"}), "u10": (dims, values(*shape), {"units": "m s-1"})}
    return xarray.Dataset(data, coords=coords | more)


def truth(days: int = T + S) -> Any:
    """The truth of its valid times."""
    coords = {"time": TIMES[0] + np.arange(days) * DAY, "latitude": LATITUDE, "longitude": LONGITUDE}
    about = {"units": "K", "long_name": "2 m temperature"}
    return xarray.Dataset({"t2m": (("time", "latitude", "longitude"), 280 + values(days, 6, 8), about)}, coords=coords)


def told(pairs: Pairs) -> dict[str, Any]:
    """What a model keeps of its data."""
    return {
        "variables": list(pairs.variables), "predictors": list(pairs.predictors), "units": dict(pairs.units),
        "attrs": dict(pairs.attrs), "members": pairs.members, "grid": pairs.grid.record(), "season": True,
        "steps": {"hours": pairs.step_hours.tolist()}, "calendar": pairs.calendar,
    }  # fmt: skip


def assert_same(a: Pairs, b: Pairs) -> None:
    x, y = a.read(slice(None)), b.read(slice(None))
    assert np.allclose(x.mean, y.mean, atol=1e-4, equal_nan=True)
    assert x.truth is not None
    assert y.truth is not None
    assert np.allclose(x.truth, y.truth, atol=1e-4, equal_nan=True)


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
    assert_same(pairs, opened(forecast_of(pairs), both.transpose("time", "step", ...)))


def forecast_of(pairs: Pairs) -> Any:
    return pairs.forecast


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


def saved(tmp_path: Path, data: Any, name: str) -> Path:
    path = tmp_path / name
    if name.endswith(".zarr"):
        pytest.importorskip("zarr")
        data.to_zarr(path, consolidated=False)
    else:
        data.to_netcdf(path, engine="scipy" if name.endswith("3.nc") else "h5netcdf")
    return path


@pytest.mark.parametrize("name", ["raw.zarr", "raw.nc", "raw3.nc"])
def test_formats(tmp_path: Path, name: str) -> None:
    raw, known = forecast(M), truth()
    pairs = opened(saved(tmp_path, raw, name), saved(tmp_path, known, "truth.nc"))
    assert_same(opened(raw, known), pairs)
    assert np.array_equal(pairs.raw([3]), opened(raw, known).raw([3]))


def test_many_files(tmp_path: Path) -> None:
    pytest.importorskip("dask")
    raw, known = forecast(M), truth()
    for k in range(T):
        saved(tmp_path, raw.isel(time=k), f"day{k}.nc")
    assert_same(opened(raw, known), opened(str(tmp_path / "day*.nc"), known))
    for name in raw:
        saved(tmp_path, raw[[name]], f"of_{name}.nc")
    assert_same(opened(raw, known), opened([tmp_path / "of_t2m.nc", tmp_path / "of_u10.nc"], known))
    for m in range(M):
        saved(tmp_path, raw.assign_coords(number=range(M)).isel(number=m), f"member{m}.nc")
    assert np.array_equal(opened(str(tmp_path / "member*.nc"), known).raw([1]), opened(raw, known).raw([1]))


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


# Mistakes ---------------------------------------------------------------------------------------------

MISTAKES: Mapping[str, tuple[Callable[[Any, Any], Any], str]] = {
    "lead": (
        lambda f, t: opened(f, t, steps=[24, 30]),
        r"forecast: has no lead 30 h, expected 24, 30 h; it has 24, 48, 72 h",
    ),
    "variable": (lambda f, t: opened(f, t, variables=["t3m"]), r"truth: has no variable 't3m'.*did you mean 't2m'"),
    "predictor": (lambda f, t: opened(f, t, predictors=["v10"]), r"forecast: has no predictor 'v10'"),
    "match": (lambda f, t: opened(f, t, match={"t2m": "x"}), r"forecast: has no variable 'x'"),
    "nothing in common": (
        lambda f, t: opened(f[["u10"]], t),
        r"no variable is in both: truth has t2m, and forecast u10",
    ),
    "unit": (
        lambda f, t: opened(f, t.assign(t2m=t.t2m.assign_attrs(units="hPa"))),
        r"forecast: 't2m': the unit is 'K', which does not measure what 'hPa' does",
    ),
    "unknown unit": (
        lambda f, t: opened(f, t.assign(t2m=t.t2m.assign_attrs(units="furlong"))),
        r"'t2m': the unit is 'K', expected 'furlong'",
    ),
    "no time in common": (
        lambda f, t: opened(f, t.assign_coords(time=t.time + np.timedelta64(400, "D"))),
        r"truth: knows none of the 18 valid times of the forecast, 2020-01-02.* to 2020-01-09",
    ),
    "numbers and dates": (
        lambda f, t: opened(f, t.assign_coords(time=np.arange(9.0))),
        r"truth: the calendar is none, plain numbers, and that of the forecast standard",
    ),
    "steps are durations": (
        lambda f, t: opened(f.assign_coords(time=np.arange(6.0)), t),
        r"forecast: steps are durations and times plain numbers",
    ),
    "no overlap": (
        lambda f, t: opened(f, t.assign_coords(latitude=LATITUDE + 30)),
        r"forecast: the forecast's 'latitude' reaches from 40 to 45",
    ),
    "all missing": (lambda f, t: opened(f, t * np.nan), r"truth: 't2m' has no number"),
    "forecast missing": (lambda f, t: opened(f.assign(u10=f.u10 * np.nan), t), r"forecast: 'u10' has no number"),
    "no times": (lambda f, t: opened(f.drop_vars("time"), t), r"forecast: dimension 'time' has no coordinate"),
    "no steps": (lambda f, t: opened(f.drop_vars("step"), t), r"forecast: dimension 'step' has no coordinate"),
    "four axes": (lambda f, t: opened(f.expand_dims(a=2, b=2), t), r"expected one to three"),
    "no numbers": (lambda f, t: opened(f[[]], t), r"forecast: no variable of numbers"),
    "file": (lambda f, t: opened("nowhere.nc", t), r"nowhere.nc: not found"),
    "model's predictors": (
        lambda f, t: opened_for(told(opened(f, t)), f[["t2m"]]),
        r"forecast: lacks the predictor 'u10' of the model, expected t2m, u10; it has t2m",
    ),
    "model's leads": (lambda f, t: opened_for(told(opened(f, t)), f.isel(step=[0, 1])), r"forecast: has no lead 72 h"),
    "model's calendar": (
        lambda f, t: opened_for(told(opened(f, t)), f.assign_coords(time=np.arange(6.0), step=[24.0, 48.0, 72.0])),
        r"forecast: the calendar is none, plain numbers, expected standard",
    ),
    "model's grid": (
        lambda f, t: opened_for(told(opened(f, t)), f.isel(longitude=slice(0, 4))),
        r"forecast: the forecast's 'longitude' reaches from 5 to 8, and 24 of the truth's 48 points",
    ),
    "truth's variable": (
        lambda f, t: opened_for(told(opened(f, t)), f, t.rename(t2m="q")),
        r"truth: lacks the variable 't2m' of the model",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    make, message = MISTAKES[name]
    with pytest.raises(InputError, match=message):
        make(forecast(), truth())


def test_a_calendar_of_its_own() -> None:
    pytest.importorskip("cftime")
    days = xarray.date_range("2020-02-27", periods=T + S, calendar="noleap", use_cftime=True)
    raw, known = forecast().assign_coords(time=days[:T]), truth().assign_coords(time=days)
    pairs = opened(raw, known)
    assert pairs.calendar == "noleap"
    assert np.array_equal(np.asarray(pairs.read([1]).truth)[0, 0, 2], known.t2m.values[4])
    with pytest.raises(InputError, match="the calendar is standard, and that of the forecast noleap"):
        opened(raw, truth())
    standard = xarray.date_range("2020-01-01", periods=T + S, calendar="standard", use_cftime=True)
    assert_same(opened(forecast_of(pairs).assign_coords(time=TIMES), known.assign_coords(time=standard)), pairs)


@pytest.mark.parametrize("content", [b"", b"no file of the kind", b"\x89HDF\r\n\x1a\n" + b"\0" * 64, b"CDF\x01damaged"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "raw.nc").write_bytes(content)
    with pytest.raises(InputError, match=r"raw\.nc: cannot be read"):
        opened(tmp_path / "raw.nc", truth())


def test_a_folder_that_is_no_zarr(tmp_path: Path) -> None:
    (tmp_path / "raw.zarr").mkdir()
    with pytest.raises(InputError, match=r"raw\.zarr: cannot be read"):
        opened(tmp_path / "raw.zarr", truth())


def test_files_that_do_not_fit_together(tmp_path: Path) -> None:
    pytest.importorskip("dask")
    raw = forecast()
    saved(tmp_path, raw[["u10"]].isel(time=0), "a.nc")
    saved(tmp_path, raw[["u10"]].isel(time=1, latitude=slice(3)), "b.nc")
    with pytest.raises(InputError, match=r"a\.nc and 1 more: they do not make one data set"):
        opened([tmp_path / "a.nc", tmp_path / "b.nc"], truth())


def test_grib_needs_its_extra(tmp_path: Path) -> None:
    try:
        import cfgrib  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        (tmp_path / "raw.grib2").write_bytes(b"GRIB")
        with pytest.raises(InputError, match=r"GRIB files needs 'cfgrib': pip install 'ornstein\[grib\]'"):
            opened(tmp_path / "raw.grib2")
