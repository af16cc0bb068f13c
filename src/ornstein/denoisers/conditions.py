"""Which values a condition may have: those that are like the one that stands for "not said"."""

from collections.abc import Sequence

from torch import Tensor

from ..errors import InputError


def require_fit(name: str, value: Tensor, like: Tensor) -> None:
    """InputError unless values of a condition are of the kind and width of the one that stands for "not said".

    A field of any size, (batch, channels, ...), is compared by its channels with a NaN for each, (channels, 1, ...);
    real numbers of any other shape are compared by their last axis.

    Args:
        name: of the condition, for the error.
        value: what samples are given, (batch, ...).
        like: the value of one sample that stands for "not said".
    """
    field, real = _of_any_size(like), like.is_floating_point()
    axis = 0 if field else like.ndim - 1
    wide = real and like.ndim > 0
    if value.ndim != like.ndim + 1 or (wide and value.shape[1 + axis] != like.shape[axis]):
        expected = ", ".join(_axes(like, field))
        raise InputError(f"condition {name!r} has the shape {tuple(value.shape)}, expected ({expected})")
    if value.is_floating_point() != real and (field or not real):
        kind = "real numbers, of which NaN is not said" if field else "whole numbers"
        raise InputError(f"condition {name!r} holds {value.dtype}, expected {kind}")


def _of_any_size(like: Tensor) -> bool:
    """Whether a value stands for a field that is not said, whatever its size."""
    return like.ndim > 1 and set(like.shape[1:]) == {1} and bool(like.isnan().all())


def _axes(like: Tensor, field: bool) -> Sequence[str]:
    """The axes that values must have, in words."""
    if field:
        return ["batch", f"{like.shape[0]} channels", *["any length"] * (like.ndim - 1)]
    return ["batch", *["..."] * (like.ndim > 1), *map(str, like.shape[-1:])]
