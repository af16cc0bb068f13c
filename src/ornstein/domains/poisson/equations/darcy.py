"""Darcy's law, flow through a ground of unknown permeability: the equation whose solution is not linear in its unknown.

    ∇·(a∇φ) = ρ,      u = log a,      R(u, φ) = K(u) φ + b(u) − ρ = 0

Derivatives are those of the implicit function, by one more solve with the same factorisation:

    dφ = −K⁻¹ (∂R/∂u) du,             ū = −(∂R/∂u)ᵀ λ  with  K λ = φ̄      (the adjoint state; Chavent 1974)
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....errors import InputError
from .base import Certificate, Equation
from .elliptic import Elliptic
from .grids import Grid
from .solvers import LU, Multigrid, small
from .stencil import divergence, faces, matrix, slopes

_STEEPEST = 300
"""The largest |log a| that squares of a can be computed of."""


@dataclass(frozen=True, eq=False)
class Darcy(Equation):
    """φ of the logarithm of the coefficient.

    Attributes:
        grid: of the unknowns.
        source: ρ, a number or a field of the shape of the grid; InputError where there is no Dirichlet side and it does
            not integrate to the flux.
    """

    unknown: ClassVar[str] = "log_coefficient"
    grid: Grid
    source: float | Tensor = 0.0
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._require_grid()
        source = self.grid.field(self.source, "Darcy: the source")
        object.__setattr__(self, "source", source)
        Elliptic(self.grid).require_compatible(source)  # what flows through Neumann sides does not depend on a

    def at(self, log_coefficient: Float[Tensor, "*grid"]) -> Elliptic:
        """The equation of φ with this coefficient: linear in a source, with an error bound."""
        return Elliptic(self.grid, log_coefficient.double().exp())

    def solution(self, unknown: Float[Tensor, "*batch_grid"]) -> Float[Tensor, "*batch_grid"]:
        self.grid.require(unknown, "the log of the coefficient")
        u = unknown.double()
        return _Flow.apply(u, self._source(u), self, True).to(unknown.dtype)  # pyright: ignore[reportOptionalMemberAccess]

    def residual(
        self, unknown: Float[Tensor, "*batch_grid"], solution: Float[Tensor, "*batch_grid"]
    ) -> Float[Tensor, "*batch_grid"]:
        self.grid.require(unknown, "the log of the coefficient")
        self.grid.require(solution, "the solution")
        u = unknown.double()
        return self.pushed(u, solution.double(), True) - self._source(u)

    @property
    def singular(self) -> bool:
        return all("dirichlet" not in pair for pair in self.grid.boundary.kinds)

    @property
    def certificate(self) -> Certificate:
        return Certificate(None, "the bound depends on the coefficient: Darcy.certified has it, sample by sample")

    def certified(
        self, unknown: Float[Tensor, "batch *grid"], solution: Float[Tensor, "batch *grid"]
    ) -> Float[Tensor, " batch"]:
        """That of the equation with the coefficient of each sample."""
        source = torch.as_tensor(self.source)[None]
        each = zip(unknown.cpu(), solution.cpu().split(1), strict=True)
        return torch.cat([self.at(u).certified(source, phi) for u, phi in each])

    def require_compatible(self, unknown: Float[Tensor, "*batch_grid"]) -> None:
        """InputError where |log a| is not a number or more than 300."""
        super().require_compatible(unknown)
        _require_coefficient(unknown)

    # What the derivatives are made of -----------------------------------------------------------------

    def pushed(
        self, u: Float[Tensor, "*batch_grid"], phi: Float[Tensor, "*batch_grid"], boundary: bool
    ) -> Float[Tensor, "*batch_grid"]:
        """K(u) φ, and b(u) where the boundary says what it says."""
        return divergence(self.grid, faces(self.grid, u.exp()), phi, boundary)

    def moved(
        self,
        u: Float[Tensor, "*batch_grid"],
        along: Float[Tensor, "*batch_grid"],
        phi: Float[Tensor, "*batch_grid"],
        boundary: bool,
    ) -> Float[Tensor, "*batch_grid"]:
        """(∂R/∂u) along, the slope of `pushed`; written out, as forward derivatives cannot be nested."""
        a = u.exp()
        w = slopes(self.grid, a, a * along)
        closed = [torch.zeros_like(part) for part in w]  # fluxes through Neumann sides do not depend on a
        return divergence(self.grid, w, phi, boundary) - divergence(self.grid, closed, phi, boundary)

    def solved(
        self, u: Float[Tensor, "*batch_grid"], source: Float[Tensor, "*batch_grid"], boundary: bool
    ) -> Float[Tensor, "*batch_grid"]:
        """φ of plain tensors in float64."""
        right = source - self.pushed(u, torch.zeros_like(source), boundary)
        rows = right.cpu().reshape(-1, prod(self.grid.shape)).numpy()
        found = [solver.solve(row[None]) for solver, row in zip(self._solvers(u), rows, strict=True)]
        return torch.from_numpy(np.concatenate(found)).reshape(source.shape).to(source)

    def _solvers(self, u: Tensor) -> list[Any]:
        """K⁻¹ of each sample, kept until another coefficient comes: a gradient asks for the same again."""
        rows = u.detach().cpu().reshape(-1, *self.grid.shape)
        last = self._kept.get("last")
        if last is None or not torch.equal(last[0], rows):
            _require_coefficient(rows)
            weights = [part.numpy() for part in faces(self.grid, rows.exp())]
            each = [matrix(self.grid, [part[k] for part in weights]) for k in range(len(rows))]
            kind = LU if small(self.grid.shape) else Multigrid
            last = self._kept["last"] = rows.clone(), [kind(one, self.singular) for one in each]
        return last[1]

    def _source(self, like: Tensor) -> Tensor:
        return self.source.to(like).expand_as(like)  # pyright: ignore[reportAttributeAccessIssue]


def _require_coefficient(u: Tensor) -> None:
    wrong = (~(u.abs() <= _STEEPEST)).nonzero()
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise InputError(f"the log of the coefficient is {u[place].item():g} at {place}, expected at most ±{_STEEPEST}")


class _Flow(torch.autograd.Function):
    """φ of log a and of a source: K(u) φ + b(u) = s, without b where `boundary` is false."""

    @staticmethod
    def forward(u: Tensor, source: Tensor, darcy: Darcy, boundary: bool) -> Tensor:
        return darcy.solved(u, source, boundary)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        u, _, ctx.darcy, ctx.boundary = inputs
        ctx.save_for_backward(u, output)
        ctx.save_for_forward(u, output)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        u, phi = ctx.saved_tensors
        state = _Flow.apply(u, slopes[0], ctx.darcy, False)
        pull = torch.func.vjp(lambda v: ctx.darcy.pushed(v, phi, ctx.boundary), u)[1]
        return -pull(state)[0], state, None, None

    @staticmethod
    def jvp(ctx: Any, *along: Any) -> Any:
        u, phi = ctx.saved_tensors
        right = torch.zeros_like(phi) if along[1] is None else along[1]
        if along[0] is not None:
            right = right - ctx.darcy.moved(u, along[0], phi, ctx.boundary)
        return _Flow.apply(u, right, ctx.darcy, False)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        u, source = (
            part.expand(info.batch_size, *part.shape) if at is None else part.movedim(at, 0)
            for part, at in zip(args[:2], in_dims[:2], strict=True)
        )
        return _Flow.apply(u, source, *args[2:]), 0
