"""Operators of functions: of two that are the two directions, of one that is linear, of the derivative of any."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from .base import Operator, require_event


@dataclass(frozen=True, eq=False)
class LinearFunction(Operator):
    """An operator whose two directions are functions."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.forward(x)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.backward(y)


def linear(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Operator:
    """The operator of a differentiable function that is linear; its adjoint comes from its gradient.

    shape: of an event, without the batch axis.
    """

    require_event("linear", shape)

    def adjoint(y: Tensor) -> Tensor:
        return torch.func.vjp(function, y.new_zeros(len(y), *shape))[1](y)[0]

    return LinearFunction(function, adjoint)


def tangent(function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch ..."]) -> tuple[Tensor, Operator]:
    """function(x) and the operator that is its derivative there: function(x + v) ≈ function(x) + A v."""
    value, pullback, *_ = torch.func.vjp(function, x)
    return value, LinearFunction(lambda v: torch.func.jvp(function, (x,), (v,))[1], lambda y: pullback(y)[0])
