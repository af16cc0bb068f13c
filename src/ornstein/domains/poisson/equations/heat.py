"""The heat equation, from an initial temperature to a time T:

    ∂u/∂t = ∇·(D∇u),      u(0) = u₀,      φ = u(T) = exp(T K) u₀ + ∫₀ᵀ exp(s K) b ds

K and b are those of ∇·(D∇) on the grid, with values or fluxes D ∂u/∂n of the sides that do not change with time. In
waves the integral is (exp(T λ) − 1)/λ, T where λ = 0, so that the time step is exact. Backwards, from u(T) to u₀, is an
ill-posed inverse problem: what has decayed below the noise is the prior's to say.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ....guidance.operators import Operator
from ....values import require_positive
from .base import Certificate, Equation
from .grids import Grid
from .inverses import Waves
from .stencil import divergence, faces


@dataclass(frozen=True, eq=False)
class Heat(Equation):
    """u(T) of the temperature u₀ at the beginning.

    Attributes:
        grid: of the unknowns.
        diffusivity: D, positive, in length² / time.
        time: T, positive.
    """

    unknown: ClassVar[str] = "initial"
    grid: Grid
    diffusivity: float = 1.0
    time: float = 0.01

    def __post_init__(self) -> None:
        self._require_grid()
        require_positive("heat: the diffusivity", self.diffusivity)
        require_positive("heat: the time", self.time)
        with torch.inference_mode(False):  # now, because what is kept must belong to no transform of torch.func
            _ = self.linear, self.offset

    @cached_property
    def linear(self) -> Operator:
        """exp(T K), symmetric."""
        return Waves(self.grid.basis, self._exponents.exp())

    @cached_property
    def offset(self) -> Float[Tensor, "*grid"]:
        zero = torch.zeros(self.grid.shape, dtype=torch.float64)
        boundary = divergence(self.grid, faces(self.grid, zero + self.diffusivity), zero)
        z = self._exponents
        grown = torch.where(z == 0, self.time, self.time * z.expm1() / torch.where(z == 0, 1.0, z))
        return Waves(self.grid.basis, grown)(boundary[None])[0]

    def solution(self, unknown: Float[Tensor, "*batch_grid"]) -> Float[Tensor, "*batch_grid"]:
        self.grid.require(unknown, "the initial temperature")
        return (self.linear(unknown.double()[None])[0] + self.offset.to(unknown.device)).to(unknown.dtype)

    def residual(
        self, unknown: Float[Tensor, "*batch_grid"], solution: Float[Tensor, "*batch_grid"]
    ) -> Float[Tensor, "*batch_grid"]:
        """φ − u(T), in the unit of a temperature."""
        self.grid.require(solution, "the solution")
        return solution.double() - self.solution(unknown.double())

    @property
    def certificate(self) -> Certificate:
        return Certificate(1.0, "the step in time is exact in waves, so that the residual is the error")

    @property
    def _exponents(self) -> Float[Tensor, "*grid"]:
        """T λ of each wave."""
        return -self.time * self.diffusivity * self.grid.laplacian
