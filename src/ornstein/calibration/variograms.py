"""The variogram score: whether differences between points are as large as they should be.

    VS = Σ w_ij (|y_i − y_j|^p − E|X_i − X_j|^p)² / Σ w_ij            (Scheuerer & Hamill 2015), p = ½

It sees what the CRPS and, nearly, the energy score are blind to: correlations. Of a field of a million points not all
pairs can be taken; near ones say most. Pairs are given as offsets on the grid, or as pairs of points of stations.
The fair score is less the variance of the mean over M members, s² / M (Ferro 2014).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import dist, prod
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from ..errors import InputError
from .ensembles import BLOCK, Ensemble, real
from .estimates import Estimate, ratio
from .scores import require_number

Ends = tuple[Any, Any, "float | np.ndarray"]
"""Two indices into (..., *field) that pick the first and the second points of pairs, and the weights of the pairs."""


@runtime_checkable
class Pairs(Protocol):
    """Which points are compared."""

    def ends(self, shape: tuple[int, ...]) -> Iterator[Ends]:
        """The pairs of a field of this shape, some at a time."""
        ...


@dataclass(frozen=True)
class Near:
    """Points at most `reach` apart on the grid of the last axes.

    Attributes:
        reach: the longest distance, in grid steps.
        axes: how many of the last axes are the grid; others (variables, levels) are not mixed.
        by_distance: pairs count as 1 / distance; otherwise all alike.
    """

    reach: float = 3.0
    axes: int = 2
    by_distance: bool = False

    def ends(self, shape: tuple[int, ...]) -> Iterator[Ends]:
        """Both ends of the pairs, in parts, as indices, and their weights."""
        axes = min(self.axes, len(shape))
        grid = shape[len(shape) - axes :]
        for lag in self.lags(axes):
            if all(abs(step) < size for step, size in zip(lag, grid, strict=True)):
                first = tuple(slice(max(0, -step), min(n, n - step)) for step, n in zip(lag, grid, strict=True))
                second = tuple(slice(max(0, step), min(n, n + step)) for step, n in zip(lag, grid, strict=True))
                yield (..., *first), (..., *second), 1 / dist(lag, [0] * axes) if self.by_distance else 1.0

    def lags(self, axes: int) -> list[tuple[int, ...]]:
        """Offsets, each direction once."""
        steps = range(-int(self.reach), int(self.reach) + 1)
        zero = (0,) * axes
        return [lag for lag in product(steps, repeat=axes) if lag > zero and dist(lag, zero) <= self.reach]


@dataclass(frozen=True, eq=False)
class Listed:
    """Pairs of points of the flat field, such as stations.

    Attributes:
        first: numbers of points.
        second: numbers of points.
        weights: of the pairs; None: all alike.
    """

    first: Int[np.ndarray, " pairs"]
    second: Int[np.ndarray, " pairs"]
    weights: Float[np.ndarray, " pairs"] | None = None

    @classmethod
    def every(cls, points: int) -> "Listed":
        """All pairs of so many points."""
        return cls(*np.triu_indices(points, 1))

    def ends(self, shape: tuple[int, ...]) -> Iterator[Ends]:
        """Both ends of the pairs, in parts, as indices, and their weights."""
        size = prod(shape)
        for name, numbers in (("first", self.first), ("second", self.second)):
            if len(numbers) and not (numbers.min() >= 0 and numbers.max() < size):
                raise InputError(f"pairs: {name} has numbers {numbers.min()} to {numbers.max()} of {size} points")
        for start in range(0, len(self.first), 1 << 12):
            some = slice(start, start + (1 << 12))
            places = (np.unravel_index(numbers[some], shape) for numbers in (self.first, self.second))
            first, second = ((..., *place) for place in places)
            yield first, second, 1.0 if self.weights is None else self.weights[some]


def variogram_score(
    truths: Any,
    samples: Any,
    weights: Any = None,
    *,
    pairs: Any = Near(),
    p: float = 0.5,
    fair: bool = True,
    block: int = 1,
) -> Estimate:
    """The variogram score, a mean over pairs, in units of the field^(2p).

    Args:
        truths: (cases, *field); NaN is missing: a pair counts where both of its points are there.
        samples: (cases, members, *field).
        weights: of the points, see `Ensemble.of`: a pair counts as the product of its points.
        pairs: `Near(reach)` on a grid, `Listed(first, second, weights)` or `Listed.every(n)` of stations, or rows of
            two numbers of points.
        p: the power of the differences.
        fair: as of infinitely many members.
        block: how many consecutive cases hang together.
    """
    if not require_number(p, "p") > 0:
        raise InputError(f"p: {p:g}, expected a positive power")
    ensemble = Ensemble.of(truths, samples, weights, 2 if fair else 1)
    return variogram_of(variogram_sums(ensemble, _pairs(pairs), p, fair), block)


def variogram_of(sums: Float[np.ndarray, "2 cases"], block: int) -> Estimate:
    """The variogram score by its sums."""
    meaning = "squared error of the differences between points: sees correlations"
    return ratio("variogram score", sums[0], sums[1], block, meaning=meaning)


def variogram_sums(ensemble: Ensemble, pairs: Pairs, p: float = 0.5, fair: bool = True) -> Float[np.ndarray, "2 cases"]:
    """Of each case the sum over pairs of weighted squares, and of the weights that count; see `variogram_score`."""
    if not ensemble.shape:
        raise InputError("truths: one number a case, expected fields: a variogram is of pairs of points")
    sums, counts = np.zeros((2, ensemble.cases))
    for whole in ensemble.whole():
        truth, there = whole.truth.astype(np.float64), whole.counted
        for first, second, weight in pairs.ends(ensemble.shape):
            both = (there[first] * there[second]) * weight
            squares = np.where(both > 0, _squares(truth, whole.samples, first, second, p, fair), 0.0)
            sums[whole.cases] += (both * squares).reshape(len(both), -1).sum(1)
            counts[whole.cases] += both.reshape(len(both), -1).sum(1)
    return np.array([sums, counts])


def _squares(truth: np.ndarray, members: np.ndarray, first: Any, second: Any, p: float, fair: bool) -> np.ndarray:
    """Squared errors of the mean over members of |X_i − X_j|^p, some members at a time."""
    off = np.abs(truth[first] - truth[second]) ** p
    count, sums, squares = members.shape[1], np.zeros_like(off), np.zeros_like(off)
    step = max(1, BLOCK // off.size)
    for start in range(0, count, step):
        some = members[:, start : start + step].astype(np.float64)
        apart = np.abs(some[first] - some[second])
        apart = np.sqrt(apart) if p == 0.5 else apart**p
        sums += apart.sum(1)
        squares += np.einsum("cm...,cm...->c...", apart, apart)
    mean = sums / count
    own = np.maximum(squares / count - mean**2, 0.0) / (count - 1) if fair else 0.0
    return (off - mean) ** 2 - own


def _pairs(pairs: Any) -> Pairs:
    if isinstance(pairs, Pairs):
        return pairs
    found = real(pairs, "pairs")
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "iu":
        raise InputError(f"pairs: shape {found.shape}, expected rows of two numbers of points")
    return Listed(found[:, 0].astype(np.int64), found[:, 1].astype(np.int64))
