"""Every public name, and what its documentation lacks: a docstring, an argument in it, a place in the reference.

Public are the names of `ornstein`, those of its public modules and of the packages of the domains, the contract of a
domain (`CONTRACT`), and the commands with all their flags. `make docs` and tests/test_docs_site.py ask here.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import ornstein
from ornstein.cli import _COMMANDS, _train
from ornstein.commands.flags import documented, flags_of, words_of
from ornstein.commands.sampling import sampling
from ornstein.tasks import runs
from ornstein.tasks.registry import task

DOMAINS = ("energies", "images", "molecules", "mri", "poisson", "sequences", "weather")
CONTRACT = {
    "ornstein.config": ("SampleConfig", "TrainConfig", "require_in", "require_with"),
    "ornstein.distributed.ranks": ("launched", "Ranks", "RankError"),
    "ornstein.spaces": ("TimePath", "Stationary", "Structured", "Correlated"),
    "ornstein.tasks.figures": ("Figure", "Interactive", "Metric", "Stop"),
    "ornstein.tasks.hands": ("Backdrop", "Column", "Hand", "Mark", "Painted", "Picked", "Placed"),
    "ornstein.tasks.samples": ("read_samples",),
    "ornstein.tasks.task": ("Request", "Task"),
    "ornstein.training.datasets": ("Arrays", "Dataset"),
}
"""What a domain of one's own is written with, beside the names of `ornstein`."""


def public() -> dict[str, Any]:
    """All public names, as they are written, and what they are."""
    found = {f"ornstein.{name}": getattr(ornstein, name) for name in ornstein._HOMES}
    for name in (*ornstein._MODULES, *DOMAINS):
        found |= _of(f"ornstein.{name}", getattr(ornstein, name))
    for module, names in CONTRACT.items():
        home = __import__(module, fromlist=names)
        found |= {f"{module}.{name}": getattr(home, name) for name in names}
    return found


def _of(prefix: str, module: ModuleType) -> dict[str, Any]:
    """The public names of a module, and of the modules among them."""
    found: dict[str, Any] = {}
    for name in getattr(module, "__all__", None) or _own(module):
        what = getattr(module, name)
        found |= _of(f"{prefix}.{name}", what) if isinstance(what, ModuleType) else {f"{prefix}.{name}": what}
    return found


def _own(module: ModuleType) -> list[str]:
    """The names without a leading underscore that a module without `__all__` defines itself."""
    return [
        name
        for name, what in vars(module).items()
        if not name.startswith("_") and getattr(what, "__module__", None) == module.__name__ and callable(what)
    ]


def undocumented(names: Mapping[str, Any]) -> list[str]:
    """What docstrings lack, a sentence each.

    Args:
        names: as `public` has them.
    """
    return [sentence for name, what in names.items() for sentence in _lacking(name, what)]


def _lacking(name: str, what: Any) -> Iterator[str]:
    if not callable(what):
        return  # a value: the reference says what it is
    if not _told(what).strip():
        yield f"{name} has no docstring"
        return
    for argument in _arguments(what):
        if not _says(what, argument):
            yield f"{name}: its docstring does not say what {argument} is"
    if inspect.isclass(what):
        for member, one in vars(what).items():
            if _is_method(one) and not member.startswith("_") and not inspect.getdoc(getattr(what, member)):
                yield f"{name}.{member} has no docstring"


def _is_method(one: Any) -> bool:
    return inspect.isfunction(one) or isinstance(one, staticmethod | classmethod | property)


def _told(what: Any) -> str:
    """All that is said of a name: a class's docstring, those of its own bases, and of how it is made."""
    if not inspect.isclass(what):
        return inspect.getdoc(what) or ""
    lineage = [one for one in what.__mro__ if one.__module__.startswith("ornstein")] or [what]
    texts = [text for one in lineage for text in (one.__doc__, one.__init__.__doc__) if text]
    return "\n".join(inspect.cleandoc(text) for text in texts) if what.__doc__ else ""


def _arguments(what: Any) -> list[str]:
    """The arguments that a user gives."""
    if dataclasses.is_dataclass(what):
        return [field.name for field in dataclasses.fields(what) if field.init and not field.name.startswith("_")]
    try:
        parameters = inspect.signature(what).parameters.values()
    except (TypeError, ValueError):  # made by C, or an enumeration
        return []
    if inspect.isclass(what) and "ornstein" not in getattr(what.__init__, "__module__", ""):
        return []  # made as a base of another package is
    return [one.name for one in parameters if one.name not in ("self", "cls") and not one.name.startswith("_")]


def _says(what: Any, argument: str) -> bool:
    """Whether a docstring says what an argument is: by an entry of its own, or by its name in the text."""
    return argument in documented(what) or bool(re.search(rf"(?<![\w.]){re.escape(argument)}(?!\w)", _told(what)))


def commands() -> dict[str, Any]:
    """Every command, with those of a domain's flags: as it is written → function."""
    found = {f"ornstein {name}": function for name, function in _COMMANDS.items()}
    for domain in DOMAINS:
        found[f"ornstein sample {domain}/…"] = sampling(task(domain).request_type)
        found[f"ornstein train {domain}"] = _train(domain, None, runs.recipe(domain, None))
    return found


def unexplained(table: Mapping[str, Any]) -> list[str]:
    """What the help of commands lacks, a sentence each.

    Args:
        table: as `commands` has it.
    """
    found = [f"{command} has no docstring" for command, function in table.items() if not inspect.getdoc(function)]
    for command, function in table.items():
        found += [f"{command}: nothing says what {word.name} is" for word in words_of(function) if not word.text]
        found += [f"{command}: nothing says what {flag.option} is" for flag in flags_of(function) if not flag.text]
    return found


NAMES = re.compile(r"^\.\. names:: *(\S+)\n((?:\n|[ ]+\S.*\n)*)", re.MULTILINE)


def referred(folder: Path) -> dict[str, str]:
    """The names that the pages of the reference list, and the page of each.

    Args:
        folder: of the pages.
    """
    found = {}
    for page in sorted(folder.glob("*.rst")):
        for prefix, listed in NAMES.findall(page.read_text()):
            found |= {f"{prefix}.{name}": page.name for name in listed.split()}
    return found


def lacking(folder: Path) -> list[str]:
    """All that keeps the reference from being whole, a sentence each.

    Args:
        folder: of the reference's pages.
    """
    names, pages = public(), referred(folder)
    homeless = [f"{name} is on no page of the reference" for name in names if name not in pages]
    unknown = [f"{page}: {name} is no public name" for name, page in pages.items() if name not in names]
    return [*homeless, *unknown, *undocumented(names), *unexplained(commands())]
