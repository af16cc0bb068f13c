"""Densities: the flow's is normalised and converges to the exact one; the bound of categories is below and close."""

import pytest
import torch
from torch import Tensor

from ornstein.denoisers import Denoiser
from ornstein.keys import Keys
from ornstein.likelihood import bits_per_dimension, elbo, log_prob, log_prob_estimate
from ornstein.oracles import GaussianComponents, Mixture, enumerated
from ornstein.schedules import EDM, Cosine, RectifiedFlow, Schedule
from ornstein.spaces import Categorical, Centered
from worlds import anisotropic, coupled, double, line, rejected, sequences, single, table


def exact(world: Mixture, x: Tensor) -> Tensor:
    """log p(x₀) of a Gaussian mixture."""
    parts = world.components
    assert isinstance(parts, GaussianComponents)
    covs = parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.transpose(1, 2)
    normals = torch.distributions.MultivariateNormal(parts.means, covs)
    return torch.logsumexp(world.weights.log() + normals.log_prob(x.double()[:, None]), 1)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=repr)
def test_the_density_converges_to_the_exact_one(schedule: Schedule) -> None:
    world = anisotropic(schedule)
    x = world.draw(Keys.of(1, 40)).double()
    errors = [(log_prob(world, x, steps) - exact(world, x)).abs().mean().item() for steps in (30, 60)]
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 3  # second order


def assert_normalised(density: Tensor, width: float) -> None:
    assert abs(density.exp().sum().item() * width - 1) < 2e-3


def test_the_density_integrates_to_one() -> None:
    """Even of few steps: the determinant is that of the map as it is, not of the flow it approximates."""
    axis = torch.linspace(-5, 5, 1001, dtype=torch.float64)[:, None]
    density = log_prob(line(), axis, steps=8)
    assert_normalised(density, 0.01)
    assert (density - exact(line(), axis)).abs().max() > 0.05  # though it is not yet the exact density
    estimate = torch.stack([log_prob_estimate(line(), axis, Keys.of(0, 1001), steps=8)])[0]
    rejected(assert_normalised, estimate, 0.01)  # the broken twin: an integrated trace


def test_the_estimate_is_right_on_average() -> None:
    world = anisotropic()
    x = world.draw(Keys.of(1, 60)).double()
    estimates = torch.stack([log_prob_estimate(world, x, Keys.of(seed, 60), 60) for seed in range(12)])
    assert abs((estimates.mean(0) - exact(world, x)).mean()) < 0.03
    assert estimates.std(0).mean() > 0.01  # and says so by scattering


def test_a_wrong_model_is_less_probable() -> None:
    world, x = single(), single().draw(Keys.of(1, 100)).double()
    parts = world.components
    assert isinstance(parts, GaussianComponents)
    shifted = Mixture(world.weights, GaussianComponents(parts.space, parts.means + 1, parts.variances, parts.axes))
    assert log_prob(shifted, x, 30).mean() < log_prob(world, x, 30).mean() - 0.1


@pytest.mark.parametrize("kind", ["masked", "uniform", "substitution"])
def test_the_bound_of_categories(kind: str) -> None:
    """Below the exact log-likelihood, by little with many steps."""
    world: Denoiser = sequences(kind)
    x0 = world.draw(Keys.of(0, 3000))  # pyright: ignore[reportAttributeAccessIssue]
    truth = table(3, 2)[x0[:, 0], x0[:, 1]].double().log()
    bounds = [elbo(world, x0, Keys.of(1, 3000), steps) - truth for steps in (2, 60)]
    error = 4 * bounds[1].std().item() / 3000**0.5
    assert bounds[1].mean() < error
    assert bounds[1].mean() > -0.03 - error
    assert bounds[0].mean() < bounds[1].mean() - 0.01


def test_units_and_what_has_no_density() -> None:
    assert bits_per_dimension(double([-2.0]), torch.zeros(1, 4)).item() == pytest.approx(0.5 / torch.log(double(2.0)))
    world = anisotropic()
    parts = world.components
    assert isinstance(parts, GaussianComponents)
    cloud = Mixture(world.weights, GaussianComponents(Centered((1, 2)), parts.means, parts.variances, parts.axes))
    with pytest.raises(ValueError, match="whole Euclidean data, not Centered"):
        log_prob(cloud, torch.zeros(1, 1, 2))
    with pytest.raises(AssertionError, match="continuous data have log_prob"):
        elbo(coupled(), torch.zeros(1, 2, dtype=torch.int64), Keys.of(0, 1))


def test_data_that_the_model_rules_out_have_no_probability() -> None:
    world = enumerated(Categorical.masked((2,), 2), double([[0.5, 0.0], [0.0, 0.5]]))
    bound = elbo(world, torch.tensor([[0, 0], [0, 1]]), Keys.of(0, 2), 20)
    assert bound[0].isfinite()
    assert bound[1] == -torch.inf
