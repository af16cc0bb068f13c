"""K-space in an `.npz`: the format of whoever has arrays in Python. See the table of the package for its arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float, Inexact

from ....config import nearest
from ....disk import arrays
from ....errors import InputError
from . import stored
from .base import Scan
from .geometry import centred

KEYS = ("kspace", "mask", "maps", "sigma", "voxel_size", "affine", "truth", "noise")


def open_npz(path: Path, *, readout: int | None = None) -> Scan:
    """The k-space of an `.npz`.

    What `numpy.savez` writes is read slice by slice, what `numpy.savez_compressed` writes is unpacked, up to 2 GB.

    Args:
        path: of the file.
        readout: size along W of the image without oversampling; None: it is not oversampled.

    Raises:
        InputError: no such file; an array that is missing, of a wrong kind or shape, or holds pickles.
    """
    found = stored.store(path)
    names = found.names()
    if "kspace" not in names:
        raise stored.absent(names, "kspace", path, f"an .npz with 'kspace', and possibly {', '.join(KEYS[1:])}")
    given = stored.require(found, "kspace", "c", (2, 3, 4))
    slices, coils, h, w = (1,) * (4 - len(given)) + given
    shape = (slices, coils, h, w)
    size = (h, _readout(readout, w, path))

    def read(number: int) -> np.ndarray:
        values = stored.one(found, "kspace", number) if len(given) == 4 else stored.whole(found, "kspace")
        return stored.single(values.reshape(coils, h, w))

    def each(name: str, kinds: str, one: tuple[int, ...]) -> Callable[[int], np.ndarray]:
        """Of every slice, or the same for all."""
        sizes = stored.require(found, name, kinds, (len(one), len(one) + 1))
        if sizes not in (one, (slices, *one)):
            raise InputError(f"{path}: {name!r} has the shape {sizes}, expected {one} or {(slices, *one)}")
        if sizes == one:
            return lambda number: stored.finite(stored.whole(found, name), f"{path}: {name!r}")
        return lambda number: stored.finite(stored.one(found, name, number), f"{path}: {name!r}, slice {number}")

    optional: dict[str, Any] = {}
    if "mask" in names:
        optional["mask"] = stored.masks(found, "mask", shape)
    if "maps" in names:
        optional["maps"] = each("maps", "c", (coils, h, w))
    if "truth" in names:
        optional |= {"truth": each("truth", "cf", size), "reference": "the image in the file"}
    if "noise" in names:
        optional["noise"] = _noise(found, coils)
    if "sigma" in names:
        optional["noise_std"] = _positive(found, "sigma", ())[()].item()
    return Scan(
        path, "npz", shape, read, _affine(found, size, slices), readout=readout, notes=_unused(names), **optional
    )


def _readout(readout: int | None, w: int, path: Path) -> int:
    if readout is not None and not 1 <= readout <= w:
        raise InputError(f"{path}: readout is {readout}, expected a number from 1 to {w}, the size of k-space along it")
    return readout or w


def _affine(found: stored.Store, size: tuple[int, int], slices: int) -> np.ndarray:
    """That of the file, or its voxel size in the axes of the array."""
    names = found.names()
    if "affine" in names and "voxel_size" in names:
        raise InputError(
            f"{found.path}: has both 'affine' and 'voxel_size', expected one, since the first has the second"
        )
    if "affine" in names:
        stored.require(found, "affine", "fi", (2,))
        affine = stored.whole(found, "affine").astype(np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-12:
            raise InputError(f"{found.path}: 'affine' is {affine.tolist()}, expected an invertible matrix of 4 by 4")
        return affine
    voxel = _positive(found, "voxel_size", (3,)) if "voxel_size" in names else np.ones(3)
    return centred(np.eye(3), voxel[::-1].astype(np.float64), (size[1], size[0], slices))


def _positive(found: stored.Store, name: str, shape: tuple[int, ...]) -> np.ndarray:
    where = f"{found.path}: {name!r}"
    given = tuple(found.array(name).shape)
    if given != shape:
        raise InputError(f"{where} has the shape {given}, expected {shape}")
    stored.require(found, name, "fiu", (len(shape),))
    values = np.asarray(stored.whole(found, name), np.float64)
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError(f"{where} is {values.tolist()}, expected positive numbers")
    return values


def _noise(found: stored.Store, coils: int) -> np.ndarray:
    given = stored.require(found, "noise", "c", (2,))
    if given[0] != coils:
        raise InputError(f"{found.path}: 'noise' has the shape {given}, expected ({coils}, samples) as there are coils")
    return stored.finite(stored.whole(found, "noise"), f"{found.path}: 'noise'")


def _unused(names: list[str]) -> tuple[str, ...]:
    return tuple(f"array {name!r} is not used{nearest(name, list(KEYS))}" for name in names if name not in KEYS)


def write_npz(
    path: str | Path,
    kspace: Complex[np.ndarray, "slices coils h w"],
    *,
    mask: Bool[np.ndarray, "*mask"] | None = None,
    maps: Complex[np.ndarray, "*maps"] | None = None,
    truth: Inexact[np.ndarray, "*truth"] | None = None,
    noise: Complex[np.ndarray, "coils samples"] | None = None,
    sigma: float | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    affine: Float[np.ndarray, "4 4"] | None = None,
) -> None:
    """Writes k-space as an `.npz` that `open_scan` reads; what is None is left out.

    Args:
        path: of the file.
        kspace: centred, H the phase encoding, W the readout, 0 where not measured.
        mask: (H,), (H, W) or (slices, H, W), True where measured.
        maps: coil maps, (coils, H, W) or (slices, coils, H, W).
        truth: the image, (H, W) or (slices, H, W).
        noise: a scan of noise alone.
        sigma: standard deviation of the real part of the noise, in the units of k-space.
        voxel_size: mm, along the slices, H, W.
        affine: instead of the voxel size, of an array (W, H, slices), RAS.
    """
    given = {key: value for key, value in locals().items() if key in KEYS and value is not None}
    arrays.write(Path(path), given)
