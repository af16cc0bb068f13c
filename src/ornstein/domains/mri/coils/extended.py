"""Coil maps carried on to where there is no signal to see them by.

Where maps are 0, k-space says nothing of the image, and a prior would put there what it pleases. Coils see the air
beside a head as well as the head: their maps are smooth, and are continued by their means under ever wider Gaussian
windows, Σ |s|² = 1.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

ENOUGH = 0.02
"""The share of a window that must hold maps for their mean to count."""


def extended(maps: Complex[Tensor, "coils h w"]) -> Complex[Tensor, "coils h w"]:
    """The maps, as they are where Σ |s|² > 0 and continued elsewhere; 0 only if they are 0 everywhere.

    Args:
        maps: Σ |s|² = 1, or 0.
    """
    power = maps.abs().square().sum(0)
    known, found = power > 0, maps
    missing, width = ~known, 4.0
    while missing.any() and known.any():
        share, means = _blurred(known.to(maps), width).real, _blurred(maps * known, width)
        norm = means.abs().square().sum(0).sqrt()
        size = max(maps.shape[1:])
        enough = (share > ENOUGH) & (norm > 0) | (width > size)
        found = torch.where(missing & enough, means / norm.clamp(min=1e-12), found)
        missing, width = missing & ~enough, 2 * width
    return found


def _blurred(field: Complex[Tensor, "*batch h w"], width: float) -> Complex[Tensor, "*batch h w"]:
    """Means under a Gaussian window, beyond the border 0."""
    for axis in (-2, -1):
        n = field.shape[axis]
        away = torch.arange(n, dtype=torch.float64)[:, None] - torch.arange(n)
        weights: Float[Tensor, "n n"] = torch.exp(-0.5 * (away / width) ** 2)
        weights = (weights / weights.sum(1).amax()).to(field)
        field = (weights @ field.movedim(axis, -2)).movedim(-2, axis)
    return field
