"""From the grid of the forecast to that of the truth: multilinear interpolation, a sparse matrix of weights.

    y_i = Σ_j w_ij x_j / Σ_j w_ij over the x_j that are there, missing where they hold less than half of the weight.

Axes that go round are interpolated across their end; any order of latitudes and either way to count longitudes will
do, and where the points of both grids coincide, the values are kept as they are. From a curvilinear grid, triangles
between its points are linear. Nothing is extrapolated beyond half a cell.
"""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from ....deferred import deferred
from ....errors import InputError
from .grids import Grid
from .units import conversion

if TYPE_CHECKING:
    from scipy import sparse, spatial
else:
    sparse = deferred("scipy.sparse")
    spatial = deferred("scipy.spatial")

Line = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]
"""Of each target: the points below and above it, and the weight of the one above."""
_SNAP = 1e-5  # of a cell: a target this near to a point is at the point
_SAME = 1e-7  # of a circle: two points that are one
_EDGE = 0.5 + 1e-3  # cells, beyond the outermost points


@dataclass(frozen=True, eq=False)
class Regridding:
    """A linear interpolation.

    Attributes:
        matrix: sparse, (points of the target, points of the source).
        shape: of the target.
        axes: of the source.
    """

    matrix: Any
    shape: tuple[int, ...]
    axes: int

    def __call__(self, values: Float[np.ndarray, "*more_and_source"]) -> Float[np.ndarray, "*more_and_target"]:
        """Fields on the target's grid, NaN where they are missing.

        Args:
            values: fields on the source's grid, along the last axes.
        """
        more = values.shape[: values.ndim - self.axes]
        flat = values.reshape(prod(more), -1)
        there = np.isfinite(flat)
        if there.all():
            return self._applied(flat).reshape(*more, *self.shape)
        weight = self._applied(there.astype(flat.dtype))
        total = self._applied(np.where(there, flat, 0).astype(flat.dtype))
        found = np.where(weight > 0.5 - 1e-6, total / weight.clip(min=1e-6), np.nan)
        return found.astype(flat.dtype).reshape(*more, *self.shape)

    def _applied(self, flat: Float[np.ndarray, "n source"]) -> Float[np.ndarray, "n target"]:
        return np.ascontiguousarray((self.matrix @ flat.T).T.astype(flat.dtype, copy=False))

    @classmethod
    def between(cls, source: Grid, target: Grid) -> "Regridding":
        """Between two grids, or from a grid to stations; of stations, those of the same ids.

        InputError for grids that do not overlap, that have no coordinate in common, and from stations to a grid.

        Args:
            source: of the forecast.
            target: of the truth.
        """
        if source.kind == "stations":
            return _by_ids(source, target)
        if _curvilinear(source) and target.place("latitude") is not None and target.place("longitude") is not None:
            return _triangles(source, target)
        lines = _lines(source, target)
        below_above = [np.stack([low, high]) for low, high, _ in lines]
        shares = [np.stack([1 - share, share]) for _, _, share in lines]
        rows, columns, weights = [], [], []
        n = len(lines[0][0])
        for corner in np.ndindex(*(2,) * len(lines)):
            at = [line[k] for line, k in zip(below_above, corner, strict=True)]
            weights.append(np.prod([share[k] for share, k in zip(shares, corner, strict=True)], axis=0))
            columns.append(np.ravel_multi_index(at, source.shape))
            rows.append(np.arange(n))
        entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
        return cls(_sparse(entries, (n, prod(source.shape))), target.shape, len(source.shape))


def _sparse(entries: Any, shape: tuple[int, int]) -> Any:
    matrix: Any = sparse.csr_array(sparse.coo_array(entries, shape=shape)).astype(np.float32)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()  # so that a missing value of weight 0 is not asked for
    return matrix


def _by_ids(source: Grid, target: Grid) -> Regridding:
    if target.kind != "stations":
        raise InputError("the forecast is of stations and the truth of a grid, expected a gridded forecast")
    ours, theirs = target.ids, source.ids
    if ours is None or theirs is None:
        raise InputError(f"stations without ids, {source.shape[0]} in the forecast and {target.shape[0]} in the truth")
    place = {name: k for k, name in enumerate(theirs)}
    missing = [name for name in ours if name not in place]
    if missing:
        raise InputError(
            f"the forecast lacks {len(missing)} of the truth's {len(ours)} stations, such as {missing[0]!r}; it has "
            f"{', '.join(map(repr, theirs[:8]))}"
        )
    columns = np.array([place[name] for name in ours])
    entries = (np.ones(len(ours)), (np.arange(len(ours)), columns))
    return Regridding(_sparse(entries, (len(ours), len(theirs))), target.shape, 1)


def _lines(source: Grid, target: Grid) -> list[Line]:
    """Of each axis of the source: where all points of the target lie along it."""
    lines = []
    for k, dim in enumerate(source.dims):
        values, wanted = source.axis(dim), _wanted(source, target, k)
        if values is None or wanted is None:
            raise InputError(
                f"the forecast's axis {dim!r} has {source.shape[k]} points and the truth's grid {target.shape}, and "
                "no coordinate says how they lie to each other: expected the same coordinate in both files"
            )
        circle = _circle(source, k, values)
        lines.append(line(values, np.ravel(wanted), circle, dim))
    return lines


def _wanted(source: Grid, target: Grid, k: int) -> np.ndarray | None:
    """What an axis of the source counts, at each point of the target."""
    dim = source.dims[k]
    for role in ("latitude", "longitude", "altitude"):
        name = source.named(role)
        if name is not None and source.over[name] == (dim,) and target.place(role) is not None:
            return target.place(role)
    if dim in target.dims:
        other = target.dims.index(dim)
    elif len(source.dims) == len(target.dims) and target.kind == "grid":
        other = k
    else:
        return None
    values = target.axis(target.dims[other])
    if values is None:
        return None
    units = [
        str(grid.attrs.get(name, {}).get("units", "")) for grid, name in ((target, target.dims[other]), (source, dim))
    ]
    factor, offset = conversion(units[0], units[1], f"axis {dim!r}")
    shape = [n if axis == other else 1 for axis, n in enumerate(target.shape)]
    return np.broadcast_to((values * factor + offset).reshape(shape), target.shape)


def _circle(source: Grid, k: int, values: Float[np.ndarray, " n"]) -> float | None:
    """The length of an axis that counts in a circle; None of others. Longitudes do even where they do not go round."""
    name = source.named("longitude")
    if name is not None and source.over[name] == (source.dims[k],):
        return 360.0
    return float(len(values) * np.abs(np.diff(values)).mean()) if source.periodic[k] else None


def line(
    values: Float[np.ndarray, " m"], wanted: Float[np.ndarray, " n"], circle: float | None = None, name: str = "axis"
) -> Line:
    """Where points lie between those of an axis.

    InputError, which names the axis, for a point more than half a cell beyond its ends.

    Args:
        values: along the axis, in rising or falling order.
        wanted: points.
        circle: the length of an axis that counts in a circle.
        name: of the axis.
    """
    round_ = False
    if circle is not None:
        start, round_ = _start(values, circle)
        values, wanted = (values - start) % circle + start, (wanted - start) % circle + start
    order = np.argsort(values, kind="stable")
    rising = values[order]
    if circle is not None:  # a point that is there at both ends, such as 0 and 360 degrees, is one
        once = np.append(True, np.diff(rising) > _SAME * circle)
        order, rising = order[once], rising[once]
    if len(rising) < 2 or not np.all(np.diff(rising) > 0):
        raise InputError(f"the forecast's {name!r} has {len(rising)} points, expected two or more, none of them twice")
    if round_:
        rising, order = np.append(rising, rising[0] + circle), np.append(order, order[0])
    first, last = rising[1] - rising[0], rising[-1] - rising[-2]
    outside = (wanted < rising[0] - _EDGE * first) | (wanted > rising[-1] + _EDGE * last)
    if outside.any():
        raise InputError(
            f"the forecast's {name!r} reaches from {rising[0]:g} to {rising[-1]:g}, and {outside.sum()} of the "
            f"truth's {outside.size} points lie beyond by more than half a cell, such as {wanted[outside][0]:g}"
        )
    low = np.clip(np.searchsorted(rising, wanted, side="right") - 1, 0, len(rising) - 2)
    share = np.clip((wanted - rising[low]) / (rising[low + 1] - rising[low]), 0, 1)
    share = np.where(share < _SNAP, 0, np.where(share > 1 - _SNAP, 1, share))
    return order[low], order[low + 1], share


def _start(values: Float[np.ndarray, " m"], circle: float) -> tuple[float, bool]:
    """Where to begin to count along a circle, the widest gap, and whether that is as wide as others: all is covered."""
    around = np.unique(values % circle)
    around = around[np.append(True, np.diff(around) > _SAME * circle)]
    gaps = np.diff(np.append(around, around[0] + circle))
    widest = int(gaps.argmax())
    if gaps[widest] < 1.5 * float(np.median(gaps)):
        return float(values.min()), True
    first = float(around[(widest + 1) % len(around)])
    return first - 0.75 * min(float(np.median(gaps)), float(gaps[widest])), False


# From curvilinear grids -------------------------------------------------------------------------------


def _curvilinear(grid: Grid) -> bool:
    names = [grid.named(role) for role in ("latitude", "longitude")]
    return len(grid.dims) == 2 and all(name is not None and len(grid.over[name]) == 2 for name in names)


def _plane(latitude: np.ndarray, longitude: np.ndarray, centre: tuple[float, float]) -> Float[np.ndarray, "n 2"]:
    """Degrees in a plane about a meridian, which the date line does not cut."""
    return np.stack([np.ravel(latitude), (np.ravel(longitude) - centre[1] + 180) % 360 - 180], 1)


def _triangles(source: Grid, target: Grid) -> Regridding:
    """Linear in the triangles between the points of a grid whose latitudes and longitudes are over both axes."""
    places = [grid.place(role) for grid in (source, target) for role in ("latitude", "longitude")]
    latitude, longitude, *wanted = [np.asarray(place, dtype=np.float64) for place in places]
    middle = np.deg2rad(longitude)
    centre = float(latitude.mean()), float(np.rad2deg(np.arctan2(np.sin(middle).mean(), np.cos(middle).mean())))
    points, at = _plane(latitude, longitude, centre), _plane(wanted[0], wanted[1], centre)
    mesh = spatial.Delaunay(points)
    cell = np.sqrt(np.ptp(points[:, 0]) * np.ptp(points[:, 1]) / len(points))
    found = mesh.find_simplex(at)
    distance, nearest = map(np.asarray, spatial.KDTree(points).query(at))
    outside = (found < 0) & (distance > _EDGE * cell)
    if outside.any():
        where = ", ".join(
            f"{value:g}" for value in (wanted[0].flat[outside.argmax()], wanted[1].flat[outside.argmax()])
        )
        raise InputError(
            f"{outside.sum()} of the truth's {outside.size} points lie outside of the forecast's grid by more than "
            f"half a cell, such as {where}"
        )
    transform = mesh.transform[found]
    first = np.einsum("nij,nj->ni", transform[:, :2], at - transform[:, 2])
    weights = np.concatenate([first, 1 - first.sum(1, keepdims=True)], 1).clip(0, 1)
    columns = mesh.simplices[found].copy()
    weights[found < 0], columns[found < 0] = (1.0, 0.0, 0.0), nearest[found < 0, None]
    weights = np.where(weights < _SNAP, 0, weights)
    weights /= weights.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(at)), 3)
    entries = (weights.ravel(), (rows, columns.ravel()))
    return Regridding(_sparse(entries, (len(at), len(points))), target.shape, len(source.shape))
