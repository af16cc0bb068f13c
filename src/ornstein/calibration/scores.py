"""Proper scores of ensembles: smaller is better, and the expectation is smallest for the truth's own law.

    CRPS    = E|X − y| − ½ E|X − X′|                                (Gneiting & Raftery 2007), in the units of y
    energy  = E‖X − y‖ − ½ E‖X − X′‖, ‖z‖² = Σ w z²                 of a whole field
    vario-  = Σ w_ij (|y_i − y_j|^p − E|X_i − X_j|^p)² / Σ w_ij      of pairs of points (Scheuerer & Hamill 2015)
    gram
    Brier   = (P(X > threshold) − 1[y > threshold])²
    quantile= (1[y < q] − τ)(q − y)

*Fair* scores (Ferro 2014) take expectations over pairs of different members, so that they do not depend on how many
members there are: an ensemble that is drawn from the truth's law has the score of that law. Every function returns an
`Estimate`: the mean over cases and (weighted) points with its standard error over cases.

scoringrules computes the CRPS, the Brier and the quantile score. Its fair CRPS is quadratic in the members, in memory
too; by sorted members ("pwm") it gives the same number, which is used here. Its energy and variogram scores keep an
array of members × members × points (20 GB for 50 members on a million points): these are computed here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import InputError, needed_for
from .ensembles import Ensemble, Piece, stacked
from .estimates import Estimate, ratio

Score = Callable[[Piece], np.ndarray]
"""Of a piece, (cases, points)."""


def crps(truths: Any, samples: Any, weights: Any = None, *, fair: bool = True, block: int = 1) -> Estimate:
    """The continuous ranked probability score of ensembles, in the units of the field.

    Args:
        truths: (cases, *field); NaN is missing.
        samples: (cases, members, *field).
        weights: of the points, see `Ensemble.of`.
        fair: as of infinitely many members; False: the ensemble itself as the forecast.
        block: how many consecutive cases hang together.
    """
    return crps_of(PointSums.of(Ensemble.of(truths, samples, weights, 2 if fair else 1), crps_score(fair)), block)


def crps_score(fair: bool) -> Score:
    """The CRPS of every point of a piece; see `crps`."""
    rules, estimator = _rules("the CRPS"), "pwm" if fair else "qd"

    def score(piece: Piece) -> np.ndarray:
        return rules.crps_ensemble(piece.truth, piece.samples, m_axis=1, estimator=estimator, backend="numpy")

    return score


def crps_of(sums: "PointSums", block: int) -> Estimate:
    """The CRPS by its sums."""
    meaning = "distance of the forecast's distribution from what happened, in the units of the field"
    return sums.estimate("CRPS", block, meaning=meaning)


def gaussian_crps(truths: Any, mean: Any, std: Any, weights: Any = None, *, block: int = 1) -> Estimate:
    """The CRPS of Gaussian forecasts, in the units of the field.

    Args:
        truths: (cases, *field); NaN is missing.
        mean: of the forecast, shaped as the truths.
        std: of the forecast, shaped as the truths, positive.
        weights: of the points, see `Ensemble.of`.
        block: how many consecutive cases hang together.
    """
    rules = _rules("the CRPS")

    def score(piece: Piece) -> np.ndarray:
        mu, sigma = positive_std(piece)
        return rules.crps_normal(piece.truth, mu, sigma, backend="numpy")

    meaning = "distance of the forecast's Gaussian from what happened, in the units of the field"
    return pointwise("CRPS", gaussian(truths, mean, std, weights), score, block, meaning=meaning)


def gaussian(truths: Any, mean: Any, std: Any, weights: Any = None) -> Ensemble:
    """Gaussian forecasts as ensembles whose two members are the mean and the standard deviation."""
    return Ensemble.of(truths, stacked(truths, mean=mean, std=std), weights)


def positive_std(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a piece of Gaussian forecasts, (cases, points) each, 1 where nothing is there."""
    mean, std = piece.samples[:, 0], piece.samples[:, 1]
    if (std[piece.there] <= 0).any():
        raise InputError(f"std: {std[piece.there].min():g}, expected positive numbers")
    return mean, np.where(piece.there, std, 1.0)


def brier(
    truths: Any, samples: Any, threshold: float, weights: Any = None, *, fair: bool = True, block: int = 1
) -> Estimate:
    """The Brier score of the event that the field is above a threshold; no unit.

    Args:
        truths: (cases, *field); NaN is missing.
        samples: (cases, members, *field).
        threshold: in the units of the field.
        weights: of the points, see `Ensemble.of`.
        fair: less p (1 − p) / (members − 1), which is what a finite ensemble costs.
        block: how many consecutive cases hang together.
    """
    score = brier_score(require_number(threshold, "threshold"), fair)
    return brier_of(PointSums.of(Ensemble.of(truths, samples, weights, 2 if fair else 1), score), threshold, block)


def brier_score(threshold: float, fair: bool) -> Score:
    """The Brier score of every point of a piece; see `brier`."""
    rules = _rules("the Brier score")

    def score(piece: Piece) -> np.ndarray:
        share = (piece.samples > threshold).mean(1)
        happened = (piece.truth > threshold).astype(np.float64)
        own = share * (1 - share) / (piece.samples.shape[1] - 1) if fair else 0.0
        return rules.brier_score(happened, share, backend="numpy") - own

    return score


def brier_of(sums: "PointSums", threshold: float, block: int) -> Estimate:
    """The Brier score by its sums."""
    return sums.estimate(f"Brier score, > {threshold:g}", block, meaning="squared error of a probability")


def quantile_score(truths: Any, samples: Any, level: float, weights: Any = None, *, block: int = 1) -> Estimate:
    """The pinball loss of an ensemble's quantile, in the units of the field.

    Args:
        truths: (cases, *field); NaN is missing.
        samples: (cases, members, *field); the k-th smallest of M is their quantile k / (M + 1), straight between.
        level: τ of the quantile, between 0 and 1.
        weights: of the points, see `Ensemble.of`.
        block: how many consecutive cases hang together.
    """
    rules = _rules("the quantile score")
    if not 0 < require_number(level, "level") < 1:
        raise InputError(f"level: {level:g}, expected a number between 0 and 1")

    def score(piece: Piece) -> np.ndarray:
        found = np.quantile(piece.samples, level, axis=1, method="weibull")
        return rules.quantile_score(piece.truth, found, level, backend="numpy")

    meaning = "loss of the forecast's quantile, in the units of the field"
    return pointwise(f"quantile score, {level:g}", Ensemble.of(truths, samples, weights), score, block, meaning=meaning)


def pointwise(name: str, ensemble: Ensemble, score: Score, block: int = 1, **attributes: Any) -> Estimate:
    """The mean of a score of points, over cases and weighted points.

    Args:
        name: of the estimate.
        ensemble: what is scored.
        score: of a piece.
        block: how many consecutive cases hang together.
        attributes: of the estimate.
    """
    return PointSums.of(ensemble, score).estimate(name, block, **attributes)


@dataclass(frozen=True, eq=False)
class PointSums:
    """Sums of a score of points, over the points of each case and over the cases at each point.

    Attributes:
        cases: (2, cases): of the weighted scores, and of the weights that count.
        points: (2, *field): of the scores, and of how many count.
    """

    cases: Float[np.ndarray, "2 cases"]
    points: Float[np.ndarray, "2 *field"]

    @classmethod
    def of(cls, ensemble: Ensemble, score: Score) -> "PointSums":
        """Of all cases of an ensemble.

        Args:
            ensemble: what is scored.
            score: of a piece.
        """
        cases, points = np.zeros((2, ensemble.cases)), np.zeros((2, ensemble.weights.size))
        for piece in ensemble.pieces():
            scores = np.where(piece.there, score(piece), 0.0)
            cases[:, piece.cases] += scores @ piece.weights, piece.counted.sum(1)
            points[:, piece.points] += scores.sum(0), piece.there.sum(0)
        return cls(cases, points.reshape(2, *ensemble.shape))

    def estimate(self, name: str, block: int, **attributes: Any) -> Estimate:
        """The mean over cases and weighted points; see `pointwise`."""
        (sums, weights), (points, times) = self.cases, self.points
        with np.errstate(invalid="ignore"):
            by_point = np.asarray(points / times)
        missing = 1 - weights.sum() / (len(weights) * times.size)
        return ratio(name, sums, weights, block, missing=float(missing), by_point=by_point, **attributes)


def energy_score(truths: Any, samples: Any, weights: Any = None, *, fair: bool = True, block: int = 1) -> Estimate:
    """The energy score of whole fields: in the units of the field × √(number of points), as scoringrules has it.

    Distances come from the members' Gram matrix about the truth, summed over blocks of points: memory is flat.

    Args:
        truths: (cases, *field); NaN is missing, and does not count in a distance.
        samples: (cases, members, *field).
        weights: of the points in the squared norm, of mean 1, see `Ensemble.of`.
        fair: as of infinitely many members.
        block: how many consecutive cases hang together.
    """
    ensemble = Ensemble.of(truths, samples, weights, 2 if fair else 1)
    grams = np.zeros((ensemble.cases, ensemble.members, ensemble.members))
    there = np.zeros(ensemble.cases)
    for piece in ensemble.pieces():
        off = (piece.samples - piece.truth[:, None]) * np.sqrt(piece.counted)[:, None]
        grams[piece.cases] += off @ off.swapaxes(1, 2)
        there[piece.cases] += piece.counted.sum(1)
    scores = _energies(grams, fair)
    missing = float(1 - there.sum() / (ensemble.cases * ensemble.weights.size))
    meaning = "distance of the forecast's joint distribution from the field that happened"
    counted = (there > 0).astype(np.float64)
    return ratio("energy score", scores * counted, counted, block, meaning=meaning, missing=missing)


def _energies(grams: Float[np.ndarray, "cases members members"], fair: bool) -> Float[np.ndarray, " cases"]:
    """Of the inner products of members about the truth."""
    members = grams.shape[1]
    squares = np.diagonal(grams, axis1=1, axis2=2)
    apart = np.sqrt(np.maximum(squares[:, :, None] + squares[:, None] - 2 * grams, 0.0))
    apart[:, np.arange(members), np.arange(members)] = 0.0
    pairs = members * (members - 1) if fair else members**2
    return np.sqrt(squares).mean(1) - apart.sum((1, 2)) / (2 * pairs)


def require_number(value: Any, name: str) -> float:
    """A finite number; InputError names what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not isfinite(value):
        raise InputError(f"{name}: {value!r}, expected a finite number")
    return float(value)


def require_count(value: Any, name: str) -> int:
    """A whole number, 1 or more; InputError names what is none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name}: {value!r}, expected a whole number ≥ 1")
    return int(value)


def _rules(what: str) -> Any:
    with needed_for(what, "fields"):
        import scoringrules
    return scoringrules
