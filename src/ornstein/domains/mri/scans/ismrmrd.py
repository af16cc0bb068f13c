"""ISMRMRD files: acquisitions with headers, in HDF5 (Inati et al. 2017), as scanners' data are converted to.

A readout usually has twice the field of view; `Scan.readout` is the size without it, by the header's encoded and recon
spaces. Steps that were not made (partial Fourier) and samples that were not (asymmetric echoes) are not measured, by
the mask. Lines for calibration only become `Scan.calibration`; where the header says "embedded" they are lines of the
image too. Noise measurements become `Scan.noise`, scaled to the dwell time of the image. Position and directions, which
are LPS, become the affine. What the header says of patient, study and hospital is not looked at.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import InputError
from ....training.fields.stores import HDF5Store, Store, damaged
from . import header, stored
from .acquisitions import CALIBRATION, CALIBRATION_AND_IMAGING, CHOICES, Acquisitions, chosen, same, sorted_out
from .base import Scan
from .geometry import LPS, centred
from .placed import Grid, on_grid, slabs

_NOISE = 1_000_000  # samples of a noise scan, which say enough


def group_of(names: list[str]) -> str | None:
    """The group of an HDF5 file that has acquisitions and their header, "dataset" by habit; None if there is none.

    Args:
        names: of the arrays in the file.
    """
    groups = [name.removesuffix("/xml") for name in names if name.endswith("/xml")]
    return next((group for group in sorted(groups, key=lambda one: one != "dataset") if f"{group}/data" in names), None)


def open_ismrmrd(
    path: Path,
    *,
    encoding: int = 0,
    average: int | None = None,
    contrast: int | None = None,
    phase: int | None = None,
    repetition: int | None = None,
    set: int | None = None,
    slab: int | None = None,
) -> Scan:
    """The k-space of one image, or one volume, in an ISMRMRD file.

    Args:
        path: of the file.
        encoding: number of the encoding space.
        average, contrast, phase, repetition, set: which to take, where there are several.
        slab: which slice counter to take, where there are several volumes with a second phase encoding.

    Raises:
        InputError: no such file; no acquisitions, or no header; several images and no choice; a line that lies beside
            the grid, or was measured twice; echo-planar lines.
    """
    found = stored.store(path)
    group = group_of(found.names())
    if group is None or not isinstance(found, HDF5Store):
        raise stored.absent(found.names(), "dataset/data", path, "an ISMRMRD file with acquisitions and an XML header")
    how = _encoding(found, f"{group}/xml", encoding)
    lines, noise, notes = sorted_out(Acquisitions.of(found, f"{group}/data"), encoding)
    values = (average, contrast, phase, repetition, set)
    lines = chosen(lines, dict(zip(CHOICES, values, strict=True)))
    coils = same(lines, "active_channels", "coils")
    measured = {"noise": _noise(noise, lines, coils, notes)}
    if how.trajectory not in ("cartesian", "epi"):
        return _off_grid(path, lines, how, coils, measured, notes)
    grid, said = on_grid(lines, how, coils)
    notes += said
    separate = lines.flagged(CALIBRATION) & (how.calibration != "embedded")
    only = grid.of(~separate)
    if len(only.lines) == 0:
        raise InputError(f"{path}: all lines are for calibration, expected lines of an image")
    either = lines.flagged(CALIBRATION, CALIBRATION_AND_IMAGING)
    calibration = grid.of(either) if separate.any() else None
    if how.encoded.matrix[2] > 1:
        if calibration is not None:
            notes.append(f"{int(separate.sum())} calibration lines are not used")
        return _volume(path, only, how, slab, measured, notes)
    return _slices(path, only, calibration, how, measured, notes)


def _encoding(found: Store, name: str, number: int) -> header.Encoding:
    where = f"{found.path}: {name!r}"
    with damaged(where):
        text = np.ravel(found.array(name)[()])[0]
    if not isinstance(text, bytes | str):
        raise InputError(f"{where} holds {type(text).__name__}, expected the text of an XML header")
    spaces = header.encodings(text, where)
    if not 0 <= number < len(spaces):
        raise InputError(f"{where} describes no encoding {number}, expected a number from 0 to {len(spaces) - 1}")
    return spaces[number]


def _noise(noise: Acquisitions, lines: Acquisitions, coils: int, notes: list[str]) -> np.ndarray | None:
    """Of a noise scan, as it would be in the lines: its variance goes with the bandwidth, 1 / dwell time."""
    if not len(noise):
        return None
    if same(noise, "active_channels", "coils of noise") != coils:
        raise InputError(f"{noise.found.path}: the noise scan has other coils than the image, which has {coils}")
    kept, count = [], 0
    for k in range(len(noise)):
        kept.append(noise.samples(k))
        count += kept[-1].shape[1]
        if count >= _NOISE:
            break
    dwell, own = (float(one.heads["sample_time_us"][0]) for one in (lines, noise))
    ratio = np.sqrt(own / dwell) if own > 0 and dwell > 0 else 1.0
    notes.append(f"noise scan of {count} samples, scaled by {ratio:.3g} for dwell times of {own:g} and {dwell:g} µs")
    return stored.finite(np.concatenate(kept, 1) * np.float32(ratio), f"{noise.found.path}: noise scan")


# Kinds of scans ---------------------------------------------------------------------------------------


def _slices(
    path: Path, grid: Grid, calibration: Grid | None, how: header.Encoding, measured: dict[str, Any], notes: list[str]
) -> Scan:
    """Slices that were measured one by one."""
    numbers, moved = _in_order(grid.lines)
    parts = [grid.of(grid.lines.counter("slice") == number) for number in numbers]
    for number, one in zip(numbers, parts, strict=True):
        one.require_once(f"slice {number}")
    _, h, w = grid.shape
    rows, columns = how.size(h, w)
    affine, oriented, said = _affine(parts, how, (columns, rows, len(parts)))
    notes += moved
    if calibration is not None:
        measured |= {"calibration": _calibrating(calibration, numbers)}
        notes.append(f"{len(calibration.lines)} calibration lines are used for coil maps only")
    return Scan(
        *(path, "ismrmrd", (len(parts), grid.coils, h, w), lambda k: parts[k].kspace()[:, 0], affine),
        mask=lambda k: parts[k].mask()[0],
        readout=columns,
        phase_encodes=rows,
        oriented=oriented,
        notes=(*notes, *said),
        **measured,
    )


def _calibrating(calibration: Grid, numbers: np.ndarray) -> Callable[[int], np.ndarray | None]:
    def read(k: int) -> np.ndarray | None:
        some = calibration.of(calibration.lines.counter("slice") == numbers[k])
        return stored.finite(some.kspace()[:, 0], f"{some.lines.found.path}: slice {k}") if len(some.lines) else None

    return read


def _volume(
    path: Path, grid: Grid, how: header.Encoding, slab: int | None, measured: dict[str, Any], notes: list[str]
) -> Scan:
    """Slices of a volume with a second phase encoding."""
    there = np.unique(grid.lines.counter("slice")).tolist()
    if (slab is None and len(there) > 1) or (slab is not None and slab not in there):
        raise InputError(f"{path}: has the slabs {there}, expected the number of one as the setting 'slab', not {slab}")
    grid = grid.of(grid.lines.counter("slice") == (there[0] if slab is None else slab))
    grid.require_once("the volume")
    z, h, w = grid.shape
    rows, columns = how.size(h, w)
    partitions = min(z, max(1, round(how.recon.field[2] / how.encoded.voxel[2])))
    found = slabs(grid, partitions, columns)
    if found.along == "partitions":
        shape, axes, crop = (found.slices, grid.coils, h, w), (2, 1, 0), columns
    else:
        shape, axes, crop = (found.slices, grid.coils, h, z), (0, 1, 2), partitions
        notes.append("slices are perpendicular to the readout, since both phase encodings are undersampled")
    affine, oriented, said = _affine([grid], how, (columns, rows, partitions))
    return Scan(
        *(path, "ismrmrd", shape, found.read, affine),
        mask=lambda k: found.mask,
        readout=crop,
        phase_encodes=rows,
        axes=axes,
        oriented=oriented,
        notes=(*notes, *said),
        **measured,
    )


def _off_grid(
    path: Path, lines: Acquisitions, how: header.Encoding, coils: int, measured: dict[str, Any], notes: list[str]
) -> Scan:
    """Samples that do not lie on a grid, with their places."""
    if (lines.heads["trajectory_dimensions"] < 2).any():
        raise InputError(
            f"{path}: a {how.trajectory} trajectory whose places the file does not have, expected two or more"
        )
    w, h, z = how.encoded.matrix
    if z > 1:
        raise InputError(f"{path}: a {how.trajectory} trajectory in three dimensions, expected slices")
    numbers, moved = _in_order(lines)
    rows, columns = how.size(h, w)
    each = [lines[lines.counter("slice") == number] for number in numbers]

    def trajectory(k: int) -> tuple[np.ndarray, np.ndarray]:
        some = each[k]
        values = np.concatenate([some.samples(j) for j in range(len(some))], 1)
        places = np.concatenate([some.places(j)[:, :2] for j in range(len(some))])[:, ::-1]  # (x, y) as (H, W)
        where = f"{path}: slice {k}"
        relative = np.abs(places).max() <= 0.5 + 1e-3  # in cycles a voxel, as the format recommends
        scaled = places * np.array([h, w] if relative else [1, 1], np.float32)
        if (np.abs(stored.finite(scaled, f"{where}: trajectory")) > np.array([h, w]) / 2 + 1).any():
            raise InputError(f"{where}: its trajectory reaches beyond the encoded matrix of {w} by {h}")
        return stored.finite(values, where), scaled

    def read(k: int) -> np.ndarray:
        raise InputError(
            f"{path}: a {how.trajectory} trajectory, which is not on a grid; expected a Cartesian one (in Python, "
            "Scan.trajectory gives samples and places to trajectories.nufft.NonCartesian)"
        )

    affine, oriented, said = _affine(each, how, (columns, rows, len(numbers)))
    return Scan(
        *(path, "ismrmrd", (len(numbers), coils, h, w), read, affine),
        readout=columns,
        phase_encodes=rows,
        trajectory=trajectory,
        oriented=oriented,
        notes=(*notes, f"{how.trajectory} trajectory", *moved, *said),
        **measured,
    )


# Where it lies ----------------------------------------------------------------------------------------


def _in_order(lines: Acquisitions) -> tuple[np.ndarray, tuple[str, ...]]:
    """Counters of the slices from one side to the other; they may have been counted in the order of time."""
    numbers, first = np.unique(lines.counter("slice"), return_index=True)
    heads = lines.heads[first]
    along = heads["position"].astype(np.float64) @ heads["slice_dir"][0].astype(np.float64)
    order = np.argsort(along, kind="stable")
    if _even(along[:, None]) or not _even(along[order][:, None]):
        return numbers, ()
    return numbers[order], ("slices are in the order of their positions, not of their counter",)


def _even(places: np.ndarray) -> bool:
    """Whether positions (n, dims) follow one another at equal distances that are not 0."""
    steps = np.diff(places, axis=0)
    size = np.linalg.norm(steps.mean(0)) if len(steps) else 0.0
    return bool(size > 0 and np.allclose(steps, steps.mean(0), atol=0.05 * size))


def _affine(
    slices: list[Grid] | list[Acquisitions], how: header.Encoding, shape: tuple[int, int, int]
) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """Of the array (readout, phase encoding, slices): from index to RAS; whether directions are known; notes."""
    heads = [(one.lines if isinstance(one, Grid) else one).heads[0] for one in slices]
    voxel = np.array(how.encoded.voxel)
    directions = np.stack([heads[0][f"{name}_dir"] for name in ("read", "phase", "slice")], 1).astype(np.float64)
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-2):
        return centred(np.eye(3), voxel, shape), False, ("the file does not say how the patient lay",)
    positions = np.stack([head["position"] for head in heads]).astype(np.float64)
    notes: tuple[str, ...] = ()
    if len(slices) > 1:
        step = np.diff(positions, axis=0).mean(0)
        if _even(positions):
            voxel[2] = np.linalg.norm(step)
            directions[:, 2] = step / voxel[2]
        else:
            notes = ("slices are not evenly spaced: the affine has the first one's position and their thickness",)
    middle = positions[0] + directions[:, 2] * voxel[2] * (shape[2] // 2 if len(slices) > 1 else 0)
    return centred(LPS @ directions, voxel, shape, LPS @ middle), True, notes
