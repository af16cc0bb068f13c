"""What the middle of k-space tells of an image at once: its slowly varying phase, and how bright it is.

With ℓ the image of the central k-space under a Hann window,

    x = m · exp(−i arg ℓ) / s,      s the 0.99 quantile of |ℓ| over the image

has a real part close to the magnitude and a small imaginary part. A prior of x needs to know neither phase nor units,
and both come back exactly: m = s x exp(i arg ℓ). Removing the low-resolution phase is what homodyne reconstruction does
for half-measured k-space (Noll, Nishimura & Macovski 1991).
"""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

LOW = 8
"""Half the width of the window, in cycles over the field of view, along both axes."""
BRIGHT = 0.99
"""The quantile of the low-resolution magnitude by which images are divided."""


class Standardised(NamedTuple):
    """A complex image without its slowly varying phase and its units.

    Attributes:
        x: real and imaginary part.
        phase: that was taken out, of unit magnitude.
        scale: that the image was divided by, in its units.
    """

    x: Float[Tensor, "*batch 2 h w"]
    phase: Complex[Tensor, "*batch h w"]
    scale: Float[Tensor, " *batch"]


def window(shape: tuple[int, int], low: float = LOW) -> Float[Tensor, "h w"]:
    """The Hann window on the middle of centred k-space, 1 in the middle and 0 from `low` cycles on.

    Args:
        shape: of k-space.
        low: half its width, in cycles over the field of view.
    """
    sides = []
    for n in shape:
        away = (torch.arange(n, dtype=torch.float32) - n // 2).abs() / low
        sides.append(torch.where(away < 1, 0.5 + 0.5 * torch.cos(torch.pi * away), 0.0))
    return sides[0][:, None] * sides[1]


def low_resolution(image: Complex[Tensor, "*batch h w"], low: float = LOW) -> Complex[Tensor, "*batch h w"]:
    """The image of the middle of k-space.

    Args:
        image: complex.
        low: see `window`.
    """
    h, w = image.shape[-2:]
    waves = torch.fft.fft2(image) * torch.fft.ifftshift(window((h, w), low)).to(image.device)
    return torch.fft.ifft2(waves)


def phase_and_scale(
    low: Complex[Tensor, "*batch h w"],
) -> tuple[Complex[Tensor, "*batch h w"], Float[Tensor, " *batch"]]:
    """The phase of a low-resolution image, of unit magnitude, and its brightness in its units.

    Args:
        low: as `low_resolution` gives it, from the image or from the middle of k-space that a scan has.
    """
    magnitude = low.abs()
    tiny = torch.finfo(magnitude.dtype).tiny
    phase = torch.where(magnitude > tiny, low / magnitude.clamp(min=tiny), 1.0)
    return phase, magnitude.flatten(-2).quantile(BRIGHT, -1)


def standardised(image: Complex[Tensor, "*batch h w"]) -> Standardised:
    """The image without its slowly varying phase and its units.

    Args:
        image: complex, in any unit; one that is 0 is divided by 1.
    """
    phase, scale = phase_and_scale(low_resolution(image))
    scale = torch.where(scale > 0, scale, 1.0)
    x = torch.view_as_real((image * phase.conj() / scale[..., None, None]).resolve_conj()).movedim(-1, -3)
    return Standardised(x.contiguous(), phase, scale)


def restored(
    x: Float[Tensor, "*batch 2 h w"], phase: Complex[Tensor, "*batch h w"], scale: Float[Tensor, " *batch"]
) -> Complex[Tensor, "*batch h w"]:
    """The image in its units, with its phase: the inverse of `standardised`.

    Args:
        x: real and imaginary part.
        phase: of unit magnitude.
        scale: in the units of the image.
    """
    return torch.view_as_complex(x.movedim(-3, -1).contiguous()) * phase * scale[..., None, None]
