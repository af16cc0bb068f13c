"""Regressors: the loss is the likelihood, the trainer finds E[y | x_t] and its spread, and they guide exactly."""

from collections.abc import Mapping
from math import e, log, pi
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ornstein import Euclidean
from ornstein.config import TrainConfig
from ornstein.denoisers.regressors import Predicted, Regressor
from ornstein.guidance.classifiers import NoisyClassifierGuidance
from ornstein.keys import Keys
from ornstein.spaces import Categorical, Product, TimePath
from ornstein.tasks.drawing import sample
from ornstein.tasks.strength import Law, StrengthSearch, ValueFunction, guidance_strength
from ornstein.training import checkpoints
from ornstein.training.datasets import Arrays
from ornstein.training.metrics import read_metrics
from ornstein.training.trainer import Trainer
from worlds import assert_close, double, rejected, single

DIRECTION = double([0.6, -0.8])
NORMAL = Euclidean((1,))


class Known(nn.Module):
    """The exact regressor of y = x₀ for x₀ ~ N(0, 1): E[y | x_t] = α x_t/v, Var = σ²/v, with v = α² + σ² = 1."""

    def __init__(self, bias: float = 0.0, widened: float = 1.0) -> None:
        super().__init__()
        self.bias, self.widened = bias, widened

    def forward(self, x: Tensor, t: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        alpha, sigma = (level(t.double())[:, None] for level in (NORMAL.schedule.alpha, NORMAL.schedule.sigma))
        return torch.stack([alpha * x + self.bias, (self.widened * sigma).log().expand_as(x)], 1)


def loss(network: nn.Module, t: float, n: int = 40_000) -> Tensor:
    keys = Keys.of(0, n)
    x0 = keys.fold("x").normal(1)
    return Regressor(network, NORMAL, "y").losses(x0, torch.full((n,), t), {"y": x0.float()}, keys)


def assert_entropy(network: nn.Module, t: float) -> None:
    """The loss of the truth is the entropy of y given x_t, ½ log 2πe σ²."""
    each = loss(network, t)
    entropy = 0.5 * log(2 * pi * e * float(NORMAL.schedule.sigma(t)) ** 2)
    assert abs(float(each.mean()) - entropy) < 4 * float(each.std()) / len(each) ** 0.5


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_truth_has_the_entropy_as_its_loss(t: float) -> None:
    assert_entropy(Known(), t)
    rejected(assert_entropy, Known(bias=0.3), t)
    rejected(assert_entropy, Known(widened=1.3), t)


def test_what_is_not_known_says_nothing() -> None:
    found = Predicted(double([[0.5, 1.0]]), double([[0.1, 2.0]]))
    y = double([[0.7, torch.nan]])
    expected = -(2.0**2) / 2 - log(0.1 * (2 * pi) ** 0.5)
    assert_close(found.log_prob(y), double([expected]))
    assert_close(found.log_prob(double([[torch.nan, torch.nan]])), double([0.0]))


class Learner(nn.Module):
    """Two layers on (x_t, t)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 2))

    def forward(self, x: Tensor, t: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        assert "y" not in condition  # what is to be predicted is not told
        return self.layers(torch.cat([x, t[:, None]], 1))[:, :, None]


def trained(folder: Path, clean: bool) -> Regressor:
    config = TrainConfig(steps=240, batch_size=128, learning_rate=3e-2, warmup=10, validate_every=240, ema=0.95)
    torch.manual_seed(0)
    x = Keys.of(3, 4000).normal(1).float()
    data = Arrays(x, {"y": x + 0.5 * Keys.of(4, 4000).normal(1).float()})
    meta: dict[str, Any] = {"domain": "tests", "name": "regressor", "config": {}, "facts": {}}
    trainer = Trainer(Regressor(Learner(), NORMAL, "y", clean), data, data, config, folder, meta)
    trainer.fit()
    assert isinstance(trainer.averaged, Regressor)
    return trainer.averaged


@pytest.mark.parametrize("clean", [True, False])
def test_the_trainer_finds_the_mean_and_the_spread(clean: bool, tmp_path: Path) -> None:
    """y = x₀ + noise of .5: the spread is .5 at t = 0, and √1.25 of pure noise."""
    regressor = trained(tmp_path, clean)
    tensors, meta = checkpoints.load(tmp_path / "regressor.safetensors", "regressor")
    assert meta["step"] == 240
    assert all(torch.equal(tensors[name], value) for name, value in regressor.network.state_dict().items())
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["validation"] > 0
    with torch.no_grad():
        at_rest = regressor(torch.tensor([[1.0], [-1.0]]), 0.0)
        noise = regressor(torch.tensor([[1.0], [-1.0]]), 1.0)
    assert (at_rest.mean - torch.tensor([[1.0], [-1.0]])).abs().max() < 0.15
    assert (at_rest.std - 0.5).abs().max() < 0.1
    learned = bool(noise.mean.abs().max() < 0.3 and (noise.std - 1.25**0.5).abs().max() < 0.3)
    assert learned != clean  # one that has seen clean data alone knows nothing of noise


class Seeing(nn.Module):
    """Notes what it is told."""

    def forward(self, x: dict[str, Tensor], t: Any, condition: Mapping[str, Tensor]) -> Tensor:
        self.x, self.t = x, t
        return torch.zeros(len(x["tokens"]), 2, 1)


def assert_apart(times: Any) -> None:
    """Each part is noised at a time of its own, which the network is told."""
    space = Product({"x": NORMAL, "tokens": Categorical.masked((3,), 2)}, path=TimePath.power(8.0, "tokens"))
    network, x0 = Seeing(), {"x": torch.full((4, 1), 5.0), "tokens": torch.zeros(4, 3).long()}
    losses = Regressor(network, space, "y").losses(x0, times, {"y": torch.zeros(4, 1)}, Keys.of(0, 4))
    assert losses.isfinite().all()
    assert isinstance(network.t, dict)
    assert (network.x["tokens"] == 2).all()  # masks
    assert_close(network.t["tokens"], torch.ones(4))
    assert_close(network.x["x"] / network.x["x"].mean(), torch.ones(4, 1), 1e-2)


def test_it_learns_at_times_of_the_parts() -> None:
    assert_apart({"x": torch.full((4,), 1e-4), "tokens": torch.ones(4)})
    rejected(assert_apart, torch.full((4,), 1e-4))


# Guidance by foresight --------------------------------------------------------------------------------


def along(x: Tensor) -> Tensor:
    return x.double() @ DIRECTION


def foresight(seen_at: float = 1.0) -> ValueFunction:
    """E[a·x₀ | x_t] exactly; `seen_at` scales the time it believes to be at, which is wrong for any other than 1."""
    world = single()
    return ValueFunction(lambda x, t: world(x.double(), t * seen_at).mean @ DIRECTION)


def assert_tilted(w: ValueFunction, gamma: float = 1.2, n: int = 4000) -> None:
    """The mean of a·x₀ under p exp(γ a·x₀) is μ + γ aᵀCa."""
    world, knob = single(), StrengthSearch(single(), w, n)
    law = Law.of(along(sample(world, 40_000, 40).x))
    found = along(sample(world & knob.guide(gamma), n, 40).x)
    assert abs(float(found.mean()) - law(gamma)) < 5 * (law.variance / n) ** 0.5 + 0.02 * law.variance**0.5


def test_a_property_with_foresight_is_pushed_as_far_as_the_law_says() -> None:
    assert_tilted(foresight())
    rejected(assert_tilted, foresight(0.0))  # a regressor of clean data, asked about noise


def test_its_knob_is_calibrated_like_any_other() -> None:
    free = along(sample(single(), 4000, 40).x)
    target = float(free.mean() + free.std())
    found = guidance_strength(single(), foresight(), target, n=2000, steps=30)
    assert found.measured == pytest.approx(target, abs=4 * found.error + 0.01)


def test_a_regressor_as_a_factor_is_the_posterior() -> None:
    """log N(y; E[a·x₀ | x_t], Var + s²) is what a measurement of a·x₀ says, and Tweedie gives its posterior."""
    world, x, y, noise = single(), 0.7 * Keys.of(1, 4).normal(2), 0.4, 0.3

    def log_prob(code: Tensor, t: float) -> Tensor:
        belief: Any = world(code, t)
        variance = DIRECTION @ belief.covary(DIRECTION.expand_as(code)).T + noise**2
        return Predicted((belief.mean @ DIRECTION)[:, None], variance[:, None].sqrt()).log_prob(double([[y]]))

    for t in (0.1, 0.5, 0.9):
        belief: Any = world(x, t)
        gain = belief.covary(DIRECTION.expand_as(x))
        expected = belief.mean + gain * ((y - belief.mean @ DIRECTION) / (gain @ DIRECTION + noise**2))[:, None]
        assert_close((world & NoisyClassifierGuidance(log_prob))(x, t).mean, expected, 1e-8)
