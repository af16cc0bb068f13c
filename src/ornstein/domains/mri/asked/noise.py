"""The noise of a scan, from whoever says it, else from k-space itself: see coils/noise.py.

Coils are made independent, and their noise alike, by σ W with W Ψ Wᴴ = 1 and σ² = tr Ψ/coils, which keeps the size of
coil maps; k-space is divided by σ besides, so that its numbers are of a size that single precision holds in any unit.
"""

from jaxtyping import Complex
from torch import Tensor

from ....disk import arrays
from ....errors import InputError
from ....files import GB
from ..coils.noise import Noise, of_middle, of_rim, of_scan, stated, whitener
from ..scans.base import Scan
from ..scans.connected import outwards
from ..scans.stored import finite, tensor
from ..trajectories.masks import middle_of, whole_lines
from .flags import MriRequest

MOST = 2.0**23
"""The largest number of k-space in units of the noise: beyond it, its last digit in single precision is larger."""
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
        return of_scan(_alone(asked, scan))
    if scan.noise is not None:
        return of_scan(tensor(scan.noise))
    if scan.noise_std is not None:
        return stated(scan.noise_std, coils)
    measured = next(outwards(scan))
    try:
        return _estimated(scan, tensor(measured.kspace), tensor(measured.mask))
    except InputError as error:
        raise InputError(f"{scan.path}: slice {measured.number}: {error} (--sigma, --noise)") from None


def mixing(noise: Noise) -> Complex[Tensor, "coils coils"]:
    """What makes coils independent, and leaves them as large as they are.

    Args:
        noise: of a scan.
    """
    return noise.std * whitener(noise.covariance)


def require_sensible(noise: Noise, white: Complex[Tensor, "coils h w"]) -> None:
    """InputError for noise that cannot be that of this k-space.

    Args:
        noise: of the scan.
        white: k-space of a slice, in units of the noise.
    """
    largest = float(white.abs().max())
    found = f"{noise.note}, but the largest number of k-space is {largest * noise.std:.4g}"
    if largest < 1:
        raise InputError(f"{found}: noise alone would be larger, expected σ in the units of k-space")
    if largest > MOST:
        least = largest * noise.std / MOST
        raise InputError(f"{found}, which single precision rounds by more; expected σ of at least {least:.4g}")


def _estimated(scan: Scan, kspace: Complex[Tensor, "coils h w"], mask: Tensor) -> Noise:
    """From the rim of an oversampled readout, where there is only air; else from the middle."""
    readout = scan.size[1]
    if whole_lines(mask) == 0 and scan.shape[3] - readout >= 2 * RIM:
        return of_rim(kspace[:, mask.all(1)], readout)
    rows, columns = middle_of(mask)
    return of_middle(kspace[:, rows, columns])


def _alone(asked: MriRequest, scan: Scan) -> Complex[Tensor, "coils samples"]:
    """A scan of noise that the user gives."""
    assert asked.noise is not None
    if asked.noise.suffix.lower() != ".npz":
        raise InputError(f"--noise {asked.noise}: expected an .npz with the array 'noise' (coils, samples)")
    found = arrays.members(asked.noise, 2 * GB, {"noise": "c"})["noise"]
    coils = scan.stored[0]
    if found.ndim != 2 or len(found) != coils:
        raise InputError(f"--noise {asked.noise}: 'noise' has the shape {found.shape}, expected ({coils}, samples)")
    found = found if scan.heard is None else found[scan.heard]
    return tensor(finite(found, f"--noise {asked.noise}: 'noise'"))
