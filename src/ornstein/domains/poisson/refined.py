"""What a learned solver has drawn, corrected until the residual is as small as was asked for, and what that cost."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...tasks.figures import Metric
from ...tasks.samples import Samples
from .equations import Elliptic, refine
from .solutions import Solved

_WORK = ("iterations", "iterations_from_zero", "seconds", "seconds_from_zero")
COSTS = (*_WORK, "refined_residual", "refined_error_bound")
"""Numbers of each sample, as they are written and read."""


def refined(samples: Samples, found: Solved) -> dict[str, Tensor]:
    """The corrected solutions with their boundary nodes, and what each of them cost; nothing if none was asked for.

    Args:
        samples: of a learned solver.
        found: they, with their source.
    """
    tol, equation = samples.settings.get("refine"), found.problem.equation
    if tol is None or not isinstance(equation, Elliptic):
        return {}
    better = refine(equation, found.solution, found.unknown, tol)
    size = better.phi.flatten(1).norm(dim=1).clamp(min=1e-300)
    return {
        "refined": equation.grid.whole(better.phi),
        "refined_residual": better.relative,
        "refined_error_bound": better.error_bound / size,
        **{name: getattr(better, name).double() for name in _WORK},
    }


def of_refined(samples: Samples, found: Solved) -> list[Metric]:
    """How much work the samples saved, and how exact the corrected solutions are.

    Args:
        samples: of a learned solver; those that were read know what it cost.
        found: they, with their source.
    """
    costs: Mapping[str, Tensor] = samples.condition if COSTS[0] in samples.condition else refined(samples, found)
    if not costs:
        return []
    means = {name: float(costs[name].double().mean()) for name in COSTS}
    from_zero = "a start from zero"
    return [
        Metric(
            "iterations of refine",
            means["iterations"],
            "lower",
            "conjugate gradients with a multigrid cycle, from a sample; less than from zero is what the sample saved",
            means["iterations_from_zero"],
            from_zero,
        ),
        Metric(
            "seconds of refine",
            means["seconds"],
            "lower",
            "of these, without the set-up of the grids",
            means["seconds_from_zero"],
            from_zero,
        ),
        Metric(
            "largest residual, refined",
            float(costs["refined_residual"].max()),
            "lower",
            "‖Lφ − ρ‖ of the worst corrected solution, relative to that of φ = 0",
        ),
        *_certified(costs["refined_error_bound"]),
    ]


def _certified(bound: Tensor) -> list[Metric]:
    if bool(bound.isnan().any()):
        return []
    meaning = "relative error of the worst corrected solution on the grid, at most, round-off included"
    return [Metric("certified error, refined", float(torch.as_tensor(bound).max()), "lower", meaning)]
