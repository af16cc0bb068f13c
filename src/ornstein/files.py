"""Files that are whole or absent: write beside the target, flush to the disk, rename over it.

What is read is a file of bounded size, checked against a schema; a folder can be held by one process at a time. For
`.npz` see arrays.py.
"""

import errno
import fcntl
import json
import os
import reprlib
import stat
import tempfile
import zlib
from collections.abc import Callable, Mapping
from hashlib import file_digest
from math import isfinite, isnan
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import InputError


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Calls write(temporary) and puts the result in the place of `path`, which is always the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Atomically writes a text file."""
    write_atomic(path, lambda temporary: temporary.write_text(text))


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


def write_json(path: Path, value: Any) -> None:
    """Atomically writes a JSON file; see `plain` for what JSON cannot hold."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


# Reading ----------------------------------------------------------------------------------------------

MB = 1_000_000
SMALL = 32 * MB
"""Limit of a file that describes others: a manifest, scores, a configuration, the log of a training."""

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
    with open(_opened(path, expected), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = b"" if size > limit else file.read(limit + 1)  # which may have grown, or hide its size, as in /proc
    if max(size, len(found)) > limit:
        raise InputError(f"{path}: {_megabytes(max(size, len(found)))}, more than the limit of {_megabytes(limit)}")
    return found


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

    No part of it may be a symbolic link, and it must be written as a relative path is: "0.png", "chains/1.npz".

    Args:
        where: the name stands, for the error, such as a manifest.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or not name.isprintable():
        raise InputError(f"{where}: names {reprlib.repr(name)}, expected the name of a file in its own folder")
    path = folder
    for part in parts:
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise InputError(f"{where}: names {reprlib.repr(name)}, which is not there") from None
        wanted = stat.S_ISREG if path == folder / name else stat.S_ISDIR
        if not wanted(mode):
            raise InputError(f"{where}: names {reprlib.repr(name)}, which is {_sort(mode)}, expected a file")
    return path


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


def parse_json(text: str, where: object, expected: str) -> Any:
    """The value of a JSON text; InputError, which names `where` it stands, if it is malformed or nested too deeply.

    Args:
        expected: what the file should be, in words.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(f"{where}: nested too deeply, expected {expected}") from None
    except ValueError as error:  # a number of thousands of digits among them
        raise InputError(f"{where}: not valid JSON ({error}), expected {expected}") from None


_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def require(value: Any, schema: Any, where: object) -> Any:
    """`value`, a JSON value, if it has the form of a schema; InputError names where, the field, what was found.

    where: it stands, for the error, such as a path.
    schema: a kind (str, int, float, bool, list or dict; every int is a float), [schema] for a list of such values, or
        {name: schema} for an object with these fields. A field whose name ends in "?" may be absent or null; fields
        that the schema does not name may be anything.
    """
    if isinstance(schema, list):
        for k, item in enumerate(_require_kind(value, list, where)):
            require(item, schema[0], f"{where}[{k}]")
    elif isinstance(schema, Mapping):
        _require_kind(value, dict, where)
        for name, inner in schema.items():
            _require_field(value, name, inner, where)
    else:
        _require_kind(value, schema, where)
    return value


def _require_field(value: Mapping[str, Any], name: str, schema: Any, where: object) -> None:
    key = name.removesuffix("?")
    if value.get(key) is not None:
        require(value[key], schema, f"{where}: field {key}")
    elif key == name:
        found = "null" if key in value else "not there"
        raise InputError(f"{where}: field {key} is {found}, expected {_kind_named(schema)}")


def _require_kind(value: Any, kind: type, where: object) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number and (kind is float or isinstance(value, int)) if kind in (int, float) else isinstance(value, kind)
    if not fits:
        raise InputError(f"{where} is {reprlib.repr(value)}, expected {_kind_named(kind)}")
    return value


def _kind_named(schema: Any) -> str:
    return _KINDS[list if isinstance(schema, list) else dict if isinstance(schema, Mapping) else schema]


class Lock:
    """`with Lock(folder):` one process at a time is at work in a folder; InputError in every other.

    The lock is on the folder itself (flock), so it leaves no file and goes with the process, however that ends. The
    same object may be entered again while it is held. Where a file system knows no locks, there is none.
    """

    def __init__(self, folder: Path, work: str) -> None:
        """work: what is done there, for the error, such as "training"."""
        self.folder, self.work = folder, work
        self._depth, self._descriptor = 0, -1

    def __enter__(self) -> None:
        if not self._depth:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.folder, os.O_RDONLY)
            self._take()
        self._depth += 1

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise InputError(
                f"{self.folder}: another {self.work} is at work in this folder; wait for it or choose another folder"
            ) from None
        except OSError:  # NFS, for one, locks no folders
            pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            os.close(self._descriptor)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
