"""What a learned solver has drawn, corrected until the residual is as small as was asked for, and what that cost."""

from torch import Tensor

from ....tasks.samples import Samples
from ..equations import Elliptic, refine
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
