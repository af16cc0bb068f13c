"""Volumes as NIfTI, written slice by slice: no more than a slice of them is in memory.

An image is (H, W); a volume has the axes of the scan's own file, and its affine (RAS, mm). Files are written as .nii,
where every slice has a place, and compressed in the end.
"""

import gzip
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Inexact, Shaped

from ....errors import InputError, needed_for
from ....files import Within, require
from ..scans.geometry import cropped, part
from ..words import CLINICAL

_SIZE = Within(int, 1, 10**5)
SCHEMA = {"size": [_SIZE], "axes": [Within(int, 0, 2)], "affine": [[float]], "slices": [Within(int, 0, 10**9)]}
"""What the record of a scan must hold for its images to be placed."""
_OFFSET = 352
"""Of the numbers in a NIfTI-1 file without extensions."""


@dataclass(frozen=True)
class Frame:
    """Where images of slices lie.

    Attributes:
        size: (H, W) of an image that is written.
        axes: of images (slices, H, W) in the order of the volume's.
        affine: of the volume, RAS, mm.
        slices: in the volume.
        oriented: whether the affine says where the patient lay, or only how large voxels are.
    """

    size: tuple[int, int]
    axes: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    slices: int
    oriented: bool = False

    @classmethod
    def of(cls, record: Mapping[str, Any], where: str) -> "Frame":
        """Of what a manifest says of a scan; InputError if it is nothing of the kind.

        Args:
            record: see `asked.prepared.Volume.record`.
            where: it stands, for the error.
        """
        require(dict(record), SCHEMA, where)
        affine = np.array(record["affine"], float)
        right = len(record["size"]) == 2 and sorted(record["axes"]) == [0, 1, 2] and len(record["slices"]) == 3
        if not right or affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError(f"{where}: size, axes, slices or affine are not those of a volume")
        start, stop, step = record["slices"]
        slices = len(range(start, stop, max(1, step)))
        rows = tuple(map(tuple, affine.tolist()))
        h, w = record["size"]
        a, b, c = record["axes"]
        return cls((h, w), (a, b, c), rows, slices, bool(record.get("oriented")))

    @classmethod
    def plain(cls, size: tuple[int, int]) -> "Frame":
        """Of images that were drawn without a scan."""
        return cls(size, (2, 1, 0), tuple(map(tuple, np.eye(4).tolist())), 1)

    def of_slices(self, chosen: range) -> "Frame":
        """The same of some of the slices.

        Args:
            chosen: which.
        """
        affine = part(np.array(self.affine), self.axes.index(0), chosen)
        return replace(self, affine=tuple(map(tuple, affine.tolist())), slices=len(chosen))

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Of the volume."""
        sizes = (self.slices, *self.size)
        a, b, c = self.axes
        return sizes[a], sizes[b], sizes[c]

    def in_view(self, images: Shaped[np.ndarray, "*batch h w"]) -> Shaped[np.ndarray, "*batch p q"]:
        """Images without what lies outside of the field of view.

        Args:
            images: as they were drawn, or without that already.
        """
        return images if images.shape[-2:] == self.size else cropped(images, self.size)

    def directions(self) -> tuple[str, str, str]:
        """Where slices, rows and columns go as they are counted: R, L, A, P, S or I of each."""
        found = []
        for axis in range(3):
            vector = np.array(self.affine)[:3, self.axes.index(axis)]
            k = int(np.abs(vector).argmax())
            found.append("RAS"[k] if vector[k] > 0 else "LPI"[k])
        return found[0], found[1], found[2]


class Written:
    """A volume, or several along a fourth axis, in a file that has a place for every slice; NaN until it is written."""

    def __init__(self, path: Path, frame: Frame, dtype: str, several: int | None = None) -> None:
        """Makes the file, or makes it anew.

        Args:
            path: of the .nii.
            frame: where images lie.
            dtype: of the numbers.
            several: how many volumes; None = one, of three axes.
        """
        self.path, self.frame = path, frame
        shape = frame.shape if several is None else (*frame.shape, several)
        with path.open("wb") as file:
            file.write(_header(shape, frame, dtype))
        self._numbers = np.memmap(path, dtype, "r+", _OFFSET, shape, order="F")
        self._numbers[...] = np.nan

    def put(self, index: int, images: Inexact[np.ndarray, "*several h w"]) -> None:
        """One slice.

        Args:
            index: of the slice.
            images: (H, W), or (several, H, W).
        """
        _slice_of(self._numbers, self.frame, index)[...] = images

    def finish(self, compress: bool = True) -> Path:
        """The file, compressed if that is wanted."""
        self._numbers.flush()
        del self._numbers
        return compressed(self.path) if compress else self.path


def _slice_of(numbers: np.ndarray, frame: Frame, index: int) -> np.ndarray:
    """(several, H, W) or (H, W) of a slice, as a view."""
    place: list[Any] = [slice(None)] * numbers.ndim
    place[frame.axes.index(0)] = index
    turned = frame.axes.index(1) > frame.axes.index(2)
    found = numbers[tuple(place)]
    found = found.swapaxes(0, 1) if turned else found
    return np.moveaxis(found, -1, 0) if numbers.ndim == 4 else found


def _header(shape: Sequence[int], frame: Frame, dtype: str) -> bytes:
    with needed_for("NIfTI", "mri"):
        import nibabel
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.dtype(dtype))
    header.set_data_shape(shape)
    header.set_xyzt_units("mm")
    affine = np.array(frame.affine)
    header.set_sform(affine, 1)
    header.set_qform(affine, 1, strip_shears=True)
    header["vox_offset"], header["magic"] = _OFFSET, b"n+1"
    header["descrip"] = f"Ornstein; {CLINICAL}".encode()
    return header.binaryblock + bytes(_OFFSET - len(header.binaryblock))


def compressed(path: Path) -> Path:
    """The file as .gz, in whose place it comes; the same numbers give the same bytes.

    Args:
        path: of a file.
    """
    found = path.with_name(f"{path.name}.gz")
    with path.open("rb") as file, found.open("wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as packed:
        shutil.copyfileobj(file, packed, 1 << 20)
    path.unlink()
    return found


def read(path: Path, frame: Frame, index: int, members: slice = slice(None)) -> np.ndarray:
    """A slice (H, W), or (several, H, W), of a volume that was written; InputError for one of another shape.

    Args:
        path: of the file.
        frame: where images lie.
        index: of the slice.
        members: which of several volumes; no others are read.
    """
    with needed_for("NIfTI", "mri"):
        import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(path)
        if image.shape[:3] != frame.shape or len(image.shape) > 4:
            raise InputError(f"{path}: has the shape {image.shape}, expected {frame.shape}")
        place: list[Any] = [slice(None)] * len(image.shape)
        place[frame.axes.index(0)] = slice(index, index + 1)
        place[3:] = [members] * len(place[3:])
        return np.array(_slice_of(np.asarray(image.dataobj[tuple(place)]), frame, 0), order="C")
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: no NIfTI file, or a damaged one ({error})") from None
