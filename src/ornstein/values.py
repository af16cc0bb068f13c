"""What users hand to factors and operators, checked on the way in: numbers and masks, of torch, NumPy or lists."""

from math import isfinite, nan
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from .errors import InputError

Numbers = Any
"""A tensor, or an array or a list of numbers, of which a tensor is made."""
Flags = Any
"""A mask: a tensor, an array or a list of true and false, or of 0 and 1, of which a tensor of booleans is made."""


def is_number(value: Any) -> bool:
    """Whether it is one finite real number, and not a truth value."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def number_written(text: str) -> float:
    """The number that a text is, NaN if it is none; digits with underscores between, which Python takes, are none."""
    try:
        return float("_" if "_" in text else text)
    except ValueError:
        return nan


def require_whole(what: str, value: Any, least: int) -> None:
    """InputError unless it is a whole number of at least so much."""
    if not is_number(value) or not isinstance(value, Integral) or value < least:
        found = value if is_number(value) else repr(value)
        raise InputError(f"{what} is {found}, expected a whole number of at least {least}")


def as_tensor(value: Any, what: str) -> Tensor:
    """A tensor of it; InputError if it is none, naming `what` was given."""
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(value).__name__
        raise InputError(f"{what} is a {kind}, expected numbers: a tensor, an array or a list ({error})") from None


def as_numbers(value: Any, what: str) -> Tensor:
    """Finite real floating-point numbers; InputError if it is something else."""
    numbers = as_tensor(value, what)
    if numbers.is_complex():
        raise InputError(f"{what} is complex, expected real numbers")
    if numbers.dtype == torch.bool:
        raise InputError(f"{what} holds true and false, expected real numbers")
    require_finite(numbers, what)
    return numbers if numbers.is_floating_point() else numbers.to(torch.get_default_dtype())


def require_positive(what: str, value: Any) -> None:
    """InputError unless it is one finite number above 0."""
    if not is_number(value) or value <= 0:
        raise InputError(f"{what} is {value!r}, expected a positive number")


def as_constants(value: Any, what: str) -> Tensor:
    """Finite real floating-point numbers that nobody learns; InputError if they want a gradient."""
    numbers = as_numbers(value, what)
    if numbers.requires_grad:
        raise InputError(f"{what} wants a gradient, but is not learnt: give it as .detach()")
    return numbers


def as_field(value: Any, what: str) -> Tensor:
    """Finite real or complex floating-point numbers, of which true and false are 1 and 0; InputError otherwise.

    Those of lists have all the digits that were written, in double precision.
    """
    numbers = as_tensor(value, what)
    floating = numbers.is_floating_point() or numbers.is_complex()
    if floating and isinstance(value, list | tuple | float | complex):
        numbers = torch.as_tensor(value, dtype=torch.promote_types(numbers.dtype, torch.float64))
    require_finite(numbers, what)
    return numbers if floating else numbers.to(torch.get_default_dtype())


def as_places(value: Any, what: str) -> Tensor:
    """Finite real numbers in double precision, such as points and angles; InputError if it is something else."""
    return as_numbers(as_field(value, what) if isinstance(value, list | tuple | float) else value, what).double()


def as_measured(value: Any, what: str) -> Tensor:
    """Real floating-point numbers, of which some, but not all, may be NaN: not measured; InputError otherwise."""
    numbers = as_tensor(value, what)
    missing = numbers.isnan()
    if missing.all():
        raise InputError(f"{what} holds nothing but NaN: nothing was measured")
    if not missing.any():
        return as_numbers(numbers, what)
    return as_numbers(numbers.nan_to_num(0.0, torch.inf, -torch.inf), what).masked_fill(missing, torch.nan)


def require_finite(numbers: Tensor, what: str) -> None:
    """InputError, with the place, if one of the numbers is NaN or infinite."""
    wrong = (~numbers.isfinite()).nonzero()
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise InputError(f"{what}: element {place} is {numbers[place].item()}, expected finite numbers")


def as_mask(value: Any, what: str) -> Tensor:
    """True and false, from booleans or from numbers that are all 0 or 1; InputError if it is something else."""
    mask = as_tensor(value, what)
    if mask.dtype == torch.bool:
        return mask
    if mask.is_complex() or not bool(((mask == 0) | (mask == 1)).all()):
        raise InputError(f"{what} holds other values than 0 and 1, expected a mask of true and false")
    return mask == 1
