"""k̂, R̂ and effective sizes are arviz's, on weights and chains of every kind."""

import warnings
from math import isnan
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein.sampling.convergence import chain_ess, pareto_smoothed, r_hat

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # arviz announces its next version on every import
    import arviz


def chains(kind: str, chains: int, draws: int) -> Tensor:
    """Chains with memory .9, apart, of heavy tails, with ties, moving to and fro, or without memory."""
    noise = np.random.default_rng(0).standard_normal((chains, draws))
    x = noise.copy()
    if kind in ("slow", "anti"):
        for t in range(1, draws):
            x[:, t] = (0.9 if kind == "slow" else -0.7) * x[:, t - 1] + noise[:, t]
    if kind == "apart":
        x += np.arange(chains)[:, None]
    if kind == "heavy":
        x = noise / np.abs(np.random.default_rng(1).standard_normal(noise.shape))
    return torch.from_numpy(x.round(1) if kind == "ties" else x)


@pytest.mark.parametrize("kind", ["free", "slow", "anti", "apart", "heavy", "ties"])
@pytest.mark.parametrize("shape", [(2, 100), (4, 57), (8, 1000), (3, 8), (16, 4)])
def test_chains_are_judged_as_by_arviz(kind: str, shape: tuple[int, int]) -> None:
    x = chains(kind, *shape)
    judge: Any = arviz
    assert r_hat(x) == pytest.approx(float(judge.rhat(x.numpy())), rel=1e-9)
    expected = min(float(judge.ess(x.numpy(), method=how)) for how in ("bulk", "tail"))
    assert chain_ess(x) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [20, 30, 500, 4000])
@pytest.mark.parametrize("spread", [0.01, 0.5, 1.5, 4.0])
def test_weights_are_smoothed_as_by_arviz(n: int, spread: float) -> None:
    weights = torch.from_numpy(spread * np.random.default_rng(n).standard_normal(n))
    judge: Any = arviz
    expected, shape = judge.psislw(weights.numpy().copy())
    smoothed, found = pareto_smoothed(weights)
    assert found == pytest.approx(float(shape), rel=1e-6)
    assert np.allclose(smoothed, expected, atol=1e-9)


def test_too_few_cannot_be_judged() -> None:
    assert isnan(r_hat(torch.zeros(1, 100)))
    assert isnan(r_hat(torch.randn(4, 3)))
    assert isnan(chain_ess(torch.randn(4, 3)))
    assert isnan(r_hat(torch.full((4, 100), torch.nan)))
    assert pareto_smoothed(torch.zeros(10))[1] == float("inf")
    assert r_hat(torch.arange(4.0)[:, None].expand(4, 100)) > 100  # chains that stand still, each elsewhere
