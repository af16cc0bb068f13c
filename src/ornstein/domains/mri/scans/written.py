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

    slices, _, *grid = kspace.shape
    p, q = size or grid
    place = centred(LPS, np.array(voxel_size[::-1]), (q, p, slices)) if affine is None else affine
    xml = header.written(_encoding((grid[0], grid[1]), (p, q), sizes(place)))
    heads, values = _lines(kspace, mask, noise)
    _place(heads[int(noise is not None) :], place, (p, q))
    kind = np.dtype([("head", HEAD), ("traj", h5py.vlen_dtype(np.float32)), ("data", h5py.vlen_dtype(np.float32))])
    acquisitions = np.empty(len(heads), kind)
    for one, head, data in zip(acquisitions, heads, values, strict=True):
        one["head"], one["traj"] = head, np.zeros(0, np.float32)
        one["data"] = np.ascontiguousarray(data.astype(np.complex64)).view(np.float32).ravel()

    def write(temporary: Path) -> None:
        with h5py.File(temporary, "w", locking=False) as file:
            group = file.create_group("dataset")
            group.create_dataset("xml", data=[xml], dtype=h5py.string_dtype())
            group.create_dataset("data", data=acquisitions, dtype=kind, maxshape=(None,), chunks=(1,))

    write_atomic(Path(path), write)


def _encoding(grid: tuple[int, int], size: tuple[int, int], voxel: Float[np.ndarray, " 3"]) -> header.Encoding:
    """Of k-space (H, W), of which images of `size` are wanted; voxels along W, H and the slices, mm."""
    encoded, recon = (header.Space((w, h, 1), (w * voxel[0], h * voxel[1], voxel[2])) for h, w in (grid, size))
    return header.Encoding(encoded, recon, header.Limits(0, grid[0] - 1, grid[0] // 2), None, "cartesian", "")


def _lines(
    kspace: Complex[np.ndarray, "slices coils h w"],
    mask: Bool[np.ndarray, "h w"] | None,
    noise: Complex[np.ndarray, "coils samples"] | None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Headers and numbers of the noise scan, if there is one, and of each measured line; not yet where they lie."""
    slices, coils, _, w = kspace.shape
    measured = (kspace != 0).any((0, 1)) if mask is None else mask
    rows = [(number, row) for number in range(slices) for row in np.flatnonzero(measured.any(1))]
    heads = np.zeros(len(rows) + (noise is not None), HEAD)
    heads["version"], heads["sample_time_us"] = 1, _DWELL
    heads["available_channels"] = heads["active_channels"] = coils
    values: list[np.ndarray] = []
    if noise is not None:
        heads["flags"][0], heads["number_of_samples"][0] = 1 << (NOISE - 1), noise.shape[1]
        values.append(noise)
    for head, (number, row) in zip(heads[len(values) :], rows, strict=True):
        begin, end = _ends(measured[row])
        head["number_of_samples"], head["center_sample"] = end - begin, w // 2 - begin
        head["idx"]["kspace_encode_step_1"], head["idx"]["slice"] = row, number
        values.append(kspace[number, :, row, begin:end])
    return heads, values


def _place(heads: np.ndarray, affine: Float[np.ndarray, "4 4"], size: tuple[int, int]) -> None:
    """Says of lines where the middle of their slice lies, and along what; LPS, mm."""
    directions = LPS @ (affine[:3, :3] / sizes(affine))
    for head in heads:
        head["position"] = LPS @ (affine @ [size[1] // 2, size[0] // 2, head["idx"]["slice"], 1])[:3]
        for name, direction in zip(("read_dir", "phase_dir", "slice_dir"), directions.T, strict=True):
            head[name] = direction


def _ends(measured: Bool[np.ndarray, " w"]) -> tuple[int, int]:
    """The columns from which and up to which a line was measured."""
    columns = np.flatnonzero(measured)
    begin, end = int(columns[0]), int(columns[-1]) + 1
    if end - begin != len(columns):
        raise InputError(f"a line of {len(columns)} samples between columns {begin} and {end}, expected all in between")
    return begin, end
