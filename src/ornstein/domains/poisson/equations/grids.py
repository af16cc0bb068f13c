"""Grids of unknowns on a rectangle whose borders are where the boundary conditions hold.

Along an axis of length L that begins at o, n unknowns lie at distance h:

    dirichlet - dirichlet   h = L/(n + 1)    x_i = o + (i + 1) h    boundary nodes a step outside  waves "sine"
    neumann - neumann       h = L/n          x_i = o + (i + 1/2) h  faces half a step outside      waves "cosine"
    dirichlet - neumann     h = L/(n + 1/2)  x_i = o + (i + 1) h    a node below, a face above     waves "sine-cosine"
    neumann - dirichlet     h = L/(n + 1/2)  x_i = o + (i + 1/2) h  a face below, a node above     waves "cosine-sine"
    periodic                h = L/n          x_i = o + i h                                         waves "fourier"

The waves are the eigenvectors of the second difference, −(2 − 2 cos ω)/h² (`transforms.Separable`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from math import pi, prod
from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ....errors import InputError
from ....guidance.operators import Interpolation, Operator, Pad
from ....spectral.transforms import Separable
from ....values import Numbers, as_places, is_number
from .boundaries import Boundary, along, axes_of, names_of
from .faces import Faces

_WORDS = {
    ("dirichlet", "dirichlet"): "sine",
    ("neumann", "neumann"): "cosine",
    ("dirichlet", "neumann"): "sine-cosine",
    ("neumann", "dirichlet"): "cosine-sine",
    ("periodic", "periodic"): "fourier",
}


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the unknowns are.

    Attributes:
        shape: unknowns along each axis of the array, (y, x) of a plane.
        boundary: the sides.
        lengths: of the domain along each axis of the array, in the user's unit; 1 if not given.
        origin: where each axis begins, in the same order and unit; 0 if not given.
    """

    shape: tuple[int, ...]
    boundary: Boundary
    lengths: Sequence[float] | None = None
    origin: Sequence[float] | None = None
    values: tuple[tuple[Tensor, Tensor], ...] = field(init=False, repr=False)
    """What is given on each pair of sides, float64, of size 1 along the axis and of 1 or n along the others."""

    def __post_init__(self) -> None:
        sizes = self.shape if isinstance(self.shape, Sequence) and not isinstance(self.shape, str) else ()
        if not 1 <= len(sizes) <= 3 or not all(is_number(n) and isinstance(n, Integral) and n >= 1 for n in sizes):
            raise InputError(f"grid: the shape is {self.shape!r}, expected 1 to 3 whole numbers of unknowns")
        set_ = object.__setattr__
        set_(self, "shape", tuple(map(int, sizes)))
        set_(
            self,
            "boundary",
            self.boundary if isinstance(self.boundary, Boundary) else Boundary.of(self.boundary, self.ndim),
        )
        if len(self.boundary.sides) != self.ndim:
            raise InputError(f"grid: the boundary has {len(self.boundary.sides)} axes, the shape {self.shape}")
        set_(self, "lengths", self._numbers("lengths", self.lengths, 1.0))
        set_(self, "origin", self._numbers("origin", self.origin, 0.0))
        for axis, (n, kinds) in enumerate(zip(self.shape, self.boundary.kinds, strict=True)):
            if "periodic" in kinds and n < 2:
                raise InputError(f"grid: axis {axis} is periodic and has {n} unknown, expected 2 or more")
        with torch.inference_mode(False):
            set_(self, "values", tuple(self._values(axis) for axis in range(self.ndim)))
            _ = self.laplacian, self.rim  # now, because what is kept must belong to no transform of torch.func

    # Geometry -----------------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Axes of the domain."""
        return len(self.shape)

    @property
    def axes(self) -> tuple[str, ...]:
        """What the axes of the array are called, ("y", "x") of a plane."""
        return axes_of(self.ndim)

    @property
    def domain(self) -> tuple[tuple[float, float], ...]:
        """Where each axis of the array begins and ends, in the unit of the lengths."""
        return tuple((o, o + length) for o, length in zip(self.origin or (), self.lengths or (), strict=True))

    @property
    def spacing(self) -> tuple[float, ...]:
        """h along each axis of the array, in the unit of the lengths."""
        outside = {"sine": 1.0, "sine-cosine": 0.5, "cosine-sine": 0.5}
        steps = [n + outside.get(word, 0.0) for n, word in zip(self.shape, self.basis.axes, strict=True)]
        return tuple((high - low) / n for (low, high), n in zip(self.domain, steps, strict=True))

    @property
    def cell(self) -> float:
        """The volume of a cell, the product of the spacings."""
        return prod(self.spacing)

    @property
    def coordinates(self) -> tuple[Float[Tensor, " _"], ...]:
        """Of the unknowns along each axis of the array, float64, in the unit of the lengths."""
        first = {"sine": 1.0, "sine-cosine": 1.0, "fourier": 0.0, "cosine": 0.5, "cosine-sine": 0.5}
        each = zip(self.shape, self.spacing, self.basis.axes, self.domain, strict=True)
        return tuple(o + (torch.arange(n, dtype=torch.float64) + first[word]) * h for n, h, word, (o, _) in each)

    @cached_property
    def basis(self) -> Separable:
        """The waves in which −∇² with these sides is diagonal."""
        return Separable(tuple(_WORDS[kinds] for kinds in self.boundary.kinds))

    @cached_property
    def laplacian(self) -> Float[Tensor, "*grid"]:
        """The eigenvalues Σ (2 − 2 cos ω)/h² of −∇² on the grid, of each coefficient of `basis`; float64, 1/length²."""
        total = torch.zeros(self.shape, dtype=torch.float64)
        for axis, (n, h, word) in enumerate(zip(self.shape, self.spacing, self.basis.axes, strict=True)):
            half = pi * Separable((word,)).frequencies((n,))
            total = total + ((2 / h * half.sin()) ** 2).reshape(-1, *[1] * (self.ndim - 1 - axis))
        return total

    # Whole fields -------------------------------------------------------------------------------------

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """Boundary nodes (before, after) the unknowns of each axis: one where a side is a Dirichlet side."""
        return tuple((int(low == "dirichlet"), int(high == "dirichlet")) for low, high in self.boundary.kinds)

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Of a field with its boundary nodes."""
        return tuple(n + sum(width) for n, width in zip(self.shape, self.widths, strict=True))

    @property
    def whole_coordinates(self) -> tuple[Float[Tensor, " _"], ...]:
        """Of a field with its boundary nodes, which lie on the border exactly, along each axis of the array."""
        found = []
        for at, (low, high), ends in zip(self.coordinates, self.widths, self.domain, strict=True):
            border = at.new_tensor(ends)
            found.append(torch.cat([border[:low], at, border[2 - high :]]))
        return tuple(found)

    @property
    def padding(self) -> Operator:
        """The unknowns with zeros at the boundary nodes: whole φ = padding(φ) + rim."""
        return Pad(self.widths)

    @cached_property
    def rim(self) -> Float[Tensor, "*whole"]:
        """The values of the boundary nodes, zero at the unknowns, float64.

        An edge that belongs to two sides or three has the mean of what each continues to, linearly; no equation needs
        it.
        """
        rim = torch.zeros(self.whole_shape, dtype=torch.float64)
        ends = [
            (axis, end)
            for axis, width in enumerate(self.widths)
            for end, there in zip((0, -1), width, strict=True)
            if there
        ]
        for axis, end in ends:
            self._inside(rim, {axis: end}).copy_(self.values[axis][end].expand_as(self._inside(rim, {axis: end})))
        for count in range(2, self.ndim + 1):
            for corner in combinations(ends, count):
                if len({axis for axis, _ in corner}) == count:
                    self._inside(rim, dict(corner)).copy_(self._continued(rim, dict(corner)))
        return rim

    def whole(self, phi: Float[Tensor, "*batch_grid"]) -> Float[Tensor, "*batch_whole"]:
        """Fields with their boundary nodes, which hold exactly what the Dirichlet sides say.

        Args:
            phi: the unknowns; axes before those of the grid stay as they are.
        """
        self.require(phi, "a solution")
        return self.padding(phi[None])[0] + self.rim.to(phi)

    def inner(self, whole: Float[Tensor, "*batch_whole"]) -> Float[Tensor, "*batch_grid"]:
        """The unknowns of fields with their boundary nodes.

        Args:
            whole: the fields; axes before those of the grid stay as they are.
        """
        unknowns = (slice(low, low + n) for n, (low, _) in zip(self.shape, self.widths, strict=True))
        return whole[(..., *unknowns)]

    @property
    def fixed(self) -> Bool[Tensor, "*whole"]:
        """Which nodes of a field with its boundary nodes are those."""
        return self.padding(torch.ones(1, *self.shape))[0] == 0

    def interpolation(self, points: Numbers) -> Operator:
        """Whole fields at points, linear between nodes: (batch, ..., *whole) → (batch, ..., m).

        Between the last unknown and a Neumann side, half a step, the line through the last two unknowns goes on.

        Args:
            points: (m, axes), coordinates in the order x, y, z and in the unit of the lengths.

        InputError names the first point outside of the domain.
        """
        at = as_places(points, "sensors")
        if at.ndim != 2 or at.shape[1] != self.ndim or not len(at):
            raise InputError(f"sensors: the points have the shape {tuple(at.shape)}, expected (points, {self.ndim})")
        at = at.flip(1)  # the order of the axes of an array
        self._require_inside(at)
        faces = Faces(tuple(tuple(kind == "neumann" for kind in pair) for pair in self.boundary.kinds))
        borders = ["periodic" if word == "fourier" else "inside" for word in self.basis.axes]
        nodes = faces.coordinates(self.whole_coordinates, self.domain)
        for axis, (known, border) in enumerate(zip(nodes, borders, strict=True)):
            if border == "inside":  # of rounding
                at[:, axis] = at[:, axis].clamp(known[0], known[-1])
        read = Interpolation(at, tuple(map(len, nodes)), borders, coordinates=nodes)
        return read @ faces if faces.any else read

    # Checks -------------------------------------------------------------------------------------------

    def require(self, field: Tensor, what: str) -> None:
        """InputError unless it is a tensor of real floating-point numbers whose last axes are those of the grid."""
        if not isinstance(field, Tensor) or not field.is_floating_point():
            kind = f"tensor of {field.dtype}" if isinstance(field, Tensor) else type(field).__name__
            raise InputError(f"{what} is a {kind}, expected a tensor of floating-point numbers")
        if tuple(field.shape[max(field.ndim - self.ndim, 0) :]) != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise InputError(f"{what} has the shape {tuple(field.shape)}, expected (..., {expected})")

    def field(self, value: Numbers, what: str) -> Float[Tensor, "*grid"]:
        """A number or one for each unknown, as a field in float64; InputError if it is neither.

        Args:
            what: it is, for the error.
        """
        field = as_places(value, what).detach().cpu()
        if field.ndim and tuple(field.shape) != self.shape:
            raise InputError(f"{what} has the shape {tuple(field.shape)}, expected a number or {self.shape}")
        return field.expand(self.shape).clone()

    def _require_inside(self, at: Tensor) -> None:
        low, high = at.new_tensor(self.domain).T
        outside = ((at < low) | (at > high)).any(1).nonzero().flatten().tolist()
        if outside:
            place = ", ".join(f"{value:g}" for value in at[outside[0]].flip(0).tolist())
            domain = " × ".join(f"[{low:g}, {high:g}]" for low, high in reversed(self.domain))
            raise InputError(
                f"sensors: point {outside[0]} is at ({place}), outside of the domain {domain}; "
                f"{len(outside)} of {len(at)} points are outside"
            )

    def _numbers(self, what: str, given: Any, default: float) -> tuple[float, ...]:
        numbers = (default,) * self.ndim if given is None else given
        numbers = numbers.tolist() if isinstance(numbers, Tensor | np.ndarray) else numbers
        fit = isinstance(numbers, Sequence) and len(numbers) == self.ndim and all(map(is_number, numbers))
        if not fit or (what == "lengths" and not 1e-100 <= min(numbers) <= max(numbers) <= 1e100):
            kind = "numbers from 1e-100 to 1e100" if what == "lengths" else "numbers"
            raise InputError(
                f"grid: {what} are {given!r}, expected {self.ndim} {kind}, one for each axis of {self.shape}"
            )
        return tuple(map(float, numbers))

    def _values(self, axis: int) -> tuple[Tensor, Tensor]:
        others = self.shape[:axis] + self.shape[axis + 1 :]
        sides, names = self.boundary.sides[axis], names_of(axis, self.ndim)
        low, high = (along(side, axis, others, name) for side, name in zip(sides, names, strict=True))
        return low, high

    def _inside(self, rim: Tensor, ends: dict[int, int], step: int = 0, along: int | None = None) -> Tensor:
        """A view of the nodes at these ends, of the unknowns of all other axes; `step` further in along one axis."""
        index = []
        for axis, (low, _) in enumerate(self.widths):
            place = slice(low, low + self.shape[axis])
            if axis in ends:
                at = (
                    (step if axis == along else 0)
                    if ends[axis] == 0
                    else rim.shape[axis] - 1 - (step if axis == along else 0)
                )
                place = slice(at, at + 1)
            index.append(place)
        return rim[tuple(index)]

    def _continued(self, rim: Tensor, ends: dict[int, int]) -> Tensor:
        """What the sides that meet there continue to, the mean of all."""
        lines = []
        for axis in ends:
            one = self._inside(rim, ends, 1, axis)
            lines.append(2 * one - self._inside(rim, ends, 2, axis) if self.shape[axis] > 1 else one)
        return torch.stack(lines).mean(0)
