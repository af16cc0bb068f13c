"""Complex numbers and their real and imaginary parts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from .base import Operator


@dataclass(frozen=True)
class RealParts(Operator):
    """The real and imaginary parts, along a new last axis, of an operator that gives complex numbers."""

    operator: Operator

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ... 2"]:
        return _parts(self.operator(x))

    def adjoint(self, y: Float[Tensor, "batch ... 2"]) -> Float[Tensor, "batch ..."]:
        back = self.operator.adjoint(torch.view_as_complex(y.contiguous()))
        return back.real if back.is_complex() else back


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
