"""Coil maps carried on to where there is no signal to see them by.

Where maps are 0, k-space says nothing of the image, and a prior would put there what it pleases. Coils see the air
beside a head as well as the head: their maps are smooth, and are continued outwards, step by step, by their means
under a Gaussian window, with the mean of (Σ |s|²)^½, which is 1 of maps that ESPIRiT made.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

WIDTH = 1 / 32
"""Of the window, its standard deviation as a share of the field of view."""
ENOUGH = 0.1
"""The share of a window that must hold maps for their mean to be taken."""
LEAST = 1e-6
"""The share at which maps end where they cancel one another beside what is left."""


def extended(maps: Complex[Tensor, "coils h w"]) -> Complex[Tensor, "coils h w"]:
    """The maps, as they are where Σ |s|² > 0 and continued elsewhere; 0 only if they are 0 everywhere.

    Args:
        maps: 0 where they are not known.
    """
    known, found = _norm(maps) > 0, maps
    width, enough = WIDTH * max(maps.shape[1:]), ENOUGH
    while not known.all() and known.any() and enough > LEAST:
        share, means = _blurred(known.to(maps), width).real, _blurred(found * known, width)
        norm, size = _norm(means), _blurred((_norm(found) * known).to(maps), width).real / share.clamp(min=1e-12)
        next_to = ~known & (share > enough) & (norm > 1e-6 * size)
        found = torch.where(next_to, means * (size / norm.clamp(min=1e-30)), found)
        enough = ENOUGH if next_to.any() else enough / 2  # a few lone pixels fill no window
        known = known | next_to
    return found


def _norm(maps: Complex[Tensor, "coils h w"]) -> Float[Tensor, "h w"]:
    return maps.abs().square().sum(0).sqrt()


def _blurred(field: Complex[Tensor, "*batch h w"], width: float) -> Complex[Tensor, "*batch h w"]:
    """Means under a Gaussian window, beyond the border 0."""
    for axis in (-2, -1):
        n = field.shape[axis]
        away = torch.arange(n, dtype=torch.float64)[:, None] - torch.arange(n)
        weights: Float[Tensor, "n n"] = torch.exp(-0.5 * (away / width) ** 2)
        weights = (weights / weights.sum(1).amax()).to(field)
        field = (weights @ field.movedim(axis, -2)).movedim(-2, axis)
    return field
