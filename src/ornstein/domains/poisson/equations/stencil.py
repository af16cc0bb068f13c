"""∇·(a∇φ) on a grid: finite volumes of second order, the same for torch, for sparse matrices and for boundary data.

    (∇·(a∇φ))_i = Σ over axes (F_{i+1/2} − F_{i−1/2})/h,      F_{i+1/2} = w_{i+1/2} (φ_{i+1} − φ_i)/h

Between two cells w = 2 a b/(a + b), which keeps the flux through a jump of a right (Patankar 1980, section 4.2).
Between a cell and a Dirichlet node w is the a of the cell; through a Neumann side F is what is given.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....deferred import deferred
from .grids import Grid

sparse: Any = deferred("scipy.sparse")


def faces(grid: Grid, a: Float[Tensor, "*batch_grid"]) -> list[Tensor]:
    """w on the faces across each axis: one more than cells along it, 0 where it is not read.

    Args:
        a: of the cells, positive; axes before those of the grid stay as they are.
    """
    found = []
    for axis, (low, high) in enumerate(grid.boundary.kinds, start=-grid.ndim):
        first, last = _ends(a, axis)
        inner = _harmonic(*_neighbours(a, axis))
        closed = _harmonic(last, first)
        ends = {"dirichlet": (first, last), "neumann": (0 * first, 0 * last), "periodic": (closed, closed)}
        found.append(torch.cat([ends[low][0], inner, ends[high][1]], axis))
    return found


def slopes(grid: Grid, a: Float[Tensor, "*batch_grid"], along: Float[Tensor, "*batch_grid"]) -> list[Tensor]:
    """By how much `faces` changes as a changes along a direction."""
    found = []
    for axis, (low, high) in enumerate(grid.boundary.kinds, start=-grid.ndim):
        (first, last), (first_moved, last_moved) = _ends(a, axis), _ends(along, axis)
        pair, moved = _neighbours(a, axis), _neighbours(along, axis)
        inner = _harmonic_slope(*pair, *moved)
        closed = _harmonic_slope(last, first, last_moved, first_moved)
        ends = {
            "dirichlet": (first_moved, last_moved),
            "neumann": (0 * first, 0 * last),
            "periodic": (closed, closed),
        }
        found.append(torch.cat([ends[low][0], inner, ends[high][1]], axis))
    return found


def divergence(
    grid: Grid, w: list[Tensor], phi: Float[Tensor, "*batch_grid"], boundary: bool = True
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
        size = weights.shape[axis] - 1
        first, last = _ends(phi, axis)
        below, above = (value.to(phi) * float(boundary) for value in values)
        w_low, w_high = _ends(weights, axis)
        inner = weights.narrow(axis, 1, size - 1) * phi.diff(dim=axis) / h
        low = {
            "dirichlet": lambda: w_low * (first - below) / h,  # noqa: B023
            "neumann": lambda: -below.expand_as(first),  # noqa: B023
            "periodic": lambda: w_low * (first - last) / h,  # noqa: B023
        }[kinds[0]]()
        high = {
            "dirichlet": lambda: w_high * (above - last) / h,  # noqa: B023
            "neumann": lambda: above.expand_as(last),  # noqa: B023
            "periodic": lambda: w_high * (first - last) / h,  # noqa: B023
        }[kinds[1]]()
        total = total + torch.cat([low, inner, high], axis).diff(dim=axis) / h
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


def _harmonic(a: Tensor, b: Tensor) -> Tensor:
    return 2 * a * (b / (a + b))


def _harmonic_slope(a: Tensor, b: Tensor, da: Tensor, db: Tensor) -> Tensor:
    return 2 * ((b / (a + b)) ** 2 * da + (a / (a + b)) ** 2 * db)


def _ends(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The first and the last along an axis."""
    return x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    size = x.shape[axis] - 1
    return x.narrow(axis, 0, size), x.narrow(axis, 1, size)
