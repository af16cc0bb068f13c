"""Means and spreads of numbers that come piece by piece, in double precision (Welford 1962; Chan et al. 1983).

    δ = m_b − m_a,    m = m_a + δ n_b / n,    S = S_a + S_b + δ² n_a n_b / n,    variance = S / n

Numbers that are NaN are counted and left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod

import numpy as np


@dataclass(frozen=True, eq=False)
class Moments:
    """Of many numbers for each place of an array.

    Attributes:
        count: how many numbers there were.
        missing: how many were NaN.
        mean: of the others; 0 where there were none.
        square: sum of the squared distances from the mean.
        low, high: the smallest and the largest; ∞ and −∞ where there were none.
    """

    count: np.ndarray
    missing: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, over: Sequence[int]) -> "Moments":
        """Of numbers, over some axes of theirs.

        Args:
            values: any shape.
            over: the axes that are not kept.
        """
        axes = tuple(over)
        exists = ~np.isnan(values)
        whole = prod(values.shape[axis] for axis in axes)
        count = exists.sum(axes, dtype=np.int64)
        some, clean = np.maximum(count, 1), bool(exists.all())
        given = values.astype(np.float64) if clean else np.where(exists, values, 0.0).astype(np.float64)
        mean = given.sum(axes) / some
        given -= np.expand_dims(mean, axes)
        if not clean:
            given[~exists] = 0.0
        square = np.square(given, out=given).sum(axes)
        low = values.min(axes) if clean else np.where(exists, values, np.inf).min(axes)
        high = values.max(axes) if clean else np.where(exists, values, -np.inf).max(axes)
        found = (count, whole - count, mean, square, low.astype(np.float64), high.astype(np.float64))
        return cls(*map(np.asarray, found))

    def merged(self, other: "Moments") -> "Moments":
        """Of the numbers of both."""
        count = self.count + other.count
        apart, share = other.mean - self.mean, other.count / np.maximum(count, 1)
        mean = np.where(self.count > 0, self.mean + apart * share, other.mean)
        between = apart**2 * self.count * share
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        square = self.square + other.square + between
        return Moments(*map(np.asarray, (count, self.missing + other.missing, mean, square, low, high)))

    @property
    def variance(self) -> np.ndarray:
        """The mean squared distance from the mean (divided by n)."""
        return np.asarray(self.square / np.maximum(self.count, 1))

    @property
    def std(self) -> np.ndarray:
        return np.asarray(np.sqrt(self.variance))

    @property
    def mean_square(self) -> np.ndarray:
        """The mean of the squares."""
        return np.asarray(self.variance + self.mean**2)

    def named(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}
