"""Picture files to pixels of 8 bits, upright, whatever depth they were stored in.

Grey levels of 16 bits (or of as many as a TIFF says) and floats from 0 to 1 are scaled by the range of their kind, so
that black stays black and white white; numbers whose range nobody knows are refused. The orientation that a camera
writes (EXIF) is applied. Sizes are looked at before anything is decoded.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import ExifTags, Image

from ...errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What a file may be, whatever its name says: other formats of Pillow start programs, or fetch files."""
MOST_PIXELS = 100_000_000
_GREY = ("1", "L", "LA", "I", "F")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation → what turns the stored picture upright."""
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF


def upright(path: Path) -> Image.Image:
    """The picture of a file, in colour with transparency (mode RGBA, 8 bits), as a viewer shows it.

    InputError, which names the file, if it is no picture, larger than `MOST_PIXELS`, or of numbers of unknown range.
    """
    return _decoded(path)[0]


def read(paths: Iterable[Path]) -> UInt8[np.ndarray, "n h w c"]:
    """Picture files of one size, all grey (1 channel) or all in colour (3); InputError names one that is not so."""
    pictures: list[np.ndarray] = []
    for path in paths:
        image, grey = _decoded(path)
        pixels = np.asarray(image)[..., : 1 if grey else 3]
        if pictures and pixels.shape != pictures[0].shape:
            found, expected = (
                f"{shape[1]} × {shape[0]} pixels in {shape[2]} channels" for shape in (pixels.shape, pictures[0].shape)
            )
            raise InputError(f"{path}: is {found}, expected {expected} as the pictures before it")
        pictures.append(pixels)
    if not pictures:
        raise InputError("no pictures to read, expected one or more")
    return np.stack(pictures)


def read_with_alpha(path: Path, channels: int) -> tuple[UInt8[np.ndarray, "h w c"], Bool[np.ndarray, "h w"]]:
    """A picture, grey or colour as asked, and where it is not transparent; errors as of `upright`."""
    both = np.asarray(upright(path).convert("RGBA" if channels == 3 else "LA"))
    return both[..., :-1].copy(), both[..., -1] > 127


def _decoded(path: Path) -> tuple[Image.Image, bool]:
    """The upright picture, and whether it was stored in grey."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file is an error here, or nothing
            with Image.open(path, formats=FORMATS) as image:
                _require_bounded(image)
                image.load()
                turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
                levels = _eight_bits(image)
                return levels if turn is None else levels.transpose(turn), image.mode.split(";")[0] in _GREY
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # a damaged file can break anything that decodes it
        raise InputError(f"{path}: not a readable picture ({error or type(error).__name__})") from None


def _require_bounded(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        most = f"{MOST_PIXELS / 1e6:g} million"
        raise InputError(f"is {image.width} × {image.height} pixels, expected at most {most}")


def _eight_bits(image: Image.Image) -> Image.Image:
    """As RGBA; InputError if nobody knows which number is white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return _grey_levels(image)
    if image.mode == "I":
        raise InputError(f"holds integers {_range(np.asarray(image))} of no known white, expected 8 or 16 bits")
    if image.mode == "F":
        values = np.asarray(image)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise InputError(f"holds floats {_range(values)}, expected 0 (black) to 1 (white)")
        return Image.fromarray(np.rint(values * 255).astype(np.uint8)).convert("RGBA")
    return image.convert("RGBA")


def _grey_levels(image: Image.Image) -> Image.Image:
    """Of 16 bits, or of as many as a TIFF says."""
    tags: Any = getattr(image, "tag_v2", {})
    white = (1 << int(tags.get(_BITS, (16,))[0])) - 1
    values = np.asarray(image).astype(np.uint32)
    seen = values != image.info.get("transparency", -1)
    levels = (np.minimum(values, white) * 255 + white // 2) // white
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        levels = 255 - levels
    both = np.stack([levels, np.where(seen, 255, 0)], -1).astype(np.uint8)
    return Image.fromarray(both, "LA").convert("RGBA")


def _range(values: np.ndarray) -> str:
    if not np.isfinite(values).all():
        return "some of which are not finite"
    return f"from {values.min():.6g} to {values.max():.6g}"
