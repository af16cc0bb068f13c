"""A domain of a test's own, installed for as long as the test takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest

from ornstein.tasks import registry


@contextmanager
def registered(name: str, value: str) -> Iterator[None]:
    """Within the block the domain `name` is the task of the entry point `value`, such as "module:Task"."""

    def with_ours(group: str) -> list[Any]:
        others = [point for point in entry_points(group=group) if point.name != name]
        return [*others, EntryPoint(name, value, group)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", with_ours)
        _forget()
        yield
    _forget()


def _forget() -> None:
    for known in (registry.domains, registry._task):
        known.cache_clear()
