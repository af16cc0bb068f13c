"""K φ = f solved for NumPy fields: in waves, by a sparse factorisation, or by multigrid.

    waves       constant coefficients; scipy.fft, N log N, for fields of any size
    LU          any symmetric K; the fill-in grows faster than N, so only where K is `small` by default
    multigrid   definite K; conjugate gradients preconditioned by a V-cycle of classical algebraic multigrid
                (Ruge and Stüben 1987; pyamg), whose iterations hardly grow with N

Of a singular K, whose null space are the constants, all give the solution of mean 0 for f − mean f.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Float

from ....deferred import deferred
from ....errors import InputError

fft: Any = deferred("scipy.fft")
linalg: Any = deferred("scipy.sparse.linalg")

FACTORED = {1: 1_000_000, 2: 200_000, 3: 30_000}
"""Axes → the most unknowns whose matrix is factorised where nobody says how to solve: seconds for 450² or 31³."""
RESONANT = 1e-10
"""An eigenvalue of less than this share of the largest counts as 0."""


class Solver(ABC):
    """K⁻¹ of a symmetric K."""

    @abstractmethod
    def solve(self, rows: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
        """φ of each row of f, float64."""


def small(shape: tuple[int, ...]) -> bool:
    """Whether a matrix over this grid is factorised where nobody says how to solve."""
    return prod(shape) <= FACTORED[len(shape)]


# In waves ----------------------------------------------------------------------------------------------


def in_waves(
    words: Sequence[str], gain: Float[np.ndarray, "*grid"], x: Float[np.ndarray, "*batch_grid"]
) -> Float[np.ndarray, "*batch_grid"]:
    """U diag(gain) Uᵀ x by fast transforms.

    Args:
        words: of the waves along each axis; see `transforms.Separable`.
        gain: of each coefficient.
        x: fields; axes before those of the grid stay as they are.
    """
    places = list(enumerate(words, start=-len(words)))
    periodic = [place for place, word in places if word == "fourier"]
    for place, word in places:
        x = _turned(word, x, place, inverse=False)
    x = gain * fft.fftn(x, axes=periodic) if periodic else gain * x
    x = fft.ifftn(x, axes=periodic).real if periodic else x
    for place, word in places:
        x = _turned(word, x, place, inverse=True)
    return x


def _turned(word: str, x: np.ndarray, axis: int, inverse: bool) -> np.ndarray:
    """Along one axis, orthonormal; periodic axes stay as they are."""
    match word:
        case "sine":
            return fft.dst(x, type=1, axis=axis, norm="ortho")
        case "cosine":
            return (fft.idct if inverse else fft.dct)(x, type=2, axis=axis, norm="ortho")
        case "sine-cosine":
            return _half_odd(x, axis, inverse)
        case "cosine-sine" if inverse:
            return np.flip(_half_odd(x, axis, inverse), axis)
        case "cosine-sine":
            return _half_odd(np.flip(x, axis), axis, inverse)
        case _:
            return x


def _half_odd(x: np.ndarray, axis: int, inverse: bool) -> np.ndarray:
    """DST-VII: every second coefficient of the DST-I of twice as many values, the second half 0; or its transpose."""
    x = np.moveaxis(x, axis, -1)
    n = x.shape[-1]
    longer = np.zeros((*x.shape[:-1], 2 * n))
    waves, values = slice(0, None, 2), slice(0, n)
    longer[..., waves if inverse else values] = x
    found = 2**0.5 * fft.dst(longer, type=1, norm="ortho")
    return np.moveaxis(found[..., values if inverse else waves], -1, axis)


# By a factorisation ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LU(Solver):
    """K⁻¹ by a sparse factorisation, made when it is first used.

    Attributes:
        matrix: K, a symmetric scipy.sparse matrix.
        singular: whether constants are its null space.
        definite: whether K is known to be definite, or semi-definite. Else it is factorised at once, with pivots, and
            an eigenvalue near 0 is an InputError.
    """

    matrix: Any
    singular: bool = False
    definite: bool = True

    def __post_init__(self) -> None:
        if not self.definite:
            _ = self._factors

    def solve(self, rows: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
        if not self.singular:
            return self._factors.solve(np.ascontiguousarray(rows.T)).T
        return centred(self._factors.solve(np.ascontiguousarray(centred(rows).T)).T)

    @cached_property
    def _factors(self) -> Any:
        matrix = self.matrix.tocsc(copy=True)
        if self.singular:  # one cell is pinned, which changes nothing where f has no mean
            matrix[0, 0] *= 2.0
        options = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}} if self.definite else {}
        try:
            factors = linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", **options)
        except RuntimeError as error:
            raise _resonance(str(error)) from None
        if not self.definite:
            self._require_regular(factors)
        return factors

    def _require_regular(self, factors: Any) -> None:
        """By a few steps of inverse iteration, of which each eigenvalue near 0 makes large numbers."""
        x = np.random.default_rng(0).standard_normal(self.matrix.shape[0])
        least = np.inf
        for _ in range(3):
            solved = factors.solve(x / np.linalg.norm(x))
            least, x = min(least, 1 / np.linalg.norm(solved)), solved
        if not least > RESONANT * abs(self.matrix).sum(1).max():
            raise _resonance(f"its smallest eigenvalue is about {least:.1e}")


def _resonance(why: str) -> InputError:
    return InputError(f"the equation is in resonance and has no unique solution ({why})")


# By multigrid ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Iterated:
    """One field that conjugate gradients found.

    Attributes:
        phi: the field, float64, (n,).
        iterations: of conjugate gradients, one V-cycle each.
        seconds: they took.
        residual: ‖f − K φ‖₂, computed anew.
    """

    phi: Float[np.ndarray, " n"]
    iterations: int
    seconds: float
    residual: float


@dataclass(frozen=True, eq=False)
class Multigrid(Solver):
    """K⁻¹ by conjugate gradients with an algebraic multigrid V-cycle, for a definite or semi-definite K.

    Attributes:
        matrix: K, a symmetric scipy.sparse matrix, negative.
        singular: whether constants are its null space.
        tol: ‖f − K φ‖ ≤ tol ‖f‖ in `solve`.
    """

    matrix: Any
    singular: bool = False
    tol: float = 1e-12

    def solve(self, rows: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
        return np.stack([self.iterated(row, None, self.tol * float(np.linalg.norm(row))).phi for row in rows])

    @cached_property
    def cycle(self) -> Any:
        """The hierarchy of grids."""
        from ....errors import needed_for

        with needed_for("multigrid", "poisson"):
            import pyamg
        return pyamg.ruge_stuben_solver((-self.matrix).tocsr(), coarse_solver="pinv")

    def iterated(
        self, f: Float[np.ndarray, " n"], guess: Float[np.ndarray, " n"] | None, least: float, most: int = 1000
    ) -> Iterated:
        """φ with ‖f − K φ‖ ≤ least, if rounding allows that.

        Args:
            f: the right-hand side.
            guess: to begin with; None = 0.
            least: the residual wanted, in the unit of f.
            most: iterations.
        """
        f = centred(f[None])[0] if self.singular else f
        x = np.zeros_like(f) if guess is None else guess.astype(np.float64)
        preconditioner, count = self.cycle.aspreconditioner(cycle="V"), 0

        def counted(_: Any) -> None:
            nonlocal count
            count += 1

        begin, residual = perf_counter(), f - self.matrix @ x
        while np.linalg.norm(residual) > least and count < most:
            norm = float(np.linalg.norm(residual))
            moved, _ = linalg.cg(
                -self.matrix,
                -residual,
                rtol=0,
                atol=0.9 * least,
                maxiter=most - count,
                M=preconditioner,
                callback=counted,
            )
            after = f - self.matrix @ (x + moved)
            if np.linalg.norm(after) >= 0.5 * norm:  # rounding, or the number of iterations, allows no more
                break
            x, residual = x + moved, after
        x = centred(x[None])[0] if self.singular else x
        return Iterated(x, count, perf_counter() - begin, float(np.linalg.norm(f - self.matrix @ x)))


def centred(rows: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
    """Each row less its mean."""
    return rows - rows.mean(1, keepdims=True)
