"""One name for what files call differently: time, step, number, valid_time, and variables without levels.

A forecast has the dims (time, step, [number], *grid) afterwards and a truth (time, *grid), its valid times, or (time,
step, *grid). CF's standard names are asked first, then the usual names. Where a file counts a forecast by valid time,
beside one reference time, the steps are the differences. Axes of the grid keep the names of the file. Nothing is read
but coordinates.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import InputError
from .times import durations

if TYPE_CHECKING:
    import xarray

NAMES: Mapping[str, tuple[str, ...]] = {
    "initial": (
        *("init_time", "forecast_reference_time", "reference_time", "initial_time", "initialization_time"),
        *(
            "initialisation_time",
            "analysis_time",
            "base_time",
            "reftime",
            "issue_time",
            "init",
            "start_date",
            "forecast_date",
        ),
    ),
    "time": ("time", "date", "datetime", "timestamp", "t"),
    "valid_time": ("valid_time", "validity_time", "verification_time", "valid", "validtime", "forecast_valid_time"),
    "step": (
        *("step", "prediction_timedelta", "lead_time", "lead", "leadtime", "forecast_period", "forecast_hour"),
        *("lead_hours", "fhour", "fxx", "forecast_lead_time"),
    ),
    "number": (
        "number",
        "member",
        "realization",
        "realisation",
        "ensemble",
        "ensemble_member",
        "ens",
        "members",
        "sample",
    ),
    "level": ("level", "isobaricinhpa", "pressure_level", "plev", "lev", "pressure", "isobaric", "levels"),
}
"""What files call a dimension, in lower case."""
STANDARD = {
    "forecast_reference_time": "initial",
    "forecast_period": "step",
    "realization": "number",
    "air_pressure": "level",
}
_CORNERS = ("bnds", "nv", "bounds", "vertices", "nbnd", "nvertices", "nb2", "corners")
_SAME = (
    {"t2m", "2t", "tas", "2m_temperature", "air_temperature_2m", "temperature_2m"},
    {"u10", "10u", "uas", "10m_u_component_of_wind"},
    {"v10", "10v", "vas", "10m_v_component_of_wind"},
    {"msl", "psl", "mslp", "mean_sea_level_pressure"},
    {"tp", "pr", "precip", "precipitation", "total_precipitation", "rain"},
    {"d2m", "2d", "2m_dewpoint_temperature"},
    {"ws10", "si10", "sfcwind", "10m_wind_speed"},
    {"t", "ta", "temperature"},
    {"z", "geopotential"},
    {"q", "hus", "specific_humidity"},
    {"sp", "ps", "surface_pressure"},
    {"orog", "orography", "geopotential_at_surface"},
)
"""Names of one quantity; those of the same level get the same end, such as t_850."""


def role(name: str, attrs: Mapping[str, Any]) -> str | None:
    """What a dimension or a coordinate is: a key of `NAMES`; None if it is none of these.

    Args:
        name: of it.
        attrs: of it.
    """
    said = STANDARD.get(str(attrs.get("standard_name", "")).lower())
    low = name.lower().replace("-", "_")
    return said or next((key for key, names in NAMES.items() if low in names), None)


def canonical(data: "xarray.Dataset", where: object, truth: bool = False) -> "xarray.Dataset":
    """A file's data by our names; InputError if no variable is a field over time.

    Args:
        data: of a file.
        where: it is from, such as a path.
        truth: whether a time without a step is a valid time.
    """
    found = _without_corners(data)
    names = _by_role(found)
    if not truth and "initial" in names and "step" not in names and "time" in names:
        found, names = _by_valid_time(found, names)
    return _own_coordinates(_split(_squeezed(_renamed(found, names, truth))))


def counterpart(name: str, among: Sequence[str], standard: Mapping[str, str]) -> str | None:
    """The same quantity under the name of another file; None if there is none.

    Args:
        name: of the variable.
        among: names of the other file.
        standard: standard names, by name, of both; the one file's begin with "=".
    """
    if name in among:
        return name
    low = {other.lower(): other for other in among}
    stem, level = _level_of(name.lower())
    for same in _SAME:
        if stem in same:
            found = [low[one + level] for one in sorted(same) if one + level in low]
            if found:
                return found[0]
    said = standard.get(f"={name}", "")
    alike = [other for other in among if said and standard.get(other) == said]
    return low.get(name.lower()) or (alike[0] if len(alike) == 1 else None)


def _level_of(name: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.+)(_\d+)", name)
    return (found[1], found[2]) if found else (name, "")


def _without_corners(data: "xarray.Dataset") -> "xarray.Dataset":
    """Without the bounds of cells and without what has no numbers."""
    bounds = {value.attrs.get("bounds") for value in data.variables.values()}
    corners = [name for name, value in data.variables.items() if name in bounds or set(value.dims) & set(_CORNERS)]
    texts = [name for name, value in data.items() if value.dtype.kind not in "fiub"]
    return data.drop_vars({*corners, *texts})


def _by_role(data: "xarray.Dataset") -> dict[str, str]:
    """The name in the file of each role; dimensions first, of coordinates those of the fewest axes."""
    found: dict[str, str] = {}
    names = [*map(str, data.dims), *(str(name) for name in sorted(data.coords, key=lambda n: data[n].ndim))]
    for name in names:
        attrs = data[name].attrs if name in data.variables else {}
        one = role(name, attrs)
        if one is not None and (name in data.dims or data[name].ndim < 2):
            found.setdefault(one, name)
    return found


def _by_valid_time(data: "xarray.Dataset", names: dict[str, str]) -> tuple["xarray.Dataset", dict[str, str]]:
    """A forecast along valid times from one reference time: the steps are their differences."""
    initial, time = data[names["initial"]], data[names["time"]]
    if initial.ndim or names["time"] not in data.dims:
        return data, names
    steps = np.atleast_1d(time.values) - initial.values
    found = data.rename({names["time"]: "step"}).assign_coords(step=("step", steps))
    return found, {**{key: name for key, name in names.items() if key != "time"}, "step": "step"}


def _renamed(data: "xarray.Dataset", names: Mapping[str, str], truth: bool) -> "xarray.Dataset":
    if "initial" in names:
        time = "initial"
    else:
        time = "valid_time" if "valid_time" in names and (truth or "time" not in names) else "time"
    new = {names[key]: key for key in ("step", "number", "level") if key in names}
    if time in names:
        new[names[time]] = "time"
    clash = [old for old in map(str, data.variables) if old in new.values() and old not in new]
    clash += [str(dim) for dim in data.dims if dim in new.values() and dim not in new and dim not in clash]
    data = data.rename({old: f"{old}_of_file" for old in clash})
    found = data.rename({old: name for old, name in new.items() if old != name})
    for name in new.values():  # a coordinate along an axis of another name, such as valid_time(time)
        if name in found.coords and name not in found.dims and found[name].ndim == 1:
            found = found.swap_dims({found[name].dims[0]: name})
    if truth and "step" in found.coords and "step" not in found.dims:
        found = _at_valid(found) if time == "initial" else found.drop_vars("step")
    return found


def _at_valid(data: "xarray.Dataset") -> "xarray.Dataset":
    """An analysis whose times are initial, all with one step."""
    if "time" not in data.coords:
        return data.drop_vars("step")
    step = durations(data["step"].values, data["step"].attrs)
    return data.assign_coords(time=data["time"] + step).drop_vars("step")


def _squeezed(data: "xarray.Dataset") -> "xarray.Dataset":
    """Without axes of one point, as the height of a variable at 2 m, where a grid is left."""
    ours = {"time", "step", "number", "level"}
    grid = [dim for dim in data.dims if dim not in ours]
    ones = [dim for dim in grid if data.sizes[dim] == 1]
    keep = ones[:1] if len(ones) == len(grid) else []
    found = data.squeeze([dim for dim in ones if dim not in keep], drop=True)
    return found.squeeze("level") if found.sizes.get("level") == 1 else found


def _split(data: "xarray.Dataset") -> "xarray.Dataset":
    """A variable for each level, such as t_850."""
    if "level" not in data.dims:
        return data
    levels = data["level"].values if "level" in data.coords else np.arange(data.sizes["level"])
    if "level" in data.coords and data["level"].attrs.get("units", "") == "Pa":
        levels = levels / 100
    found = {}
    for name, value in data.data_vars.items():
        if "level" not in value.dims:
            found[name] = value
            continue
        for k, level in enumerate(levels):
            found[f"{name}_{level:g}"] = value.isel(level=k, drop=True)
    split = data.drop_dims("level").assign(found)
    return split.drop_vars("level", errors="ignore")


def _own_coordinates(data: "xarray.Dataset") -> "xarray.Dataset":
    """Without coordinates that are neither of the grid nor time, step and number, such as a valid time."""
    ours = ("time", "step", "number")
    drop = [
        name
        for name, value in data.coords.items()
        if name not in ours and (not value.dims or set(value.dims) & set(ours))
    ]
    return data.drop_vars(drop)


def grid_dims(data: "xarray.Dataset", where: object) -> tuple[str, ...]:
    """The axes of the grid, one to three, those of the variables with most of them.

    Args:
        data: by our names.
        where: it is from.
    """
    ours = ("time", "step", "number")
    dims = [tuple(str(dim) for dim in value.dims if dim not in ours) for value in data.values()]
    found = max(dims, key=len, default=())
    if not dims:
        raise InputError(f"{where}: no variable of numbers, expected fields over a grid or of stations")
    if len(found) > 3:
        raise InputError(
            f"{where}: a variable has the axes {', '.join(found)} besides time, step and number, expected one to three "
            "axes of a grid"
        )
    return found
