"""An operator is a linear map y = A x with its adjoint, sample by sample:

(A @ B)(x) = A(B(x)),      ⟨A x, y⟩ = ⟨x, Aᵀ y⟩
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Inexact
from torch import Tensor

from ...errors import InputError


class Operator(ABC):
    """A linear map from events to measurements, sample by sample."""

    @abstractmethod
    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        """Aᵀ y."""

    def __matmul__(self, inner: "Operator") -> "Operator":
        return Composition(self, inner)


@dataclass(frozen=True)
class Composition(Operator):
    """outer(inner(x))."""

    outer: Operator
    inner: Operator

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.outer(self.inner(x))

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.inner.adjoint(self.outer.adjoint(y))


def require_event(who: str, shape: Any) -> None:
    """InputError unless it is the shape of one event."""
    sides = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not sides or not all(isinstance(side, int) and side > 0 for side in shape):
        found = f"a {type(shape).__name__}" if isinstance(shape, Tensor) else repr(shape)
        raise InputError(f"{who}: shape is {found}, expected that of one event, such as (3, 32, 32)")


def misfit(who: str, x: Tensor) -> InputError:
    return InputError(f"{who} does not act on events of shape {tuple(x.shape[1:])}")
