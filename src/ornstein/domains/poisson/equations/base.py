"""What every equation offers to a model of its unknown: a solution, its residual, and how far off that can be.

L_h φ = K φ + b,      φ = linear(u) + offset      where the equation is linear in its unknown u
‖φ − φ*‖ ≤ ‖L_h φ − ρ‖ / |λ|_min                  where the smallest |eigenvalue| is bounded from below
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ....errors import InputError
from ....guidance.operators import Operator
from ....values import is_number
from .grids import Grid


@dataclass(frozen=True)
class Certificate:
    """A lower bound of the smallest |eigenvalue| of an equation's matrix.

    Attributes:
        least: the bound, in 1/length² times the unit of a; None where none is known.
        reason: what it rests on, or why there is none.
    """

    least: float | None
    reason: str


class Equation(ABC):
    """An equation on a grid that gives a solution φ for an unknown u."""

    unknown: ClassVar[str]
    """What u is: "source", "initial" or "log_coefficient"."""
    grid: Grid

    @abstractmethod
    def solution(self, unknown: Float[Tensor, "*batch_grid"]) -> Float[Tensor, "*batch_grid"]:
        """φ of u, differentiable, solved in double precision and returned in that of u.

        Args:
            unknown: u at the unknowns of the grid; axes before those of the grid stay as they are.
        """

    @abstractmethod
    def residual(
        self, unknown: Float[Tensor, "*batch_grid"], solution: Float[Tensor, "*batch_grid"]
    ) -> Float[Tensor, "*batch_grid"]:
        """By how much φ misses the equation, in its unit (that of a source), in float64."""

    @cached_property
    def linear(self) -> Operator | None:
        """The linear part of u → φ on the last axes of a batch, with its adjoint; None where u → φ is not linear."""
        return None

    @cached_property
    def offset(self) -> Float[Tensor, "*grid"]:
        """φ of u = 0, of what the boundary says, float64; InputError where u → φ is not linear."""
        raise InputError(f"{type(self).__name__}: the solution is not linear in its unknown, the {self.unknown}")

    @property
    def singular(self) -> bool:
        """Whether φ is known up to a constant and the total of the source must be `flux`."""
        return False

    @property
    def flux(self) -> float:
        """Through the boundary, outwards: what the integral of the source must be where the equation is singular."""
        return 0.0

    @property
    @abstractmethod
    def certificate(self) -> Certificate:
        """What `error_bound` divides by."""

    def error_bound(self, residual: Float[Tensor, "batch *grid"]) -> Float[Tensor, " batch"]:
        """An upper bound of ‖φ − φ*‖₂ of each sample, φ* the solution on the grid; NaN where `certificate` has none.

        Where the equation is singular, φ* has the mean of φ, and is that of the source less what keeps it from
        integrating to the flux. The discretisation's own error is no part of the bound.

        Args:
            residual: of each sample, of `residual`.
        """
        rows = residual.double().flatten(1)
        rows = rows - rows.mean(1, keepdim=True) if self.singular else rows
        return rows.norm(dim=1) / self._least

    def certified(
        self, unknown: Float[Tensor, "batch *grid"], solution: Float[Tensor, "batch *grid"]
    ) -> Float[Tensor, " batch"]:
        """The bound of `error_bound` of solutions as they are, with the rounding errors of computing their residuals.

        Args:
            unknown: u of each sample.
            solution: φ of each sample, however it was found.
        """
        return self.error_bound(self.residual(unknown, solution)) + self.rounding(unknown, solution) / self._least

    def rounding(
        self, unknown: Float[Tensor, "batch *grid"], solution: Float[Tensor, "batch *grid"]
    ) -> Float[Tensor, " batch"]:
        """A bound of the rounding errors of `residual`, ‖δr‖₂, for each sample; 0 where they are those of φ itself."""
        return unknown.new_zeros(len(unknown), dtype=torch.float64)

    def _require_grid(self) -> None:
        if not isinstance(self.grid, Grid):
            raise InputError(f"{type(self).__name__}: the grid is a {type(self.grid).__name__}, expected a Grid")

    @property
    def _least(self) -> float:
        least = self.certificate.least
        return nan if least is None else least

    def require_compatible(self, unknown: Float[Tensor, "*batch_grid"]) -> None:
        """InputError if the unknown has no solution: a source whose integral is not the flux through the boundary."""
        self.grid.require(unknown, f"the {self.unknown}")


@dataclass(frozen=True)
class Problem:
    """An equation whose unknown is a model's state in physical units: u = mean + scale x.

    Attributes:
        equation: of u and φ.
        mean, scale: of the model's data, in the unit of u.
    """

    equation: Equation
    mean: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.equation, Equation):
            raise InputError(f"problem: a {type(self.equation).__name__}, expected an equation")
        if not is_number(self.mean) or not is_number(self.scale) or self.scale <= 0:
            raise InputError(f"problem: mean {self.mean!r} and scale {self.scale!r}, expected numbers, scale > 0")

    def unknown(self, x: Float[Tensor, "batch 1 *grid"]) -> Float[Tensor, "batch 1 *grid"]:
        """u of a model's state."""
        return self.mean + self.scale * x

    def state(self, unknown: Float[Tensor, "*batch_grid"]) -> Float[Tensor, "*batch_grid"]:
        """A model's state of u."""
        return (unknown - self.mean) / self.scale

    def solution(self, x: Float[Tensor, "batch 1 *grid"]) -> Float[Tensor, "batch 1 *grid"]:
        """φ of a model's state, in the precision of x."""
        return self.equation.solution(self.unknown(x.double())).to(x.dtype)

    @property
    def linear(self) -> Operator | None:
        """φ = linear(x) + offset of a model's state; None where it is not linear."""
        known = self.equation.linear
        return None if known is None else self.scale * known

    @property
    def offset(self) -> Float[Tensor, "*grid"]:
        """φ of the state 0, float64; InputError where φ is not linear in the state."""
        zero = torch.full(self.equation.grid.shape, self.mean, dtype=torch.float64)
        known = self.equation.linear
        return self.equation.offset if known is None else self.equation.offset + known(zero[None])[0]
