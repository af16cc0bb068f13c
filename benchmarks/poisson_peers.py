"""The direct and iterative solvers of benchmarks/poisson.py, and what a learned guess is worth to them.

sine transform    scipy.fft, exact: what to use for constant coefficients on a rectangle
AMG-CG            pyamg, to a relative residual of 1e-10, the hierarchy made once
LU                scipy.sparse, the factors made once
"""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

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
    """Of a batch of sources; factors and hierarchies are made once."""
    return lambda rho: torch.from_numpy(equation(side).solve(rho.numpy(), method))


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
    refined = refine(equation(side), phi.double(), rho.double(), tol=TOLERANCE)
    from_guess, from_zero = zip(*plain, strict=True)
    return {
        "cg": median(from_guess),
        "cg_from_zero": median(from_zero),
        "amg_cg": median(refined.iterations.tolist()),
        "amg_cg_from_zero": median(refined.iterations_from_zero.tolist()),
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
