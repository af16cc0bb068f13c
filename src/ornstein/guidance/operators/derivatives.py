"""Finite differences of fields on regular grids, with what lies beyond their edges (ornstein.spectral.borders).

    forward   (xᵢ₊₁ − xᵢ) / h         backward  (xᵢ − xᵢ₋₁) / h
    central   (xᵢ₊₁ − xᵢ₋₁) / 2h      Laplacian  Σ_axes (xᵢ₊₁ − 2 xᵢ + xᵢ₋₁) / h²

Each is a stencil along one axis; its adjoint is the stencil turned around, and what was read beyond an edge is added to
where it was read from. For zero and periodic borders the backward divergence is −1 times the adjoint of the forward
gradient, and their product the Laplacian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor
from torch.nn.functional import pad

from ...errors import InputError
from ...spectral.borders import Border, borders_of, each_axis, extended, folded, require_reach
from ...values import is_number
from .base import Operator, require_axes


@dataclass(frozen=True)
class Stencil:
    """A sum of neighbours along one axis: coefficient k is of the cell k − before."""

    coefficients: tuple[float, ...]
    before: int

    @property
    def after(self) -> int:
        return len(self.coefficients) - 1 - self.before

    def __call__(self, x: Tensor, axis: int, border: Border) -> Tensor:
        require_reach("differences", x.shape[axis], self.before, self.after, border)
        size, longer = x.shape[axis], extended(x, axis, self.before, self.after, border)
        return _total([c * longer.narrow(axis, k, size) for k, c in enumerate(self.coefficients) if c])

    def adjoint(self, y: Tensor, axis: int, border: Border) -> Tensor:
        require_reach("differences", y.shape[axis], self.before, self.after, border)
        most, rest = len(self.coefficients) - 1, (0, 0) * (y.ndim - 1 - axis)
        longer = [pad(c * y, (*rest, k, most - k)) for k, c in enumerate(self.coefficients) if c]
        return folded(_total(longer), axis, self.before, self.after, border)


STENCILS = {
    "forward": Stencil((-1.0, 1.0), 0),
    "backward": Stencil((-1.0, 1.0), 1),
    "central": Stencil((-0.5, 0.0, 0.5), 1),
}
SECOND = Stencil((1.0, -2.0, 1.0), 1)


@dataclass(frozen=True)
class _Differences(Operator):
    """What differences along the last axes share.

    Attributes:
        axes: how many of the last axes of an event are space.
        spacing: distance of neighbours, in the unit of the coordinates; one number, or one an axis.
        borders: what lies beyond the edges: "zero", "periodic", "reflect" or "symmetric"; one word, or one an axis.
    """

    axes: int = 2
    spacing: float | Sequence[float] = 1.0
    borders: str | Sequence[str] = "zero"

    def __post_init__(self) -> None:
        who = type(self).__name__
        if not isinstance(self.axes, int) or self.axes < 1:
            raise InputError(f"{who}: axes is {self.axes!r}, expected how many of an event's last axes are space")
        spacing = each_axis(who, "spacing", self.spacing, self.axes)
        if not all(is_number(h) and h > 0 for h in spacing):
            raise InputError(f"{who}: spacing is {self.spacing}, expected positive distances")
        borders_of(who, self.borders, self.axes)

    def _each(self, x: Tensor) -> list[tuple[int, Any, Border]]:
        """Each axis of space, of a batch, with its spacing and border."""
        who, places = type(self).__name__, range(x.ndim - self.axes, x.ndim)
        spacing = each_axis(who, "spacing", self.spacing, self.axes)
        return list(zip(places, spacing, borders_of(who, self.borders, self.axes), strict=True))

    def _space(self, *before: int) -> tuple[int | str, ...]:
        return (*before, *("dhw"[-self.axes :] if self.axes <= 3 else "n" * self.axes))


@dataclass(frozen=True)
class Gradient(_Differences):
    """The slopes along the last axes, (..., h, w) → (..., 2, h, w).

    Attributes:
        scheme: "central", "forward" or "backward" differences.
    """

    scheme: str = "central"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_scheme("Gradient", self.scheme)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("Gradient", x, self._space())
        slopes = [STENCILS[self.scheme](x, axis, border) / h for axis, h, border in self._each(x)]
        return torch.stack(slopes, x.ndim - self.axes)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("the adjoint of Gradient", y, self._space(self.axes))
        parts = y.unbind(y.ndim - self.axes - 1)
        each = zip(parts, self._each(parts[0]), strict=True)
        return _total([STENCILS[self.scheme].adjoint(part, axis, border) / h for part, (axis, h, border) in each])


@dataclass(frozen=True)
class Divergence(_Differences):
    """The sum of the slopes of a vector field, each component along its own axis, (..., 2, h, w) → (..., h, w).

    Attributes:
        scheme: "central", "forward" or "backward" differences.
    """

    scheme: str = "central"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_scheme("Divergence", self.scheme)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("Divergence", x, self._space(self.axes))
        parts = x.unbind(x.ndim - self.axes - 1)
        each = zip(parts, self._each(parts[0]), strict=True)
        return _total([STENCILS[self.scheme](part, axis, border) / h for part, (axis, h, border) in each])

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("the adjoint of Divergence", y, self._space())
        slopes = [STENCILS[self.scheme].adjoint(y, axis, border) / h for axis, h, border in self._each(y)]
        return torch.stack(slopes, y.ndim - self.axes)


@dataclass(frozen=True)
class Laplacian(_Differences):
    """The sum of the second differences along the last axes.

    Borders "zero" are Dirichlet's: the field is 0 one cell outside. "symmetric" are Neumann's with the border half a
    cell outside of the last points, "reflect" with the last points on the border.
    """

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("Laplacian", x, self._space())
        return _total([SECOND(x, axis, border) / h**2 for axis, h, border in self._each(x)])

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("the adjoint of Laplacian", y, self._space())
        return _total([SECOND.adjoint(y, axis, border) / h**2 for axis, h, border in self._each(y)])


def _require_scheme(who: str, scheme: Any) -> None:
    if scheme not in STENCILS:
        raise InputError(f"{who}: scheme is {scheme!r}, expected one of {', '.join(STENCILS)}")


def _total(terms: list[Tensor]) -> Tensor:
    return sum(terms[1:], terms[0])
