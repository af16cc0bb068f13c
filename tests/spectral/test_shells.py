"""Spectra as few numbers."""

from typing import get_args

import torch

from ornstein.spectral.shells import Shells
from ornstein.spectral.transforms import Axis, Separable


def test_shells_tell_half_waves_apart() -> None:
    """Along an axis that is no circle the longest waves differ by half a wave: each has a shell of its own."""
    for word in get_args(Axis):
        power = torch.arange(1.0, 13).flip(0) ** 3
        kept = Shells.of(power, Separable((word,))).spectral.variance[0]
        expected = {"fourier": (power + power[[0, *range(11, 0, -1)]]) / 2, "pixels": power.mean().expand(12)}
        assert torch.allclose(kept, expected.get(word, power).double()), word
    plane = Separable(("cosine", "cosine"))
    steep = (1 + (16 * plane.frequencies((8, 8))) ** 2) ** -2.0
    ratio = Shells.of(steep, plane).spectral.variance[0] / steep
    assert 0.5 < float(ratio.min()) < float(ratio.max()) < 2.5
