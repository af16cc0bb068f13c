"""Checks of what a space is told: its shape, spreads of data and noise, weights, and times."""

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from ..errors import InputError
from ..schedules import Schedule
from ..spectral.roots import Spectral
from ..spectral.transforms import PIXELS, require_sizes
from ..states import Time
from ..values import as_constants, is_number

if TYPE_CHECKING:
    from .euclidean import Euclidean

Weighting = Literal["edm", "unit", "snr", "min-snr"]


def require_one_time_a_sample(*times: Time) -> None:
    """InputError for times by position."""
    for time in times:
        if isinstance(time, Tensor) and time.ndim > 1:
            raise InputError(
                "centred points, and fields whose noise or data_std has a spectrum, share one time a sample; got times "
                f"of shape {tuple(time.shape)}"
            )


def settle(space: "Euclidean") -> None:
    """Makes tensors of what a space is told; InputError unless it fits the shape, and is diagonal in one basis."""
    require_sizes(space.shape)
    object.__setattr__(space, "shape", tuple(int(n) for n in space.shape))
    if not isinstance(space.schedule, Schedule):
        raise InputError(f"schedule is a {type(space.schedule).__name__}, expected a Schedule, such as Cosine()")
    if space.weighting not in get_args(Weighting):
        raise InputError(f"weighting is {space.weighting!r}, expected one of {', '.join(get_args(Weighting))}")
    if space.mask is not None and not (isinstance(space.mask, Tensor) and space.mask.dtype == torch.bool):
        found = space.mask.dtype if isinstance(space.mask, Tensor) else type(space.mask).__name__
        raise InputError(f"a mask is of true and false, found {found}")
    _settle_noise(space)
    object.__setattr__(space, "data_std", _data_std(space))
    if isinstance(space.element_weights, Spectral):
        _require_weights(space, space.element_weights)
    elif space.element_weights is not None:
        weights = _field("element_weights", space.element_weights, space.shape, zero=True)
        if not weights.any():
            raise InputError("element_weights are 0 everywhere, so that nothing would be learnt")
        object.__setattr__(space, "element_weights", weights)


def _require_weights(space: "Euclidean", weights: Spectral) -> None:
    """InputError unless weights of coefficients are diagonal in the one basis of noise and data."""
    _require_spectrum("element_weights", weights, space.shape)
    known = space.noise_cov if space.noise_cov is not None else space.data_std
    if not isinstance(known, Spectral):
        raise InputError("element_weights are a spectrum: noise_cov or data_std must be one, too, in the same basis")
    weights.require_same_basis(known)


def _settle_noise(space: "Euclidean") -> None:
    noise: Any = space.noise_cov
    if noise is None:
        return
    if not isinstance(noise, Spectral):
        raise InputError(
            f"noise_cov is a {type(noise).__name__}, expected a spectrum: Spectral.of(variance, basis), or "
            "roots.power_law(...)"
        )
    _require_spectrum("noise_cov", noise, space.shape)
    if space.mask is not None:
        raise InputError("noise with a spectrum is for whole fields: under a mask the noise must be white")


def _data_std(space: "Euclidean") -> float | Tensor | Spectral:
    data, noise = space.data_std, space.noise_cov
    if isinstance(data, Spectral):
        _require_spectrum("data_std", data, space.shape)
        if noise is not None:
            data.require_same_basis(noise)
        return data
    if is_number(data) or (not isinstance(data, Tensor | list | tuple) and not hasattr(data, "__array__")):
        return _number(data)
    field = _field("data_std", data, space.shape)
    if not field.ndim:
        return _number(field.item())
    if noise is not None and not noise.basis.same(PIXELS):
        raise InputError(
            f"data_std is a field, and the noise is diagonal in {noise.basis}: say both in one basis, such as "
            "data_std=roots.estimated(fields, basis)"
        )
    return field


def _number(value: Any) -> float:
    if not is_number(value) or value <= 0:
        raise InputError(f"data_std is {value!r}, expected a positive number")
    return value if isinstance(value, int) else float(value)


def _require_spectrum(name: str, cov: Spectral, shape: tuple[int, ...]) -> None:
    if cov.variance.shape != (1, *shape):
        found = "×".join(map(str, cov.shape)) + f" of {cov.batch} samples" * (cov.batch > 1)
        raise InputError(f"{name}: a spectrum over {found}, expected one over {shape} for all samples")
    cov.require_positive(name)


def _field(name: str, value: Any, shape: tuple[int, ...], zero: bool = False) -> Tensor:
    """The numbers; InputError unless they broadcast to the shape and are positive (or 0) and finite."""
    field = as_constants(value, name)
    try:
        field.expand(shape)
    except RuntimeError as error:
        raise InputError(f"{name} has the shape {tuple(field.shape)}, expected {shape}") from error
    wrong = (~((field >= 0) if zero else (field > 0))).nonzero()
    if len(wrong):
        place = tuple(wrong[0].tolist())
        least = "0 or more" if zero else "a positive number"
        raise InputError(f"{name}: element {place} is {field[place].item()}, expected {least}")
    return field
