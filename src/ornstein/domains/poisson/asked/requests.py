"""What the flags of a request mean: an equation, and what is known, for a model of sources or for a learned solver.

A model of sources is asked with any equation and any part of what is known. A model of solutions is given the whole
source, and knows one equation.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....errors import InputError, needed_for
from ....tasks.task import Request
from ..equations import Boundary, Darcy, Elliptic, Equation, Grid, Heat, Problem
from ..learned import prior, surrogate
from .flags import PoissonRequest, flag
from .given import field_of
from .problems import words_of
from .told import Told
from .truths import truth_of

_OF_SOLVERS = (
    *("equation", "boundary", "lengths", "origin", "coefficient", "screening", "wavenumber", "time"),
    *("source", "truth", "refine"),
)
"""What may be said to a learned solver."""


# The problem ------------------------------------------------------------------------------------------


def grid_of(asked: PoissonRequest, shape: Sequence[int]) -> Grid:
    """The grid of a request.

    Args:
        asked: what was said.
        shape: of the model's fields, in the order of an array's axes.
    """
    ndim = len(shape)
    for name in ("lengths", "origin"):
        value = getattr(asked, name)
        if value is not None and len(value) != ndim:
            raise InputError(
                f"--{name} has {len(value)} numbers, expected {ndim}, x first, for fields of {tuple(shape)}"
            )
    turned = [None if value is None else value[::-1] for value in (asked.lengths, asked.origin)]
    return Grid(tuple(shape), Boundary.parse("dirichlet" if asked.boundary is None else asked.boundary, ndim), *turned)


def problem_of(asked: PoissonRequest, shape: Sequence[int]) -> Problem:
    """The equation of a request, whose unknown is mean + scale · the model's field; the files it names are read.

    Args:
        asked: what was said.
        shape: of the model's fields, in the order of an array's axes.
    """
    equation = _equation(asked, grid_of(asked, shape))
    mean, scale = (default if value is None else value for value, default in ((asked.mean, 0.0), (asked.scale, 1.0)))
    return Problem(equation, mean, scale)


def _equation(asked: PoissonRequest, grid: Grid) -> Equation:
    if asked.kind == "darcy":
        return Darcy(grid, field_of(asked.source, grid.shape, "--source", ("source",), grid.coordinates))
    a: Any = 1.0 if asked.coefficient is None else asked.coefficient
    if asked.kind == "heat":
        if a <= 0:
            raise InputError(f"--coefficient is {a}, expected a positive number")
        assert asked.time is not None  # which the request itself asks for
        return Heat(grid, a, asked.time)
    if isinstance(a, Path):
        a = field_of(a, grid.shape, "--coefficient", ("coefficient", "a"), grid.coordinates)
    least = float(torch.as_tensor(a, dtype=torch.float64).min())
    if least <= 0:
        raise InputError(f"--coefficient {asked.coefficient}: a is {least:g} somewhere, expected positive numbers")
    c = {"screened": -((asked.screening or 0.0) ** 2), "helmholtz": (asked.wavenumber or 0.0) ** 2}.get(asked.kind, 0.0)
    return Elliptic(grid, a, c)


# The request ------------------------------------------------------------------------------------------


def request(asked: PoissonRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """What the flags mean for a model of sources, or for a learned solver.

    Args:
        asked: what was said.
        numbers: of the samples.
        metadata: of the data that the model learned from, in JSON values.

    InputError names the flag, the file, and the place in it, of what cannot be.
    """
    return (_of_solver if metadata["learns"] == "solutions" else _of_sources)(asked, numbers, metadata)


def _of_solver(asked: PoissonRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """The whole source, which the network is given."""
    for name in asked.said:
        if name not in _OF_SOLVERS:
            raise InputError(
                f"{flag(name)} is for models of sources: this one has learnt to solve, given the whole of --source"
            )
    if asked.source is None:
        raise InputError("--source is not given: a learned solver needs the whole source")
    if asked.refine is not None:  # before anything is drawn
        with needed_for("--refine", "poisson"):
            import pyamg  # noqa: F401  # pyright: ignore[reportUnusedImport]
    problem = problem_of(asked, metadata["shape"][1:])
    grid = problem.equation.grid
    source = field_of(asked.source, grid.shape, "--source", ("source",), grid.coordinates)
    condition = surrogate.conditions_of(problem.equation, source, metadata)
    words, arrays = words_of(problem, asked.kind)
    truth = {} if asked.truth is None else truth_of(asked.truth, problem)
    return Request(
        condition=_for_all(condition, numbers, 1),
        record={"problem": words},
        defaults=surrogate.DEFAULTS,
        notes=["the source is known everywhere: a direct solve of the equation is exact, and faster than a network"],
        beside=_for_all({**arrays, **truth, "given_source": source}, numbers),
    )


def _for_all(arrays: Mapping[str, Tensor], numbers: range, own: int = 0) -> dict[str, Tensor]:
    """The same for every sample; own: axes that stand for samples already."""
    return {name: value.expand(len(numbers), *value.shape[own:]) for name, value in arrays.items()}


def _of_sources(asked: PoissonRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """What is known, as guides."""
    if asked.refine is not None:
        raise InputError("--refine is for learned solvers: here every solution is solved for directly, to round-off")
    problem = problem_of(asked, metadata["shape"][1:])
    told = Told(asked, problem, metadata["std"])
    words, arrays = words_of(problem, asked.kind)
    truth = {} if asked.truth is None else truth_of(asked.truth, problem)
    beside = _for_all({**arrays, **told.sensors, **truth}, numbers)
    return Request(told.guides, record={"problem": words}, defaults=prior.DEFAULTS, notes=told.notes, beside=beside)
