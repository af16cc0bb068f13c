"""The installed domains, found by the entry points "ornstein.domains": ours and everybody else's alike."""

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from ..config import suggestion
from ..errors import InputError

if TYPE_CHECKING:
    from .task import Task


@cache
def domains() -> dict[str, Any]:
    """The installed domains, by name; nothing of them is imported yet."""
    return {point.name: point for point in sorted(entry_points(group="ornstein.domains"), key=lambda p: p.name)}


@cache
def task(domain: str) -> "Task":
    """The task of a domain; InputError if there is none or its extra is not installed."""
    if domain not in domains():
        raise InputError(f"no domain {domain!r}{suggestion(domain, list(domains()))}")
    try:
        return domains()[domain].load()()
    except ModuleNotFoundError as error:
        raise InputError(f"the domain {domain!r} needs {error.name!r}: pip install 'ornstein[{domain}]'") from None
