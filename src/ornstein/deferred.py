"""Packages that are imported when they are first used, so that a command which has no use for them does not wait.

    if TYPE_CHECKING:
        from rdkit import Chem
    else:
        Chem = deferred("rdkit.Chem")

A package that is not installed is missed at once, as by an import. Annotations that name its classes need
`from __future__ import annotations`.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def deferred(name: str, *submodules: str) -> Any:
    """The module of that name, imported with these of its submodules when an attribute of it is first asked for.

    Args:
        name: the full name, such as "rdkit.Chem".
        submodules: the full names of modules that `name.attribute` should find, such as "ase.io".

    Raises ModuleNotFoundError now, if the package is not installed.
    """
    package = name.partition(".")[0]
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return _Deferred(name, submodules)


class _Deferred(ModuleType):
    def __init__(self, name: str, submodules: tuple[str, ...]) -> None:
        super().__init__(name)
        self._submodules = submodules

    def __getattr__(self, attribute: str) -> Any:
        module = import_module(self.__name__)
        for submodule in self._submodules:
            import_module(submodule)
        value = getattr(module, attribute)
        self.__dict__[attribute] = value  # found without this detour from now on
        return value
