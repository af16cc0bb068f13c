"""How far weights and Markov chains can be trusted, by ArviZ: k̂ of weights, R̂ and the effective size of chains.

Sources: Vehtari, Simpson, Gelman, Yao, Gabry 2024 (Pareto-smoothed weights, k̂); Vehtari, Gelman, Simpson, Carpenter,
Bürkner 2021 (rank-normalised split R̂, bulk and tail size).
"""

from math import inf, nan
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..deferred import deferred

_arviz: Any = deferred("arviz_stats.base")  # it brings SciPy, which only diagnostics need

_FEWEST_DRAWS = 4
_TAILS = (0.05, 0.95)


def pareto_smoothed(log_weights: Float[Tensor, " n"]) -> tuple[Float[Tensor, " n"], float]:
    """Log-weights whose largest are replaced by quantiles of a fitted Pareto tail (normalised), and its shape k̂.

    The smoothed weights can be trusted below k̂ = .7; above, no number of samples helps. Fewer than 25 weights, and
    weights whose largest are equal, have no tail: they are normalised alone, and k̂ = ∞ says that nothing is known of
    it.

    Args:
        log_weights: logarithms of the weights, up to a constant.
    """
    finite = log_weights.double().clamp(min=-1e300)
    try:
        with np.errstate(divide="raise"):  # a quarter of the tail is one weight, as categories have them
            smoothed, shape = _arviz.array_stats.psislw(-finite.cpu().numpy())  # it asks for the logarithms of 1/w
    except (ValueError, FloatingPointError):  # there is no tail
        return finite.log_softmax(0), inf
    return torch.as_tensor(smoothed, dtype=torch.float64, device=log_weights.device).log_softmax(0), float(shape)


def r_hat(values: Float[Tensor, "chains draws"]) -> float:
    """Spread between chains against the spread within, rank-normalised and split; 1 where chains agree.

    Args:
        values: of one quantity; NaN if there are fewer than two chains or four draws.
    """
    if len(values) < 2 or _unjudged(values):
        return nan
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that stand still differ infinitely, or not at all
        return float(_arviz.array_stats.rhat(_array(values)))


def chain_ess(values: Float[Tensor, "chains draws"]) -> float:
    """How many independent draws they are worth: the smaller of bulk and tails (5 and 95 %).

    Args:
        values: of one quantity; NaN if there are fewer than four draws.
    """
    if _unjudged(values):
        return nan
    x = _array(values)
    return float(min(_arviz.array_stats.ess(x), _arviz.array_stats.ess(x, method="tail", prob=_TAILS)))


def _unjudged(values: Tensor) -> bool:
    return values.shape[1] < _FEWEST_DRAWS or bool(values.isnan().any())


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
