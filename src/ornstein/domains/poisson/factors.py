"""What can be known of a source, of the solution that it has, or of both, as factors of a model of sources.

With the unknown u = mean + scale x of a model's field x, and the solution φ = S u + φ₀ of a linear equation:

    sensors of u      y = I u + noise               I reads a field at points
    sensors of φ      y = I (S u + φ₀) + noise      still linear in x: the posterior of a Gaussian x is exact
    the whole, or a region, of u                    exactly, or with noise
    total             Σ u · cell = ∫u

so that nothing but x is drawn, and each sample's φ is solved for: the equation and its boundary hold in all of them. An
equation that is not linear (Darcy's) is linearised in every step.

    problem = Problem(Elliptic(Grid((64, 64), "dirichlet")))
    model & source_sensors(problem, "rho.csv") & solution_sensors(problem, (points, values, std)) & total(problem, 0.0)
"""

from dataclasses import dataclass
from math import inf, log
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...errors import InputError
from ...guidance.constraints import Bounded, Constraint
from ...guidance.constraints import total as sum_of
from ...guidance.factors import Factor
from ...guidance.measurements import Fixed, Measurement
from ...guidance.operators import Interpolation, Mask, Operator
from ...values import Flags, is_number, require_positive
from .asked.given import field_of, loose_field_of, mask_of, require_finite
from .asked.sensors import Sensors, sensors_of
from .equations import Grid, Problem

__all__ = ["bounds", "known", "solution_sensors", "source_sensors", "total"]

ITERATIONS = 8
"""Of a solve, at most. Where data are Gaussian with the model's spectrum one to four suffice. Elsewhere a network's
covariance is not quite positive under much noise, and a solve does not end; each iteration is a gradient of the
network, and of discs on 32² a hundred came no closer to the truth than twenty."""


def source_sensors(problem: Problem, sensors: Any) -> Measurement:
    """Readings of the unknown at points: of a source, of an initial field, of the logarithm of a coefficient.

    Between the outermost unknowns and the border (a step at most) the field is taken to go on as it is there.

    Args:
        problem: the equation, whose unknown is the model's field.
        sensors: a CSV or NPZ file, `Sensors`, or (points (m, axes) with x first, values (m,), std).
    """
    grid = _grid_of(problem)
    found = inside(sensors_of(sensors, grid.ndim, f"sensors of the {problem.equation.unknown}"), grid)
    values, std = problem.state(found.values), found.std / problem.scale
    _require_sizes(found, values, std)
    return Measurement(values[None], of_unknowns(grid, found.points), std, iterations=ITERATIONS)


def solution_sensors(problem: Problem, sensors: Any) -> Measurement:
    """Readings of the solution at points, linear between the nodes of the grid.

    InputError if all lie on Dirichlet sides, where the solution is prescribed; those that do are left out.

    Args:
        problem: the equation, whose unknown is the model's field.
        sensors: a CSV or NPZ file, `Sensors`, or (points (m, axes) with x first, values (m,), std).
    """
    grid = _grid_of(problem)
    found = inside(sensors_of(sensors, grid.ndim, "sensors of the solution"), grid)
    free = ~on_dirichlet(found, grid)
    if not bool(free.any()):
        raise InputError(
            f"{found.source}: all sensors ({len(found)}) lie on Dirichlet sides, where the solution is prescribed: "
            "they say nothing"
        )
    found = found[free]
    read, std = grid.interpolation(found.points), found.std
    unit = float(std.median())  # single precision has no numbers for the squares of those of very small or large units
    if (linear := problem.equation.linear) is None:
        values, at = found.values, SolutionAt(problem, read, unit)
    else:
        values = found.values - read(grid.whole(problem.offset)[None])[0]
        at = read @ grid.padding @ (problem.scale / unit * linear)
    _require_sizes(found, values / unit, std / unit)
    return Measurement((values / unit)[None], at, std / unit, iterations=ITERATIONS)


def known(problem: Problem, value: Any, where: Flags | None = None, std: float = 0.0) -> Factor:
    """The unknown is known on the whole grid or in a region: exactly, or with noise.

    Args:
        problem: the equation, whose unknown is the model's field.
        value: in the unit of the unknown: a number, an array of the grid's shape, or a file; read only where it counts.
        where: true where it is known, of the grid's shape, or a file of that; everywhere if not given.
        std: of the noise, in the unit of the unknown; 0 = exactly.
    """
    grid = _grid_of(problem)
    what = f"the known {problem.equation.unknown}"
    if not is_number(std) or std < 0:
        raise InputError(f"{what}: std is {std!r}, expected a number from 0")
    seen = torch.ones(grid.shape, dtype=torch.bool)
    if where is not None:
        seen = mask_of(where, grid.shape, f"where of {what}", grid.coordinates)
    names = (problem.equation.unknown, "source")
    field = loose_field_of(value, grid.shape, what, names, grid.coordinates)
    require_finite(field, what, seen)
    state = problem.state(field)[None]
    if std == 0:
        return Fixed(torch.where(seen, state, 0.0), seen[None])
    return Measurement(state[seen[None]], Mask(seen[None]), std / problem.scale)


def total(problem: Problem, value: float) -> Constraint:
    """The integral of the unknown over the domain, exactly: the total charge, the heat there is.

    Args:
        problem: the equation, whose unknown is the model's field.
        value: Σ u · cell, in the unit of the unknown times the lengths'.
    """
    grid = _grid_of(problem)
    if not is_number(value):
        raise InputError(f"total is {value!r}, expected a finite number")
    shape, cells = (1, *grid.shape), torch.Size(grid.shape).numel()
    said = (float(value) - problem.mean * grid.cell * cells) / (problem.scale * grid.cell)
    return sum_of(said, shape, axes=grid.ndim)


def bounds(problem: Problem, low: Any = None, high: Any = None, slack: float | None = None) -> Bounded:
    """low ≤ u ≤ high at every unknown, to within a slack.

    Args:
        problem: the equation, whose unknown is the model's field.
        low, high: in the unit of the unknown: numbers, or arrays of the grid's shape; None = no limit.
        slack: the width of the foot of the walls, in the unit of the unknown; 1 % of the problem's scale if not given.
    """
    grid = _grid_of(problem)

    if slack is not None:
        require_positive("slack", slack)

    def limit(value: Any, name: str) -> Any:
        if value is None or (isinstance(value, float) and value in (float("inf"), float("-inf"))):
            return None
        return problem.state(field_of(value, grid.shape, name))[None]

    foot = 0.01 if slack is None else slack / problem.scale
    return Bounded(limit(low, "low"), limit(high, "high"), foot)


def logarithms(low: float, high: float) -> tuple[float, float]:
    """Bounds of log a, of those of a; no bound where these are 0 or infinite."""
    return (log(low) if low > 0 else -inf), log(high)


_SURE = 10.0
"""Standard deviations by which no reading is off."""


def require_within(
    field: Float[Tensor, "*grid"], seen: Tensor | None, walls: tuple[float, float], slack: float, what: str
) -> None:
    """InputError if what is known exactly lies out of bounds.

    Args:
        field: what is known, where it is seen (None = everywhere).
        seen: of the same shape.
        walls: lowest and highest value, in the unit of the field.
        slack: by which the field may be off them.
        what: it is, for the error.
    """
    low, high = walls
    outside = (field < low - slack) | (field > high + slack)
    outside = outside if seen is None else outside & seen
    if bool(outside.any()):
        place = tuple(outside.nonzero()[0].tolist())
        found = f"element {place} is {float(field[place]):g}, which is known exactly"
        raise InputError(f"{what}: {found}, but its bounds are {low:g} to {high:g}")


def require_within_readings(sensors: Sensors, walls: tuple[float, float]) -> None:
    """InputError, which names the first, for readings of a field that its bounds rule out.

    Args:
        sensors: of the field.
        walls: its lowest and highest value, in its unit.
    """
    low, high = walls
    room, expected = _SURE * sensors.std, f"{low:g} to {high:g}, its bounds, to within {_SURE:g} std"
    right = (sensors.values >= low - room) & (sensors.values <= high + room)
    sensors.require("value", sensors.values, right, expected)


_LARGEST = 1e15
"""Of numbers whose squares single precision has."""


def _require_sizes(sensors: Sensors, values: Float[Tensor, " sensors"], std: Float[Tensor, " sensors"]) -> None:
    """InputError, which names the first sensor, where a value or its precision is beyond single precision.

    Args:
        values, std: of the sensors, in a unit of the order of what is drawn.
    """
    sensors.require("value", sensors.values, (values / std).abs() <= _LARGEST, f"at most {_LARGEST:g} times its std")
    sensors.require("value", sensors.values, values.abs() <= _LARGEST, "a number of the size that the field can have")
    right = (std >= 1 / _LARGEST) & (std <= _LARGEST)
    sensors.require("std", sensors.std, right, "a number of the size of the field's and of the others")


def _grid_of(problem: Problem) -> Grid:
    """Its grid; InputError if it is no problem."""
    if not isinstance(problem, Problem):
        raise InputError(f"a {type(problem).__name__} instead of a problem, expected Problem(equation, mean, scale)")
    return problem.equation.grid


# How fields are read ----------------------------------------------------------------------------------


def inside(sensors: Sensors, grid: Grid) -> Sensors:
    """The sensors; InputError, which names the first, for those outside of the domain."""
    low, high = zip(*reversed(grid.domain), strict=True)
    return sensors.inside(low, high)


def of_unknowns(grid: Grid, points: Float[Tensor, "sensors axes"]) -> Operator:
    """A field of the unknowns at points, x first; beyond the outermost unknowns it goes on as it is there."""
    borders = ["periodic" if kinds[0] == "periodic" else "inside" for kinds in grid.boundary.kinds]
    at = points.flip(1).clone()
    for axis, (nodes, border) in enumerate(zip(grid.coordinates, borders, strict=True)):
        if border == "inside":
            at[:, axis] = at[:, axis].clamp(nodes[0], nodes[-1])
    return Interpolation(at, grid.shape, borders, coordinates=grid.coordinates)


def on_dirichlet(sensors: Sensors, grid: Grid) -> Bool[Tensor, " sensors"]:
    """Which sensors lie on a Dirichlet side, (sensors,), where they say nothing."""
    sides = zip(grid.boundary.kinds, grid.domain, strict=True)
    there = torch.zeros(len(sensors), dtype=torch.bool)
    for axis, (kinds, ends) in enumerate(sides):
        at = sensors.points[:, grid.ndim - 1 - axis]
        for kind, end in zip(kinds, ends, strict=True):
            if kind == "dirichlet":
                there |= (at - end).abs() <= 1e-9 * (ends[1] - ends[0])
    return there


def off_boundary(sensors: Sensors, grid: Grid) -> float:
    """By how many standard deviations the furthest of sensors on Dirichlet sides is off what is prescribed there."""
    prescribed = grid.interpolation(sensors.points)(grid.rim[None])[0]
    return float(((sensors.values - prescribed) / sensors.std).abs().max())


@dataclass(frozen=True, eq=False)
class SolutionAt:
    """x ↦ the solution of x at points, in a unit: differentiable, not linear."""

    problem: Problem
    read: Operator
    unit: float

    @property
    def __name__(self) -> str:
        return f"solution of {type(self.problem.equation).__name__}"

    def __call__(self, x: Float[Tensor, "batch 1 *grid"]) -> Float[Tensor, "batch 1 sensors"]:
        grid = self.problem.equation.grid
        try:
            phi = self.problem.solution(x.double())
        except InputError as error:
            raise InputError(
                f"what the readings of the solution ask for leads out of all bounds: {error}; they may contradict the "
                "source, the boundary, the mean and scale of the unknown, or their own standard deviations"
            ) from error
        return self.read((grid.padding(phi) + grid.rim.to(phi)) / self.unit).to(x.dtype)
