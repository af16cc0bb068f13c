"""What ArviZ is asked, and how: laws whose k̂, R̂ and effective sizes are known, and inputs that cannot be judged."""

from math import inf, isnan

import pytest
import torch
from torch import Tensor

from ornstein import Keys
from ornstein.sampling.convergence import chain_ess, pareto_smoothed, r_hat


def autoregressive(memory: float, chains: int = 8, draws: int = 4000) -> Tensor:
    """Chains x_{t+1} = a x_t + √(1 − a²) z, whose draws are worth (1 − a)/(1 + a) of independent ones."""
    noise = Keys.of(0, chains).normal(draws)
    x = noise.clone()
    for t in range(1, draws):
        x[:, t] = memory * x[:, t - 1] + (1 - memory**2) ** 0.5 * noise[:, t]
    return x


@pytest.mark.parametrize("k", [0.2, 0.5, 1.0])
def test_the_shape_of_a_pareto_tail_is_found(k: float) -> None:
    """Weights w = u^(−k) have a tail of shape k; the fit is pulled to .5 a little, and scatters."""
    u = Keys.of(1, 1).uniform(20000)[0].double()
    assert pareto_smoothed(-k * u.log())[1] == pytest.approx(k, abs=0.08)
    assert pareto_smoothed(k * u.log())[1] < 0.08  # of 1/w, which is bounded: the broken twin


def test_smoothed_weights_are_normalised_and_keep_their_order() -> None:
    weights = 3 * Keys.of(2, 1).normal(1000)[0].double()
    smoothed, _ = pareto_smoothed(weights)
    assert smoothed.logsumexp(0).item() == pytest.approx(0, abs=1e-9)
    assert torch.equal(smoothed.argsort(), weights.argsort())


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_effective_size_of_chains_with_memory(memory: float) -> None:
    x = autoregressive(memory)
    assert chain_ess(x) / x.numel() == pytest.approx((1 - memory) / (1 + memory), rel=0.2)


def test_r_hat_sees_chains_that_are_apart() -> None:
    x = autoregressive(0.5)
    assert r_hat(x) == pytest.approx(1, abs=0.01)
    assert r_hat(x + torch.arange(8.0)[:, None]) > 1.5
    assert r_hat(torch.arange(4.0)[:, None].expand(4, 100)) > 100  # they stand still, each elsewhere


def test_too_few_cannot_be_judged() -> None:
    assert isnan(r_hat(torch.zeros(1, 100)))
    assert isnan(r_hat(torch.randn(4, 3)))
    assert isnan(chain_ess(torch.randn(4, 3)))
    assert isnan(r_hat(torch.full((4, 100), torch.nan)))
    assert isnan(r_hat(torch.zeros(4, 100)))


@pytest.mark.parametrize("weights", [torch.zeros(10), torch.zeros(100), torch.full((100,), -torch.inf)])
def test_equal_and_few_weights_have_no_tail(weights: Tensor) -> None:
    smoothed, shape = pareto_smoothed(weights)
    assert shape == inf
    assert smoothed.exp().tolist() == pytest.approx([1 / len(weights)] * len(weights))


def test_weights_of_few_values_are_kept_as_they_are() -> None:
    """As categories have them: most of the largest are one and the same."""
    weights = torch.zeros(600).double()
    weights[:150], weights[150:158] = 1.0, 1.5
    smoothed, shape = pareto_smoothed(weights)
    assert shape == inf
    assert smoothed.tolist() == pytest.approx(weights.log_softmax(0).tolist())


def test_weights_of_zero_are_kept() -> None:
    weights = torch.where(torch.arange(200) < 100, Keys.of(3, 1).normal(200)[0].double(), -torch.inf)
    smoothed, shape = pareto_smoothed(weights)
    assert shape < inf
    assert smoothed[100:].exp().max() == 0
