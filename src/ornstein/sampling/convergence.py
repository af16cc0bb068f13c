"""How far weights and Markov chains can be trusted: k̂ of weights, R̂ and the effective size of chains.

Sources: Vehtari, Simpson, Gelman, Yao, Gabry 2024 (Pareto-smoothed weights, k̂); Zhang and Stephens 2009 (the fit of
the tail); Vehtari, Gelman, Simpson, Carpenter, Bürkner 2021 (rank-normalised split R̂, bulk and tail size); Geyer 1992
(where the sum of autocorrelations ends). The tests hold every number against arviz.
"""

from math import ceil, inf, log10, nan

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_FEWEST = 4  # draws of a half chain, and weights of a tail, that can be judged


def pareto_smoothed(log_weights: Float[Tensor, " n"]) -> tuple[Float[Tensor, " n"], float]:
    """Log-weights whose largest are replaced by quantiles of a fitted Pareto tail (normalised), and its shape k̂.

    The smoothed weights can be trusted below k̂ = .7; above, no number of samples helps.

    Args:
        log_weights: logarithms of the weights, up to a constant.
    """
    smoothed = log_weights.double().clamp(min=-1e300).cpu().numpy().copy()
    smoothed -= smoothed.max()
    cut = max(np.sort(smoothed)[-_tail_size(len(smoothed)) - 1], np.log(np.finfo(float).tiny))
    tail = np.flatnonzero(smoothed > cut)
    shape = inf
    if len(tail) > _FEWEST:
        tail = tail[np.argsort(smoothed[tail])]
        shape, scale = _fit_pareto(np.exp(smoothed[tail]) - np.exp(cut))
        if np.isfinite(shape):
            quantiles = _pareto_quantiles((np.arange(len(tail)) + 0.5) / len(tail), shape, scale)
            smoothed[tail] = np.minimum(np.log(quantiles + np.exp(cut)), 0.0)
    smoothed -= smoothed.max() + np.log(np.exp(smoothed - smoothed.max()).sum())
    return torch.as_tensor(smoothed, device=log_weights.device), float(shape)


def r_hat(values: Float[Tensor, "chains draws"]) -> float:
    """Spread between chains against the spread within, rank-normalised and split, in the bulk and in the tails.

    Args:
        values: of one quantity; NaN if there are fewer than two chains or four draws.
    """
    x = values.double().cpu().numpy()
    if x.shape[0] < 2 or x.shape[1] < _FEWEST or np.isnan(x).any():
        return nan
    halves = _halves(x)
    folded = np.abs(halves - np.median(halves))
    return max(_between_against_within(_normal_scores(part)) for part in (halves, folded))


def chain_ess(values: Float[Tensor, "chains draws"]) -> float:
    """How many independent draws they are worth: the smaller of bulk and tails (5 and 95 %).

    Args:
        values: of one quantity; NaN if there are fewer than four draws.
    """
    x = values.double().cpu().numpy()
    if x.shape[1] < _FEWEST or np.isnan(x).any():
        return nan
    tails = (_halves((x <= np.quantile(x, share)).astype(float)) for share in (0.05, 0.95))
    return min(map(_effective_size, (_normal_scores(_halves(x)), *tails)))


def _tail_size(n: int) -> int:
    """How many of n weights make the tail."""
    return ceil(min(n / 5, 3 * n**0.5))


def _fit_pareto(x: np.ndarray) -> tuple[float, float]:
    """Shape k and scale σ of a generalised Pareto distribution: Zhang and Stephens' posterior mean.

    Args:
        x: exceedances, in ascending order.
    """
    n = len(x)
    grid = 30 + int(n**0.5)
    b = 1 / x[-1] + (1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3 * x[int(n / 4 + 0.5) - 1])
    k = np.log1p(-b[:, None] * x).mean(1)
    profile = n * (np.log(-b / k) - k - 1)
    weight = np.exp(profile - profile.max())
    weight = np.where(weight >= 10 * np.finfo(float).eps * weight.sum(), weight, 0.0)
    mean = (b * weight).sum() / weight.sum()
    shape = np.log1p(-mean * x).mean()
    return (n * shape + 5) / (n + 10), -shape / mean  # the shape is drawn to .5 as if by ten exceedances


def _pareto_quantiles(share: np.ndarray, shape: float, scale: float) -> np.ndarray:
    """σ ((1 − p)^(−k) − 1) / k, and its limit at k = 0."""
    exponential = -np.log1p(-share)
    return scale * (exponential if abs(shape) < np.finfo(float).eps else np.expm1(shape * exponential) / shape)


def _halves(x: np.ndarray) -> np.ndarray:
    """The two halves of every chain as chains; the middle draw of an odd number is left out."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _normal_scores(x: np.ndarray) -> np.ndarray:
    """Normal quantiles of the ranks among all values (Blom); ties share their mean rank."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    rank = (count.cumsum() - (count - 1) / 2)[place.reshape(x.shape)]
    return torch.special.ndtri(torch.from_numpy((rank - 0.375) / (x.size + 0.25))).numpy()


def _between_against_within(x: np.ndarray) -> float:
    n = x.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that stand still differ infinitely, or not at all
        return float(np.sqrt((n * x.mean(1).var(ddof=1) / x.var(1, ddof=1).mean() + n - 1) / n))


def _effective_size(x: np.ndarray) -> float:
    """Chains times draws over the autocorrelation time, whose sum ends where pairs of lags are no longer positive."""
    chains, n = x.shape
    if np.ptp(x) < 1e-15:
        return float(x.size)
    covariance = _autocovariance(x).mean(0)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (x.mean(1).var(ddof=1) if chains > 1 else 0.0)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(1)[: max(1, (n - 2) // 2)]  # the last lags are never looked at
    ended = np.flatnonzero(pairs <= 0)
    kept = int(ended[0]) if len(ended) else len(pairs)
    last = max(rho[2 * kept], 0.0) if kept < len(pairs) else 0.0
    if kept == len(pairs):  # no pair ended the sum: the last pair is counted by its first lag alone
        kept, last = kept - 1, max(rho[2 * (kept - 1)], 0.0)
    time = 2 * np.minimum.accumulate(pairs[:kept]).sum() - 1 + last
    return x.size / max(time, 1 / log10(x.size))


def _autocovariance(x: np.ndarray) -> np.ndarray:
    """Of every chain at every lag, by Fourier transforms."""
    n = x.shape[1]
    power = np.abs(np.fft.rfft(x - x.mean(1, keepdims=True), 2 * n, axis=1)) ** 2
    return np.fft.irfft(power, 2 * n, axis=1)[:, :n] / n
