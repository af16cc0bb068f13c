"""The noise of a scan: how strong it is and how coils share it, from whoever says it, else from k-space itself.

The covariance of the coils is Ψ = E[n nᴴ]/2. Coils are made independent, and their noise alike, by W = σ̄ L⁻¹ with
L Lᴴ = Ψ and σ̄² = tr Ψ/coils, which keeps the units of the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from .... import arrays
from ....errors import InputError
from ....files import GB
from ..scans.base import Measured, Scan
from ..trajectories.masks import whole_lines
from .flags import MriRequest

RIM = 0.8
"""Share of the cropped-away part of the readout, from its outer end, that is taken for noise alone."""
EDGE = 0.06
"""Share of the readout at either end of k-space where there is little else than noise."""


@dataclass(frozen=True, eq=False)
class Noise:
    """Of all coils.

    Attributes:
        std: of the real part, and of the imaginary part each, once coils are independent, in the units of the file.
        mixing: W, (coils, coils), that makes them so.
        source: where it is known from, in words.
    """

    std: float
    mixing: Complex[Tensor, "coils coils"]
    source: str

    @classmethod
    def of(cls, covariance: Complex[Tensor, "coils coils"], source: str) -> "Noise":
        """Of a covariance Ψ.

        Args:
            covariance: of the real parts, in the squared units of the file.
            source: where it is known from, in words.
        """
        psi = covariance.to(torch.complex128)
        std = float(psi.diagonal().real.mean().sqrt())
        if not std > 0:
            raise InputError(f"the noise is 0 ({source}), expected some: say how strong it is by --sigma")
        psi = psi + 1e-6 * std**2 * torch.eye(len(psi))
        mixing = std * torch.linalg.inv(torch.linalg.cholesky(psi))
        return cls(std, mixing.to(torch.complex64), source)

    def white(self, field: Complex[Tensor, "coils h w"]) -> Complex[Tensor, "coils h w"]:
        """K-space, or maps, of independent coils.

        Args:
            field: of the coils of the file.
        """
        return torch.einsum("dc,chw->dhw", self.mixing, field)


def noise_of(asked: MriRequest, scan: Scan) -> Noise:
    """The noise of a scan.

    Args:
        asked: the request, which may say it.
        scan: which may.
    """
    coils = scan.shape[1]
    if asked.sigma is not None:
        return Noise.of(asked.sigma**2 * torch.eye(coils), "--sigma")
    if asked.noise is not None:
        return Noise.of(_covariance(_alone(asked, coils)), "a scan of noise (--noise)")
    if scan.noise is not None:
        return Noise.of(_covariance(torch.from_numpy(np.ascontiguousarray(scan.noise))), "the file's scan of noise")
    if scan.noise_std is not None:
        return Noise.of(scan.noise_std**2 * torch.eye(coils), "the file")
    return _estimated(scan)


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
    return torch.from_numpy(found)


def _covariance(noise: Complex[Tensor, "coils samples"]) -> Complex[Tensor, "coils coils"]:
    if noise.shape[1] < 4 * len(noise):
        raise InputError(
            f"a scan of noise has {noise.shape[1]} samples of {len(noise)} coils, expected four times more"
        )
    noise = noise.to(torch.complex128)
    return noise @ noise.mH / (2 * noise.shape[1])


def _estimated(scan: Scan) -> Noise:
    """From the rim of an oversampled readout, where there is only air; else from the ends of k-space."""
    middle = len(scan) // 2
    measured = next(found for found in _outwards(scan, middle) if not found.air)
    kspace, mask = torch.from_numpy(measured.kspace), torch.from_numpy(measured.mask)
    w, readout = scan.shape[3], scan.size[1]
    rim = int(RIM * (w - readout) / 2)
    if whole_lines(mask) == 0 and rim >= 4:
        lines = kspace[:, mask.all(1)]
        images = torch.fft.fftshift(torch.fft.ifft(torch.fft.ifftshift(lines, -1), norm="ortho"), -1)
        air = torch.cat([images[..., :rim], images[..., -rim:]], -1).flatten(1)
        return Noise.of(_covariance(air), "the rim of the oversampled readout")
    edge = torch.zeros_like(mask)
    edge[:, : max(1, int(EDGE * w))] = edge[:, -max(1, int(EDGE * w)) :] = True
    seen = kspace[:, mask & edge]
    if seen.shape[1] < 64:
        raise InputError(f"{scan.path}: too little is measured to estimate the noise from: say it by --sigma")
    variance = seen.abs().square().median(1).values.double() / (2 * log(2))  # |n|² is exponential, of mean 2 σ²
    return Noise.of(torch.diag(variance), "the ends of k-space")


def _outwards(scan: Scan, middle: int) -> Iterator[Measured]:
    """Slices from the middle outwards."""
    for number in sorted(range(len(scan)), key=lambda number: abs(number - middle)):
        yield scan.slice(number)
    raise InputError(f"{scan.path}: all slices are 0, expected k-space")
