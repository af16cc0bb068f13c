"""K-space as an ISMRMRD file, for converting and for trying: one acquisition a line, and a noise scan before them."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Complex, Float

from ....errors import InputError, needed_for
from ....files import write_atomic
from . import header
from .acquisitions import HEAD, NOISE
from .geometry import LPS, centred, sizes

_DWELL = 5.0  # microseconds


def write_ismrmrd(
    path: str | Path,
    kspace: Complex[np.ndarray, "slices coils h w"],
    *,
    mask: Bool[np.ndarray, "h w"] | None = None,
    noise: Complex[np.ndarray, "coils samples"] | None = None,
    size: tuple[int, int] | None = None,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    affine: Float[np.ndarray, "4 4"] | None = None,
) -> None:
    """Writes k-space as an ISMRMRD file.

    Args:
        path: of the file.
        kspace: centred, H the phase encoding, W the readout, 0 where not measured.
        mask: what was measured, in each row from a column to another; None: found from the exact zeros of all slices.
        noise: a scan of noise alone.
        size: of the image (H, W), without oversampling; None: that of k-space.
        voxel_size: mm, along the slices, H, W.
        affine: instead of the voxel size, of the array (W, H, slices) of images of `size`, RAS, without shear.
    """
    with needed_for(f"{path}: writing HDF5", "mri"):
        import h5py

    slices, coils, h, w = kspace.shape
    p, q = size or (h, w)
    shape = (q, p, slices)
    place = centred(LPS, np.array(voxel_size[::-1]), shape) if affine is None else affine
    voxel = sizes(place)
    directions = LPS @ (place[:3, :3] / voxel)
    encoding = header.Encoding(
        header.Space((w, h, 1), (w * voxel[0], h * voxel[1], voxel[2])),
        header.Space((q, p, 1), (q * voxel[0], p * voxel[1], voxel[2])),
        header.Limits(0, h - 1, h // 2),
        *(None, "cartesian", ""),
    )
    measured = (kspace != 0).any((0, 1)) if mask is None else mask
    lines = [
        (number, row, *_ends(measured[row])) for number in range(slices) for row in np.flatnonzero(measured.any(1))
    ]
    heads = np.zeros(len(lines) + (noise is not None), HEAD)
    heads["version"], heads["sample_time_us"] = 1, _DWELL
    heads["available_channels"] = heads["active_channels"] = coils
    values: list[np.ndarray] = []
    if noise is not None:
        heads["flags"][0], heads["number_of_samples"][0] = 1 << (NOISE - 1), noise.shape[1]
        values.append(noise)
    for head, (number, row, begin, end) in zip(heads[len(values) :], lines, strict=True):
        head["number_of_samples"], head["center_sample"] = end - begin, w // 2 - begin
        head["idx"]["kspace_encode_step_1"], head["idx"]["slice"] = row, number
        head["position"] = LPS @ (place @ [q // 2, p // 2, number, 1])[:3]
        for name, direction in zip(("read_dir", "phase_dir", "slice_dir"), directions.T, strict=True):
            head[name] = direction
        values.append(kspace[number, :, row, begin:end])
    kind = np.dtype([("head", HEAD), ("traj", h5py.vlen_dtype(np.float32)), ("data", h5py.vlen_dtype(np.float32))])
    acquisitions = np.empty(len(heads), kind)
    for one, head, data in zip(acquisitions, heads, values, strict=True):
        one["head"], one["traj"] = head, np.zeros(0, np.float32)
        one["data"] = np.ascontiguousarray(data.astype(np.complex64)).view(np.float32).ravel()

    def write(temporary: Path) -> None:
        with h5py.File(temporary, "w", locking=False) as file:
            group = file.create_group("dataset")
            group.create_dataset("xml", data=[header.written(encoding)], dtype=h5py.string_dtype())
            group.create_dataset("data", data=acquisitions, dtype=kind, maxshape=(None,), chunks=(1,))

    write_atomic(Path(path), write)


def _ends(measured: Bool[np.ndarray, " w"]) -> tuple[int, int]:
    """The columns from which and up to which a line was measured."""
    columns = np.flatnonzero(measured)
    begin, end = int(columns[0]), int(columns[-1]) + 1
    if end - begin != len(columns):
        raise InputError(f"a line of {len(columns)} samples between columns {begin} and {end}, expected all in between")
    return begin, end
