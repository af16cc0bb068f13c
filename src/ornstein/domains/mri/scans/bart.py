"""BART's pairs of files: `name.hdr` has the sizes as text, `name.cfl` the numbers, complex64, first index fastest.

Of BART's sixteen dimensions these may be longer than 1: 0 the readout, 1 the phase encoding, 2 the second phase
encoding, 3 coils, 4 sets of maps, 13 slices. K-space has either one slice or no second phase encoding. BART's transform
(`fft -u`) is centred and orthonormal, as here.

A file of coil maps beside it (`ecalib` writes one) is given by name, or found as `NAME_maps`, `NAME_sens`, `maps` or
`sens` in the same folder. Of several sets of maps (soft SENSE) the first is used, which is noted.
"""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Complex

from .... import files
from ....errors import InputError
from ....files import MB, write_atomic
from . import stored
from .base import Scan
from .geometry import centred

READ, PHASE1, PHASE2, COIL, MAPS, SLICE = 0, 1, 2, 3, 4, 13
NAMES = {READ: "readout", PHASE1: "phase encoding", PHASE2: "second phase encoding", COIL: "coils", MAPS: "maps"}
NAMES |= {5: "echoes", 10: "times", SLICE: "slices"}
BESIDE = ("{}_maps", "{}_sens", "maps", "sens")


def open_bart(
    path: Path,
    *,
    maps: str | Path | None = None,
    readout: int | None = None,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Scan:
    """The k-space of a pair of BART's files.

    Args:
        path: of the `.cfl` or the `.hdr`.
        maps: of the `.cfl` of coil maps; None: one beside it, by its name, if there is one.
        readout: size along W of the image without oversampling; None: it is not oversampled.
        voxel_size: mm, along the slices, H, W, which the files do not say.

    Raises:
        InputError: a file of the pair is missing; sizes that are none, or do not fit the length of the numbers; maps of
            another shape.
    """
    kspace = Mapped(path)
    kspace.require((READ, PHASE1, PHASE2, COIL, SLICE))
    kspace.require_2d()
    w, h, coils = (kspace.sizes[k] for k in (READ, PHASE1, COIL))
    shape = (kspace.sizes[SLICE], coils, h, w)
    if readout is not None and not 1 <= readout <= w:
        raise InputError(f"{path}: readout is {readout}, expected a number from 1 to {w}, the size of k-space along it")
    if not all(np.isfinite(size) and size > 0 for size in voxel_size):
        raise InputError(f"{path}: voxel_size is {voxel_size}, expected positive numbers of mm")
    optional, notes = _maps(kspace, maps)
    affine = centred(np.eye(3), np.array(voxel_size[::-1], float), (readout or w, h, shape[0]))
    note = "BART's files do not say where the patient lay: the affine has the voxel size only"
    return Scan(path, "bart", shape, kspace.slice, affine, readout=readout, notes=(note, *notes), **optional)


class Mapped:
    """A pair of BART's files, of which one slice at a time is read.

    Attributes:
        path: of the numbers.
        sizes: of the sixteen dimensions.
    """

    def __init__(self, path: Path) -> None:
        """path: of either file."""
        self.path, self.header = path.with_suffix(".cfl"), path.with_suffix(".hdr")
        self.sizes = _sizes(self.header)
        if not self.path.is_file():
            raise InputError(f"{self.path}: not found, expected the numbers of {self.header.name} beside it")
        found, wanted = self.path.stat().st_size, 8 * prod(self.sizes)
        if found != wanted:
            shape = " x ".join(map(str, self.sizes))
            raise InputError(
                f"{self.path}: {found} bytes, expected {wanted}, for {shape} complex numbers ({self.header.name})"
            )

    def require(self, dims: tuple[int, ...]) -> None:
        """InputError if another dimension than these is longer than 1."""
        for dim, size in enumerate(self.sizes):
            if size > 1 and dim not in dims:
                name = f" ({NAMES[dim]})" if dim in NAMES else ""
                raise InputError(
                    f"{self.header}: dimension {dim}{name} has the size {size}, expected 1; choose one by `bart slice`"
                )

    def require_2d(self) -> None:
        """InputError for three-dimensional k-space."""
        if self.sizes[PHASE2] > 1:
            raise InputError(
                f"{self.header}: dimension 2 (second phase encoding) has the size {self.sizes[PHASE2]}, expected 1 and "
                "slices: transform along it (`bart fft -i -u 4`) and move it to dimension 13 (`bart transpose 2 13`)"
            )

    def slice(self, number: int) -> Complex[np.ndarray, "coils h w"]:
        """A slice of k-space, or of the first set of maps.

        Args:
            number: of the slice.
        """
        mapped = np.memmap(self.path, "<c8", "r", shape=self.sizes, order="F")
        index = [slice(None) if dim in (READ, PHASE1, COIL) else 0 for dim in range(len(self.sizes))]
        index[SLICE] = number
        return np.ascontiguousarray(np.asarray(mapped[tuple(index)]).T)


def _sizes(path: Path) -> tuple[int, ...]:
    """The sizes in a header: the line behind "# Dimensions"."""
    lines = files.text(path, MB, "the header of a BART file, beside the .cfl").splitlines()
    places = [k for k, line in enumerate(lines) if line.strip() == "# Dimensions"]
    if not places or places[0] + 1 >= len(lines):
        raise InputError(f"{path}: has no line '# Dimensions' with sizes behind it, expected the header of a BART file")
    said = lines[places[0] + 1]
    words = said.split()
    if not 1 <= len(words) <= 16 or not all(
        w.isascii() and w.isdecimal() and 0 < len(w) < 10 and int(w) for w in words
    ):
        raise InputError(f"{path}: line {places[0] + 2} is {said[:80]!r}, expected up to 16 positive sizes")
    return tuple(map(int, words)) + (1,) * (16 - len(words))


def _maps(kspace: Mapped, given: str | Path | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The coil maps of each slice, if there are any, and what to note of them."""
    stem = kspace.path.stem
    beside = [kspace.path.with_name(f"{name.format(stem)}.cfl") for name in BESIDE if name.format(stem) != stem]
    path = Path(given) if given is not None else next((one for one in beside if one.is_file()), None)
    if path is None:
        return {}, ()
    maps = Mapped(path)
    maps.require((READ, PHASE1, COIL, MAPS, SLICE))
    for dim in (READ, PHASE1, COIL, SLICE):
        if maps.sizes[dim] != kspace.sizes[dim] and not (dim == SLICE and maps.sizes[dim] == 1):
            raise InputError(
                f"{maps.header}: dimension {dim} ({NAMES[dim]}) has the size {maps.sizes[dim]}, expected "
                f"{kspace.sizes[dim]}, as k-space has"
            )
    sets = (f"of {maps.sizes[MAPS]} sets of coil maps the first is used",) if maps.sizes[MAPS] > 1 else ()
    many = maps.sizes[SLICE] > 1

    def read(number: int) -> np.ndarray:
        return stored.finite(maps.slice(number if many else 0), f"{maps.path}: slice {number}")

    return {"maps": read}, (f"coil maps of {maps.path.name}", *sets)


def write_bart(
    path: str | Path,
    kspace: Complex[np.ndarray, "slices coils h w"],
    *,
    maps: Complex[np.ndarray, "slices coils h w"] | None = None,
) -> None:
    """Writes k-space as a pair of BART's files, and coil maps as `NAME_maps` beside them.

    Args:
        path: of the `.cfl`.
        kspace: centred, H the phase encoding, W the readout, 0 where not measured.
        maps: coil maps.
    """
    path = Path(path).with_suffix(".cfl")
    for name, values in ((path.stem, kspace), (f"{path.stem}_maps", maps)):
        if values is None:
            continue
        slices, coils, h, w = values.shape
        sizes = [w, h, 1, coils, *[1] * 9, slices, 1, 1]
        said = "# Dimensions\n" + " ".join(map(str, sizes)) + "\n"
        data = np.ascontiguousarray(values.astype("<c8"))  # slices slowest, readout fastest: just BART's order
        write_atomic(path.with_name(f"{name}.cfl"), lambda temporary, data=data: data.tofile(temporary))
        files.write_text(path.with_name(f"{name}.hdr"), said)
