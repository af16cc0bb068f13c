"""Power spectra of fields, and whether members have the truth's power at every scale.

With the discrete Fourier transform F of n points, Σ |F|²/n² is the mean square of the field: power is in its units,
squared, and what is summed over a band is the variance in that band. A field without periodic borders is tapered by a
Hann window, divided by the window's mean square. Missing points are a window too: what is there keeps its value about
the mean, what is not is 0. Truth and members go through the same window, so that their ratio is fair.

A smooth forecast (a mean, an L2 regression) lacks power at small scales; a noisy one has too much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num

from ..errors import InputError
from .ensembles import BLOCK, Ensemble, latitude_weights, real, shaped
from .estimates import Estimate, ratio


@dataclass(frozen=True, eq=False)
class Radial:
    """The isotropic spectrum of the last two axes: power by |k|, in rings.

    Attributes:
        spacing: of the grid's points along these axes, in any unit: k is in cycles per this unit. None: k in cycles per
            the longer side of the field, so that the rings are 1, 2, 3, …
        window: "none", or "hann" for borders that are not periodic; one for both axes or a pair.
    """

    spacing: tuple[float, float] | None = None
    window: Any = "none"

    axes = 2

    def wavenumbers(self, shape: tuple[int, ...]) -> Float[np.ndarray, " rings"]:
        """The middles of the rings, without k = 0; a ring without a coefficient has no power."""
        rings, width = self._rings(shape)
        return np.arange(1, rings.max() + 1) * width

    def __call__(
        self, fields: Num[np.ndarray, "*batch y x"], there: Bool[np.ndarray, "*#batch y x"] | None = None
    ) -> Float[np.ndarray, "*batch rings"]:
        """The power of each ring, in squared units of the field.

        Args:
            fields: to transform.
            there: where they have data; None: everywhere.
        """
        window = _window(self.window, 2, fields.shape[-2:])
        windowed = _about_mean(fields, window, there, (-2, -1))
        width = fields.shape[-1]
        power = np.abs(np.fft.rfft2(windowed)) ** 2 * (_twice(width) / (fields.shape[-2] * width) ** 2)
        rings = self._rings(fields.shape[-2:])[0].ravel()
        order, count = np.argsort(rings, kind="stable"), np.bincount(rings)
        starts = np.cumsum(count)[:-1]  # ring 0 is the mean
        summed = np.add.reduceat(power.reshape(-1, rings.size)[:, order], starts, axis=1)
        return np.where(count[1:] > 0, summed, 0.0).reshape(*fields.shape[:-2], -1)

    def _rings(self, shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
        """The number of the ring of each coefficient, and the rings' width: one cycle per the longer side."""
        (height, width), spacing = shape[-2:], self.spacing or (1 / max(shape[-2:]),) * 2
        k = np.hypot(np.fft.fftfreq(height, spacing[0])[:, None], np.fft.rfftfreq(width, spacing[1]))
        step = 1 / max(height * spacing[0], width * spacing[1])
        return np.rint(k / step).astype(int), step


@dataclass(frozen=True, eq=False)
class Along:
    """The spectrum along the last axis, a mean over the one before it (if there is one).

    Attributes:
        spacing: of the points, in any unit: k is in cycles per this unit. None: k in cycles per length of the axis.
        window: "none", or "hann" if the axis is not periodic.
        weights: of the rows in the mean, (rows,); None: all alike.
        two: whether there is an axis of rows.
    """

    spacing: float | None = None
    window: Any = "none"
    weights: Float[np.ndarray, " rows"] | None = None
    two: bool = True

    @classmethod
    def latitudes(cls, latitudes: Any) -> "Along":
        """Along circles of latitude of (…, latitude, longitude), weighted by their lengths; k is the zonal wavenumber.

        Args:
            latitudes: of the circles, degrees north.
        """
        return cls(weights=latitude_weights(latitudes)[:, 0])

    @property
    def axes(self) -> int:
        """How many of the last axes are used up."""
        return 2 if self.two else 1

    def wavenumbers(self, shape: tuple[int, ...]) -> Float[np.ndarray, " k"]:
        """Of the coefficients, without k = 0."""
        return np.fft.rfftfreq(shape[-1], self.spacing or 1 / shape[-1])[1:]

    def __call__(
        self, fields: Num[np.ndarray, "*batch x"], there: Bool[np.ndarray, "*#batch x"] | None = None
    ) -> Float[np.ndarray, "*batch_without_rows k"]:
        """The power at each k, in squared units of the field.

        Args:
            fields: to transform.
            there: where they have data; None: everywhere. A row without any does not count in the mean.
        """
        width = fields.shape[-1]
        windowed = _about_mean(fields, _window(self.window, 1, (width,)), there, (-1,))
        power = (np.abs(np.fft.rfft(windowed)) ** 2 * (_twice(width) / width**2))[..., 1:]
        if not self.two:
            return power
        weights = np.ones(fields.shape[-2]) if self.weights is None else np.asarray(self.weights, np.float64)
        if weights.shape != fields.shape[-2:-1]:
            raise InputError(f"weights: shape {weights.shape}, expected {fields.shape[-2]} rows")
        counted = weights if there is None else weights * there.any(-1)
        total = np.maximum(counted.sum(-1), np.finfo(float).tiny)
        return (power * counted[..., None]).sum(-2) / total[..., None]


Transform = Radial | Along


def _twice(width: int) -> np.ndarray:
    """How often each coefficient of a real transform stands in the full one."""
    times = np.full(width // 2 + 1, 2.0)
    times[0] = 1.0
    if width % 2 == 0:
        times[-1] = 1.0
    return times


def _window(kind: Any, axes: int, shape: tuple[int, ...]) -> np.ndarray:
    kinds = (kind,) * axes if isinstance(kind, str) else tuple(kind)
    if len(kinds) != axes or any(one not in ("none", "hann") for one in kinds):
        raise InputError(f"window: {kind!r}, expected 'none' or 'hann', one for all or one for each of {axes} axes")
    found = np.ones(shape)
    for axis, (one, n) in enumerate(zip(kinds, shape, strict=True)):
        if one == "hann":
            taper = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
            found = found * taper.reshape((-1,) + (1,) * (axes - 1 - axis))
    return found


def _about_mean(fields: np.ndarray, window: np.ndarray, there: np.ndarray | None, axes: tuple[int, ...]) -> np.ndarray:
    """Fields about their mean under the window, times the window, of its mean square."""
    if there is not None:
        fields, window = np.where(there, fields, 0.0), window * there
    fields = fields.astype(np.float64)
    total = np.maximum(window.sum(axes, keepdims=True), np.finfo(float).tiny)
    mean = (fields * window).sum(axes, keepdims=True) / total
    size = np.sqrt(np.maximum((window**2).mean(axes, keepdims=True), np.finfo(float).tiny))
    return (fields - mean) * (window / size)


def spectrum(
    fields: Any, transform: Transform = Radial()
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "*batch k"]]:
    """Wavenumbers, and the power of fields at them, in squared units of the field.

    Args:
        fields: (…, y, x), NaN where missing.
        transform: `Radial(...)` or `Along(...)`.
    """
    found = real(shaped(fields), "fields")
    _require_grid(found.shape, transform)
    missing = np.isnan(found)
    if missing.all() or np.isinf(found).any():
        raise InputError("fields: no values (NaN everywhere) or infinite ones, expected numbers")
    return transform.wavenumbers(found.shape), transform(found, ~missing if missing.any() else None)


def _require_grid(shape: tuple[int, ...], transform: Transform) -> None:
    if len(shape) < transform.axes or any(n < 2 for n in shape[len(shape) - transform.axes :]):
        raise InputError(
            f"fields: shape {shape}, expected at least 2 points along each of the last {transform.axes} axes"
        )


@dataclass(frozen=True, eq=False)
class Spectra:
    """Power of truths and members, case by case; axes of the field before the grid are averaged.

    Attributes:
        wavenumbers: (k,).
        truth: (cases, k), squared units of the field; NaN for a case without data.
        members: (cases, k), the mean over members.
        mean: (cases, k), of the members' mean: what is predictable.
        block: how many consecutive cases hang together.
    """

    wavenumbers: Float[np.ndarray, " k"]
    truth: Float[np.ndarray, "cases k"]
    members: Float[np.ndarray, "cases k"]
    mean: Float[np.ndarray, "cases k"]
    block: int = 1

    def ratio(self, low: float, high: float) -> Estimate:
        """Members' power over the truth's, of wavenumbers low ≤ k < high, with its error over cases; 1 if calibrated.

        InputError if no wavenumber lies there.
        """
        band = (self.wavenumbers >= low) & (self.wavenumbers < high)
        if not band.any():
            ends = f"{self.wavenumbers[0]:g} to {self.wavenumbers[-1]:g}"
            raise InputError(f"band: no wavenumber from {low:g} to below {high:g}, these are {ends}")
        name, meaning = f"power, k {low:g}–{high:g}", "members' power over the truth's at these scales"
        tops, bottoms = (np.nan_to_num(power[:, band].sum(1)) for power in (self.members, self.truth))
        return ratio(name, tops, bottoms, self.block, better="closer", meaning=meaning, reference=1.0)

    def ratios(self, bands: Sequence[tuple[float, float]]) -> list[Estimate]:
        """`ratio` of several bands (low, high)."""
        if not isinstance(bands, Sequence) or not all(isinstance(ends, Sequence) and len(ends) == 2 for ends in bands):
            raise InputError(f"bands: {bands!r}, expected a list of (low, high)")
        return [self.ratio(low, high) for low, high in bands]


def spectra(truths: Any, samples: Any, transform: Transform = Radial(), *, block: int = 1) -> Spectra:
    """The spectra of truths and of their members, through the same windows.

    Args:
        truths: (cases, …, y, x); NaN is missing.
        samples: (cases, members, …, y, x).
        transform: `Radial(...)`, `Along(...)` or `Along.latitudes(...)`.
        block: how many consecutive cases hang together.
    """
    ensemble = Ensemble.of(truths, samples)
    return spectra_of(powers(ensemble, transform), transform.wavenumbers(ensemble.shape), block)


def spectra_of(found: Float[np.ndarray, "3 cases k"], k: Float[np.ndarray, " k"], block: int) -> Spectra:
    """What `powers` found, at wavenumbers k; InputError if no case has data."""
    if np.isnan(found).all():
        raise InputError("truths, samples: no case has data (NaN everywhere)")
    return Spectra(k, found[0], found[1], found[2], block)


def powers(ensemble: Ensemble, transform: Transform) -> Float[np.ndarray, "3 cases k"]:
    """Of truths, of their members and of the members' mean, at the transform's wavenumbers; see `Spectra`."""
    _require_grid(ensemble.shape, transform)
    k = transform.wavenumbers(ensemble.shape)
    found = np.full((3, ensemble.cases, len(k)), np.nan)
    for whole in ensemble.whole():
        there = whole.counted > 0
        some = there.reshape(len(there), -1).any(1)
        power = _powers(whole.truth, whole.samples, transform, None if there.all() else there)
        found[:, whole.cases] = np.where(np.expand_dims(some, 1), power, np.nan)
    return found


def _powers(truth: np.ndarray, samples: np.ndarray, transform: Transform, there: np.ndarray | None) -> np.ndarray:
    """(3, cases, k): of truths, of members, some at a time, and of their mean; averaged over axes before the grid."""

    def power(fields: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        found = transform(fields, mask)
        return found.reshape(len(fields), -1, found.shape[-1]).mean(1)

    members = samples.shape[1]
    step, mask = max(1, BLOCK // truth.size), None if there is None else there[:, None]
    chunks = [samples[:, start : start + step] for start in range(0, members, step)]
    drawn = np.sum([power(chunk, mask) * (chunk.shape[1] / members) for chunk in chunks], 0)
    return np.array([power(truth, there), drawn, power(samples.mean(1, dtype=np.float64), there)])
