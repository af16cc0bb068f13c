"""Fashion-MNIST (Xiao et al. 2017, MIT): 70,000 grey pictures of clothes, 28 × 28, in ten classes.

Debian's package dataset-fashion-mnist holds the four files; the same files in any folder do.
"""

import gzip
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ....errors import InputError

FOLDER = Path("/usr/share/datasets/fashion-mnist")
SAMPLE = Path(__file__).parent / "fashion-sample"
"""The first 1,500 pictures of each part, which come along (© 2017 Zalando SE, MIT)."""

CLASSES = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_HEADERS = {"images-idx3": (2051, 16), "labels-idx1": (2049, 8)}


def installed() -> bool:
    """Whether the whole of it is here."""
    return FOLDER.is_dir()


def read(part: str, folder: Path = FOLDER) -> tuple[UInt8[np.ndarray, "n 28 28"], UInt8[np.ndarray, " n"]]:
    """Pictures and labels of "train" (60,000) or "t10k" (10,000); InputError if the files are not there or damaged."""
    pixels, labels = (_idx(folder / f"{part}-{kind}-ubyte.gz", *header) for kind, header in _HEADERS.items())
    if len(pixels) != 784 * len(labels):
        raise InputError(f"{folder}: {part} has {len(pixels) / 784:g} pictures and {len(labels)} labels")
    return pixels.reshape(-1, 28, 28), labels


def _idx(path: Path, magic: int, header: int) -> np.ndarray:
    if not path.exists():
        raise InputError(f"{path}: not there; apt-get install dataset-fashion-mnist, or name the folder of its files")
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: damaged ({error})") from None
    if int.from_bytes(content[:4], "big") != magic:
        raise InputError(f"{path}: begins with {int.from_bytes(content[:4], 'big')}, expected {magic} of an IDX file")
    return np.frombuffer(content, np.uint8, offset=header)
