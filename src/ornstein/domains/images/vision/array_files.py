"""Pictures as arrays: an .npz with `images` (n, height, width[, channels]), and `labels` (n,) if there are classes.

The pictures are uint8, or floats in [0, 1], in 1 or 3 channels; the labels integers 0, 1, ..., each at least twice.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ....disk.arrays import members
from ....errors import InputError
from ....files import MB

_MOST, _PACKED = 256 * MB, 32  # bytes that a file may unpack to, or how many times its own size


def read_arrays(path: Path) -> tuple[Float[Tensor, "n c h w"], Int64[Tensor, " n"]]:
    """Pictures from −1 (black) to 1 (white), and the class of each, 0 where there are none.

    InputError if the file is missing, damaged, not as said above, or far larger unpacked than it looks.
    """
    arrays = _read(path)
    if "images" not in arrays:
        raise InputError(f"{path}: has no array 'images', found {', '.join(sorted(arrays)) or 'none'}")
    if unknown := sorted(arrays.keys() - {"images", "labels"}):
        raise InputError(f"{path}: has an array {unknown[0]!r}, expected 'images' and, if there are classes, 'labels'")
    images = _scaled(arrays["images"], path)
    labels = arrays.get("labels", np.zeros(len(images), dtype=np.int64))
    _require_labels(labels, len(images), path)
    return torch.from_numpy(images).movedim(-1, 1).contiguous(), torch.tensor(labels.astype(np.int64))


def _require_labels(labels: np.ndarray, n: int, path: Path) -> None:
    """InputError unless there are n labels, and each of 0, 1, ... up to the largest is that of two records or more."""
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise InputError(f"{path}: labels must be {n} integers from 0, found {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0:
        raise InputError(f"{path}: labels must be {n} integers from 0, found {labels.min()}")
    present, counts = np.unique(labels, return_counts=True)
    wrong = (present != np.arange(len(present))) | (counts < 2)
    if wrong.any():
        label = int(wrong.argmax())
        records = counts[label] if present[label] == label else 0
        raise InputError(
            f"{path}: labels must be 0 to {present[-1]}, each of 2 records or more; class {label} has {records}"
        )


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; InputError if it is missing, something else, damaged, or far larger than it looks."""
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder, and not the name of a data set (digits, fashion, openmoji)")
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # the mark of a zip archive
            raise InputError(f"{path}: not an .npz file, as numpy.savez writes it")
    return members(path, max(_MOST, _PACKED * path.stat().st_size))


def _scaled(images: np.ndarray, path: Path) -> np.ndarray:
    """(n, height, width, channels), float32, −1 to 1."""
    shape = images.shape
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or len(images) < 10 or not images.size or images.shape[-1] not in (1, 3):
        raise InputError(
            f"{path}: images must be 10 or more of (n, height, width[, channels]), in 1 or 3 channels, found {shape}"
        )
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 127.5 - 1
    if images.dtype.kind != "f":
        raise InputError(f"{path}: images must be uint8, or floats in [0, 1], found {images.dtype}")
    if not np.isfinite(images).all():
        record, *pixel = np.argwhere(~np.isfinite(images))[0].tolist()
        value = images[record, *pixel]
        raise InputError(
            f"{path}: images, record {record}, pixel {tuple(pixel)} is {value}, expected a number in [0, 1]"
        )
    if images.min() < 0 or images.max() > 1:
        raise InputError(f"{path}: images must lie in [0, 1], found {images.min():.4g} to {images.max():.4g}")
    return images.astype(np.float32) * 2 - 1
