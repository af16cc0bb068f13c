"""Densities: the flow's is normalised and converges to the exact one, draws know theirs; the bound of categories is
below and close."""

from collections.abc import Iterator
from math import log, pi
from typing import Any

import pytest
import torch
from torch import Tensor

from nets import Net
from ornstein.denoisers.base import Denoiser, NeuralDenoiser, Traits
from ornstein.denoisers.composition import ClassifierFreeGuidance, mixture
from ornstein.denoisers.energy import EnergyDenoiser
from ornstein.denoisers.oracles import GaussianComponents, Mixture, enumerated
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Mask
from ornstein.keys import Keys
from ornstein.sampling.flows import draw_with_log_prob
from ornstein.sampling.grids import SOLVER, log_snr
from ornstein.sampling.likelihood import bits_per_dimension, elbo, log_prob, log_prob_estimate
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import EDM, Cosine, RectifiedFlow, Schedule
from ornstein.spaces import Categorical, Centered, Euclidean
from worlds import (
    anisotropic,
    assert_close,
    coupled,
    double,
    line,
    rejected,
    rotated,
    sequences,
    single,
    smooth,
    table,
)


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
    with pytest.raises(ValueError, match="whole continuous data, not for Product data"):
        log_prob(coupled(), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="whole continuous data, not for data under a mask"):
        log_prob(cloud(), torch.zeros(1, 3, 2), condition={"mask": torch.ones(1, 3, dtype=torch.bool)})
    with pytest.raises(InputError, match="continuous data have log_prob"):
        elbo(coupled(), torch.zeros(1, 2, dtype=torch.int64), Keys.of(0, 1))


def test_data_that_the_model_rules_out_have_no_probability() -> None:
    world = enumerated(Categorical.masked((2,), 2), double([[0.5, 0.0], [0.0, 0.5]]))
    bound = elbo(world, torch.tensor([[0, 0], [0, 1]]), Keys.of(0, 2), 20)
    assert bound[0].isfinite()
    assert bound[1] == -torch.inf


# Centred points ---------------------------------------------------------------------------------------

HELMERT = double([[1, -1, 0], [1, 1, -2]]) / double([[2**0.5], [6**0.5]])
AXES = torch.kron(HELMERT, torch.eye(2).double())
"""An orthonormal basis of three centred points in the plane, (4, 6)."""


def cloud() -> Mixture:
    """Two modes of three centred points in the plane."""
    means = double([[1.0, 0.3, -0.4, 0.2], [-0.8, -0.2, 0.5, 0.3]])
    covs = torch.stack([torch.block_diag(rotated(a, (0.4, 0.2)), rotated(-a, (0.5, 0.3))) for a in (0.4, 1.1)])
    outside = torch.eye(6).double() - AXES.T @ AXES  # never seen
    parts = GaussianComponents.of(Centered((3, 2)), means @ AXES, AXES.T @ covs @ AXES + outside)
    return Mixture(double([0.6, 0.4]), parts)


def exact_cloud(x: Tensor) -> Tensor:
    """log p(x₀) on the four degrees of freedom."""
    world = cloud()
    parts: Any = world.components
    covs = AXES @ parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT @ AXES.T
    normals = torch.distributions.MultivariateNormal(parts.means @ AXES.T, covs)
    return (world.weights.log() + normals.log_prob((x.double().flatten(1) @ AXES.T)[:, None])).logsumexp(1)


def test_the_density_of_centred_points_is_one_of_their_degrees_of_freedom() -> None:
    world, keys = cloud(), Keys.of(1, 30)
    x = world.space.project(world.draw(keys).double())  # pyright: ignore[reportAttributeAccessIssue]
    assert (log_prob(world, x, 50) - exact_cloud(x)).abs().mean() < 0.02
    assert_close(log_prob(world, x + 3.0, 20), log_prob(world, x, 20))  # wherever their centre is
    estimates = torch.stack([log_prob_estimate(world, x, Keys.of(seed, 30), 50) for seed in range(12)])
    assert abs((estimates.mean(0) - exact_cloud(x)).mean()) < 0.05


# Draws that know their density ------------------------------------------------------------------------


def prior_of(world: Denoiser, keys: Keys) -> tuple[Tensor, Tensor]:
    """The noise that draws start from, and its log-density; flat, in two dimensions."""
    noise, width = world.space.prior(keys.fold("prior")).double(), world.space.schedule.sigma(1.0)  # pyright: ignore[reportAttributeAccessIssue]
    return noise, -(noise**2).sum(1) / 2 / width**2 - 2 * width.log() - log(2 * pi)


def assert_affine(x: Tensor, log_q: Tensor, noise: Tensor, log_noise: Tensor) -> None:
    """x is an affine map of Gaussian noise, and log q the density of what comes out."""
    inputs = torch.cat([noise, torch.ones(len(x), 1).double()], 1)
    fitted = torch.linalg.lstsq(inputs, x.double()).solution
    assert_close(inputs @ fitted, x.double(), 1e-5)
    assert_close(log_q, log_noise - torch.linalg.slogdet(fitted[:2]).logabsdet, 1e-5)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=repr)
@pytest.mark.parametrize("steps", [2, 6])
def test_the_density_of_gaussian_draws_is_exact_whatever_the_number_of_steps(schedule: Schedule, steps: int) -> None:
    world, keys = single(schedule), Keys.of(0, 50)
    x, log_q = draw_with_log_prob(world, keys, steps)
    noise, log_noise = prior_of(world, keys)
    assert_affine(x, log_q, noise, log_noise)
    rejected(assert_affine, x, (log_q + log_noise) / 2, noise, log_noise)  # half the log-determinant
    rejected(assert_affine, x, log_prob_estimate(world, x, keys, steps), noise, log_noise)  # an integrated trace


def assert_weights(log_weights: Tensor, least: float) -> None:
    """E p/q = 1, and an effective share of at least so much."""
    weights = log_weights.exp()
    error = weights.std() / len(weights) ** 0.5
    assert (weights.mean() - 1).abs() < 4 * error, f"{weights.mean():.4f} ± {error:.4f}"
    ess = (weights.sum() ** 2 / (weights**2).sum() / len(weights)).item()
    assert ess > least, f"an effective share of {ess:.3f}"


@pytest.mark.parametrize(("steps", "least"), [(10, 0.6), (20, 0.97)])
def test_weights_of_draws_are_unbiased(steps: int, least: float) -> None:
    """Of few steps too, though they count less."""
    world = anisotropic()
    x, log_q = draw_with_log_prob(world, Keys.of(3, 3000), steps)
    assert_weights(exact(world, x) - log_q, least)
    _, log_noise = prior_of(world, Keys.of(3, 3000))
    rejected(assert_weights, exact(world, x) - (log_q + log_noise) / 2, least)
    rejected(assert_weights, exact(world, x) - log_prob_estimate(world, x, Keys.of(0, 3000), steps), least)


def test_weights_of_centred_draws_are_unbiased() -> None:
    x, log_q = draw_with_log_prob(cloud(), Keys.of(3, 2000), 20)
    assert_close(x.mean(1), torch.zeros(2000, 2), 1e-6)
    assert_weights(exact_cloud(x) - log_q, 0.97)
    rejected(assert_weights, exact_cloud(x) - log_q * 6 / 4, 0.97)


def test_weights_of_labelled_draws_are_those_of_the_label() -> None:
    world = anisotropic()
    label = {"label": torch.ones(2000, dtype=torch.int64)}
    x, log_q = draw_with_log_prob(world, Keys.of(3, 2000), condition=label)
    only = Mixture(double([0.0, 0.6, 0.4]), world.components)
    assert_weights(exact(only, x) - log_q, 0.97)
    again, log_again = draw_with_log_prob(world & ClassifierFreeGuidance({"label": 1}), Keys.of(3, 2000))
    assert_close(again, x)
    assert_close(log_again, log_q)


def test_draws_are_those_of_the_sampler_and_do_not_depend_on_the_batch() -> None:
    world, keys = anisotropic(), Keys.of(0, 40)
    x, log_q = draw_with_log_prob(world, keys)
    parts, log_parts = draw_with_log_prob(world, keys, batch=7)
    assert_close(parts, x, 1e-6)
    assert_close(log_parts, log_q, 1e-5)
    assert_close(Sampler(log_snr(20, world.space, 3e-3), (SOLVER,)).run(world, keys), x, 1e-4)


@pytest.fixture
def exactly() -> Iterator[None]:
    """Networks and states in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("exactly")
@pytest.mark.parametrize("space", [Euclidean((2,)), Centered((3, 2))], ids=lambda space: type(space).__name__)
@pytest.mark.parametrize("kind", [NeuralDenoiser, EnergyDenoiser])
def test_the_determinant_of_a_network_is_that_of_its_sampler(kind: type[NeuralDenoiser], space: Euclidean) -> None:
    """Differentiated from end to end, and as it stands."""
    denoiser, keys = kind(Net(torch.Size(space.shape).numel()), Traits(space)), Keys.of(0, 1)
    basis = AXES if isinstance(space, Centered) else torch.eye(2).double()
    start = space.prior(keys.fold("prior")).flatten() @ basis.T
    sampler = Sampler(log_snr(6, space, 3e-3), (SOLVER,))

    def walk(y: Tensor) -> Tensor:
        return sampler.run(denoiser, keys, start=(y @ basis).reshape(1, *space.shape)).flatten() @ basis.T

    whole: Any = torch.autograd.functional.jacobian(walk, start)
    log_noise = torch.distributions.Normal(0.0, 1.0).log_prob(start).sum()
    x, log_q = draw_with_log_prob(denoiser, keys, 6)
    assert_close(x.flatten() @ basis.T, walk(start).detach())
    assert_close(log_q[0], log_noise - torch.linalg.slogdet(whole).logabsdet, 1e-8)


def test_draws_without_a_density_are_refused() -> None:
    world, keys = anisotropic(), Keys.of(0, 2)
    with pytest.raises(ValueError, match="factors' updates have no derivative"):
        draw_with_log_prob(world & Energy(lambda x: x[:, 0]), keys)
    with pytest.raises(ValueError, match="has the density of its component alone"):
        draw_with_log_prob(mixture([world, smooth()]), keys)
    with pytest.raises(ValueError, match="whole continuous data, not for Categorical data"):
        draw_with_log_prob(sequences("masked"), keys)


@pytest.mark.parametrize("density", [log_prob, lambda *a: log_prob_estimate(a[0], a[1], Keys.of(0, 2))])
def test_what_has_no_density_is_refused_not_weighed(density: Any) -> None:
    """Factors' updates have no derivative: under an exact posterior the numbers were off by a hundred nats."""
    world, x = anisotropic(), torch.zeros(2, 2).double()
    with pytest.raises(InputError, match="factors' updates have no derivative"):
        density(world & Measurement([1.0], Mask([True, False]), 0.3), x)
    with pytest.raises(InputError, match=r"x0: record 1, element \(0,\) is nan"):
        density(world, torch.tensor([[0.0, 0.0], [torch.nan, 0.0]]).double())
    with pytest.raises(InputError, match=r"x0: records must have shape \(2,\), found \(1,\)"):
        density(world, x[:, :1])


def test_walks_of_no_step_and_no_noise_are_refused() -> None:
    world, x = anisotropic(), torch.zeros(2, 2).double()
    for asked, message in {
        (lambda: log_prob(world, x, steps=0), "steps is 0"),
        (lambda: log_prob(world, x, steps=5, least=0.0), "least is 0.0"),
        (lambda: draw_with_log_prob(world, Keys.of(0, 2), steps=0), "steps is 0"),
        (lambda: draw_with_log_prob(world, Keys.of(0, 2), least=-1.0), "least is -1.0"),
        (lambda: elbo(world, torch.zeros(2, 2, dtype=torch.long), Keys.of(0, 2)), "of categories, not of Euclidean"),
        (lambda: elbo(sequences("masked"), torch.zeros(2, 3, dtype=torch.long), Keys.of(0, 2), steps=0), "steps is 0"),
    }:
        with pytest.raises(InputError, match=message):
            asked()
