"""Fields read at scattered points: sensors, stations, sounding tracks, a grid within another.

Along each axis a point p lies between the cells ⌊p⌋ and ⌊p⌋ + 1 and reads both, with weights 1 − (p − ⌊p⌋) and p − ⌊p⌋;
in several dimensions the weights of the corners are products. That is one sparse matrix, made once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Inexact
from torch import Tensor

from ...deferred import deferred
from ...errors import InputError
from ...spectral.borders import each_axis
from ...values import Numbers, as_places
from .base import Operator, require_axes, require_event, require_flag, require_samples
from .sparse import Sparse

sparse: Any = deferred("scipy.sparse")


@dataclass(frozen=True, eq=False)
class Interpolation(Operator):
    """The last axes of a field at scattered points, (..., h, w) → (..., points).

    Attributes:
        points: (points, axes), in units of cells, 0 = the middle of the first, or in those of `coordinates`.
        shape: of the axes that are interpolated, the event's last.
        borders: "inside": points lie between the middles of the first and the last cell, others are an error; or
            "periodic": the cell after the last is the first. One word, or one an axis.
        method: "linear", or "nearest": the cell in which the point lies.
        coordinates: those of the cells along each axis, all rising or all falling, such as (latitudes, longitudes); on
            a periodic axis evenly spaced, the period their number times the distance.
        per_sample: `points` has a batch axis before all others, the points of each sample.
    """

    points: Numbers
    shape: Sequence[int]
    borders: str | Sequence[str] = "inside"
    method: str = "linear"
    coordinates: Sequence[Numbers] | None = None
    per_sample: bool = False
    _sparse: Sparse = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_flag("Interpolation", per_sample=self.per_sample)
        require_event("Interpolation", self.shape)
        object.__setattr__(self, "shape", tuple(self.shape))
        points = as_places(self.points, "Interpolation: points")
        if points.ndim != 2 + self.per_sample or points.shape[-1] != len(self.shape) or not points.numel():
            samples = "samples, " if self.per_sample else ""
            raise InputError(
                f"Interpolation: points has the shape {tuple(points.shape)}, expected ({samples}points, "
                f"{len(self.shape)}), as of a grid of shape {self.shape}"
            )
        object.__setattr__(self, "points", points)
        if self.method not in ("linear", "nearest"):
            raise InputError(f"Interpolation: method is {self.method!r}, expected 'linear' or 'nearest'")
        self._words()
        cells = self._cells()
        object.__setattr__(self, "_sparse", Sparse(lambda: self._matrix(cells)))

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("Interpolation", x, tuple(self.shape))
        require_samples("Interpolation", self.samples, x)
        return self._applied(self._sparse, x.flatten(x.ndim - len(self.shape)))

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("the adjoint of Interpolation", y, (self.points.shape[-2],))
        require_samples("the adjoint of Interpolation", self.samples, y)
        return self._applied(self._sparse.adjoint, y).unflatten(-1, tuple(self.shape))

    @property
    def samples(self) -> int | None:
        return len(self.points) if self.per_sample else None

    def _taken(self, index: Any) -> Operator:
        return replace(self, points=self.points[index])

    def _applied(self, matrix: Any, x: Tensor) -> Tensor:
        """A product with the last axis, sample by sample where each has points of its own."""
        rows, shape = x.reshape(len(x), -1, x.shape[-1]), x.shape[1:-1]
        if self.samples in (None, 1):
            return matrix(rows.flatten(0, 1).T).T.reshape(len(x), *shape, -1)
        found = matrix(rows.movedim(2, 1).flatten(0, 1))
        return found.unflatten(0, (len(x), -1)).movedim(1, 2).reshape(len(x), *shape, -1)

    def _words(self) -> tuple[str, ...]:
        words = each_axis("Interpolation", "borders", self.borders, len(self.shape))
        for word in words:
            if word not in ("inside", "periodic"):
                raise InputError(f"Interpolation: borders is {word!r}, expected 'inside' or 'periodic'")
        return words

    def _cells(self) -> np.ndarray:
        """The points in units of cells, (samples · points, axes), all of them on the grid."""
        given = self.points.reshape(-1, len(self.shape)).cpu().numpy()
        axes = [None] * len(self.shape) if self.coordinates is None else self.coordinates
        if len(axes) != len(self.shape):
            raise InputError(f"Interpolation: coordinates of {len(axes)} axes, expected one each of {self.shape}")
        columns = []
        for k, (size, border, known) in enumerate(zip(self.shape, self._words(), axes, strict=True)):
            cells = given[:, k] if known is None else _in_cells(k, given[:, k], known, size, border == "periodic")
            outside = ~((cells >= 0) & (cells <= size - 1))
            if border == "periodic":
                cells = np.mod(cells, size)
            elif outside.any():
                first = int(np.argmax(outside))
                low, high = (0, size - 1) if known is None else (float(known[0]), float(known[-1]))
                raise InputError(
                    f"Interpolation: point {first} is {given[first, k]:g} along axis {k}, outside of the grid, "
                    f"expected {min(low, high):g} to {max(low, high):g}; {int(outside.sum())} points are outside"
                )
            columns.append(cells)
        return np.stack(columns, 1)

    def _matrix(self, cells: np.ndarray) -> Any:
        """One row a point; of several samples the blocks of a diagonal."""
        each = zip(cells.T, self.shape, self._words(), strict=True)
        corners = [self._corners(*of) for of in each]
        size, count = prod(self.shape), len(cells)
        sample = np.arange(count) // self.points.shape[-2]
        places, weights = [], []
        for corner in product(*corners):
            place = sample * size + np.ravel_multi_index([index for index, _ in corner], tuple(self.shape))
            places.append(place)
            weights.append(np.prod([weight for _, weight in corner], 0))
        rows = np.tile(np.arange(count), len(places))
        shape = count, size * (int(sample[-1]) + 1)
        made = sparse.csr_matrix((np.concatenate(weights), (rows, np.concatenate(places))), shape)
        made.eliminate_zeros()
        return made

    def _corners(self, cells: np.ndarray, size: int, border: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """The cells that are read along one axis, with their weights."""
        if self.method == "nearest":
            return [(np.floor(cells + 0.5).astype(np.int64) % size, np.ones_like(cells))]
        low = np.floor(cells).astype(np.int64)
        if border != "periodic":
            low = np.minimum(low, max(size - 2, 0))
        share = cells - low
        return [(low % size, 1 - share), ((low + 1) % size, share)]


def _in_cells(axis: int, points: np.ndarray, known: Any, size: int, periodic: bool) -> np.ndarray:
    """Points in units of cells, from the coordinates of the cells."""
    what = f"Interpolation: coordinates of axis {axis}"
    at = as_places(known, what).cpu().numpy()
    if at.shape != (size,):
        raise InputError(f"{what} have the shape {at.shape}, expected ({size},)")
    steps = np.diff(at)
    if size > 1 and not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(f"{what} neither rise nor fall throughout")
    if periodic:
        if size < 2 or not np.allclose(steps, steps[0], rtol=1e-4, atol=0):
            raise InputError(f"{what} are not evenly spaced, expected that on a periodic axis")
        return (points - at[0]) / ((at[-1] - at[0]) / (size - 1))
    if size == 1:
        return np.where(points == at[0], 0.0, -1.0)
    order = slice(None) if steps[0] > 0 else slice(None, None, -1)
    return np.interp(points, at[order], np.arange(size, dtype=float)[order], left=-1.0, right=-1.0)
