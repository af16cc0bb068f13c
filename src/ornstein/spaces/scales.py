"""Checks of what a space is told: spreads of data and noise, and times."""

from math import inf
from typing import TYPE_CHECKING

from torch import Tensor

from ..errors import InputError
from ..roots import Spectral
from ..states import Time
from ..transforms import PIXELS

if TYPE_CHECKING:
    from .euclidean import Euclidean


def require_one_time_a_sample(*times: Time) -> None:
    """InputError for times by position."""
    for time in times:
        if isinstance(time, Tensor) and time.ndim > 1:
            raise InputError(
                "centred points, and fields whose noise has a spectrum, share one time a sample; got times of shape "
                f"{tuple(time.shape)}"
            )


def require_scales(space: "Euclidean") -> None:
    """InputError unless the spreads of data and noise fit the shape, and are diagonal in one basis."""
    shape, data, noise = space.shape, space.data_std, space.noise_cov
    for name, cov in {"noise_cov": noise, "data_std": data}.items():
        if isinstance(cov, Spectral) and cov.variance.shape != (1, *shape):
            raise InputError(f"{name}: a spectrum over {tuple(cov.variance.shape)}, expected (1, *{shape})")
    if isinstance(data, Spectral):
        if noise is not None:
            data.require_same_basis(noise)
    elif isinstance(data, Tensor):
        _require_field("data_std", data, shape)
        if noise is not None and not noise.basis.same(PIXELS):
            raise InputError(
                f"data_std is a field, and the noise is diagonal in {noise.basis}: say both in one basis, such as "
                "data_std=roots.estimated(fields, basis)"
            )
    elif not 0 < data < inf:
        raise InputError(f"data_std is {data}, expected a positive number")
    if space.element_weights is not None:
        _require_field("element_weights", space.element_weights, shape, zero=True)


def _require_field(name: str, field: Tensor, shape: tuple[int, ...], zero: bool = False) -> None:
    """InputError unless it broadcasts to the shape and is positive (or 0) and finite."""
    try:
        field.expand(shape)
    except RuntimeError as error:
        raise InputError(f"{name} has the shape {tuple(field.shape)}, expected {shape}") from error
    wrong = (~(field.isfinite() & ((field >= 0) if zero else (field > 0)))).nonzero()
    if len(wrong):
        place = tuple(wrong[0].tolist())
        least = "0 or more" if zero else "a positive number"
        raise InputError(f"{name}: element {place} is {field[place].item()}, expected {least}")
