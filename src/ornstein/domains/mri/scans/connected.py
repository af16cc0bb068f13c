"""Coils that were not connected: 0 throughout, in k-space of which other coils have numbers.

A receiver that is connected has noise. A coil that is exactly 0 tells nothing of the image, but taken for a measurement
it would say that the image is 0 wherever its map is not, and that the noise is smaller than it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ....errors import InputError
from .base import Measured, Scan


def outwards(scan: Scan) -> Iterator[Measured]:
    """Slices that are not all 0, from the middle outwards; InputError behind the last.

    Args:
        scan: on a grid.
    """
    for number in sorted(range(len(scan)), key=lambda number: abs(number - len(scan) // 2)):
        found = scan.slice(number)
        if not found.air:
            yield found
    raise InputError(f"{scan.path}: all slices are 0, expected k-space")


def connected(scan: Scan) -> Scan:
    """The scan without coils that are 0 throughout its middle slice, which a note names.

    Args:
        scan: on a grid.
    """
    one = next(outwards(scan))
    heard = one.kspace.any((1, 2))
    if heard.all():
        return scan

    def of(read: Callable[[int], np.ndarray | None]) -> Callable[[int], np.ndarray | None]:
        def some(number: int) -> np.ndarray | None:
            found = read(number)
            return None if found is None else found[heard]

        return some

    silent = ", ".join(map(str, np.flatnonzero(~heard)))
    note = f"coil {silent} (counted from 0) is 0 throughout slice {one.number}, as if not connected: left out"
    return replace(
        scan,
        shape=(scan.shape[0], int(heard.sum()), *scan.shape[2:]),
        read=of(scan.read),
        maps=of(scan.maps),
        calibration=of(scan.calibration),
        noise=None if scan.noise is None else scan.noise[heard],
        heard=heard,
        notes=(*scan.notes, note),
    )
