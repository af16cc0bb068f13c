"""NumPy's `.npz` files: what they hold is known before anything is unpacked.

A zip archive of arrays says of each how large it is, unpacked; each array's own header says its type and shape. Both
are checked, against each other and against a limit, before memory is taken. Objects, which are pickles, are refused.
"""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..files import MB, opened, write_atomic


def members(path: Path, limit: int, schema: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`, by name; with a schema those that it names, in its order.

    InputError if the file is no such archive, is damaged, holds what the schema does not allow, or unpacks to more than
    the limit.

    Args:
        path: of the file.
        limit: bytes of the file, and of all arrays wanted together.
        schema: name → kinds of its numbers ("f" real, "i" whole, "u" whole and not negative, "b" true or false, "U"
            text), such as {"x": "fiu"}. A name that ends in "?" may be absent.
    """
    with _archive(path, limit) as (archive, infos):
        wanted = _wanted(infos, schema, path)
        size = sum(info.file_size for info in wanted.values())
        if size > limit:
            raise InputError(f"{path}: unpacks to {size / MB:.4g} MB, more than the limit of {limit / MB:.4g} MB")
        kinds = {name.removesuffix("?"): kind for name, kind in (schema or {}).items()}
        return {
            name: _array(archive, info, kinds.get(name), f"{path}: array {name!r}") for name, info in wanted.items()
        }


def rows(
    path: Path, limit: int, name: str, kinds: str, shape: tuple[int, ...], size: int, chosen: range | None = None
) -> Iterator[np.ndarray]:
    """An array, some rows at a time: no more of it is in memory.

    InputError as of `members`, and for an array of another shape.

    Args:
        path: of the file.
        limit: bytes of the file.
        name: of the array.
        kinds: of its numbers, see `members`.
        shape: of the array.
        size: rows, indices along its first axis, at most.
        chosen: which rows, one after the other; None = all.
    """
    chosen = range(shape[0]) if chosen is None else chosen
    with _archive(path, limit) as (archive, infos):
        where = f"{path}: array {name!r}"
        with archive.open(_wanted(infos, {name: kinds}, path)[name]) as file:
            dtype, found, fortran = _header(file, kinds, where)
            if found != shape or fortran:
                order = ", its first index fastest" if fortran else ""
                raise InputError(f"{where} has the shape {found}{order}, expected {shape}")
            row = dtype.itemsize * prod(shape[1:])
            file.seek(row * chosen.start, 1)
            for first in chosen[::size]:
                count = min(size, chosen.stop - first)
                data = file.read(row * count)
                if len(data) != row * count:
                    raise InputError(
                        f"{where} is said to be {dtype} of shape {shape}, but ends in row {first} or after"
                    )
                part = np.frombuffer(data, dtype).reshape(count, *shape[1:])
                yield part.astype(dtype.newbyteorder("="))


def names(path: Path, limit: int) -> list[str]:
    """Of the arrays of an `.npz`, none of which is unpacked; InputError if the file is no such archive.

    Args:
        path: of the file.
        limit: bytes of the file.
    """
    with _archive(path, limit) as (_, infos):
        return list(infos)


@dataclass(frozen=True)
class Blocks:
    """An array that is written block by block, so that no more than one is held.

    Attributes:
        shape: of all of it.
        dtype: of its numbers.
        blocks: its rows, one block after the other.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Iterable[np.ndarray]


def write(path: Path, named: Mapping[str, Any]) -> None:
    """Writes an `.npz`, whole or not at all.

    Args:
        path: of the file.
        named: name → array, or `Blocks` of one.
    """

    def written(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as archive:  # the bytes that np.savez writes
            for name, array in named.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    _put(file, array)

    write_atomic(path, written)


def _put(file: Any, array: Any) -> None:
    if not isinstance(array, Blocks):
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
        return
    descr = np.lib.format.dtype_to_descr(array.dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": array.shape})
    count = 0
    for block in array.blocks:
        file.write(np.ascontiguousarray(block, array.dtype).data)
        count += len(block)
    if count != array.shape[0]:
        raise ValueError(f"blocks have {count} rows together, expected {array.shape[0]}")


@contextmanager
def _archive(path: Path, limit: int) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """The archive of a file and what it holds; what its readers raise for bytes that are none is an InputError."""
    try:
        with opened(path, limit, "an .npz file") as file, zipfile.ZipFile(file) as archive:
            yield archive, {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{path}: not an .npz file, or a damaged one ({error})") from None


DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError),
    *(ValueError, EOFError, LookupError, OverflowError, OSError),
)
"""What the readers of an archive in memory raise for bytes that are none."""


def _wanted(infos: Mapping[str, Any], schema: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    if schema is None:
        return dict(infos)
    names = {name.removesuffix("?"): name.endswith("?") for name in schema}
    for name, optional in names.items():
        if name not in infos and not optional:
            found = ", ".join(map(repr, list(infos)[:10])) or "nothing"
            raise InputError(f"{path}: has no array {name!r}, found {found}")
    return {name: infos[name] for name in names if name in infos}


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str | None, where: str) -> np.ndarray:
    with archive.open(info) as file:
        dtype, shape, fortran = _header(file, kinds, where)
        size = dtype.itemsize * prod(shape)
        if size > info.file_size:
            raise InputError(f"{where} is said to be {dtype} of shape {shape}, but has only {info.file_size} bytes")
        return _numbers(file.read(size + 1), dtype, shape, where, "F" if fortran else "C")


def _numbers(data: bytes, dtype: np.dtype, shape: Sequence[int], where: str, order: Literal["C", "F"] = "C") -> Any:
    """The array of these bytes, a copy that may be written to; InputError if they are too few or too many."""
    size = dtype.itemsize * prod(shape)
    if len(data) != size:
        raise InputError(f"{where} is said to be {dtype} of shape {shape}, {size} bytes, but has {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


def _header(file: Any, kinds: str | None, where: str) -> tuple[np.dtype, tuple[int, ...], bool]:
    """Type, shape and whether the first index runs fastest."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, TypeError, SyntaxError, TokenError, MemoryError, RecursionError) as error:
        raise InputError(f"{where} is not an array of NumPy's ({str(error).splitlines()[0]})") from None
    if dtype.hasobject or dtype.names or dtype.subdtype or not dtype.itemsize or dtype.kind not in (kinds or "fiubUc"):
        raise InputError(f"{where} holds {dtype}, expected {_named(kinds)}")
    if any(size < 0 for size in shape) or len(shape) > 16:
        raise InputError(f"{where} has the shape {shape}, expected at most 16 sizes, none negative")
    return dtype, shape, fortran


_KINDS = {"f": "real numbers", "i": "whole numbers", "b": "true or false", "U": "text", "c": "complex numbers"}


def _named(kinds: str | None) -> str:
    return " or ".join(_KINDS[kind] for kind in kinds or "fiU" if kind in _KINDS)
