"""Constraints that come up again and again, of fields on regular grids: their borders, sums and balances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ...errors import InputError
from ...spectral.borders import each_axis
from ...values import Numbers, as_numbers, as_tensor, is_number, require_whole
from ..operators import Mask, Matrix, Operator, require_event
from .equations import Constraint

ENDS = ("periodic", "open")


def boundary(
    values: Numbers, shape: Sequence[int], axes: int | Sequence[int] = (-2, -1), width: int = 1, slack: float = 1e-3
) -> Constraint:
    """Dirichlet's condition: the values on the rim of a grid.

    Args:
        values: a number, or a field that broadcasts to an event, of which the rim counts; in the units of the data.
        shape: of one event.
        axes: of the event, those that have borders; others, such as periodic ones, have none.
        width: of the rim, in grid points.
        slack: see Constraint.
    """
    require_event("boundary", shape)
    require_whole("boundary: width", width, 1)
    rim = torch.zeros(tuple(shape), dtype=torch.bool)
    for axis in axes if isinstance(axes, Sequence) else (axes,):
        if not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
            raise InputError(f"boundary: there is no axis {axis!r} of events of shape {tuple(shape)}")
        side = rim.transpose(axis, 0)
        side[:width] = side[-width:] = True
    field = as_tensor(values, "boundary: values")
    field = field if isinstance(values, Tensor) or field.ndim else field.double()
    return Constraint(Mask(rim), as_numbers(_spread("boundary: values", field, shape)[rim], "boundary: values"), slack)


def mean(
    value: Numbers | str, shape: Sequence[int], weights: Numbers | None = None, axes: int = 2, slack: float = 1e-3
) -> Constraint:
    """The mean over the grid, channel by channel.

    Args:
        value: one number, or one a channel, of the shape of an event without the axes of the grid; or the name of the
            condition that holds them. In the units of the data.
        shape: of one event.
        weights: such as the area of each grid cell, which broadcasts to the axes of the grid; None = all alike.
        axes: how many last axes are the grid.
        slack: see Constraint.
    """
    return _of_sums(Sums.of("mean", shape, weights, axes, normalised=True), value, slack)


def total(
    value: Numbers | str, shape: Sequence[int], weights: Numbers | None = None, axes: int = 2, slack: float = 1e-3
) -> Constraint:
    """The sum over the grid, channel by channel: a mass that is conserved.

    Args:
        value: one number, or one a channel, of the shape of an event without the axes of the grid; or the name of the
            condition that holds them. In the units of the data times those of the weights.
        shape: of one event.
        weights: such as the area of each grid cell, which broadcasts to the axes of the grid; None = 1.
        axes: how many last axes are the grid.
        slack: see Constraint.
    """
    return _of_sums(Sums.of("total", shape, weights, axes, normalised=False), value, slack)


def flux(value: Numbers | str, faces: Numbers, slack: float = 1e-3) -> Constraint:
    """What flows through a surface: Σ faces · x₀.

    Args:
        value: the flux, a number, or one a surface; or the name of the condition that holds it. In the units of the
            data times those of the faces.
        faces: the signed area of each face, of the shape of an event, 0 where there is none; or one such field a
            surface, along a list.
        slack: see Constraint.
    """
    several = [as_numbers(one, "flux: faces") for one in (faces if isinstance(faces, list | tuple) else [faces])]
    if not several or any(one.shape != several[0].shape or not one.any() for one in several):
        raise InputError("flux: expected the faces of one surface or more, fields of one shape with some area each")
    rows = torch.stack([one.flatten().double() for one in several])
    b = (
        value
        if isinstance(value, str)
        else _spread("flux: value", as_tensor(value, "flux: value").double(), [len(rows)])
    )
    return Constraint(Matrix(rows, tuple(several[0].shape)), b, slack)


def divergence(
    value: Numbers | str = 0.0,
    borders: str | Sequence[str] = "periodic",
    spacing: float | Sequence[float] = 1.0,
    axes: int = 2,
    slack: float = 1e-3,
) -> Constraint:
    """The net flow out of every cell of a grid: 0 for a flow that cannot be compressed.

    Args:
        value: one number, or one a cell, whose sum must be 0 where all borders are periodic; or the name of the
            condition that holds it. In the units of the data over those of the spacing.
        borders: "periodic" or "open", one word, or one an axis; see Outflow.
        spacing: of the grid, one number, or one an axis.
        axes: how many last axes are the grid.
        slack: see Constraint.
    """
    return Constraint(Outflow(axes, borders, spacing), value, slack)


@dataclass(frozen=True)
class Outflow(Operator):
    """What flows out of every cell, Σ_axes (uᵢ₊₁ − uᵢ)/h, of a vector field (..., 2, h, w), a component an axis.

    Component k stands on the lower face along axis k of each cell (a staggered grid), so that what leaves a cell enters
    its neighbour. Along a periodic axis the last cell's upper face is the first one's lower face. Along an open axis it
    lies outside: that cell has no equation, and the result is one shorter. A wall is an open border on which the flow
    is known: see `boundary`.

    Attributes:
        axes: how many last axes are the grid.
        borders: "periodic" or "open", one word for all axes, or one an axis.
        spacing: one number, or one an axis.
    """

    axes: int = 2
    borders: Any = "periodic"
    spacing: Any = 1.0

    def __post_init__(self) -> None:
        require_whole("Outflow: axes", self.axes, 1)
        for name in ("borders", "spacing"):
            object.__setattr__(self, name, each_axis("Outflow", name, getattr(self, name), self.axes))
        for word in self.borders:
            if word not in ENDS:
                raise InputError(f"Outflow: borders is {word!r}, expected one of {', '.join(ENDS)}")
        if not all(is_number(h) and h > 0 for h in self.spacing):
            raise InputError(f"Outflow: spacing is {self.spacing}, expected positive distances")

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        sides = x.shape[x.ndim - self.axes :]
        if x.ndim < self.axes + 2 or x.shape[-1 - self.axes] != self.axes or min(sides) < 2:
            raise InputError(
                f"Outflow along {self.axes} axes does not act on events of shape {tuple(x.shape[1:])}: expected a "
                "component an axis before them, and two cells or more along each"
            )
        parts = enumerate(x.unbind(-1 - self.axes))
        total = torch.stack([(u.roll(-1, k - self.axes) - u) / self.spacing[k] for k, u in parts]).sum(0)
        for place in self._open:
            total = total.narrow(place, 0, total.shape[place] - 1)
        return total

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        ends = [(0, int(k - self.axes in self._open)) for k in reversed(range(self.axes))]
        y = pad(y, [number for end in ends for number in end])
        back = [(y.roll(1, k - self.axes) - y) / self.spacing[k] for k in range(self.axes)]
        return torch.stack(back, -1 - self.axes)

    @property
    def _open(self) -> list[int]:
        """The places of the axes that are open."""
        return [k - self.axes for k, word in enumerate(self.borders) if word == "open"]


@dataclass(frozen=True, eq=False)
class Sums(Operator):
    """Weighted sums over the last axes of an event.

    Attributes:
        weights: of the elements, of the shape of the grid, float64.
        shape: of one event.
        name: for errors.
    """

    weights: Float[Tensor, "..."]
    shape: tuple[int, ...]
    name: str

    @classmethod
    def of(cls, name: str, shape: Sequence[int], weights: Any, axes: int, normalised: bool) -> "Sums":
        require_event(name, shape)
        require_whole(f"{name}: axes", axes, 1)
        if axes > len(shape):
            raise InputError(f"{name}: axes is {axes}, but events of shape {tuple(shape)} have {len(shape)}")
        grid = tuple(shape)[len(shape) - axes :]
        area = as_numbers(1.0 if weights is None else weights, f"{name}: weights").double()
        area = _spread(f"{name}: weights", area, grid)
        if normalised and not (bool((area >= 0).all()) and float(area.sum()) > 0):
            raise InputError(f"{name}: weights are negative or all 0, expected areas")
        return cls(area / area.sum() if normalised else area, tuple(shape), name)

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(f"{self.name} of events of shape {self.shape} does not act on {tuple(x.shape[1:])}")
        sums = (x * self.weights.to(x)).flatten(x.ndim - self.weights.ndim).sum(-1)
        return sums if sums.ndim > 1 else sums[:, None]

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        channels = self.shape[: len(self.shape) - self.weights.ndim]
        return y.reshape(len(y), *channels, *[1] * self.weights.ndim) * self.weights.to(y)


def _of_sums(sums: Sums, value: Numbers | str, slack: float) -> Constraint:
    channels = sums.shape[: len(sums.shape) - sums.weights.ndim] or (1,)
    return Constraint(sums, value if isinstance(value, str) else _each(f"{sums.name}: value", value, channels), slack)


def _each(who: str, value: Numbers, shape: Sequence[int]) -> Tensor:
    """One number for all, or one each, for every sample or for each of them."""
    numbers = as_tensor(value, who)
    if isinstance(value, list | tuple | int | float) and numbers.dtype != torch.bool:
        numbers = torch.as_tensor(value, dtype=torch.float64)
    return _spread(who, numbers, shape) if numbers.ndim <= len(shape) else numbers


def _spread(who: str, values: Tensor, shape: Sequence[int]) -> Tensor:
    try:
        return values.expand(tuple(shape))
    except RuntimeError:
        raise InputError(f"{who} has the shape {tuple(values.shape)}, expected {tuple(shape)}") from None
