"""What flags tell a model of sources of what is known: its guides, and notes for the user."""

from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....errors import InputError
from .. import factors
from ..equations import Problem
from .flags import PoissonRequest
from .given import loose_field_of, mask_of, require_finite
from .sensors import Sensors, read_sensors


class Told:
    """The guides of what is known, the notes on it, and the sensors there were."""

    def __init__(self, asked: PoissonRequest, problem: Problem, std: float) -> None:
        self.asked, self.problem, self.grid = asked, problem, problem.equation.grid
        self.slack = 0.01 * std * problem.scale  # of the bounds, in the unit of the unknown
        self.guides: list[Any] = []
        self.notes: list[str] = []
        self.sensors: dict[str, Tensor] = {}
        whole = self._source()
        self._unknown_sensors()
        self._solution_sensors()
        self._total(whole)
        self._bounds()

    def _source(self) -> Tensor | None:
        """What is known of the whole field, or a region; the field, if all of it is known exactly."""
        asked, grid, problem = self.asked, self.grid, self.problem
        if asked.source is None or asked.kind == "darcy":
            return None
        names = (asked.unknown, "source")
        field = loose_field_of(asked.source, grid.shape, "--source", names, grid.coordinates)
        seen = None if asked.mask is None else mask_of(asked.mask, grid.shape, "--mask", grid.coordinates)
        require_finite(field, f"--source {asked.source}", seen)
        if not asked.source_std:
            factors.require_within(field, seen, asked.limits, self.slack, f"--source {asked.source}")
        std = asked.source_std or 0.0
        self.guides.append(factors.known(problem, field.nan_to_num(0.0), seen, std))
        if std or not (seen is None or bool(seen.all())):
            return None
        problem.equation.require_compatible(field)
        self.notes.append(
            f"the {asked.unknown} is known everywhere and exactly: all samples are the same, and a direct solve of the "
            "equation is the right tool"
        )
        return field

    def _unknown_sensors(self) -> None:
        for name in ("source_sensors", "coefficient_sensors"):
            if (path := getattr(self.asked, name)) is not None:
                found = self._read(name, path)
                factors.require_within_readings(found, self._walls())
                self.guides.append(factors.source_sensors(self.problem, found))

    def _solution_sensors(self) -> None:
        if self.asked.solution_sensors is None:
            return
        found = self._read("solution_sensors", self.asked.solution_sensors)
        self.guides.append(factors.solution_sensors(self.problem, found))
        fixed = factors.on_dirichlet(found, self.grid)
        if bool(fixed.any()):
            off = factors.off_boundary(found[fixed], self.grid)
            self.notes.append(
                f"{int(fixed.sum())} of {len(found)} sensors of the solution lie on Dirichlet sides, where it is "
                f"prescribed: they say nothing, and were left out (the furthest is {off:.2g} std off it)"
            )

    def _read(self, name: str, path: Path) -> Sensors:
        found = factors.inside(read_sensors(path, self.grid.ndim), self.grid)
        self.sensors[name] = found.table()
        self.notes += [f"{path}: {found.skipped} left out"] if found.skipped else []
        return found

    def _total(self, whole: Tensor | None) -> None:
        """The total that was said, or that a boundary through which all must flow imposes."""
        equation, said = self.problem.equation, self.asked.total
        imposed = equation.singular and equation.unknown == "source"
        if imposed and said is not None and not _close(said, equation.flux):
            raise InputError(
                f"--total is {said:g}, but the flux through the boundary is {equation.flux:g}: without a Dirichlet "
                "side the source must integrate to just that, or there is no solution"
            )
        value = equation.flux if imposed else said
        if value is None:
            return
        if whole is not None:
            found = float(whole.sum()) * self.grid.cell
            if abs(found - value) > 1e-6 * max(abs(value), float(whole.abs().sum()) * self.grid.cell):
                raise InputError(f"--total is {value:g}, but --source integrates to {found:g}")
            return
        self._require_room(value)
        self.guides.append(factors.total(self.problem, value))
        if imposed:
            self.notes.append(
                f"no side is a Dirichlet side: the total of the source is held at {value:g}, the flux through the "
                "boundary, and solutions have the mean 0"
            )

    def _require_room(self, total: float) -> None:
        low, high = self.asked.limits
        volume = self.grid.cell * torch.Size(self.grid.shape).numel()
        if not low * volume < total < high * volume:
            raise InputError(
                f"the total of the source is {total:g}, but within its bounds, {low:g} to {high:g}, it lies between "
                f"{low * volume:g} and {high * volume:g}"
            )

    def _walls(self) -> tuple[float, float]:
        """The bounds of the unknown."""
        walls = self.asked.limits
        return factors.logarithms(*walls) if self.asked.kind == "darcy" else walls

    def _bounds(self) -> None:
        low, high = self._walls()
        if low == -inf and high == inf:
            return
        self.notes.append(
            f"bounds hold to within {self.slack:.2g}, if what is known and the model allow it: the furthest that a "
            "sample is out of them is a score"
        )
        self.guides.append(factors.bounds(self.problem, low, high, self.slack))


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * max(abs(a), abs(b)) + 1e-12
