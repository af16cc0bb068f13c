"""What is known of an image: k-space, as the coils of a scanner measured it.

    y_c = M F (s_c φ a x) + noise of standard deviation σ in its real and in its imaginary part

with x the model's image, a its brightness and φ its low-resolution phase, both of which the maps have in them (see
coils/phase.py), M the mask, F the centred orthonormal Fourier transform and s_c the maps of the coils. Each sample has
maps, mask, data and σ of its own slice, so that slices of a volume are drawn together.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ...errors import InputError
from ...guidance.measurements import Measurement
from ...values import is_number
from .sense import Sense

__all__ = ["kspace"]

TOLERANCE = 0.1
"""Of a solve, relative: the estimated error in what was measured."""
ITERATIONS = 4
"""Of a solve, at most. Each is a gradient of the network. Three times as many made images no better."""


@runtime_checkable
class Slice(Protocol):
    """A slice that is ready to be seen by a model.

    Attributes:
        kspace: (coils, h, w), complex, centred, with white noise, the same in all coils.
        maps: (coils, h, w), complex, with brightness and low-resolution phase of the image in them.
        mask: (h, w), true where k-space was measured.
        std: of the noise, of the real part and of the imaginary part each, in the units of `kspace`.
    """

    @property
    def kspace(self) -> Any: ...
    @property
    def maps(self) -> Any: ...
    @property
    def mask(self) -> Any: ...
    @property
    def std(self) -> float: ...


def kspace(slices: Slice | Sequence[Slice], tolerance: float = TOLERANCE, iterations: int = ITERATIONS) -> Measurement:
    """What coils measured of the model's image, a factor of a model of images.

    InputError, which names the slice, for k-space with a number that is not finite where it was measured, slices of
    different shapes and an empty mask.

    Args:
        slices: one for all samples, or one for each sample of a batch (the same object again for several samples of
            one slice).
        tolerance, iterations: of the conjugate gradients, see `Measurement`.
    """
    several = list(slices) if isinstance(slices, Sequence) else [slices]
    if not several:
        raise InputError("kspace: of no slice, expected one or more")
    same = all(one is several[0] for one in several)
    unlike = several[:1] if same else several
    maps, data = _stacked(unlike, "maps"), _stacked(unlike, "kspace")
    mask = _masks(unlike)
    _require_numbers(data, mask, unlike)
    std = torch.tensor([one.std for one in unlike], dtype=torch.float64)[:, None, None, None]
    operator = Sense((maps / std).to(maps.dtype), mask)  # in units of the noise of each slice
    y = operator.measured((data / std).to(data.dtype))
    return Measurement(y[0] if same else y, operator, 1.0, tolerance=tolerance, iterations=iterations)


def _masks(slices: Sequence[Slice]) -> Tensor:
    """One mask for all, where it is the same."""
    masks = _stacked(slices, "mask")
    return masks[:1] if bool((masks == masks[:1]).all()) else masks


def _stacked(slices: Sequence[Slice], name: str) -> Tensor:
    each = [torch.as_tensor(getattr(one, name)) for one in slices]
    for i, one in enumerate(each):
        if one.shape != each[0].shape:
            found = f"{tuple(one.shape)} of slice {i} and {tuple(each[0].shape)} of slice 0"
            raise InputError(f"kspace: {name} have the shapes {found}, expected one shape")
    return torch.stack(each)


def _require_numbers(data: Tensor, mask: Tensor, slices: Sequence[Slice]) -> None:
    """InputError, which names the first slice, for what cannot have been measured."""
    for i, one in enumerate(slices):
        if not is_number(one.std) or one.std <= 0:
            raise InputError(f"kspace: std of slice {i} is {one.std!r}, expected a positive number")
    if not data.is_complex():
        raise InputError(f"kspace: k-space holds numbers of {data.dtype}, expected complex numbers")
    if data.shape[-2:] != mask.shape[-2:]:
        return  # which Sense refuses
    wrong = (~data.isfinite() & mask[:, None]).nonzero()
    if len(wrong):
        i, coil, row, column = wrong[0].tolist()
        where = f"slice {i}, coil {coil}, row {row}, column {column}"
        raise InputError(f"kspace: {where}: {data[i, coil, row, column].item()}, expected finite numbers")
