"""The files that a request names: the scan, as it is to be seen, and coil maps beside it."""

from pathlib import Path

import numpy as np
from jaxtyping import Complex

from .... import arrays
from ....errors import InputError
from ....files import GB
from ..scans.bart import Mapped
from ..scans.base import Scan
from ..scans.opened import open_scan
from .flags import MriRequest

_READERS = ("readout", "repetition", "plane")
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
    return open_scan(asked.kspace, **said, **later)


def maps_of(asked: MriRequest, scan: Scan, number: int) -> Complex[np.ndarray, "coils h w"] | None:
    """Coil maps of a slice that somebody gives: the user, else the scan.

    Args:
        asked: the request.
        scan: that it names.
        number: of the slice.
    """
    if asked.maps is None:
        return scan.maps(number)
    found = _maps_in(asked.maps, number)
    if found.shape != scan.shape[1:]:
        raise InputError(f"--maps {asked.maps}: has the shape {found.shape}, expected {scan.shape[1:]}, as k-space has")
    if not np.isfinite(found).all():
        raise InputError(f"--maps {asked.maps}: slice {number} has numbers that are not finite")
    return found.astype(np.complex64)


def _maps_in(path: Path, number: int) -> Complex[np.ndarray, "coils h w"]:
    if path.suffix.lower() in (".cfl", ".hdr"):
        maps = Mapped(path)
        return maps.slice(number if maps.sizes[13] > 1 else 0)
    if path.suffix.lower() != ".npz":
        raise InputError(f"--maps {path}: expected a pair of BART's files (.cfl), or an .npz with the array 'maps'")
    found = arrays.members(path, 2 * GB, {"maps": "c"})["maps"]
    if found.ndim not in (3, 4) or (found.ndim == 4 and number >= len(found)):
        raise InputError(f"--maps {path}: 'maps' has the shape {found.shape}, expected ([slices,] coils, H, W)")
    return found if found.ndim == 3 else found[number]
