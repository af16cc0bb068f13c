"""Random fields seen at a few noisy points: kriging's mean, spread and coverage, and the evidence of many numbers."""

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein.denoisers.fields import gaussian_field
from ornstein.keys import Keys
from ornstein.spectral.roots import power_law
from ornstein.spectral.transforms import periodic
from worlds import rejected

SIDE, STD = 32, 0.1
WORLD = gaussian_field(power_law((SIDE, SIDE), 3, periodic()))
ORDER = Keys.of(6, 1).uniform(SIDE, SIDE)[0].flatten().argsort()


def places(number: int) -> Tensor:
    return torch.zeros(SIDE**2, dtype=torch.bool).index_fill(0, ORDER[:number], True).reshape(SIDE, SIDE)


def seen(where: Tensor, n: int) -> tuple[Tensor, Tensor]:
    truths = WORLD.draw(Keys.of(5, n))
    return truths, truths[:, where] + STD * Keys.of(5, n).fold("noise").normal(int(where.sum())).to(truths)


def assert_kriging(std: float) -> None:
    """Samples given the noise `std` have the mean and the spread of the field given what it was, 0.1."""
    where, n = places(31), 500
    _, y = seen(where, 1)
    _, exact = WORLD.posterior(on.Measurement(y[0], on.operators.Mask(where), STD))
    assert exact.cov is not None
    units = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, SIDE, SIDE)
    spread = exact.cov(units).flatten(1).diagonal().sqrt().reshape(SIDE, SIDE)
    x = on.sample(WORLD & on.Measurement(y[0], on.operators.Mask(where), std), n, steps=15).x.double()
    off = (x.mean(0) - exact.mean[0]).square().sum()
    alone = spread.square().sum() / n
    assert off < 3 * alone + (0.02 * exact.mean.norm()) ** 2
    assert abs(float((x.std(0) / spread).mean()) - 1) < 0.05


def assert_covered(std: float, spread: float = 1.0) -> None:
    """The second smallest to the second largest of 39 samples hold the truth with probability 36/40."""
    where, n, members = places(31), 40, 39
    truths, y = seen(where, n)
    factor = on.Measurement(y.repeat_interleave(members, 0), on.operators.Mask(where), std)
    x = on.sample(WORLD & factor, n * members, steps=12).x.reshape(n, members, SIDE, SIDE)
    x = (x.mean(1, keepdim=True) + spread * (x - x.mean(1, keepdim=True))).sort(1).values
    inside = ((truths > x[:, 1]) & (truths < x[:, -2])).flatten(1).double().mean(1)
    assert abs(float(inside.mean()) - 0.9) < 0.02 + 2 * float(inside.std()) / n**0.5


def assert_evidence(std: float) -> None:
    where = places(250)
    _, y = seen(where, 1)
    exact, _ = WORLD.posterior(on.Measurement(y[0], on.operators.Mask(where), STD))
    factor = on.Measurement(y[0], on.operators.Mask(where), std)
    found = on.sample(WORLD & factor, 32, steps=8, exact="particles", particles=32).exactness
    assert abs(found.log_evidence - float(exact)) < 4 * found.error + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("test", [assert_kriging, assert_covered, assert_evidence])
def test_fields_at_noisy_points_have_krigings_posterior(test) -> None:
    test(STD)


@pytest.mark.slow
@pytest.mark.parametrize("test", [assert_kriging, assert_evidence])
def test_posteriors_of_another_noise_are_rejected(test) -> None:
    rejected(test, 6 * STD)


@pytest.mark.slow
def test_samples_that_are_too_close_together_are_rejected() -> None:
    rejected(assert_covered, STD, 0.8)
