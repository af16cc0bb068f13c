"""The run-time checker of types and shapes of the tests, on every function of the package.

    install("ornstein")                                         before anything imports the package

jaxtyping binds the arguments anew and checks them twice, so that names of axes mean the same in arguments and result.
Of the thousands of functions few have shapes in their annotations, so the others are left to beartype alone: loading
the package takes less than half the time.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Self, get_args

import jaxtyping
from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import AbstractArray, config, install_import_hook

checked = beartype(
    conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({Self: Any}), violation_type=TypeError)
)
"""beartype without `Self`, which it only knows on whole classes."""
_with_shapes = jaxtyping.jaxtyped


def install(package: str) -> None:
    """From now on, every module of a package is imported with its functions and dataclasses checked."""
    jaxtyping.jaxtyped = _decorator  # pyright: ignore[reportPrivateImportUsage], what the hook's decorators look up
    install_import_hook(package, "runtime_types.checked")


def _decorator(*, typechecker: Any) -> Callable[[Any], Any]:
    def decorated(what: Any) -> Any:
        if inspect.isfunction(what):
            return _typed(what)
        made_here = inspect.isclass(what) and getattr(what.__init__, "__globals__", {}).get("__name__") == __name__
        return what if made_here else _with_shapes(what, typechecker=typechecker)  # not twice

    return decorated


def _typed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that checks types; and the shapes, where its annotations have any or are still text."""
    if any(_shaped(hint) for hint in getattr(function, "__annotations__", {}).values()):
        return _with_shapes(function, typechecker=checked)
    typed = checked(function)

    @wraps(function)
    def either(*args: Any, **options: Any) -> Any:
        return (function if config.jaxtyping_disable else typed)(*args, **options)

    return either


def _shaped(hint: Any) -> bool:
    if isinstance(hint, list | tuple):  # the arguments of a Callable
        return any(map(_shaped, hint))
    return (
        isinstance(hint, str) or (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or _shaped(get_args(hint))
    )
