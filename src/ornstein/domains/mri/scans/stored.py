"""The arrays of an HDF5 file or an `.npz`, each checked by name, kind and shape before its numbers are read.

An HDF5 file can refer to other files, and a chunk of it can unpack to any size: datasets that do not lie in the file
itself, and slices or chunks beyond `LIMIT`, are refused.
"""

import zipfile
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ....config import nearest
from ....disk import arrays
from ....errors import InputError
from ....files import GB
from ....training.fields.stores import HDF5Store, NumpyStore, Store, damaged, opened

LIMIT = 2 * GB
"""Bytes of one slice, one chunk, or one compressed `.npz`, unpacked."""

KINDS = {"c": "complex numbers", "f": "real numbers", "i": "whole numbers", "b": "true or false", "u": "whole numbers"}


class _Unpacked(Store):
    """An `.npz` that is compressed, so that no part of it can be read alone: all of it is in memory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._arrays = arrays.members(path, LIMIT)

    def names(self) -> list[str]:
        return list(self._arrays)

    def array(self, name: str) -> Any:
        return self._arrays[name]


def store(path: Path) -> Store:
    """The arrays of an HDF5 file or an `.npz`; InputError if it is neither, or damaged."""
    found = opened(path)
    if not isinstance(found, HDF5Store | NumpyStore):
        raise InputError(f"{path}: expected an HDF5 file or an .npz")
    if isinstance(found, NumpyStore) and path.suffix == ".npz":
        with damaged(path), zipfile.ZipFile(path) as archive:
            packed = any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist())
        found = _Unpacked(path) if packed else found
    found.names()
    return found


def absent(names: Sequence[str], wanted: str, path: Path, expected: str) -> InputError:
    """The error for a file that lacks an array.

    Args:
        names: of the arrays that it has.
        wanted: the name of the one that it lacks.
        path: of the file.
        expected: what the file should be, in words.
    """
    found = ", ".join(map(repr, names[:10])) or "nothing"
    return InputError(f"{path}: has no {wanted!r}, found {found}{nearest(wanted, list(names))}; expected {expected}")


def require(found: Store, name: str, kinds: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """The shape of an array, none of which is read; InputError if it is not what it must be.

    Args:
        found: the arrays.
        name: of one that is there.
        kinds: of numbers: "c" complex, "f" real, "i" and "u" whole, "b" true or false.
        sizes: how many axes it may have.
    """
    where = f"{found.path}: {name!r}"
    if isinstance(found, HDF5Store):
        require_own(found, name, where)
    with damaged(where):
        shape, dtype = tuple(found.array(name).shape), np.dtype(found.array(name).dtype)
    if dtype.kind not in kinds or dtype.hasobject:
        wanted = " or ".join(dict.fromkeys(KINDS[kind] for kind in kinds))
        hint = "; real and imaginary part belong into one complex number" if kinds == "c" and shape[-1:] == (2,) else ""
        raise InputError(f"{where} holds {dtype}, expected {wanted}{hint}")
    if len(shape) not in sizes or not all(shape):
        wanted = " or ".join(map(str, sizes))
        raise InputError(f"{where} has the shape {shape}, expected {wanted} axes, none of them empty")
    largest = [shape[1:] if len(shape) > 2 else shape, found.chunks(name) or ()]
    for part in largest:
        if prod(part) * dtype.itemsize > LIMIT:
            raise InputError(f"{where} has slices or chunks of the shape {part}, more than {LIMIT / GB:g} GB each")
    return shape


def require_own(found: HDF5Store, name: str, where: str) -> None:
    """InputError if the numbers of a dataset lie in another file.

    Args:
        found: the arrays.
        name: of the dataset.
        where: it stands, for the error.
    """
    with damaged(where):
        array = found.array(name)
        elsewhere = array.is_virtual or bool(array.external) or array.file.filename != found._file.filename
    if elsewhere:
        raise InputError(f"{where} lies in another file, which is not read; expected a dataset of its own")


def whole(found: Store, name: str) -> np.ndarray:
    """All of a small array, after `require`."""
    array = found.array(name)
    if prod(array.shape) * np.dtype(array.dtype).itemsize > LIMIT:
        raise InputError(f"{found.path}: {name!r} has the shape {tuple(array.shape)}, more than {LIMIT / GB:g} GB")
    return found.read(name, (slice(None),) * len(array.shape))


def one(found: Store, name: str, number: int) -> np.ndarray:
    """The part of an array with an index of its first axis, read from the file."""
    return found.read(name, (slice(number, number + 1),))[0]


def single(values: np.ndarray) -> np.ndarray:
    """Numbers in single precision; what is too large for it becomes infinite, which the checks name."""
    with np.errstate(over="ignore"):
        return values.astype(np.complex64 if values.dtype.kind == "c" else np.float32)


def finite(values: np.ndarray, where: str) -> np.ndarray:
    """Numbers in single precision, all of which must be finite.

    Args:
        values: real or complex.
        where: they stand, for the error.
    """
    found = single(values)
    wrong = ~np.isfinite(found)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        raise InputError(f"{where} is {found[place]} at {place}, expected finite numbers")
    return found


def tensor(values: np.ndarray) -> Tensor:
    """The same numbers as a tensor, of memory that may be written to: arrays of files, and broadcast ones, may not.

    Args:
        values: in the byte order of the machine.
    """
    return torch.from_numpy(np.require(values, requirements=["C_CONTIGUOUS", "WRITEABLE"]))


# Masks ------------------------------------------------------------------------------------------------


def binary(values: np.ndarray, where: str) -> Bool[np.ndarray, "*shape"]:
    """A mask as true and false; InputError if it holds anything but 0 and 1.

    Args:
        values: of the mask.
        where: it stands, for the error.
    """
    wrong = ~np.isin(values, (0, 1))
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        raise InputError(f"{where} is {values[place]} at {place}, expected only 0 and 1")
    return values.astype(bool)


def masks(found: Store, name: str, shape: tuple[int, int, int, int]) -> Callable[[int], Bool[np.ndarray, "h w"]]:
    """The mask of each slice; InputError if it does not fit k-space, or is 0 everywhere.

    Args:
        found: the arrays.
        name: of the mask: of phase encodes (H,), of positions (H, W), or of these for each slice (slices, H, W).
        shape: of k-space: slices, coils, H, W.
    """
    where = f"{found.path}: {name!r}"
    slices, _, h, w = shape
    given = require(found, name, "biuf", (1, 2, 3, 4))
    size = tuple(n for n in given if n > 1) or (1,)  # fastMRI's tools write (1, 1, H, 1)
    if size not in ((h,), (h, w), (slices, h, w)) and given not in ((h,), (h, w), (slices, h, w)):
        hint = ", which is that of the readout: the phase encoding is the other axis" if size == (w,) else ""
        raise InputError(
            f"{where} has the shape {given}{hint}, expected ({h},) as there are phase encodes, ({h}, {w}), or "
            f"({slices}, {h}, {w})"
        )
    if given == (slices, h, w):
        return lambda number: binary(one(found, name, number), f"{where}, slice {number}")
    values = whole(found, name)
    mask = binary(values.reshape(-1, 1) if size == (h,) or given == (h,) else values.reshape(h, w), where)
    if not mask.any():
        raise InputError(f"{where} is 0 everywhere, so nothing was measured")
    every = np.broadcast_to(mask, (h, w))
    return lambda number: every
