"""What users' functions must return: an energy that is NaN, of another shape or without a gradient would else go
unnoticed, because what is missing counts as zero.
"""

from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..states import leaves


def one_each(factor: Any, value: Any, code: Any, smooth: bool = True) -> Float[Tensor, " batch"]:
    """What a function returned for a batch of codes.

    InputError unless it is one number a sample and, where code wants gradients and `smooth`, differentiable.

    Args:
        factor: of whose function this is, for errors.
        value: the class by number; None = each sample's own.
    """
    who, n = _named(factor), len(leaves(code)[0])
    if not isinstance(value, Tensor):
        raise InputError(f"{who} returned a {type(value).__name__}, expected a tensor of shape ({n},)")
    if value.shape != (n,):
        raise InputError(f"{who} returned the shape {tuple(value.shape)}, expected one number a sample, ({n},)")
    asked = smooth and torch.is_grad_enabled() and any(x.requires_grad for x in leaves(code))
    if asked and not value.requires_grad:
        raise InputError(
            f"{who} is not differentiable: torch finds no way back from what it returns to its argument (was it "
            "detached, or made of integers or NumPy arrays?); Reward takes functions without a gradient"
        )
    return value if value.is_floating_point() else value.double()


def require_finite(factor: Any, value: Tensor, slope: Any = None) -> None:
    """InputError for a log g that is NaN or +∞, or a slope that is not finite; −∞ is what is impossible.

    Args:
        factor: of whose function this is, for errors.
        value: the class by number; None = each sample's own.
    """
    wrong = value.isnan() | value.isposinf()
    if bool(wrong.any()):
        found = value[wrong][0].item()
        raise InputError(f"{_named(factor)} gives a log g of {found}, expected finite numbers or -inf")
    if slope is not None and not all(bool(x.isfinite().all()) for x in leaves(slope)):
        raise InputError(f"{_named(factor)} has a gradient that is not finite; bound it, or let it count Late")


def require_weight(factor: Any, weight: float) -> None:
    """InputError unless it is finite."""
    if not isfinite(weight):
        raise InputError(f"{_named(factor)}: weight is {weight}, expected a finite number")


def _named(factor: Any) -> str:
    of = factor.provenance.get("of")
    return f"{type(factor).__name__} of {of}" if of else type(factor).__name__


def name_of(part: object) -> str:
    """A function's name, or that of an object's class, for manifests."""
    return getattr(part, "__name__", type(part).__name__)
