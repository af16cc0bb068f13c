"""Products of energies: Metropolis moves at every noise level follow the exact product, added scores do not."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.denoisers.base import NeuralDenoiser, Traits
from ornstein.denoisers.composition import Composed, product
from ornstein.denoisers.energy import energy_difference, score
from ornstein.denoisers.oracles import gaussian_mixture
from ornstein.keys import Keys
from ornstein.sampling.kernels import Predictor
from worlds import assert_close, double, rejected

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DRAWS = 4000


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("composition")


def assert_follows(bench: Any, composed: Composed, x: Tensor) -> None:
    """Samples are as far from the exact product as exact draws are, of which one in eleven is the farthest."""
    exact = bench.Exact(composed)
    floor = max(exact.distance(exact.draw(Keys.of(1000 + k, len(x)))) for k in range(10))
    distance = exact.distance(x)
    assert distance <= 1.25 * floor, f"Wasserstein-1 {distance:.4f}, of exact draws at most {floor:.4f}"


def added(bench: Any, composed: Composed) -> Tensor:
    """The broken twin: scores are added, and no moves mend what that does."""
    return bench.walked(composed, DRAWS, 0, (Predictor(1.0),))[0]


def test_the_grid_is_the_product_of_gaussians(bench: Any) -> None:
    """Precisions add: N(½, ½) N(−¼, ½) / N(0, 1) is N(⅙, ⅓) along each axis."""
    a, b, base = (
        gaussian_mixture(double([mean]), variance * torch.eye(2).double()[None])
        for mean, variance in (([0.5, 0.5], 0.5), ([-0.25, -0.25], 0.5), ([0.0, 0.0], 1.0))
    )
    exact = bench.Exact(product(a, b, base))
    mean = exact.shares @ exact.places
    assert_close(mean, double([1 / 6, 1 / 6]), 1e-6)
    assert_close(exact.shares @ (exact.places - mean).square(), double([1 / 3, 1 / 3]), 1e-6)
    x = mean + (1 / 3) ** 0.5 * Keys.of(0, DRAWS).normal(2)
    assert_follows(bench, exact.composed, x)
    rejected(assert_follows, bench, exact.composed, x + 0.1)
    shifted = exact.draw(Keys.of(3, DRAWS)) + double([0.3, 0.0])
    assert exact.distance(shifted) == pytest.approx(0.3 * 2 / torch.pi, rel=0.1)  # the mean of |cos| over the lines


def test_moves_at_every_level_follow_the_product_of_oracles(bench: Any) -> None:
    composed = product(*bench.worlds())
    assert_follows(bench, composed, bench.moved(composed, DRAWS, 0)[0])
    rejected(assert_follows, bench, composed, added(bench, composed))
    assert_follows(bench, composed, bench.weighed(composed, DRAWS, 0, "mcmc")[0])


# Networks ---------------------------------------------------------------------------------------------


def assert_conservative(composed: Composed) -> None:
    """Loops close, and differences are those of the composed density."""
    x = 0.8 * Keys.of(3, 200).normal(2)
    away = x + 0.3 * Keys.of(4, 200).normal(2)
    for t in (0.1, 0.3, 0.6):
        difference, error = energy_difference(composed, x, away, t, nodes=48)
        assert error.max() < 1e-3 * difference.std()
        assert_close(difference, composed.log_density(x, t) - composed.log_density(away, t), 1e-3)


def assert_learnt(composed: Composed, exact: Composed, t: float = 0.4) -> None:
    x = Keys.of(5, 1000).normal(2)
    slope = score(exact, x, t)
    assert (score(composed, x, t) - slope).norm() < 0.3 * slope.norm()


@pytest.mark.slow
def test_the_composed_score_of_trained_energies_is_conservative(bench: Any) -> None:
    """Plain networks in the same frame, trained or not, have scores that are no gradients."""
    ring, bars, base = bench.worlds()
    networks = [bench.trained(world, seed, steps=400, batch=256) for world, seed in ((ring, 1), (bars, 2))]
    for network in networks:
        network.network.double()
    plain = [NeuralDenoiser(energy.network, Traits(energy.space)) for energy in networks]
    energies = product(networks[0], networks[1], base)
    assert_learnt(energies, product(ring, bars, base))
    assert_conservative(energies)
    rejected(assert_conservative, product(plain[0], plain[1], base))
