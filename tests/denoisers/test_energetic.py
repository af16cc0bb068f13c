"""Energies at every noise level: their slopes are scores, their networks learn, their differences need no path."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nets import Net
from ornstein.beliefs import Normal
from ornstein.config import TrainConfig
from ornstein.denoisers.base import Condition, Denoiser, Guided, NeuralDenoiser, Traits
from ornstein.denoisers.composition import Autoguidance, ClassifierFreeGuidance, Composed, mixture, negation, product
from ornstein.denoisers.energy import EnergyDenoiser, energy_difference, score
from ornstein.denoisers.fields import gaussian_field
from ornstein.denoisers.tweedie import with_covariance
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy
from ornstein.keys import Keys
from ornstein.report.plots import landscape
from ornstein.sampling.grids import asinh, plan
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import EDM, Cosine, RectifiedFlow
from ornstein.spaces import Categorical, Centered, Euclidean
from ornstein.spectral.roots import power_law
from ornstein.spectral.transforms import periodic
from ornstein.training.datasets import Arrays
from ornstein.training.feeding import Batch
from ornstein.training.trainer import Trainer, losses
from worlds import MeanOnly, anisotropic, assert_close, double, rejected, sequences, single, smooth

KEYS = Keys.of(1, 5)
X = 0.7 * KEYS.normal(2)
T = double([0.1, 0.3, 0.5, 0.7, 0.9])
WORLD = anisotropic()


def energetic(space: Euclidean, seed: int = 0) -> EnergyDenoiser:
    return EnergyDenoiser(Net(torch.Size(space.shape).numel(), seed=seed).double(), Traits(space))


def assert_slope_is_score(denoiser: Denoiser, x: Tensor, t: Any, condition: Condition | None = None) -> None:
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(denoiser.log_density(x, t, condition).sum(), x)
    assert_close(slope, score(denoiser, x.detach(), t, condition).detach(), 1e-8)


def coloured() -> Denoiser:
    """A random field under noise that has a spectrum of its own."""
    return gaussian_field(power_law((3, 4), 3.0, periodic()), noise_cov=power_law((3, 4), 1.0, periodic(), std=0.5))


@pytest.mark.parametrize("t", [0.1, 0.6, torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])])
def test_scores_under_noise_with_a_spectrum(t: Any) -> None:
    x, y = KEYS.fold("x").normal(3, 4).double(), KEYS.fold("y").normal(3, 4).double()
    field = coloured()
    assert_slope_is_score(field, x, t)
    difference, error = energy_difference(field, x, y, t)
    assert_close(difference, field.log_density(x, t) - field.log_density(y, t), 1e-6)
    assert error.max() < 1e-6


def test_there_is_no_score_without_noise() -> None:
    with pytest.raises(InputError, match="times above 0"):
        score(WORLD, X, 0.0)


# Log-densities ----------------------------------------------------------------------------------------

NARROW = (0.4, 0.6)
DENSE: dict[str, Denoiser] = {
    "mixture": WORLD,
    "product": product(WORLD, smooth(), single()),
    "negation": negation(WORLD, single(), 0.3),
    "weaker, between two times": WORLD & Autoguidance(single(), 2.0, NARROW),
    "prompt": WORLD & ClassifierFreeGuidance({"label": 1}, 2.5),
    "prompt, between two times": WORLD & ClassifierFreeGuidance({"label": 1}, 2.5, NARROW),
    "prompt at scale 0": WORLD & ClassifierFreeGuidance({"label": 1}, 0.0),
    "prompt at scale 1": WORLD & ClassifierFreeGuidance({"label": 1}),
    "prompt in a product": Composed(((0.4, WORLD & ClassifierFreeGuidance({"label": 0}, 3.0)), (0.6, smooth()))),
    "network": energetic(Euclidean((2,))),
    "network in a product": Composed(((1.5, energetic(Euclidean((2,)))), (-0.5, energetic(Euclidean((2,)), 1)))),
}


@pytest.mark.parametrize("t", [0.25, 0.5, T], ids=["outside", "inside", "a time a sample"])
@pytest.mark.parametrize("name", DENSE)
def test_the_slope_of_a_log_density_is_the_score(name: str, t: Any) -> None:
    assert_slope_is_score(DENSE[name], X, t)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=repr)
def test_under_every_schedule(schedule: Any) -> None:
    x = schedule.sigma(0.5) * X + 0.3
    assert_slope_is_score(anisotropic(schedule), x, 0.5)
    assert_slope_is_score(energetic(Euclidean((2,), schedule, data_std=0.6)), x, 0.5)


def test_a_label_a_sample() -> None:
    assert_slope_is_score(
        WORLD & ClassifierFreeGuidance({"label": None}, 2.0), X, T, {"label": torch.tensor([0, 1, 1, 0, 1])}
    )


@pytest.mark.parametrize("masked", [False, True])
def test_centred_points_and_masks(masked: bool) -> None:
    x = Keys.of(3, 2).normal(4, 2)
    mask = {"mask": torch.tensor([[True, True, True, False], [True, True, True, True]])} if masked else {}
    for space in (Centered((4, 2)), Euclidean((4, 2))):
        bound = space.with_mask(mask.get("mask"))
        assert_slope_is_score_of_projected(energetic(space), bound, bound.project(x), mask)


def assert_slope_is_score_of_projected(denoiser: Denoiser, space: Euclidean, x: Tensor, mask: Condition) -> None:
    """The density lives on the degrees of freedom, and so does its slope."""
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(denoiser.log_density(x, 0.4, mask).sum(), x)
    found = score(denoiser, x.detach(), 0.4, mask).detach()
    assert_close(space.project(slope), found, 1e-10)
    assert_close(space.project(found), found, 1e-10)


class Doubled(Guided):
    """A broken twin: the density of another temperature."""

    def __call__(self, x_t: Any, t: Any, condition: Condition | None = None) -> Any:
        return self.denoiser(x_t, t, condition)

    def log_density(self, x_t: Any, t: Any, condition: Condition | None = None) -> Tensor:
        return 2 * self.denoiser.log_density(x_t, t, condition)


def test_the_slope_test_rejects_another_temperature() -> None:
    rejected(assert_slope_is_score, Doubled(WORLD), X, 0.5)


@pytest.mark.parametrize(
    ("denoiser", "match"),
    [
        (MeanOnly(WORLD), "MeanOnly knows no log-density"),
        (WORLD & Energy(lambda x: x[:, 0]), "Factored knows no log-density"),
        (NeuralDenoiser(Net(2), Traits(Euclidean((2,)))), "NeuralDenoiser .* train an EnergyDenoiser"),
        (mixture([WORLD, smooth()]), "its parts know theirs only up to a constant"),
        (product(WORLD, MeanOnly(WORLD), WORLD), "MeanOnly knows no log-density"),
    ],
    ids=["guided", "factored", "network", "mixed", "product"],
)
def test_who_has_no_log_density_says_so(denoiser: Denoiser, match: str) -> None:
    with pytest.raises(InputError, match=match):
        denoiser.log_density(X, 0.5)


def test_scores_are_of_continuous_data() -> None:
    with pytest.raises(InputError, match="scores are of continuous data, not of Categorical"):
        score(sequences("masked"), torch.zeros(1, 2), 0.5)
    with pytest.raises(InputError, match="energies are of continuous data, not of Categorical"):
        EnergyDenoiser(Net(2), Traits(Categorical.masked((2,), 3)))
    with pytest.raises(ValueError, match="one time a sample"):
        energetic(Euclidean((2,)))(X, T[:, None].expand(5, 2))


# The network ------------------------------------------------------------------------------------------


def test_without_a_network_it_is_the_gaussian_of_the_datas_spread() -> None:
    denoiser = energetic(Euclidean((2,), data_std=0.6))
    for weight in denoiser.network.parameters():
        nn.init.zeros_(weight)
    for t in (0.0, 0.3, 1.0):
        alpha, sigma = denoiser.space.schedule.alpha(t), denoiser.space.schedule.sigma(t)  # pyright: ignore[reportAttributeAccessIssue]
        variance = 0.36 * alpha**2 + sigma**2
        assert_close(denoiser(X, t).mean, 0.36 * alpha / variance * X)
        assert_close(denoiser.log_density(X, t), -X.square().sum(1) / 2 / variance)


def test_the_energy_is_a_square() -> None:
    """As it stands in the module's head, before it is multiplied out."""
    denoiser = energetic(Euclidean((2,), data_std=0.6))
    alpha, sigma = (f(0.4) for f in (denoiser.space.schedule.alpha, denoiser.space.schedule.sigma))  # pyright: ignore[reportAttributeAccessIssue]
    root = (0.36 * alpha**2 + sigma**2).sqrt()
    rest = X / root - 0.6 * alpha / root * denoiser.output(X, 0.4)
    assert_close(denoiser.log_density(X, 0.4), -rest.square().sum(1) / 2)


def test_pure_noise_has_a_belief() -> None:
    assert energetic(Euclidean((2,)))(X, 1.0).mean.isfinite().all()


def test_it_works_where_gradients_are_off_and_leaves_x_alone() -> None:
    denoiser, x = energetic(Euclidean((2,))), X.clone()
    expected = denoiser(x, 0.5).mean
    assert expected.requires_grad
    with torch.no_grad():
        found = denoiser(x, 0.5).mean
    assert_close(found, expected.detach())
    assert not found.requires_grad
    assert not x.requires_grad
    denoiser.network.requires_grad_(False)
    assert not denoiser(x, 0.5).mean.requires_grad
    assert denoiser(x.requires_grad_(), 0.5).mean.requires_grad


def test_its_covariance_is_symmetric_and_that_of_a_plain_network_is_not() -> None:
    def skewness(denoiser: Denoiser) -> float:
        belief = with_covariance(denoiser, X, 0.5)
        assert isinstance(belief, Normal)
        matrix = torch.stack([belief.covary(e.expand(5, 2)) for e in torch.eye(2).double()], 1)
        return (matrix - matrix.mT).abs().max().item()

    denoiser = energetic(Euclidean((2,)))
    assert skewness(denoiser) < 1e-12
    assert skewness(NeuralDenoiser(denoiser.network, Traits(denoiser.space))) > 1e-3


def relative_error(denoiser: Denoiser, t: float) -> float:
    """Of the score, against that of `smooth`."""
    keys, world = Keys.of(8, 1000), smooth()
    x = world.space.noise(world.draw(keys), t, keys)
    with torch.no_grad():
        exact, found = score(world, x, t), score(denoiser, x, t)
    return ((found - exact).square().mean() / exact.square().mean()).sqrt().item()


def assert_learnt(denoiser: Denoiser) -> None:
    for t in (0.2, 0.4):
        assert relative_error(denoiser, t) < 0.25


def test_it_learns_through_the_ordinary_loss() -> None:
    world, denoiser = smooth(), EnergyDenoiser(Net(2), Traits(Euclidean((2,))))
    rejected(assert_learnt, denoiser)
    optimizer = torch.optim.Adam(denoiser.network.parameters(), 5e-3)
    for step in range(800):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 800)
        keys = Keys.of(5, range(256 * step, 256 * (step + 1)))
        t = keys.fold("t").uniform().float()
        each = losses(denoiser, Batch(world.draw(keys), {}, t, t, torch.ones(256), keys, torch.arange(256)))
        optimizer.zero_grad()
        each.mean().backward()
        optimizer.step()
    assert_learnt(denoiser)
    state = Sampler(asinh(20, denoiser.space)).end(denoiser, Keys.of(0, 500))
    assert state.nfe == 40  # the network and its gradient
    assert_close(state.x.mean(0).detach(), world.draw(Keys.of(1, 5000)).mean(0), 0.15)


def test_the_trainer_trains_it(tmp_path: Path) -> None:
    records = Arrays(smooth().draw(Keys.of(0, 64)).float(), {})
    config = TrainConfig(steps=6, batch_size=16, warmup=1, validate_every=6, save_every=6, log_every=1)
    meta: dict[str, Any] = {"domain": "tests", "name": "energy", "config": {}, "facts": {}}
    run = Trainer(EnergyDenoiser(Net(2), Traits(Euclidean((2,)))), records, records, config, tmp_path, meta)
    assert type(run.averaged) is EnergyDenoiser
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.fit()
    assert any(not value.equal(before[name]) for name, value in run.network.state_dict().items())
    assert run.averaged.having(grids={4: (1.0, 0.5, 0.0)}).log_density(X.float(), 0.5).isfinite().all()


def test_its_grid_can_be_planned() -> None:
    """Descent on the times differentiates through steps that are taken again on the way back."""
    denoiser = EnergyDenoiser(Net(2).requires_grad_(False), Traits(Euclidean((2,))))
    grid = plan(denoiser, 4, Keys.of(0, 32), fine=8, rounds=3)
    assert grid != plan(denoiser, 4, Keys.of(0, 32), fine=8, rounds=1)
    assert_close(double(grid), double(plan(denoiser, 4, Keys.of(0, 32), fine=8, rounds=3, checkpoint=False)), 1e-6)


# Differences along a line -----------------------------------------------------------------------------

A, B = X, X.flip(0) + 0.4


class Twisted(Guided):
    """A broken twin: the score turned by an angle, which is then no gradient."""

    def __call__(self, x_t: Any, t: Any, condition: Condition | None = None) -> Normal:
        alpha, sigma = self.space.schedule.alpha(t), self.space.schedule.sigma(t)  # pyright: ignore[reportAttributeAccessIssue]
        slope = score(self.denoiser, x_t, t, condition)
        turned = 0.9 * slope + 0.3 * slope.flip(1) * double([1.0, -1.0])
        return Normal((x_t + sigma**2 * turned) / alpha)


def assert_conservative(denoiser: Denoiser, t: Any, condition: Condition | None = None) -> None:
    difference, error = energy_difference(denoiser, A, B, t, condition=condition)
    assert_close(error.detach(), torch.zeros(5).double(), 1e-6)
    assert difference.dtype == torch.float64


@pytest.mark.parametrize("t", [0.3, T], ids=["one time", "a time a sample"])
@pytest.mark.parametrize("name", ["mixture", "prompt", "product", "network"])
def test_a_difference_is_that_of_the_energies_and_the_circulation_is_zero(name: str, t: Any) -> None:
    denoiser = DENSE[name]
    exact = denoiser.log_density(A, t) - denoiser.log_density(B, t)
    difference, error = energy_difference(denoiser, A, B, t, nodes=64)
    assert_close(difference.detach(), exact.detach(), 1e-3)
    assert_close(error.detach(), torch.zeros(5).double(), 2e-3)


def test_circulation_tells_what_is_no_gradient() -> None:
    assert_conservative(WORLD, 0.5)
    assert_conservative(energetic(Euclidean((2,))), 0.5)
    rejected(assert_conservative, Twisted(WORLD), 0.5)
    rejected(assert_conservative, NeuralDenoiser(Net(2).double(), Traits(Euclidean((2,)))), 0.5)


def test_a_difference_under_a_condition_and_of_centred_points() -> None:
    label = {"label": torch.tensor([0, 1, 1, 0, 1])}
    difference, _ = energy_difference(WORLD, A, B, 0.4, 64, condition=label)
    assert_close(difference, WORLD.log_density(A, 0.4, label) - WORLD.log_density(B, 0.4, label), 1e-6)
    denoiser = energetic(Centered((3, 2)))
    a, b = (denoiser.space.project(Keys.of(seed, 4).normal(3, 2)) for seed in (1, 2))  # pyright: ignore[reportAttributeAccessIssue]
    difference, error = energy_difference(denoiser, a, b, 0.4, keys=Keys.of(0, 4))
    assert_close(difference.detach(), (denoiser.log_density(a, 0.4) - denoiser.log_density(b, 0.4)).detach(), 1e-8)
    assert error.max() < 1e-8


def test_without_detours_there_is_no_error_to_report() -> None:
    assert energy_difference(WORLD, A, B, 0.5, detours=0)[1].isnan().all()


# Landscapes -------------------------------------------------------------------------------------------


def test_a_landscape_draws_finite_and_infinite_energies() -> None:
    def walled(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0, x.square().sum(1), torch.inf)

    panels = {
        "data": (lambda x: -WORLD.log_density(x, 0.05), WORLD.draw(Keys.of(0, 50)).numpy()),
        "walled": (walled, None),
        "network": (lambda x: -EnergyDenoiser(Net(2), Traits(Euclidean((2,)))).log_density(x, 0.3), None),
    }
    found = landscape(panels, (-3.0, 3.0, -3.0, 3.0), resolution=41)
    assert found == landscape(panels, (-3.0, 3.0, -3.0, 3.0), resolution=41)
    assert found.count(b"<image") >= 3
    assert found != landscape(panels, (-3.0, 3.0, -3.0, 3.0), nats=2.0, resolution=41)
