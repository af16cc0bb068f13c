"""Coils and k-space that are made up, for images of which no k-space was measured.

A coil is a small loop about the object that faces it; the map is the field B_x − i B_y of its magnetic dipole
(quasi-static Biot–Savart, by reciprocity: Hoult & Richards 1976), softened by the loop's radius a:

    B(r) ∝ [3 n (m · n) − m] / (|r|² + a²)^{3/2},        n = r/√(|r|² + a²)

and Σ_c |s_c|² = 1, as ESPIRiT's maps have it. What such coils see is no measured scan: say "simulated coils".
"""

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from ....errors import InputError
from ....guidance.operators import Fourier
from ....keys import Keys
from ....values import is_number, require_whole

AWAY = 1.3
"""Of loops from the middle, in halves of the field of view."""
RADIUS = 0.6
"""Of loops, likewise."""


def simulate_maps(shape: tuple[int, int], coils: int, keys: Keys | None = None) -> Complex[Tensor, "coils h w"]:
    """Smooth complex maps of coils in a ring, Σ |s|² = 1.

    Args:
        shape: (h, w) of the image.
        coils: their number.
        keys: one, that shifts, turns and weakens the coils a little, at random; all are alike if not given.
    """
    require_whole("the number of coils", coils, 1)
    odd = torch.zeros(4, coils).double() if keys is None else keys.fold("coils").normal(4, coils)[0]
    angle = 2 * torch.pi * (torch.arange(coils, dtype=torch.float64) + 0.15 * odd[0]) / coils
    away = AWAY * (1 + 0.05 * odd[1])
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n + 1, dtype=torch.float64)[:-1] for n in shape), indexing="ij")
    at = torch.complex(x, y) - torch.polar(away, angle)[:, None, None]
    moment = torch.polar(1 + 0.1 * odd[2], angle + torch.pi)[:, None, None]
    field = _dipole(at, moment).conj() * torch.polar(torch.ones_like(away), odd[3])[:, None, None]
    return (field / field.abs().square().sum(0).sqrt()).to(torch.complex64)


def smooth_phase(
    shape: tuple[int, int], keys: Keys, std: float = 1.0, cycles: float = 1.0
) -> Complex[Tensor, "batch h w"]:
    """Slowly varying phases of unit magnitude, one a key: what the field's inhomogeneity leaves in an image.

    Args:
        shape: (h, w).
        keys: one an image.
        std: of the phase beside its mean, in radian.
        cycles: over the field of view, of the fastest part.
    """
    y, x = torch.meshgrid(*(torch.linspace(-0.5, 0.5, n, dtype=torch.float64) for n in shape), indexing="ij")
    numbers = keys.fold("phase").normal(8, 3)
    waves = cycles * torch.tanh(numbers[..., :2] / 1.5)
    angle = 2 * torch.pi * (waves[..., :1, None] * y + waves[..., 1:, None] * x) + 3 * numbers[..., 2:, None]
    phase = angle.cos().sum(1)
    centred = phase - phase.mean((-2, -1), keepdim=True)
    phase = std * centred / centred.std((-2, -1), keepdim=True).clamp(min=1e-6)
    offset = 2 * torch.pi * keys.fold("offset").uniform(1, 1)
    return torch.polar(torch.ones_like(phase), phase + offset).to(torch.complex64)


def simulate(
    image: Complex[Tensor, "*batch h w"],
    maps: Complex[Tensor, "coils h w"],
    mask: Bool[Tensor, "*#masks h w"],
    sigma: float,
    keys: Keys,
) -> Complex[Tensor, "*batch coils h w"]:
    """K-space of images by coils, centred, with noise; 0 where it is not measured.

    Args:
        image: complex, or several.
        maps: of the coils.
        mask: true where k-space is measured; one for all images or one each.
        sigma: standard deviation of the real part of the noise, and of the imaginary part, in the units of the image.
        keys: one an image.
    """
    if not is_number(sigma) or sigma < 0:
        raise InputError(f"sigma of simulated noise is {sigma!r}, expected a number from 0")
    images = image.reshape(-1, *image.shape[-2:])
    if len(keys) != len(images):
        raise InputError(f"simulate: {len(images)} images and {len(keys)} keys, expected one an image")
    waves = Fourier(complex=True, centered=True)(images[:, None] * maps)
    noise = sigma * torch.view_as_complex(keys.fold("noise").normal(*waves.shape[1:], 2)).to(waves.dtype)
    seen = torch.broadcast_to(mask, (*image.shape[:-2], *image.shape[-2:])).reshape(images.shape)
    return ((waves + noise) * seen[:, None]).reshape(*image.shape[:-2], *waves.shape[1:])


def _dipole(at: Complex[Tensor, "coils h w"], moment: Complex[Tensor, "coils 1 1"]) -> Complex[Tensor, "coils h w"]:
    """B_x + i B_y of dipoles in the plane, vectors as complex numbers."""
    away = at.abs().square() + RADIUS**2
    along = (at.conj() * moment).real
    return (3 * at * along / away - moment) / away**1.5
