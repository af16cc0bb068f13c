"""Fewer coils and a shorter readout, at no cost to what is known of the image.

Coils are compressed by the singular vectors of the middle of k-space (Huang et al. 2008): U_nᴴ y are n virtual coils,
and since U_nᴴ U_n = 1, white noise stays white and of the same size.

A readout that was oversampled is cropped in the image and transformed back, both orthonormally: the noise of what is
left is white, and of the same size, because it was white in every column of the image.

Partial Fourier and asymmetric echoes need nothing of the kind: they are masks.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from ....errors import InputError
from ....guidance.operators import Fourier
from ....values import is_number, require_whole
from ..trajectories.masks import whole_lines


class Compressed(NamedTuple):
    """Virtual coils.

    Attributes:
        matrix: U_nᴴ: virtual coils of coils, for k-space and for maps (`noise.mixed`).
        lost: the share of the energy of the middle that they do not see, noise included.
        note: in words.
    """

    matrix: Complex[Tensor, "virtual coils"]
    lost: float
    note: str


def compressed(
    calibration: Complex[Tensor, "coils rows columns"], number: int | None = None, energy: float = 0.999
) -> Compressed:
    """The virtual coils that see most.

    Args:
        calibration: the middle of k-space, whitened.
        number: of virtual coils; as many as the energy needs if not given.
        energy: the share that they must see.
    """
    if number is not None:
        require_whole("the number of virtual coils", number, 1)
    if not is_number(energy) or not 0 < energy <= 1:
        raise InputError(f"energy of virtual coils is {energy!r}, expected a share, over 0 and at most 1")
    coils, flat = len(calibration), calibration.flatten(1).to(torch.complex128)
    values, vectors = torch.linalg.eigh(flat @ flat.mH)
    shares = values.flip(0).clamp(min=0).cumsum(0)
    if not bool(shares[-1] > 0):
        raise InputError("the middle of k-space is 0: there is nothing to tell coils by")
    shares = shares / shares[-1]
    needed = int((shares < energy - 1e-12).sum()) + 1
    n = min(needed if number is None else number, coils)
    lost = max(1 - float(shares[n - 1]), 0.0)
    note = f"{coils} coils compressed to {n}, which see all but {lost:.2g} of the energy of the middle of k-space"
    return Compressed(vectors.flip(1)[:, :n].mH.to(calibration.dtype), lost, note)


def without_oversampling(
    kspace: Complex[Tensor, "*batch h w"], mask: Bool[Tensor, "*masks h w"], readout: int
) -> Complex[Tensor, "*batch h readout"]:
    """K-space whose readout has no more columns than the image, centred as before.

    InputError where the readout was not measured whole, as of an asymmetric echo: then it is left as it is.

    Args:
        kspace: centred, the readout along its last axis.
        mask: true where it was measured.
        readout: columns that are left.
    """
    w = kspace.shape[-1]
    require_whole("columns without oversampling", readout, 1)
    if readout > w:
        raise InputError(f"columns without oversampling are {readout}, but the readout has {w}")
    if whole_lines(mask) != 0:
        raise InputError("oversampling of a readout that was not measured whole cannot be removed")
    along = Fourier(-1, complex=True, centered=True)
    return along(along.adjoint(kspace).narrow(-1, w // 2 - readout // 2, readout))
