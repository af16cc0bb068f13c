"""Sensors placed on the domain: in the plane by a click each, along a line by place and value, in a box plane by plane.

Behind them is what is known of the field: the truth, or the source, if these were given.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import InputError
from ...report import quick
from ...tasks.figures import Figure
from ...tasks.hands import Backdrop, Column, Hand, Placed, Row, Said, size_of
from .asked.flags import PoissonRequest
from .asked.given import field_of
from .asked.requests import grid_of, problem_of
from .asked.sensors import Sensors
from .asked.truths import TRUTH, truth_of
from .equations import Grid
from .factors import inside

_POINTS = 480
"""Of a line that is shown."""
_SHARE = 0.05
"""Of the spread of a field, the error of a sensor if nobody says it."""
Shown = tuple[Tensor, tuple[Tensor, ...]]
"""A field, and where its nodes are along each axis."""


def look(name: str, given: Said, metadata: Mapping[str, Any]) -> Backdrop:
    """The domain, and what is known of the field in it.

    Args:
        name: of the request's field that the sensors are for.
        given: the request's fields so far.
        metadata: of the model.
    """
    if metadata["learns"] == "solutions":
        raise InputError("sensors are for models of sources: this one has learnt to solve, given the whole of --source")
    grid, shown = grid_in(given, metadata), _shown(name, given, metadata)
    spread = _spread(name, given, metadata, shown)
    std = Column("std", float(f"{_SHARE * spread:.1g}"))
    if grid.ndim == 1:
        return _line(grid, shown, spread, std)
    depth, (bottom, top), (left, right) = [grid.domain[:-2], *grid.domain[-2:]]
    extent = (left, right, bottom, top)
    between = [Column("z", (low + high) / 2) for low, high in depth]
    picture = None if shown is None else _plane(shown, extent)
    note = "Click where a sensor is; say what it read, and its standard deviation."
    if between:
        note += f" Shown is the plane z = {between[0].default:g}; z may be any from {depth[0][0]:g} to {depth[0][1]:g}."
    columns = (Column("x"), Column("y"), *between, Column("value", 0.0), std)
    return Backdrop(extent, picture, size_of(extent), columns=columns, note=note)


def rows(points: Sequence[Row], given: Said, metadata: Mapping[str, Any]) -> list[Row]:
    """The points as the reader of sensors takes them; InputError for one outside of the domain, or a std of 0.

    Args:
        points: that were placed.
        given: the request's fields so far.
        metadata: of the model.
    """
    grid = grid_in(given, metadata)
    axes = grid.axes[::-1]
    table = np.array([[point[name] for name in (*axes, "value", "std")] for point in points])
    places = tuple(f"point {k + 1}" for k in range(len(points)))
    inside(Sensors(table[:, :-2], table[:, -2], table[:, -1], "sensors", places), grid)
    return [{name: point[name] for name in (*axes, "value", "std")} for point in points]


def grid_in(given: Said, metadata: Mapping[str, Any]) -> Grid:
    """Of a request so far.

    Args:
        given: the request's fields so far.
        metadata: of the model.
    """
    return grid_of(_asked(given, ("boundary", "lengths", "origin")), metadata["shape"][1:])


def _asked(given: Said, names: Sequence[str]) -> PoissonRequest:
    return PoissonRequest(**{name: given[name] for name in names if given.get(name) is not None})


def _shown(name: str, given: Said, metadata: Mapping[str, Any]) -> Shown | None:
    """What is known of a field; None if nothing is."""
    truth, source = given.get("truth"), given.get("source")
    if truth is None and not (name == "source_sensors" and isinstance(source, Path)):
        return None
    names = (*PoissonRequest.groups["the equation"], "source")
    problem = problem_of(_asked(given, names), metadata["shape"][1:])
    grid = problem.equation.grid
    if truth is None:
        return field_of(source, grid.shape, "--source", ("source",), grid.coordinates), grid.coordinates
    what = "solution" if name == "solution_sensors" else problem.equation.unknown
    field = truth_of(truth, problem).get(f"{TRUTH}{what}")
    if field is None:
        return None
    return field, grid.coordinates if tuple(field.shape) == grid.shape else grid.whole_coordinates


def _spread(name: str, given: Said, metadata: Mapping[str, Any], shown: Shown | None) -> float:
    """Of the field, in its unit; 1 where nobody knows it."""
    if shown is not None:
        return float(shown[0].std()) or 1.0
    return 1.0 if name == "solution_sensors" else metadata["std"] * (given.get("scale") or 1.0)


def _line(grid: Grid, shown: Shown | None, spread: float, std: Column) -> Backdrop:
    """Of one dimension: the place to the right, the value upwards."""
    ((left, right),) = grid.domain
    low, high = (-3 * spread, 3 * spread)
    picture = None
    if shown is not None:
        field, (at,) = shown
        low, high = float(field.min()) - spread, float(field.max()) + spread
        line = np.interp(np.linspace(left, right, _POINTS), at.numpy(), field.numpy())
        picture = quick.lines(line[None], (low, high), "What is known of the field")
    columns = (Column("x"), Column("value"), std)
    note = "Click at the place of a sensor, as high as what it read; say its standard deviation."
    return Backdrop((left, right, low, high), picture, (640, 240), columns=columns, note=note)


def _plane(shown: Shown, extent: tuple[float, float, float, float]) -> Figure:
    """Of a box the middle plane."""
    field, at = shown
    if field.ndim == 3:
        field = field[len(field) // 2]
    return quick.plane(field.numpy(), (at[-2].numpy(), at[-1].numpy()), extent, "What is known of the field")


BY_HAND: Mapping[str, Hand] = {
    name: Placed(look=partial(look, name), rows=rows)
    for name in ("source_sensors", "coefficient_sensors", "solution_sensors")
}
