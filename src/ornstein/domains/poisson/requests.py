"""What a user may say of an equation and of what is known, in flags, and what it means for a model.

Lengths, origins and points are x first; arrays are (y, x). A model of sources is asked with any equation and any part
of what is known. A model of solutions is given the whole source, and knows one equation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...config import require_in, require_with
from ...errors import InputError, needed_for
from ...tasks.task import Request
from . import factors, prior, surrogate
from .equations import Boundary, Darcy, Elliptic, Equation, Grid, Heat, Problem
from .given import field_of, loose_field_of, mask_of, require_finite
from .problems import Kind, words_of
from .sensors import Sensors, read_sensors
from .truths import truth_of


@dataclass(frozen=True)
class PoissonRequest:
    """What to draw.

    Attributes:
        equation: poisson, ∇·(a∇φ) = ρ; screened, … − κ²φ = ρ; helmholtz, … + k²φ = ρ; heat, φ after a time given the
            initial field; darcy, ∇·(a∇φ) = ρ for an unknown a. Poisson if not given; a learned solver knows its own.
        boundary: dirichlet, neumann or periodic, with a value as in dirichlet:1.5, or all sides by name with commas and
            no blanks between, left=dirichlet:1,right=neumann:0 and likewise bottom, top (in 3-D front, back); a value
            may be an .npy file of values along the side. Values of φ, fluxes a ∂φ/∂n outwards. Zero Dirichlet if not
            given.
        lengths: of the domain, x first, in your unit of length; 1 each if not given.
        origin: where the domain begins, x first, in that unit; 0 each if not given.
        coefficient: a, a number or a file; of heat the diffusivity (length² over time), a number; 1 if not given.
        screening: κ of the screened equation, 1 / length where a is 1; else κ² is in the unit of a / length².
        wavenumber: k of Helmholtz' equation, rad / length where a is 1; else k² is in the unit of a / length².
        time: after which the heat is looked at, in the unit of time that the diffusivity has.
        mean: of the unknown where the model's field is 0, in its unit (of darcy that of log a); 0 if not given.
        scale: of the unknown, mean + scale · the model's field, likewise; 1 if not given.
        source: ρ, or the initial field of heat: a number, or a file (.npy, .npz, NetCDF) of the whole field. Of darcy
            and of a learned solver it is the source they need.
        mask: a file, true or 1 where --source is known; everywhere if not given.
        source_std: of the noise of --source, in its unit; 0 = exactly, if not given.
        source_sensors: readings of the source, or of the initial field: a CSV file with the header x,y,value,std (in
            1-D without y, in 3-D with z), or an NPZ file of arrays of these names; std is above 0.
        coefficient_sensors: readings of log a, of darcy, likewise.
        bounds: lowest and highest value of the unknown, in its unit; of darcy those of a; "inf" is no bound.
        positive: the unknown is nowhere below 0.
        total: the integral of the unknown, in its unit times the lengths'.
        solution_sensors: readings of φ, as --source-sensors.
        truth: an .npz or NetCDF file with source (of heat initial, of darcy log_coefficient), solution, or both: what
            `ornstein evaluate` compares with; samples are drawn without it.
        refine: of a learned solver: correct each solution until the residual is so small a share of the source.
    """

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "the equation": (
            *("equation", "boundary", "lengths", "origin", "coefficient", "screening", "wavenumber", "time"),
            *("mean", "scale"),
        ),
        "what is known of the source": (
            *("source", "mask", "source_std", "source_sensors", "coefficient_sensors", "bounds", "positive", "total"),
        ),
        "what is known of the solution": ("solution_sensors", "refine"),
        "what samples are judged by": ("truth",),
    }

    equation: Kind | None = None
    boundary: str | None = None
    lengths: tuple[float, ...] | None = None
    origin: tuple[float, ...] | None = None
    coefficient: float | Path | None = None
    screening: float | None = None
    wavenumber: float | None = None
    time: float | None = None
    mean: float | None = None
    scale: float | None = None
    source: float | Path | None = None
    mask: Path | None = None
    source_std: float | None = None
    source_sensors: Path | None = None
    coefficient_sensors: Path | None = None
    bounds: tuple[float, float] | None = None
    positive: bool = False
    total: float | None = None
    solution_sensors: Path | None = None
    truth: Path | None = None
    refine: float | None = None

    def __post_init__(self) -> None:
        require_in(self, "--", dict.fromkeys(("lengths", "scale", "screening", "wavenumber", "time"), _SIZES))
        require_in(self, "--", dict.fromkeys(("origin", "mean", "total"), _NUMBERS))
        require_in(self, "--", {"source_std": "[0, 1e100]", "refine": "(0, 1)"})
        for name in ("coefficient", "source"):
            value = getattr(self, name)
            if isinstance(value, float | int) and not abs(value) <= 1e100:
                raise InputError(f"--{name} is {value}, expected a number in {_NUMBERS}, or a file")
        require_with(self, "--", {"mask": ("source",), "source_std": ("source",)})
        self._require_bounds()
        self._require_equation()

    @property
    def kind(self) -> str:
        """The equation's name."""
        return self.equation or "poisson"

    @property
    def unknown(self) -> str:
        """What is drawn: the source, the initial field, or the logarithm of the coefficient."""
        return {"heat": Heat, "darcy": Darcy}.get(self.kind, Elliptic).unknown

    @property
    def said(self) -> list[str]:
        """The names of the flags that were given."""
        return [one.name for one in fields(self) if getattr(self, one.name) != one.default]

    def _require_bounds(self) -> None:
        low, high = self.bounds or (-inf, inf)
        if not low < high:
            raise InputError(f"--bounds are {low} and {high}, expected two numbers of which the first is smaller")
        if self.bounds == (-inf, inf):
            raise InputError("--bounds are -inf and inf, which is no bound: leave them out, or say one")
        if self.positive and high <= 0:
            raise InputError(f"--positive and --bounds up to {high}: nothing lies between")
        if self.kind == "darcy" and self.bounds is not None and (low < 0 or high <= 0):
            raise InputError(f"--bounds are {low} and {high}: of darcy they are those of a, expected positive numbers")

    def _require_equation(self) -> None:
        """InputError for flags that the equation has no use for, and for those that it lacks."""
        for name in self.said:
            owners = _OWNERS.get(name)
            if owners is not None and self.kind not in owners:
                raise InputError(f"{_flag(name)} is for --equation {' or '.join(owners)}, found {self.kind}")
        for name, kind in _NEEDED.items():
            if self.kind == kind and getattr(self, name) is None:
                raise InputError(f"--equation {kind} needs {_flag(name)}")
        if self.kind == "heat" and isinstance(self.coefficient, Path):
            raise InputError(f"--coefficient {self.coefficient}: of heat the diffusivity is one number, found a file")


_SIZES, _NUMBERS = "[1e-100, 1e100]", "[-1e100, 1e100]"
"""Of numbers whose squares and cubes are numbers, too."""
_ELLIPTIC = ("poisson", "screened", "helmholtz")
_OWNERS: Mapping[str, tuple[str, ...]] = {
    "coefficient": (*_ELLIPTIC, "heat"),
    "screening": ("screened",),
    "wavenumber": ("helmholtz",),
    "time": ("heat",),
    "coefficient_sensors": ("darcy",),
    **dict.fromkeys(("mask", "source_std", "source_sensors", "positive", "total"), (*_ELLIPTIC, "heat")),
}
_NEEDED = {"screening": "screened", "wavenumber": "helmholtz", "time": "heat", "source": "darcy"}
_OF_SOLVERS = (
    *("equation", "boundary", "lengths", "origin", "coefficient", "screening", "wavenumber", "time"),
    *("source", "truth", "refine"),
)
"""What may be said to a learned solver."""


def _flag(name: str) -> str:
    return f"--{name}".replace("_", "-")


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
                f"{_flag(name)} is for models of sources: this one has learnt to solve, given the whole of --source"
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
    told = _Told(asked, problem, metadata["std"])
    words, arrays = words_of(problem, asked.kind)
    truth = {} if asked.truth is None else truth_of(asked.truth, problem)
    beside = _for_all({**arrays, **told.sensors, **truth}, numbers)
    return Request(told.guides, record={"problem": words}, defaults=prior.DEFAULTS, notes=told.notes, beside=beside)


class _Told:
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
            factors.require_within(field, seen, self._limits(), self.slack, f"--source {asked.source}")
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
        low, high = self._limits()
        volume = self.grid.cell * torch.Size(self.grid.shape).numel()
        if not low * volume < total < high * volume:
            raise InputError(
                f"the total of the source is {total:g}, but within its bounds, {low:g} to {high:g}, it lies between "
                f"{low * volume:g} and {high * volume:g}"
            )

    def _limits(self) -> tuple[float, float]:
        low, high = self.asked.bounds or (-inf, inf)
        return (max(low, 0.0) if self.asked.positive else low), high

    def _walls(self) -> tuple[float, float]:
        """The bounds of the unknown."""
        walls = self._limits()
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
