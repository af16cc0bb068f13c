"""One-step models: the score that they learn is smallest for the truth's law, and they are drawn in one step alone."""

from dataclasses import replace
from math import pi, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nets import Net
from ornstein import Categorical, Euclidean, InputError, Keys, NeuralDenoiser, OneStep, Traits, sample
from ornstein.calibration.scores import crps
from ornstein.config import TrainConfig
from ornstein.denoisers.base import Condition
from ornstein.denoisers.windows import windowed
from ornstein.guidance.factors import Energy
from ornstein.sampling import grids
from ornstein.sampling.sampler import Sampler
from ornstein.spectral.roots import Spectral, power_law
from ornstein.spectral.transforms import periodic
from ornstein.training.datasets import Arrays
from ornstein.training.trainer import Trainer
from worlds import rejected

SLOPE, STDS = torch.tensor([0.8, -0.5]), torch.tensor([0.6, 1.2])


class Linear(nn.Module):
    """F(z) = A z + B c + b of points of the plane, which says the law of the world below exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.layer(torch.cat([x, condition["forecast"]], 1))


def world(n: int, seed: int = 0) -> Arrays:
    """y = slope · forecast + noise of a spread each."""
    keys = Keys.of(seed, n)
    forecast = keys.fold("forecast").normal(1).float()
    return Arrays(SLOPE * forecast + STDS * keys.fold("noise").normal(2).float(), {"forecast": forecast})


def generator(network: nn.Module | None = None, space: Euclidean | None = None, **said: Any) -> OneStep:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network or Linear()
    return OneStep(network, Traits(space or Euclidean((2,))), {"forecast": torch.tensor([torch.nan])}, **said)


def trained(**said: Any) -> OneStep:
    """By Adam alone, on all records at once, with other draws in each step."""
    model, data = generator(**said), world(2000)
    adam = torch.optim.Adam(model.network.parameters(), lr=0.2)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 120)
    keys = Keys.of(7, 2000)
    for step in range(120):
        adam.zero_grad()
        model.losses(data.x, torch.ones(2000), data.condition, keys.fold(step)).mean().backward()
        adam.step()
        rate.step()
    model.network.requires_grad_(False)
    return model


def assert_calibrated(model: OneStep) -> None:
    """The CRPS is within 2 % of the best, std/√π, and members are as wide as their mean is off."""
    truth, m = world(2000, 2), 20
    told = {"forecast": truth.condition["forecast"].repeat_interleave(m, 0)}
    members = sample(model, len(told["forecast"]), condition=told, seed=3).x.unflatten(0, (-1, m))
    best = float(STDS.mean()) / sqrt(pi)
    assert abs(crps(truth.x, members).value / best - 1) < 0.02 + 0.02  # 2 % and the error of 2000 cases
    spread = members.var(1).mean(0).sqrt() * sqrt((m + 1) / m)
    skill = (members.mean(1) - truth.x).square().mean(0).sqrt()
    assert ((spread / skill - 1).abs() < 0.05).all(), (spread / skill).tolist()


def test_a_trained_generator_reaches_the_best_score_and_one_of_two_draws_as_they_are_is_too_narrow() -> None:
    fair, unfair = trained(), trained(fair=0.0)
    assert_calibrated(fair)
    rejected(assert_calibrated, unfair)
    width = (torch.eye(2) + unfair.network.layer.weight[:, :2]).norm(dim=1)  # pyright: ignore[reportAttributeAccessIssue, reportIndexIssue]
    assert ((width / STDS - 0.378).abs() < 0.04).all()  # k/√(1 − k²), k = 1/√8


def test_the_one_trainer_trains_it(tmp_path: Path) -> None:
    settings = TrainConfig(steps=20, batch_size=64, learning_rate=0.02, warmup=1, ema=0.5, condition_dropout=0.0)
    trainer = Trainer(generator(members=3), world(1000), world(300, 1), settings, tmp_path, {"config": {}})
    before = trainer.validate()
    trainer.fit()
    assert trainer.validate() < 0.95 * before
    assert isinstance(trainer.averaged, OneStep)
    assert trainer.averaged.members == 3
    assert (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("fair", [0.0, 0.5, 1.0])
def test_the_loss_is_the_score_of_the_draws_as_the_calibration_has_it(members: int, fair: float) -> None:
    model, data = generator(members=members, fair=fair), world(50)
    keys = Keys.of(5, 50)
    assert isinstance(data.x, torch.Tensor)
    draws = model.drawn(data.x, data.condition, keys).movedim(0, 1)
    losses = model.losses(data.x, torch.rand(50), data.condition, keys)
    draws = draws.detach()
    expected = fair * crps(data.x, draws).value + (1 - fair) * crps(data.x, draws, fair=False).value
    assert float(losses.detach().mean()) == pytest.approx(expected, rel=1e-5)
    assert (losses >= 0).all()


def test_what_is_missing_and_what_weighs_nothing_does_not_count() -> None:
    keys, n = Keys.of(0, 8), 8
    x, mask = keys.normal(6).float(), keys.fold("mask").uniform(6) < 0.6
    plain = generator(Net(6), Euclidean((6,)))
    one = plain.losses(x, torch.ones(n), {"mask": mask}, keys)
    other = plain.losses(torch.where(mask, x, 9.0), torch.ones(n), {"mask": mask}, keys)
    assert torch.equal(one, other)
    weights = torch.tensor([2.0, 0, 0, 0, 0, 0])
    weighed = generator(Net(6), Euclidean((6,), element_weights=weights))
    first = plain._score(plain.drawn(x, {}, keys), x)[:, 0]
    assert torch.allclose(weighed.losses(x, torch.ones(n), {}, keys), 2 * first / 6)


# Bands ------------------------------------------------------------------------------------------------

RING = power_law((1, 32, 32), 3, periodic())


class Coloured(nn.Module):
    """Fields of another spectrum than the data's, of the same variance at each point."""

    def __init__(self, exponent: float) -> None:
        super().__init__()
        cov = power_law((1, 32, 32), exponent, periodic())
        self.gain = Spectral(RING.basis, cov.variance / RING.variance)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.gain.root(x) - x


def scored(exponent: float, bands: float) -> float:
    """The loss of draws with this exponent for data with the exponent 3."""
    space = Euclidean((1, 32, 32), data_std=RING, noise_cov=RING)
    model = OneStep(Coloured(exponent), Traits(space), bands=bands)
    keys = Keys.of(0, 100)
    return float(model.losses(RING.root(keys.normal(1, 32, 32)).float(), torch.ones(100), {}, keys).mean())


def assert_sees_the_spectrum(bands: float) -> None:
    """Draws that are too rough, or too smooth, cost more than 3 % more."""
    right = scored(3.0, bands)
    assert min(scored(1.5, bands), scored(4.5, bands)) > 1.03 * right


def test_bands_see_a_wrong_spectrum_of_which_elements_know_nothing() -> None:
    assert_sees_the_spectrum(1.0)
    rejected(assert_sees_the_spectrum, 0.0)


def test_octaves_are_all_waves_each_once_in_units_of_their_spread() -> None:
    model = OneStep(Coloured(3.0), Traits(Euclidean((1, 32, 32), data_std=RING, noise_cov=RING)), bands=1.0)
    inside = torch.stack(model._octaves) > 0
    assert (inside.sum(0) == 1).all()
    x = RING.root(Keys.of(1, 300).normal(1, 32, 32))
    spreads = torch.tensor([float(model._passed(factor, x).std()) for factor in model._octaves])
    assert ((spreads - 1).abs() < 0.1).all()


# Drawing ----------------------------------------------------------------------------------------------


def test_a_network_that_says_nothing_draws_noise_of_the_datas_spectrum() -> None:
    class Nothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
            return 0 * x

    noise = power_law((1, 32, 32), 2, periodic())
    model = OneStep(Nothing(), Traits(Euclidean((1, 32, 32), data_std=RING, noise_cov=noise)))
    drawn = sample(model, 200).x
    power = periodic().forward(drawn.double()).square().mean(0)
    assert float((power / RING.variance[0]).mean()) == pytest.approx(1, abs=0.02)
    assert float((power / RING.variance[0]).std()) < 0.2


def test_it_is_drawn_in_one_step_and_by_its_number() -> None:
    model = generator()
    drawn = sample(model, 6, condition={"forecast": torch.ones(6, 1)})
    assert drawn.nfe == 1
    noise = model.space.prior(Keys.of(0, 6).fold("prior"))
    assert torch.equal(drawn.x, model(noise, 1.0, {"forecast": torch.ones(6, 1)}).mean)
    assert torch.equal(sample(model, 2, 1, first=4, condition={"forecast": torch.ones(2, 1)}).x, drawn.x[4:])


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"steps": 2}, "steps is 2, but OneStep.* draws in one step: steps = 1"),
        ({"eta": 1.0}, "eta is 1.0, but OneStep"),
        ({"grid": "karras"}, "grid is karras, but"),
        ({"sampler": Sampler(grids.uniform(3))}, "a sampler is given, but"),
        ({"start": torch.zeros(3, 2)}, "a start is given, but"),
        ({"exact": "particles"}, "exact='particles' weighs samples on their way"),
        ({"exact": "mcmc"}, "exact='mcmc' weighs samples on their way"),
    ],
)
def test_what_belongs_to_a_walk_is_refused(said: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        sample(generator(), 3, **said)


def test_factors_other_times_and_other_data_are_refused() -> None:
    model = generator()
    with pytest.raises(InputError, match="draws in one step: no Energy can be weighed against its noise"):
        _ = model & Energy(lambda x: x.square().sum(1))
    with pytest.raises(InputError, match=r"knows the time t = 1 alone, not t = 0\.5"):
        model(torch.zeros(1, 2), 0.5)
    with pytest.raises(InputError, match="of continuous data, not of Categorical"):
        generator(space=Categorical.masked((2,), 3))  # pyright: ignore[reportArgumentType]
    for said, match in {"members": 1, "fair": 1.5, "bands": -1.0}.items():
        with pytest.raises(InputError, match=f"{said} is {match}, expected"):
            generator(**{said: match})
    with pytest.raises(InputError, match="bands are of waves"):
        generator(bands=1.0)
    weights = Spectral.of(torch.ones(2).double(), periodic(1))
    one = Spectral.of(torch.ones(2).double(), periodic(1))
    with pytest.raises(InputError, match="element_weights is a spectrum"):
        generator(space=Euclidean((2,), data_std=one, noise_cov=one, element_weights=weights))


def test_it_stays_one_by_another_name_and_by_windows() -> None:
    model = generator(Net(6), Euclidean((1, 6)), members=3)
    other = model.having(calls=2)
    assert (type(other), other.members, other.one_step, other.calls) == (OneStep, 3, True, 2)
    assert not NeuralDenoiser(model.network, replace(model.traits, one_step=False)).one_step
    whole = windowed(model, (1, 15))
    assert whole.one_step
    assert sample(whole, 2).nfe == len(whole.tiling.windows)
    with pytest.raises(InputError, match="draws in one step"):
        sample(whole, 2, steps=4)
