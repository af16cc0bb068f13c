"""A folder of pictures as users keep it (Hugging Face's imagefolder): with captions, with classes, or plain.

Captions and classes come from metadata.csv (columns `file_name`, `text` and, if there are classes, `label`); without
it captions come from a .txt of the same name beside each picture, and classes from the names of subfolders. Whatever
cannot be used is named with its reason, and left out.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ....errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
METADATA = "metadata.csv"


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one shape and what is said of them.

    Attributes:
        captions, labels: of each picture; None where the folder has none.
        left_out: what was not used, and why.
    """

    pixels: UInt8[np.ndarray, "n h w c"]
    captions: Sequence[str] | None
    labels: Sequence[str] | None
    left_out: Sequence[str]


def read_folder(folder: Path, size: int = 0) -> Pictures:
    """The pictures of a folder and its subfolders, in colour unless all are grey, transparent ones on white.

    Args:
        size: pixels a side to which they are brought, cut about their centre; 0 = as they are, all of one shape.

    InputError if nothing can be used, or metadata.csv is not as said above.
    """
    said = _metadata(folder / METADATA) if (folder / METADATA).exists() else None
    paths, left_out = _candidates(folder, said)
    texts = said or _beside(paths)
    found: list[tuple[Path, np.ndarray]] = []
    for path in paths:
        try:
            about = texts.get(path.relative_to(folder).as_posix()) if said else texts.get(path.as_posix())
            if texts and about is None:
                raise InputError(f"no row in {METADATA}" if said else "no .txt beside it")
            found.append((path, _fitted(path, size, found[0][1].shape[:2] if found else None)))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            left_out.append(f"{path.relative_to(folder)}: {error}")
    if not found:
        reasons = "".join(f"\n  {reason}" for reason in left_out[:5])
        raise InputError(f"{folder}: holds no picture that can be used{reasons}")
    kept = [path for path, _ in found]
    pixels = np.stack([picture for _, picture in found])
    grey = (pixels == pixels[..., :1]).all()
    captions, labels = _said(folder, kept, said, texts)
    return Pictures(pixels[..., :1] if grey else pixels, captions, labels, left_out)


def _metadata(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if "file_name" not in (columns := rows.fieldnames or []):
            raise InputError(f"{path}: has no column 'file_name', found {', '.join(columns) or 'none'}")
        if not {"text", "label"} & set(columns):
            raise InputError(f"{path}: says nothing of the pictures, expected a column 'text' or 'label'")
        return {row["file_name"]: row for row in rows}


def _candidates(folder: Path, said: Mapping[str, object] | None) -> tuple[list[Path], list[str]]:
    """The picture files, and why others are none of them."""
    everything = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != METADATA)
    paths = [path for path in everything if path.suffix.lower() in SUFFIXES]
    odd = [path for path in everything if path.suffix.lower() not in SUFFIXES | {".txt"} and path.name[0] != "."]
    left_out = [f"{path.relative_to(folder)}: not a picture" for path in odd]
    there = {path.relative_to(folder).as_posix() for path in paths}
    return paths, left_out + [
        f"{name}: in {METADATA}, but not in the folder" for name in said or () if name not in there
    ]


def _beside(paths: Sequence[Path]) -> dict[str, Mapping[str, str]]:
    texts = ((path, path.with_suffix(".txt")) for path in paths)
    return {path.as_posix(): {"text": text.read_text().strip()} for path, text in texts if text.exists()}


def fitted(path: Path, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """One picture, cut and brought to size; InputError if it cannot be."""
    try:
        return _fitted(path, size, None)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a picture that can be used ({error})") from None


def _fitted(path: Path, size: int, shape: tuple[int, ...] | None) -> np.ndarray:
    """(height, width, 3) uint8 of a file; ValueError or OSError says why not."""
    with Image.open(path) as image:
        rgba = image.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if size:
        side = min(picture.size)
        if side < size:
            raise InputError(f"{picture.width} × {picture.height} pixels, expected {size} or more a side")
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
    pixels = np.asarray(picture)
    if shape and pixels.shape[:2] != shape:
        raise InputError(f"{pixels.shape[1]} × {pixels.shape[0]} pixels, others {shape[1]} × {shape[0]}; give a size")
    return pixels


def _said(
    folder: Path, kept: Sequence[Path], said: Mapping[str, object] | None, texts: Mapping[str, Mapping[str, str]]
) -> tuple[list[str] | None, list[str] | None]:
    """Captions and labels of the pictures kept."""
    rows = [texts.get(path.relative_to(folder).as_posix() if said else path.as_posix(), {}) for path in kept]
    captions, labels = (list(_column(rows, name)) for name in ("text", "label"))
    if not said and len({path.parent for path in kept}) > 1:
        labels = [path.parent.name for path in kept]
    return captions or None, labels or None


def _column(rows: Sequence[Mapping[str, str]], name: str) -> Iterator[str]:
    return (row.get(name) or "" for row in rows) if any(row.get(name) for row in rows) else iter(())
