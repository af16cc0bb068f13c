"""The files that a request names: the scan, as it is to be seen, and coil maps beside it."""

from pathlib import Path

import numpy as np
from jaxtyping import Complex

from ....disk import arrays
from ....errors import InputError
from ....files import GB
from ..scans.bart import BESIDE, SLICE, Mapped
from ..scans.base import Scan
from ..scans.connected import connected
from ..scans.opened import open_scan
from ..scans.stored import finite
from .flags import MriRequest

_READERS = ("readout", "repetition", "plane", "volume")
"""Flags that are the settings of a reader, which refuses those that it does not have."""


def opened(asked: MriRequest) -> Scan:
    """The scan of a request, undersampled if it says so.

    Args:
        asked: a request with k-space.
    """
    assert asked.kspace is not None
    said = {name: getattr(asked, name) for name in _READERS if getattr(asked, name) is not None}
    later = asked.retrospective
    if later or asked.is_image:
        later["seed"] = asked.choice
    if not asked.is_image and "share" in later:
        later.setdefault("acceleration", 1.0)  # nothing but what lies beyond is left out
    scan = open_scan(asked.kspace, **said, **later)
    return scan if asked.is_image or scan.trajectory(0) is not None else connected(scan)


def read_by(asked: MriRequest) -> list[Path]:
    """The files that a request may read, there or not.

    Args:
        asked: a request with k-space.
    """
    assert asked.kspace is not None
    named = [path for path in (asked.kspace, asked.maps, asked.noise) if path is not None]
    beside = [asked.kspace.with_name(name.format(asked.kspace.stem)) for name in BESIDE]
    pairs = [path.with_suffix(suffix) for path in (*named, *beside) for suffix in (".cfl", ".hdr")]
    return [*named, *pairs]


def maps_of(asked: MriRequest, scan: Scan, number: int) -> Complex[np.ndarray, "coils h w"] | None:
    """Coil maps of a slice that somebody gives: the user, else the scan.

    Args:
        asked: the request.
        scan: that it names.
        number: of the slice.
    """
    if asked.maps is None:
        return scan.maps(number)
    found = _maps_in(asked.maps, number, len(scan))
    if found.shape != scan.stored:
        raise InputError(f"--maps {asked.maps}: has the shape {found.shape}, expected {scan.stored}, as k-space has")
    found = finite(found, f"--maps {asked.maps}: slice {number}")
    return found if scan.heard is None else found[scan.heard]


def _maps_in(path: Path, number: int, slices: int) -> Complex[np.ndarray, "coils h w"]:
    if path.suffix.lower() in (".cfl", ".hdr"):
        maps = Mapped(path)
        if maps.sizes[SLICE] not in (1, slices):
            raise InputError(f"--maps {path}: has {maps.sizes[SLICE]} slices, expected 1 or {slices}, as k-space has")
        return maps.slice(number if maps.sizes[SLICE] > 1 else 0)
    if path.suffix.lower() != ".npz":
        raise InputError(f"--maps {path}: expected a pair of BART's files (.cfl), or an .npz with the array 'maps'")
    found = arrays.members(path, 2 * GB, {"maps": "c"})["maps"]
    if found.ndim not in (3, 4) or (found.ndim == 4 and len(found) != slices):
        raise InputError(
            f"--maps {path}: 'maps' has the shape {found.shape}, expected (coils, H, W) or these of {slices} slices"
        )
    return found if found.ndim == 3 else found[number]
