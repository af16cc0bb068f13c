"""What lies beyond the edges of a field, along one axis: E x is longer than x by some cells before and after.

    zero       0 0 | a b c | 0 0         a field that is zero outside (Dirichlet)
    periodic   b c | a b c | a b
    reflect    c b | a b c | b a         mirrored in the outermost points (Neumann, points on the border)
    symmetric  b a | a b c | c b         mirrored in their outer edges (Neumann, border half a cell outside)

`folded` is the adjoint of `extended`: what was read from a cell twice is added to it twice.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...errors import InputError
from .base import each_axis

Border = Literal["zero", "periodic", "reflect", "symmetric"]
BORDERS = ("zero", "periodic", "reflect", "symmetric")


def borders_of(who: str, borders: Any, count: int) -> tuple[Border, ...]:
    """One word for each of so many axes; InputError for a word that is none."""
    words = each_axis(who, "borders", borders, count)
    for word in words:
        if word not in BORDERS:
            raise InputError(f"{who}: borders is {word!r}, expected one of {', '.join(BORDERS)}")
    return words


def require_reach(who: str, size: int, before: int, after: int, border: Border) -> None:
    """InputError if an axis is too short to be extended so far by its own values."""
    most = {"zero": max(before, after), "reflect": size - 1}.get(border, size)
    if max(before, after) > most:
        raise InputError(
            f"{who}: an axis of {size} cells is extended by {max(before, after)}, expected {most} at most for borders "
            f"{border!r}"
        )


def extended(
    x: Inexact[Tensor, "batch ..."], axis: int, before: int, after: int, border: Border
) -> Inexact[Tensor, "batch ..."]:
    """x with so many cells more before and after it along an axis."""
    head, tail = (_outside(x, axis, *of, border) for of in _sources(x.shape[axis], before, after, border))
    return torch.cat([head, x, tail], axis) if before + after else x


def folded(
    y: Inexact[Tensor, "batch ..."], axis: int, before: int, after: int, border: Border
) -> Inexact[Tensor, "batch ..."]:
    """The adjoint of `extended`."""
    size = y.shape[axis] - before - after
    x = y.narrow(axis, before, size)
    if border == "zero" or not before + after:
        return x
    x = x.clone()
    places = (0, before), (before + size, after)
    for (start, count), (place, _) in zip(_sources(size, before, after, border), places, strict=True):
        outside = y.narrow(axis, place, count)
        x.narrow(axis, start, count).add_(outside if border == "periodic" else outside.flip(axis))
    return x


def _sources(size: int, before: int, after: int, border: Border) -> Sequence[tuple[int, int]]:
    """Where the cells before and after come from: the first of them in x, and how many."""
    if border == "periodic":
        return (size - before, before), (0, after)
    edge = 1 if border == "reflect" else 0
    return (edge, before), (size - edge - after, after)


def _outside(x: Tensor, axis: int, start: int, count: int, border: Border) -> Tensor:
    if border == "zero":
        return x.new_zeros((*x.shape[:axis], count, *x.shape[axis + 1 :]))
    inside = x.narrow(axis, start, count)
    return inside if border == "periodic" else inside.flip(axis)
