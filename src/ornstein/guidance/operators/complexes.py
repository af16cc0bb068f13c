"""Complex numbers at the user's side, their real and imaginary parts inside: states and noise are real."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from jaxtyping import Complex as ComplexNumbers
from jaxtyping import Float, Inexact
from torch import Tensor

from ...errors import InputError
from .base import Operator, as_complex, axis_of, misfit, real_part, require_axes, require_inexact, require_real

_LAYOUTS = ("pair", "interleaved", "halves")


@dataclass(frozen=True)
class Complex(Operator):
    """The complex field whose real and imaginary parts a real state holds along one axis.

    Attributes:
        axis: of the event, counted from its first (0, …) or its last (−1, …).
        layout: "pair": the axis has length 2 and goes, (2, h, w) is a field (h, w). Of more channels, (2c, h, w) is
            (c, h, w): "interleaved", real and imaginary parts by turns, or "halves", the real parts of all first.
    """

    axis: int = 0
    layout: str = "pair"

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int):
            raise InputError(f"Complex: axis is {self.axis!r}, expected that of an event, 0, 1, … or −1, −2, …")
        if self.layout not in _LAYOUTS:
            raise InputError(f"Complex: layout is {self.layout!r}, expected one of {', '.join(_LAYOUTS)}")

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> ComplexNumbers[Tensor, "batch ..."]:
        require_inexact("Complex()", x)
        require_real("Complex()", x, "the field as it is")
        axis = axis_of("Complex", self.axis, x.ndim)
        self._require(x, axis)
        if self.layout == "interleaved":
            x, axis = x.unflatten(axis, (-1, 2)), axis + 1
        elif self.layout == "halves":
            x = x.unflatten(axis, (2, -1))
        return torch.complex(x.select(axis, 0), x.select(axis, 1))

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        parts = torch.view_as_real(as_complex(y).resolve_conj())
        if self.layout == "pair":
            return parts.movedim(-1, axis_of("the adjoint of Complex", self.axis, parts.ndim))
        axis = axis_of("the adjoint of Complex", self.axis, y.ndim)
        return parts.movedim(-1, axis + (self.layout == "interleaved")).flatten(axis, axis + 1)

    def _require(self, x: Tensor, axis: int) -> None:
        length, who = x.shape[axis], f"Complex(axis={self.axis}, layout={self.layout!r})"
        if self.layout == "pair" and length != 2:
            more = ' (of 2c channels with layout="interleaved" or "halves")' if length % 2 == 0 else ""
            raise misfit(who, x, f"real and imaginary parts, 2 along axis {self.axis}{more}")
        if length % 2:
            raise misfit(who, x, f"as many imaginary as real parts, an even number along axis {self.axis}")


@dataclass(frozen=True)
class RealParts(Operator):
    """The real and imaginary parts, along a new last axis, of an operator that gives complex numbers of real ones."""

    operator: Operator

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ... 2"]:
        return _parts(self.operator(x))

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        require_axes("the adjoint of the parts of complex numbers", y, (2,))
        return real_part(self.operator.adjoint(torch.view_as_complex(y.contiguous())))

    def normal(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return real_part(self.operator.normal(x))

    @property
    def samples(self) -> int | None:
        return self.operator.samples

    def _taken(self, index: Any) -> Operator:
        return RealParts(self.operator.take(index))


def real_parts(operator: "Operator | Callable[[Tensor], Tensor]") -> Any:
    """An operator, or a function, that gives real and imaginary parts in place of complex numbers."""
    if isinstance(operator, Operator):
        return RealParts(operator)

    @wraps(operator)
    def parts(x: Tensor) -> Tensor:
        return _parts(operator(x))

    return parts


def _parts(seen: Any) -> Tensor:
    if not isinstance(seen, Tensor) or not seen.is_complex():
        found = f"numbers of {seen.dtype}" if isinstance(seen, Tensor) else f"a {type(seen).__name__}"
        raise InputError(f"y is complex, but the operator gives {found}, expected complex numbers")
    return torch.view_as_real(seen.resolve_conj())
