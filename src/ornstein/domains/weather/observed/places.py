"""Where a place lies among the points of a grid: which points are read there, with which weights.

Linear between the points of each axis, also across the end of an axis that goes round; half a cell beyond the outermost
points the field goes on as it is there. On grids whose coordinates have two axes it is the nearest point, of stations
the station itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from ....errors import InputError
from ....guidance.operators import Operator
from ..files.grids import Grid, role_of
from ..files.regridding import line

STATION = "station"
"""What the name of a station is called, where a place is one."""
_NEAR = 1.0
"""Kilometres between a station and what is said of it by latitude and longitude, at most."""
_RADIUS = 6371.0


@dataclass(frozen=True, eq=False)
class Corners:
    """The points that are read at each of some places.

    Attributes:
        index: in the flattened grid, (places, corners).
        weight: of each, sum 1, (places, corners).
    """

    index: Int[np.ndarray, "places corners"]
    weight: Float[np.ndarray, "places corners"]


def axes_of(grid: Grid) -> tuple[str, ...]:
    """What a place on a grid is said by: latitude and longitude, the coordinates of its axes, or the station.

    Args:
        grid: of the model.
    """
    if grid.kind == "stations":
        return (STATION,)
    if grid.place("latitude") is None or grid.place("longitude") is None:
        return grid.dims
    own = {_role(grid, dim): dim for dim in grid.dims}
    others = tuple(dim for role, dim in own.items() if role not in ("latitude", "longitude"))
    curved = any(len(grid.over[str(grid.named(role))]) > 1 for role in ("latitude", "longitude"))
    return ("latitude", "longitude", *(() if curved else others))


def corners(grid: Grid, said: Mapping[str, Sequence[Any]]) -> Corners:
    """The points that are read at some places.

    Args:
        grid: of the model.
        said: a value a place, by name: those of `axes_of`, or of stations latitude and longitude.

    InputError for a place beyond the grid, or a station that the model does not know.
    """
    if grid.kind == "stations":
        return _stations(grid, said)
    if "latitude" in said and len(grid.over[str(grid.named("latitude"))]) > 1:
        return _nearest(grid, said)
    return _between(grid, {axis: np.asarray(said[name], float) for axis, name in _by_axis(grid, said)})


def _role(grid: Grid, dim: str) -> str:
    """What an axis counts: latitude, longitude, altitude, or its own name."""
    return role_of(dim, grid.attrs.get(dim, {})) or dim


def _by_axis(grid: Grid, said: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    for axis, dim in enumerate(grid.dims):
        yield axis, dim if dim in said else _role(grid, dim)


def period(grid: Grid, axis: int) -> float | None:
    """The length of an axis that counts in a circle, in its units; None of others.

    Args:
        grid: of the model.
        axis: which, from 0.
    """
    if _role(grid, grid.dims[axis]) == "longitude":
        return 360.0
    values = along(grid, axis)
    return float(len(values) * np.abs(np.diff(values)).mean()) if grid.periodic[axis] and len(values) > 1 else None


def along(grid: Grid, axis: int) -> Float[np.ndarray, " n"]:
    """The coordinate of an axis; its points from 0 on where it has none.

    Args:
        grid: of the model.
        axis: which, from 0.
    """
    values = grid.axis(grid.dims[axis])
    return np.arange(grid.shape[axis], dtype=np.float64) if values is None else values


def _between(grid: Grid, wanted: Mapping[int, Float[np.ndarray, " places"]]) -> Corners:
    lines = []
    for axis, values in wanted.items():
        at = along(grid, axis)
        if len(at) == 1:  # the field is the same all along this axis
            zero = np.zeros(len(values), dtype=np.int64)
            lines.append([(zero, np.ones(len(values)))])
            continue
        low, high, share = line(at, values, period(grid, axis), grid.dims[axis])
        lines.append([(low, 1 - share), (high, share)])
    index, weight = [], []
    for corner in product(*lines):
        index.append(np.ravel_multi_index([place for place, _ in corner], grid.shape))
        weight.append(np.prod([share for _, share in corner], axis=0))
    return Corners(np.stack(index, 1), np.stack(weight, 1))


def _stations(grid: Grid, said: Mapping[str, Sequence[Any]]) -> Corners:
    if STATION not in said:
        found = _nearest(grid, said, _NEAR)
        return found
    ids = grid.ids or []
    for name in said[STATION]:
        if str(name) not in ids:
            some = ", ".join(map(repr, ids[:8])) or "none with a name"
            raise InputError(f"station {str(name)[:40]!r} is none of the model's, expected one of {some}")
    index = np.array([ids.index(str(name)) for name in said[STATION]], dtype=np.int64)[:, None]
    return Corners(index, np.ones(index.shape))


def _nearest(grid: Grid, said: Mapping[str, Sequence[Any]], near: float | None = None) -> Corners:
    """The nearest point on the sphere; at most as far as its own neighbours are, or so many kilometres."""
    from scipy.spatial import KDTree

    latitude, longitude = grid.place("latitude"), grid.place("longitude")
    if latitude is None or longitude is None:
        raise InputError("places by latitude and longitude, but the model's stations have none: expected their names")
    tree = KDTree(on_sphere(latitude.ravel(), longitude.ravel()))
    wanted = on_sphere(np.asarray(said["latitude"], float), np.asarray(said["longitude"], float))
    distance, index = tree.query(wanted)
    own = tree.query(tree.data[index], k=min(5, tree.n))[0].max(-1) if near is None else near / _RADIUS
    far = distance > np.broadcast_to(own, distance.shape)
    if far.any():
        first = int(np.argmax(far))
        place = f"{said['latitude'][first]:g}, {said['longitude'][first]:g}"
        raise InputError(f"place {place} is {distance[first] * _RADIUS:.3g} km off the nearest point of the model")
    return Corners(np.asarray(index)[:, None], np.ones((len(wanted), 1)))


def on_sphere(latitude: Float[np.ndarray, " n"], longitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
    """Unit vectors of places in degrees."""
    a, b = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], 1)


@dataclass(frozen=True, eq=False)
class Gather(Operator):
    """Weighted sums of a few numbers of an event, sample by sample: a sparse matrix, row by row.

    Attributes:
        index: of the numbers in the flattened event, (samples or 1, rows, corners).
        weight: of each, (samples or 1, rows, corners).
        shape: of an event.
    """

    index: Int64[Tensor, "samples rows corners"]
    weight: Float[Tensor, "samples rows corners"]
    shape: tuple[int, ...]

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch rows"]:
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(f"Gather acts on events of shape {self.shape}, found {tuple(x.shape[1:])}")
        index = self.index.to(x.device).expand(len(x), -1, -1)
        read = x.flatten(1).gather(1, index.flatten(1)).unflatten(1, tuple(index.shape[1:]))
        return (read * self.weight.to(x)).sum(-1)

    def adjoint(self, y: Float[Tensor, "batch rows"]) -> Float[Tensor, "batch ..."]:
        index = self.index.to(y.device).expand(len(y), -1, -1).flatten(1)
        shares = (y[..., None] * self.weight.to(y)).flatten(1)
        flat = y.new_zeros(len(y), torch.Size(self.shape).numel())
        return flat.scatter_add(1, index, shares).unflatten(1, self.shape)

    @property
    def samples(self) -> int | None:
        return len(self.index) if len(self.index) > 1 else None

    def _taken(self, index: Any) -> Operator:
        return replace(self, index=self.index[index], weight=self.weight[index])
