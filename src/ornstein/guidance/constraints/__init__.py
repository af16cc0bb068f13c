"""What holds of x₀ exactly, and what holds to within a slack.

A x₀ = b                boundary values, means, fluxes, divergences, any operator      equations.py, readymade.py
low ≤ x₀ ≤ high         positivity and limits                                         bounds.py
"""

from .bounds import Bounded
from .equations import Constraint
from .readymade import Outflow, boundary, divergence, flux, mean, total

__all__ = ["Bounded", "Constraint", "Outflow", "boundary", "divergence", "flux", "mean", "total"]
