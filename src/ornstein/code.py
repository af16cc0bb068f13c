"""Python of the user's, named as path/to/file.py:name: run only if the user names it.

A model, a manifest or a configuration may be somebody else's, so what a file names is not run unless the user has named
it as well, on this command line or in Python, or allows what that folder needs. A model keeps the hashes of the code
that it was made with: code that has changed since is refused, and code that has moved is known by them.
"""

import ast
import runpy
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import MB, content

_allowed: dict[str, tuple[Path, ...]] = {}
"""What the user has named: a name as files say it → places where its file may be, the best first."""


def is_code(source: str) -> bool:
    """Whether a setting names code, as path/to/file.py:name does, and not something that comes along."""
    return ":" in source


def allow(source: str, place: Path | None = None, folders: Iterable[Path] = ()) -> None:
    """The user has named code: from now on it is run where a file names it.

    Args:
        source: path/to/file.py:name.
        place: the file, or its folder, where it is not at its path any more.
        folders: others in which to look for it by its path, such as that of the model which names it.
    """
    path = Path(source.rpartition(":")[0])
    if place is not None:
        _allowed[source] = (place / path.name if place.is_dir() else place,)
    else:
        beside = [folder / name for folder in folders for name in (path, path.name)]
        _allowed[source] = tuple(dict.fromkeys([path, *_allowed.get(source, ()), *beside]))


def allow_named(words: Iterable[str]) -> None:
    """Allows what stands on a command line: every word, or value of --flag=value, of the form path/to/file.py:name."""
    for word in words:
        source = word.partition("=")[2] if word.startswith("--") and "=" in word else word
        if ".py:" in source:
            allow(source)


def require_allowed(sources: Iterable[str], where: object, how: str) -> None:
    """InputError if a file names code that the user does not.

    Args:
        sources: settings that may name code.
        where: the file that names them.
        how: to allow it, in words.
    """
    for source in sources:
        if is_code(source) and source not in _allowed:
            raise InputError(f"{where}: names code, {source!r}, and a file alone may not have code run; {how}")


def allowed() -> dict[str, tuple[Path, ...]]:
    """What is allowed here, for processes that do a part of this one's work; see `allow_also`."""
    return {source: tuple(place.absolute() for place in places) for source, places in _allowed.items()}


def allow_also(sources: Mapping[str, tuple[Path, ...]]) -> None:
    """Allows what `allowed` gave in the process that this one works for, and runs the files.

    So what they define, and import from beside them, is what it is now when something that refers to it is unpacked.
    """
    for source, places in sources.items():
        _allowed[source] = places
        if any(place.is_file() for place in places):
            run(source)


def run(source: str, hashes: Mapping[str, str] | None = None) -> tuple[Path, dict[str, Any]]:
    """The file that a name of the user's leads to, and what it defines.

    InputError if it is not allowed, not there, has changed, or fails.

    Args:
        source: path/to/file.py:name.
        hashes: of its file and of those beside it that it imports, as `hashes_of` gave them; none = any.
    """
    require_allowed([source], "a file", "allow it with --allow-code, in Python allow_code=True, if you trust it")
    path = _found(source, hashes or {})
    return path, _executed(path.absolute(), tuple(hashes_of(path).items()))


def hashes_of(path: Path) -> dict[str, str]:
    """SHA-256 of a Python file and of every file beside it that it imports, and these in turn, by their names."""
    found: dict[str, str] = {}
    waiting = [path.name]
    while waiting:
        name = waiting.pop()
        data = content(path.parent / name, 10 * MB, "a Python file")
        found[name] = sha256(data).hexdigest()
        beside = (f"{module}.py" for module in _imported(data))
        waiting += [other for other in beside if other not in found and (path.parent / other).is_file()]
    return found


def _imported(source: bytes) -> set[str]:
    """The first parts of the names of all modules that a file imports; none if it is not Python."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in plain | parts}


def _found(source: str, hashes: Mapping[str, str]) -> Path:
    """The file of a name: the first place that has it as it was."""
    there = [path for path in _allowed[source] if path.is_file()]
    if not there:
        raise InputError(
            f"{_allowed[source][0]}: no such Python file, expected path/to/file.py:name; if it has moved, "
            "--code PATH names the new place, in Python allow_code=PATH"
        )
    changes = {path: _changed(path, hashes) for path in there}
    for path, change in changes.items():
        if not change:
            return path
    raise InputError(
        f"{there[0]}: changed since the training: {changes[there[0]]}; what was learned belongs to the code as it was: "
        "restore that, or train anew"
    )


def _changed(path: Path, hashes: Mapping[str, str]) -> str:
    """What is not as it was, in words; "" if nothing."""
    now = hashes_of(path) if hashes else {}
    now = {(name if name != path.name else next(iter(hashes))): value for name, value in now.items()}  # as renamed
    wrong = [name for name in {**hashes, **now} if hashes.get(name) != now.get(name)]
    return ", ".join(
        f"{name} has SHA-256 {now.get(name, 'none')[:12]}, expected {hashes.get(name, 'none')[:12]}" for name in wrong
    )


@cache
def _executed(path: Path, hashes: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """What a Python file defines; it may import the files beside it, now and later."""
    folder, modules = str(path.parent), [name.removesuffix(".py") for name, _ in hashes[1:]]
    for name in _beside.intersection(modules):
        sys.modules.pop(name, None)  # beside another file of the user's, or before it changed
    sys.path.insert(0, folder)
    try:
        return runpy.run_path(str(path), run_name=path.stem)
    except (Exception, SystemExit) as error:
        raise InputError(f"{path}: raised {type(error).__name__} while it was imported: {error}") from error
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
        _beside.update(name for name in modules if _file_of(name) == path.parent / f"{name}.py")


_beside: set[str] = set()
"""Modules that a file of the user's has imported from beside it."""


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return file and Path(file)
