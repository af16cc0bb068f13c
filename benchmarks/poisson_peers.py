"""The direct and iterative solvers of benchmarks/poisson.py, and what a learned guess is worth to them.

sine transform    scipy.fft, exact: what to use for constant coefficients on a rectangle
AMG-CG            pyamg, to a relative residual of 1e-10, the hierarchy made once
LU                scipy.sparse, the factors made once
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from benchmarks.poisson_cases import TEST, Row, drawn, equation, measured, timed, whole
from scipy.sparse.linalg import cg
from torch import Tensor

from ornstein.domains.poisson.equations import refine

METHODS = {"sine transform (scipy.fft)": "spectral", "AMG-CG (pyamg)": "amg", "LU (scipy.sparse)": "sparse"}
TOLERANCE = 1e-10


def rows(kind: str, side: int, n: int, block: str = "full source") -> Iterator[Row]:
    """Each solver on n sources of a kind."""
    rho, exact = drawn(kind, n, side, TEST)
    for name, method in METHODS.items():
        solve = solver(side, method)
        yield Row(block, name, kind, **measured(whole(solve(rho)), rho, exact), **timed(solve, rho))


def solver(side: int, method: str) -> Callable[[Tensor], Tensor]:
    return lambda rho: equation(side).solve(rho, method=method)


# A learned guess for an iterative solver --------------------------------------------------------------


def guess(side: int, rho: Tensor, phi: Tensor) -> dict[str, float]:
    """Iterations to a relative residual of 1e-10 from a guess and from zero, medians over the sources.

    Args:
        side: of the grid.
        rho: sources, (n, side, side).
        phi: the guess where it is unknown, (n, side, side), float64.
    """
    pairs = list(zip(rho.double(), phi.double(), strict=True))
    plain = [(conjugate(side, r, p), conjugate(side, r, torch.zeros_like(p))) for r, p in pairs]
    found: list[Any] = [refine(equation(side), p[None], r[None], tol=TOLERANCE) for r, p in pairs]
    amg = [(one.iterations, one.iterations_from_zero) for one in found]
    return {
        name: float(np.median([pair[k] for pair in counts]))
        for what, counts in (("cg", plain), ("amg_cg", amg))
        for k, name in enumerate((what, f"{what}_from_zero"))
    }


def conjugate(side: int, rho: Tensor, phi: Tensor) -> int:
    """Iterations of conjugate gradients without a preconditioner."""
    count = 0

    def counted(_: object) -> None:
        nonlocal count
        count += 1

    matrix: Any = -equation(side).matrix
    cg(matrix, -rho.flatten().numpy(), phi.flatten().numpy(), rtol=TOLERANCE, maxiter=10**4, callback=counted)
    return count
