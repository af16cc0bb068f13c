"""From a guess, such as a sample, to a solution of any accuracy with a certificate:

    ‖φ − φ*‖₂ ≤ (‖ρ − L φ‖₂ + rounding)/|λ|_min

by conjugate gradients with a multigrid V-cycle. How many iterations the guess saves against a start from zero is
measured, not assumed: a guess that is wrong at the scale of a cell may save none, however close it is.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ....errors import InputError
from ....values import is_number, require_finite
from .base import Certificate
from .elliptic import Elliptic
from .solvers import Iterated


@dataclass(frozen=True, eq=False)
class Refined:
    """What `refine` found, a number or a field for each sample.

    Attributes:
        phi: the solutions, float64, in the unit of φ.
        iterations: of conjugate gradients from the guess.
        seconds: they took, without the set-up.
        residual: ‖ρ − L φ‖₂, in the unit of ρ.
        relative: the residual over ‖ρ − b‖₂, of what the boundary and the source drive the equation by; over ‖K φ‖₂ of
            the guess where that is 0.
        error_bound: of ‖φ − φ*‖₂, rounding included; NaN where none is known.
        certificate: what the bound rests on.
        iterations_from_zero: what they are from φ = 0.
        seconds_from_zero: what that takes.
        setup_seconds: of making the hierarchy of grids, once for all.
        converged: whether the residual is what was asked for; where not, rounding or the number of iterations forbids
            it.
    """

    phi: Float[Tensor, "batch *grid"]
    iterations: Int64[Tensor, " batch"]
    seconds: Float[Tensor, " batch"]
    residual: Float[Tensor, " batch"]
    relative: Float[Tensor, " batch"]
    error_bound: Float[Tensor, " batch"]
    certificate: Certificate
    iterations_from_zero: Int64[Tensor, " batch"]
    seconds_from_zero: Float[Tensor, " batch"]
    setup_seconds: float
    converged: Tensor

    @property
    def saved(self) -> Int64[Tensor, " batch"]:
        """Iterations that the guess saved; negative where it cost some."""
        return self.iterations_from_zero - self.iterations


def refine(
    equation: Elliptic,
    phi: Float[Tensor, "batch *grid"],
    rho: Float[Tensor, "batch *grid"],
    tol: float = 1e-10,
    most: int = 1000,
) -> Refined:
    """Solutions to a stated accuracy, from guesses.

    Args:
        equation: elliptic, with a definite matrix (no Helmholtz equation above its first resonance).
        phi: the guesses, at the unknowns.
        rho: the sources.
        tol: the residual wanted, ‖ρ − L φ‖ ≤ tol ‖ρ − b‖.
        most: iterations.

    InputError for numbers that are not finite, incompatible sources, other shapes and an indefinite matrix.
    """
    if not isinstance(equation, Elliptic):
        raise InputError(
            f"refine: of {type(equation).__name__} there is nothing to refine, expected an Elliptic equation"
        )
    if not is_number(tol) or tol <= 0:
        raise InputError(f"refine: tol is {tol!r}, expected a positive number")
    for what, field in (("the guess", phi), ("the source", rho)):
        equation.grid.require(field, what)
        require_finite(field, what)
        if field.ndim != equation.grid.ndim + 1 or not len(field):
            raise InputError(
                f"{what} has the shape {tuple(field.shape)}, expected a batch of one or more: (batch, *grid)"
            )
    if phi.shape != rho.shape:
        raise InputError(f"refine: the guesses have the shape {tuple(phi.shape)}, the sources {tuple(rho.shape)}")
    equation.require_compatible(rho)
    solver = equation.multigrid
    begin = perf_counter()
    _ = solver.cycle
    setup = perf_counter() - begin
    right = (rho.double().cpu() - equation.boundary).flatten(1).numpy()
    guesses = phi.double().cpu().flatten(1).numpy()
    sizes = np.linalg.norm(right, axis=1)
    sizes = np.where(sizes > 0, sizes, np.linalg.norm(guesses @ equation.matrix, axis=1))  # where φ* = 0
    found = [solver.iterated(f, x, tol * size, most) for f, x, size in zip(right, guesses, sizes, strict=True)]
    cold = [solver.iterated(f, None, tol * size, most) for f, size in zip(right, sizes, strict=True)]
    residual = _column(found, "residual")
    solution = torch.from_numpy(np.stack([one.phi for one in found])).reshape(phi.shape)
    return Refined(
        phi=solution,
        iterations=_column(found, "iterations").long(),
        seconds=_column(found, "seconds"),
        residual=residual,
        relative=residual / torch.from_numpy(np.where(sizes > 0, sizes, 1.0)),
        error_bound=equation.certified(rho.cpu(), solution),
        certificate=equation.certificate,
        iterations_from_zero=_column(cold, "iterations").long(),
        seconds_from_zero=_column(cold, "seconds"),
        setup_seconds=setup,
        converged=residual <= tol * torch.from_numpy(sizes),
    )


def _column(found: list[Iterated], name: str) -> Tensor:
    return torch.tensor([getattr(one, name) for one in found], dtype=torch.float64)
