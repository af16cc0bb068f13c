"""Volumes to learn from: those of installed packages, or the NIfTI files of a folder.

A volume is kept as the coefficients of its cubic spline (Unser 1999), which is as sharp at any point as the voxels are
at theirs. Intensities are divided by the 0.995 quantile of what is brighter than the mean, so that 1 is bright.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from ....deferred import deferred
from ....errors import InputError, needed_for
from ..slices import require_no_test_subject

if TYPE_CHECKING:
    from scipy import ndimage
else:
    ndimage = deferred("scipy.ndimage")

TEMPLATES = Path("/usr/share/mricron/templates")
"""Where Debian's mricron-data puts Colin27."""
MNI = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
"""The MNI152 average within the package nilearn, versions 0.8 and 0.9."""
BRIGHT = 0.995


@dataclass(frozen=True, eq=False)
class Volume:
    """A head, or a brain.

    Attributes:
        name: of its file.
        coefficients: of the cubic spline of intensities, whose axes go right, front and up.
        voxel: edges of a voxel, mm.
        brain: where the brain is; None = not known, or nothing else is there.
    """

    name: str
    coefficients: Float[np.ndarray, "x y z"]
    voxel: tuple[float, float, float]
    brain: Bool[np.ndarray, "x y z"] | None = None


@dataclass(frozen=True)
class Source:
    """Where a volume is, and how often it is drawn from beside others.

    Attributes:
        path: a NIfTI file.
        weight: relative to others.
        brain: a NIfTI file on the same grid that is 0 outside of the brain.
    """

    path: Path
    weight: float = 1.0
    brain: Path | None = None


def brains(folder: Path | None = None) -> list[Source]:
    """Colin27, its brain alone, and MNI152's brain, from the packages that have them.

    Args:
        folder: that holds ch2.nii.gz, ch2bet.nii.gz and the MNI file instead.

    InputError names the package that is missing.
    """
    at = folder or TEMPLATES
    head, brain = at / "ch2.nii.gz", at / "ch2bet.nii.gz"
    mni = _mni() if folder is None else folder / Path(MNI).name
    for path, package in ((head, "Debian's mricron-data"), (brain, "Debian's mricron-data"), (mni, "nilearn 0.9")):
        if path is None or not path.is_file():
            raise InputError(
                f"data = brains needs {Path(MNI).name if path is None else path}: install {package}, or give a folder "
                "of NIfTI files"
            )
    assert mni is not None
    return [Source(head, 3.0, brain), Source(brain, 2.0), Source(mni, 1.0)]


def _mni() -> Path | None:
    found = find_spec("nilearn")
    places = [] if found is None else [Path(place) / MNI for place in found.submodule_search_locations or ()]
    return next((path for path in places if path.is_file()), None)


def of_folder(folder: Path) -> list[Source]:
    """The NIfTI files of a folder, in order of their names; InputError if it has none."""
    files = sorted(path for path in folder.rglob("*.nii*") if path.name.endswith((".nii", ".nii.gz")))
    if not files:
        raise InputError(f"{folder}: has no .nii or .nii.gz, expected volumes to learn from")
    return [Source(path) for path in files]


def opened(source: Source) -> Volume:
    """A volume, turned so that its axes go right, front and up.

    InputError for what is no volume of finite numbers in three axes, for one that is dark everywhere, and for subjects
    that reconstructions are judged on.
    """
    values, voxel = _read(source.path)
    values = values / _bright(values, source.path)
    brain = None if source.brain is None else _read(source.brain)[0] > 0
    if brain is not None and brain.shape != values.shape:
        raise InputError(f"{source.brain}: has the shape {brain.shape}, {source.path} has {values.shape}")
    coefficients = np.asarray(ndimage.spline_filter(values, 3), dtype=np.float32)
    return Volume(source.path.name, coefficients, voxel, brain)


def _read(path: Path) -> tuple[Float[np.ndarray, "x y z"], tuple[float, float, float]]:
    """Intensities, and the edges of a voxel, mm."""
    with needed_for("NIfTI", "mri"):
        import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.as_closest_canonical(nibabel.load(path))
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: no NIfTI file, or a damaged one ({error})") from None
    values = values.reshape(values.shape[:3]) if values.ndim > 3 and values[0, 0, 0].size == 1 else values
    require_no_test_subject(values, str(path))
    if values.ndim != 3 or min(values.shape) < 2:
        raise InputError(f"{path}: has the shape {values.shape}, expected a volume of three axes")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: voxel {tuple(np.argwhere(~np.isfinite(values))[0])} is not finite")
    x, y, z = (float(edge) for edge in image.header.get_zooms()[:3])
    return np.asarray(values, dtype=np.float32), (x, y, z)


def _bright(values: Float[np.ndarray, "x y z"], path: Path) -> float:
    head = values[values > values.mean()]
    bright = float(np.quantile(head, BRIGHT)) if head.size else 0.0
    if not bright > 0:
        raise InputError(f"{path}: no voxel is brighter than the mean, expected a head or a brain")
    return bright


class Library:
    """Volumes by number, the last used ones in memory."""

    def __init__(self, sources: Sequence[Source], memory: float) -> None:
        """Of files.

        Args:
            sources: where they are.
            memory: MB of volumes to keep; one is kept at least.
        """
        self.sources = tuple(sources)
        first = opened(self.sources[0])
        each = first.coefficients.nbytes / 2**20
        self._opened = lru_cache(max(1, int(memory / each)))(lambda k: opened(self.sources[k]))

    def __getitem__(self, number: int) -> Volume:
        return self._opened(number)

    def __len__(self) -> int:
        return len(self.sources)

    def chosen(self, share: float) -> int:
        """The volume at a share of all weights, from 0 to 1."""
        weights = np.cumsum([source.weight for source in self.sources])
        return int(np.searchsorted(weights / weights[-1], share, side="right").clip(max=len(self) - 1))
