"""The problems of benchmarks/posterior.py: their exact answers against importance sampling from the prior."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from ornstein.keys import Keys
from worlds import assert_close

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
DRAWS = 200_000


@pytest.fixture
def posterior(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("posterior_worlds")


@pytest.mark.parametrize(("m", "seed"), [(1, 0), (1, 3), (2, 1)])
def test_evidence_and_posterior_agree_with_importance_sampling(posterior: Any, m: int, seed: int) -> None:
    problem = posterior.problem(8, m, seed)
    x = problem.prior.draw(Keys.of(seed, DRAWS)).double()
    residual = (problem.y - x @ problem.matrix.T) / problem.std
    volume = m * (torch.tensor(2 * torch.pi).log() / 2 + torch.tensor(problem.std).log())
    log_weights = -residual.square().sum(1) / 2 - volume
    weights = log_weights.softmax(0)
    error = (weights.square().sum() - 1 / DRAWS).sqrt().item()  # of the log of the mean weight
    evidence = (log_weights.logsumexp(0) - torch.tensor(DRAWS).log()).item()
    assert error < 0.1
    assert abs(evidence - problem.log_evidence) < 4 * error
    mean = weights @ x
    tolerance = 4 * (weights.square() @ (x - mean).square()).sqrt()  # of each coordinate's mean
    exact = problem.draw(Keys.of(seed + 1, 20_000)).double()
    assert ((exact.mean(0) - mean).abs() < tolerance + 4 * exact.std(0) / 20_000**0.5).all()


def test_the_denoiser_is_that_of_the_prior(posterior: Any) -> None:
    problem = posterior.problem(8, 2, 0)
    x = 10 * Keys.of(0, 64).normal(8)
    for t in (0.05, 0.5, 0.95, 1.0):
        assert_close(posterior.Exact(problem)(x, t).mean, problem.prior(x, t).mean, 1e-9)


def test_distance_of_a_shift_is_the_mean_of_its_projections(posterior: Any) -> None:
    x = Keys.of(0, 100).normal(1)
    assert posterior.wasserstein(x, x + 0.3) == pytest.approx(0.3)
