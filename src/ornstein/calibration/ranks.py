"""Where the truth lies among the members: rank histograms, PIT, coverage.

If truth and M members are draws of one law, the truth's rank, the number of members below it, is uniform on 0 … M.
Where members equal the truth (no rain), its place among them is drawn by a key: still uniform. From the ranks follow

    PIT       u = (rank + uniform) / (M + 1), uniform on (0, 1);
    coverage  of the interval from the k-th smallest to the k-th largest member: exactly (M + 1 − 2k) / (M + 1),

so a finite ensemble is judged at the levels that it has, not at 90 % of infinitely many members.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from ..errors import InputError
from ..keys import Keys
from ..text import markup
from ..values import is_number
from .ensembles import BLOCK, Ensemble, Piece
from .estimates import Estimate, blocked, ratio
from .scores import gaussian, positive_std
from .uniform import DOUBTFUL, Uniformity, grouped, uniformity

EXPECTED = 5
"""Points that a bin of a χ² test should have at least."""
_ENOUGH = 1 << 22
"""Ranks, about, from which their correlation is measured."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks of truths among members.

    Attributes:
        values: 0 … members; −1 where there are no data.
        members: of the ensemble.
        weights: of the points, mean 1.
        seed: of the places of ties and of `pit`.
    """

    values: Integer[np.ndarray, "cases *field"]
    members: int
    weights: Float[np.ndarray, "*field"]
    seed: int = 0

    @classmethod
    def of(cls, truths: Any, samples: Any, weights: Any = None, seed: int = 0) -> "Ranks":
        """The ranks of truths in their ensembles.

        Args:
            truths: (cases, *field); NaN is missing.
            samples: (cases, members, *field).
            weights: of the points, see `Ensemble.of`.
            seed: of the places among members that equal the truth.
        """
        return cls.of_ensemble(Ensemble.of(truths, samples, weights, 1), seed)

    @classmethod
    def of_ensemble(cls, ensemble: Ensemble, seed: int = 0) -> "Ranks":
        """The same of truths with their members; see `of`."""
        return cls.known(ranked(ensemble, seed), ensemble, seed)

    @classmethod
    def known(cls, values: Integer[np.ndarray, "cases *field"], ensemble: Ensemble, seed: int = 0) -> "Ranks":
        """Ranks that were counted; InputError if there are none.

        Args:
            values: see `ranked`.
            ensemble: of which some cases are: its members and weights.
            seed: that they were counted with.
        """
        return cls(_some(values), ensemble.members, ensemble.weights, seed)

    @classmethod
    def gaussian(
        cls, truths: Any, mean: Any, std: Any, weights: Any = None, members: int = 19, seed: int = 0
    ) -> "Ranks":
        """The same of Gaussian forecasts: which of `members` + 1 equally likely intervals the truth lies in.

        Args:
            truths: (cases, *field); NaN is missing.
            mean: of the forecast, shaped as the truths.
            std: of the forecast, shaped as the truths, positive.
            weights: of the points, see `Ensemble.of`.
            members: one less than there are intervals.
            seed: of `pit`.
        """
        from scipy.special import ndtr

        ensemble = gaussian(truths, mean, std, weights)
        ranks = np.full((ensemble.cases, ensemble.weights.size), -1, np.int32)
        for piece in ensemble.pieces():
            mu, sigma = positive_std(piece)
            place = np.minimum(ndtr((piece.truth - mu) / sigma) * (members + 1), members).astype(np.int32)
            ranks[piece.cases, piece.points] = np.where(piece.there, place, -1)
        return cls(_some(ranks).reshape(-1, *ensemble.shape), members, ensemble.weights, seed)

    def pit(self) -> Float[np.ndarray, "cases *field"]:
        """The probability integral transform, uniform on (0, 1) where calibrated; NaN where there are no data."""
        size = self.weights.size
        places = Keys.of(self.seed, len(self.values)).fold("pit").uniform(size).numpy().reshape(self.values.shape)
        return np.where(self.values < 0, np.nan, (self.values + places) / (self.members + 1))

    def histogram(
        self, thin: int | Sequence[int] | None = None, bins: int | None = None, block: int = 1
    ) -> "RankHistogram":
        """How often each rank occurs, and whether that is uniform, judged on thinned points.

        Args:
            thin: every how many-th point is judged, one number or one an axis of the field; None: so many that ranks
                are correlated by less than 0.1.
            bins: of the test, at most members + 1; None: as many as leave five expected points in each.
            block: how many consecutive cases hang together.
        """
        steps = self._steps(thin)
        judged = self._thinned(steps)
        ranks = self.members + 1
        if bins is not None and not 2 <= bins <= ranks:
            raise InputError(f"bins: {bins}, expected 2 to {ranks} for {self.members} members")
        bins = bins or int(np.clip((judged >= 0).sum() // EXPECTED, 2, ranks))
        groups, shares = grouped(ranks, bins)
        rows = [np.bincount(groups[row[row >= 0]], minlength=bins) for row in judged]
        test = uniformity(blocked(np.array(rows), block), shares, self.members)
        return RankHistogram(self._frequencies(), self.members, steps, bins, test)

    def coverage(self, levels: Sequence[float] | None = None, block: int = 1) -> "Coverage":
        """How often central intervals hold the truth.

        Args:
            levels: wanted; each becomes the nearest that the ensemble has, (M + 1 − 2k) / (M + 1), and is refused if
                that is more than 1 / (M + 1) off. None: all that it has, at most twenty.
            block: how many consecutive cases hang together.
        """
        inner = central(levels, self.members)
        total, estimates = self._weighed(0), []
        for k, level in zip(inner, exact_levels(inner, self.members).tolist(), strict=True):
            estimates.append(coverage_estimate(self._weighed(k), total, level, block))
        return Coverage.of(estimates, int((self.values >= 0).sum()))

    def _weighed(self, k: int) -> Float[np.ndarray, " cases"]:
        """The weight of the points of each case whose rank is k to members − k."""
        weights = self.weights.reshape(-1)
        found = [((rows >= k) & (rows <= self.members - k)) @ weights for rows in self._rows()]
        return np.concatenate(found)

    def _rows(self) -> Iterator[Integer[np.ndarray, "some points"]]:
        """The ranks of all cases, some at a time, as what is made of them takes eight times their memory."""
        rows = self.values.reshape(len(self.values), -1)
        step = max(1, BLOCK // rows.shape[1])
        yield from (rows[first : first + step] for first in range(0, len(rows), step))

    def _frequencies(self) -> np.ndarray:
        found, weights = np.zeros(self.members + 1), self.weights.reshape(-1)
        for rows in self._rows():
            there = rows >= 0
            found += np.bincount(rows[there], np.broadcast_to(weights, rows.shape)[there], self.members + 1)
        return found / found.sum()

    def _thinned(self, steps: tuple[int, ...]) -> np.ndarray:
        """Every so many-th point of each axis, (cases, points), from where most data are."""
        values, there = self.values, (self.values >= 0).sum(0)
        for axis, step in enumerate(steps):
            size = there.shape[axis]
            starts = [np.arange(first, size, step) for first in range(min(step, size))]
            picked = max(starts, key=partial(_data, there, axis))
            values, there = values.take(picked, axis + 1), there.take(picked, axis)
        return values.reshape(len(values), -1)

    def _steps(self, thin: int | Sequence[int] | None) -> tuple[int, ...]:
        axes = self.values.ndim - 1
        if thin is None:
            return tuple(self._decorrelated(axis) for axis in range(1, axes + 1))
        steps = (thin,) * axes if isinstance(thin, int) else tuple(thin)
        if len(steps) != axes or any(isinstance(n, bool) or n < 1 for n in steps):
            raise InputError(
                f"thin: {thin}, expected one whole number ≥ 1, or one for each of {axes} axes of the field"
            )
        return steps

    def _decorrelated(self, axis: int) -> int:
        """The shortest step along an axis over which ranks, about their mean, are correlated by less than 0.1."""
        some = self.values[:: max(1, self.values.size // _ENOUGH)]
        there = some >= 0
        if not there.any():
            return self.values.shape[axis]
        ranks = np.where(there, some - some[there].mean(), 0.0)
        ranks, there = np.moveaxis(ranks, axis, -1), np.moveaxis(there, axis, -1)
        variance = (ranks**2).sum() / there.sum()
        for step in range(1, ranks.shape[-1]):
            pairs = np.count_nonzero(there[..., step:] & there[..., :-step])
            together = (ranks[..., step:] * ranks[..., :-step]).sum()
            if not pairs or together / pairs < 0.1 * variance:
                return step
        return ranks.shape[-1]


def ranked(ensemble: Ensemble, seed: int = 0, first: int = 0) -> Integer[np.ndarray, "cases *field"]:
    """How many members are below the truth, at random places among those that equal it; −1 where there are no data.

    Args:
        ensemble: truths with their members.
        seed: of these places.
        first: the number of the first case, of which the places are a function.
    """
    kinds = (kind for kind in (np.int8, np.int16) if ensemble.members <= np.iinfo(kind).max)
    ranks = np.full((ensemble.cases, ensemble.weights.size), -1, next(kinds, np.int32))
    for piece in ensemble.pieces():
        below = (piece.samples < piece.truth[:, None]).sum(1)
        equal = (piece.samples == piece.truth[:, None]).sum(1)
        if equal[piece.there].any():
            below = below + (_uniform(ensemble, piece, seed, first) * (equal + 1)).astype(np.int32)
        ranks[piece.cases, piece.points] = np.where(piece.there, below, -1)
    return ranks.reshape(-1, *ensemble.shape)


def central(levels: Sequence[float] | None, members: int) -> list[int]:
    """k of the central intervals, from the k-th smallest to the k-th largest member, whose levels are nearest.

    Args:
        levels: wanted; InputError if one is more than 1 / (members + 1) off what there is. None: all, at most twenty.
        members: M ≥ 2; the levels are (M + 1 − 2k) / (M + 1).
    """
    if members < 2:
        raise InputError("samples: one member has no interval, expected at least 2")
    if levels is None:
        every = np.arange(members // 2, 0, -1)
        return every[np.unique(np.linspace(0, len(every) - 1, 20).round().astype(int))].tolist()
    if not isinstance(levels, Sequence | np.ndarray) or not all(is_number(level) for level in levels):
        raise InputError(f"levels: {levels!r}, expected a list of numbers between 0 and 1")
    return [_nearest(level, members) for level in levels]


def _nearest(level: float, members: int) -> int:
    k = int(np.clip(np.rint((members + 1) * (1 - level) / 2), 1, members // 2))
    if not 0 < level < 1 or abs((members + 1 - 2 * k) / (members + 1) - level) > 1 / (members + 1) + 1e-9:
        has = (members - 1) / (members + 1)
        raise InputError(f"levels: {level:g}, expected levels between 0 and {has:.3g}, the most of {members} members")
    return k


def exact_levels(ranks: Sequence[int], members: int) -> Float[np.ndarray, " levels"]:
    """The probabilities of the intervals from the k-th smallest to the k-th largest of so many members."""
    return (members + 1 - 2 * np.asarray(ranks, np.float64)) / (members + 1)


def _data(there: np.ndarray, axis: int, points: np.ndarray) -> int:
    return int(there.take(points, axis).sum())


def _some(ranks: np.ndarray) -> np.ndarray:
    if not (ranks >= 0).any():
        raise InputError("truths, samples: no point has both (NaN everywhere, or weights of zero)")
    return ranks


def _uniform(ensemble: Ensemble, piece: Piece, seed: int, first: int) -> Float[np.ndarray, "cases points"]:
    """Numbers of each case and point, the same however the cases are cut."""
    keys = Keys.of(seed, range(first + piece.cases.start, first + piece.cases.stop)).fold("ties")
    return keys.uniform(ensemble.weights.size).numpy()[:, piece.points]


@dataclass(frozen=True, eq=False)
class RankHistogram:
    """How often each rank occurs.

    Attributes:
        frequencies: of ranks 0 … members, over all weighted points; 1 / (members + 1) each where calibrated.
        members: of the ensemble.
        thin: every how many-th point of each axis was judged.
        bins: of neighbouring ranks that were judged.
        test: whether the thinned ranks are uniform.
    """

    frequencies: Float[np.ndarray, " ranks"]
    members: int
    thin: tuple[int, ...]
    bins: int
    test: Uniformity


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often central intervals held the truth.

    Attributes:
        levels: of a calibrated forecast, exact.
        values: found.
        errors: of the values where calibrated: binomial, of as many independent points as there seem to be.
        points: that were counted.
        effective: independent points with as much information, one a level.
        estimates: the same one by one, with errors over cases.
    """

    levels: Float[np.ndarray, " levels"]
    values: Float[np.ndarray, " levels"]
    errors: Float[np.ndarray, " levels"]
    points: int
    effective: Float[np.ndarray, " levels"]
    estimates: tuple[Estimate, ...]

    @classmethod
    def of(cls, estimates: Sequence[Estimate], points: int) -> "Coverage":
        """Of estimates that have their levels as references, and the number of points that each counts."""
        levels = np.array([estimate.reference for estimate in estimates], np.float64)
        values = np.array([estimate.value for estimate in estimates])
        effective = np.array([_independent(estimate, points) for estimate in estimates])
        return cls(levels, values, np.sqrt(levels * (1 - levels) / effective), points, effective, tuple(estimates))

    @property
    def off(self) -> Float[np.ndarray, " levels"]:
        """Standard errors by which each value is off its level."""
        return (self.values - self.levels) / self.errors

    @property
    def p_value(self) -> float:
        """Of a calibrated forecast being as far off at its worst level (Bonferroni: at most this)."""
        from scipy.special import ndtr

        return float(min(1.0, 2 * ndtr(-np.abs(self.off).max()) * len(self.levels)))

    def near(self, level: float) -> Estimate:
        """The estimate of the level nearest to this one."""
        return self.estimates[int(np.abs(self.levels - level).argmin())]

    def __str__(self) -> str:
        pairs = zip(self.levels, self.values, self.errors, strict=True)
        return ", ".join(f"{level:.1%}: {value:.1%} ± {error:.1%}" for level, value, error in pairs)

    def _repr_html_(self) -> str:
        told = f"p = {self.p_value:.2g} that a calibrated forecast is as far off at its worst level"
        triples = zip(self.levels, self.values, self.errors, strict=True)
        rows = [(f"{level:.1%}", f"{value:.1%} ± {error:.1%}") for level, value, error in triples]
        heads = ("central interval", "held the truth")
        return markup.boxed(markup.verdict(told, bool(self.p_value >= DOUBTFUL)), markup.columns(heads, rows))


def coverage_estimate(
    held: Float[np.ndarray, " cases"], total: Float[np.ndarray, " cases"], level: float, block: int
) -> Estimate:
    """How often an interval of this level held the truth.

    Args:
        held: weight of the points of each case that it held.
        total: weight of all.
        level: of a calibrated forecast.
        block: how many consecutive cases hang together.
    """
    name, meaning = f"coverage, {level:.1%}", "how often the central interval holds the truth"
    return ratio(name, held, total, block, better="closer", meaning=meaning, reference=level)


def _independent(estimate: Estimate, points: int) -> float:
    """How many independent points scatter as the blocks of cases do, `points` at most."""
    variance = estimate.value * (1 - estimate.value)
    blocks = np.count_nonzero(~np.isnan(estimate.influences))
    if estimate.error is None or variance <= 0 or blocks < 10:
        return float(max(1, min(points, estimate.cases)))
    return float(np.clip(variance / estimate.error**2, 1, points))
