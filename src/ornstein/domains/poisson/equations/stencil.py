"""∇·(a∇φ) on a grid: finite volumes of second order, the same for torch, for sparse matrices and for boundary data.

    (∇·(a∇φ))_i = Σ over axes (F_{i+1/2} − F_{i−1/2})/h,      F_{i+1/2} = w_{i+1/2} (φ_{i+1} − φ_i)/h

Between two cells w = 2 a b/(a + b), which keeps the flux through a jump of a right (Patankar 1980, section 4.2).
Between a cell and a Dirichlet node w is the a of the cell; through a Neumann side F is what is given.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....deferred import deferred
from .grids import Grid

sparse: Any = deferred("scipy.sparse")


def faces(grid: Grid, a: Float[Tensor, "*batch_grid"]) -> list[Float[Tensor, "..."]]:
    """w on the faces across each axis: one more than cells along it, 0 where it is not read.

    Args:
        a: of the cells, positive; axes before those of the grid stay as they are.
    """
    return _across(grid, (a,), lambda low, high: 2 * low[0] * (high[0] / (low[0] + high[0])))


def slopes(
    grid: Grid, a: Float[Tensor, "*batch_grid"], along: Float[Tensor, "*batch_grid"]
) -> list[Float[Tensor, "..."]]:
    """By how much `faces` changes as a changes along a direction."""

    def between(low: Sequence[Tensor], high: Sequence[Tensor]) -> Tensor:
        total = low[1] + high[1]
        return 2 * ((high[1] / total) ** 2 * low[0] + (low[1] / total) ** 2 * high[0])

    return _across(grid, (along, a), between)


def divergence(
    grid: Grid, w: list[Float[Tensor, "..."]], phi: Float[Tensor, "*batch_grid"], boundary: bool = True
) -> Float[Tensor, "*batch_grid"]:
    """∇·(a∇φ) with the values and fluxes of the boundary, or with zeros in their place.

    Args:
        w: of the faces.
        phi: the unknowns.
        boundary: whether the boundary says what it says, or zeros.
    """
    total = torch.zeros_like(phi)
    each = zip(range(-grid.ndim, 0), grid.spacing, grid.boundary.kinds, grid.values, strict=True)
    for (axis, h, kinds, values), weights in zip(each, w, strict=True):
        given = [value.to(phi) * float(boundary) for value in values]
        cells, ends = _ends(phi, axis), _ends(weights, axis)
        out = [_outwards(kinds[k], ends[k], cells[k], cells[1 - k], given[k], h) for k in (0, 1)]
        inner = weights.narrow(axis, 1, weights.shape[axis] - 2) * phi.diff(dim=axis) / h
        total = total + torch.cat([-out[0], inner, out[1]], axis).diff(dim=axis) / h
    return total


def matrix(grid: Grid, w: list[np.ndarray], c: float = 0.0) -> Any:
    """K of ∇·(a∇φ) + c φ = K φ + b: a symmetric scipy.sparse.csr_matrix in float64.

    Args:
        w: of the faces of one field.
        c: a multiple of the identity, in the unit of a / length².
    """
    index = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    diagonal = np.full(grid.shape, c)
    rows, columns, values = [], [], []
    for axis, (weights, h, kinds) in enumerate(zip(w, grid.spacing, grid.boundary.kinds, strict=True)):
        across = np.moveaxis(weights, axis, 0) / h**2
        cells, sums = (np.moveaxis(of, axis, 0) for of in (index, diagonal))  # views
        sums -= across[:-1] + across[1:]
        pairs = [(cells[:-1], cells[1:], across[1:-1])]
        if kinds[0] == "periodic":
            pairs.append((cells[-1:], cells[:1], across[:1]))
        for here, there, weight in pairs:
            rows += [here.ravel(), there.ravel()]
            columns += [there.ravel(), here.ravel()]
            values += [weight.ravel(), weight.ravel()]
    at = np.concatenate([*rows, index.ravel()]), np.concatenate([*columns, index.ravel()])
    return sparse.csr_matrix((np.concatenate([*values, diagonal.ravel()]), at), shape=(index.size, index.size))


def _across(
    grid: Grid, fields: tuple[Tensor, ...], between: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
) -> list[Tensor]:
    """What lies between neighbours, across each axis; at Dirichlet sides the first field, at Neumann sides 0."""
    found = []
    for axis, kinds in enumerate(grid.boundary.kinds, start=-grid.ndim):
        first, last = zip(*(_ends(field, axis) for field in fields), strict=True)
        low, high = zip(*(_neighbours(field, axis) for field in fields), strict=True)
        ends = []
        for kind, cell in zip(kinds, (first[0], last[0]), strict=True):
            ends.append(between(last, first) if kind == "periodic" else cell if kind == "dirichlet" else 0 * cell)
        found.append(torch.cat([ends[0], between(low, high), ends[1]], axis))
    return found


def _outwards(kind: str, w: Tensor, cell: Tensor, opposite: Tensor, given: Tensor, h: float) -> Tensor:
    """The flux through one end of an axis."""
    if kind == "neumann":
        return given.expand_as(cell)
    return w * ((opposite if kind == "periodic" else given) - cell) / h


def _ends(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The first and the last along an axis."""
    return x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    size = x.shape[axis] - 1
    return x.narrow(axis, 0, size), x.narrow(axis, 1, size)
