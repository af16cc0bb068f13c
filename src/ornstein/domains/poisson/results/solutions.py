"""Samples with their solutions, solved for in float64 sample by sample, and how well the equation holds in each.

residual     ‖L_h φ − ρ‖ / ‖L_h 0 − ρ‖          which for a zero boundary is relative to ‖ρ‖; over ‖L_h φ − L_h 0‖ where
                                               nothing drives the equation
bound        ‖φ − φ*‖ / ‖φ‖ ≤ (‖L_h φ − ρ‖ + rounding) / (|λ|_min ‖φ‖)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ....denoisers.base import Condition
from ....tasks.samples import Samples
from ..asked.problems import SHARED, problem_of
from ..asked.truths import TRUTH
from ..equations import Equation, Problem


@dataclass(frozen=True, eq=False)
class Solved:
    """Samples with their solutions.

    Attributes:
        problem: the equation.
        unknown: of each sample, float64, in its unit.
        solution: of each, float64, in its unit, at the unknowns of the grid.
        residual: of each, relative to that of φ = 0, or to by how much φ changes it where φ = 0 is the solution.
        error_bound: certified, relative to ‖φ‖; NaN where there is none.
    """

    problem: Problem
    unknown: Float[Tensor, "n *grid"]
    solution: Float[Tensor, "n *grid"]
    residual: Float[Tensor, " n"]
    error_bound: Float[Tensor, " n"]

    @classmethod
    def of(cls, problem: Problem, unknown: Float[Tensor, "n *grid"], solution: Float[Tensor, "n *grid"]) -> "Solved":
        """Of unknowns and what is taken for their solutions.

        Args:
            problem: the equation.
            unknown: of each sample, in its unit.
            solution: of each, in its unit, at the unknowns of the grid.
        """
        equation = problem.equation
        missed = equation.residual(unknown, solution)
        of_zero = equation.residual(unknown, torch.zeros_like(solution))
        left, driven, moved, size = (
            field.double().flatten(1).norm(dim=1) for field in (missed, of_zero, missed - of_zero, solution)
        )
        relative = left / torch.where(driven > 0, driven, moved).clamp(min=1e-300)
        bound = equation.certified(unknown, solution) / size.clamp(min=1e-300)
        return cls(problem, unknown.double(), solution.double(), relative, bound)

    @property
    def whole(self) -> Float[Tensor, "n *whole"]:
        """The solutions with their boundary nodes."""
        return self.problem.equation.grid.whole(self.solution)

    @property
    def violation(self) -> Float[Tensor, " n"]:
        """The largest deviation of each solution from what Dirichlet sides say, in its unit."""
        grid = self.problem.equation.grid
        return (self.whole - grid.rim).masked_fill(~grid.fixed, 0.0).flatten(1).abs().amax(1)


def solved(problem: Problem, fields: Float[Tensor, "n 1 *grid"]) -> Solved:
    """A model's fields and their solutions.

    Args:
        problem: the equation, whose unknown is the model's field.
        fields: samples of a model of sources.
    """
    unknown = _balanced(problem.equation, problem.unknown(fields.double())[:, 0])
    return Solved.of(problem, unknown, problem.equation.solution(unknown))


_ROUNDING = 1e-5
"""By how much of ∫|ρ| the total of a field in single precision may be off."""


def _balanced(equation: Equation, unknown: Float[Tensor, "n *grid"]) -> Float[Tensor, "n *grid"]:
    """Sources that integrate to the flux but for the rounding of single precision do so to that of double precision.

    Where the equation has a solution for no others; those that are further off stay as they are.
    """
    if not equation.singular or equation.unknown != "source":
        return unknown
    flat, cell = unknown.flatten(1), equation.grid.cell
    off = flat.mean(1) - equation.flux / (cell * flat.shape[1])
    near = off.abs() <= _ROUNDING * (flat.abs().mean(1) + abs(equation.flux) / (cell * flat.shape[1]))
    return unknown - (off * near).reshape(-1, *[1] * (unknown.ndim - 1))


def problem_in(samples: Samples) -> Problem | None:
    """The problem that samples were drawn for; None of those that were drawn without a request."""
    words = samples.settings.get("problem")
    return None if words is None else problem_of(words, shared_of(samples.condition), "settings: problem")


def solved_in(samples: Samples, problem: Problem | None = None) -> Solved | None:
    """The samples with their solutions; None of those that were drawn without a request.

    A learned solver has drawn the solutions, of the source that all were given.

    Args:
        samples: of a model of this domain.
        problem: that they were drawn for, if it has been made already, with what it keeps to solve it again.
    """
    problem = problem or problem_in(samples)
    if problem is None:
        return None
    x = samples.x.detach().cpu()
    if not is_learned(samples):
        return solved(problem, x)
    source = shared_of(samples.condition)["given_source"].double()
    return Solved.of(problem, source.expand(len(x), *source.shape), x[:, 0].double())


def is_learned(samples: Samples) -> bool:
    """Whether a learned solver has drawn them, which is given the source and draws the solution."""
    return samples.origin is not None and samples.origin.metadata.get("learns") == "solutions"


def shared_of(condition: Condition) -> dict[str, Tensor]:
    """What all samples were given alike, name → array."""
    return {name: value[0].detach().cpu() for name, value in condition.items() if SHARED.fullmatch(name)}


def truths_of(samples: Samples, found: Solved) -> dict[str, Tensor]:
    """What is true of the unknown and the solution, at the unknowns of the grid, so far as it is known.

    Args:
        samples: that were drawn.
        found: they, with their solutions.
    """
    grid, shared = found.problem.equation.grid, shared_of(samples.condition)
    each = {name.removeprefix(TRUTH): value for name, value in shared.items() if name.startswith(TRUTH)}
    return {name: grid.inner(value) if name == "solution" else value for name, value in each.items()}
