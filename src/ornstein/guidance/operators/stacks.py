"""Several operators of one event as one: stack(A, B)(x) = (A x, B x)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from .base import Operator, require_event


@dataclass(frozen=True)
class Stack(Operator):
    """Several operators of one event as one, what each gives flattened and joined; see `stack`.

    Attributes:
        shapes: of what each gives, without the batch axis.
    """

    parts: tuple[Operator, ...]
    shapes: tuple[tuple[int, ...], ...]

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch m"]:
        return torch.cat([part(x).flatten(1) for part in self.parts], 1)

    def adjoint(self, y: Float[Tensor, "batch m"]) -> Float[Tensor, "batch ..."]:
        pieces = y.split([prod(shape) for shape in self.shapes], 1)
        each = zip(self.parts, pieces, self.shapes, strict=True)
        return torch.stack([part.adjoint(piece.reshape(len(y), *shape)) for part, piece, shape in each]).sum(0)


def stack(*operators: Operator, shape: Sequence[int]) -> Stack:
    """Several operators of one event as one: y is what each gives, flattened (torch.flatten) and joined in order.

    `denoiser & a & b` stacks its measurements by itself; one `std` for each is then one an element.

    shape: of an event, without the batch axis.
    """
    if not operators:
        raise InputError("nothing to stack: give one operator or more")
    require_event("stack", shape)
    event = torch.zeros(1, *shape)
    return Stack(operators, tuple(tuple(operator(event).shape[1:]) for operator in operators))
