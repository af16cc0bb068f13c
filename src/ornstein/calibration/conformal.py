"""Intervals that hold a new case as often as they say, whatever the law (split conformal): see recalibration.py."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from .ensembles import Ensemble, Piece, real, shaped
from .groups import Groups
from .ranks import Coverage, central, coverage_estimate, exact_levels


@dataclass(frozen=True, eq=False)
class Intervals:
    """Central intervals.

    Attributes:
        levels: probabilities with which they hold the truth, at least.
        low: (levels, …, *field), in the units of the field; NaN where there were no data to fit.
        high: (levels, …, *field); below `low` where nothing is left of an interval.
    """

    levels: Float[np.ndarray, " levels"]
    low: Float[np.ndarray, "levels *batch"]
    high: Float[np.ndarray, "levels *batch"]


@dataclass(frozen=True, eq=False)
class Margins:
    """What is added at both ends of the members' central intervals.

    Attributes:
        ranks: k: the intervals run from the k-th smallest to the k-th largest member.
        levels: of the intervals, (M + 1 − 2k)/(M + 1).
        margins: (levels, *field), in the units of the field; negative: intervals were too wide; NaN: no data.
        members: of the ensembles.
        without: groups that had no data.
    """

    ranks: tuple[int, ...]
    levels: Float[np.ndarray, " levels"]
    margins: Float[np.ndarray, "levels *field"]
    members: int
    without: int = 0

    def __call__(self, samples: Any) -> Intervals:
        """Intervals about members.

        Args:
            samples: (members, *field) or (cases, members, *field), as many members as were fitted.
        """
        found = real(shaped(samples), "samples").astype(np.float64)
        shape = self.margins.shape[1:]
        axis = found.ndim - len(shape) - 1
        if axis < 0 or found.shape[axis:] != (self.members, *shape):
            expected = f"(cases, members, *field) with {(self.members, *shape)} as fitted"
            raise InputError(f"samples: shape {found.shape}, expected {expected}")
        ordered = np.sort(found, axis)
        low = np.stack([ordered.take(k - 1, axis) - q for k, q in zip(self.ranks, self.margins, strict=True)])
        high = np.stack([ordered.take(-k, axis) + q for k, q in zip(self.ranks, self.margins, strict=True)])
        return Intervals(self.levels, low, high)

    def coverage(self, ensemble: Ensemble, levels: Any, block: int) -> Coverage:
        """Of the intervals, on an ensemble; at the levels that were fitted."""
        held, there = np.zeros((len(self.ranks), ensemble.cases)), np.zeros(ensemble.cases)
        points, flat = 0, self.margins.reshape(len(self.ranks), -1)
        for piece in ensemble.pieces():
            margins = flat[:, piece.points]
            known = piece.counted * ~np.isnan(margins).any(0)
            inside = _outside(piece, self.ranks) <= np.nan_to_num(margins)[:, None]
            held[:, piece.cases] += (inside * known).sum(2)
            there[piece.cases] += known.sum(1)
            points += int((known > 0).sum())
        estimates = [
            coverage_estimate(row, there, float(level), block) for level, row in zip(self.levels, held, strict=True)
        ]
        return Coverage.of(estimates, points)

    @property
    def parameters(self) -> dict[str, Any]:
        """Margins over the points of the field: smallest, mean and largest, by level."""
        rows = zip(self.levels, self.margins.reshape(len(self.levels), -1), strict=True)
        return {f"margin, {x:.1%}": [float(f(m)) for f in (np.nanmin, np.nanmean, np.nanmax)] for x, m in rows}


@dataclass(frozen=True)
class Conformal:
    """Margins on the members' central intervals, so that each holds a new case with at least its probability."""

    def fit(self, ensemble: Ensemble, groups: Groups, levels: Any) -> Margins:
        """The margins; of memory, levels × cases × points × 8 bytes.

        Args:
            ensemble: to fit on: n cases with data in a group reach levels up to n/(n + 1). InputError beyond.
            groups: of points that share a margin.
            levels: wanted, as in `Ranks.coverage`.
        """
        ranks = tuple(central(levels, ensemble.members))
        found = np.full((len(ranks), ensemble.cases, ensemble.weights.size), np.nan)
        for piece in ensemble.pieces():
            found[:, piece.cases, piece.points] = np.where(piece.there, _outside(piece, ranks), np.nan)
        exact = exact_levels(ranks, ensemble.members)
        fit = _by_element if groups.count == ensemble.weights.size else _by_group
        margins = np.stack([fit(row, float(level), groups, ensemble) for row, level in zip(found, exact, strict=True)])
        without = int(np.isnan(margins[0]).sum()) if fit is _by_element else 0
        return Margins(ranks, exact, margins.reshape(len(ranks), *ensemble.shape), ensemble.members, without)


def _outside(piece: Piece, ranks: tuple[int, ...]) -> Float[np.ndarray, "levels cases points"]:
    """How far the truth lies beyond each interval; negative inside."""
    ordered = np.sort(piece.samples, 1)
    return np.stack([np.maximum(ordered[:, k - 1] - piece.truth, piece.truth - ordered[:, -k]) for k in ranks])


def _by_element(found: np.ndarray, level: float, groups: Groups, ensemble: Ensemble) -> np.ndarray:
    """The ⌈(n + 1) level⌉-th smallest of n at each point; NaN where n = 0."""
    count = (~np.isnan(found)).sum(0)
    place = np.ceil((count + 1) * level - 1e-9).astype(int)
    _require_enough(level, count, place)
    ordered = np.sort(found, 0)  # NaN last
    picked = np.take_along_axis(ordered, np.clip(place - 1, 0, len(found) - 1)[None], 0)[0]
    margins = np.full(count.shape, np.nan)
    margins[groups.labels] = picked[groups.labels]
    return np.where(count > 0, margins, np.nan)


def _by_group(found: np.ndarray, level: float, groups: Groups, ensemble: Ensemble) -> np.ndarray:
    """The same where each of n cases has mass 1/n, shared by its points in the group."""
    margins, weights = np.full(found.shape[1], np.nan), ensemble.weights.ravel()
    for _, points in groups.each():
        mine = found[:, points]
        mass = ~np.isnan(mine) * weights[points]
        total = mass.sum(1)
        n = int((total > 0).sum())
        if n:
            _require_enough(level, np.array([n]), np.array([ceil((n + 1) * level - 1e-9)]))
            mass = mass / np.where(total > 0, total, 1.0)[:, None] / n
            order = np.argsort(mine, axis=None)  # NaN last, without mass
            reached = np.cumsum(mass.ravel()[order]) >= level * (n + 1) / n - 1e-12
            margins[points] = mine.ravel()[order][reached.argmax()]
    return margins


def _require_enough(level: float, count: np.ndarray, place: np.ndarray) -> None:
    few = (count > 0) & (place > count)
    if few.any():
        n = int(count[few].min())
        raise InputError(
            f"levels: {level:.1%} needs at least {ceil(level / (1 - level) - 1e-9)} cases to fit on, found {n} in one "
            "of the groups of points"
        )
