"""Observations placed on a map of the forecast, or at its stations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ...errors import InputError
from ...report import quick
from ...tasks.figures import Figure
from ...tasks.hands import Backdrop, Column, Hand, Mark, Placed, Row, Said, size_of
from .asked.flags import WeatherRequest
from .asked.given import given as forecasts
from .files.grids import Grid
from .files.pairs import Pairs
from .files.times import written
from .known import dated
from .observed.places import STATION, along, axes_of, corners, on_sphere

_NAMED = ("forecast", "times", "held_out")
"""Fields of the request by which forecasts are named."""
_MOST = 1000
"""Times to choose from."""
Extent = tuple[float, float, float, float]


def look(given: Said, metadata: Mapping[str, Any]) -> Backdrop:
    """The forecast's first field: of its first variable, time and step.

    Args:
        given: the request's fields so far.
        metadata: of the model.
    """
    asked = WeatherRequest(**{name: given[name] for name in _NAMED if given.get(name) is not None})
    found = forecasts(asked, metadata)
    pairs, grid = found.pairs, Grid.from_record(metadata["grid"])
    field = pairs.read(found.chosen[:1]).mean[0, 0, 0]
    units = [f"{name} in {unit}" for name, unit in metadata["units"].items() if unit not in ("", "1")]
    note = "Click where something was observed; say what, when, its value and its standard deviation."
    note = f"{note} {', '.join(units)}." if units else note
    said = _said(pairs, found.times, metadata)
    if grid.kind == "stations":
        return _stations(grid, said, note)
    if len(grid.dims) == 1:
        return _line(grid, field, said, note)
    if _curved(grid):
        extent = _around(_place(grid, "longitude"), _place(grid, "latitude"))
        return Backdrop(extent, size=size_of(extent), columns=_columns(("longitude", "latitude"), (), said), note=note)
    return _map(grid, field, said, note, f"{metadata['variables'][0]}, the forecast of {written(found.times[0])}")


def rows(points: Sequence[Row], given: Said, metadata: Mapping[str, Any]) -> list[Row]:
    """The points as the reader of observations takes them, at stations the nearest one's.

    InputError for a place that is not on the grid, and for errors that are not above 0.

    Args:
        points: that were placed.
        given: the request's fields so far.
        metadata: of the model.
    """
    grid = Grid.from_record(metadata["grid"])
    for k, point in enumerate(points, 1):
        if point["std"] <= 0:
            raise InputError(f"point {k}: std is {point['std']:g}, expected a positive number")
    if grid.kind == "stations":
        return [_at_station(point, grid) for point in points]
    for k, point in enumerate(points, 1):
        try:
            corners(grid, {name: [point[name]] for name in axes_of(grid)})
        except InputError as error:
            raise InputError(f"point {k}: {error}") from None
    return list(points)


# What a point says ------------------------------------------------------------------------------------


def _said(pairs: Pairs, times: np.ndarray, metadata: Mapping[str, Any]) -> tuple[Column, ...]:
    """Columns beside those of the place: what, when, and what was read."""
    variables, steps = list(metadata["variables"]), [float(hour) for hour in pairs.step_hours]
    began = [written(one) if dated(times) else float(one) for one in times[:_MOST]]
    return (
        Column("variable", variables[0], variables),
        Column("time", began[0], began),
        Column("step", steps[0], steps, "hours" if pairs.steps.dtype.kind == "m" else ""),
        Column("value"),
        Column("std"),
    )


def _columns(place: tuple[str, str], others: Sequence[Column], said: Sequence[Column]) -> tuple[Column, ...]:
    return (*(Column(name) for name in place), *others, *said)


# Where it can be --------------------------------------------------------------------------------------


def _map(grid: Grid, field: Float[np.ndarray, "*grid"], said: Sequence[Column], note: str, caption: str) -> Backdrop:
    """A grid of two axes or more, of which the first plane is shown."""
    names = {axis: _name(grid, axis) for axis in range(len(grid.dims))}
    by_name = {name: axis for axis, name in names.items()}
    right = by_name.get("longitude", len(grid.dims) - 1)
    up = by_name.get("latitude", max(axis for axis in names if axis != right))
    others = [axis for axis in names if axis not in (right, up)]
    choices = [Column(names[axis], float(along(grid, axis)[0]), along(grid, axis).tolist()) for axis in others]
    plane = np.moveaxis(field, (*others, up, right), range(len(names)))
    plane = plane.reshape(-1, *plane.shape[-2:])[0]
    at = along(grid, up), along(grid, right)
    extent = (*_ends(at[1]), *_ends(at[0]))
    picture = quick.plane(plane, at, extent, caption)
    columns = _columns((names[right], names[up]), choices, said)
    return Backdrop(extent, picture, size_of(extent), columns=columns, note=note)


def _line(grid: Grid, field: Float[np.ndarray, " n"], said: Sequence[Column], note: str) -> Backdrop:
    """A grid of one axis: the place to the right, the value upwards."""
    at, (low, high) = along(grid, 0), quick.range_of(field, 0.0)
    room = 0.2 * (high - low)
    limits = (low - room, high + room)
    order = np.argsort(at)
    picture: Figure = quick.lines(field[order][None], limits, "The forecast")
    *others, value, std = said
    columns = (Column(_name(grid, 0)), value, *others, std)
    return Backdrop((float(at.min()), float(at.max()), *limits), picture, (640, 240), columns=columns, note=note)


def _stations(grid: Grid, said: Sequence[Column], note: str) -> Backdrop:
    latitude, longitude = _place(grid, "latitude"), _place(grid, "longitude")
    ids = grid.ids or [""] * len(latitude)
    marks = [Mark(float(x), float(y), name) for x, y, name in zip(longitude, latitude, ids, strict=True)]
    columns = _columns(("longitude", "latitude"), (), said)
    nearest = f"{note} A point is one of the station that is nearest to it."
    extent = _around(longitude, latitude)
    return Backdrop(extent, size=size_of(extent), marks=marks, columns=columns, note=nearest)


def _at_station(point: Row, grid: Grid) -> Row:
    """The point with the station that is nearest in the place of where it is."""
    latitude, longitude = _place(grid, "latitude"), _place(grid, "longitude")
    here = on_sphere(np.array([point["latitude"]]), np.array([point["longitude"]]))
    k = int(np.linalg.norm(on_sphere(latitude, longitude) - here, axis=1).argmin())
    beside = {name: value for name, value in point.items() if name not in ("latitude", "longitude")}
    if grid.ids is not None:
        return {STATION: grid.ids[k], **beside}
    return {"latitude": float(latitude[k]), "longitude": float(longitude[k]), **beside}


def _place(grid: Grid, role: str) -> Float[np.ndarray, "*grid"]:
    found = grid.place(role)
    if found is None:
        raise InputError(f"the model's stations have no {role}: write the file of observations by their names")
    return found


def _curved(grid: Grid) -> bool:
    """Whether latitudes and longitudes are along two axes each."""
    return all(name is not None and len(grid.over[name]) > 1 for name in map(grid.named, ("latitude", "longitude")))


def _name(grid: Grid, axis: int) -> str:
    """How a place along an axis is said: latitude, longitude, or the axis' own name."""
    dim, named = grid.dims[axis], axes_of(grid)
    roles = {grid.over[name]: role for role in ("latitude", "longitude") if (name := grid.named(role)) is not None}
    role = roles.get((dim,))
    return role if role in named else dim


def _ends(at: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Half a cell beyond the outermost points."""
    low, high = float(at.min()), float(at.max())
    half = (high - low) / max(len(at) - 1, 1) / 2 or 0.5
    return low - half, high + half


def _around(x: Float[np.ndarray, "*points"], y: Float[np.ndarray, "*points"]) -> Extent:
    """A twentieth beyond the outermost places, or a degree where that is nothing."""
    rooms = [0.05 * float(np.ptp(one)) or 1.0 for one in (x, y)]
    left, right = float(x.min()) - rooms[0], float(x.max()) + rooms[0]
    return left, right, float(y.min()) - rooms[1], float(y.max()) + rooms[1]


BY_HAND: Mapping[str, Hand] = {"observations": Placed(look=look, rows=rows)}
