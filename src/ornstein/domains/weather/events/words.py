"""Events as a user writes them.

t2m > 303.15 @ 47.3,11.4              at a place, at any of the leads
vorticity > 3 @ y=4.2,x=7 step=4      at one lead
wind < 2 @ station=IBK
max(t2m) > 303.15 in box 45:48,9:13   anywhere in a box, or with min and mean; without a box of the whole grid
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from ....config import suggestion
from ....errors import InputError
from ....values import is_number, number_written
from ..files.grids import Grid
from ..observed.places import STATION, along, axes_of, corners, period
from .event import Event

_EXPECTED = (
    'expected an event such as "t2m > 303.15 @ 47.3,11.4", "wind < 2 @ station=IBK step=24" or '
    '"max(t2m) > 303.15 in box 45:48,9:13"'
)
_HEAD = re.compile(
    r"\s*(?:(?P<of>max|min|mean)\s*\(\s*(?P<inner>[^\s()<>@]+)\s*\)|(?P<name>[^\s()<>@]+))\s*(?P<sign>[<>])=?\s*"
    r"(?P<number>[^\s@]+)(?P<rest>.*)"
)
_PLACE = re.compile(r"\s*@\s*(?P<place>.+?)\s*(?=\bin\s|\bstep\b|@|$)")
_BOX = re.compile(r"\s*in\s+box\s+(?P<box>.+?)\s*(?=\bstep\b|@|$)")
_STEP = re.compile(r"\s*step\s*=?\s*(?P<step>[^\s@]+)\s*")


def parse(
    text: str, grid: Grid, variables: Sequence[str], steps: Sequence[float], positive: Sequence[bool] = ()
) -> Event:
    """The event that a text says.

    Args:
        text: see the module.
        grid: of the model.
        variables: of the model; channel v · S + s is variable v at step s.
        steps: of a state, as the model counts them.
        positive: of each variable, whether it is never negative.

    InputError says what is wrong, and what was expected.
    """
    found = _HEAD.fullmatch(text)
    if found is None:
        raise InputError(f"event {text[:80]!r}: {_EXPECTED}")
    name = found["inner"] or found["name"]
    if name not in variables:
        raise InputError(f"event {text!r}: the model has no {name!r}{suggestion(name, list(variables))}")
    threshold = number_written(found["number"])
    if not is_number(threshold):
        raise InputError(f"event {text!r}: the threshold is {found['number']!r}, expected a number")
    said = _clauses(text, found["rest"])
    index, weight = _points(text, found["of"], said, grid)
    v = list(variables).index(name)
    channels = [v * len(steps) + s for s in _steps(text, said.get("step"), steps)]
    root = bool(positive[v]) if len(positive) else False
    of = found["of"] or "at"
    at, weights = torch.from_numpy(index).long(), torch.from_numpy(weight)
    return Event(text, tuple(channels), found["sign"] == ">", threshold, of, at, weights, root)


def _clauses(text: str, rest: str) -> dict[str, str]:
    """A place, a box and a step, those that are said."""
    said: dict[str, str] = {}
    while rest.strip():
        found = _PLACE.match(rest) or _BOX.match(rest) or _STEP.match(rest)
        if found is None:
            raise InputError(f"event {text!r}: {rest.strip()!r}, expected @ PLACE, in box LOW:HIGH,... or step=...")
        for clause, value in found.groupdict().items():
            if clause in said:
                raise InputError(f"event {text!r}: says its {clause} twice")
            said[clause] = value
        rest = rest[found.end() :]
    return said


def _points(text: str, of: str | None, said: Mapping[str, str], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    if of is None:
        if "place" not in said:
            raise InputError(f"event {text!r}: where is it? expected @ PLACE, or max(...), min(...) or mean(...)")
        if "box" in said:
            raise InputError(f"event {text!r}: a place and a box, expected max(...), min(...) or mean(...) of a box")
        try:
            found = corners(grid, _place(said["place"], grid))
        except InputError as error:
            raise InputError(f"event {text!r}: {error}") from None
        kept = found.weight[0] > 0
        return found.index[0][kept], found.weight[0][kept]
    if "place" in said:
        raise InputError(f"event {text!r}: {of}(...) is of a box or the whole grid, not at a place")
    inside = _inside(text, said["box"], grid) if "box" in said else np.ones(grid.shape, dtype=bool)
    if not inside.any():
        raise InputError(f"event {text!r}: no point of the grid lies in the box")
    weight = grid.weights[inside]
    return np.flatnonzero(inside), weight / weight.sum()


def _named(said: str, grid: Grid) -> dict[str, str]:
    """Parts by name: y=4.2,x=7, or in the order of the grid's coordinates."""
    names = axes_of(grid)
    parts = [part.strip() for part in said.split(",")]
    if all("=" in part for part in parts):
        return {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in parts)}
    on_sphere = grid.kind == "stations" and len(parts) == 2
    order = ("latitude", "longitude") if on_sphere else names
    if any("=" in part for part in parts) or len(parts) != len(order):
        raise InputError(f"{said!r}, expected {', '.join(names)}")
    return dict(zip(order, parts, strict=True))


def _place(said: str, grid: Grid) -> dict[str, list[Any]]:
    names = axes_of(grid)
    parts = _named(said, grid)
    short = {"lat": "latitude", "lon": "longitude"}
    parts = {short.get(name, name): value for name, value in parts.items()}
    if set(parts) != set(names) and not (grid.kind == "stations" and set(parts) == {"latitude", "longitude"}):
        raise InputError(f"place {said!r}, expected {', '.join(names)}")
    place: dict[str, list[Any]] = {}
    for name, value in parts.items():
        number = value if name == STATION else number_written(value)
        if name != STATION and not is_number(number):
            raise InputError(f"place {said!r}: {name} is {value!r}, expected a number")
        place[name] = [number]
    return place


def _inside(text: str, said: str, grid: Grid) -> Bool[np.ndarray, "*grid"]:
    """The points of a box; along an axis that goes round, from high to low is across its end."""
    names = axes_of(grid) if grid.kind == "grid" else ("latitude", "longitude")
    try:
        parts = _named(said, replace(grid, kind="grid")) if grid.kind == "grid" else _box_of_stations(said)
    except InputError as error:
        raise InputError(f"event {text!r}: box {error}") from None
    parts = {{"lat": "latitude", "lon": "longitude"}.get(name, name): value for name, value in parts.items()}
    inside = np.ones(grid.shape, dtype=bool)
    for name, value in parts.items():
        low, colon, high = value.partition(":")
        ends = number_written(low), number_written(high)
        if name not in names or not colon or not all(map(isfinite, ends)):
            raise InputError(f"event {text!r}: box {said!r}, expected LOW:HIGH of {', '.join(names)}")
        inside &= _within(text, grid, name, *ends)
    return inside


def _box_of_stations(said: str) -> dict[str, str]:
    parts = said.split(",")
    if len(parts) != 2:
        raise InputError(f"{said!r}, expected LOW:HIGH of latitude and longitude")
    return dict(zip(("latitude", "longitude"), parts, strict=True))


def _within(text: str, grid: Grid, name: str, low: float, high: float) -> Bool[np.ndarray, "*grid"]:
    values, circle = grid.place(name) if name in ("latitude", "longitude") else None, None
    if name == "longitude":
        circle = 360.0
    if values is None:
        if name not in grid.dims:
            raise InputError(f"event {text!r}: the grid has no {name}")
        axis = grid.dims.index(name)
        circle = period(grid, axis)
        shape = [n if k == axis else 1 for k, n in enumerate(grid.shape)]
        values = np.broadcast_to(along(grid, axis).reshape(shape), grid.shape)
    if circle is not None:
        return (values - low) % circle <= ((high - low) % circle if high - low < circle else circle)
    if low > high:
        raise InputError(f"event {text!r}: the box goes from {low:g} to {high:g}, expected LOW:HIGH")
    return (values >= low) & (values <= high)


def _steps(text: str, said: str | None, steps: Sequence[float]) -> list[int]:
    if said is None:
        return list(range(len(steps)))
    number = number_written(said.removesuffix("h"))
    found = [s for s, step in enumerate(steps) if abs(step - number) < 1e-6]
    if not found:
        raise InputError(
            f"event {text!r}: step is {said!r}, expected one of {', '.join(f'{step:g}' for step in steps)}"
        )
    return found
