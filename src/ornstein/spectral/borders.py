"""What lies beyond the ends of a field, along one axis: E x is longer than x by some cells before and after.

    zero       0 0 | a b c | 0 0         a field that is zero outside (Dirichlet, one cell outside)
    periodic   b c | a b c | a b         itself again
    reflect    c b | a b c | b a         mirrored in its outermost points (Neumann, points on the border)
    symmetric  b a | a b c | c b         mirrored in their outer edges (Neumann, border half a cell outside)

The words are NumPy's (`numpy.pad`, whose modes constant and wrap are zero and periodic here), and mean the same in
networks, operators and windows. `folded` is the adjoint of `extended`: what was read from a cell twice is added to it
twice. Waves of such fields are in transforms.py: sine for zero, fourier for periodic, cosine for symmetric borders.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError

BORDERS = ("zero", "periodic", "reflect", "symmetric")
Border = str
"""One of BORDERS."""


def borders_of(who: str, borders: Any, count: int) -> tuple[Border, ...]:
    """One word for each of so many axes; InputError for a word that is none.

    Args:
        who: whose borders they are, for errors.
        borders: one word for all axes, or a list of one an axis.
        count: how many axes there are.
    """
    words = each_axis(who, "borders", borders, count)
    for word in words:
        if word not in BORDERS:
            raise InputError(f"{who}: borders is {word!r}, expected one of {', '.join(BORDERS)}")
    return words


def each_axis(who: str, what: str, value: Any, count: int) -> tuple[Any, ...]:
    """One value for each of so many axes, given as one for all or as a list; InputError for a list that is no fit.

    Args:
        who, what: whose value it is, and its name, for errors.
        value: one, or a list.
        count: how many axes there are.
    """
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * count
    if len(values) != count:
        raise InputError(f"{who}: {what} has {len(values)} entries, {value}, expected one, or one for each of {count}")
    return values


def require_reach(who: str, size: int, before: int, after: int, border: Border) -> None:
    """InputError if an axis would be mirrored, or go round, more than once.

    Args:
        who: extends it, for errors.
        size: cells of the axis.
        before, after: cells by which it is extended.
        border: what they hold.
    """
    most = {"zero": max(before, after), "reflect": size - 1}.get(border, size)
    if max(before, after) > most:
        raise InputError(
            f"{who}: an axis of {size} cells is extended by {max(before, after)}, expected {most} at most for borders "
            f"{border!r}"
        )


def extended(
    x: Inexact[Tensor, "batch ..."], axis: int, before: int, after: int, border: Border
) -> Inexact[Tensor, "batch ..."]:
    """x with so many cells more before and after it along an axis, any number of them.

    Args:
        x: fields.
        axis: of the batch, counted from its first.
        before, after: how many cells more.
        border: what they hold.
    """
    if not before + after:
        return x
    if border == "zero":
        return F.pad(x, (0, 0) * (x.ndim - 1 - axis) + (before, after))
    head, tail = (_pieces(x.shape[axis], width, border, side) for width, side in ((before, False), (after, True)))
    beyond = [[_read(x, axis, *piece) for piece in pieces] for pieces in (head, tail)]
    return torch.cat([*beyond[0][::-1], x, *beyond[1]], axis)


def folded(
    y: Inexact[Tensor, "batch ..."], axis: int, before: int, after: int, border: Border
) -> Inexact[Tensor, "batch ..."]:
    """The adjoint of `extended`.

    Args:
        y: longer fields.
        axis: of the batch, counted from its first.
        before, after: how many of their cells lie beyond the ends.
        border: what they hold.
    """
    size = y.shape[axis] - before - after
    x = y.narrow(axis, before, size)
    if border == "zero" or not before + after:
        return x
    x, place = x.clone(), before
    for start, length, mirrored in _pieces(size, before, border, False):
        place -= length
        x.narrow(axis, start, length).add_(_read(y, axis, place, length, mirrored))
    place = before + size
    for start, length, mirrored in _pieces(size, after, border, True):
        x.narrow(axis, start, length).add_(_read(y, axis, place, length, mirrored))
        place += length
    return x


def _pieces(size: int, width: int, border: Border, after: bool) -> Iterator[tuple[int, int, bool]]:
    """Where the cells beyond one end come from, outwards: the first of them in x, how many, and whether mirrored."""
    edge = 1 if border == "reflect" and size > 1 else 0
    mirrored = border != "periodic"
    while width > 0:
        length = min(size - edge, width)
        yield size - edge - length if mirrored == after else edge, length, mirrored
        width, mirrored = width - length, border != "periodic" and not mirrored


def _read(x: Tensor, axis: int, start: int, length: int, mirrored: bool) -> Tensor:
    piece = x.narrow(axis, start, length)
    return piece.flip(axis) if mirrored else piece
