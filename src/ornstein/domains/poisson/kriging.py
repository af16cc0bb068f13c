"""What sensors say of a source and its solution, in closed form: what samples are measured against.

Of a Gaussian source x ~ N(0, C), with y = A x + noise of the covariance R (kriging), exactly:

    x | y ~ N(C Aᵀ S⁻¹ y,  C − C Aᵀ S⁻¹ A C),      S = R + A C Aᵀ,      φ = S_h u + φ₀ of every equation that is linear

Of any other law the same line with the moments of its draws is the best estimator that is linear in y:

    x̂ = E x + Cov(x, A x) (R + Cov(A x))⁻¹ (y − A E x)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...beliefs import Normal
from ...covariances import Rooted
from ...denoisers.fields import gaussian_field
from ...errors import InputError
from ...guidance.measurements import Measurement
from ...guidance.operators import Operator
from ...spectral.roots import Spectral
from .equations import Problem

_TOGETHER = 256
"""Fields whose spread is computed at once."""


@dataclass(frozen=True)
class Kriging:
    """What is known of a Gaussian source and its solution at the unknowns of the grid, in the units of the problem.

    Attributes:
        evidence: log p(y), nats.
        source, source_std: mean and standard deviation of the source.
        solution, solution_std: of the solution.
    """

    evidence: float
    source: Float[Tensor, "*grid"]
    source_std: Float[Tensor, "*grid"]
    solution: Float[Tensor, "*grid"]
    solution_std: Float[Tensor, "*grid"]


def kriging(problem: Problem, cov: Spectral, known: Sequence[Any]) -> Kriging:
    """The exact posterior of a Gaussian source under sensors, of it or of its solution.

    Args:
        problem: a linear equation, and the units of the source.
        cov: of the source as a state, (1, *grid); its mean is 0.
        known: factors, such as `source_sensors(problem, ...)`, that one linear solve takes together.

    InputError for an equation that is not linear, and for factors under which the posterior is not Gaussian.
    """
    evidence, given = gaussian_field(cov).posterior(reduce(_joined, known))
    source = problem.unknown(given.mean)[0, 0]
    spread = problem.scale * pointwise(given)
    solved = pointwise(given, _linear(problem))
    return Kriging(float(evidence), source, spread[0], problem.equation.solution(source), solved[0])


def pointwise(law: Normal, operator: Operator | None = None) -> Float[Tensor, "*event"]:
    """The standard deviation of each element of A x: |Lᵀ Aᵀ e|, e a unit vector, L the root of the covariance.

    Args:
        law: of x, one for all samples; its covariance has a root.
        operator: A, from fields to fields of the same shape; None = 1.
    """
    assert isinstance(law.cov, Rooted)
    shape = law.mean.shape[1:]
    units = torch.eye(shape.numel(), dtype=torch.float64).split(_TOGETHER)
    variances = []
    for some in units:
        rows = some.reshape(-1, *shape)
        back = law.cov.root_transposed(rows if operator is None else operator.adjoint(rows))
        variances.append(back.flatten(1).square().sum(1))
    return torch.cat(variances).sqrt().reshape(shape)


@dataclass(frozen=True)
class Linear:
    """The best estimator of a state that is linear in what was measured.

    Attributes:
        mean: E x.
        seen: A E x.
        gain: Cov(x, A x) (R + Cov(A x))⁻¹, a field for each number.
    """

    mean: Float[Tensor, "1 *grid"]
    seen: Float[Tensor, " m"]
    gain: Float[Tensor, "m 1 *grid"]

    @classmethod
    def of(cls, draws: Float[Tensor, "draws 1 *grid"], measurement: Measurement) -> "Linear":
        """By the moments of draws, of which there must be many more than numbers are measured.

        Args:
            draws: of the law, states.
            measurement: the operator and the noise; what it measured is not looked at.
        """
        assert isinstance(measurement.operator, Operator)
        x = draws.double()
        y = measurement.operator(x).flatten(1)
        if len(x) < 2 * y.shape[1]:
            raise InputError(f"the best linear estimator of {y.shape[1]} numbers needs more than {len(x)} draws")
        off, about = y - y.mean(0), x - x.mean(0)
        noise = torch.as_tensor(measurement.std, dtype=torch.float64).expand(measurement.y.shape[-1:]) ** 2
        system = off.T @ off / len(x) + noise.diag()
        shared = (off.T @ about.flatten(1) / len(x)).reshape(-1, *x.shape[1:])
        gain = torch.linalg.solve(system, shared.flatten(1)).reshape(shared.shape)
        return cls(x.mean(0), y.mean(0), gain)

    def __call__(self, y: Float[Tensor, "batch m"]) -> Float[Tensor, "batch 1 *grid"]:
        """Of what was measured."""
        return self.mean + torch.einsum("bm,m...->b...", y.double() - self.seen, self.gain)


def _joined(one: Any, other: Any) -> Any:
    merged = one.merged(other)
    if merged is None:
        raise InputError(f"a {type(one).__name__} and a {type(other).__name__} are not one linear solve: sample them")
    return merged


def _linear(problem: Problem) -> Operator:
    if problem.linear is None:
        raise InputError(
            f"{type(problem.equation).__name__} is not linear in its {problem.equation.unknown}: its posterior is not "
            "Gaussian; sample it"
        )
    return problem.linear
