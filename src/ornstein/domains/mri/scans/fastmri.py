"""fastMRI's HDF5 files: raw k-space of knees and brains (Zbontar et al. 2018, arXiv 1811.08839; Knoll et al. 2020).

`kspace` is (slices, coils, readout, phase encoding), or without coils. The readout, its axis −2, is measured with
twice the field of view; the phase encoding, axis −1, is the one that is undersampled. Here H is the phase encoding and
W the readout, so slices are transposed as they are read, and `Scan.volume` gives (readout, phase encoding, slices): a
slice of it has the axes of `reconstruction_rss`. The Fourier transform is the same, centred and orthonormal, so the
images have the units of `reconstruction_rss`.

K-space is filled up with zeros to the encoded matrix, beyond the steps that were made: a mask of the test set counts
those columns too, though nothing was measured there. They are taken out of the mask by the limits in the header.

The attributes `patient_id`, `max` and `norm` are not read: the first is about a person, so it must not reach an output,
and the others are of the fully sampled reconstruction, which is not known where something is to be reconstructed.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float

from ....errors import InputError, needed_for
from ....files import write_atomic
from ....training.fields.stores import Store, damaged
from . import header, stored
from .base import Scan
from .geometry import centred

Shape = tuple[int, int, int, int]
REFERENCES = {
    "reconstruction_rss": "root sum of squares of the fully sampled coils (reconstruction_rss)",
    "reconstruction_esc": "magnitude of the fully sampled emulated coil (reconstruction_esc)",
}
KNOWN = ("kspace", "mask", "ismrmrd_header", *REFERENCES)


def open_fastmri(path: Path) -> Scan:
    """The k-space of a fastMRI file.

    Args:
        path: of the file.

    Raises:
        InputError: no such file; a dataset that is missing, or of a wrong kind or shape; a header that is none.
    """
    found = stored.store(path)
    names = found.names()
    if "kspace" not in names:
        raise stored.absent(names, "kspace", path, "a fastMRI file with 'kspace', 'ismrmrd_header' and possibly 'mask'")
    given = stored.require(found, "kspace", "c", (3, 4))
    slices, w, h = given[0], given[-2], given[-1]
    shape = (slices, given[1] if len(given) == 4 else 1, h, w)

    def read(number: int) -> np.ndarray:
        values = stored.one(found, "kspace", number)
        return stored.single(np.ascontiguousarray(values.reshape(shape[1], w, h).swapaxes(-1, -2)))

    encoding, notes = _header(found, shape)
    size, optional = encoding.size(h, w) if encoding else (h, w), {}
    reference = next((name for name in REFERENCES if name in names), None)
    if reference is not None:
        size = _truth_size(found, reference, shape)
        optional |= {"truth": _truth(found, reference), "reference": REFERENCES[reference]}
    if "mask" in names:
        optional["mask"] = _within(stored.masks(found, "mask", shape), encoding, shape)
    voxel = encoding.encoded.voxel if encoding else (1.0, 1.0, 1.0)
    affine = centred(np.eye(3), np.array(voxel), (size[1], size[0], slices))
    unused = tuple(f"dataset {name!r} is not used" for name in names if name not in KNOWN)
    return Scan(
        *(path, "fastmri", shape, read, affine),
        readout=size[1],
        phase_encodes=size[0],
        notes=(*notes, *unused),
        **optional,
    )


def _header(found: Store, shape: Shape) -> tuple[header.Encoding | None, tuple[str, ...]]:
    """The encoding, where the header describes the k-space of the file."""
    where = f"{found.path}: 'ismrmrd_header'"
    if "ismrmrd_header" not in found.names():
        return None, ("no ismrmrd_header: the voxel size is not known, and the readout is taken as not oversampled",)
    with damaged(where):
        text = found.array("ismrmrd_header")[()]
    if not isinstance(text, bytes | str):
        raise InputError(f"{where} holds {type(text).__name__}, expected the text of an XML header")
    encoding = header.encodings(text, where)[0]
    place = "where the patient lay is not in the file: the affine has the voxel size only"
    x, y, z = encoding.encoded.matrix
    said = f"the header describes k-space of {x} by {y}, the file has {shape[3]} by {shape[2]}"
    if x != shape[3]:
        return None, (f"{said}: voxel size and oversampling of the header are not used",)
    if y != shape[2]:  # filled up, or cut, to another resolution of the same field of view
        encoded = replace(encoding.encoded, matrix=(x, shape[2], z))
        return replace(encoding, encoded=encoded, lines=None), (
            place,
            f"{said}: the field of view is taken as the same",
        )
    return encoding, (place,)


def _within(
    masks: Callable[[int], np.ndarray], encoding: header.Encoding | None, shape: Shape
) -> Callable[[int], np.ndarray]:
    """The mask where phase encodes were made at all; beyond them k-space was filled up with zeros."""
    if encoding is None or encoding.lines is None:
        return masks
    first = shape[2] // 2 - encoding.lines.centre
    made = np.zeros((shape[2], 1), bool)
    made[max(first, 0) : max(first + encoding.lines.high + 1, 0)] = True
    return lambda number: masks(number) & made


def _truth_size(found: Store, name: str, shape: Shape) -> tuple[int, int]:
    given = stored.require(found, name, "f", (3,))
    if given[0] != shape[0] or given[2] > shape[2] or given[1] > shape[3]:
        raise InputError(
            f"{found.path}: {name!r} has the shape {given}, expected {shape[0]} slices of at most {shape[3]} by "
            f"{shape[2]}"
        )
    return given[2], given[1]


def _truth(found: Store, name: str) -> Callable[[int], np.ndarray]:
    return lambda number: stored.finite(stored.one(found, name, number).T, f"{found.path}: {name!r}, slice {number}")


def write_fastmri(
    path: str | Path,
    kspace: Complex[np.ndarray, "slices coils h w"],
    *,
    mask: Bool[np.ndarray, " h"] | None = None,
    truth: Float[np.ndarray, "slices p q"] | None = None,
    size: tuple[int, int] | None = None,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    acquisition: str = "",
) -> None:
    """Writes k-space as a fastMRI file, with its axes and a header; what is None is left out.

    Args:
        path: of the file.
        kspace: centred, H the phase encoding, W the readout, 0 where not measured.
        mask: of the phase encodes, True where measured.
        truth: root sum of squares of the fully sampled coils, of `size`.
        size: of the image (H, W), without oversampling; None: that of k-space.
        voxel_size: mm, along the slices, H, W.
        acquisition: name of the sequence, such as "AXT2".
    """
    with needed_for(f"{path}: writing HDF5", "mri"):
        import h5py

    h, w = kspace.shape[-2:]
    rows, columns = size or (h, w)
    thick, dy, dx = voxel_size
    encoding = header.Encoding(
        header.Space((w, h, 1), (w * dx, h * dy, thick)),
        header.Space((columns, rows, 1), (columns * dx, rows * dy, thick)),
        header.Limits(0, h - 1, h // 2),
        *(None, "cartesian", ""),
    )
    named: dict[str, Any] = {"kspace": np.ascontiguousarray(kspace.swapaxes(-1, -2).astype(np.complex64))}
    if mask is not None:
        named["mask"] = mask.astype(np.float32)
    if truth is not None:
        named["reconstruction_rss"] = np.ascontiguousarray(truth.swapaxes(-1, -2).astype(np.float32))

    def write(temporary: Path) -> None:
        with h5py.File(temporary, "w", locking=False) as file:
            file["ismrmrd_header"] = header.written(encoding)
            for name, values in named.items():
                file.create_dataset(name, data=values, chunks=(1, *values.shape[1:]) if values.ndim > 1 else None)
            if acquisition:
                file.attrs["acquisition"] = acquisition

    write_atomic(Path(path), write)
