"""From a slice of a scan to what a model is told of it.

    k-space of the file → readout without oversampling → coils of independent noise, fewer of them → maps
    → phase and brightness of the middle, put into the maps → lines held out

Coils are made independent, and k-space is divided by the noise (asked/noise.py), maps by their largest number: so units
are of no account, however large or small. With s and φ the brightness and the phase of the low-resolution image m, the
model's image is x = m φ̄/s, and the maps are those of x; a state times φ and times the brightness in the units of the
file is an image in these.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from ....errors import InputError
from ..coils.compress import compressed, without_oversampling
from ..coils.espirit import estimated
from ..coils.extended import extended
from ..coils.noise import Noise, mixed
from ..coils.seen import phase_and_scale_of
from ..scans.base import Measured, Scan
from ..scans.checks import centred
from ..scans.geometry import cropped, padded
from ..scans.stored import tensor
from ..trajectories.masks import acceleration_of, middle_of, whole_lines
from .flags import MriRequest
from .held import held_out
from .noise import mixing, noise_of, require_sensible
from .opened import maps_of, opened, read_by

KEPT = 2
"""Slices that are in memory at most."""
LEAST = 1e-30
"""The least brightness of an image, and the inverse of the largest: files of results are of single precision."""


@dataclass(frozen=True, eq=False)
class Slice:
    """What a model is told of a slice, and what it is judged by.

    Attributes:
        number: of the slice in its scan.
        kspace: centred, in units of the noise, 0 where not measured, of coils whose noise is independent.
        maps: of the model's image.
        mask: of what is reconstructed from.
        held: of what was measured, too, but is held out.
        phase: of the low-resolution image, of unit magnitude.
        scale: its brightness, in the units of the file; 0 of a slice of which nothing was measured but 0.
        unit: by which the image that k-space and maps without phase and brightness give is multiplied to be in the
            units of the file.
        truth: the image, as a state of the model, but for the phase that coil maps leave open: its magnitude counts.
            None if it is not known.
        notes: what a user should know of it.
    """

    number: int
    kspace: Complex[Tensor, "coils h w"]
    maps: Complex[Tensor, "coils h w"]
    mask: Bool[Tensor, "h w"]
    held: Bool[Tensor, "h w"]
    phase: Complex[Tensor, "h w"]
    scale: float
    unit: float
    truth: Float[Tensor, "2 h w"] | None = None
    notes: tuple[str, ...] = ()

    @property
    def std(self) -> float:
        """Of the noise: k-space is in its units."""
        return 1.0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to reconstruct."""
        return self.scale == 0


@dataclass(frozen=True, eq=False)
class Volume:
    """The slices that a request asks for, each prepared when it is looked at.

    Attributes:
        asked: the request.
        scan: that it names.
        numbers: of the slices, in the scan.
    """

    asked: MriRequest
    scan: Scan
    numbers: range
    _kept: "OrderedDict[int, Slice]" = field(default_factory=OrderedDict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Slice:
        """The slice `index` of those that are asked for."""
        if index not in self._kept:
            while len(self._kept) >= KEPT:
                self._kept.popitem(last=False)
            self._kept[index] = self._named(self.numbers[index])
        return self._kept[index]

    @cached_property
    def noise(self) -> Noise:
        """Of the whole scan; estimated from its middle slice that is not empty, where nobody says it."""
        return noise_of(self.asked, self.scan)

    @cached_property
    def middle(self) -> Measured:
        """A slice of the middle, for what is said of the scan as a whole."""
        return self.scan.slice(self.numbers[len(self.numbers) // 2])

    @property
    def crops_at_once(self) -> bool:
        """Whether the oversampling of the readout is taken away before anything else."""
        w, readout = self.scan.shape[3], self.scan.readout
        return readout is not None and readout < w and whole_lines(tensor(self.middle.mask)) == 0

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of the images that are drawn, which may be larger than those that are written (`Scan.size`)."""
        _, _, h, w = self.scan.shape
        return h, (self.scan.size[1] if self.crops_at_once else w)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What a manifest says of the scan, in JSON values."""
        mask = tensor(self.middle.mask)
        kept = self.asked.coils
        return {
            "format": self.scan.format,
            "slices": [self.numbers.start, self.numbers.stop, self.numbers.step],
            "size": list(self.scan.size),
            "grid": list(self.grid),
            "axes": list(self.scan.axes),
            "affine": self.scan.placed(self.numbers).tolist(),
            "voxel size": [round(size, 6) for size in self.scan.voxel_size],
            "coils": self.scan.shape[1] if kept is None else min(kept, self.scan.shape[1]),
            "acceleration": round(acceleration_of(mask), 3),
            "sigma": self.noise.std,
            "noise": self.noise.note,
            "oriented": self.scan.oriented,
        }

    # The pipeline -------------------------------------------------------------------------------------

    def _named(self, number: int) -> Slice:
        """A slice, or an InputError that says of which slice of which file it is."""
        try:
            return self._prepared(number)
        except InputError as error:
            if str(error).startswith(f"{self.scan.path}: "):
                raise
            raise InputError(f"{self.scan.path}: slice {number}: {error}") from None

    def _prepared(self, number: int) -> Slice:
        measured = self.scan.slice(number)
        mask, kspace = self._cropped(measured.mask, measured.kspace)
        if measured.air:
            return self._nothing(number, kspace, mask)
        centred(measured.kspace, measured.mask)
        white = mixed(mixing(self.noise), self._in_noise(kspace))
        require_sensible(self.noise, white)
        maps, largest, notes = self._maps(number, white, mask)
        if self.asked.coils is not None and self.asked.coils < len(white):
            fewer = compressed(white[:, *middle_of(mask)], self.asked.coils)
            white, maps, notes = mixed(fewer.matrix, white), mixed(fewer.matrix, maps), (*notes, fewer.note)
        held = held_out(mask, self.asked.hold_out, self.asked.choice, number)
        phase, bright = self._phase_and_scale(white, maps, mask & ~held)
        unit = self.noise.std / largest
        scale = self._in_units(bright * unit)
        return Slice(
            number=number,
            kspace=white,
            maps=maps * phase * bright,
            mask=mask & ~held,
            held=held,
            phase=phase,
            scale=scale,
            unit=unit,
            truth=self._truth(number, phase, scale),
            notes=(*measured.notes, *notes),
        )

    def _in_noise(self, kspace: Complex[Tensor, "coils h w"]) -> Complex[Tensor, "coils h w"]:
        """In units of the noise; in double precision, since the square of a number of some units is none in single."""
        return (kspace.to(torch.complex128) / self.noise.std).to(kspace.dtype)

    def _phase_and_scale(
        self, white: Tensor, maps: Tensor, mask: Bool[Tensor, "h w"]
    ) -> tuple[Complex[Tensor, "h w"], float]:
        phase, scale = phase_and_scale_of(white, maps, mask)
        if not float(scale) > 0:
            raise InputError("the middle of k-space is 0, expected a signal there")
        return phase, float(scale)

    @staticmethod
    def _in_units(scale: float) -> float:
        """A brightness in the units of the file; InputError if it is none that images can have."""
        if not LEAST <= scale <= 1 / LEAST:
            raise InputError(
                f"the image is {scale:.4g} bright, expected units of k-space (and of "
                f"coil maps) in which it is from {LEAST:g} to {1 / LEAST:g}"
            )
        return scale

    def _cropped(
        self, measured: Bool[np.ndarray, "h w"], values: Complex[np.ndarray, "coils h w"]
    ) -> tuple[Bool[Tensor, "h w"], Complex[Tensor, "coils h w"]]:
        """Mask and k-space, without the oversampling of the readout where every line is whole."""
        mask, kspace = tensor(measured), tensor(values)
        h, w = self.grid
        if (h, w) == tuple(kspace.shape[1:]):
            return mask, kspace
        try:
            lines = without_oversampling(kspace, mask, w)
        except InputError as error:
            raise InputError(f"{error}, but other slices were") from None
        return mask[:, :1].expand(h, w), lines * mask[:, :1]

    def _maps(
        self, number: int, white: Complex[Tensor, "coils h w"], mask: Bool[Tensor, "h w"]
    ) -> tuple[Complex[Tensor, "coils h w"], float, tuple[str, ...]]:
        """Of the independent coils: those that are given, made independent likewise, or estimated ones; by what they
        were divided."""
        given = maps_of(self.asked, self.scan, number)
        if given is not None:
            maps = tensor(cropped(given, self.grid))
            largest = float(maps.abs().max())
            if not largest > 0:
                raise InputError("the coil maps are 0 everywhere, expected maps of what the coils see")
            return extended(mixed(mixing(self.noise), maps / largest)), largest, ()
        if len(white) == 1:
            return torch.ones_like(white), 1.0, ("one coil: its map is taken for 1 everywhere",)
        where, waves = self._calibration(number, white, mask)
        rows, columns = middle_of(where)
        if self.asked.calibration is not None:
            rows, columns = (_inner(side, self.asked.calibration) for side in (rows, columns))
        found = estimated(waves[:, rows, columns], self.grid, noise=1.0)
        if not found.maps.any():
            raise InputError(f"nothing in the middle of k-space stands out from the noise, {self.noise.note}")
        return extended(found.maps), 1.0, tuple(found.notes)

    def _calibration(
        self, number: int, white: Complex[Tensor, "coils h w"], mask: Bool[Tensor, "h w"]
    ) -> tuple[Bool[Tensor, "h w"], Complex[Tensor, "coils h w"]]:
        """What coil maps are estimated from: lines that the scan has for nothing else, else those of the image."""
        lines = self.scan.calibration(number)
        if lines is None or not lines.any():
            return mask, white
        where, waves = self._cropped((lines != 0).any(0), lines)
        return where, mixed(mixing(self.noise), self._in_noise(waves))

    def _truth(self, number: int, phase: Tensor, scale: float) -> Float[Tensor, "2 h w"] | None:
        """As a state of the model, 0 outside of what is written."""
        found = self.scan.truth(number)
        if found is None:
            return None
        image = tensor(padded(found, self.grid))
        image = (image * phase.conj() if image.is_complex() else image.to(torch.complex64)) / scale
        return torch.stack([image.real, image.imag]).float()

    def _nothing(self, number: int, kspace: Tensor, mask: Tensor) -> Slice:
        """A slice of air, of which the image is 0."""
        none = torch.zeros_like(mask)
        phase, note = torch.ones(self.grid, dtype=torch.complex64), f"slice {number} is 0 in the file: its image is 0"
        truth = None if self.scan.truth(number) is None else torch.zeros(2, *self.grid)
        return Slice(number, kspace, kspace, mask, none, phase, 0.0, self.noise.std, truth, (note,))


def _inner(side: slice, most: int) -> slice:
    """The middle of a side."""
    middle = (side.start + side.stop) // 2
    start = max(side.start, middle - most // 2)
    return slice(start, min(side.stop, start + most))


# One volume at a time ---------------------------------------------------------------------------------


def volume(asked: MriRequest) -> Volume:
    """The volume of a request; the one that was asked for last is kept, with its last slices.

    Args:
        asked: a request with k-space.

    InputError for a file that is not what it must be, and for slices that it does not have.
    """
    assert asked.kspace is not None
    return _volume(asked, tuple(map(_stamp, read_by(asked))))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Of a file, another one when it has been written to; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=1)
def _volume(asked: MriRequest, stamps: tuple[tuple[int, int] | None, ...]) -> Volume:
    scan = opened(asked)
    return Volume(asked, scan, asked.chosen(len(scan)))
