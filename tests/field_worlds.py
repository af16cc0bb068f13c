"""Truths and ensembles of Gaussian fields in closed form: calibrated, or broken on purpose."""

from typing import Any

import numpy as np

SPREADS = {"narrow": 0.8, "wide": 1.25}


def fields(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> np.ndarray:
    """Periodic Gaussian fields over the last two axes, variance 1, correlation exp(−d²/(2 length²)) up to the grid."""
    white = rng.normal(size=shape)
    if not length:
        return white
    k = np.hypot(np.fft.fftfreq(shape[-2])[:, None], np.fft.fftfreq(shape[-1]))
    root = np.exp(-((np.pi * k * length) ** 2))
    return np.fft.ifft2(np.fft.fft2(white) * (root / np.sqrt((root**2).mean()))).real


def ensemble(
    seed: int,
    cases: int = 40,
    members: int = 10,
    size: int = 8,
    *,
    spread: float = 1.0,
    bias: float = 0.0,
    correlated: bool = True,
    length: float = 2.0,
    signal: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Truths (cases, size, size) and members (cases, members, size, size) about a mean that differs from case to case.

    Args:
        spread: of the members about the mean, of the truth's.
        bias: of the members, in standard deviations of the truth about the mean.
        correlated: False: the members' points are independent.
        length: over which points are correlated; 0: all are independent.
        signal: standard deviation of the mean.
    """
    rng = np.random.default_rng(seed)
    mean = signal * fields(rng, (cases, size, size), length)
    truth = mean + fields(rng, (cases, size, size), length)
    drawn = fields(rng, (cases, members, size, size), length if correlated else 0.0)
    return truth, mean[:, None] + bias + spread * drawn


def share_rejected(test: Any, seeds: int = 60, **world: Any) -> float:
    """How often a p-value of a world is below 5 %, over independent seeds."""
    return float(np.mean([test(*ensemble(seed, **world)) < 0.05 for seed in range(seeds)]))


def assert_calibrated(test: Any, seeds: int = 60, **world: Any) -> None:
    """The test rejects about 5 % of calibrated worlds: no more than the binomial's 99.9 % of so many seeds."""
    from scipy.stats import binom

    share = share_rejected(test, seeds, **world)
    assert share <= binom.ppf(0.999, seeds, 0.05) / seeds, f"{share:.0%} of worlds rejected"
