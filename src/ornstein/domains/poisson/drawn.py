"""What was drawn: each sample's unknown and the solution it has, how well the equation holds, files and figures.

    samples.npz     the model's field, the unknown, the solution with its boundary nodes, residuals, bounds and
                    coordinates; and the arrays that the problem is of, so that no file of the request is needed again
    solution.nc     the same for xarray: (number, y, x) on the nodes of the grid, with mean and standard deviation
    *.png           truth, mean, standard deviation, samples and sensors of the unknown and of the solution

Solutions are solved for in float64, sample by sample:

    residual     ‖L_h φ − ρ‖ / ‖L_h 0 − ρ‖          which for a zero boundary is relative to ‖ρ‖
    bound        ‖φ − φ*‖ / ‖φ‖ ≤ ‖L_h φ − ρ‖ / (|λ|_min ‖φ‖)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ... import arrays
from ...denoisers.base import Condition
from ...errors import InputError
from ...files import MB, write_atomic
from ...states import State
from ...tasks.samples import MANIFEST, Samples, native
from .equations import Darcy, Equation, Problem
from .problems import SHARED, problem_of
from .requests import TRUTH
from .sensors import AXES

NPZ, NETCDF = "samples.npz", "solution.nc"
_ROOM = 64 * MB


@dataclass(frozen=True, eq=False)
class Solved:
    """Samples with their solutions.

    Attributes:
        problem: the equation.
        unknown: of each sample, float64, in its unit.
        solution: of each, float64, in its unit, at the unknowns of the grid.
        residual: of each, relative to that of φ = 0.
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
        of_zero = equation.residual(unknown, torch.zeros_like(solution)).flatten(1).norm(dim=1)
        size = solution.double().flatten(1).norm(dim=1)
        relative = missed.flatten(1).norm(dim=1) / of_zero.clamp(min=1e-300)
        bound = _bounds(equation, unknown, missed) / size.clamp(min=1e-300)
        return cls(problem, unknown.double(), solution.double(), relative, bound)

    @property
    def whole(self) -> Float[Tensor, "n *whole"]:
        """The solutions with their boundary nodes."""
        return self.problem.equation.grid.whole(self.solution)

    @property
    def violation(self) -> Float[Tensor, " n"]:
        """The largest deviation of each solution from what Dirichlet sides say, in its unit."""
        grid = self.problem.equation.grid
        free = grid.padding(torch.ones(1, *grid.shape))[0] > 0
        return (self.whole - grid.rim).masked_fill(free, 0.0).flatten(1).abs().amax(1)


def _bounds(
    equation: Equation, unknown: Float[Tensor, "n *grid"], missed: Float[Tensor, "n *grid"]
) -> Float[Tensor, " n"]:
    """‖φ − φ*‖ at most; of Darcy's equation each sample has a matrix of its own."""
    if not isinstance(equation, Darcy):
        return equation.error_bound(missed)
    each = zip(unknown, missed, strict=True)
    return torch.cat([equation.at(u).error_bound(one[None]) for u, one in each])


def solved(problem: Problem, fields: Float[Tensor, "n 1 *grid"]) -> Solved:
    """A model's fields and their solutions.

    Args:
        problem: the equation, whose unknown is the model's field.
        fields: samples of a model of sources.
    """
    unknown = problem.unknown(fields.double())[:, 0]
    return Solved.of(problem, unknown, problem.equation.solution(unknown))


def problem_in(samples: Samples) -> Problem | None:
    """The problem that samples were drawn for; None of those that were drawn without a request."""
    words = samples.settings.get("problem")
    return None if words is None else problem_of(words, shared_of(samples.condition), "settings: problem")


def solved_in(samples: Samples) -> Solved | None:
    """The samples with their solutions; None of those that were drawn without a request.

    A learned solver has drawn the solutions, of the source that all were given.
    """
    problem = problem_in(samples)
    if problem is None:
        return None
    x = samples.x.detach().cpu()
    if not _is_learned(samples):
        return solved(problem, x)
    source = shared_of(samples.condition)["given_source"].double()
    return Solved.of(problem, source.expand(len(x), *source.shape), x[:, 0].double())


def _is_learned(samples: Samples) -> bool:
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
    inner = tuple(slice(low, low + n) for n, (low, _) in zip(grid.shape, grid.widths, strict=True))
    each = {name.removeprefix(TRUTH): value for name, value in shared.items() if name.startswith(TRUTH)}
    return {name: value[inner] if name == "solution" else value for name, value in each.items()}


# Files ------------------------------------------------------------------------------------------------


def write(samples: Samples, folder: Path) -> None:
    """Writes samples.npz, first of all with what cannot be made again, then solutions, solution.nc and figures.

    Args:
        samples: of a model of this domain.
        folder: that is there.
    """
    x = samples.x.detach().cpu()
    bare = {"field": x.numpy(), **{name: value.numpy() for name, value in shared_of(samples.condition).items()}}
    _save(folder / NPZ, bare)
    found = solved_in(samples)
    if found is None:
        return
    _save(folder / NPZ, {**bare, **_arrays(found)})
    from .exported import netcdf

    netcdf(folder / NETCDF, found, samples)
    from .figures import figures

    for name, figure in figures(samples, found).items():
        (folder / f"{name}.png").write_bytes(figure.image)


def _arrays(found: Solved) -> dict[str, np.ndarray]:
    grid, unknown = found.problem.equation.grid, found.problem.equation.unknown
    named = {unknown: found.unknown, "solution": found.whole}
    if unknown == "log_coefficient":
        named["coefficient"] = found.unknown.exp()
    named |= {"residual": found.residual, "error_bound": found.error_bound, "violation": found.violation}
    axes = AXES[: grid.ndim][::-1]
    named |= dict(zip(axes, grid.coordinates, strict=True))
    named |= {f"whole_{name}": at for name, at in zip(axes, grid.whole_coordinates, strict=True)}
    return {name: value.numpy() for name, value in named.items()}


def _save(path: Path, named: Mapping[str, np.ndarray]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **named)  # pyright: ignore[reportArgumentType]

    write_atomic(path, write)


def read(folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
    """The states of samples.npz, and what all of them were given.

    Args:
        folder: of the samples.
        manifest: as `read_manifest` gives it.
    """
    path, n = native(folder, manifest, NPZ), manifest["n"]
    facts = manifest["model"]["facts"]
    shape = tuple(facts["shape"])
    limit = max(path.stat().st_size, 64 * (n + 8) * prod(shape) + _ROOM)
    shared = [name for name in arrays.names(path, limit) if SHARED.fullmatch(name)]
    if (manifest["settings"].get("problem") or {}).get("equation") == "darcy":
        shared = [name for name in shared if name != "coefficient"]
    found = arrays.members(path, limit, {"field": "f", **dict.fromkeys(shared, "f")})
    x = found.pop("field")
    if x.shape != (n, *shape):
        raise InputError(f"{path}: array 'field' has the shape {x.shape}, expected {(n, *shape)}")
    for name, array in {"field": x, **found}.items():
        if not np.isfinite(array).all():
            raise InputError(f"{path}: array {name!r} holds numbers that are not finite")
    given = {name: torch.from_numpy(array) for name, array in found.items()}
    if (words := manifest["settings"].get("problem")) is not None:
        problem_of(words, given, f"{folder / MANIFEST}: settings: problem")
    return torch.from_numpy(x), {name: value.expand(n, *value.shape) for name, value in given.items()}
