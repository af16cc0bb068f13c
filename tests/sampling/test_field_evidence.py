"""The evidence of a thousand numbers measured of a random field, by particles."""

import pytest
import torch

import ornstein as on
from ornstein.denoisers.fields import gaussian_field
from ornstein.keys import Keys
from ornstein.spectral.roots import Spectral, power_law
from ornstein.spectral.transforms import periodic
from worlds import rejected

SIDE, NUMBERS, STD = 64, 1000, 0.1
WORLD = gaussian_field(power_law((SIDE, SIDE), 3, periodic()))
SEEN = (Keys.of(2, 1).uniform(SIDE * SIDE)[0].argsort().argsort() < NUMBERS).reshape(SIDE, SIDE)
Y = WORLD.draw(Keys.of(11, 1))[0].double()[SEEN] + STD * Keys.of(5, 1).normal(NUMBERS)[0]


def closed_form(std: float = STD) -> float:
    """log p(y) by dense algebra."""
    places = SEEN.flatten().nonzero()[:, 0]
    units = torch.eye(SIDE * SIDE, dtype=torch.float64)[places].reshape(-1, SIDE, SIDE)
    system = WORLD.cov(units)[:, SEEN] + std**2 * torch.eye(NUMBERS, dtype=torch.float64)
    return float(torch.distributions.MultivariateNormal(torch.zeros(NUMBERS).double(), system).log_prob(Y))


def assert_evidence(found: float, error: float, expected: float) -> None:
    """Within its stated error, and what the start at pure noise and single precision leave out."""
    assert abs(found - expected) < 4 * error + 2e-3, f"{found:.4f} ± {error:.4f}, exactly {expected:.4f}"


@pytest.mark.slow
def test_particles_give_the_evidence_of_a_thousand_numbers() -> None:
    factor = on.Measurement(Y, on.operators.Mask(SEEN), STD)
    exactness = on.sample(WORLD & factor, 8, steps=6, exact="particles", particles=8).exactness
    found, error, expected = exactness.log_evidence, exactness.error, closed_form()
    assert_evidence(found, error, expected)
    rejected(assert_evidence, found, error, closed_form(1.01 * STD))


@pytest.mark.parametrize("noise", [None, power_law((4, 4), 2, periodic(), std=0.5)], ids=["white", "coloured"])
def test_powers_of_fields_are_weighed_by_particles(noise: Spectral | None) -> None:
    """p_a^1.5 p_b^−.5 of fields with one covariance C: N(1.5 a − .5 b, C), and log Z = ⅜ (a − b)ᵀ C⁻¹ (a − b).

    The terms' steps were as wide as their covariances, that of the combined belief was not: log Z came out as 50.
    """
    cov = power_law((4, 4), 3, periodic())
    mean = torch.full((4, 4), 0.5)
    negated = on.negation(gaussian_field(cov, mean, noise_cov=noise), gaussian_field(cov, noise_cov=noise), 0.5)
    samples = on.sample(negated, 400, exact="particles", particles=400, steps=60)
    exact = 3 / 8 * float(cov.whiten(mean.double()[None]).square().sum())
    assert samples.exactness is not None
    assert abs(samples.exactness.log_evidence - exact) < 0.05
    assert min(samples.exactness.ess) > 0.9
    spread = float(cov.variance[0, 0, 0] / 16) ** 0.5
    off = samples.x.mean((1, 2)) - 0.75
    assert abs(off.mean()) < 4 * spread / 20
    assert 0.85 < off.std() / spread < 1.15
