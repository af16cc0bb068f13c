"""The installed domains, found by the entry points "ornstein.domains": ours and everybody else's alike."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from ..config import suggestion
from ..errors import InputError

if TYPE_CHECKING:
    from .task import Task

OURS = "ornstein"

Loaded = TypeVar("Loaded")


Point = Any
"""An entry point, of `importlib.metadata` or of its backport, which finds them all once anybody has imported it."""


@cache
def domains() -> dict[str, Point]:
    """The installed domains, by name; nothing of them is imported yet. A name of ours stays ours."""
    points = sorted(entry_points(group="ornstein.domains"), key=lambda point: (point.name, package_of(point) == OURS))
    return {point.name: point for point in points}


def package_of(point: Point) -> str:
    """The name of the distribution that a domain comes with."""
    return point.dist.name if point.dist else "?"


def task(domain: str) -> "Task":
    """The task of a domain; InputError if there is none, or its package cannot be loaded."""
    found = _task(domain)
    if isinstance(found, InputError):
        raise found.with_traceback(None)
    return found


def broken() -> dict[str, InputError]:
    """The installed domains that cannot be loaded, and why: a package that they need is missing, or their own fails."""
    found = {domain: _task(domain) for domain in domains()}
    return {domain: error for domain, error in found.items() if isinstance(error, InputError)}


def package(domain: str) -> ModuleType:
    """The package of a domain, in which its Task is defined or lies: what `ornstein.NAME` is."""

    def load(point: Point) -> ModuleType:
        spec = find_spec(point.module)
        return import_module((spec and spec.parent) or point.module)

    return _told(domain, load)


def names(pattern: str) -> list[str]:
    """What the installed domains have of a kind, as "domain/name", found without importing any of them.

    Args:
        pattern: of files in a domain's folder: recipes/*.toml, or models/*/model.safetensors, whose folders are names.
    """
    found = ((domain, path) for domain in domains() for path in sorted(_folder(domain).glob(pattern)))
    return [f"{domain}/{path.stem if pattern.count('/') == 1 else path.parent.name}" for domain, path in found]


def _folder(domain: str) -> Path:
    """The folder of a domain's package, as its metadata say."""
    top, *inner = domains()[domain].module.split(".")
    spec = find_spec(top)
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        return Path("/nowhere")
    base = Path(next(iter(spec.submodule_search_locations or ()), None) or Path(spec.origin or "").parent)
    return base.joinpath(*inner[:-1])


@cache
def _task(domain: str) -> "Task | InputError":
    """The task, or why there is none: a package that fails is not imported again and again."""
    from .task import Task

    try:
        found = _told(domain, lambda point: point.load()())
    except InputError as error:
        return error
    if not isinstance(found, Task):
        return InputError(f"{_named(domain)} is a {type(found).__name__}, expected an ornstein.tasks.task.Task")
    return found


def _told(domain: str, load: Callable[[Point], Loaded]) -> Loaded:
    """What is loaded of a domain; whatever fails ends in an InputError that says whose fault it is."""
    if domain not in domains():
        raise InputError(f"no domain {domain!r}{suggestion(domain, list(domains()))}")
    try:
        return load(domains()[domain])
    except ModuleNotFoundError as error:
        ours = package_of(domains()[domain]) == OURS
        how = f": pip install 'ornstein[{domain}]'" if ours else ""
        raise InputError(f"{_named(domain)} needs {error.name!r}, which is not installed{how}") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{_named(domain)} cannot be loaded: {type(error).__name__}: {error}") from error


def _named(domain: str) -> str:
    """The domain, and the package it is of, if that is not ours."""
    whose = package_of(domains()[domain])
    return f"the domain {domain!r}" + ("" if whose == OURS else f" of the package {whose!r}")
