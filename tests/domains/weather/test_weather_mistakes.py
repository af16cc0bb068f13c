"""What does not fit of a forecast and its truth is named: the file, the variable, and what was expected."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ornstein.domains.weather.files import opened, opened_for
from ornstein.errors import InputError
from weather_pairs import (
    LATITUDE,
    TIMES,
    S,
    T,
    assert_same,
    forecast,
    saved,
    told,
    truth,
)

xarray = pytest.importorskip("xarray")

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
    "fill values": (
        lambda f, t: opened(f.where(f.latitude > 41, 9.97e36), t).read([0]),
        r"variable 't2m', time 2020-01-01.*: holds 9.97e\+36, expected numbers below 1e\+18, NaN where one is missing",
    ),
    "members of the truth": (
        lambda f, t: opened(f, t.expand_dims(number=[0, 1])),
        r"truth: a truth with 2 members, expected one",
    ),
    "empty": (lambda f, t: opened(f.isel(time=slice(0)), t), r"forecast: 'time' is empty"),
    "words for times": (
        lambda f, t: opened(f.assign_coords(time=list("abcdef")), t),
        r"forecast: 'time': Error parsing datetime string .*, expected dates",
    ),
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
    assert_same(opened(pairs.forecast.assign_coords(time=TIMES), known.assign_coords(time=standard)), pairs)


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
