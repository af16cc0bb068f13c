"""What users' functions must return: an energy that is NaN, of another shape or without a gradient would else go
unnoticed, because what is missing counts as zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from traceback import extract_tb
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..denoisers.maps import Map
from ..errors import InputError
from ..states import leaves

_OURS = str(Path(__file__).parents[1])
_NO_WAY_BACK = (
    "torch finds no way back from what it returns to its argument (was it detached, or made of integers or NumPy "
    "arrays?); Reward takes functions without a gradient"
)


def called(factor: Any, function: Any, *arguments: Any) -> Any:
    """function(*arguments); InputError with the place if it raises, or asks the program to exit.

    Args:
        factor: of whose function this is, for errors.
    """
    return _said(factor, "", lambda: function(*arguments))


def differentiated(factor: Any, slope: Callable[[], Any]) -> Any:
    """A gradient of the factor's function; InputError if there is none, or making it raises.

    Args:
        factor: of whose function this is, for errors.
        slope: makes the gradient; None = the function does not depend on its argument.
    """
    found = _said(factor, " (in its gradient)", slope)
    if found is None:
        raise InputError(f"{_named(factor)} is not differentiable: {_NO_WAY_BACK}")
    return found


def _said(factor: Any, where: str, function: Callable[[], Any]) -> Any:
    """function(), whose errors are told by the factor's name."""
    try:
        return function()
    except (InputError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        kind = "asked the program to exit" if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
        raise InputError(f"{_named(factor)} {kind}{where}: {error}{place_of(error)}") from error


def place_of(error: BaseException) -> str:
    """ " (FILE, line N)", the last of the user's own that an error passed through; "" if it arose in the call."""
    own = [
        frame
        for frame in extract_tb(error.__traceback__)
        if not frame.filename.startswith(_OURS) and "site-packages" not in frame.filename
    ]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def require_function(factor: Any, function: Any) -> None:
    """InputError unless it can be called.

    Args:
        factor: of whose function this is, for errors.
    """
    if not callable(function):
        raise InputError(f"{type(factor).__name__} is of a {type(function).__name__}, expected a function")


def one_each(factor: Any, value: Any, code: Any, smooth: bool = True) -> Float[Tensor, " batch"]:
    """What a function returned for a batch of codes.

    InputError unless it is one number a sample and, where code wants gradients and `smooth`, differentiable.

    Args:
        factor: of whose function this is, for errors.
        value: what the function returned.
        code: what it was given; its first axis counts the samples.
        smooth: whether it must be differentiable where code wants gradients.
    """
    who, n = _named(factor), len(leaves(code)[0])
    if not isinstance(value, Tensor):
        raise InputError(f"{who} returned a {type(value).__name__}, expected a tensor of shape ({n},)")
    if value.is_complex():
        raise InputError(f"{who} returned complex numbers, expected real ones")
    if value.shape != (n,):
        raise InputError(f"{who} returned the shape {tuple(value.shape)}, expected one number a sample, ({n},)")
    asked = smooth and torch.is_grad_enabled() and any(x.requires_grad for x in leaves(code))
    if asked and not value.requires_grad:
        raise InputError(f"{who} is not differentiable: {_NO_WAY_BACK}")
    return value if value.is_floating_point() else value.double()


def require_log_g(factor: Any, value: Tensor, slope: Any = None) -> None:
    """InputError for a log g that is NaN or +∞, or a slope that is not finite; −∞ is what is impossible.

    Args:
        factor: of whose function this is, for errors.
        value: log g, (batch,).
        slope: its gradient, a tensor or several; None = it has none.
    """
    wrong = value.isnan() | value.isposinf()
    if bool(wrong.any()):
        found = value[wrong][0].item()
        raise InputError(f"{_named(factor)} gives a log g of {found}, expected finite numbers or -inf")
    if slope is not None and not all(bool(x.isfinite().all()) for x in leaves(slope)):
        raise InputError(
            f"{_named(factor)} has a gradient that is not finite; bound it, or let it count late (Interval)"
        )


def require_weight(factor: Any, weight: Any) -> None:
    """InputError unless it is one finite number: of Python, or a tensor that may be learnt."""
    one = isinstance(weight, int | float) or (isinstance(weight, Tensor) and weight.ndim == 0)
    if not one or not isfinite(number_of(weight)):
        raise InputError(f"{type(factor).__name__}: weight is {weight}, expected a finite number")


def number_of(weight: float | Tensor) -> float:
    """A weight as a number, for manifests."""
    return float(weight.detach()) if isinstance(weight, Tensor) else float(weight)


def _named(factor: Any) -> str:
    name, of = getattr(factor, "kind", type(factor).__name__), factor.provenance.get("of")
    return f"{name} of {of}" if of else name


@dataclass(frozen=True)
class After:
    """A function of the physical field, as one of a model's states.

    Attributes:
        function: of the field, or of the code of one.
        map: from the states, or their code, to the field.
    """

    function: Callable[[Any], Any]
    map: Map

    @property
    def __name__(self) -> str:
        return name_of(self.function)

    def __call__(self, x: Any) -> Any:
        return self.function(self.map(x))


def name_of(part: object) -> str:
    """A function's name, or that of an object's class, for manifests."""
    return getattr(part, "__name__", type(part).__name__)
