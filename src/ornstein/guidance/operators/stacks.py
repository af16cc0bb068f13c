"""Several operators of one event as one: stack(A, B)(x) = (A x, B x)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...errors import InputError
from .base import Operator, misfit, require_event, samples_of


@dataclass(frozen=True)
class Stack(Operator):
    """Several operators of one event as one, what each gives flattened and joined; see `stack`.

    Attributes:
        parts: the operators.
        shapes: of what each gives, without the batch axis.
    """

    parts: tuple[Operator, ...]
    shapes: tuple[tuple[int, ...], ...]

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch m"]:
        return torch.cat([part(x).flatten(1) for part in self.parts], 1)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        sizes = [prod(shape) for shape in self.shapes]
        if y.shape[1:] != (sum(sizes),):
            raise misfit("the adjoint of a stack", y, f"({sum(sizes)},), what its parts give: {self.shapes}")
        each = zip(self.parts, y.split(sizes, 1), self.shapes, strict=True)
        backs = [part.adjoint(piece.reshape(len(y), *shape)) for part, piece, shape in each]
        return sum(backs[1:], backs[0])

    def normal(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        each = [part.normal(x) for part in self.parts]
        return sum(each[1:], each[0])

    @property
    def samples(self) -> int | None:
        return samples_of(*self.parts)

    def _taken(self, index: Any) -> Operator:
        return Stack(tuple(part.take(index) for part in self.parts), self.shapes)


def stack(*operators: Operator, shape: Sequence[int], complex: bool = False) -> Stack:
    """Several operators of one event as one: y is what each gives, flattened (torch.flatten) and joined in order.

    Where one of them gives complex numbers, all do. `denoiser & a & b` stacks its measurements by itself; one `std` for
    each is then one an element.

    Args:
        operators: one or more.
        shape: of an event, without the batch axis.
        complex: events are complex.

    Errors: InputError if there are none, or one does not act on events of that shape.
    """
    if not operators:
        raise InputError("nothing to stack: give one operator or more")
    require_event("stack", shape)
    event = torch.zeros(samples_of(*operators) or 1, *shape, dtype=torch.complex64 if complex else torch.float32)
    return Stack(operators, tuple(tuple(operator(event).shape[1:]) for operator in operators))
