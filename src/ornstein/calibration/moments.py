"""Members moved and spread about their mean, by factors from the first two moments: see recalibration.py."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from ..errors import InputError
from .ensembles import Ensemble, real, shaped
from .groups import Groups
from .ranks import Coverage, Ranks


@dataclass(frozen=True, eq=False)
class Moved:
    """x' = shift + scale x̄ + √(widen + add / s²) (x − x̄), s² the members' variance.

    Attributes:
        shift: in the units of the field, (*field).
        scale: of the mean, (*field).
        widen: of the variance, (*field).
        add: to the variance, in squared units of the field, (*field).
        without: groups that had no data, whose members stay as they are.
    """

    shift: Float[np.ndarray, "*field"]
    scale: Float[np.ndarray, "*field"]
    widen: Float[np.ndarray, "*field"]
    add: Float[np.ndarray, "*field"]
    without: int = 0

    def __call__(self, samples: Any) -> Float[np.ndarray, "*batch_members_field"]:
        """Recalibrated members.

        Args:
            samples: (members, *field) or (cases, members, *field); NaN stays NaN.
        """
        found = real(shaped(samples), "samples").astype(np.float64)
        axes = self.shift.ndim
        if found.ndim <= axes or found.shape[found.ndim - axes :] != self.shift.shape:
            expected = f"(cases, members, *field) with the field {self.shift.shape} that was fitted"
            raise InputError(f"samples: shape {found.shape}, expected {expected}")
        axis = -1 - axes
        mean = found.mean(axis, keepdims=True)
        off = found - mean
        factor = np.sqrt(self.widen)
        if self.add.any():
            variance = (off**2).sum(axis, keepdims=True) / max(1, found.shape[axis] - 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                factor = np.where(variance > 0, np.sqrt(self.widen + self.add / variance), 0.0)
        return self.shift + self.scale * mean + factor * off

    def coverage(self, ensemble: Ensemble, levels: Any, block: int) -> Coverage:
        """Of what it makes of an ensemble's members."""
        return Ranks.of(ensemble.truths, _Through(self, ensemble.samples), ensemble.weights).coverage(levels, block)

    @property
    def parameters(self) -> dict[str, Any]:
        """What was fitted, over the points of the field: smallest, mean and largest."""
        std = np.sqrt(self.widen), np.sqrt(self.add)
        every = {"shift": self.shift, "scale": self.scale, "factor": std[0], "added std": std[1]}
        return {name: [float(x.min()), float(x.mean()), float(x.max())] for name, x in every.items()}


@dataclass(frozen=True, eq=False)
class _Through:
    """Samples that are recalibrated where they are read."""

    move: Moved
    samples: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.samples.shape)

    def __getitem__(self, cases: slice) -> np.ndarray:
        return self.move(self.samples[cases])


@dataclass(frozen=True)
class Widening:
    """One factor a group of points on the members' distance from their mean; members keep their mean and patterns."""

    def fit(self, ensemble: Ensemble, groups: Groups, levels: Any) -> Moved:
        """The factor that makes the spread as large as the error of the mean; InputError where members are all equal.

        Args:
            ensemble: to fit on.
            groups: of points that share a factor.
            levels: are not asked.
        """
        weight, variance, square = np.zeros((3, groups.count))
        for piece in ensemble.pieces():
            found = piece.samples.var(1, ddof=1) * (ensemble.members + 1) / ensemble.members
            weight += groups.sums(piece.counted, piece.points)
            variance += groups.sums(piece.counted * found, piece.points)
            square += groups.sums(piece.counted * (piece.truth - piece.samples.mean(1)) ** 2, piece.points)
        _require_spread(variance, square, groups)
        zero, one = (groups.of_points(np.full(groups.count, value)) for value in (0.0, 1.0))
        factor = np.divide(square, variance, out=np.ones(groups.count), where=variance > 0)
        return Moved(zero, one, groups.of_points(factor), zero, int((weight == 0).sum()))


@dataclass(frozen=True)
class MemberByMember:
    """A line for the mean, and a line for the variance of the members about it (Van Schaeybroeck & Vannitsem 2015)."""

    def fit(self, ensemble: Ensemble, groups: Groups, levels: Any) -> Moved:
        """By least squares: truths on means, then squared residuals on variances; InputError with too few cases.

        Args:
            ensemble: to fit on.
            groups: of points that share the four numbers.
            levels: are not asked.
        """
        shift, scale, weight, count = self._mean(ensemble, groups)
        few = np.flatnonzero((count > 0) & (count < 5))
        if len(few):
            raise InputError(
                f"truths: {int(count[few[0]])} values in group {few[0]}, expected at least 5 to fit 4 numbers"
            )
        sums = np.zeros((4, groups.count))  # of residuals² and variances: r, rv, v, vv
        for piece in ensemble.pieces():
            mean, variance = piece.samples.mean(1), piece.samples.var(1, ddof=1)
            labels = groups.labels[piece.points]
            residual = (piece.truth - shift[labels] - scale[labels] * mean) ** 2
            for k, values in enumerate((residual, residual * variance, variance, variance**2)):
                sums[k] += groups.sums(piece.counted * values, piece.points)
        _require_spread(sums[2], sums[0], groups)
        unbiased = count / np.maximum(count - 2, 1) * ensemble.members / (ensemble.members + 1)
        widen, add = _line(sums[0] * unbiased, sums[1] * unbiased, sums[2], sums[3], weight)
        shift, scale, widen, add = (groups.of_points(values) for values in (shift, scale, widen, add))
        return Moved(shift, scale, widen, add, int((weight == 0).sum()))

    def _mean(self, ensemble: Ensemble, groups: Groups) -> tuple[np.ndarray, ...]:
        """Shift and scale of each group, its weight, and how many values it has."""
        sums = np.zeros((6, groups.count))  # 1, x, y, xx, xy, number
        for piece in ensemble.pieces():
            x, y = piece.samples.mean(1), piece.truth
            for k, values in enumerate((1.0, x, y, x**2, x * y)):
                sums[k] += groups.sums(piece.counted * values, piece.points)
            sums[5] += groups.sums(piece.there * 1.0, piece.points)
        weight, x, y, xx, xy, count = sums
        safe = np.where(weight > 0, weight, 1.0)
        variance, together = xx / safe - (x / safe) ** 2, xy / safe - x * y / safe**2
        scale = np.divide(together, variance, out=np.ones(groups.count), where=variance > 1e-12 * xx / safe)
        return y / safe - scale * x / safe, scale, weight, count


def _line(r: np.ndarray, rv: np.ndarray, v: np.ndarray, vv: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, ...]:
    """c, d ≥ 0 of r ≈ c v + d by least squares, scaled so that the sums agree; 1, 0 without data."""
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = vv * weight - v**2
        c, d = (rv * weight - r * v) / determinant, (vv * r - v * rv) / determinant
        flat = ~(determinant > 1e-12 * vv * weight) | (d < 0)
        c, d = np.where(flat, np.where(v > 0, r / v, 1.0), c), np.where(flat, 0.0, d)
        c, d = np.where(c < 0, 0.0, c), np.where(c < 0, r / weight, d)
        agree = np.where(c * v + d * weight > 0, r / (c * v + d * weight), 1.0)
    return np.where(weight > 0, c * agree, 1.0), np.where(weight > 0, d * agree, 0.0)


def _require_spread(variance: Num[np.ndarray, " groups"], square: Num[np.ndarray, " groups"], groups: Groups) -> None:
    flat = np.flatnonzero((variance <= 0) & (square > 0))
    if len(flat):
        raise InputError(
            f"samples: the members are all equal in {len(flat)} of {groups.count} groups of points (the first is "
            f"{flat[0]}), expected a spread that can be widened: take larger groups"
        )
