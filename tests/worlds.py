"""Closed-form worlds, the statistical distances that judge samples of them, and parts broken on purpose.

Every `assert_…` of a law is a statistical test: a test module runs it on the engine, where it must pass, and
on a broken twin, where it must fail.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from ornstein.beliefs import Joint, Normal
from ornstein.denoisers.base import Condition, Denoiser, Guided, Origin, Traits, carry
from ornstein.denoisers.oracles import Mixture, enumerated, gaussian_mixture, joint_mixture
from ornstein.keys import Keys
from ornstein.sampling.kernels import Predictor, SamplerState
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import Cosine, Schedule
from ornstein.spaces import Categorical, Gaussian, Space
from ornstein.states import State, Time

F64 = torch.float64


def double(values: Any) -> Tensor:
    return torch.as_tensor(values, dtype=F64)


def rotated(angle: float, stds: Sequence[float]) -> Tensor:
    """The 2-D covariance with the given standard deviations along axes turned by `angle`."""
    a = double(angle)
    turn = torch.stack([torch.stack([a.cos(), -a.sin()]), torch.stack([a.sin(), a.cos()])])
    return turn @ torch.diag(double(stds) ** 2) @ turn.T


# Worlds -------------------------------------------------------------------------------------------


def anisotropic(schedule: Schedule = Cosine()) -> Mixture:
    """Three thin, turned modes of unequal weight in the plane; labels 0, 1, 1."""
    means = double([[-1.5, 0.0], [1.0, 1.0], [0.8, -1.2]])
    covs = torch.stack([rotated(0.4, (0.5, 0.1)), rotated(-0.8, (0.4, 0.15)), rotated(1.2, (0.6, 0.2))])
    return gaussian_mixture(means, covs, double([0.5, 0.3, 0.2]), schedule, torch.tensor([0, 1, 1]))


def smooth(schedule: Schedule = Cosine()) -> Mixture:
    """Two broad modes in the plane: a smooth probability flow, on which orders of convergence show early."""
    covs = torch.stack([rotated(0.3, (0.6, 0.4)), rotated(-0.5, (0.5, 0.7))])
    return gaussian_mixture(double([[-1.0, 0.3], [0.9, -0.4]]), covs, double([0.6, 0.4]), schedule)


def line(schedule: Schedule = Cosine()) -> Mixture:
    """Two modes on the line."""
    return gaussian_mixture(double([[-1.0], [0.7]]), double([[[0.09]], [[0.25]]]), double([0.35, 0.65]), schedule)


def single(schedule: Schedule = Cosine()) -> Mixture:
    """One correlated Gaussian in the plane."""
    return gaussian_mixture(double([[0.5, -0.8]]), rotated(0.7, (0.9, 0.4))[None], schedule=schedule)


def table(size: int, positions: int) -> Tensor:
    """A full-support, asymmetric, strongly dependent distribution over sequences."""
    cells = torch.arange(size**positions, dtype=F64)
    weights = (2.0 * (2.3 * cells + 0.7).sin() + 0.03 * cells).exp()
    return (weights / weights.sum()).reshape((size,) * positions)


RATES = double([[0.0, 1.0, 0.2], [0.5, 0.0, 2.0], [1.5, 0.3, 0.0]])


def sequences(kind: str, size: int = 3, positions: int = 2) -> Mixture:
    """The `table` under masked, uniform or substitution noise."""
    shape = (positions,)
    spaces = {
        "masked": lambda: Categorical.masked(shape, size),
        "uniform": lambda: Categorical.uniform(shape, size),
        "substitution": lambda: Categorical.substitution(shape, RATES - torch.diag(RATES.sum(1))),
    }
    return enumerated(spaces[kind](), table(size, positions))


JOINT_WEIGHTS = double([0.4, 0.15, 0.1, 0.35])


def coupled() -> Mixture:
    """Positions in the plane that say which two tokens go with them."""
    means = double([[-1.2, -0.6], [-0.4, 0.9], [0.5, -0.9], [1.2, 0.7]])
    covs = torch.stack([rotated(0.3 * k, (0.5, 0.3)) for k in range(4)])
    return joint_mixture(means, covs, torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), JOINT_WEIGHTS)


# Distances ----------------------------------------------------------------------------------------


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = 32) -> float:
    """The 1-Wasserstein distance averaged over directions over the half circle, of (n, 2) and (n, 2)."""
    angles = torch.arange(directions, dtype=F64) * (torch.pi / directions)
    lines = torch.stack([angles.cos(), angles.sin()])
    return ((a.double() @ lines).sort(0).values - (b.double() @ lines).sort(0).values).abs().mean().item()


def exact_floor(world: Mixture, n: int, repeats: int = 6) -> float:
    """The average sliced Wasserstein distance of two exact draws of n samples."""
    pairs = [(world.draw(Keys.of(900 + r, n)), world.draw(Keys.of(950 + r, n))) for r in range(repeats)]
    return sum(sliced_wasserstein(a, b) for a, b in pairs) / repeats


def assert_same_law(x: Tensor, world: Mixture, slack: float = 1.5) -> None:
    """x is as far from an exact draw as exact draws are from one another."""
    distance = sliced_wasserstein(x, world.draw(Keys.of(77, len(x))))
    floor = exact_floor(world, len(x))
    assert distance <= slack * floor, f"sliced Wasserstein {distance:.4f}, floor {floor:.4f}"


def assert_moments(x: Tensor, mean: Tensor, cov: Tensor, sigmas: float = 4.5) -> None:
    """The mean and the covariance of independent x, (n, d), within their standard errors under a Gaussian."""
    x, variances = x.double(), cov.diagonal()
    mean_error = (x.mean(0) - mean) / (variances / len(x)).sqrt()
    cov_error = (torch.cov(x.T) - cov) / ((variances[:, None] * variances + cov**2) / len(x)).sqrt()
    worst = torch.cat([mean_error, cov_error.flatten()]).abs().max().item()
    assert worst < sigmas, f"mean off by {mean_error.tolist()}, covariance by {cov_error.tolist()} standard errors"


def counts_of(x: Tensor, size: int) -> Tensor:
    """How often each sequence occurs, in the order of the flattened table."""
    powers = size ** torch.arange(x.shape[1] - 1, -1, -1)
    return torch.bincount((x * powers).sum(1), minlength=size ** x.shape[1])


def chi_square(counts: Tensor, probs: Tensor) -> tuple[float, float]:
    """Pearson's statistic of counts against probabilities, and its p-value."""
    expected = counts.sum() * probs.flatten().double()
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    return statistic, float(stats.chi2.sf(statistic, len(expected) - 1))


def assert_frequencies(x: Tensor, probs: Tensor) -> None:
    """The sequences x, (n, positions), occur as often as the table says."""
    statistic, p = chi_square(counts_of(x, probs.shape[0]), probs)
    assert p > 0.01, f"chi-square {statistic:.1f} on {probs.numel() - 1} degrees of freedom, p = {p:.2g}"


def convergence_order(steps: Sequence[int], errors: Sequence[float]) -> float:
    """The slope of log error on log step size."""
    sizes, logs = -double(steps).log(), double(errors).log()
    sizes, logs = sizes - sizes.mean(), logs - logs.mean()
    return ((sizes * logs).sum() / (sizes**2).sum()).item()


def assert_close(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), atol=tolerance, rtol=tolerance)


def rejected(test: Callable[..., object], *args: Any, **options: Any) -> None:
    """The test fails on this, as it must on a broken twin."""
    with pytest.raises(AssertionError):
        test(*args, **options)


# Parts --------------------------------------------------------------------------------------------


def draw_samples(world: Denoiser, grid: Any, n: int, seed: int = 0, **options: Any) -> Any:
    return Sampler(grid, (Predictor(**options),)).run(world, Keys.of(seed, n))


@dataclass(frozen=True)
class MeanOnly(Guided):
    """A denoiser that keeps its covariance to itself, as a trained network does."""

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        return Normal(self.denoiser(x_t, t, condition).mean)


@dataclass(frozen=True)
class Uncoupled(Denoiser):
    """A broken joint denoiser: each part is believed from itself alone."""

    world: Mixture

    def __post_init__(self) -> None:
        carry(self, Traits(self.world.space))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Joint:
        parts: Any = self.world.components
        alone = {name: Mixture(self.world.weights, part) for name, part in parts.parts.items()}
        return Joint({name: oracle(x_t[name], t) for name, oracle in alone.items()})


class Blank(Denoiser):
    """A model of certain data that has nothing to say of them, to make guides for."""

    def __init__(self, space: Space, metadata: dict[str, Any] | None = None) -> None:
        self.traits = Traits(space, Origin("tests", "blank", {}, metadata, "") if metadata is not None else None)

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class TooLoose:
    """A broken predictor: its noise is √2 too wide."""

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        after = Predictor(eta=1.0)(state, s, denoiser, condition, keys)
        assert isinstance(after.transition, Gaussian)
        wide = replace(after.transition, std=after.transition.std * sqrt(2))
        return replace(after, x=wide.sample(keys))
