"""Scans to try a model on: slices of test subjects, as 8 coils would have measured a quarter of their k-space.

    python -m ornstein.domains.mri.examples FOLDER            (or … FOLDER 8, for another acceleration)
    ornstein sample mri/brain --kspace FOLDER/s1-axial.h5 --each 8 --out recon

Each slice of `slices` becomes a file: fastMRI HDF5 (.h5) of subject S1, an .npz of the others, each with the truth.
**Retrospective, simulated coils:** the images are real, coils, phase, noise and undersampling are not. Noise has a
standard deviation of 0.01 in its real and in its imaginary part, where the largest magnitude of the image is 1. Coil
maps and σ are not in the files, as in those of a scanner. Not for clinical use.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from ...errors import InputError
from ...guidance.operators import Fourier
from ...keys import Keys
from . import slices
from .coils.simulate import simulate, simulate_maps, smooth_phase
from .scans.base import Scan
from .scans.fastmri import write_fastmri
from .scans.npz import write_npz
from .trajectories.masks import drawn
from .words import RETROSPECTIVE

COILS, SIGMA, ACCELERATION = 8, 0.01, 4.0
"""Their number; the noise's standard deviation, the image's maximum 1; the inverse share of lines measured."""


@dataclass(frozen=True, eq=False)
class Example:
    """A slice and what was measured of it.

    Attributes:
        image: the truth, complex, of a magnitude up to 1.
        kspace: centred, 0 where not measured.
        maps: of the simulated coils, Σ |s|² = 1.
        mask: true where k-space was measured.
        std: of the noise, of the real part and of the imaginary part each.
    """

    image: Complex[Tensor, "h w"]
    kspace: Complex[Tensor, "coils h w"]
    maps: Complex[Tensor, "coils h w"]
    mask: Bool[Tensor, "h w"]
    std: float

    @property
    def scan(self) -> Scan:
        """What was measured, and the truth, as they would be in a file; without σ and the coil maps."""
        coils, h, w = self.kspace.shape
        return Scan(
            *(Path("example"), "npz", (1, coils, h, w), lambda _: self.kspace.numpy(), np.eye(4)),
            mask=lambda _: self.mask.numpy(),
            truth=lambda _: self.image.numpy(),
        )


def example(
    name: str,
    size: int = 256,
    acceleration: float = ACCELERATION,
    coils: int = COILS,
    std: float = SIGMA,
    pattern: str = "random",
    number: int = 0,
) -> Example:
    """A slice with a smooth phase, seen by a ring of coils; a function of its arguments.

    Args:
        name: of `slices.NAMES`.
        size: pixels a side, 256 or fewer, of the same field of view.
        acceleration: the inverse of the share of k-space that is measured; 1 = all.
        coils: their number.
        std: of the noise, in units of the largest magnitude.
        pattern: of the mask, see `trajectories.masks.drawn`.
        number: of the phase, the coils, the mask and the noise.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= 256:
        raise InputError(f"size: is {size!r:.80}, expected a whole number from 16 to 256")
    keys = Keys.of(number, 1).fold(f"mri: example {name}")
    whole = torch.from_numpy(slices.read(name)).to(torch.complex64)
    image = _reduced(whole * smooth_phase((256, 256), keys)[0], size)
    image = image / image.abs().max()
    maps = simulate_maps((size, size), coils, keys).to(torch.complex64)
    mask = (
        drawn(pattern, (size, size), acceleration, seed=number, slice=slices.NAMES.index(name))
        if acceleration > 1
        else torch.ones(size, size) > 0
    )
    return Example(image, simulate(image, maps, mask, std, keys), maps, mask, std)


def _reduced(image: Complex[Tensor, "h w"], size: int) -> Complex[Tensor, "p p"]:
    """The image of the middle of k-space: the same field of view, in fewer pixels."""
    start = image.shape[0] // 2 - size // 2
    fourier = Fourier(complex=True, centered=True)
    waves = fourier(image[None])[:, start : start + size, start : start + size]
    return size / image.shape[0] * fourier.adjoint(waves)[0]


def write(
    folder: Path, acceleration: float = ACCELERATION, names: Sequence[str] = slices.NAMES, size: int = 256
) -> list[Path]:
    """Writes a scan of each slice into a folder, which is made; returns the files.

    Args:
        folder: for the files.
        acceleration, size: see `example`.
        names: of `slices.NAMES`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_written(folder, name, example(name, size, acceleration)) for name in names]


def _written(folder: Path, name: str, found: Example) -> Path:
    kspace, side = found.kspace.numpy()[None], 256 / len(found.mask)
    voxel = (1.0, side, side)
    if not name.startswith("s1"):
        path = folder / f"{name}.npz"
        write_npz(path, kspace, mask=found.mask.numpy(), truth=found.image.numpy(), voxel_size=voxel)
        return path
    path, truth = folder / f"{name}.h5", np.asarray(found.image.abs())[None]  # Σ |s|² = 1: their root sum of squares
    write_fastmri(path, kspace, mask=found.mask[:, 0].numpy(), truth=truth, voxel_size=voxel, acquisition="T1")
    return path


if __name__ == "__main__":
    try:
        speed = float(sys.argv[2]) if len(sys.argv) > 2 else ACCELERATION
        written = write(Path(sys.argv[1]), speed)
    except (InputError, IndexError, ValueError) as error:
        print(f"{error}\n{__doc__}" if isinstance(error, InputError) else __doc__, file=sys.stderr)
        sys.exit(2)
    print(*written, RETROSPECTIVE, sep="\n")
