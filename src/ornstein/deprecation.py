"""Old names, kept for one version: each still works, and warns with the new one."""

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

GONE = "0.3"
"""The version without the old names."""

Made = TypeVar("Made", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)


def warn(old: str, new: str, level: int = 3) -> None:
    """A DeprecationWarning that the caller of the caller sees.

    Args:
        old, new: the names, as a user writes them.
        level: how many frames up the user is, 1 = here.
    """
    warnings.warn(f"{old} is now {new}; the old name will go in {GONE}", DeprecationWarning, stacklevel=level)


def names(module: str, new: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` of a module that answers to old names.

    Args:
        module: its `__name__`.
        new: old name -> new name in the same module.
    """

    def __getattr__(name: str) -> Any:
        if name not in new:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn(f"{module}.{name}", f"{module}.{new[name]}")
        return getattr(sys.modules[module], new[name])

    return __getattr__


def renamed(**new: str) -> Callable[[Made], Made]:
    """A decorator of a function, or of a class for its constructor, that takes keyword arguments by their old names."""

    def decorate(made: Any) -> Any:
        function = made.__init__ if isinstance(made, type) else made

        @wraps(function)
        def called(*args: Any, **options: Any) -> Any:
            for old in new.keys() & options.keys():
                warn(f"{made.__name__}({old}=)", f"{made.__name__}({new[old]}=)")
                options[new[old]] = options.pop(old)
            return function(*args, **options)

        if not isinstance(made, type):
            return called
        made.__init__ = called  # pyright: ignore[reportAttributeAccessIssue]
        return made

    return decorate


def members(**new: str) -> Callable[[Class], Class]:
    """A decorator of a class that lets its attributes and methods be read by their old names."""

    def decorate(made: Class) -> Class:
        for old, name in new.items():
            setattr(made, old, _Old(f"{made.__name__}.{old}", f"{made.__name__}.{name}", name))
        return made

    return decorate


class _Old:
    """Reads another attribute, and warns."""

    def __init__(self, old: str, new: str, name: str) -> None:
        self.old, self.new, self.name = old, new, name

    def __get__(self, instance: Any, owner: type) -> Any:
        warn(self.old, self.new)
        return getattr(owner if instance is None else instance, self.name)


def renamed_word(word: str, table: Mapping[str, str]) -> str:
    """A command or flag (perhaps --flag=value) by its new name, with a line on stderr if it had an old one.

    Args:
        word: of a command line.
        table: old name -> new name.
    """
    name, equals, value = word.partition("=")
    if name not in table:
        return word
    print(f"ornstein: {name} is now {table[name]}; the old name will go in {GONE}", file=sys.stderr)
    return table[name] + equals + value
