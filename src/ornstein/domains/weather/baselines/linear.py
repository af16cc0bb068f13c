"""A regression of what happened on the forecast at the same place and lead, from sums over records.

    y ≈ w₀ + Σ_p w_p x_p,   w = (C + λ diag C)⁻¹ c,   C, c: covariances of the predictors, and with y

x: the predictors of that place and lead and, where times are dates, harmonics of the season and of the hour. Sums are
kept by point; of all points together they are added up. Memory does not depend on how many records there are.
"""

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float

from ....errors import InputError
from .records import Given, Records, batches

RIDGE = 1e-3
"""λ: predictors that are nearly the same share their weight."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a variable is regressed on.

    Attributes:
        variable: its number.
        root: whether roots are taken of it, its forecast and its members.
        annual, daily: whether there are harmonics of the season and of the hour.
    """

    variable: int
    root: bool = False
    annual: bool = False
    daily: bool = False

    def of(self, given: Given) -> "Features":
        """Of some records."""
        members = self.latent(given.members[:, :, self.variable])
        own = members.mean(1)
        spread = members.std(1, ddof=1) if members.shape[1] > 1 else np.zeros_like(own)
        waves = given.seasons.harmonics(self.annual, self.daily)
        waves = [np.broadcast_to(wave[:, None, None], own.shape) for wave in waves.T]
        rows = [np.ones_like(own), *given.predictors.swapaxes(0, 1), *waves]
        rows[1 + self.variable] = own
        truth = None if given.truth is None else self.latent(given.truth[:, self.variable])
        return Features(np.stack(rows, -1), spread, truth)

    def latent(self, values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """The values, or their roots."""
        return np.sqrt(np.maximum(values, 0.0)) if self.root else values


@dataclass(frozen=True, eq=False)
class Features:
    """Of one variable.

    Attributes:
        rows: 1, the predictors and the harmonics.
        spread: of the members, 0 of a deterministic forecast.
        truth: NaN where missing; None where it is not known.
    """

    rows: Float[np.ndarray, "n S points D"]
    spread: Float[np.ndarray, "n S points"]
    truth: Float[np.ndarray, "n S points"] | None


@dataclass(frozen=True, eq=False)
class Sums:
    """Over records: of the products of rows and truths.

    Attributes:
        squares: Σ x xᵀ of each point.
        along: Σ x y.
        own: Σ y².
    """

    squares: Float[np.ndarray, "S points D D"]
    along: Float[np.ndarray, "S points D"]
    own: Float[np.ndarray, "S points"]

    @classmethod
    def of(cls, features: Features, together: bool) -> "Sums":
        """Of some records, by point or of all points together."""
        assert features.truth is not None
        there = np.isfinite(features.truth) & np.isfinite(features.rows).all(-1)
        x, y = np.where(there[..., None], features.rows, 0.0), np.where(there, features.truth, 0.0)
        if together:
            x, y = (np.moveaxis(v, 1, 0).reshape(v.shape[1], 1, -1, *v.shape[3:]) for v in (x, y))
        else:
            x, y = (np.moveaxis(v, 0, 2) for v in (x, y))
        turned = x.swapaxes(-1, -2)
        return cls(turned @ x, (turned @ y[..., None])[..., 0], (y * y).sum(-1))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.squares + other.squares, self.along + other.along, self.own + other.own)

    def line(self) -> "Line":
        """The regression; a point with too few records has that of all points."""
        count = self.squares[..., 0, 0]
        if not (count > 0).any():
            raise InputError("no record has both a forecast and a truth (NaN everywhere)")
        few = count < 2 * self.along.shape[-1]
        return self._filled(few)._solved() if few.any() and few.shape[1] > 1 else self._solved()

    def _filled(self, few: Bool[np.ndarray, "S points"]) -> "Sums":
        fields = (self.squares, self.along, self.own)
        masks = few[..., None, None], few[..., None], few
        return Sums(*(np.where(m, v.sum(1, keepdims=True), v) for m, v in zip(masks, fields, strict=True)))

    def _solved(self) -> "Line":
        count = self.squares[..., 0, 0]
        n = np.maximum(count, 1.0)[..., None]
        mean, level = self.squares[..., 0, 1:] / n, self.along[..., 0] / n[..., 0]
        cov = self.squares[..., 1:, 1:] / n[..., None] - mean[..., :, None] * mean[..., None, :]
        along = self.along[..., 1:] / n - mean * level[..., None]
        own = np.einsum("...dd->...d", cov)
        ridge = RIDGE * own + 1e-12 * (1 + mean**2)
        slope = np.linalg.solve(cov + ridge[..., None] * np.eye(own.shape[-1]), along[..., None])[..., 0]
        left = self.own / n[..., 0] - level**2 - 2 * (slope * along).sum(-1)
        left = left + np.einsum("...i,...ij,...j->...", slope, cov, slope)
        start = level - (slope * mean).sum(-1)
        explained = np.einsum("...i,...ij,...j->...", slope, cov, slope)
        floor = 1e-12 * (1 + level**2)
        weights = np.concatenate([start[..., None], slope], -1)
        weights = np.where(count[..., None] > 0, weights, np.nan)
        return Line(weights, np.sqrt(np.maximum(left, floor)), level, np.sqrt(np.maximum(explained, floor)))


@dataclass(frozen=True, eq=False)
class Line:
    """A regression of each step, of each point or of all (points = 1).

    Attributes:
        weights: of 1, the predictors and the harmonics.
        residual: standard deviation of what it leaves.
        centre: mean of the truth.
        reach: standard deviation of what it says.
    """

    weights: Float[np.ndarray, "S points D"]
    residual: Float[np.ndarray, "S points"]
    centre: Float[np.ndarray, "S points"]
    reach: Float[np.ndarray, "S points"]

    def __call__(self, rows: Float[np.ndarray, "n S points D"]) -> Float[np.ndarray, "n S points"]:
        """What it says of these rows."""
        return np.einsum("nspd,spd->nsp", rows, np.broadcast_to(self.weights, rows.shape[1:]))

    def at(self, points: np.ndarray) -> "Line":
        """At some of the points."""
        if self.weights.shape[1] == 1:
            return self
        return replace(
            self,
            weights=self.weights[:, points],
            residual=self.residual[:, points],
            centre=self.centre[:, points],
            reach=self.reach[:, points],
        )


def summed(records: Records, plan: Plan, together: bool, part: slice) -> Sums:
    """The sums over some of the records.

    Args:
        records: with their truths.
        plan: of the variable.
        together: whether all points have one regression.
        part: of the records, which.
    """
    some = (index for index in batches(records) if index.start < part.stop and index.stop > part.start)
    cut = (slice(max(index.start, part.start), min(index.stop, part.stop)) for index in some)
    parts = (Sums.of(plan.of(Given.of(records, index)), together) for index in cut)
    return reduce(Sums.__add__, parts)
