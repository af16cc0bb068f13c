"""The k-space of a volume, read slice by slice, whatever file it lies in.

Axes: a slice is (coils, H, W), with H the phase encoding and W the readout, both centred, k = 0 at (H // 2, W // 2).
What was not measured is exactly 0. An image of it is (H, W) on the same grid; `Scan.volume` puts images into the axes
of the file, which `Scan.affine` places in the scanner (RAS, mm, as NIfTI has it).

Only the numbers and where they lie are taken from a file. What identifies a patient (fastMRI's `patient_id`, the names
and dates of an ISMRMRD header, the description of a NIfTI header) is never read into a scan, so no output can hold it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Complex, Float, Inexact

from ....errors import InputError
from . import checks
from .geometry import part, sizes, upright


def _none(number: int) -> None:
    """What a file without it gives of every slice."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One slice of k-space, checked: finite, and 0 where nothing was measured.

    Attributes:
        number: of the slice in its scan.
        kspace: in the units of the file.
        mask: True where it was measured.
        air: whether all that was measured is exactly 0, as in the empty slices at the ends of a simulated volume.
        notes: what was found in reading it that a user should know.
    """

    number: int
    kspace: Complex[np.ndarray, "coils h w"]
    mask: Bool[np.ndarray, "h w"]
    air: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Scan:
    """The k-space of a volume in a file; nothing of it is in memory but what `slice` returns.

    Attributes:
        path: of the file.
        format: "fastmri", "ismrmrd", "bart", "npz" or "nifti".
        shape: slices, coils, H (phase encoding), W (readout, as stored).
        read: k-space (coils, H, W) of the slice with this number, complex64, unchecked; `slice` checks it.
        affine: of the array that `volume` returns.
        mask: what was measured in a slice, (H, W), if the file says so; if not, `slice` finds it from the exact zeros.
        readout: size along W of the image without oversampling, to be cropped in the image about its centre; None: W.
            Where every line is measured along all of W, it can be cropped at once; otherwise at the end.
        phase_encodes: size along H of the image that is written, to be cropped at the end; None: H.
        maps: coil maps (coils, H, W) of a slice that the file brings.
        truth: the image (size of `size`) of a slice that the file brings, of magnitude or complex; see `reference`.
        reference: what the truth is, in words: "" without one.
        calibration: k-space (coils, H, W) of a slice for estimating coil maps only, 0 where not measured, if any.
        trajectory: samples of a slice (coils, samples) and where they lie (samples, 2), along H and W in cycles over
            the field of view, for a scan that is not on a grid; then `read` is refused.
        noise: a scan of noise alone (coils, samples), in the units of k-space.
        noise_std: standard deviation of the real part of the noise, which the file states.
        axes: of images (slices, H, W) in the order of the file's volume; see `volume`.
        oriented: whether the file says where the patient lay, so that `affine` does.
        heard: of the coils in the file, which are read; None: all.
        notes: what a user should know, in words.
    """

    path: Path
    format: str
    shape: tuple[int, int, int, int]
    read: Callable[[int], Complex[np.ndarray, "coils h w"]]
    affine: Float[np.ndarray, "4 4"]
    mask: Callable[[int], Bool[np.ndarray, "h w"] | None] = _none
    readout: int | None = None
    phase_encodes: int | None = None
    maps: Callable[[int], Complex[np.ndarray, "coils h w"] | None] = _none
    truth: Callable[[int], Inexact[np.ndarray, "h w"] | None] = _none
    reference: str = ""
    calibration: Callable[[int], Complex[np.ndarray, "coils h w"] | None] = _none
    trajectory: Callable[[int], tuple[np.ndarray, np.ndarray] | None] = _none
    noise: Complex[np.ndarray, "coils samples"] | None = None
    noise_std: float | None = None
    axes: tuple[int, int, int] = (2, 1, 0)
    oriented: bool = False
    heard: Bool[np.ndarray, " coils"] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of slices."""
        return self.shape[0]

    @property
    def stored(self) -> tuple[int, int, int]:
        """Coils, H and W in the file, those that are not heard among them."""
        _, coils, h, w = self.shape
        return coils if self.heard is None else len(self.heard), h, w

    @property
    def size(self) -> tuple[int, int]:
        """Of the images that are written: (H, W) without oversampling and padding."""
        return self.phase_encodes or self.shape[2], self.readout or self.shape[3]

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Of the images, in mm: along the slices, H, W."""
        found = sizes(self.affine)
        return tuple(float(found[self.axes.index(axis)]) for axis in range(3))  # pyright: ignore[reportReturnType]

    def slice(self, number: int) -> Measured:
        """K-space and mask of a slice, checked.

        Args:
            number: of the slice, from 0.

        Raises:
            InputError: no such slice; a number that is not finite, named by coil and position; a mask without a sample;
                k-space that is not 0 where the mask says that nothing was measured.
        """
        where = f"{self.path}: slice {self._checked(number)}"
        kspace = self.read(number)
        mask = self.mask(number)
        checks.finite(kspace, where)
        found, notes = checks.measured(kspace, mask, where)
        return Measured(number, kspace, found, not kspace.any(), notes)

    def _checked(self, number: int) -> int:
        if not 0 <= number < len(self):
            raise InputError(f"{self.path}: has no slice {number}, expected a number from 0 to {len(self) - 1}")
        return number

    def volume(self, images: Sequence[Inexact[np.ndarray, "h w"]] | Inexact[np.ndarray, "slices h w"]) -> np.ndarray:
        """Images of slices as one array in the file's axes, as `affine` places it.

        Args:
            images: of `size`, one a slice.
        """
        return np.stack(list(images)).transpose(self.axes)

    def upright(self, image: Inexact[np.ndarray, "h w"]) -> Inexact[np.ndarray, "p q"]:
        """An image as radiologists look at it: the patient's right on the left, anterior or superior at the top.

        Args:
            image: (H, W); it is returned as it is where the file does not say how the patient lay.
        """
        rows, columns = (self.affine[:3, self.axes.index(axis)] for axis in (1, 2))
        return upright(image, rows, columns) if self.oriented else image

    def placed(self, slices: range) -> Float[np.ndarray, "4 4"]:
        """The affine of a volume of only some slices.

        Args:
            slices: numbers of the slices, evenly spaced.
        """
        return part(self.affine, self.axes.index(0), slices)
