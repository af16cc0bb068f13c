"""Moves as wide as the belief is unsure: normalised, of the right covariance, exact for Gaussians in any step."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ornstein.beliefs import Normal
from ornstein.covariances import Dense
from ornstein.denoisers.base import Condition, Guided
from ornstein.denoisers.oracles import Mixture
from ornstein.keys import Keys
from ornstein.sampling.kernels import Predictor
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import EDM, Cosine, RectifiedFlow, Schedule
from ornstein.spaces import Centered, Correlated, Euclidean
from ornstein.states import State, Time
from worlds import assert_close, assert_moments, double, rejected, single

KEYS = Keys.of(1, 3)
MASK = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 1]], dtype=torch.bool)
PER_SAMPLE = ("mean", "root", "outside", "moving")
SPACES = {
    "euclidean": Euclidean((3, 2)),
    "masked": Euclidean((3, 2)).with_mask(MASK),
    "centered": Centered((3, 2)),
    "centered, masked": Centered((3, 2)).with_mask(MASK),
}


def projector(space: Euclidean) -> Tensor:
    """The projection onto the degrees of freedom as a matrix a sample."""
    columns = [space.project(e.expand(3, -1).reshape(3, 3, 2)).flatten(1) for e in torch.eye(6, dtype=torch.float64)]
    return torch.stack(columns, 2)


def moved(space: Euclidean, t: float = 0.6, s: float = 0.3, within: bool = True) -> tuple[Any, Tensor, Tensor]:
    """A step under a dense belief, within the space or not; the mean and the covariance that it must have."""
    onto, root = projector(space), KEYS.fold(1).normal(6, 6)
    whole = root @ root.mT
    cov = onto @ whole @ onto
    x_t, mean = space.project(KEYS.normal(3, 2)), space.project(KEYS.fold(2).normal(3, 2))
    plain: Any = space.step(x_t, Normal(mean), t, s, 1.0)
    weight = (space.step(0 * x_t, Normal(mean), t, s, 1.0).mean / mean).nanmedian()
    found = space.step(x_t, Normal(mean, Dense(cov if within else whole)), t, s, 1.0)
    return found, plain.mean, plain.std**2 * onto + weight**2 * cov


def density(mean: Tensor, cov: Tensor, x: Tensor) -> Tensor:
    """log N(x; mean, cov) within the span of the covariance."""
    values, axes = torch.linalg.eigh(cov)
    axes = axes[:, values > 1e-9 * values.max()]
    return MultivariateNormal(torch.zeros(axes.shape[1]).double(), axes.T @ cov @ axes).log_prob(axes.T @ (x - mean))


def assert_density(move: Any, mean: Tensor, cov: Tensor) -> None:
    """log_prob is that of the normal distribution in the degrees of freedom."""
    x = move.sample(KEYS.fold(3))
    exact = [density(mean[i].flatten(), cov[i], x[i].flatten()) for i in range(3)]
    assert_close(move.log_prob(x), torch.stack(exact), 1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_the_density_is_the_normal_one_in_the_degrees_of_freedom(name: str) -> None:
    move, mean, cov = moved(SPACES[name])
    assert isinstance(move, Correlated)
    assert_density(move, mean, cov)
    rejected(assert_density, move, mean, 1.01 * cov)
    if name != "euclidean":
        rejected(assert_density, replace(move, space=Euclidean((3, 2))), mean, cov)  # counts what is not free


@pytest.mark.parametrize("name", SPACES)
def test_a_covariance_counts_within_the_space(name: str) -> None:
    """Doubt about where the centre of mass is, or about what does not exist, is no doubt."""
    move, mean, cov = moved(SPACES[name], within=False)
    assert_density(move, mean, cov)


@pytest.mark.parametrize("name", SPACES)
def test_samples_have_the_covariance(name: str) -> None:
    n = 6000
    move, mean, cov = moved(SPACES[name])
    fields = {name: getattr(move, name)[2:].expand(n, *getattr(move, name).shape[1:]) for name in PER_SAMPLE}
    mask = SPACES[name].mask
    space = SPACES[name].with_mask(None if mask is None else mask[2:].expand(n, 3))
    x = Correlated(**fields, space=space).sample(Keys.of(5, n))
    values, axes = torch.linalg.eigh(cov[2])
    free = axes[:, values > 1e-9]
    assert free.shape[1] == space.freedom(x)[0].sum().round()
    assert_moments(x.flatten(1) @ free, mean[2].flatten() @ free, free.T @ cov[2] @ free)
    assert_close(x.flatten(1) @ axes[:, values <= 1e-9], torch.zeros(n, 6 - free.shape[1], dtype=torch.float64), 1e-5)


def test_elements_without_doubt_stay_to_the_last_bit() -> None:
    space, mean = Euclidean((3,)), KEYS.normal(3)
    cov = torch.diag(double([1.0, 0.0, 2.0])).expand(3, 3, 3)
    x = space.step(KEYS.fold(1).normal(3), Normal(mean, Dense(cov)), 0.5, 0.0).sample(KEYS)
    assert x[:, 1].equal(mean[:, 1])
    assert not x[:, 0].isclose(mean[:, 0]).any()


def test_a_covariance_that_is_not_positive_gives_samples_and_densities() -> None:
    space, cov = Euclidean((2,)), torch.diag(double([1.0, -0.3])).expand(3, 2, 2)
    move = space.step(KEYS.normal(2), Normal(KEYS.normal(2), Dense(cov)), 0.5, 0.0)
    x = move.sample(KEYS)
    assert x.isfinite().all()
    assert move.log_prob(x).isfinite().all()


# The exact reverse kernel of a Gaussian ---------------------------------------------------------------


@dataclass(frozen=True)
class SpelledOut(Guided):
    """A denoiser whose covariance is a matrix, with which steps are as wide as they should be."""

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        belief = self.denoiser(x_t, t, condition)
        assert isinstance(belief, Normal)
        return belief.spelled_out()


def moments(world: Mixture) -> tuple[Tensor, Tensor]:
    parts: Any = world.components
    return parts.means[0], parts.axes[0] @ torch.diag(parts.variances[0]) @ parts.axes[0].T


def reverse(world: Mixture, x_t: Tensor, t: float, s: float) -> tuple[Tensor, Tensor]:
    """Mean and covariance of p(x_s | x_t), from the joint Gaussian of x_s and x_t = k x_s + noise."""
    (mean, cov), space = moments(world), world.space
    alpha, sigma = space.schedule.alpha, space.schedule.sigma  # pyright: ignore[reportAttributeAccessIssue]
    at_t, at_s = (alpha(u) ** 2 * cov + sigma(u) ** 2 * torch.eye(2).double() for u in (t, s))
    slope = alpha(t) / alpha(s) * at_s @ at_t.inverse()
    return alpha(s) * mean + (x_t - alpha(t) * mean) @ slope.T, at_s - slope @ at_t @ slope.T


def assert_exact_reverse(world: Mixture, denoiser: Any) -> None:
    x_t = KEYS.normal(2)
    for t, s in ((0.9, 0.1), (0.5, 0.4), (0.3, 0.0)):
        move = world.space.step(x_t, denoiser(x_t, t), t, s, 1.0)
        mean, cov = reverse(world, x_t, t, s)
        assert_close(move.mean, mean, 1e-9)  # pyright: ignore[reportAttributeAccessIssue]
        x = KEYS.fold(4).normal(2)
        assert_close(move.log_prob(x), MultivariateNormal(mean, cov).log_prob(x), 1e-6)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=lambda s: type(s).__name__)
def test_a_stochastic_step_is_the_exact_reverse_kernel(schedule: Schedule) -> None:
    world = single(schedule)
    assert_exact_reverse(world, SpelledOut(world))
    rejected(assert_exact_reverse, world, world)  # the plain step: the right mean, but too narrow


def assert_exact_end(denoiser: Any, grid: tuple[float, ...], n: int = 8000) -> None:
    assert_moments(Sampler(grid, (Predictor(1.0),)).run(denoiser, Keys.of(2, n)), *moments(single()))


@pytest.mark.parametrize("grid", [(1.0, 0.0), (1.0, 0.6, 0.0), (1.0, 0.9, 0.4, 0.1, 0.0)], ids=len)
def test_any_number_of_steps_ends_in_the_exact_gaussian(grid: tuple[float, ...]) -> None:
    assert_exact_end(SpelledOut(single()), grid)
    rejected(assert_exact_end, single(), grid)
