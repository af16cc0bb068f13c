"""The files that a request names: what they hold, and whether that is still so while samples are drawn and resumed.

A request is read more than once: for every portion, and by every worker for every shard, maybe on another machine. All
of them must read the same.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from glob import glob
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

from ... import code
from ...errors import InputError
from ...files import GB, sha256

_WHOLE = 4 * GB
"""Bytes of a folder, at most, whose files are read; of those in larger ones sizes and times are looked at."""

_Stamp = tuple[int, ...]


class Inputs:
    """The files that a request names, as they were when drawing began.

    Attributes:
        digests: what each holds, path → SHA-256; of a pattern, of all that it matches.
    """

    def __init__(self, asked: Any) -> None:
        """Reads them.

        Args:
            asked: the request, a frozen dataclass.
        """
        self._names = {str(name): name for name in _named(asdict(asked))}
        self._stamps: Mapping[str, _Stamp] = self._stamped()  # before anything is read
        self.digests = {text: _content(name) for text, name in self._names.items()}

    def __getstate__(self) -> dict[str, Any]:
        """To another machine, where files have other times."""
        return {"digests": self.digests, "_names": self._names, "_stamps": {}}

    def _stamped(self) -> dict[str, _Stamp]:
        return {text: _stamp(name) for text, name in self._names.items()}

    def require_unchanged(self) -> None:
        """InputError that names a file which holds something else by now, or here; those not touched are not read."""
        now = self._stamped()
        for name, stamp in now.items():
            if stamp != self._stamps.get(name) and _content(self._names[name]) != self.digests[name]:
                raise InputError(
                    f"{name}: is not what it was when drawing began; samples that are there were drawn with that: put "
                    "it back and --resume, or draw anew"
                )
        self._stamps = now


def files_of(asked: Any) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file that a request names, by itself, in a folder, by a pattern or as code, and what is known of it.

    Args:
        asked: the request, a frozen dataclass.
    """
    return ((path, stat) for name in _named(asdict(asked)) for _, stat, path in _files(name))


def _named(value: Any) -> Iterator[str | Path]:
    """The files, folders, patterns and code that a request names, as it names them."""
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _named(inner)
    elif isinstance(value, str | Path) and any(
        path.is_file() or (path.is_dir() and isinstance(value, Path))  # a text may be the name of a folder by accident
        for path in _paths(value)
    ):
        yield value


def _paths(name: str | Path) -> list[Path]:
    """What a name leads to: a file or a folder, those that a pattern matches, or the file of path/to/file.py:name.

    A pattern is a path: the `*` of a text, such as a motif or a SMILES, means something else.
    """
    text = str(name)
    try:
        if not text or "\0" in text:
            return []
        if os.path.lexists(text):
            return [Path(text)]
        file = text.rpartition(":")[0]
        if code.is_code(text) and file.endswith(".py") and Path(file).is_file():
            return [Path(file)]
        return [Path(one) for one in sorted(glob(text))] if isinstance(name, Path) else []
    except (OSError, ValueError):  # too long for a name
        return []


def _files(name: str | Path) -> list[tuple[str, os.stat_result, Path]]:
    """All files that a name leads to, with their names in it."""
    found = []
    for path in _paths(name):
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file())
            found += [(str(one.relative_to(path)), one.stat(), one) for one in inside]
        elif path.is_file() and path.suffix == ".py":
            found += [(one, (path.parent / one).stat(), path.parent / one) for one in sorted(code.hashes_of(path))]
        elif path.is_file():
            found.append((path.name, path.stat(), path))
    return found


def _stamp(name: str | Path) -> _Stamp:
    """What changes whenever one of its files is written."""
    return tuple(number for _, stat, _ in _files(name) for number in (stat.st_size, stat.st_mtime_ns, stat.st_ino))


def _content(name: str | Path) -> str:
    """What it holds, by SHA-256."""
    files = _files(name)
    if len(files) == 1 and files[0][2] == Path(name):
        return sha256(files[0][2])
    whole = sum(stat.st_size for _, stat, _ in files) <= _WHOLE
    found = sha256_of()
    for inner, stat, path in files:
        found.update(f"{inner}\0{stat.st_size}\0{sha256(path) if whole else stat.st_mtime_ns}\n".encode())
    return found.hexdigest()
