"""Whether the spread says how large the error is, and whether probabilities are what they say.

For truth and M members of one law, E(y − x̄)² = (M + 1)/M · E s², s² the unbiased variance of the members, so

    spread / skill = √(mean s²) · √((M + 1)/M) / RMSE of the mean

is 1 (Fortin et al. 2014): the root of the mean variance, not the mean of standard deviations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..errors import InputError
from .ensembles import Ensemble
from .estimates import Estimate, ratio
from .scores import require_number


@dataclass(frozen=True, eq=False)
class SpreadSkill:
    """Spread beside error.

    Attributes:
        ratio: of the two; 1 where calibrated, below 1 where members are too close together.
        spread: √(mean variance) √((M + 1)/M), in the units of the field.
        skill: RMSE of the mean, in the units of the field.
        bias: mean of members less truth, in the units of the field.
        bin_spread: the same of points whose spread is alike, (bins,), from the smallest.
        bin_skill: RMSE of the mean of these points.
        bin_error: standard error of bin_skill over cases; NaN where it is not known.
        bin_points: how many points each bin has.
    """

    ratio: Estimate
    spread: Estimate
    skill: Estimate
    bias: Estimate
    bin_spread: Float[np.ndarray, " bins"]
    bin_skill: Float[np.ndarray, " bins"]
    bin_error: Float[np.ndarray, " bins"]
    bin_points: Int[np.ndarray, " bins"]


def spread_skill(truths: Any, samples: Any, weights: Any = None, *, bins: int = 10, block: int = 1) -> SpreadSkill:
    """Whether the spread of ensembles is as large as the error of their mean, over all and where it is alike.

    Args:
        truths: (cases, *field); NaN is missing.
        samples: (cases, members, *field).
        weights: of the points, see `Ensemble.of`.
        bins: of equally many points each.
        block: how many consecutive cases hang together.
    """
    ensemble = Ensemble.of(truths, samples, weights)
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise InputError(f"bins: {bins!r}, expected a whole number ≥ 1")
    edges = _edges(ensemble, bins)
    sums = np.zeros((4, ensemble.cases, len(edges) + 1))  # weight, variance, squared error, error
    points = np.zeros(len(edges) + 1, np.int64)
    for piece in ensemble.pieces():
        variance = piece.samples.var(1, ddof=1) * (ensemble.members + 1) / ensemble.members
        off = piece.samples.mean(1) - piece.truth
        bin_of = np.searchsorted(edges, variance, side="right")
        place = bin_of + (len(edges) + 1) * np.arange(len(off))[:, None]
        for k, values in enumerate((1.0, variance, off**2, off)):
            added = np.bincount(place.ravel(), (piece.counted * values).ravel(), len(off) * (len(edges) + 1))
            sums[k, piece.cases] += added.reshape(len(off), -1)
        points += np.bincount(bin_of[piece.there], minlength=len(edges) + 1)
    return _spread_skill(sums, points, block)


def _spread_skill(sums: np.ndarray, points: np.ndarray, block: int) -> SpreadSkill:
    weight, variance, square, off = sums.sum(2)
    units = "in the units of the field"
    spread = _root(ratio("spread", variance, weight, block, better="closer", meaning=f"standard deviation, {units}"))
    skill = _root(ratio("RMSE of the mean", square, weight, block, meaning=f"error of the mean, {units}"))
    bias = ratio("bias", off, weight, block, better="closer", meaning=f"forecast less truth, {units}", reference=0.0)
    meaning = "below 1 the members are too close together, above 1 too far apart"
    if not square.sum() > 0:
        raise InputError("spread/skill: the mean of the members is the truth everywhere, expected forecasts")
    squared = ratio("spread / skill", variance, square, block, better="closer", meaning=meaning)
    some = np.flatnonzero(points)
    found = np.array([_bin(sums[0][:, k], sums[1][:, k], sums[2][:, k], block) for k in some])
    return SpreadSkill(
        _root(squared, reference=1.0), spread, skill, bias, found[:, 0], found[:, 1], found[:, 2], points[some]
    )


def _root(estimate: Estimate, **changes: Any) -> Estimate:
    return estimate.mapped(np.sqrt, 0.5 / sqrt(estimate.value) if estimate.value > 0 else 0.0, **changes)


def _bin(weight: np.ndarray, variance: np.ndarray, square: np.ndarray, block: int) -> tuple[float, float, float]:
    skill = _root(ratio("RMSE", square, weight, block))
    return sqrt(variance.sum() / weight.sum()), skill.value, np.nan if skill.error is None else skill.error


def _edges(ensemble: Ensemble, bins: int, enough: int = 1 << 18) -> Float[np.ndarray, " edges"]:
    """Variances between which equally many points lie, from about `enough` of them, spread over all cases."""
    every = max(1, ensemble.cases * ensemble.weights.size // enough)
    found = [
        (piece.samples.var(1, ddof=1) * (ensemble.members + 1) / ensemble.members)[piece.there][::every]
        for piece in ensemble.pieces()
    ]
    values = np.concatenate(found)
    return np.unique(np.quantile(values, np.arange(1, bins) / bins)) if len(values) else np.zeros(0)


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often an event happened where it was given a probability, (bins,).

    Attributes:
        threshold: the event is that the field is above it.
        forecast: mean share of members in each bin.
        observed: how often it happened.
        error: of observed, over cases; NaN where it is not known.
        expected: how often it happens in a calibrated ensemble of this size: how often it happens to one member where
            the others say so. Not the forecast itself: a share of few members is a noisy probability.
        points: in each bin.
    """

    threshold: float
    forecast: Float[np.ndarray, " bins"]
    observed: Float[np.ndarray, " bins"]
    error: Float[np.ndarray, " bins"]
    expected: Float[np.ndarray, " bins"]
    points: Int[np.ndarray, " bins"]

    @property
    def off(self) -> Float[np.ndarray, " bins"]:
        """Standard errors by which each bin is off what is expected."""
        return (self.observed - self.expected) / self.error


def reliability(
    truths: Any, samples: Any, threshold: float, weights: Any = None, *, bins: int = 10, block: int = 1
) -> Reliability:
    """How often an event happened, beside the share of members in which it did.

    Args:
        truths: (cases, *field); NaN is missing.
        samples: (cases, members, *field), at least 3 members.
        threshold: the event is that the field is above it, in the units of the field.
        weights: of the points, see `Ensemble.of`.
        bins: of the share of members, equally wide.
        block: how many consecutive cases hang together.
    """
    require_number(threshold, "threshold")
    ensemble = Ensemble.of(truths, samples, weights, 3)
    members = ensemble.members
    sums = np.zeros((2, ensemble.cases, members + 1))  # by how many members: weight of points, and of events
    points = np.zeros(members + 1, np.int64)
    for piece in ensemble.pieces():
        count = (piece.samples > threshold).sum(1)
        happened = piece.truth > threshold
        place = (count + (members + 1) * np.arange(len(count))[:, None]).ravel()
        for k, values in enumerate((piece.counted, piece.counted * happened)):
            added = np.bincount(place, values.ravel(), len(count) * (members + 1))
            sums[k, piece.cases] += added.reshape(len(count), -1)
        points += np.bincount(count[piece.there], minlength=members + 1)
    if not points.any():
        raise InputError("reliability: no point has a truth and a forecast (NaN everywhere)")
    return _reliability(threshold, sums, points, bins, block)


def _reliability(threshold: float, sums: np.ndarray, points: np.ndarray, bins: int, block: int) -> Reliability:
    members, shares = len(points) - 1, np.arange(len(points)) / (len(points) - 1)
    bin_of = np.minimum((shares * bins).astype(int), bins - 1)
    expected = _exchanged(sums[0].sum(0), bins, members)
    rows: list[Sequence[float]] = []
    for k in range(bins):
        mine = bin_of == k
        weight, happened = (values[:, mine].sum(1) for values in sums)
        if weight.sum() > 0:
            found = ratio("observed", happened, weight, block)
            mean = float((sums[0].sum(0) * shares)[mine].sum() / weight.sum())
            error = np.nan if found.error is None else found.error
            rows.append((mean, found.value, error, expected[k], points[mine].sum()))
    forecast, observed, error, calibrated, number = np.array(rows).T
    return Reliability(threshold, forecast, observed, error, calibrated, number.astype(np.int64))


def _exchanged(weight: np.ndarray, bins: int, members: int) -> np.ndarray:
    """How often a member has the event, in each bin of the share of the others that have it."""
    counts = np.arange(members + 1)
    others = np.minimum((np.arange(members) / (members - 1) * bins).astype(int), bins - 1)
    yes, no = weight[1:] * counts[1:], weight[:-1] * (members - counts[:-1])  # at 0 … members − 1 of the others
    events, every = np.bincount(others, yes, bins), np.bincount(others, yes + no, bins)
    with np.errstate(invalid="ignore"):
        return events / every
