"""Equations of a field and its source, discretised on grids with exact borders, with direct solvers.

grid = Grid((64, 64), Boundary.of("dirichlet", 2), lengths=(1.0, 2.0))
equation = Elliptic(grid)                       # ∇²φ = ρ
phi = equation.solution(rho)                    # (batch, 64, 64)
sensors = grid.interpolation([[0.3, 0.7]])      # of grid.whole(phi), at x = 0.3, y = 0.7
"""

from .base import Certificate, Equation, Problem
from .boundaries import Boundary, Side
from .darcy import Darcy
from .elliptic import Elliptic
from .grids import Grid
from .heat import Heat
from .refine import Refined, refine

__all__ = [
    "Boundary",
    "Certificate",
    "Darcy",
    "Elliptic",
    "Equation",
    "Grid",
    "Heat",
    "Problem",
    "Refined",
    "Side",
    "refine",
]
