"""`ornstein data`: what the domains bring to learn from, each made or converted by a typed function of theirs.

A set is a function whose first argument is a folder, `out`, and that returns what is in it then, in words; its other
arguments are the flags. It writes into a folder that takes its place only when it is done.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from ..config import nearest
from ..errors import InputError
from ..text.escaping import printable
from .exits import require_writable, working_in
from .manual import summary


def data() -> None:
    """Make or convert data to learn from; without a name, list what there is.

    `ornstein data NAME --help` says what can be set.
    """
    for name, function in sets().items():
        print(f"{name}\n    {printable(summary(function))}")


def sets() -> Mapping[str, Callable[..., str]]:
    """The sets of all domains that can be loaded, by name; a name of ours stays ours."""
    found: dict[str, Callable[..., str]] = {}
    for own in _of_domains(""):
        found = {**own, **found}
    return dict(sorted(found.items()))


def _of_domains(name: str) -> Iterator[Mapping[str, Callable[..., str]]]:
    """The sets of one domain after the other, loaded in turn: ours first, of them the one that `name` begins with."""
    from ..tasks.registry import OURS, domains, package_of, task

    for domain in sorted(domains(), key=lambda one: (package_of(domains()[one]) != OURS, not name.startswith(one))):
        try:
            yield task(domain).sets
        except InputError:  # a domain that cannot be loaded, as `ornstein doctor` says
            continue


def making(name: str) -> Callable[..., None]:
    """The command that makes a set; InputError if there is none of this name."""
    if name.startswith("-"):
        raise InputError(f"data: the name comes first, as in ornstein data NAME {name}; `ornstein data` lists all")
    found = next((own[name] for own in _of_domains(name) if name in own), None)
    if found is None:
        raise InputError(f"no data {name!r}{nearest(name, list(sets()))}; `ornstein data` lists what there is")
    return made(found)


def made(function: Callable[..., str]) -> Callable[..., None]:
    """A set's function as a command: with the same flags; its folder appears whole or not at all."""

    @wraps(function)
    def command(out: Path, **how: Any) -> None:
        from ..disk.locks import beside
        from ..disk.trees import sync_tree
        from ..events import heard_by
        from ..events.progress import Lines
        from ..files import sync
        from ..tasks.storage.unfinished import require_absent

        require_absent(out)
        require_writable(out)
        with working_in(out), heard_by(Lines()), beside(out) as work:
            with _reading(work):
                said = function(work, **how)
            sync_tree(work)
            require_absent(out)
            work.rename(out)
            sync(out.parent)
        print(printable(f"{said}\n{out}"))

    return command


@contextmanager
def _reading(work: Path) -> Iterator[None]:
    """Within it a file that cannot be read is named: `beside` takes every fault for one of what is written."""
    try:
        yield
    except OSError as error:
        if error.filename and work not in Path(error.filename).parents:
            raise InputError(f"{error.filename}: {error.strerror}") from None
        raise
