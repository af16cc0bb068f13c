"""What k-space must be before it is used, and what its exact zeros say about what was measured.

A sample that a receiver measured has noise, so it is not exactly 0; a sample that is 0 in all coils was not measured.
Where a file brings a mask, both must agree: k-space that is not 0 where the mask says "not measured" is refused, since
the mask is then of another scan or along another axis. A line that the mask counts and that is 0 throughout was filled
up with zeros, as at the rim of fastMRI's k-space, and is not counted as measured.
"""

import numpy as np
from jaxtyping import Bool, Complex

from ....errors import InputError

SHIFTED = "numpy.fft.fftshift puts it there, where halves are swapped"
STRONGER = 10.0
"""By which k-space elsewhere must exceed its middle to be taken for swapped halves; of images it is hundreds."""


def finite(kspace: Complex[np.ndarray, "coils h w"], where: str) -> None:
    """InputError if a number is NaN or infinite, which names the first by coil and position.

    Args:
        kspace: of a slice.
        where: it stands, for the error.
    """
    wrong = ~np.isfinite(kspace)
    if wrong.any():
        coil, row, column = np.argwhere(wrong)[0].tolist()
        with np.errstate(invalid="ignore"):  # some NaN warn when they are written
            value = str(kspace[coil, row, column])
        raise InputError(
            f"{where}, coil {coil}, phase encode {row}, readout {column} is {value}, expected finite numbers "
            f"({int(wrong.sum())} of {wrong.size} are not)"
        )


def centred(kspace: Complex[np.ndarray, "coils h w"], mask: Bool[np.ndarray, "h w"]) -> None:
    """InputError if k = 0 is not in the middle: it was not measured, or all the energy is where swapped halves put it.

    Args:
        kspace: of a slice, not 0 everywhere.
        mask: of what was measured.
    """
    h, w = mask.shape
    if not mask[h // 2, w // 2]:
        raise InputError(
            f"k = 0, phase encode {h // 2}, readout {w // 2}, was not measured, so that nothing tells how bright the "
            f"image is; expected centred k-space with its middle ({SHIFTED})"
        )
    energy = (np.abs(kspace / np.abs(kspace).max()) ** 2).sum(0)
    middle = _box(energy)
    for axes, name in (((0, 1), "corners"), ((0,), "first and last phase encodes"), ((1,), "ends of the readout")):
        elsewhere = _box(np.fft.fftshift(energy, axes))
        if elsewhere > STRONGER * middle:
            raise InputError(
                f"k-space is {elsewhere / max(middle, 1e-30):.3g} times stronger at the {name} than in the middle, "
                f"expected k = 0 in the middle, as phase encode {h // 2}, readout {w // 2} ({SHIFTED})"
            )


def _box(energy: np.ndarray) -> float:
    """The sum of the middle: an eighth of either side."""
    rows, columns = (slice(n // 2 - n // 16, n // 2 + n // 16 + 1) for n in energy.shape)
    return float(energy[rows, columns].sum())


def measured(
    kspace: Complex[np.ndarray, "coils h w"], mask: Bool[np.ndarray, "h w"] | None, where: str
) -> tuple[Bool[np.ndarray, "h w"], tuple[str, ...]]:
    """The mask of what was measured, and what to note; InputError if k-space and the file's mask contradict each other.

    Args:
        kspace: of a slice.
        mask: that the file states.
        where: it stands, for the error.
    """
    filled = (kspace != 0).any(0)
    if mask is None:
        return filled, ()
    if not mask.any():
        raise InputError(f"{where}: the mask is 0 everywhere, so nothing was measured")
    outside = filled & ~mask
    if outside.any():
        row, column = np.argwhere(outside)[0].tolist()
        raise InputError(
            f"{where}: k-space is not 0 at phase encode {row}, readout {column}, where the mask says that nothing was "
            f"measured ({int(outside.sum())} such positions); is the mask of another scan, or along the other axis?"
        )
    if not filled.any():  # air: nothing to learn of the mask
        return mask, ()
    empty = mask.any(1) & ~filled.any(1)
    if not empty.any():
        return mask, ()
    return mask & ~empty[:, None], (f"{int(empty.sum())} lines that the mask counts as measured are 0 in all coils",)
