"""Pictures of sequences: an alignment, a colour a letter, and how it came out of the noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...report import pictures
from ...tasks.figures import Figure
from ...tasks.samples import Samples

SHOWN = 24
"""Samples of the alignment."""
_COLOURS = {
    **dict.fromkeys("AVLIMC", "#7fa8d1"), **dict.fromkeys("FWYH", "#9c6fb0"), **dict.fromkeys("ST NQ", "#8cc49a"),
    **dict.fromkeys("KR", "#d1605e"), **dict.fromkeys("DE", "#e59a5b"), "G": "#e8cf6a", "P": "#b5a48a",
}  # fmt: skip
_ROOM = 900  # pixels, the widest figure on a page
_LEGIBLE = 7  # pixels of a letter's width from which on it can be read
_BASES = {"A": "#6fae7f", "C": "#5b8fc9", "G": "#e8b64c", "T": "#cf5f5b", "U": "#cf5f5b"}


def of_samples(samples: Samples) -> list[Figure]:
    """The first samples below one another, and how they came out of the noise, if they carry that.

    Args:
        samples: of a model of this domain.
    """
    assert samples.origin is not None
    metadata, mask = samples.origin.metadata, samples.condition.get("mask")
    found = [alignment(samples.x[:SHOWN], metadata, None if mask is None else mask[:SHOWN])]
    return found + (trajectory(samples.trajectory, metadata) if samples.trajectory else [])


def alignment(
    x: Int[Tensor, "n length"], metadata: Mapping[str, Any], mask: Tensor | None = None, quick: bool = False
) -> Figure:
    """Sequences below one another, a colour a letter; gaps are white, hidden letters grey. The letters themselves are
    written where they can be read.

    Args:
        x: letters of the sequences, (n, length).
        metadata: of the data that the model was trained on, in JSON values.
        mask: true where a position exists.
        quick: see `pictures.png`.
    """
    cells = (x if mask is None else torch.where(mask, x, len(metadata["alphabet"]) + 1)).numpy()
    wide = min(12, _ROOM // x.shape[1])
    if wide >= _LEGIBLE:
        pixels, width = _written(cells, metadata, wide if quick else 2 * wide), wide * x.shape[1]
    else:
        pixels, width = pictures.mosaic(cells, _palette(metadata), *_cell(metadata)), _cell(metadata)[0] * x.shape[1]
    alt = f"A table of coloured cells: {len(x)} sequences, one a row, {x.shape[1]} letters each"
    caption = f"{len(x)} sequence{'s' if len(x) > 1 else ''}, a colour a kind of letter"
    return Figure(pictures.png(pixels, quick), caption, width=min(_ROOM, width), alt=alt)


def _written(cells: Int[np.ndarray, "n length"], metadata: Mapping[str, Any], wide: int) -> UInt8[np.ndarray, "h w 3"]:
    """The letters, black on their colours, each `wide` pixels wide."""
    tall, font = wide * 4 // 3, ImageFont.load_default(wide)
    tiles = []
    for letter, colour in zip([*metadata["alphabet"], "", ""], _palette(metadata), strict=True):
        tile = Image.new("RGB", (wide, tall), tuple(int(one) for one in colour))
        ImageDraw.Draw(tile).text((wide / 2, tall / 2), letter, fill="black", font=font, anchor="mm")
        tiles.append(np.asarray(tile))
    rows = np.stack(tiles)[cells].swapaxes(1, 2)  # n, tall, length, wide, 3
    return rows.reshape(len(cells) * tall, -1, 3)


def trajectory(frames: Sequence[Any], metadata: Mapping[str, Any], rows: int = 10) -> list[Figure]:
    """The same while they denoise: an animation, and one sequence step by step.

    Args:
        frames: states of the steps, noise first.
        metadata: of the data that the model was trained on, in JSON values.
        rows: sequences shown.
    """
    chosen = [frames[k] for k in np.linspace(0, len(frames) - 1, min(len(frames), 40)).astype(int)]
    palette, cell = _palette(metadata), _cell(metadata)
    images = [pictures.mosaic(frame[:rows].numpy(), palette, *cell) for frame in chosen]
    width = min(_ROOM, images[0].shape[1])
    strip = pictures.mosaic(torch.stack([frame[0] for frame in chosen]).numpy(), palette, cell[0], cell[1] // 2)
    alt = f"{len(images[0]) // cell[1]} rows of grey cells that take colours, letter by letter"
    return [
        Figure(pictures.gif(images), "From hidden (grey) to sequence", "gif", width, alt),
        Figure(pictures.png(strip), "One sequence while it is revealed, step by step downwards", width=width),
    ]


def _cell(metadata: Mapping[str, Any]) -> tuple[int, int]:
    return max(3, min(8, _ROOM // metadata["length"])), 8


def _palette(metadata: Mapping[str, Any]) -> np.ndarray:
    """A colour a letter, grey for what is hidden, white for gaps and for what does not exist."""
    colours = _COLOURS if metadata["kind"] == "protein" else _BASES
    named = [colours.get(letter, "#ffffff") for letter in metadata["alphabet"]] + ["#c9ccd1", "#ffffff"]
    return np.array([[int(name[k : k + 2], 16) for k in (1, 3, 5)] for name in named])
