"""The truth that samples are judged by, of a file: the unknown, its solution, or both."""

from pathlib import Path

import torch
from torch import Tensor

from ....errors import InputError
from ..equations import Problem
from .given import field_of, read_fields, require_finite

TRUTH = "true_"
"""Before the names of the fields that samples are judged by."""


def truth_of(path: Path, problem: Problem) -> dict[str, Tensor]:
    """The true unknown, the true solution with its boundary nodes, or both, by name; a true unknown gives the solution.

    Args:
        path: of an .npz, NetCDF, HDF5 or Zarr file.
        problem: the equation.
    """
    equation, grid = problem.equation, problem.equation.grid
    wanted = {"unknown": (equation.unknown,), "solution": ("solution",)}
    if equation.unknown == "log_coefficient":
        wanted["coefficient"] = ("coefficient",)
    shapes = {grid.shape, grid.whole_shape}
    read = read_fields(path, wanted, shapes, (grid.coordinates, grid.whole_coordinates))
    if not read:
        names = " and ".join(one for many in wanted.values() for one in many)
        raise InputError(f"{path}: has none of {names}, by which samples could be judged")
    found = {name: torch.from_numpy(array).double() for name, array in read.items()}
    for name, field in found.items():
        require_finite(field, f"{path}: {name}")
    unknown = found.get("unknown")
    if unknown is None and "coefficient" in found:
        if bool((found["coefficient"] <= 0).any()):
            raise InputError(f"{path}: coefficient is not positive everywhere")
        unknown = found["coefficient"].log()
    if unknown is not None:
        field_of(unknown, grid.shape, f"{path}: {equation.unknown}")
    solution = found.get("solution")
    if solution is None:
        assert unknown is not None
        equation.require_compatible(unknown)
        solution = equation.solution(unknown)
    if tuple(solution.shape) != grid.whole_shape:
        solution = grid.whole(solution)
    return {**({f"{TRUTH}{equation.unknown}": unknown} if unknown is not None else {}), f"{TRUTH}solution": solution}
