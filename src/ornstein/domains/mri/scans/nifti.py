"""Images in NIfTI files, of which k-space is calculated: retrospective, simulated coils.

Slices are planes of the array that come closest to axial, coronal or sagittal ones; H and W are the other two axes, in
the order of the table. Nothing is resampled or turned, so a reconstruction has the array's axes, and the affine of the
file is its affine. Odd sizes are padded with a line of zeros, which is cropped again at the end.

    plane        H                        W
    axial        posterior – anterior     left – right
    coronal      inferior – superior      left – right
    sagittal     inferior – superior      posterior – anterior

A `.nii` is read slice by slice, a `.nii.gz` is unpacked whole, up to 2 GB.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Inexact

from ....errors import InputError, needed_for
from ....files import GB
from . import stored
from .base import Scan
from .geometry import padded, sizes
from .retrospective import SIMULATED, Retrospective

PLANES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Directions (0 right, 1 anterior, 2 superior) along which slices follow one another, of H and of W."""
_FURTHEST = 1_000_000  # bytes before the numbers: the header and its extensions


def open_nifti(
    path: Path,
    *,
    retrospective: Retrospective | None = None,
    plane: str | None = None,
    volume: int | None = None,
    mask: Bool[np.ndarray, "h w"] | None = None,
    maps: Complex[np.ndarray, "coils h w"] | None = None,
) -> Scan:
    """The k-space of an image, calculated.

    Args:
        path: of the file.
        retrospective: how it is undersampled; None: as its defaults are.
        plane: of the slices: "axial", "coronal" or "sagittal"; None: axial, but of a single slice the one that it has.
        volume: of an array of four axes, which index of the last.
        mask: of what is measured in all slices, instead of one that is drawn for each; of even sizes.
        maps: of coils, instead of simulated ones; of even sizes.

    Raises:
        InputError: no such file, no NIfTI file or a damaged one; no volume of numbers; an affine that places nothing; a
            mask or maps of another size; a voxel that is not finite, when its slice is read.
    """
    how = retrospective or Retrospective()
    if plane is not None and plane not in PLANES:
        raise InputError(f"{path}: plane is {plane!r}, expected {', '.join(PLANES)}")
    image = _opened(path)
    affine, index = _affine(image, path), _volume(image.shape, volume, path)
    shape = (*image.shape, 1)[:3]
    order = _order(affine, plane, shape)  # axes of the array that slices, H and W are
    slices, h, w = (shape[axis] for axis in order)
    even = (h + h % 2, w + w % 2)
    read_image = _reader(image, path, order, index)
    coils = _fitting(maps, "maps", even, path) if maps is not None else how.maps(even)
    chosen = _fitting(mask, "mask", even, path) if mask is not None else None

    @lru_cache(1)
    def measured(number: int) -> np.ndarray:
        return chosen if chosen is not None else how.mask(even, number)

    brightest = cache(partial(_brightest, read_image, slices, path))

    def truth(number: int) -> Complex[np.ndarray, "h w"]:
        return how.phased(read_image(number), number)

    def read(number: int) -> np.ndarray:
        return how.kspace(padded(truth(number), even), coils, measured(number), brightest(), number)

    said = "the given mask" if mask is not None else str(how)
    noise = f"noise of {how.sigma:g} of the largest magnitude was added"
    return Scan(
        *(path, "nifti", (slices, len(coils), *even), read, affine, measured),
        readout=None if w == even[1] else w,
        phase_encodes=None if h == even[0] else h,
        maps=(lambda number: coils) if how.known_maps or maps is not None else (lambda number: None),
        truth=truth,
        reference="the image in the file" + (", with a smooth phase" if how.phase else ""),
        axes=tuple(order.index(axis) for axis in range(3)),  # pyright: ignore[reportArgumentType]
        notes=(SIMULATED, f"{said}, {len(coils)} coils, {noise}"),
        oriented=True,
    )


def _brightest(read_image: Callable[[int], np.ndarray], slices: int, path: Path) -> float:
    """The largest magnitude of the volume."""
    found = max(float(np.abs(read_image(k)).max()) for k in range(slices))
    if not found:
        raise InputError(f"{path}: all voxels are 0, expected an image")
    return found


# The file ---------------------------------------------------------------------------------------------


@contextmanager
def _damaged(path: Path) -> Iterator[None]:
    """What the libraries raise for bytes that are no NIfTI file is an InputError."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    wrong = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError, zlib.error, OverflowError)
    try:
        yield
    except wrong as error:
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno):
            raise
        raise InputError(f"{path}: no NIfTI file, or a damaged one ({error})") from None


def _opened(path: Path) -> Any:
    """The image, none of whose numbers are read."""
    with needed_for("NIfTI", "mri"):
        import nibabel
    with _damaged(path):
        _require_near(path)
        image: Any = nibabel.load(path)
        dtype = np.dtype(image.get_data_dtype())
    if dtype.kind not in "fiuc":
        raise InputError(f"{path}: holds {dtype}, expected real or complex numbers")
    packed = path.name.endswith(".gz")
    if not packed and (missing := prod(image.shape) * dtype.itemsize - path.stat().st_size) > 0:
        raise InputError(f"{path}: damaged, {missing} bytes are missing for {dtype} of the shape {image.shape}")
    read = prod(image.shape) if packed else prod(image.shape) // max(min(image.shape), 1)
    if read * max(dtype.itemsize, 8) > stored.LIMIT:
        limit = f"{stored.LIMIT / GB:g} GB"
        hint = f": more than {limit}, unpack it to a .nii" if packed else f", a slice of which is more than {limit}"
        raise InputError(f"{path}: has the shape {image.shape}{hint}")
    return image


def _require_near(path: Path) -> None:
    """The numbers begin soon, so that little is unpacked in looking for them."""
    with (gzip.open if path.name.endswith(".gz") else open)(path, "rb") as file:
        start = file.read(348)
    if len(start) < 348:
        raise ValueError(f"{len(start)} bytes")
    for order in "<", ">":
        if (
            np.frombuffer(start, f"{order}i4", 1)[0] == 348
            and np.frombuffer(start, f"{order}f4", 1, 108)[0] > _FURTHEST
        ):
            raise ValueError(f"more than {_FURTHEST} bytes before its numbers")


def _affine(image: Any, path: Path) -> np.ndarray:
    affine = np.asarray(image.affine, np.float64)
    edges = sizes(affine)
    if not np.isfinite(affine).all() or not edges.all() or abs(np.linalg.det(affine[:3, :3] / edges)) < 1e-6:
        raise InputError(f"{path}: its affine is {affine.tolist()}, expected one that places every voxel elsewhere")
    return affine


def _volume(shape: tuple[int, ...], volume: int | None, path: Path) -> tuple[int, ...]:
    """Behind the three axes of space, the index of the volume."""
    if len(shape) < 2 or min(shape) < 1 or prod(shape[4:]) > 1:
        raise InputError(f"{path}: has the shape {shape}, expected a volume of three axes")
    volumes = shape[3] if len(shape) > 3 else 1
    if volume is None and volumes > 1:
        raise InputError(f"{path}: has {volumes} volumes, expected one, or its number (volume)")
    if volume is not None and not 0 <= volume < volumes:
        raise InputError(f"{path}: has no volume {volume}, expected a number from 0 to {volumes - 1}")
    return (volume or 0, *[0] * (len(shape) - 4)) if len(shape) > 3 else ()


def _order(affine: np.ndarray, plane: str | None, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The axes of the array that slices, H and W lie along."""
    from nibabel.orientations import io_orientation

    nearest = [int(direction) for direction in io_orientation(affine)[:, 0]]
    single = nearest[shape.index(1)] if shape.count(1) == 1 else PLANES["axial"][0]
    directions = PLANES[plane] if plane else next(one for one in PLANES.values() if one[0] == single)
    slices, h, w = (nearest.index(direction) for direction in directions)
    return slices, h, w


def _reader(
    image: Any, path: Path, order: tuple[int, int, int], index: tuple[int, ...]
) -> Callable[[int], Inexact[np.ndarray, "h w"]]:
    """Of a slice (H, W), checked."""
    packed = path.name.endswith(".gz")

    @cache
    def unpacked() -> np.ndarray:
        with _damaged(path):
            return np.asanyarray(image.dataobj)

    def read(number: int) -> np.ndarray:
        key = (tuple(number if axis == order[0] else slice(None) for axis in range(3)) + index)[: len(image.shape)]
        with _damaged(path):
            plane = np.asarray(unpacked()[key] if packed else image.dataobj[key])
        if plane.ndim != 2:
            raise InputError(f"{path}: has the shape {image.shape}, not of the plane that was asked for")
        return stored.finite(plane if order[1] < order[2] else plane.T, f"{path}: slice {number}")

    return read


def _fitting(values: np.ndarray, name: str, even: tuple[int, int], path: Path) -> np.ndarray:
    if values.shape[-2:] != even:
        raise InputError(f"{path}: the {name} have the shape {values.shape}, expected {even} at its end, of even sizes")
    return values
