"""Wide noise of several widths is a density, is drawn as it says, and finds what one width misses."""

from math import log, pi

import pytest
import torch
from torch import Tensor

from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.mcmc.annealing import anneal
from ornstein.mcmc.densities import Density
from ornstein.mcmc.proposals import wide
from ornstein.mcmc.widths import widths
from ornstein.roots import power_law
from ornstein.spaces import Centered, Euclidean, Transition
from ornstein.transforms import periodic
from worlds import assert_close, double, rejected

N = 4000


def test_it_is_normalised() -> None:
    base = widths(Euclidean((1,)), 0.5, (1, 3))
    axis = torch.linspace(-15, 15, 6001, dtype=torch.float64)
    assert_close(torch.trapezoid(base.log_prob(axis[:, None]).exp(), axis), double(1.0), 1e-8)


@pytest.mark.parametrize("space", [Euclidean((2,)), Centered((3, 2))], ids=["plane", "centred"])
def test_it_is_drawn_as_it_says(space: Euclidean) -> None:
    """E[q/p] = 1 over its own draws, with q a narrower normal distribution; and the variance of each number."""
    base = widths(space, 0.5)
    x = base.sample(Keys.of(0, N))
    assert_close(x, space.project(x))
    ratio = (wide(space, 0.4).log_prob(x) - base.log_prob(x)).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / N**0.5
    freedom = space.freedom(x[:1]).flatten()
    off = x.flatten(1) ** 2 - 0.25 * (1 + 4 + 16) / 3 * freedom
    assert (off.mean(0) / (off.std(0) / N**0.5)).abs().max() < 4


def test_noise_with_a_spectrum_is_drawn_as_it_says() -> None:
    space = Euclidean((4, 4), noise_cov=power_law((4, 4), 3.0, periodic(), std=0.5))
    base = widths(space, 0.5)
    x = base.sample(Keys.of(0, N))
    ratio = (wide(space, 0.5).log_prob(x) - base.log_prob(x)).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / N**0.5


def assert_finds_the_far_mode(base: Transition) -> None:
    """Of two in the plane, at 0 and eight widths away, of weights .8 and .2."""
    places, weights = double([[0.0, 0.0], [8.0, 0.0]]), double([0.8, 0.2])

    def energy(x: Tensor) -> Tensor:
        return -(weights.log() - 2 * (x[:, None] - places).square().sum(2)).logsumexp(1)

    runs = [anneal(Density.of_energy(energy, Euclidean((2,))), base, Keys.of(seed, 500)) for seed in range(4)]
    z = double([run.log_evidence for run in runs]).exp().mean()
    assert abs(z.log() - log(pi / 2)) < 0.15


def test_what_one_width_misses_is_found() -> None:
    assert_finds_the_far_mode(widths(Euclidean((2,)), 1.0))
    rejected(assert_finds_the_far_mode, wide(Euclidean((2,)), 1.0))


def test_no_width_is_refused() -> None:
    for factors in ((), (1, 0)):
        with pytest.raises(InputError, match="widths are positive numbers, one or more"):
            widths(Euclidean((2,)), 1.0, factors)
