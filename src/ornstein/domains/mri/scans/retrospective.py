"""Scans that were measured whole, or are only images, undersampled afterwards: for trying, comparing and judging.

What is drawn is a function of the seed and the slice. Such a scan is easier than a measured one, above all where coils
are simulated and the image had been through a scanner's filters: its notes say so, and what is made of it should.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Complex

from ....errors import InputError
from ....keys import Keys
from ....values import is_number
from ..coils.simulate import simulate, simulate_maps, smooth_phase
from ..trajectories.masks import drawn
from ..words import RETROSPECTIVE
from .base import Scan
from .stored import tensor

SIMULATED = f"{RETROSPECTIVE}: k-space was calculated from an image, not measured"
LEFT_OUT = "retrospective: k-space was measured whole, and part of it is left out here"


@dataclass(frozen=True)
class Retrospective:
    """How k-space is undersampled afterwards.

    Attributes:
        acceleration: places over measured places; 1 = all are measured.
        pattern: "random", "equispaced", "poisson" or "radial"; see `trajectories.masks`.
        centre: share of the middle that is measured whole; None: what is usual for the acceleration.
        share: of the phase encodes beyond which nothing is measured (partial Fourier), from 0.5 to 1.
        seed: of the mask, and for images of coils, phase and noise.
        coils: of an image, how many are simulated; 1: one that sees all alike.
        sigma: of an image, standard deviation of the real part of the noise, as a share of the largest magnitude.
        phase: of an image of magnitude, standard deviation of a smooth phase that is put in, radian.
        known_maps: of an image, whether the simulated coil maps are given along; if not they must be estimated.
    """

    acceleration: float = 4.0
    pattern: str = "random"
    centre: float | None = None
    share: float = 1.0
    seed: int = 0
    coils: int = 8
    sigma: float = 0.01
    phase: float = 1.0
    known_maps: bool = False

    def __post_init__(self) -> None:
        for name in ("acceleration", "sigma", "phase"):
            value, least = getattr(self, name), 1 if name == "acceleration" else 0
            if not is_number(value) or value < least:
                raise InputError(f"{name} of a retrospective scan is {value!r}, expected a number from {least}")
        self.mask((16, 16), 0)  # which checks the others

    def mask(self, shape: tuple[int, int], number: int) -> Bool[np.ndarray, "h w"]:
        """What is measured of a slice.

        Args:
            shape: of k-space (H, W).
            number: of the slice.
        """
        if self.acceleration == 1 and self.share == 1:
            return np.ones(shape, bool)
        return drawn(self.pattern, shape, self.acceleration, self.centre, self.seed, number, self.share).numpy()

    def maps(self, shape: tuple[int, int]) -> Complex[np.ndarray, "coils h w"]:
        """Of the simulated coils, which are the same for all slices.

        Args:
            shape: of the image (H, W).
        """
        if self.coils == 1:
            return np.ones((1, *shape), np.complex64)
        return simulate_maps(shape, self.coils, Keys.of(self.seed, 1).fold("maps")).numpy()

    def phased(self, image: np.ndarray, number: int) -> Complex[np.ndarray, "h w"]:
        """An image with a smooth phase, if it has none of its own.

        Args:
            image: real or complex.
            number: of the slice.
        """
        if image.dtype.kind == "c" or not self.phase:
            return image.astype(np.complex64)
        keys = Keys.of(self.seed, range(number, number + 1))
        return (image * smooth_phase(image.shape, keys, self.phase)[0].numpy()).astype(np.complex64)

    def kspace(
        self,
        image: Complex[np.ndarray, "h w"],
        maps: Complex[np.ndarray, "coils h w"],
        mask: Bool[np.ndarray, "h w"],
        brightest: float,
        number: int,
    ) -> Complex[np.ndarray, "coils h w"]:
        """Of a slice, with noise, 0 where not measured.

        Args:
            image: of the slice.
            maps: of the coils.
            mask: of what is measured.
            brightest: the largest magnitude of the volume.
            number: of the slice.
        """
        one, coils, seen = map(tensor, (image[None], maps, mask))
        keys = Keys.of(self.seed, range(number, number + 1))
        return simulate(one, coils, seen, self.sigma * brightest, keys)[0].numpy()

    def __str__(self) -> str:
        part = "" if self.share == 1 else f", {self.share:g} of the phase encodes"
        return f"{self.pattern} sampling, {self.acceleration:g}-fold{part}, seed {self.seed}"


def undersampled(scan: Scan, how: Retrospective) -> Scan:
    """A scan of which less was measured; slices must have been measured whole but for zeros at the rim.

    Args:
        scan: measured k-space.
        how: it is undersampled.

    Raises:
        InputError: when a slice is read of which places that the new mask leaves out were not measured before.
    """
    shape = scan.shape[2:]

    @lru_cache(1)
    def mask(number: int) -> np.ndarray:
        measured = scan.slice(number).mask
        made = np.flatnonzero(measured.any(1))
        if len(made) and len(made) != made[-1] - made[0] + 1:
            raise InputError(f"{scan.path}: slice {number} is undersampled already, so it is not undersampled again")
        return measured & how.mask(shape, number)

    def read(number: int) -> np.ndarray:
        return scan.read(number) * mask(number)

    return replace(scan, read=read, mask=mask, notes=(*scan.notes, LEFT_OUT, str(how)))
