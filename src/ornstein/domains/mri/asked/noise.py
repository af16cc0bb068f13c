"""The noise of a scan, from whoever says it, else from k-space itself: see coils/noise.py.

Coils are made independent, and their noise alike, by σ W with W Ψ Wᴴ = 1 and σ² = tr Ψ/coils, which keeps the units of
the file.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from .... import arrays
from ....errors import InputError
from ....files import GB
from ..coils.noise import Noise, of_middle, of_rim, of_scan, stated, whitener
from ..scans.base import Measured, Scan
from ..trajectories.masks import middle_of, whole_lines
from .flags import MriRequest

RIM = 8
"""Columns on either side that an oversampled readout must have beside the image to tell the noise from."""


def noise_of(asked: MriRequest, scan: Scan) -> Noise:
    """The noise of a scan.

    Args:
        asked: the request, which may say it.
        scan: which may.

    InputError where it cannot be told.
    """
    coils = scan.shape[1]
    if asked.sigma is not None:
        return stated(asked.sigma, coils)
    if asked.noise is not None:
        return of_scan(_alone(asked, coils))
    if scan.noise is not None:
        return of_scan(torch.from_numpy(np.ascontiguousarray(scan.noise)))
    if scan.noise_std is not None:
        return stated(scan.noise_std, coils)
    measured = next(found for found in _outwards(scan) if not found.air)
    try:
        return _estimated(scan, torch.from_numpy(measured.kspace), torch.from_numpy(measured.mask))
    except InputError as error:
        raise InputError(f"{scan.path}: slice {measured.number}: {error} (--sigma, --noise)") from None


def mixing(noise: Noise) -> Complex[Tensor, "coils coils"]:
    """What makes coils independent, in the units of the file.

    Args:
        noise: of a scan.
    """
    return noise.std * whitener(noise.covariance)


def _estimated(scan: Scan, kspace: Complex[Tensor, "coils h w"], mask: Tensor) -> Noise:
    """From the rim of an oversampled readout, where there is only air; else from the middle."""
    readout = scan.size[1]
    if whole_lines(mask) == 0 and scan.shape[3] - readout >= 2 * RIM:
        return of_rim(kspace[:, mask.all(1)], readout)
    rows, columns = middle_of(mask)
    return of_middle(kspace[:, rows, columns])


def _alone(asked: MriRequest, coils: int) -> Complex[Tensor, "coils samples"]:
    """A scan of noise that the user gives."""
    assert asked.noise is not None
    if asked.noise.suffix.lower() != ".npz":
        raise InputError(f"--noise {asked.noise}: expected an .npz with the array 'noise' (coils, samples)")
    found = arrays.members(asked.noise, 2 * GB, {"noise": "c"})["noise"]
    if found.ndim != 2 or len(found) != coils or not np.isfinite(found).all():
        raise InputError(
            f"--noise {asked.noise}: 'noise' has the shape {found.shape}, expected finite numbers ({coils}, samples)"
        )
    return torch.from_numpy(found.astype(np.complex64))


def _outwards(scan: Scan) -> Iterator[Measured]:
    """Slices from the middle outwards."""
    for number in sorted(range(len(scan)), key=lambda number: abs(number - len(scan) // 2)):
        yield scan.slice(number)
    raise InputError(f"{scan.path}: all slices are 0, expected k-space")
