"""Pixels to files and back: PNG, GIF, tiles."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image


def png(pixels: np.ndarray, quick: bool = False) -> bytes:
    """A PNG file of (height, width, 1 or 3 channels) uint8.

    Args:
        pixels: picture as bytes.
        quick: larger, but made in a fifth of the time: of pictures that are looked at for a moment.
    """
    buffer = BytesIO()
    _image(pixels).save(buffer, "png", **({"compress_level": 1} if quick else {"optimize": True}))
    return buffer.getvalue()


def gif(frames: Sequence[np.ndarray], seconds: float = 0.08, rest: float = 1.5) -> bytes:
    """An endless animation that rests on its last frame.

    Args:
        frames: pictures in their order.
        seconds: time of each frame.
        rest: seconds for which the last frame stays.
    """
    buffer = BytesIO()
    first, *others = [_image(frame) for frame in frames]
    durations = [round(1000 * seconds)] * len(others) + [round(1000 * rest)]
    first.save(buffer, "gif", save_all=True, append_images=others, duration=durations, loop=0)
    return buffer.getvalue()


def tile(pixels: np.ndarray, columns: int, zoom: int = 1, gap: int = 2) -> np.ndarray:
    """(n, height, width, channels) pictures in rows of `columns`, each pixel `zoom` wide, on a white ground.

    Args:
        pixels: picture as bytes, (height, width, channels).
        gap: pixels between the parts.
    """
    n, height, width, channels = pixels.shape
    rows = -(-n // columns)
    pixels = pixels.repeat(zoom, 1).repeat(zoom, 2)
    cell = (height * zoom + gap, width * zoom + gap)
    canvas = np.full((rows * cell[0] - gap, columns * cell[1] - gap, channels), 255, dtype=np.uint8)
    for k, picture in enumerate(pixels):
        top, left = (k // columns) * cell[0], (k % columns) * cell[1]
        canvas[top : top + height * zoom, left : left + width * zoom] = picture
    return canvas


def mosaic(cells: np.ndarray, palette: np.ndarray, width: int = 6, height: int = 10) -> np.ndarray:
    """(rows · height, columns · width, 3) pixels of a table of numbers, each a colour of the palette (colours, 3).

    Args:
        cells: index of the colour of each cell.
    """
    return palette.astype(np.uint8)[cells].repeat(height, 0).repeat(width, 1)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
