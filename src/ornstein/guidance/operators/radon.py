"""Line integrals of a plane: the parallel-beam Radon transform, discretised as Joseph (1982) does.

    (R x)(θ, s) = ∫ x(s cos θ − u sin θ, s sin θ + u cos θ) du

A ray is followed along the axis, rows or columns, to which it is closer. In every line of cells that it crosses, the
field is interpolated between two cells and counts with the length of the ray from line to line. x runs to the right, y
upwards, both from the middle of the picture; outside of it the field is 0. That is one sparse
matrix, made once, and its adjoint is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Inexact
from torch import Tensor

from ...deferred import deferred
from ...errors import InputError
from ...values import Numbers, as_places, is_number
from .base import Operator, require_axes
from .sparse import Sparse

sparse: Any = deferred("scipy.sparse")


@dataclass(frozen=True, eq=False)
class Radon(Operator):
    """Line integrals along parallel rays, (..., size, size) → (..., angles, detectors).

    The matrix has up to 2 · angles · detectors · size numbers, with 16 bytes each in single precision, with its
    transpose: 190 MB for 180 angles of 128 × 128 cells.

    Attributes:
        angles: θ in degrees; at 0 rays run along the columns of the picture, at 90 along its rows.
        size: cells a side of the picture.
        detectors: rays an angle, one cell apart about the middle; as many as the side if not given.
        spacing: the side of a cell, in the unit of length.
    """

    angles: Numbers
    size: int
    detectors: int | None = None
    spacing: float = 1.0
    _sparse: Sparse = field(init=False, repr=False)

    def __post_init__(self) -> None:
        angles = as_places(self.angles, "Radon: angles")
        if angles.ndim != 1 or not len(angles):
            raise InputError(f"Radon: angles has the shape {tuple(angles.shape)}, expected (angles,), one or more")
        object.__setattr__(self, "angles", angles)
        for name in ("size", "detectors"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1) and not (name == "detectors" and value is None):
                raise InputError(f"Radon: {name} is {value!r}, expected a whole number, 1 or more")
        if not is_number(self.spacing) or self.spacing <= 0:
            raise InputError(f"Radon: spacing is {self.spacing!r}, expected a positive length")
        object.__setattr__(self, "_sparse", Sparse(self._matrix))

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ... angles detectors"]:
        require_axes(f"Radon of {self.size} × {self.size} cells", x, (self.size, self.size))
        return self._applied(self._sparse, x, self._measured)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ... n n"]:
        require_axes("the adjoint of Radon", y, self._measured)
        return self._applied(self._sparse.adjoint, y, (self.size, self.size))

    @property
    def _measured(self) -> tuple[int, int]:
        return len(self.angles), self.detectors or self.size

    def _applied(self, matrix: Any, x: Tensor, shape: Sequence[int]) -> Tensor:
        return matrix(x.flatten(-2).flatten(0, -2).T).T.reshape(*x.shape[:-2], *shape)

    def _matrix(self) -> Any:
        radians = np.deg2rad(self.angles.cpu().numpy())
        return sparse.csr_matrix(sparse.vstack([self._rays(angle) for angle in radians], format="csr"))

    def _rays(self, angle: float) -> Any:
        """The rays of one angle, a row each."""
        n, count = self.size, self._measured[1]
        cos, sin = np.cos(angle), np.sin(angle)
        middle, s = (n - 1) / 2, np.arange(count)[:, None] - (count - 1) / 2
        line = np.arange(n)[None]
        steep = abs(cos) >= abs(sin)  # closer to the columns: from row to row
        up, right = middle - line, line - middle
        crossing = middle + ((s - up * sin) / cos if steep else (right * cos - s) / sin)  # the column, or the row
        low = np.floor(crossing).astype(np.int64)
        length = self.spacing / max(abs(cos), abs(sin))
        ends = [(low, length * (1 - (crossing - low))), (low + 1, length * (crossing - low))]
        rows, places, values = [], [], []
        for cell, weight in ends:
            inside = (cell >= 0) & (cell < n) & (weight > 0)
            place = line * n + cell if steep else cell * n + line
            rows.append(np.broadcast_to(np.arange(count)[:, None], cell.shape)[inside])
            places.append(place[inside])
            values.append(weight[inside])
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(places))
        return sparse.csr_matrix(entries, (count, n * n))
