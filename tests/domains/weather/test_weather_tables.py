"""Tables of stations: wide or long, in any order, with members and gaps; and units as CF writes them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ornstein.domains.weather.files import opened, opened_for
from ornstein.domains.weather.files.units import conversion
from ornstein.errors import InputError

pandas: Any = pytest.importorskip("pandas")
pytest.importorskip("xarray")
PLACES = {"AAA": (47.0, 11.0, 500.0), "BBB": (48.5, 12.0, 620.0), "CCC": (46.0, -10.5, 3.0)}
START = pandas.Timestamp("2020-01-01")


def forecasts(members: int = 3) -> Any:
    """Rain of some members, and temperature, at three stations, two leads and six days."""
    g = np.random.default_rng(0)
    rows = [
        (name, START + pandas.Timedelta(days=day), step, *place, *g.normal(size=members), 10 + g.normal())
        for day in range(6)
        for step in (6, 12)
        for name, place in PLACES.items()
    ]
    members_ = [f"rain.{k + 1}" for k in range(members)] if members > 1 else ["rain"]
    names = ["station", "init_time", "step", "latitude", "longitude", "elevation", *members_, "t2m [degC]"]
    return pandas.DataFrame(rows, columns=names)


def readings() -> Any:
    """What was measured every six hours, one value a row."""
    g = np.random.default_rng(1)
    rows = [
        (name, START + pandas.Timedelta(hours=6 * k), variable, g.normal())
        for k in range(28)
        for name in PLACES
        for variable in ("rain", "t2m")
    ]
    return pandas.DataFrame(rows, columns=["station", "time", "variable", "value"])


def reading(table: Any, name: str, time: str, variable: str) -> float:
    found = table[(table.station == name) & (table.time == pandas.Timestamp(time)) & (table.variable == variable)]
    return found.value.item()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    forecasts().to_csv(tmp_path / "raw.csv", index=False)
    readings().to_csv(tmp_path / "obs.csv", index=False)
    return tmp_path / "raw.csv", tmp_path / "obs.csv"


def test_a_table_of_stations(files: tuple[Path, Path]) -> None:
    pairs = opened(*files)
    found, table, known = pairs.read([1]), forecasts(), readings()
    assert pairs.grid.kind == "stations"
    assert pairs.grid.ids == list(PLACES)
    assert np.asarray(pairs.grid.place("latitude")).tolist() == [47.0, 48.5, 46.0]
    assert np.asarray(pairs.grid.place("altitude")).tolist() == [500.0, 620.0, 3.0]
    assert (pairs.variables, pairs.members, pairs.step_hours.tolist()) == (("rain", "t2m"), 3, [6, 12])
    assert np.asarray(found.truth)[0, 0, 1, 1] == pytest.approx(reading(known, "BBB", "2020-01-02T12:00", "rain"))
    row = table[(table.station == "CCC") & (table.init_time == pandas.Timestamp("2020-01-02")) & (table.step == 6)]
    assert np.allclose(pairs.raw([1])[0, :, 0, 0, 2], row[["rain.1", "rain.2", "rain.3"]].to_numpy()[0])
    assert any("taken as hours" in note for note in pairs.notes)


SAME: Mapping[str, Callable[[Path, Any], Path]] = {
    "other order": lambda path, t: _csv(t.sample(frac=1, random_state=0), path),
    "semicolons": lambda path, t: _csv(t, path, sep=";"),
    "tabs": lambda path, t: _csv(t, path, sep="\t"),
    "compressed": lambda path, t: _csv(t, path.with_suffix(".csv.gz")),
    "other names": lambda path, t: _csv(
        t.rename(
            columns={
                "station": "Station_ID",
                "init_time": "forecast_reference_time",
                "step": "lead_time",
                "latitude": "LAT",
            }
        ),
        path,
    ),
    "time zone": lambda path, t: _csv(
        t.assign(init_time=t.init_time.dt.tz_localize("UTC").dt.tz_convert("Europe/Vienna")), path
    ),
    "durations": lambda path, t: _csv(t.assign(step=pandas.to_timedelta(t.step, unit="h")), path),
    "remarks": lambda path, t: _csv(t.assign(remark="fine"), path),
    "dates as numbers": lambda path, t: _csv(t.assign(init_time=t.init_time.dt.strftime("%Y%m%d%H").astype(int)), path),
    "blanks": lambda path, t: _csv(t.rename(columns=lambda name: f" {name}"), path),
}


def _csv(table: Any, path: Path, **more: Any) -> Path:
    table.to_csv(path, index=False, **more)
    return path


@pytest.mark.parametrize("name", SAME)
def test_the_same_table_written_otherwise(files: tuple[Path, Path], name: str) -> None:
    pairs = opened(SAME[name](files[0].with_name("other.csv"), forecasts()), files[1])
    expected = opened(*files)
    assert np.array_equal(pairs.raw([0, 4]), expected.raw([0, 4]))
    assert pairs.predictors == expected.predictors
    assert pairs.grid.same(expected.grid)


def test_wide_and_long_parquet_and_frames(files: tuple[Path, Path]) -> None:
    wide = readings().pivot(index=["station", "time"], columns="variable", values="value").reset_index()
    expected = np.asarray(opened(*files).read([2]).truth)
    assert np.array_equal(np.asarray(opened(forecasts(), wide).read([2]).truth), expected)
    pytest.importorskip("pyarrow")
    wide.to_parquet(files[0].with_name("obs.parquet"))
    assert np.array_equal(np.asarray(opened(files[0], files[0].with_name("obs.parquet")).read([2]).truth), expected)


def test_columns_that_count_on_are_members_and_said(files: tuple[Path, Path]) -> None:
    assert any("columns rain… that count on are taken as 3 members" in note for note in opened(*files).notes)
    two = forecasts().rename(columns={"t2m [degC]": "t.1"}).assign(**{"t.2": 1.0, "t.3": 1.0, "t.4": 1.0})
    with pytest.raises(InputError, match="columns of 3 of rain, 4 of t, which count on as members do"):
        opened(_csv(two, files[0]), files[1])


def test_gaps_are_missing(files: tuple[Path, Path]) -> None:
    table = readings().drop(index=range(0, 40, 3))
    found = np.asarray(opened(files[0], _csv(table, files[1])).read(slice(None)).truth)
    assert 0 < np.isnan(found).sum() < 14


def test_stations_that_the_forecast_lacks_are_counted(files: tuple[Path, Path]) -> None:
    table = forecasts()
    pairs = opened(_csv(table[table.station != "BBB"], files[0]), files[1])
    assert pairs.grid.ids == ["AAA", "CCC"]
    assert any("1 of 3 stations are not in the forecast" in note for note in pairs.notes)
    assert np.asarray(pairs.read([1]).truth)[0, 0, 1, 1] == pytest.approx(
        reading(readings(), "CCC", "2020-01-02T12:00", "rain")
    )


def test_a_series_at_one_place(tmp_path: Path) -> None:
    table = pandas.DataFrame({"time": pandas.date_range(START, periods=9, freq="h"), "t2m": np.arange(9.0), "x": 1.0})
    pairs = opened(_csv(table, tmp_path / "raw.csv"), _csv(table[["time", "t2m"]], tmp_path / "obs.csv"))
    assert pairs.grid.shape == (1,)
    assert pairs.step_hours.tolist() == [0]
    assert np.asarray(pairs.read([4]).truth).ravel().tolist() == [4.0]


def test_a_gridded_forecast_at_stations(files: tuple[Path, Path]) -> None:
    xarray = pytest.importorskip("xarray")
    latitude, longitude = np.arange(44.0, 52), np.arange(0.0, 360, 5)
    plane = xarray.DataArray(
        np.broadcast_to(latitude[:, None], (6, 2, 8, 72)), dims=("time", "step", "latitude", "longitude"),
        coords={"time": [START + pandas.Timedelta(days=k) for k in range(6)], "step": [6, 12],
                "latitude": latitude, "longitude": longitude}, name="t2m",
    )  # fmt: skip
    known = readings().merge(
        pandas.DataFrame([(k, *v) for k, v in PLACES.items()], columns=["station", "lat", "lon", "alt"])
    )
    pairs = opened(plane, _csv(known, files[1]))
    assert pairs.read([0]).mean[0, 0, 0].tolist() == pytest.approx([47.0, 48.5, 46.0])


def test_today_at_the_stations_of_a_model(files: tuple[Path, Path]) -> None:
    pairs, table = opened(*files), forecasts()
    model = {
        "variables": pairs.variables, "predictors": pairs.predictors, "units": pairs.units, "attrs": pairs.attrs,
        "members": pairs.members, "grid": pairs.grid.record(), "steps": {"hours": pairs.step_hours.tolist()},
    }  # fmt: skip
    today = table[table.init_time == table.init_time.max()]
    found = opened_for(model, _csv(today.iloc[::-1], files[0].with_name("today.csv")))
    assert np.array_equal(found.raw([0]), pairs.raw([5]))
    with pytest.raises(InputError, match=r"lacks 1 of the truth's 3 stations, such as 'AAA'"):
        opened_for(model, _csv(today[today.station != "AAA"], files[0].with_name("today.csv")))


MISTAKES: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "twice": (
        lambda t: pandas.concat([t, t.iloc[3:4]]),
        r"raw.csv: 'rain': line 38 is of a time and station that had a line before",
    ),
    "word": (
        lambda t: t.astype({"rain": object}).assign(rain=["x" if k == 4 else 1.0 for k in range(36)]),
        r"line 6, column 'rain': 'x', expected a number",
    ),
    "date": (
        lambda t: t.assign(init_time=["soon" if k == 2 else str(v) for k, v in enumerate(t.init_time)]),
        r"line 4, column 'init_time': 'soon', expected a time",
    ),
    "place": (
        lambda t: t.assign(latitude=[40.0 if k == 9 else v for k, v in enumerate(t.latitude)]),
        r"line 11, station 'AAA' has the latitude 40 and before 47",
    ),
    "number that is no date": (
        lambda t: t.assign(init_time=[20201301 if k == 1 else 20200101 for k in range(36)]),
        r"line 3, column 'init_time': .*, expected a time",
    ),
    "no time": (lambda t: t.drop(columns="init_time"), r"raw.csv: no column of times among station, step"),
    "no rows": (lambda t: t.iloc[:0], r"raw.csv: no rows"),
    "no numbers": (lambda t: t[["station", "init_time", "step"]], r"raw.csv: no column of numbers besides"),
    "other stations": (
        lambda t: t.assign(station=t.station + "x"),
        r"no station is in both: .*obs.csv has 'AAA'.*raw.csv 'AAAx'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(files: tuple[Path, Path], name: str) -> None:
    make, message = MISTAKES[name]
    with pytest.raises(InputError, match=message):
        opened(_csv(make(forecasts(1)), files[0]), files[1])


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b\n1,2,3,4\n", b"\xff\xfe\x00time"])
def test_what_is_no_table_is_named(files: tuple[Path, Path], content: bytes) -> None:
    files[0].write_bytes(content)
    with pytest.raises(InputError, match=r"raw\.csv: no "):
        opened(*files)


# Units ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "wanted", "number", "expected"),
    [
        ("K", "degC", 300.0, 26.85),
        ("Celsius", "K", 0.0, 273.15),
        ("degF", "degC", 212.0, 100.0),
        ("Pa", "hPa", 101325.0, 1013.25),
        ("m s-1", "km/h", 10.0, 36.0),
        ("knots", "m s**-1", 1.0, 0.514444),
        ("kg m-2", "mm", 2.0, 2.0),
        ("m", "kg m-2", 0.002, 2.0),
        ("kg m**-2 s**-1", "mm/day", 1 / 86400, 1.0),
        ("%", "1", 50.0, 0.5),
        ("g/kg", "kg kg-1", 5.0, 0.005),
        ("W m-2", "J m^-2 s^-1", 3.0, 3.0),
        ("m2 s-2", "m**2/s**2", 1.0, 1.0),
        ("m s⁻¹", "m/s", 1.0, 1.0),
        ("", "K", 5.0, 5.0),
        ("degrees", "rad", 180.0, np.pi),
    ],
)
def test_units_are_converted(unit: str, wanted: str, number: float, expected: float) -> None:
    factor, offset = conversion(unit, wanted, "here")
    assert number * factor + offset == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("unit", "wanted"), [("K", "m"), ("m s-1", "m"), ("furlong", "m"), ("m", "fathom"), ("m^^2", "m")]
)
def test_other_units_are_refused(unit: str, wanted: str) -> None:
    with pytest.raises(InputError, match="here: the unit is"):
        conversion(unit, wanted, "here")
