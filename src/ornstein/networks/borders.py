"""Networks' side of what lies beyond the ends of a field (spectral/borders.py): padding, convolutions, and patches."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ..spectral.borders import Border, extended

Widths = Sequence[tuple[int, int]]
"""How many elements before and after the field, axis by axis."""


def padded(x: Float[Tensor, "batch c *grid"], widths: Widths, borders: Sequence[Border]) -> Tensor:
    """The field with elements before and after it, by the rule of each border, of any width.

    Args:
        x: a field, (batch, channels, *grid).
        widths: how many elements before and after, axis by axis.
        borders: the rule of each axis.
    """
    for axis, ((before, after), border) in enumerate(zip(widths, borders, strict=True), 2):
        x = extended(x, axis, before, after, border)
    return x


def padding(grid: Sequence[int], factor: int) -> list[tuple[int, int]]:
    """How many elements before and after each axis make its length a multiple of the factor."""
    return [(-n % factor // 2, -n % factor - -n % factor // 2) for n in grid]


def cropped(x: Tensor, widths: Widths) -> Tensor:
    """A field without the elements that `padded` has put before and after it."""
    for axis, (before, after) in enumerate(widths, 2):
        x = x.narrow(axis, before, x.shape[axis] - before - after) if before or after else x
    return x


class _Bordered(nn.Module):
    """A convolution that sees beyond the borders what they say, and zeros where they say nothing."""

    def __init__(
        self, into: int, out: int, kernel: int, stride: int, borders: Sequence[Border], bias: bool = True
    ) -> None:
        beyond = kernel // 2
        zeros = tuple(beyond if border == "zero" else 0 for border in borders)
        super().__init__(into, out, kernel, stride, zeros, bias=bias)  # pyright: ignore[reportCallIssue]
        self.borders = tuple(borders)
        self.beyond = [(beyond - zero, beyond - zero) for zero in zeros]

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(padded(input, self.beyond, self.borders))


class Conv1d(_Bordered, nn.Conv1d):
    """A convolution over one axis."""


class Conv2d(_Bordered, nn.Conv2d):
    """A convolution over two axes."""


class Conv3d(_Bordered, nn.Conv3d):
    """A convolution over three axes."""


def convolution(
    borders: Sequence[Border], into: int, out: int, kernel: int = 3, stride: int = 1, bias: bool = True
) -> Any:
    """A convolution over as many axes as there are borders, that keeps the length of each or divides it by the stride.

    Args:
        borders: the rule of each axis.
        into, out: channels.
        kernel: elements a side, an odd number.
        stride: by which the length of each axis is divided.
        bias: whether a constant is added to each channel.
    """
    return (Conv1d, Conv2d, Conv3d)[len(borders) - 1](into, out, kernel, stride, borders, bias)


def space_to_depth(x: Float[Tensor, "batch c *grid"], patch: int) -> Tensor:
    """(batch, channels · patch^axes, *grid/patch): the elements of a patch as channels.

    Args:
        x: a field, (batch, channels, *grid).
        patch: elements a side.
    """
    if patch == 1:
        return x
    batch, channels, *grid = x.shape
    axes = range(len(grid))
    split = x.reshape(batch, channels, *chain.from_iterable((n // patch, patch) for n in grid))
    inside, places = [3 + 2 * axis for axis in axes], [2 + 2 * axis for axis in axes]
    return split.permute(0, 1, *inside, *places).flatten(1, 1 + len(grid))


def depth_to_space(x: Float[Tensor, "batch c *grid"], patch: int) -> Tensor:
    """The field whose patches `space_to_depth` has made channels.

    Args:
        x: a field, (batch, channels, *grid).
        patch: elements a side.
    """
    if patch == 1:
        return x
    batch, channels, *grid = x.shape
    axes = range(len(grid))
    split = x.reshape(batch, channels // patch ** len(grid), *[patch] * len(grid), *grid)
    order = chain.from_iterable((2 + len(grid) + axis, 2 + axis) for axis in axes)
    return split.permute(0, 1, *order).reshape(batch, -1, *(n * patch for n in grid))
