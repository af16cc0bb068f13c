"""Files that are whole or absent: write beside the target, flush to the disk, rename over it.

What is read back is checked against a schema, and a folder can be held by one process at a time.
"""

import fcntl
import json
import os
import reprlib
import tempfile
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


def read_json(path: Path, expected: str) -> Any:
    """The content of a JSON file; InputError if it is missing or malformed. `expected` says what it should be."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise InputError(f"{path}: not found, expected {expected}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid JSON ({error}), expected {expected}") from None
    return parse_json(text, path, expected)


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
