"""Tests of whether ranks that should be uniform are.

Points of one field are correlated, so Pearson's X² of all points would reject what is calibrated. Here it is divided
by what correlation does to it, as seen between cases (Rao & Scott 1981, 1984): with V the covariance of the shares p_k
over blocks of cases and n points, the eigenvalues of n V / π have mean λ̄ and squared variation a², and

    X² / (λ̄ (1 + a²))  ~  χ² of (K − 1) / (1 + a²) degrees of freedom.

Two directions say what is wrong (Jolliffe & Primo 2008): `bias`, the slope over the ranks (positive: the truth lies
high, the forecast low), and `spread`, the bend (positive: a ∪, too little spread).

What a test did not see is worth as much as what it could have seen: `seen` is the smallest error of a Gaussian
forecast that X² finds in 4 of 5 cases at the 5 % level.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import exp, log

import numpy as np
from jaxtyping import Float, Int

from ..text import markup

DOUBTFUL = 0.05
"""The p-value below which a report is marked as bad news."""
FEWEST = 10
"""Blocks of cases from which correlation is estimated; with fewer, points are taken for independent."""


@dataclass(frozen=True, eq=False)
class Uniformity:
    """How uniform counts are.

    Attributes:
        statistic: Pearson's X², corrected for correlation.
        freedom: its degrees of freedom, corrected too.
        p_value: of a calibrated forecast showing as much.
        points: that were counted.
        effective: independent points with as much information; `points` if they are independent.
        bias: standard errors by which ranks are tilted; positive: the truth lies higher than the members.
        spread: standard errors by which ranks are bent; positive: the members are too close together.
        members: of the ensemble.
        bins: that were counted.
    """

    statistic: float
    freedom: float
    p_value: float
    points: int
    effective: float
    bias: float
    spread: float
    members: int
    bins: int

    @cached_property
    def seen(self) -> dict[str, float]:
        """What X² would see in 4 of 5 such samples, at the 5 % level, of a Gaussian forecast.

        "narrow" and "wide" are factors of the right standard deviation, "bias" is in standard deviations of the
        forecast. NaN: not even tenfold.
        """
        return seen(self.members, self.bins, self.effective)

    def __str__(self) -> str:
        seen = self.seen
        return (
            f"χ² {self.statistic:.1f} on {self.freedom:.3g} degrees of freedom, p = {self.p_value:.2g}; "
            f"{self.points} points as good as {self.effective:.0f} independent ones, which show a spread below "
            f"{seen['narrow']:.2f} or above {seen['wide']:.2f} of the right one, or a bias of {seen['bias']:.2f} "
            "standard deviations, in 4 of 5 cases"
        )

    def _repr_html_(self) -> str:
        told = f"p = {self.p_value:.2g} that a calibrated forecast shows as much"
        rows = [
            ("χ²", f"{self.statistic:.1f} on {self.freedom:.3g} degrees of freedom"),
            ("points", f"{self.points:,}, as good as {self.effective:,.0f} independent ones"),
            ("truth above the members", f"{self.bias:+.1f} standard errors"),
            ("members too close together", f"{self.spread:+.1f} standard errors"),
        ]
        return markup.boxed(markup.verdict(told, bool(self.p_value >= DOUBTFUL)), markup.pairs(rows))


def uniformity(counts: Int[np.ndarray, "blocks bins"], shares: Float[np.ndarray, " bins"], members: int) -> Uniformity:
    """Whether counts of blocks of cases follow the shares.

    Args:
        counts: of points of each block in each bin.
        shares: of the bins, where calibrated.
        members: of the ensemble, for what could be seen.
    """
    from scipy.stats import chi2

    counts = counts[counts.sum(1) > 0]
    n, found = int(counts.sum()), counts.sum(0) / counts.sum()
    pearson = float(n * ((found - shares) ** 2 / shares).sum())
    mean, variation, covariance = _correlation(counts, shares)
    freedom = (len(shares) - 1) / (1 + variation)
    statistic = pearson / (mean * (1 + variation))
    bias, spread = (_along(direction, found, covariance, n, shares) for direction in _directions(shares))
    p_value = float(chi2.sf(statistic, freedom))
    return Uniformity(statistic, freedom, p_value, n, n / mean, bias, spread, members, len(shares))


def _correlation(counts: np.ndarray, shares: np.ndarray) -> tuple[float, float, np.ndarray]:
    """λ̄ ≥ 1, a² ≥ 0 and V n, from how counts differ between blocks; 1, 0 and the multinomial's with few blocks."""
    blocks, n, found = len(counts), counts.sum(), counts.sum(0) / counts.sum()
    alone = np.diag(shares) - np.outer(shares, shares)
    if blocks < FEWEST:
        return 1.0, 0.0, alone
    off = (counts - counts.sum(1, keepdims=True) * found) / np.sqrt(shares)
    scaled = off.T @ off * (blocks / (blocks - 1) / n)
    freedom, trace = len(shares) - 1, np.trace(scaled)
    # The square of an estimated matrix has the noise of the estimate in it (Srivastava 2005).
    square = blocks**2 / ((blocks - 1) * (blocks + 2)) * ((scaled**2).sum() - trace**2 / blocks)
    variation = max(0.0, square * freedom / trace**2 - 1) if trace > 0 else 0.0
    mean = trace / freedom
    if mean <= 1:  # as it is for independent points, up to noise
        return 1.0, 0.0, alone
    root = np.sqrt(shares)
    return mean, min(variation, freedom - 1.0), scaled * np.outer(root, root)


def _directions(shares: np.ndarray) -> list[np.ndarray]:
    """A slope and a bend over the bins, orthonormal under the shares."""
    places = np.cumsum(shares) - shares / 2
    basis = [np.ones_like(shares)]
    for power in (places, places**2):
        for one in basis:
            power = power - (shares * power * one).sum() * one
        size = np.sqrt((shares * power**2).sum())
        basis.append(power / size if size > 1e-12 else np.zeros_like(power))
    return basis[1:]


def _along(direction: np.ndarray, found: np.ndarray, covariance: np.ndarray, n: int, shares: np.ndarray) -> float:
    variance = max(float(direction @ covariance @ direction), float((shares * direction**2).sum()))
    return float(np.sqrt(n) * direction @ (found - shares) / np.sqrt(variance)) if variance > 0 else 0.0


@lru_cache(maxsize=64)
def _needed(freedom: int, level: float, power: float) -> float:
    """The non-centrality at which a χ² test of this level has this power."""
    from scipy.optimize import brentq
    from scipy.stats import chi2, ncx2

    limit = chi2.isf(level, freedom)
    return float(brentq(lambda off: ncx2.sf(limit, freedom, off) - power, 1e-3, 1e3))  # pyright: ignore


def seen(members: int, bins: int, points: float, level: float = 0.05, power: float = 0.8) -> dict[str, float]:
    """The smallest errors of a Gaussian forecast that X² finds with this power.

    Args:
        members: of the ensemble.
        bins: of the histogram, as equal as they can be.
        points: independent ones.
        level: of the test.
        power: how often it finds the error.
    """
    if bins < 2:
        return {"narrow": float("nan"), "wide": float("nan"), "bias": float("nan")}
    least = _needed(bins - 1, level, power) / max(points, 1e-9)
    groups, shares = grouped(members + 1, bins)

    def off(spread: float, bias: float) -> float:
        found = np.bincount(groups, rank_shares(members, spread, bias), bins)
        return float(((found - shares) ** 2 / shares).sum()) - least

    return {
        "narrow": _crossing(lambda x: off(exp(-x), 0.0), lambda x: exp(-x)),
        "wide": _crossing(lambda x: off(exp(x), 0.0), exp),
        "bias": _crossing(lambda x: off(1.0, x), float),
    }


def _crossing(excess: Callable[[float], float], value: Callable[[float], float], top: float = log(10)) -> float:
    """The value at which the error becomes large enough; the excess grows with it."""
    low, high = 0.0, top
    if excess(top) < 0:
        return float("nan")
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return value(high)


def rank_shares(members: int, spread: float, bias: float) -> Float[np.ndarray, " ranks"]:
    """How often the truth, N(bias, 1), has each rank among so many members of N(0, spread²)."""
    from scipy.special import ndtr
    from scipy.stats import binom

    y = np.linspace(-6, 6, 301)
    density = np.exp(-(y**2) / 2)
    below = np.clip(ndtr((y + bias) / spread), 1e-300, 1 - 1e-16)
    return binom.pmf(np.arange(members + 1), members, below[:, None]).T @ (density / density.sum())


def grouped(ranks: int, bins: int) -> tuple[Int[np.ndarray, " ranks"], Float[np.ndarray, " bins"]]:
    """Which of so many bins each rank falls into, neighbours together, and the bins' shares of the ranks."""
    groups = np.arange(ranks) * bins // ranks
    return groups, np.bincount(groups, minlength=bins) / ranks
