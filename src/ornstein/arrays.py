"""NumPy's `.npz` files: what they hold is known before anything is unpacked.

A zip archive of arrays says of each how large it is, unpacked; each array's own header says its type and shape. Both
are checked, against each other and against a limit, before memory is taken. Objects, which are pickles, are refused.
"""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from .errors import InputError
from .files import MB, opened, write_atomic


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


def rows(path: Path, limit: int, name: str, kinds: str, shape: tuple[int, ...], size: int) -> Iterator[np.ndarray]:
    """An array, some rows at a time: no more of it is in memory.

    InputError as of `members`, and for an array of another shape.

    Args:
        path: of the file.
        limit: bytes of the file.
        name: of the array.
        kinds: of its numbers, see `members`.
        shape: of the array.
        size: rows, indices along its first axis, at most.
    """
    with _archive(path, limit) as (archive, infos):
        where = f"{path}: array {name!r}"
        with archive.open(_wanted(infos, {name: kinds}, path)[name]) as file:
            dtype, found, fortran = _header(file, kinds, where)
            if found != shape or fortran:
                order = ", its first index fastest," if fortran else ""
                raise InputError(f"{where} has the shape {found}{order}, expected {shape}")
            for first in range(0, shape[0], size):
                part = (min(size, shape[0] - first), *shape[1:])
                data = file.read(dtype.itemsize * prod(part))
                if len(data) != dtype.itemsize * prod(part):
                    raise InputError(
                        f"{where} is said to be {dtype} of shape {shape}, but ends in row {first} or after"
                    )
                yield np.frombuffer(data, dtype).reshape(part).astype(dtype.newbyteorder("="))


def names(path: Path, limit: int) -> list[str]:
    """Of the arrays of an `.npz`, none of which is unpacked; InputError if the file is no such archive.

    Args:
        path: of the file.
        limit: bytes of the file.
    """
    with _archive(path, limit) as (_, infos):
        return list(infos)


def write(path: Path, named: Mapping[str, Any]) -> None:
    """Writes an `.npz`, whole or not at all.

    Args:
        path: of the file.
        named: name → array.
    """

    def written(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **named)

    write_atomic(path, written)


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
        data = file.read(size + 1)
    if len(data) != size:
        raise InputError(f"{where} is said to be {dtype} of shape {shape}, {size} bytes, but has {len(data)}")
    found = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return found.astype(dtype.newbyteorder("="))  # a copy that may be written to


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
