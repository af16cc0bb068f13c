"""Pictures (n, channels, height, width) from −1 (black) to 1 (white) as figures: walls of them, and trajectories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..tasks.figures import Figure
from . import pictures

SHOWN = 10  # pictures in a trajectory
_WIDTH = 900  # pixels of a wall on a page
_SMALLEST, _LARGEST = 40, 128  # pixels of a picture in it


def to_bytes(x: Float[Tensor, "n c h w"]) -> UInt8[np.ndarray, "n h w c"]:
    """256 levels; values outside are clipped."""
    levels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.movedim(1, -1).numpy()


def columns_of(n: int) -> int:
    """In how many columns n pictures are well seen: few of them large, many of them small."""
    return min(n, 8 if n <= 40 else 20)


def wall(x: Float[Tensor, "n c h w"], columns: int, caption: str, quick: bool = False) -> Figure:
    """The pictures in rows of `columns`.

    Args:
        x: pictures, (n, channels, height, width), from −1 (black) to 1 (white).
        caption: text below the figure.
        quick: see `pictures.png`.
    """
    tiled = _tiled(x, columns)
    n, _, height, w = x.shape
    alt = f"{n} pictures of {height} by {w} pixels in rows of {columns}: {caption}"
    return Figure(pictures.png(tiled, quick), caption, width=tiled.shape[1], alt=alt)


def trajectory(frames: Sequence[Any]) -> list[Figure]:
    """The first of the pictures (n, c, h, w) of each frame: moving, and as a strip in which time runs to the right."""
    states = torch.stack([frame[:SHOWN] for frame in frames])
    steps, n = states.shape[:2]
    shown = torch.linspace(0, steps - 1, min(steps, 14)).round().long()
    strip = states[shown].transpose(0, 1).flatten(0, 1)
    moving = [_tiled(frame, n) for frame in [*states[:: max(1, steps // 30)], states[-1]]]
    return [
        Figure(
            pictures.gif(moving),
            "From static to picture",
            "gif",
            moving[0].shape[1],
            f"{n} pictures side by side that come out of noise in {steps} steps",
        ),
        wall(strip, len(shown), f"The same step by step: {len(shown)} of {steps}"),
    ]


def summary(mean: Float[Tensor, "c h w"], std: Float[Tensor, "c h w"], n: int) -> Figure:
    """The mean and, pixel by pixel, the standard deviation.

    Args:
        mean, std: of the pictures, from −1 (black) to 1 (white).
        n: how many they are of.
    """
    both = torch.stack([mean, std - 1])
    caption = f"Mean of {n} samples, and their standard deviation (white = 1, half of the range)"
    return Figure(pictures.png(pictures.tile(to_bytes(both), 2, zoom=10)), caption, width=170)


def _tiled(x: Tensor, columns: int) -> UInt8[np.ndarray, "height width c"]:
    pixels = to_bytes(x)
    height = min(_LARGEST, max(_SMALLEST, _WIDTH // columns))
    return pictures.tile(pixels, columns, zoom=-(-height // pixels.shape[1]))
