"""A folder of pictures as users keep it (Hugging Face's imagefolder): with captions, with classes, or plain.

Captions and classes come from tables or from texts beside the pictures (annotations.py); without a table, classes are
the names of the folders that hold the pictures. Folders of systems and hidden ones are passed over. Whatever cannot be
used is named with its reason, and what was made of the folder is said.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ....errors import InputError
from ..pixels import upright
from .annotations import TABLES, TEXTS, Said, beside, canonical, of_tables

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SYSTEM = frozenset({"__MACOSX", "@eaDir"})
PARTS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"})
"""Folders that hold parts of one set, and are no classes."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one shape and what is said of them.

    Attributes:
        captions, labels: of each picture; None where the folder has none.
        left_out: what was not used, and why.
        notes: what was made of the folder, where it could have been something else.
        column: of the table that holds the captions, if it was named.
    """

    pixels: UInt8[np.ndarray, "n h w c"]
    captions: Sequence[tuple[str, ...]] | None
    labels: Sequence[str] | None
    left_out: Sequence[str]
    notes: Sequence[str] = ()
    column: str = ""


def read_folder(folder: Path, size: int = 0, column: str = "") -> Pictures:
    """The pictures of a folder and its subfolders, in colour unless all are grey, transparent ones on white.

    Args:
        folder: of the pictures.
        size: pixels a side to which they are brought, cut about their centre; 0 = as they are, all of one shape.
        column: of metadata.csv or metadata.jsonl that holds the captions; text, caption or prompt if empty.

    InputError if nothing can be used, or a table or text is not as annotations.py says.
    """
    names, left_out = _walked(folder)
    pictures, said, tabled = _described(folder, names, column, left_out)
    labels, notes = _labelled(pictures, said, left_out) if tabled else _classes(pictures, said, left_out)
    kept: dict[str, np.ndarray] = {}
    for name in labels:
        try:
            shape = next(iter(kept.values())).shape[:2] if kept else None
            kept[name] = _fitted(folder / pictures[name], size, shape)
        except InputError as error:
            left_out.append(f"{pictures[name]}: {_reason(error, folder / pictures[name])}")
    if not kept:
        reasons = "".join(f"\n  {reason}" for reason in left_out[:5])
        raise InputError(f"{folder}: holds no picture that can be used{reasons}")
    captions = [said[name].captions for name in kept] if any(about.captions for about in said.values()) else []
    if (several := sum(map(len, captions))) > len(captions):
        notes.append(f"{several} captions of {len(captions)} pictures, all of which are learned")
    if captions and (silent := captions.count(())):
        notes.append(f"{silent} of {len(kept)} pictures have no caption, and are learned without one")
    pixels = np.stack(list(kept.values()))
    grey = (pixels == pixels[..., :1]).all()
    found = [label for name in kept if (label := labels[name]) is not None]
    return Pictures(pixels[..., :1] if grey else pixels, captions or None, found or None, left_out, notes, column)


def fitted(path: Path, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """One picture, cut and brought to size; InputError if it cannot be."""
    try:
        return _fitted(path, size, None)
    except InputError as error:
        raise InputError(f"{path}: not a picture that can be used ({_reason(error, path)})") from None


def _fitted(path: Path, size: int, shape: tuple[int, ...] | None) -> np.ndarray:
    """(height, width, 3) uint8 of a file; InputError says why not."""
    rgba = upright(path)
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


def _reason(error: InputError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")


# What is in the folder --------------------------------------------------------------------------------


def _walked(folder: Path) -> tuple[list[str], list[str]]:
    """Paths in the folder of all files that are not hidden, and why others with pictures are left out."""
    names, left_out = [], []
    entered: set[str] = set()
    for place, inner, files in os.walk(folder, onerror=lambda error: left_out.append(str(error)), followlinks=True):
        relative = PurePosixPath(Path(place).relative_to(folder).as_posix())
        if (real := os.path.realpath(place)) in entered:  # a link that leads to where we were
            left_out.append(f"{relative}: read already, under another name")
            inner.clear()
            continue
        entered.add(real)
        if tables := [name for name in TABLES if name in inner]:
            raise InputError(f"{Path(place) / tables[0]}: is a folder, expected a table")
        inner.sort()
        for name in sorted(files):
            hidden = any(part[0] == "." or part in SYSTEM for part in (*relative.parts, name))
            reason = "a hidden file" if hidden else _oddity(Path(place), name)
            if not reason:
                names.append(str(relative / name))
            elif PurePosixPath(name).suffix.lower() in SUFFIXES:
                left_out.append(f"{_printable(str(relative / name))}: {reason}")
    return names, left_out


def _oddity(place: Path, name: str) -> str:
    """Why a file cannot be one of pictures; empty if it can."""
    if not (place / name).is_file():
        return "not a file"
    path = str(place / name)
    return "" if _printable(path) == path else "its name is not UTF-8"


def _printable(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _described(
    folder: Path, names: Sequence[str], column: str, left_out: list[str]
) -> tuple[dict[str, str], dict[str, Said], bool]:
    """Canonical path → path of each picture, what is said of them, and whether in tables.

    If anything is said of any, pictures of which nothing is are left out.
    """
    tables = [name for name in names if PurePosixPath(name).name in TABLES]
    texts = [name for name in names if PurePosixPath(name).suffix.lower() in TEXTS]
    pictures = {canonical(name): name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES}
    odd = set(names) - {*tables, *texts, *pictures.values()}
    left_out += [f"{name}: not a picture" for name in sorted(odd)]
    if column and not tables:
        raise InputError(f"{folder}: caption_column is {column!r}, but there is no {' or '.join(TABLES)}")
    if tables:
        said, named = of_tables(folder, tables, column), tables[0] if len(tables) == 1 else "any table"
        left_out += [f"{name}: in a table, but not in the folder" for name in said if name not in pictures]
        left_out += [f"{name}: not read, as a table describes the pictures" for name in texts]
        missing = f"no row in {named}"
    else:
        said, alone = beside(folder, list(pictures), texts)
        left_out += [f"{name}: no picture of this name" for name in alone]
        missing = "no .txt beside it"
    if said:
        left_out += [f"{pictures[name]}: {missing}" for name in pictures if name not in said]
        pictures = {name: path for name, path in pictures.items() if name in said}
    return pictures, said, bool(tables)


# Classes ----------------------------------------------------------------------------------------------


def _labelled(
    pictures: Mapping[str, str], said: Mapping[str, Said], left_out: list[str]
) -> tuple[dict[str, str | None], list[str]]:
    """The class of each picture that is to be used, as tables say; None if none has any."""
    labels = {name: said[name].label for name in pictures}
    if not any(label is not None for label in labels.values()):
        return labels, []
    left_out += [f"{pictures[name]}: has no label" for name, label in labels.items() if label is None]
    return {name: label for name, label in labels.items() if label is not None}, []


def _classes(
    pictures: Mapping[str, str], said: Mapping[str, Said], left_out: list[str]
) -> tuple[dict[str, str | None], list[str]]:
    """The class of each picture that is to be used, None if there are none; and what was made of the folders.

    InputError if pictures lie in folders of folders, and nothing says which of them are the classes.
    """
    labels: dict[str, str | None] = dict.fromkeys(pictures)
    folders, notes = _below({name: PurePosixPath(name).parent.parts for name in pictures})
    if len(set(folders.values()) - {()}) < 2:
        return labels, notes
    deep = next((name for name, parts in folders.items() if len(parts) > 1), "")
    if said and (deep or () in folders.values()):
        return labels, [*notes, "folders are not read as classes, since pictures lie at several depths"]
    if deep:
        raise InputError(
            f"{deep}: lies in folders of folders, so that it is not clear which are the classes; expected one folder a "
            "class, or a metadata.csv with the columns file_name and label"
        )
    top = [name for name, parts in folders.items() if not parts]
    left_out += [f"{pictures[name]}: beside the folders of the classes, so that it has none" for name in top]
    classes = {name: parts[0] for name, parts in folders.items() if parts}
    named = ", ".join(sorted(set(classes.values()))[:20])
    return dict(classes), [*notes, f"classes are the folders {named}"]


def _below(folders: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The folders of each picture below what all share, and below a first one that only says train, test, …"""
    levels = zip(*folders.values(), strict=False)
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    below = {name: parts[shared:] for name, parts in folders.items()}
    parts = sorted({one[0] if one else "" for one in below.values()})
    if not parts or not all(part.lower() in PARTS for part in parts):
        return below, []
    return {name: one[1:] for name, one in below.items()}, [
        f"{', '.join(parts)}: read as parts of one set, of which some pictures are held out anew; they are no classes"
    ]
