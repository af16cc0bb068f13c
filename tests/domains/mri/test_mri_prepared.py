"""From a slice of a scan to what a model is told: which lines coil maps are from, and whether sides are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ornstein.domains.mri.asked.flags import MriRequest
from ornstein.domains.mri.asked.prepared import Slice, Volume, volume
from ornstein.domains.mri.coils.simulate import simulate_maps
from ornstein.domains.mri.scans.base import Scan
from ornstein.domains.mri.scans.opened import open_scan
from ornstein.errors import InputError
from recon_domain import SHAPE, scan

COILS = 4


def seen(path: Path, lines: np.ndarray | None, **changed: object) -> Slice:
    """Slice 0 of a scan of which the file brings no maps, with these lines for calibration."""
    found: Scan = replace(open_scan(path), maps=lambda number: None, calibration=lambda number: lines, **changed)
    return Volume(MriRequest(kspace=path), found, range(1))[0]


def middle(kspace: np.ndarray, rows: int) -> np.ndarray:
    """Of k-space the lines about the middle, else 0."""
    h = kspace.shape[1]
    return kspace * (np.abs(np.arange(h) - h // 2) <= rows // 2)[:, None]


def alike(one: Slice, other: torch.Tensor) -> float:
    """How much of the coil maps is the same, of 1: they are compared pixel by pixel up to a phase."""
    found = one.maps / one.scale
    lengths = found.norm(dim=0) * other.norm(dim=0)
    return float(((found.conj() * other).sum(0).abs() / lengths.clamp(min=1e-9))[lengths > 0].mean())


def test_coil_maps_are_from_the_lines_that_are_for_nothing_else(tmp_path: Path) -> None:
    """An image without a middle: lines of a second scan with the same coils tell the maps, and are no data."""
    full, rare = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    rare[::4] = True
    path = scan(tmp_path / "whole.npz", slices=1, sigma=1e-4, mask=full[None])
    maps, kspace = simulate_maps(SHAPE, COILS), open_scan(path).read(0) * rare
    lines = middle(np.fft.fftshift(_bright(maps.numpy()), (1, 2)), 20).astype(np.complex64)
    image = {"read": lambda number: kspace, "mask": lambda number: rare}
    found = seen(path, lines, **image)
    assert not bool((found.mask & ~torch.from_numpy(rare)).any())
    assert alike(found, maps) > 0.95
    with pytest.raises(InputError, match="measured without a gap has 1 × 24 places"):
        seen(path, None, **image)


def _bright(maps: np.ndarray) -> np.ndarray:
    """K-space, its middle at 0, of a disc that coils see."""
    y, x = (np.arange(n) - n // 2 for n in SHAPE)
    disc = (np.hypot(y[:, None] / SHAPE[0], x / SHAPE[1]) < 0.45) * (1 + 0.5 * np.cos(y[:, None]) * np.cos(x))
    return np.fft.fft2(np.fft.ifftshift(maps * disc, (1, 2)), norm="ortho")


@pytest.mark.parametrize("oriented", [True, False])
def test_sides_of_the_patient_are_what_the_scan_says(oriented: bool, tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.npz", slices=1)
    known = replace(open_scan(path), oriented=oriented)
    assert Volume(MriRequest(kspace=path), known, range(1)).record["oriented"] == oriented
    assert not volume(MriRequest(kspace=path)).record["oriented"]  # an .npz says nothing
