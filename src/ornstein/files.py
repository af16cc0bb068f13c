"""Files that are whole or absent: write beside the target, flush to the disk, rename over it.

What is read is a file of bounded size, checked against a schema. For `.npz` see disk/arrays.py.
"""

import errno
import json
import os
import reprlib
import stat
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any, BinaryIO

from .disk.locks import beside
from .errors import InputError


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Calls write(temporary) and puts the result in the place of `path`, which is always the old file or the new."""
    with beside(path, file=True) as temporary:
        write(temporary)
        temporary.chmod(0o644)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Atomically writes a text file."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def plain(value: Any) -> Any:
    """A value as JSON holds it: None for NaN, text for ±inf and paths, the shape of a long tensor."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if isfinite(value) else None if isnan(value) else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "tolist"):  # a tensor or an array
        return plain(value.tolist()) if len(value.reshape(-1)) <= 16 else f"tensor of shape {tuple(value.shape)}"
    return str(value)


def number(value: float | str | None) -> float:
    """A number as `plain` wrote it: NaN for None, and ±inf."""
    return nan if value is None else float(value)


def write_json(path: Path, value: Any) -> None:
    """Atomically writes a JSON file; see `plain` for what JSON cannot hold."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


# Reading ----------------------------------------------------------------------------------------------

MB = 1_000_000
GB = 1000 * MB
SMALL = 32 * MB
"""Limit of a file that describes others: scores, a configuration, the log of a training."""
LISTING = 2 * GB
"""Limit of a file that names each of many others, such as the manifest of a million pictures, of 90 MB."""

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR, errno.ENXIO, errno.EINVAL)


def content(path: Path, limit: int, expected: str) -> bytes:
    """The bytes of a regular file.

    InputError if it is not there, a folder, a pipe or a device, or longer than the limit; PermissionError and other
    faults of the machine are raised as they are.

    Args:
        path: of the file.
        limit: bytes, none of which is read if there are more.
        expected: what the file should be, in words, for the error.
    """
    with opened(path, limit, expected) as file:
        found = file.read(limit + 1)  # it may have grown, or hide its size, as in /proc
    _require_most(len(found), limit, path)
    return found


def opened(path: Path, limit: int, expected: str) -> BinaryIO:
    """A regular file, to be read; see `content`."""
    file = open(_opened(path, expected), "rb")  # noqa: SIM115, the caller closes it
    try:
        _require_most(os.fstat(file.fileno()).st_size, limit, path)
    except InputError:
        file.close()
        raise
    return file


def _require_most(size: int, limit: int, path: Path) -> None:
    if size > limit:
        raise InputError(f"{path}: {_megabytes(size)}, more than the limit of {_megabytes(limit)}")


def _opened(path: Path, expected: str) -> int:
    """The descriptor of a regular file; a pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError:  # a NUL in the name
        raise InputError(f"{str(path)!r}: no such file, expected {expected}") from None
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise InputError(f"{path}: not found ({error.strerror}), expected {expected}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InputError(f"{path}: not a file but {_sort(mode)}, expected {expected}")
    return descriptor


def text(path: Path, limit: int, expected: str) -> str:
    """The UTF-8 text of a file, without the mark that some editors put before it; see `content` for the rest."""
    return decoded(content(path, limit, expected), path)


def decoded(data: bytes, where: object) -> str:
    """Bytes as UTF-8 text, without a byte-order mark; InputError names the line that is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = data[error.start : error.start + 1].hex()
        raise InputError(f"{where}: line {line} holds the byte 0x{found}, which is not UTF-8, as expected") from None


def gunzipped(data: bytes, limit: int, where: object) -> bytes:
    """What gzip'd bytes hold, and other bytes as they are; InputError if it is damaged, or more than the limit.

    Args:
        limit: bytes, beyond which nothing is unpacked.
        where: the data stand, for the error, such as a path.
    """
    parts, left = [], limit
    while data[:2] == b"\x1f\x8b":
        unpack = zlib.decompressobj(wbits=31)
        try:
            parts.append(unpack.decompress(data, left + 1))
        except zlib.error as error:
            raise InputError(f"{where}: damaged gzip file ({error})") from None
        left -= len(parts[-1])
        if left < 0:
            raise InputError(f"{where}: unpacks to more than the limit of {_megabytes(limit)}")
        if not unpack.eof:
            raise InputError(f"{where}: damaged gzip file, it ends too early")
        data = unpack.unused_data.lstrip(b"\0")
    if parts and data:
        raise InputError(f"{where}: damaged gzip file, {len(data)} bytes after its end are not gzip")
    return b"".join(parts) if parts else data


def inside(folder: Path, name: str, where: object) -> Path:
    """The path of a regular file of that name in a folder; InputError if the name leads out of it, or to no file.

    It must be written as a relative path is: "0.png", "chains/1.npz". A symbolic link may lead to a file in the folder.

    Args:
        where: the name stands, for the error, such as a manifest.
    """
    named = f"{where}: names {reprlib.repr(name)}"
    if any(part in ("", ".", "..") for part in name.split("/")) or not name.isprintable():
        raise InputError(f"{named}, expected the name of a file in its own folder")
    if "/" not in name and _is_regular(folder / name):  # no link leads anywhere: of a million files this is seen soon
        return folder / name
    try:
        real = (folder / name).resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError) as error:  # a loop of links
        if isinstance(error, OSError) and error.errno not in _NO_FILE:
            raise
        raise InputError(f"{named}, which is not there") from None
    if not real.is_relative_to(folder.resolve()):
        raise InputError(f"{named}, a symbolic link that leads out of its own folder")
    if not stat.S_ISREG(mode):
        raise InputError(f"{named}, which is {_sort(mode)}, expected a file")
    return folder / name


def _is_regular(path: Path) -> bool:
    """Whether a path is that of a file, and no link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def own(folder: Path, name: str) -> Path:
    """The path of a file in a folder, which may be absent, but no link that leads out; see `inside`."""
    return inside(folder, name, folder) if (folder / name).is_symlink() else folder / name


def _sort(mode: int) -> str:
    sorts = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFREG: "a file",
    }
    return sorts.get(stat.S_IFMT(mode), "a device")


def _megabytes(size: int) -> str:
    return f"{size / MB:.4g} MB"


def read_json(path: Path, expected: str, schema: Any = None, limit: int = SMALL) -> Any:
    """The content of a JSON file; InputError if it is missing, malformed, longer than the limit or not of the schema.

    Args:
        path: of the file.
        expected: what the file should be, in words.
        schema: see `require`.
        limit: bytes.
    """
    value = parse_json(text(path, limit, expected), path, expected)
    return value if schema is None else require(value, schema, path)


_CONSTANTS = {"NaN": None, "Infinity": "inf", "-Infinity": "-inf"}
"""What is no JSON, but written as if it were, by the names that `plain` gives it."""


def parse_json(text: str, where: object, expected: str) -> Any:
    """The value of a JSON text; InputError, which names `where` it stands, if it is malformed or nested too deeply.

    Args:
        expected: what the file should be, in words.
    """
    try:
        return json.loads(text, parse_constant=_CONSTANTS.get)
    except RecursionError:
        raise InputError(f"{where}: nested too deeply, expected {expected}") from None
    except ValueError as error:  # a number of thousands of digits among them
        raise InputError(f"{where}: not valid JSON ({error}), expected {expected}") from None


# Schemas ----------------------------------------------------------------------------------------------

_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    None: "null",
}


@dataclass(frozen=True)
class Within:
    """A schema of numbers in an interval, both ends included.

    Attributes:
        kind: int or float.
        low, high: the smallest and the largest.
    """

    kind: type
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_KINDS[self.kind]} from {self.low:g} to {self.high:g}"


NUMBER = (float, "inf", "-inf")
"""The schema of a number as `plain` writes it; it may also be null, for NaN."""

ANY = object()
"""The schema of anything."""


def require(value: Any, schema: Any, where: object) -> Any:
    """`value`, a JSON value, if it has the form of a schema; InputError names where, the field, what was found.

    where: it stands, for the error, such as a path.
    schema: a kind (str, int, float, bool, list or dict); every int that a float can hold is a float, and numbers are
        finite and of at most 64 bits. `Within(int, 1, 9)`: a number in an interval. A text or None: just that.
        (schema, schema): one of these. [schema]: a list of such values; [schema, schema]: a list of just these.
        {name: schema}: an object with these fields; a field whose name ends in "?" may be absent or null, and fields
        that the schema does not name may be anything.
        {str: schema}: an object all of whose fields are such values; {int: schema}: and their names whole numbers. ANY:
        anything.
    """
    if schema is ANY:
        return value
    if isinstance(schema, tuple):
        if not any(_fits(value, one) for one in schema):
            raise InputError(f"{where} is {reprlib.repr(value)}, expected {_named(schema)}")
    elif isinstance(schema, list):
        _require_items(value, schema, where)
    elif isinstance(schema, Mapping):
        _require_kind(value, dict, where)
        for name, inner in schema.items():
            if isinstance(name, type):
                _require_each(value, name, inner, where)
            else:
                _require_field(value, name, inner, where)
    else:
        _require_kind(value, schema, where)
    return value


def _fits(value: Any, schema: Any) -> bool:
    try:
        require(value, schema, "")
    except InputError:
        return False
    return True


def _require_items(value: Any, schema: list[Any], where: object) -> None:
    _require_kind(value, list, where)
    if len(schema) > 1 and len(value) != len(schema):
        raise InputError(f"{where} has {len(value)} items, expected {len(schema)}")
    for k, item in enumerate(value):
        require(item, schema[k if len(schema) > 1 else 0], f"{where}[{k}]")


def _require_each(value: Mapping[str, Any], name: type, inner: Any, where: object) -> None:
    for key, item in value.items():
        if name is int and not (key.isascii() and key.isdecimal() and len(key) < 10):
            raise InputError(f"{where}: has a field {reprlib.repr(key)}, expected a whole number as its name")
        if isinstance(inner, type) and _is(item, inner):  # of a million nothing need be put into words
            continue
        require(item, inner, f"{where}: field {reprlib.repr(key)}")


def _require_field(value: Mapping[str, Any], name: str, schema: Any, where: object) -> None:
    key = name.removesuffix("?")
    if value.get(key) is not None:
        require(value[key], schema, f"{where}: field {key}")
    elif key == name and not (key in value and _fits(None, schema)):
        found = "null" if key in value else "not there"
        raise InputError(f"{where}: field {key} is {found}, expected {_named(schema)}")


def _require_kind(value: Any, schema: Any, where: object) -> Any:
    if not _is(value, schema):
        raise InputError(f"{where} is {reprlib.repr(value)}, expected {_named(schema)}")
    return value


def _is(value: Any, schema: Any) -> bool:
    if isinstance(schema, Within):
        return _is(value, schema.kind) and schema.low <= value <= schema.high
    if schema is None or isinstance(schema, str):
        return value == schema
    if schema is int or schema is float:
        whole, number = isinstance(value, int), isinstance(value, int | float) and not isinstance(value, bool)
        least, most = (-(2**63), 2**64 - 1) if schema is int else (-sys.float_info.max, sys.float_info.max)
        return number and (schema is float or whole) and least <= value <= most  # which NaN is not
    return isinstance(value, schema)


def _named(schema: Any) -> str:
    if isinstance(schema, tuple):
        return " or ".join(map(_named, schema))
    if isinstance(schema, Within):
        return str(schema)
    if isinstance(schema, str):
        return repr(schema)
    return _KINDS[list if isinstance(schema, list) else dict if isinstance(schema, Mapping) else schema]


# Bytes ------------------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Waits until a file, or which files a folder has, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
