"""What a user may say of a scan and of how it is reconstructed, in flags, and which of these go together."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from ....config import SEEDS, require_in, require_with
from ....errors import InputError

EXPECTED = "expected a number, such as 12, or some that rise, such as 10:20 or 10:20:2, counted from 0"


@dataclass(frozen=True)
class MriRequest:
    """What to draw.

    Attributes:
        kspace: the scan: a fastMRI or ISMRMRD file (.h5), a pair of BART's files (.cfl), an .npz of arrays, or a NIfTI
            image (.nii, .nii.gz), of which k-space is calculated. Nothing was measured if not given.
        slices: of the scan, such as 12, 10:20 or 10:20:2, counted from 0; all if not given.
        each: posterior samples of each slice; sample k is number k % each of slice k // each.
        readout: pixels along the readout without its oversampling, where the file does not say it (BART, .npz).
        repetition: of an ISMRMRD file with several, counted from 0.
        maps: a file of coil maps (BART's .cfl, or an .npz with the array "maps"); else those of the scan, else they are
            estimated from the middle of k-space (ESPIRiT).
        calibration: lines of the middle of k-space that coil maps are estimated from; all that are measured without a
            gap if not given.
        coils: to which many coils are compressed; all if not given.
        sigma: standard deviation of the noise of the real part of k-space, and of the imaginary part each, in the units
            of the file, the same and independent in all coils; estimated if not given.
        noise: an .npz with the array "noise" (coils, samples), a scan of noise alone, in the units of k-space.
        hold_out: share of the measured lines, never of the middle, that is not reconstructed from but judges the
            samples; 0 uses all.
        widen: a file of margins, as `python -m ornstein.domains.mri.results.widened fit` writes it: intervals widened
            by them are written beside the quantiles.
        acceleration: undersample k-space afterwards: of a scan that was measured whole, or of an image (NIfTI; 4 if not
            given).
        pattern: of what is kept then: random or equispaced lines, Poisson discs, radial spokes.
        centre: share of the middle that is kept whole then; 0.08, from an acceleration of 8 on 0.04, if not given.
        partial: share of the phase encodes beyond which nothing is kept then (partial Fourier), from 0.5 to 1.
        simulated_coils: of an image, how many are simulated; 8 if not given.
        simulated_sigma: of an image, standard deviation of the noise that is added, as a share of its largest
            magnitude; 0.01 if not given.
        plane: of an image, the slices that are taken of it.
        volume: of an image of four axes, which one, counted from 0.
        choice: seed of the lines that are held out and of all that is made up afterwards.
    """

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "the scan": ("kspace", "slices", "each", "readout", "repetition"),
        "coils and noise": ("maps", "calibration", "coils", "sigma", "noise"),
        "what samples are judged by": ("hold_out", "choice", "widen"),
        "undersampling afterwards (retrospective)": (
            *("acceleration", "pattern", "centre", "partial", "simulated_coils", "simulated_sigma", "plane", "volume"),
        ),
    }

    kspace: Path | None = None
    slices: str = ""
    each: int = 8
    readout: int | None = None
    repetition: int | None = None
    maps: Path | None = None
    calibration: int | None = None
    coils: int | None = None
    sigma: float | None = None
    noise: Path | None = None
    hold_out: float = 0.03
    widen: Path | None = None
    acceleration: float | None = None
    pattern: Literal["random", "equispaced", "poisson", "radial"] | None = None
    centre: float | None = None
    partial: float | None = None
    simulated_coils: int | None = None
    simulated_sigma: float | None = None
    plane: Literal["axial", "coronal", "sagittal"] | None = None
    volume: int | None = None
    choice: int = 0

    def __post_init__(self) -> None:
        require_in(self, "--", {"each": "[1, 1e6]", "readout": "[1, 1e5]", "repetition": "[0, 1e6]"})
        require_in(self, "--", {"calibration": "[4, 1e5]", "coils": "[1, 1024]", "sigma": "(0, 1e30]"})
        require_in(self, "--", {"hold_out": "[0, 0.5]", "acceleration": "[1, 1e4]", "centre": "[0, 1]"})
        require_in(self, "--", {"partial": "(0.5, 1]", "simulated_coils": "[1, 1024]", "simulated_sigma": "(0, 1e6]"})
        require_in(self, "--", {"choice": SEEDS, "volume": "[0, 1e6]"})
        if self.kspace is None and self.said:
            raise InputError(f"{flag(self.said[0])} is for --kspace: give it, too")
        if self.sigma is not None and self.noise is not None:
            raise InputError("--sigma and --noise both say what the noise is, expected one of them")
        if self.maps is not None and self.calibration is not None:
            raise InputError("--calibration is for maps that are estimated, but --maps gives them")
        if not self.is_image:
            require_with(self, "--", dict.fromkeys(("pattern", "centre"), ("acceleration",)))
            for name in ("simulated_coils", "simulated_sigma", "plane", "volume"):
                if getattr(self, name) is not None:
                    raise InputError(f"{flag(name)} is for --kspace of an image (.nii, .nii.gz), found {self.kspace}")
        self._words()

    @property
    def said(self) -> list[str]:
        """The names of the flags that were given."""
        return [one.name for one in fields(self) if getattr(self, one.name) != one.default]

    @property
    def is_image(self) -> bool:
        """Whether k-space is calculated from an image."""
        return self.kspace is not None and self.kspace.name.lower().endswith((".nii", ".nii.gz"))

    @property
    def retrospective(self) -> dict[str, Any]:
        """What was said of undersampling afterwards, by the names that `scans.Retrospective` has."""
        names = {"partial": "share", "simulated_coils": "coils", "simulated_sigma": "sigma"}
        said = {
            names.get(name, name): getattr(self, name)
            for name in ("acceleration", "pattern", "centre", "partial", "simulated_coils", "simulated_sigma")
        }
        return {name: value for name, value in said.items() if value is not None}

    def chosen(self, count: int) -> range:
        """The slices that were asked for.

        Args:
            count: of the scan.
        """
        start, stop, step = self._words()
        stop = count if stop is None else stop
        if not start < stop <= count:
            raise InputError(f"--slices is {self.slices!r}, but the scan has {count}, counted from 0")
        return range(start, stop, step)

    def _words(self) -> tuple[int, int | None, int]:
        """First, end (None: the scan's) and step of the slices, without a look at the scan."""
        words = self.slices.split(":")
        if len(words) > 3 or not all(word == "" or (word.isascii() and word.isdecimal()) for word in words):
            raise InputError(f"--slices is {self.slices!r}, {EXPECTED}")
        start, stop, step = (int(word) if word else None for word in [*words, "", ""][:3])
        if len(words) == 1 and start is not None:
            stop = start + 1
        if step == 0 or (stop is not None and stop <= (start or 0)):
            raise InputError(f"--slices is {self.slices!r}, {EXPECTED}")
        return start or 0, stop, step or 1


def flag(name: str) -> str:
    """How a field of a request is said on the command line."""
    return f"--{name}".replace("_", "-")
