"""Picture files to pixels."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import InputError


def read(paths: Iterable[Path]) -> np.ndarray:
    """(n, height, width, channels) uint8 of picture files of one size; InputError names one that is not a picture."""
    pictures = []
    for path in paths:
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image)
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(f"{path}: not a readable picture ({error})") from None
        pictures.append(pixels[..., None] if pixels.ndim == 2 else pixels)
    return np.stack(pictures)


def read_with_alpha(path: Path, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """(height, width, channels) uint8 of a picture, grey or colour as asked, and where it is not transparent."""
    try:
        with Image.open(path) as image:
            both = np.asarray(image.convert("RGBA" if channels == 3 else "LA"))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: not a readable picture ({error})") from None
    return both[..., :-1].copy(), both[..., -1] > 127
