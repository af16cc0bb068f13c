"""What an estimate of evidence and means by one population of particles must be: unbiased."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from ornstein.denoisers.base import Denoiser
from ornstein.keys import Keys
from ornstein.sampling.diagnostics import log_mean_exp
from ornstein.sampling.kernels import Kernel, SamplerState
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.states import State

EXACT = Particles()


def population(
    denoiser: Denoiser, grid: Any, n: int, seed: int, kernel: Kernel = EXACT, condition: Any = None
) -> SamplerState:
    return Sampler(grid, (kernel,)).end(denoiser, Keys.of(seed, n), condition)


def of(state: SamplerState) -> Any:
    assert state.population is not None
    return state.population


def p_value(draws: Tensor) -> float:
    """Hotelling's T²: how likely independent rows of mean zero scatter like these."""
    (runs, size), mean, cov = draws.shape, draws.mean(0), torch.atleast_2d(torch.cov(draws.T))
    cov = cov + 1e-9 * cov.trace() * torch.eye(size)  # what never varies must be 0 altogether
    t2 = runs * mean @ torch.linalg.solve(cov, mean)
    return float(stats.f.sf(t2.item() * (runs - size) / (size * (runs - 1)), size, runs - size))


def assert_unbiased(
    denoiser: Denoiser,
    features: Callable[[Any], Tensor],
    expected: Tensor,
    log_z: float,
    grid: Any,
    kernel: Kernel = EXACT,
    runs: int = 36,
    n: int = 64,
) -> None:
    """E[Ẑ] = Z and E[Ẑ f(x)] = Z E[f]; features: x → (n, k)."""
    walks = [population(denoiser, grid, n, seed, kernel) for seed in range(runs)]
    z = torch.stack([of(walk).log_evidence - log_z for walk in walks]).exp()
    means = torch.stack([features(walk.x).double().mean(0) for walk in walks])
    p = p_value(torch.cat([z[:, None] - 1, z[:, None] * (means - expected)], 1))
    assert p > 0.01, f"p = {p:.1g}, Ẑ/Z = {z.mean():.3f}, off by {((z / z.sum()) @ means - expected).tolist()}"


@dataclass(frozen=True)
class Unweighted(Particles):
    """A broken twin: knows its evidence, but returns guided steps as they come."""

    threshold: float = 0.0

    def _resampled(self, x: State, population: Any, last: bool, keys: Keys) -> Any:
        even = log_mean_exp(population.log_weights).expand(len(population.ancestor)) if last else population.log_weights
        return super()._resampled(x, replace(population, log_weights=even), last, keys)


def pairs(states: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(states), torch.arange(states))
