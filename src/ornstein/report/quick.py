"""Pictures of samples on their way, made in milliseconds: a lookup of colours and lines of pixels, and no axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from ..deferred import deferred
from ..tasks.figures import Figure
from . import pictures

if TYPE_CHECKING:
    import matplotlib
else:
    matplotlib = deferred("matplotlib")

_BLANK = 255
"""The colour, white, of what is between fields, and where one is NaN."""
_SMALLEST, LARGEST, _ALONE = 96, 160, 480
"""Pixels of the shorter side of a field, at least, and of its longer one, at most; of one that is alone."""
_INKS = ("#1f4e79", "#c8553d", "#4f8a5b", "#8a5fa8", "#b8862d", "#3f8f9b")
_FINE = 2  # each pixel of a line is the mean of a square of 2 × 2


def fields(
    stack: Float[np.ndarray, "n h w"],
    limits: tuple[float, float],
    caption: str,
    palette: str = "viridis",
    upward: bool = False,
    columns: int | None = None,
) -> Figure:
    """Fields beside one another, in one scale of colours; where they are NaN they are white.

    Args:
        stack: of the fields.
        limits: the values of the first colour and of the last one, which those beyond them have, too.
        caption: text below the figure.
        palette: of matplotlib.
        upward: whether the first row is at the bottom.
        columns: in a row; found by their number if not given.
    """
    largest = LARGEST if len(stack) > 1 else _ALONE
    step = max(1, -(-max(stack.shape[1:]) // largest))
    some = stack[:, ::step, ::step]
    cells = _levels(some[:, ::-1] if upward else some, limits)
    zoom = max(1, min(-(-_SMALLEST // min(cells.shape[1:])), largest // max(cells.shape[1:])))
    tiled = pictures.tile(cells[..., None], columns or min(len(cells), 8), zoom, gap=4)
    image = Image.fromarray(tiled[..., 0])
    image.putpalette([*_colours(palette).ravel().tolist(), _BLANK, _BLANK, _BLANK])
    return Figure(_png(image), caption, width=image.width)


def lines(
    members: Float[np.ndarray, "n points"],
    limits: tuple[float, float],
    caption: str,
    size: tuple[int, int] = (640, 240),
) -> Figure:
    """Each sample as a line, from the left to the right.

    Args:
        members: the samples.
        limits: the values at the bottom and at the top.
        caption: text below the figure.
        size: (width, height) of the picture.
    """
    image, draw = _canvas(size)
    across = np.linspace(0, 1, members.shape[1])
    for k, line in enumerate(members):
        places = _placed(np.stack([across, (line - limits[0]) / (limits[1] - limits[0])], 1), size)
        draw.line([tuple(place) for place in places.tolist()], fill=_INKS[k % len(_INKS)], width=2 * _FINE)
    return Figure(_png(image.reduce(_FINE)), caption, width=size[0])


def dots(
    points: Sequence[Float[np.ndarray, "n 2"]],
    extent: tuple[float, float, float, float],
    caption: str,
    ground: UInt8[np.ndarray, "h w 3"] | None = None,
    radius: float = 4.0,
) -> Figure:
    """Points on a plane, each group in a colour of its own.

    Args:
        points: groups of points.
        extent: of the plane: (left, right, bottom, top).
        caption: text below the figure.
        ground: a picture that fills it; white if not given.
        radius: of a point, pixels.
    """
    size = (400, 400)
    image, draw = _canvas(size, ground)
    left, right, bottom, top = extent
    for k, group in enumerate(points):
        shares = (group - [left, bottom]) / [right - left, top - bottom]
        for x, y in _placed(shares[np.isfinite(shares).all(1)], size).tolist():
            reach = radius * _FINE
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), _INKS[k % len(_INKS)], "white", _FINE)
    return Figure(_png(image.reduce(_FINE)), caption, width=size[0])


def plane(
    field: Float[np.ndarray, "h w"],
    at: tuple[Float[np.ndarray, " h"], Float[np.ndarray, " w"]],
    extent: tuple[float, float, float, float],
    caption: str,
    palette: str = "viridis",
) -> Figure:
    """A field that fills an extent exactly: in every pixel the value of the row and the column that are nearest.

    Args:
        field: on lines of a grid.
        at: where its rows and its columns are.
        extent: of the picture: (left, right, bottom, top), in the units of these.
        caption: text below the figure.
        palette: of matplotlib.
    """
    left, right, bottom, top = extent
    middles = (np.arange(_ALONE) + 0.5) / _ALONE
    rows, columns = (
        np.abs(np.asarray(lines)[:, None] - (first + (last - first) * middles)).argmin(0)
        for lines, first, last in ((at[0], top, bottom), (at[1], left, right))
    )
    pixels = coloured(field[np.ix_(rows, columns)], range_of(field), palette)
    return Figure(pictures.png(pixels, quick=True), caption, width=_ALONE)


def coloured(
    field: Float[np.ndarray, "h w"], limits: tuple[float, float], palette: str = "viridis"
) -> UInt8[np.ndarray, "h w 3"]:
    """A field as pixels, white where it is NaN.

    Args:
        field: the first row at the top.
        limits: the values of the first colour and of the last one.
        palette: of matplotlib.
    """
    return np.concatenate([_colours(palette), np.full((1, 3), _BLANK, np.uint8)])[_levels(field, limits)]


def range_of(values: Float[np.ndarray, "*shape"], share: float = 0.01, signed: bool = False) -> tuple[float, float]:
    """The limits that all but a share of the values at either end lie within; never empty.

    Args:
        values: in any unit; NaN is left out.
        share: at either end.
        signed: as far below 0 as above.
    """
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [share, 1 - share]).tolist() if finite.size else (0.0, 1.0)
    if signed:
        high = max(abs(low), abs(high))
        low = -high
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _levels(stack: np.ndarray, limits: tuple[float, float]) -> UInt8[np.ndarray, "*shape"]:
    low, high = limits
    levels = np.clip((stack - low) * (254 / (high - low)), 0, 254)
    return np.where(np.isnan(levels), _BLANK, np.nan_to_num(levels)).astype(np.uint8)


@cache
def _colours(palette: str) -> UInt8[np.ndarray, "colours 3"]:
    return (matplotlib.colormaps[palette](np.linspace(0, 1, 255))[:, :3] * 255).round().astype(np.uint8)


def _canvas(size: tuple[int, int], ground: np.ndarray | None = None) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    fine = (size[0] * _FINE, size[1] * _FINE)
    image = Image.new("RGB", fine, "white") if ground is None else Image.fromarray(ground).resize(fine)
    return image, ImageDraw.Draw(image)


def _placed(shares: Float[np.ndarray, "n 2"], size: tuple[int, int]) -> Float[np.ndarray, "n 2"]:
    """Shares of the width and, from below, of the height as pixels; far ones just beyond the border."""
    return np.clip(shares * [1, -1] + [0, 1], -1, 2) * size * _FINE


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()
