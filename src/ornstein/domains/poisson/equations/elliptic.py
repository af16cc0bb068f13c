"""Poisson's, Helmholtz' and the screened Poisson equation:

    ∇·(a∇φ) + c φ = ρ,      c = 0 Poisson,  c = −κ² screened,  c = k² Helmholtz

With constant a and c the matrix is diagonal in the waves of the grid, λ = c − a Σ (2 − 2 cos ω)/h², so that φ costs two
transforms; otherwise a sparse factorisation solves it. Where all sides are Neumann or periodic and c = 0, constants are
no part of the equation: the source must integrate to the flux through the boundary, and φ is the solution of mean 0.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....config import suggestion
from ....errors import InputError
from ....guidance.operators import Operator
from ....values import is_number, require_finite
from .base import Certificate, Equation
from .grids import Grid
from .inverses import Inverse, Waves
from .solvers import LU, RESONANT, Multigrid, in_waves, small
from .stencil import divergence, faces, matrix

_COMPATIBLE = 1e-6
"""How much of ∫|ρ| and of the flux the two may differ by, for sources in single precision."""


@dataclass(frozen=True, eq=False)
class Elliptic(Equation):
    """∇·(a∇φ) + c φ = ρ for the source ρ.

    Attributes:
        grid: of the unknowns.
        a: positive, one number or one for each cell, of the shape of the grid.
        c: in the unit of a / length².
    """

    unknown: ClassVar[str] = "source"
    grid: Grid
    a: float | Tensor = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        self._require_grid()
        a = self.grid.field(self.a, "the coefficient a")
        wrong = (a <= 0).nonzero()
        if len(wrong):
            place = tuple(wrong[0].tolist())
            raise InputError(f"the coefficient a is {a[place].item():g} at {place}, expected positive numbers")
        first = a.flatten()[0]
        object.__setattr__(self, "a", a if bool((a != first).any()) else first.item())
        if not is_number(self.c):
            raise InputError(f"the coefficient c is {self.c!r}, expected a number")
        if self.singular and a.numel() == 1:
            raise InputError("an equation without a Dirichlet side needs two unknowns or more, found one")
        with torch.inference_mode(False):  # now, because what is kept must belong to no transform of torch.func
            _ = self.offset, self._lowest

    # The matrix ---------------------------------------------------------------------------------------

    @property
    def constant(self) -> bool:
        """Whether a is one number."""
        return not isinstance(self.a, Tensor)

    @cached_property
    def coefficient(self) -> Float[Tensor, "*grid"]:
        """a of each cell, float64."""
        return torch.as_tensor(self.a, dtype=torch.float64).expand(self.grid.shape)

    @cached_property
    def matrix(self) -> Any:
        """K, a symmetric scipy.sparse.csr_matrix in float64 over the flattened grid, in the unit of a / length²."""
        return matrix(self.grid, [part.numpy() for part in self._faces], self.c)

    @property
    def eigenvalues(self) -> Float[Tensor, "*grid"]:
        """Of K, of each coefficient of `grid.basis`; InputError where a is not constant."""
        if isinstance(self.a, Tensor):
            raise InputError("the eigenvalues are known in waves only where the coefficient a is constant")
        return self.c - self.a * self.grid.laplacian

    @property
    def singular(self) -> bool:
        return self.c == 0 and all("dirichlet" not in pair for pair in self.grid.boundary.kinds)

    @cached_property
    def boundary(self) -> Float[Tensor, "*grid"]:
        """b, what the boundary adds to K φ, float64."""
        zero = torch.zeros(self.grid.shape, dtype=torch.float64)
        return divergence(self.grid, self._faces, zero)

    @property
    def flux(self) -> float:
        return float(self.boundary.sum()) * self.grid.cell

    # Solutions ----------------------------------------------------------------------------------------

    @cached_property
    def linear(self) -> Operator:
        """K⁻¹, symmetric; where the equation is singular its pseudo-inverse, which leaves out means."""
        if self.constant:
            return Waves(self.grid.basis, self._gain)
        return Inverse(self._solver, self.grid.shape)

    @cached_property
    def factors(self) -> LU:
        """K⁻¹ by a sparse LU factorisation; InputError for a resonance."""
        return LU(self.matrix, self.singular, self._definite)

    @cached_property
    def multigrid(self) -> Multigrid:
        """K⁻¹ by conjugate gradients with multigrid; InputError where K may be indefinite."""
        if not self._definite:
            raise InputError(
                f"multigrid needs a definite matrix, but c = {self.c:g} may lie above the first resonance: "
                "solve in waves (constant a) or by the sparse factorisation"
            )
        return Multigrid(self.matrix, self.singular)

    @cached_property
    def offset(self) -> Float[Tensor, "*grid"]:
        known, boundary = self.linear, self.boundary
        return -known(boundary[None])[0] if bool(boundary.any()) else boundary

    def solution(self, unknown: Float[Tensor, "*batch_grid"]) -> Float[Tensor, "*batch_grid"]:
        self.grid.require(unknown, "the source")
        solved = self.linear(unknown.double()[None])[0] + self.offset.to(unknown.device)
        return solved.to(unknown.dtype)

    def residual(
        self, unknown: Float[Tensor, "*batch_grid"], solution: Float[Tensor, "*batch_grid"]
    ) -> Float[Tensor, "*batch_grid"]:
        self.grid.require(unknown, "the source")
        self.grid.require(solution, "the solution")
        phi = solution.double()
        w = [part.to(phi.device) for part in self._faces]
        return divergence(self.grid, w, phi) + self.c * phi - unknown.double()

    def solve(self, rho: Float[np.ndarray, "*batch_grid"], method: str = "auto") -> Float[np.ndarray, "*batch_grid"]:
        """φ of NumPy sources by a reference solver, in float64.

        Args:
            rho: sources; axes before those of the grid stay as they are.
            method: "spectral" (scipy.fft; constant a), "sparse" (LU), "amg" (conjugate gradients with multigrid to a
                relative residual of 1e-12), or "auto", the first of these that serves.

        InputError for numbers that are not finite, incompatible sources, other shapes and a method that does not serve.
        """
        known = ("auto", "spectral", "sparse", "amg")
        if method not in known:
            raise InputError(f"solve: {method!r} is no method{suggestion(str(method), list(known))}")
        source = torch.as_tensor(np.asarray(rho, dtype=np.float64))
        require_finite(source, "the source")
        self.require_compatible(source)
        right = (source - self.boundary).numpy()
        if method == "spectral" or (method == "auto" and self.constant):
            return in_waves(self.grid.basis.axes, self._gain.numpy(), right)
        solver = self.factors if method == "sparse" else self.multigrid if method == "amg" else self._solver
        return solver.solve(right.reshape(-1, prod(self.grid.shape))).reshape(right.shape)

    # What is certain ----------------------------------------------------------------------------------

    @property
    def certificate(self) -> Certificate:
        if self.constant:
            values = self.eigenvalues.abs()
            values = values[values > RESONANT * values.max()] if self.singular else values
            return Certificate(float(values.min()), "the eigenvalues of the grid's waves, in closed form")
        if self._definite:
            return Certificate(self._lowest - self.c, "the least a times the slowest wave of the grid, less c")
        return Certificate(None, f"c = {self.c:g} is not below {self._lowest:g}, so that an eigenvalue may be near 0")

    def rounding(
        self, unknown: Float[Tensor, "batch *grid"], solution: Float[Tensor, "batch *grid"]
    ) -> Float[Tensor, " batch"]:
        """A bound of the rounding errors of `residual`, ‖δr‖₂ ≤ γ (‖K‖_∞ ‖φ‖₂ + ‖b‖₂ + ‖ρ‖₂), for each sample.

        γ is ε times the operations a cell (Higham 2002, section 3.1).
        """
        steepest = 4 * float(self.coefficient.max()) * sum(h**-2 for h in self.grid.spacing) + abs(self.c)
        sizes = [field.double().flatten(1).norm(dim=1) for field in (solution, unknown)]
        operations = 8 * self.grid.ndim + 4
        total = steepest * sizes[0] + sizes[1] + self.boundary.norm().item()
        return operations * torch.finfo(torch.float64).eps * total

    def require_compatible(self, unknown: Float[Tensor, "*batch_grid"]) -> None:
        super().require_compatible(unknown)
        if not self.singular:
            return
        rows = unknown.double().reshape(-1, *self.grid.shape).flatten(1) * self.grid.cell
        total, size = rows.sum(1), rows.abs().sum(1)
        scale = size + float(self.boundary.abs().sum()) * self.grid.cell
        wrong = ((total - self.flux).abs() > _COMPATIBLE * scale).nonzero().flatten()
        if len(wrong):
            raise InputError(
                f"the source integrates to {total[wrong[0]].item():.6g}, the flux through the boundary is "
                f"{self.flux:.6g}: without a Dirichlet side they must be equal, or there is no solution"
            )

    @property
    def _definite(self) -> bool:
        """Whether K is known to be negative definite, or semi-definite."""
        return self.singular or self._lowest > self.c

    @property
    def _solver(self) -> LU | Multigrid:
        """K⁻¹ where nobody says how to solve and waves do not serve."""
        return self.factors if small(self.grid.shape) or not self._definite else self.multigrid

    @cached_property
    def _lowest(self) -> float:
        """A lower bound of the eigenvalues of −∇·(a∇), without 0 where the equation is singular."""
        modes = self.grid.laplacian
        modes = modes[modes > RESONANT * modes.max()] if self.singular else modes
        return float(self.coefficient.min() * modes.min())

    @cached_property
    def _faces(self) -> list[Tensor]:
        return faces(self.grid, self.coefficient)

    @property
    def _gain(self) -> Float[Tensor, "*grid"]:
        """1/λ, 0 for the constants of a singular equation."""
        values = self.eigenvalues
        small = values.abs() <= RESONANT * values.abs().max()
        if bool(small.any()) and not self.singular:
            mode = tuple(small.nonzero()[0].tolist())
            raise InputError(
                f"c = {self.c:g} is an eigenvalue of −∇·(a∇) with these sides (mode {mode}): the equation is in "
                "resonance and has no unique solution"
            )
        return torch.where(small, 0.0, 1 / values)
