"""What the data is: pictures as (channels, height, width) with values from −1 (black) to 1 (white), and class labels.

`digits` are scikit-learn's 1,797 handwritten digits (8 × 8, 17 grey levels; UCI Optical Recognition of Handwritten
Digits, CC BY 4.0). A path names a NumPy .npz with `images` (n, height, width[, channels]), uint8 or floats in [0, 1],
in 1 or 3 channels, and optionally `labels` (n,), integers 0, 1, ..., each at least twice.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ...datasets import Arrays
from ...errors import InputError
from ...keys import Keys
from ...report import pictures

HELD_OUT = 0.2
_DIGITS = "scikit-learn's digits (UCI Optical Recognition of Handwritten Digits), CC BY 4.0"


def load(source: str) -> tuple[Arrays, Arrays]:
    """Training and held-out pictures, split by class with a fixed seed; InputError if a file is not as said above."""
    images, labels = _digits() if source == "digits" else _npz(Path(source))
    origin = _DIGITS if source == "digits" else f"{Path(source).name}, the user's own"
    held_out = _held_out(labels)
    classes = int(labels.max()) + 1
    train = images[~held_out]
    if train.min() == train.max():
        raise InputError(f"{source}: all pixels of the training pictures are equal, so there is nothing to learn")
    facts: dict[str, Any] = {
        "source": origin,
        "shape": list(images.shape[1:]),
        "classes": classes if classes > 1 else 0,
        "std": float(f"{train.double().std():.4g}"),
        "records": len(train),
        "sha256": sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest(),
    }
    return _part(images, labels, ~held_out, facts), _part(images, labels, held_out, facts)


def _part(images: Tensor, labels: Tensor, chosen: Tensor, facts: dict[str, Any]) -> Arrays:
    condition = {"label": labels[chosen]} if facts["classes"] else {}
    return Arrays(images[chosen], condition, facts)


def _held_out(labels: Int64[Tensor, " n"]) -> Tensor:
    """A fifth of every class, and at least one record, by a fixed shuffle."""
    rank = Keys.of(0, 1).bits(len(labels))[0].argsort().argsort()
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        order = members[rank[members].argsort()]
        chosen[order[: max(1, round(HELD_OUT * len(members)))]] = True
    return chosen


def _digits() -> tuple[Float[Tensor, "n 1 8 8"], Int64[Tensor, " n"]]:
    from sklearn.datasets import load_digits  # a second to import, so only when asked for

    digits: Any = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    return images, torch.tensor(digits.target, dtype=torch.int64)


def _npz(path: Path) -> tuple[Float[Tensor, "n c h w"], Int64[Tensor, " n"]]:
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
    """The arrays of an .npz file; InputError if it is missing, something else, damaged, or in need of pickle."""
    if not path.is_file():
        raise InputError(f"{path}: no such file, and not the name of a data set (digits)")
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # the mark of a zip archive
            raise InputError(f"{path}: not an .npz file, as numpy.savez writes it")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(array) for name, array in arrays.items()}
    except Exception as error:  # a damaged archive can break anything that decodes it
        raise InputError(f"{path}: damaged, or not of plain numbers ({error!r})") from None


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


def measured(path: Path, channels: int) -> tuple[Float[Tensor, "c h w"], Bool[Tensor, "c h w"]]:
    """A measured picture and which of its values were seen: all but transparent ones. InputError if it is no PNG."""
    pixels, opaque = pictures.read_with_alpha(path, channels)
    picture, seen = from_bytes(pixels[None])[0], torch.from_numpy(opaque)[None].expand(channels, -1, -1)
    if not seen.any():
        raise InputError(f"{path}: all pixels are transparent, so nothing was seen")
    return picture, seen


def require_shape(picture: Tensor, shape: Sequence[int], path: Path) -> None:
    """InputError unless the picture has the model's shape."""
    if list(picture.shape) != list(shape):
        raise InputError(f"{path}: is {_size(picture.shape)} pixels, expected {_size(shape)}")


def block(picture: Tensor, shape: Sequence[int], path: Path) -> int:
    """How many of the model's pixels are one of the picture's, along each side; InputError if it is not a number."""
    size = shape[1] // picture.shape[1]
    if not size or [picture.shape[0], size * picture.shape[1], size * picture.shape[2]] != list(shape):
        raise InputError(f"{path}: is {_size(picture.shape)} pixels, expected {_size(shape)} divided by a whole number")
    return size


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} × {shape[2]}"


def to_bytes(x: Float[Tensor, "n c h w"]) -> np.ndarray:
    """(n, height, width, channels) uint8 of pictures in [−1, 1]; values outside are clipped."""
    levels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.movedim(1, -1).numpy()


def from_bytes(pixels: np.ndarray) -> Float[Tensor, "n c h w"]:
    """The inverse of `to_bytes`, up to its 256 levels."""
    return torch.from_numpy(pixels.astype(np.float32)).movedim(-1, 1) / 127.5 - 1
