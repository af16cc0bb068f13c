"""How reconstructions are judged: by fastMRI's numbers, by whether their intervals hold the truth, in the brain.

With u the magnitude of the truth, v that of the reconstruction, and a maximum m (Zbontar et al. 2018, section 6; the
same numbers as its code, tests hold that):

    PSNR   10 log₁₀ (m² / mean (u − v)²)
    NMSE   ‖u − v‖² / ‖u‖²
    SSIM   mean over windows of 7 × 7 of
           (2 μ_u μ_v + (.01 m)²)(2 c_uv + (.03 m)²) / ((μ_u² + μ_v² + (.01 m)²)(σ_u² + σ_v² + (.03 m)²))

fastMRI takes for m the maximum of the *volume*, others that of the slice, which is smaller, and so is the PSNR: both
are told. A volume is all the slices that are judged together. The reconstruction is the magnitude of the mean of the
complex samples: that of a mean of magnitudes is larger in the air, where all that samples have is noise.

χ² is how well samples agree with the k-space that they were drawn from, and with lines of it that were held out; 1 is
expected, and no truth is needed. They are calculated while the scan is there (results/held_out.py) and kept with the
samples.

Coverage is of central intervals of the samples, at the levels that so many samples have, over the voxels of the brain
(`brain`). Neighbouring voxels err together: slices are what is independent, and standard errors are over them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from ... import calibration
from ...calibration.estimates import Estimate, ratio
from ...calibration.spool import Spool
from ...deferred import deferred
from ...errors import InputError
from ...tasks.figures import Metric

if TYPE_CHECKING:
    from scipy import ndimage
else:
    ndimage = deferred("scipy.ndimage")

DATA, HELD = "chi2 data", "chi2 held out"
"""Conditions of samples: of each sample; of its slice, the mean over lines. NaN where there is none."""
LEVELS = (0.5, 0.9)
"""Of the intervals whose coverage is told, or the nearest that so many samples have."""
WINDOW = 7
"""Side of the windows of SSIM."""
AIR, SKULL = 0.1, 0.35
"""Shares of the bright end of a slice up to which a voxel is air, and of its head up to which it is skull or fluid."""
_EMPTY = "brain: the mask is empty, expected voxels to judge"
PEEL = 0.015
"""The radius by which the brain is parted from scalp and eyes, in diameters of the head."""

Magnitudes = Float[np.ndarray, "slices h w"]


def magnitude(x: Num[Tensor, "*batch 2 h w"]) -> Float[np.ndarray, "*batch h w"]:
    """Of complex images as two channels.

    Args:
        x: real and imaginary part.
    """
    found = x.detach().cpu().double()
    return torch.hypot(found[..., 0, :, :], found[..., 1, :, :]).numpy()


class Against:
    """How far posterior samples of slices are off the truth, and whether they know it; slices come some at a time."""

    def __init__(self) -> None:
        """Of no slices yet."""
        self._accuracy, self._brain = Accuracy(), calibration.RunningCases()
        self._inside, self._spread = False, False

    def add(
        self,
        truth: Magnitudes,
        members: Num[np.ndarray, "slices members h w"],
        mask: Bool[np.ndarray, "slices h w"],
        mean: Magnitudes,
    ) -> None:
        """Takes in further slices of the same volume.

        Args:
            truth: magnitudes, in any unit.
            members: magnitudes of samples of each, in the same unit.
            mask: of the voxels whose intervals are judged.
            mean: magnitudes of the mean of the samples.
        """
        self._accuracy.add(truth, mean)
        if members.shape[1] > 1:
            self._brain.add(np.where(mask, truth, np.nan), members)
        self._inside = self._inside or bool(mask.any())
        self._spread = self._spread or bool((members != members[:, :1]).any())

    def metrics(self) -> list[Metric]:
        """Of all slices that came."""
        found = [metric_of(one) for one in self._accuracy.estimates()]
        if not self._spread:
            return found
        if not self._inside:
            raise InputError(_EMPTY)
        brain = self._brain
        coverage = brain.ranks().coverage()
        estimates = [brain.crps(), brain.spread_skill().ratio, *dict.fromkeys(map(coverage.near, LEVELS))]
        return found + [metric_of(replace(one, name=f"brain: {one.name}")) for one in estimates]


def against(
    truth: Magnitudes,
    members: Float[np.ndarray, "slices members h w"],
    mask: Bool[np.ndarray, "slices h w"] | None = None,
    mean: Magnitudes | None = None,
) -> list[Metric]:
    """How far posterior samples of slices are off the truth, and whether they know it.

    Args:
        truth: magnitudes of the slices of one volume, in any unit.
        members: magnitudes of samples of each, in the same unit.
        mask: of the voxels whose intervals are judged; None: the brain.
        mean: magnitudes of the mean of the complex samples; None: the mean of the magnitudes.
    """
    found = Against()
    found.add(truth, members, brains(truth) if mask is None else mask, members.mean(1) if mean is None else mean)
    return found.metrics()


def metric_of(estimate: Estimate) -> Metric:
    """What a table says of an estimate."""
    return Metric(**{name: value for name, value in estimate.metric.items() if value is not None})


# fastMRI's numbers ------------------------------------------------------------------------------------


def accuracy(truth: Magnitudes, found: Magnitudes) -> list[Estimate]:
    """fastMRI's numbers of a volume, by both maxima, with standard errors over slices.

    Args:
        truth: magnitudes of its slices, in any unit.
        found: those of the reconstruction, in the same unit.
    """
    all_slices = Accuracy()
    all_slices.add(truth, found)
    return all_slices.estimates()


class Accuracy:
    """fastMRI's numbers of a volume whose slices come some at a time.

    Its maximum is known in the end: slices are laid aside for the SSIM by it, in single precision.
    """

    def __init__(self) -> None:
        """Of no slices yet."""
        self._each: dict[str, list[np.ndarray]] = {}
        self._spool, self._shape = Spool(), (0, 0)

    def add(self, truth: Magnitudes, found: Magnitudes) -> None:
        """Takes in further slices; see `accuracy`."""
        own = truth.max((1, 2))
        each = {
            "own": own,
            "error": ((truth - found) ** 2).sum((1, 2)),
            "square": (truth**2).sum((1, 2)),
            "psnr": psnr(truth, found),
            "ssim": ssim(truth, found, own),
        }
        for name, values in each.items():
            self._each.setdefault(name, []).append(values)
        self._shape = truth.shape[1:]
        self._spool.add(np.stack([truth, found], 1))

    def estimates(self) -> list[Estimate]:
        """Of all slices that came."""
        each = {name: np.concatenate(values) for name, values in self._each.items()}
        volume, error = float(each["own"].max()), each["error"]
        size = np.full(len(error), float(np.prod(self._shape)))
        slope = 10 / np.log(10)

        def mean(name: str, values: np.ndarray, meaning: str) -> Estimate:
            return ratio(name, values, np.ones(len(values)), better="higher", meaning=meaning)

        meaning = "dB of the volume, as fastMRI defines it"
        mse = ratio("PSNR, volume maximum", error, size, better="higher", meaning=meaning)
        safe = max(mse.value, 1e-300)
        by_volume = np.array([ssim(*self._slice(k), volume)[0] for k in range(len(error))])
        return [
            mean("PSNR, slice maximum", each["psnr"], "dB of a slice by its own maximum, mean over slices"),
            mse.mapped(lambda value: slope * np.log(volume**2 / max(value, 1e-300)), -slope / safe),
            mean("SSIM, slice maximum", each["ssim"], "structural similarity by each slice's own maximum"),
            mean("SSIM, volume maximum", by_volume, "structural similarity as fastMRI defines it"),
            ratio("NMSE", error, each["square"], meaning="squared error over squared truth, of the whole volume"),
        ]

    def _slice(self, index: int) -> tuple[Magnitudes, Magnitudes]:
        """Truth and reconstruction of a slice that was laid aside, (1, h, w) each."""
        size = 2 * int(np.prod(self._shape))
        both = self._spool.read(index * size, size).reshape(2, 1, *self._shape).astype(np.float64)
        return both[0], both[1]


def psnr(truth: Magnitudes, found: Magnitudes, maximum: Any = None) -> Float[np.ndarray, " slices"]:
    """The peak signal-to-noise ratio of each slice, dB.

    Args:
        truth: magnitudes, in any unit.
        found: those of the reconstruction, in the same unit.
        maximum: one or one a slice, in that unit; None: that of each slice of the truth.
    """
    top = truth.max((1, 2)) if maximum is None else np.asarray(maximum, np.float64)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(top**2 / ((truth - found) ** 2).mean((1, 2)))


def volume_psnr(truth: Magnitudes, found: Magnitudes, maximum: float | None = None) -> float:
    """The peak signal-to-noise ratio of a volume as fastMRI defines it: the mean error of all voxels, dB.

    Args:
        truth: magnitudes of its slices, in any unit.
        found: those of the reconstruction, in the same unit.
        maximum: in that unit; None: that of the truth.
    """
    return float(psnr(truth.reshape(1, 1, -1), found.reshape(1, 1, -1), maximum)[0])


def nmse(truth: Magnitudes, found: Magnitudes) -> float:
    """The squared error over the squared truth, of all voxels.

    Args:
        truth: magnitudes, in any unit.
        found: those of the reconstruction, in the same unit.
    """
    return float(((truth - found) ** 2).sum() / (truth**2).sum())


def ssim(truth: Magnitudes, found: Magnitudes, maximum: Any = None) -> Float[np.ndarray, " slices"]:
    """The structural similarity of each slice, with uniform windows, as fastMRI and scikit-image have it.

    Args:
        truth: magnitudes, at least 7 × 7, in any unit.
        found: those of the reconstruction, in the same unit.
        maximum: one or one a slice, in that unit; None: that of each slice of the truth.
    """
    if min(truth.shape[1:]) < WINDOW:
        raise InputError(f"slices: {truth.shape[1:]} voxels, expected at least {WINDOW} along each axis")
    top = truth.max((1, 2)) if maximum is None else np.broadcast_to(np.asarray(maximum, np.float64), len(truth))
    one, two = ((share * top[:, None, None]) ** 2 for share in (0.01, 0.03))
    u, v = truth.astype(np.float64), found.astype(np.float64)
    mean_u, mean_v = _windowed(u), _windowed(v)
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    var_u = unbiased * (_windowed(u * u) - mean_u**2)
    var_v = unbiased * (_windowed(v * v) - mean_v**2)
    cov = unbiased * (_windowed(u * v) - mean_u * mean_v)
    alike = (2 * mean_u * mean_v + one) * (2 * cov + two)
    return (alike / ((mean_u**2 + mean_v**2 + one) * (var_u + var_v + two))).mean((1, 2))


def _windowed(values: Magnitudes) -> Float[np.ndarray, "slices inner_h inner_w"]:
    """Means over the windows that lie wholly inside."""
    inside = slice(WINDOW // 2, -(WINDOW // 2))
    means = ndimage.uniform_filter1d(ndimage.uniform_filter1d(values, WINDOW, 1), WINDOW, 2)
    return means[:, inside, inside]


# Whether samples know what they do not know -----------------------------------------------------------


def coverage(
    truth: Magnitudes,
    members: Float[np.ndarray, "slices members h w"],
    mask: Bool[np.ndarray, "slices h w"],
    levels: Sequence[float] | None = None,
) -> calibration.Coverage:
    """How often central intervals of the samples hold the truth: (M + 1 − 2k)/(M + 1) where M samples are right.

    Args:
        truth: magnitudes, in any unit.
        members: magnitudes of at least two samples of each slice, in the same unit.
        mask: of the voxels that are judged.
        levels: see `Ranks.coverage`.
    """
    return calibration.Ranks.of(masked(truth, mask), members).coverage(levels)


def masked(truth: Magnitudes, mask: Bool[np.ndarray, "slices h w"]) -> Magnitudes:
    """The truth, not known (NaN) outside the mask, which is how `ornstein.calibration` leaves voxels out.

    Args:
        truth: magnitudes.
        mask: of the voxels that are judged.
    """
    if not mask.any():
        raise InputError(_EMPTY)
    return np.where(mask, truth, np.nan)


# The brain --------------------------------------------------------------------------------------------


def brains(slices: Magnitudes) -> Bool[np.ndarray, "slices h w"]:
    """The brain in each slice, see `brain`.

    Args:
        slices: magnitudes, in any unit.
    """
    return np.stack([brain(one) for one in slices])


def brain(image: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The voxels of the brain, or of the whole head where no brain can be told from it.

    The head is the largest part brighter than air, with its holes. The brain is what is largest of its bright part
    once that is peeled, so that no bridge leads through the skull to scalp or eyes; grown back, closed, its holes
    (ventricles) filled. Made for axial slices weighted by T1, where the skull is dark; a brain of less than a fifth of
    its head is not believed.

    Args:
        image: magnitude of a slice, in any unit.
    """
    if not (image > 0).any():
        return np.zeros(image.shape, bool)
    head = _filled(_largest(image > AIR * np.quantile(image, 0.99)))
    bright = head & (image > SKULL * np.quantile(image[head], 0.95))
    radius = max(1, round(PEEL * 2 * np.sqrt(head.sum() / np.pi)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = np.hypot(y, x) < radius + 0.5
    core = ndimage.binary_dilation(_largest(ndimage.binary_erosion(bright, disc)), disc)
    rim = 3 * radius
    closed = ndimage.binary_closing(np.pad(core, rim), disc, iterations=2)
    found = _filled(closed)[rim:-rim, rim:-rim] & head
    return found if found.sum() > 0.2 * head.sum() else head


def _filled(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """With its holes."""
    return np.asarray(ndimage.binary_fill_holes(mask))


def _largest(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The largest connected part."""
    labels = np.empty(mask.shape, np.int32)
    if not ndimage.label(mask, output=labels):
        return mask
    sizes = np.bincount(labels.ravel())
    return labels == 1 + sizes[1:].argmax()
