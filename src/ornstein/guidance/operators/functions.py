"""Operators of functions: of two that are the two directions, of one that is linear, of the derivative of any."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Inexact
from torch import Tensor

from .base import Operator, require_event


@dataclass(frozen=True, eq=False)
class LinearFunction(Operator):
    """An operator whose two directions are functions.

    Attributes:
        forward: A x of a batch of events.
        backward: its adjoint, Aᴴ y of a batch.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.forward(x)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.backward(y)


def linear(function: Callable[[Tensor], Tensor], shape: tuple[int, ...], complex: bool = False) -> Operator:
    """The operator of a differentiable function that is linear; its adjoint comes from its gradient.

    Args:
        function: of a batch of events.
        shape: of an event, without the batch axis.
        complex: events are complex. If not, a real function acts on the two parts of complex ones.
    """
    require_event("linear", shape)

    def adjoint(y: Tensor) -> Tensor:
        precision = y.dtype.to_real() if y.is_complex() else y.dtype
        origin = y.new_zeros((len(y), *shape), dtype=precision.to_complex() if complex else precision)
        value, pullback, *_ = torch.func.vjp(function, origin)
        if y.is_complex() and not value.is_complex():
            return torch.complex(pullback(y.real)[0], pullback(y.imag)[0])
        return pullback(y.to(value.dtype))[0]

    return LinearFunction(function, adjoint)


def tangent(function: Callable[[Tensor], Tensor], x: Inexact[Tensor, "batch ..."]) -> tuple[Tensor, Operator]:
    """function(x) and the operator that is its derivative there: function(x + v) ≈ function(x) + A v."""
    value, pullback, *_ = torch.func.vjp(function, x)
    return value, LinearFunction(lambda v: torch.func.jvp(function, (x,), (v,))[1], lambda y: pullback(y)[0])
