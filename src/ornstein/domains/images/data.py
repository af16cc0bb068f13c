"""What the data is: pictures as (channels, height, width) with values from −1 (black) to 1 (white), and words for them.

`digits` are scikit-learn's 1,797 handwritten digits (8 × 8, 17 grey levels; UCI Optical Recognition of Handwritten
Digits, CC BY 4.0); `fashion` is Fashion-MNIST; `openmoji` are emoji with their names as captions and, as classes, the
styles they are drawn in, `emoji` the same without OpenMoji. A folder is read as vision.folders says. Any other path
names a NumPy .npz with `images` (n, height, width[, channels]), uint8 or floats in [0, 1], in 1 or 3 channels, and
optionally `labels` (n,), integers 0, 1, ..., each at least twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ...denoisers.base import Condition
from ...disk import arrays
from ...errors import InputError, needed_for
from ...files import MB
from ...guidance.operators import Radon
from ...keys import Keys
from ...training.datasets import Arrays, Dataset
from .pixels import read_with_alpha
from .vision import emoji, fashion
from .vision.array_files import read_arrays
from .vision.captions import WIDTH, encoded
from .vision.folders import Pictures, read_folder
from .vision.held_out import unlearned

HELD_OUT = 0.2
_HELD_OUT_NAMES = 0.05  # of things that emoji show, in all styles
_SHOWN = 2000  # captions that a model remembers of its data, at most
_DIGITS = "scikit-learn's digits (UCI Optical Recognition of Handwritten Digits), CC BY 4.0"
_FASHION = "Fashion-MNIST (Xiao et al. 2017), MIT, from Debian's package dataset-fashion-mnist"
_LICENCES = {
    "openmoji": "OpenMoji 17 (CC BY-SA 4.0)",
    "twemoji": "Twemoji (CC BY 4.0)",
    "noto": "Noto Emoji (Apache-2.0)",
    "fluent-emoji-flat": "Fluent Emoji (MIT)",
    "emojione": "EmojiOne 1 (CC BY 4.0)",
    "fxemoji": "FxEmojis (Apache-2.0)",
}


@dataclass(frozen=True, eq=False)
class Captioned:
    """Pictures with one caption or more each: a record is a picture and one of its captions.

    Attributes:
        pictures: (pictures, channels, height, width).
        which: (records, 2), the picture and the caption of each record.
        labels: of the pictures; empty if there are no classes.
        texts: the captions.
    """

    pictures: Tensor
    which: Int64[Tensor, "records 2"]
    labels: Int64[Tensor, " pictures"]
    texts: list[str]
    metadata: Mapping[str, Any]

    @property
    def sizes(self) -> None:
        return None

    @cached_property
    def words(self) -> Float[Tensor, "captions words width"]:
        """The states of the captions; rows of 0 are no words."""
        return encoded(self.texts).half()

    def shown(self) -> tuple[Tensor, list[str]]:
        """The pictures of these records, each once, and their captions."""
        caption = dict(self.which.flip(0).tolist())
        return self.pictures[list(caption)], [self.texts[k] for k in caption.values()]

    def __len__(self) -> int:
        return len(self.which)

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Condition]:
        picture, caption = self.which[index].T
        said = {"caption": self.words[caption].float()}
        return self.pictures[picture], said | ({"label": self.labels[picture]} if self.metadata["classes"] else {})


def load(source: str, size: int = 32, styles: Sequence[str] = (), caption_column: str = "") -> tuple[Dataset, Dataset]:
    """Training and held-out pictures, split with a fixed seed; InputError if a file is not as said above.

    Args:
        size: pixels a side, to which emoji and the pictures of folders are brought; 0 = as they are.
        styles: of emoji beside OpenMoji: folders of Iconify's npm packages.
        source: name of a shipped data set, or path of a file or folder.
        caption_column: of a folder's table, that holds the captions; text, caption or prompt if empty.
    """
    if size < 0:
        raise InputError(f"size is {size}, expected a number of pixels a side, or 0 for pictures as they are")
    named = source in ("openmoji", "emoji", "fashion")
    if Path(source).is_dir() and not named:
        return _folder(Path(source), size, caption_column)
    if caption_column:
        raise InputError(f"caption_column is {caption_column!r}, which only a folder of pictures can have: {source}")
    if source in ("openmoji", "emoji"):
        return _captioned(*_emoji(source, size or 32, tuple(styles)))
    if source == "fashion":
        return _fashion()
    if source == "digits":
        return digits()
    return _split(*read_arrays(Path(source)), source, f"{Path(source).name}, the user's own")


def yardstick(source: str, size: int, metadata: Mapping[str, Any]) -> tuple[Dataset, Dataset]:
    """What samples of a model with these facts are compared with: its data, of emoji those in OpenMoji's style.

    Where Fashion-MNIST is not installed, the sample of it that comes along. InputError if the data have changed.

    Args:
        source: name of a shipped data set, or path of a file or folder.
        size: side of a picture, pixels.
        metadata: of the data that the model was trained on, in JSON values.
    """
    if source == "fashion" and not fashion.installed():
        return _fashion(fashion.SAMPLE)
    train, held_out = load(source, size, caption_column=metadata.get("caption column", ""))
    found, expected = fingerprint(train.metadata), fingerprint(metadata)
    if found != expected:
        raise InputError(f"{source}: changed since the training: SHA-256 {found}, expected {expected}")
    return train, held_out


def digits() -> tuple[Arrays, Arrays]:
    """The handwritten digits, split by class."""
    return _split(*_digits(), "digits", _DIGITS)


def _split(
    images: Tensor,
    labels: Tensor,
    source: str,
    origin: str,
    names: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
) -> tuple[Arrays, Arrays]:
    held_out = _held_out(labels)
    classes = int(labels.max()) + 1
    metadata = _metadata(images, images[~held_out], source, origin, labels.numpy().tobytes())
    metadata["classes"] = classes if classes > 1 else 0
    metadata |= {"labels": list(names)} if names else {}
    metadata |= about or {}
    return _part(images, labels, ~held_out, metadata), _part(images, labels, held_out, metadata)


def _metadata(images: Tensor, train: Tensor, source: str, origin: str, more: bytes) -> dict[str, Any]:
    """What is true of all pictures."""
    if train.min() == train.max():
        raise InputError(f"{source}: all pixels of the training pictures are equal, so there is nothing to learn")
    return {
        "source": origin,
        "shape": list(images.shape[1:]),
        "std": float(f"{train.double().std():.4g}"),
        "records": len(train),
        "sha256": sha256(images.numpy().tobytes() + more).hexdigest(),
    }


def _digest(images: Tensor) -> str:
    return sha256(images.contiguous().numpy().tobytes()).hexdigest()[:16]


def fingerprint(metadata: Mapping[str, Any]) -> str:
    """Of the pictures; of emoji, those in OpenMoji's style."""
    return metadata.get("pictures", {}).get("openmoji", metadata["sha256"])[:16]


def _part(images: Tensor, labels: Tensor, chosen: Tensor, metadata: dict[str, Any]) -> Arrays:
    condition = {"label": labels[chosen]} if metadata["classes"] else {}
    return Arrays(images[chosen], condition, metadata)


# Pictures with captions -------------------------------------------------------------------------------


def _captioned(
    found: Pictures, origin: str, groups: Sequence[str], share: float, source: str
) -> tuple[Captioned, Captioned]:
    """Split by groups of pictures, a share of which is held out; each picture is seen with and without an article."""
    each = [captions or ("",) for captions in found.captions or ()]
    said = [text for captions in each for text in captions]
    images = from_bytes(found.pixels)
    names = list(dict.fromkeys(found.labels or ()))
    labels = torch.tensor([names.index(label) for label in found.labels or ()], dtype=torch.int64)
    held_out = _held_out_groups(groups, share)
    texts = sorted({text for captions in each for text in _spoken(captions)})
    number = {text: k for k, text in enumerate(texts)}
    more = "\n".join((*said, *(found.labels or ()))).encode()
    metadata = _metadata(images, images[~held_out], source, origin, more)
    learned = (captions for captions, out in zip(each, held_out.tolist(), strict=True) if not out)
    known = sorted({text for captions in learned for text in captions if text})
    if not known:
        raise InputError(f"{source}: none of the pictures to be learned from has a caption")
    metadata |= {"classes": len(names) if len(names) > 1 else 0, "labels": names, "caption": WIDTH}
    metadata["captions"] = known[:: -(-len(known) // _SHOWN)]
    metadata["held-out captions"] = unlearned((text for text in said if text), known)[:_SHOWN]
    metadata["pictures"] = {name: _digest(images[labels == k]) for k, name in enumerate(names)}
    metadata |= _said_of(found)

    def part(chosen: Tensor) -> Captioned:
        places = chosen.nonzero().flatten().tolist()
        which = [(k, number[text]) for k in places for text in _spoken(each[k])]
        return Captioned(images, torch.tensor(which), labels, texts, metadata)

    return part(~held_out), part(held_out)


def _spoken(captions: Sequence[str]) -> tuple[str, ...]:
    """All captions of a picture; a short one without an article also with it, as it may be said either way."""
    return tuple(dict.fromkeys(text for caption in captions for text in _either_way(caption)))


def _either_way(caption: str) -> tuple[str, ...]:
    short = caption[:1].islower() and len(caption.split()) < 8 and caption.split()[0] not in ("a", "an", "the")
    return (caption, f"{'an' if caption[0] in 'aeiou' else 'a'} {caption}") if short else (caption,)


def _held_out_groups(groups: Sequence[str], share: float) -> Bool[Tensor, " n"]:
    """Whole groups, such as all drawings of one thing: each by its own name, whatever others there are."""
    drawn = {group: int(sha256(group.encode()).hexdigest()[:8], 16) / 16**8 for group in set(groups)}
    chosen = {group for group, u in drawn.items() if u < share} or {min(drawn, key=drawn.__getitem__)}
    return torch.tensor([group in chosen for group in groups])


@lru_cache(maxsize=2)
def _emoji(source: str, size: int, styles: tuple[str, ...]) -> tuple[Pictures, str, Sequence[str], float, str]:
    """OpenMoji, if it is the source, and further styles, one after another."""
    names = emoji.names()
    if source == "emoji" and not styles:
        raise InputError("emoji: no styles are given, and OpenMoji is left out; name one in --styles")
    drawn = ({"openmoji": emoji.openmoji()} if source == "openmoji" else {}) | {
        Path(style).name: emoji.iconify(Path(style)) for style in styles
    }
    each = [(style, code) for style, drawings in drawn.items() for code in names if code in drawings]
    pixels = emoji.rasterised([drawn[style][code] for style, code in each], size)
    things = [names[code] for _, code in each]
    found = Pictures(pixels, [(thing,) for thing in things], [style for style, _ in each], ())
    licences = ", ".join(_LICENCES.get(style, style) for style in drawn)
    return found, f"{licences}; names from Unicode's CLDR", things, _HELD_OUT_NAMES, source


def _folder(folder: Path, size: int, caption_column: str) -> tuple[Dataset, Dataset]:
    found = read_folder(folder, size, caption_column)
    if len(found.pixels) < 10:
        raise InputError(f"{folder}: {len(found.pixels)} pictures can be used, expected 10 or more")
    origin = f"{folder.name}, the user's own"
    if found.captions:
        return _captioned(found, origin, [str(k) for k in range(len(found.pixels))], HELD_OUT, str(folder))
    names = sorted(set(found.labels or ()))
    labels = torch.tensor([names.index(label) for label in found.labels or ()] or [0] * len(found.pixels))
    for k, count in enumerate(labels.bincount().tolist()):
        if count < 2:
            raise InputError(f"{folder}: class {names[k]!r} has {count} picture, expected 2 or more")
    return _split(from_bytes(found.pixels), labels, str(folder), origin, names, _said_of(found))


def _said_of(found: Pictures) -> dict[str, Any]:
    """What a user is told of a folder."""
    told = {"left out": list(found.left_out), "notes": list(found.notes), "caption column": found.column}
    return {name: value for name, value in told.items() if value}


def _fashion(folder: Path = fashion.FOLDER) -> tuple[Arrays, Arrays]:
    """The published split."""
    (x, labels), (x_test, labels_test) = (fashion.read(part, folder) for part in ("train", "t10k"))
    images, test = (from_bytes(part[..., None]) for part in (x, x_test))
    metadata = _metadata(images, images, "fashion", _FASHION, labels.tobytes())
    metadata |= {"classes": len(fashion.CLASSES), "labels": list(fashion.CLASSES)}
    condition, condition_test = ({"label": torch.from_numpy(part.astype(np.int64))} for part in (labels, labels_test))
    return Arrays(images, condition, metadata), Arrays(test, condition_test, metadata)


# Digits and arrays ------------------------------------------------------------------------------------


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
    with needed_for("the data set of digits", "images"):
        from sklearn.datasets import load_digits  # a second to import, so only when asked for

    digits: Any = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    return images, torch.tensor(digits.target, dtype=torch.int64)


def measured(path: Path, channels: int) -> tuple[Float[Tensor, "c h w"], Bool[Tensor, "c h w"]]:
    """A measured picture and which of its values were seen: all but transparent ones. InputError if it is no PNG."""
    pixels, opaque = read_with_alpha(path, channels)
    picture, seen = from_bytes(pixels[None])[0], torch.from_numpy(opaque)[None].expand(channels, -1, -1)
    if not seen.any():
        raise InputError(f"{path}: all pixels are transparent, so nothing was seen")
    return picture, seen


def sinogram(path: Path, shape: Sequence[int]) -> tuple[Float[Tensor, "c angles rays"], Float[Tensor, " angles"]]:
    """The line integrals of a picture from −1 to 1, and their angles in degrees, of a file that has those of one from
    0 to 1. InputError if it is no such file, or of other pictures than those of the shape.

    Args:
        path: an .npz with "sinogram" and "angles".
        shape: (channels, size, size) that the model draws.
    """
    found = arrays.members(path, 64 * MB, {"sinogram": "f", "angles": "fi"})
    lines, angles = torch.from_numpy(found["sinogram"]).float(), torch.from_numpy(found["angles"]).double()
    lines = lines[None] if lines.ndim == 2 else lines
    if angles.ndim != 1 or lines.ndim != 3 or lines.shape[:2] != (shape[0], len(angles)) or not lines.numel():
        sizes = f"sinogram {found['sinogram'].shape} and angles {found['angles'].shape}"
        raise InputError(f"{path}: {sizes}, expected (angles, detectors) of {shape[0]} channels, and (angles,)")
    if not (lines.isfinite().all() and angles.isfinite().all()):
        raise InputError(f"{path}: holds numbers that are not finite")
    if shape[1] != shape[2]:
        raise InputError(f"{path}: rays are of square pictures, this model draws {_size(shape)} pixels")
    white = Radon(angles, shape[1], lines.shape[2])(torch.ones(1, *shape))[0]
    return 2 * lines - white, angles


def masked(path: Path, shape: Sequence[int]) -> Float[Tensor, "c h w"]:
    """A mask in all channels, 1 where it is white and −1 where it is black."""
    found = from_bytes(read_with_alpha(path, 1)[0][None])[0]
    require_shape(found, [1, *shape[1:]], path)
    return found.expand(*shape)


def require_shape(picture: Tensor, shape: Sequence[int], path: Path) -> None:
    """InputError unless the picture has the model's shape.

    Args:
        path: of the file.
    """
    if list(picture.shape) != list(shape):
        raise InputError(f"{path}: is {_size(picture.shape)} pixels, expected {_size(shape)}")


def block(picture: Tensor, shape: Sequence[int], path: Path) -> int:
    """How many of the model's pixels are one of the picture's, along each side; InputError if it is not a number.

    Args:
        shape: (channels, height, width) that the model draws.
        path: of the file.
    """
    size = shape[1] // picture.shape[1]
    if not size or [picture.shape[0], size * picture.shape[1], size * picture.shape[2]] != list(shape):
        raise InputError(f"{path}: is {_size(picture.shape)} pixels, expected {_size(shape)} divided by a whole number")
    return size


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} × {shape[2]}"


def from_bytes(pixels: np.ndarray) -> Float[Tensor, "n c h w"]:
    """Pictures of 256 levels as numbers from −1 to 1."""
    return torch.from_numpy(pixels.astype(np.float32)).movedim(-1, 1) / 127.5 - 1
