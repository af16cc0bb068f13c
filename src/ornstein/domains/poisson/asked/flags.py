"""What a user may say of an equation and of what is known, in flags, and which of these go together.

Lengths, origins and points are x first; arrays are (y, x).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import ClassVar

from ....config import require_in, require_with
from ....errors import InputError
from ..equations import Darcy, Elliptic, Heat
from .problems import Kind


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
        source: ρ, or the initial field of heat: a number, or a file (.npy, .npz, NetCDF) of it at unknowns. Of darcy
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

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest value that the unknown may have, of darcy that a may have."""
        low, high = self.bounds or (-inf, inf)
        return (max(low, 0.0) if self.positive else low), high

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
                raise InputError(f"{flag(name)} is for --equation {' or '.join(owners)}, found {self.kind}")
        for name, kind in _NEEDED.items():
            if self.kind == kind and getattr(self, name) is None:
                raise InputError(f"--equation {kind} needs {flag(name)}")
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


def flag(name: str) -> str:
    """How a field of a request is said on the command line."""
    return f"--{name}".replace("_", "-")
