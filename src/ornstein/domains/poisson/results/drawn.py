"""What was drawn, in files and figures.

samples.npz     the model's field, the unknown, the solution with its boundary nodes, residuals, bounds and
                coordinates; and the arrays that the problem is of, so that no file of the request is needed again
solution.nc     the same for xarray: (number, y, x) on the nodes of the grid, with mean and standard deviation
*.png           truth, mean, standard deviation, samples and sensors of the unknown and of the solution
"""

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....denoisers.base import Condition
from ....disk import arrays
from ....errors import InputError
from ....files import MB
from ....states import State
from ....tasks.figures import Figure
from ....tasks.memory import require_held
from ....tasks.samples import MANIFEST, Samples, native
from ..asked.problems import SHARED, problem_of
from ..asked.sensors import Sensors
from ..asked.truths import TRUTH
from ..equations import Problem
from ..factors import inside
from . import pictures
from .exported import netcdf
from .refined import COSTS, refined
from .solutions import Solved, problem_in, shared_of, solved_in

NPZ, NETCDF = "samples.npz", "solution.nc"
_ROOM = 64 * MB
_SHOWN = 50  # bytes a number, twice, of samples that are solved for at once


def write(samples: Samples, folder: Path) -> None:
    """Writes samples.npz, first of all with what cannot be made again, then solutions, solution.nc and figures.

    Args:
        samples: of a model of this domain.
        folder: that is there.
    """
    x = samples.x.detach().cpu()
    bare = {"field": x.numpy(), **{name: value.numpy() for name, value in shared_of(samples.condition).items()}}
    arrays.write(folder / NPZ, bare)
    found = solved_in(samples)
    if found is None:
        return
    better = refined(samples, found)
    arrays.write(folder / NPZ, {**bare, **_arrays(found), **{name: value.numpy() for name, value in better.items()}})
    netcdf(folder / NETCDF, found, samples, better)
    for name, figure in pictures.figures(samples, found).items():
        (folder / f"{name}.png").write_bytes(figure.image)


def figures(samples: Samples) -> list[Figure]:
    """The unknown and the solution; of samples that were drawn without a request there is no solution to show.

    InputError for more samples than memory holds with their solutions: mean and spread are of all.

    Args:
        samples: of a model of this domain.
    """
    if problem_in(samples) is not None:
        require_held(len(samples), _SHOWN * prod(samples.x.shape[1:]), "solutions that are shown")
    found = solved_in(samples)
    return [] if found is None else list(pictures.figures(samples, found).values())


def _arrays(found: Solved) -> dict[str, np.ndarray]:
    grid, unknown = found.problem.equation.grid, found.problem.equation.unknown
    named = {unknown: found.unknown, "solution": found.whole}
    if unknown == "log_coefficient":
        named["coefficient"] = found.unknown.exp()
    named |= {"residual": found.residual, "error_bound": found.error_bound, "violation": found.violation}
    named |= dict(zip(grid.axes, grid.coordinates, strict=True))
    named |= {f"whole_{name}": at for name, at in zip(grid.axes, grid.whole_coordinates, strict=True)}
    return {name: value.numpy() for name, value in named.items()}


def read(folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
    """The states of samples.npz, and what all of them were given.

    Args:
        folder: of the samples.
        manifest: as `read_manifest` gives it.
    """
    (found,) = parts(folder, manifest, manifest["n"])
    return found


def parts(folder: Path, manifest: Mapping[str, Any], size: int) -> Iterator[tuple[State, Condition]]:
    """The same, some samples at a time.

    Args:
        folder: of the samples.
        manifest: as `read_manifest` gives it.
        size: samples, at most.
    """
    path, n = native(folder, manifest, NPZ), manifest["n"]
    shape = (n, *manifest["model"]["facts"]["shape"])
    limit = max(path.stat().st_size, 64 * (8 * prod(shape[1:]) + prod(shape)) + _ROOM)
    given, costs = _beside(path, manifest, limit)
    first = 0
    for x in arrays.rows(path, limit, "field", "f", shape, size):
        _require_finite("field", x, path)
        each = {name: value[first : first + len(x)] for name, value in costs.items()}
        yield (
            torch.from_numpy(x),
            {**{name: value.expand(len(x), *value.shape) for name, value in given.items()}, **each},
        )
        first += len(x)


def _beside(path: Path, manifest: Mapping[str, Any], limit: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What all samples were given, and what each of them cost to correct."""
    names = arrays.names(path, limit)
    shared = [name for name in names if SHARED.fullmatch(name)]
    costs = [name for name in COSTS if name in names]
    words = manifest["settings"].get("problem")
    if (words or {}).get("equation") == "darcy":
        shared = [name for name in shared if name != "coefficient"]
    found = arrays.members(path, limit, dict.fromkeys([*shared, *costs], "f"))
    for name, array in found.items():
        _require_finite(name, array, path)
    every = {name: torch.from_numpy(array) for name, array in found.items()}
    given = {name: every[name] for name in shared}
    if words is not None:
        _require_fit(problem_of(words, given, f"{path.parent / MANIFEST}: settings: problem"), given, path)
    return given, {name: every[name] for name in costs}


def _require_finite(name: str, array: np.ndarray, path: Path) -> None:
    if not np.isfinite(array).all():
        raise InputError(f"{path}: array {name!r} holds numbers that are not finite")


def _require_fit(problem: Problem, given: Mapping[str, Tensor], path: Path) -> None:
    """InputError for a truth of another grid, and sensors that are none of its domain."""
    grid = problem.equation.grid
    for name, value in given.items():
        where, shape = f"{path}: array {name!r}", tuple(value.shape)
        if name.startswith(TRUTH) and shape not in (grid.shape, grid.whole_shape):
            raise InputError(f"{where} has the shape {shape}, expected {grid.shape} or {grid.whole_shape}")
        if name.endswith("_sensors"):
            if len(shape) != 2 or shape[1] != grid.ndim + 2:
                raise InputError(f"{where} has the shape {shape}, expected (sensors, {grid.ndim + 2})")
            inside(Sensors.of_table(value, where), grid)
