"""Whether the spread says how large the error is, and whether probabilities are what they say.

For truth and M members of one law, E(y − x̄)² = (M + 1)/M · E s², s² the unbiased variance of the members, so

    spread / skill = √(mean s²) · √((M + 1)/M) / RMSE of the mean

is 1 (Fortin et al. 2014): the root of the mean variance, not the mean of standard deviations.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..errors import InputError
from .ensembles import Ensemble
from .estimates import Estimate, ratio
from .scores import require_count, require_number


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
    require_count(bins, "bins")
    return spread_of(*spread_sums(ensemble, _edges(ensemble, bins)), block)


def spread_sums(
    ensemble: Ensemble, edges: Float[np.ndarray, " edges"] | None = None
) -> tuple[Float[np.ndarray, "4 cases bins"], Int[np.ndarray, " bins"]]:
    """Of each case the sums of weight, variance, squared error and error, and how many points there are, by bin.

    Args:
        ensemble: what is measured.
        edges: variances between bins; None: all in one.
    """
    edges = np.zeros(0) if edges is None else edges
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
    return sums, points


def spread_of(sums: Float[np.ndarray, "4 cases bins"], points: Int[np.ndarray, " bins"], block: int) -> SpreadSkill:
    """Spread beside error by what `spread_sums` found."""
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

    A share of few members is a noisy probability: even calibrated ensembles do not lie on the diagonal. What they do
    lie on is known: members are exchangeable with the truth, so each is a truth for the others. Forecasts are therefore
    the shares of all members but one, each left out in turn, and `expected` is how often the event happens to it.

    Attributes:
        threshold: the event is that the field is above it.
        forecast: mean share of members in each bin.
        observed: how often the event happened.
        error: of observed, over cases; NaN where it is not known.
        expected: how often it happens to a member of its own.
        off: standard errors by which observed is off what is expected; NaN where it is not known.
        points: in each bin, about.
    """

    threshold: float
    forecast: Float[np.ndarray, " bins"]
    observed: Float[np.ndarray, " bins"]
    error: Float[np.ndarray, " bins"]
    expected: Float[np.ndarray, " bins"]
    off: Float[np.ndarray, " bins"]
    points: Float[np.ndarray, " bins"]


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
    require_count(bins, "bins")
    ensemble = Ensemble.of(truths, samples, weights, 3)
    size = ensemble.members + 1
    sums = np.zeros((3, ensemble.cases, size))  # by how many members: weight of points, of events, number of points
    for piece in ensemble.pieces():
        count = (piece.samples > threshold).sum(1)
        place = (count + size * np.arange(len(count))[:, None]).ravel()
        for k, values in enumerate((piece.counted, piece.counted * (piece.truth > threshold), piece.there * 1.0)):
            sums[k, piece.cases] += np.bincount(place, values.ravel(), len(count) * size).reshape(-1, size)
    if not sums[0].any():
        raise InputError("reliability: no point has a truth and a forecast (NaN everywhere)")
    return _reliability(threshold, sums, bins, block)


def _reliability(threshold: float, sums: np.ndarray, bins: int, block: int) -> Reliability:
    """By the shares of all members but one, left out in turn."""
    members = sums.shape[2] - 1
    with_it = np.arange(1, members + 1) / members  # one that has the event is left out of k that do, k = 1 … members
    left = [values[..., 1:] * with_it for values in sums], [values[..., :-1] * with_it[::-1] for values in sums]
    weight, events, points = (one + other for one, other in zip(*left, strict=True))
    own, shares = left[0][0], np.arange(members) / (members - 1)
    bin_of = np.minimum((shares * bins).astype(int), bins - 1)
    rows = []
    for mine in (bin_of == k for k in range(bins)):
        total = weight[:, mine].sum(1)
        if total.sum() > 0:
            found, exact = (ratio("frequency", x[:, mine].sum(1), total, block) for x in (events, own))
            apart, mean = found.minus(exact), float((weight * shares)[:, mine].sum() / total.sum())
            off = apart.value / apart.error if apart.error else np.nan
            error = np.nan if found.error is None else found.error
            rows.append((mean, found.value, error, exact.value, off, points[:, mine].sum()))
    forecast, observed, error, expected, off, number = np.array(rows).T
    return Reliability(threshold, forecast, observed, error, expected, off, number)
