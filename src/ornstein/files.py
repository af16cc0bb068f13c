"""Files that are whole or absent: write beside the target, flush to the disk, rename over it."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from hashlib import file_digest
from math import isfinite, isnan
from pathlib import Path
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
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: not found, expected {expected}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}), expected {expected}") from None


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
