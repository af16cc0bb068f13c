"""What benchmarks/mri.py reconstructs: slices of subjects, and the k-space that simulated coils see of them.

    subject        role          where it comes from
    S1             test          PyPI source distribution pycortex (BSD): T1, 256³; axial slices, evenly spaced
    r16 … r85      test          PyPI source distribution antspyx (Apache-2): one axial T1 slice each, without skull
    t1-coronal     validation    PyPI dipy (BSD): one coronal T1 slice
    itk            validation    Debian insighttoolkit5-examples (Apache-2): T1, 2 mm, coronal slices, interpolated
    colin          validation    Debian mricron-data: Colin27, T1; ours has learnt from it, the peers are tuned on it
    macaque        strange       Debian mricron-data: INIA19, a monkey's brain
    ct             strange       PyPI source distribution pydicom-data (MIT): CT of two heads

Files are found by their names anywhere below the folders given by --data. Slices are 256², divided by their maxima,
with a smooth phase; `top` is that maximum in the volume's unit. K-space is that of 8 simulated coils, σ = 0.01 for the
real and the imaginary part, lines at random: retrospective, simulated coils.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from scipy import ndimage
from torch import Tensor

from ornstein.domains.mri import metrics
from ornstein.domains.mri.coils.espirit import espirit
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps, smooth_phase
from ornstein.domains.mri.trajectories.masks import drawn, middle_of
from ornstein.keys import Keys

SIDE, COILS, SIGMA = 256, 8, 0.01
SEED = 21
S1 = (100, 117, 134, 151, 168)
"""Axial slices through the brain of S1, from below."""
ANTS = ("r16", "r27", "r30", "r62", "r64", "r85")


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice of one subject.

    Attributes:
        subject: whose; slices of one subject are one volume.
        number: within it.
        magnitude: (256, 256), maximum 1.
        top: what it was divided by, in the unit of the volume.
    """

    subject: str
    number: int
    magnitude: Float[np.ndarray, "h w"]
    top: float = 1.0

    @property
    def keys(self) -> Keys:
        return Keys.of(SEED, [self.number]).fold(self.subject)

    @cached_property
    def brain(self) -> Bool[np.ndarray, "h w"]:
        return metrics.brain(self.magnitude)

    @cached_property
    def image(self) -> Complex[Tensor, "h w"]:
        """With a smooth phase, as scans have it."""
        return smooth_phase((SIDE, SIDE), self.keys)[0] * torch.from_numpy(self.magnitude)


@dataclass(frozen=True, eq=False)
class Measured:
    """What simulated coils saw of a slice.

    Attributes:
        of: the slice.
        acceleration: R.
        kind: of the maps: "true" or "ESPIRiT", of the middle of k-space.
        maps: that reconstructions are given.
        mask: what was measured.
        kspace: 0 where it was not.
        sigma: of the noise.
    """

    of: Slice
    acceleration: int
    kind: str
    maps: Complex[Tensor, "coils h w"]
    mask: Bool[Tensor, "h w"]
    kspace: Complex[Tensor, "coils h w"]
    sigma: float = SIGMA


def measured(of: Slice, acceleration: int, kind: str = "true", sigma: float = SIGMA) -> Measured:
    """R = 4 with 8 % of the lines in the centre, R = 8 with 4 %, phase encoding along the rows.

    Args:
        of: a slice.
        acceleration: R.
        kind: of the maps that reconstructions are given; k-space is the same.
        sigma: of the noise.
    """
    maps = simulate_maps((SIDE, SIDE), COILS)
    mask = drawn("random", (SIDE, SIDE), acceleration, seed=SEED, slice=of.number)
    kspace = simulate(of.image, maps, mask, sigma, of.keys)
    if kind == "ESPIRiT":
        rows, columns = middle_of(mask)
        maps = espirit(kspace[:, rows, columns], (SIDE, SIDE))
    return Measured(of, acceleration, kind, maps, mask, kspace, sigma)


# The subjects -----------------------------------------------------------------------------------------


class Missing(Exception):
    """A file that is not there."""


def test(folders: Sequence[Path]) -> Iterator[Slice]:
    """Subjects that nothing was trained or tuned on."""
    yield from _volume("S1", folders, "S1/anatomicals/raw.nii.gz", S1)
    for number, name in enumerate(ANTS):
        yield _slice(name, number, _picture(find(folders, f"{name}slice.jpg")))


def validation(folders: Sequence[Path]) -> Iterator[Slice]:
    """What regularisation is tuned on, and intervals are calibrated on."""
    yield _slice("t1-coronal", 0, np.load(find(folders, "t1_coronal_slice.npy")))
    yield from _volume("colin", folders, "mricron/templates/ch2.nii.gz", (70, 85, 100))
    yield from _volume("itk", folders, "KmeansTest_T1UCharRaw.nii.gz", range(16, 46, 6), axis=1)


def strange(folders: Sequence[Path]) -> Iterator[Slice]:
    """What a prior of human brains does not know."""
    yield from _volume("macaque", folders, "inia19-t1-brain.nii.gz", (50, 64, 78))
    for number, name in enumerate(("eCT_Supplemental.dcm", "693_UNCI.dcm")):
        yield _slice("ct", number, _dicom(find(folders, name)))


ROLES: dict[str, Callable[[Sequence[Path]], Iterable[Slice]]] = {
    "test": test,
    "validation": validation,
    "strange": strange,
}


def find(folders: Sequence[Path], name: str) -> Path:
    """The first file whose path ends so, below any of the folders."""
    for folder in folders:
        for path in sorted(folder.rglob(Path(name).name)):
            if str(path).endswith(name):
                return path
    raise Missing(f"{name}: not below {', '.join(map(str, folders)) or 'any folder: give --data'}")


def _volume(subject: str, folders: Sequence[Path], name: str, numbers: Iterable[int], axis: int = 2) -> Iterator[Slice]:
    """Slices of a NIfTI volume: front or top up, the subject's right on the left."""
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.load(find(folders, name)))  # type: ignore[arg-type]
    volume = np.asarray(image.dataobj, np.float32)  # type: ignore[attr-defined]
    for number in numbers:
        yield _slice(subject, number, np.flip(volume.take(number, axis).T))


def _picture(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"), np.float32)


def _dicom(path: Path, side: int = 512) -> np.ndarray:
    """The last frame of an uncompressed file of 16 bits, which ends with it, halved; air is 0."""
    pixels = np.frombuffer(path.read_bytes()[-2 * side**2 :], "<i2").reshape(side, side).astype(np.float32)
    return pixels.clip(min=0).reshape(side // 2, 2, side // 2, 2).mean((1, 3))


def _slice(subject: str, number: int, values: np.ndarray) -> Slice:
    """As it is, or interpolated to twice as many voxels, in the middle of 256²."""
    values = np.asarray(values, np.float32)
    if max(values.shape) <= SIDE // 2:
        values = np.asarray(ndimage.zoom(values, 2, order=3)).clip(min=0)
    rows, columns = (SIDE - n for n in values.shape)
    whole = np.pad(values, ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)))
    top = float(whole.max())
    return Slice(subject, number, whole / top, top)
