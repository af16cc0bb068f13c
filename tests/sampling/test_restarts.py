"""Grids that rise again: the law stays, errors of a coarse walk are forgotten, noise is added from where it stands."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from ornstein import InputError
from ornstein.keys import Keys
from ornstein.sampling import grids
from ornstein.sampling.kernels import Predictor, SamplerState
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import Cosine
from ornstein.tasks.drawing import sample
from ornstein.tasks.engines import Independent
from worlds import anisotropic, assert_same_law, draw_samples, rejected

N = 3000
FINE = grids.restarted(grids.uniform(80), 0.4, 2)


@pytest.mark.parametrize(("eta", "order"), [(1.0, 1), (0.0, 3)])
def test_the_law_stays(eta: float, order: int) -> None:
    world = anisotropic()
    assert_same_law(draw_samples(world, FINE, N, eta=eta, order=order), world)
    coarse = grids.restarted(grids.uniform(3), 0.4, 1)
    rejected(assert_same_law, draw_samples(world, coarse, N, eta=eta, order=1), world)


class Still:
    """A kernel that moves nothing but the time."""

    def __call__(self, state: SamplerState, s: Any, denoiser: Any, condition: Any, keys: Keys) -> SamplerState:
        return replace(state, t=s)


def test_noise_is_added_from_where_the_walk_stands() -> None:
    """From 0.4 to 0.6 as much of the signal goes as α says; the twin thinks that it stood at the data."""
    world, keys = anisotropic(), Keys.of(3, 20_000)
    clean = world.draw(keys.fold("data")).double()
    middle = world.space.noise(clean, 0.4, keys.fold("first"))

    def keeps_the_signal(grid: tuple[float, ...]) -> None:
        x = Sampler(grid, (Still(),)).run(world, keys, None, middle)
        kept = (x * clean).mean() / clean.square().mean()
        assert abs(kept.item() - Cosine().alpha(0.6).item()) < 0.02

    keeps_the_signal((0.6, 0.4, 0.6, 0.6))
    rejected(keeps_the_signal, (0.6, 0.0, 0.6, 0.6))


def test_what_a_coarse_walk_did_is_forgotten_as_far_up_as_the_noise_goes() -> None:
    """One step from noise to data gives the mean of all modes; noise that hides the modes lets it be drawn anew."""
    world = anisotropic()

    def after(level: float) -> None:
        again = (level * (1 - k / 60) for k in range(61))
        assert_same_law(draw_samples(world, (1.0, 0.0, *again), N), world)

    after(0.97)
    rejected(after, 0.3)


def test_grids_rise_as_they_are_told() -> None:
    assert grids.restarted((1.0, 0.5, 0.25, 0.0), 0.5, 2) == (1.0, 0.5, 0.25, 0.0, 0.5, 0.25, 0.0, 0.5, 0.25, 0.0)
    assert grids.restarted((1.0, 0.0), 0.5, 0) == (1.0, 0.0)
    assert Sampler(grids.restarted(grids.uniform(4), 0.5, 3)).intervals == 4 + 3 * 2
    for level in (0.0, 1.5, -1.0):
        with pytest.raises(InputError, match="restarts at"):
            grids.restarted(grids.uniform(4), level, 1)
    with pytest.raises(InputError, match="grid of numbers"):
        grids.restarted((torch.ones(2), torch.zeros(2)), 0.5, 1)
    with pytest.raises(InputError, match=r"this grid goes from 0\.0 to 0\.5"):
        Sampler((0.2, 0.0, 0.5, 0.0))


def test_calls_and_times_are_counted() -> None:
    drawn = sample(anisotropic(), 3, 10, eta=1.0, grid="uniform", restarts=2, restart_at=0.35, trajectory=True)
    assert drawn.settings["steps"] == 10
    assert drawn.nfe == drawn.settings["intervals"] == 10 + 2 * 4
    assert len(drawn.settings["times"]) == 1 + 10 + 2 * 5
    assert isinstance(drawn.x, torch.Tensor)
    last = drawn.trajectory[-1]
    assert isinstance(last, torch.Tensor)
    assert drawn.x.equal(last)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"restarts": 2}, "say up to which time"),
        ({"restart_at": 0.3}, "restarts are not asked for"),
        ({"restarts": 2, "restart_at": 1.0}, "restart_at is 1.0, expected a time between 0 and 1"),
        ({"restarts": -1, "restart_at": 0.5}, "restarts is -1"),
        ({"restarts": 2, "restart_at": 0.5, "sampler": Sampler(grids.uniform(2), (Predictor(),))}, "the sampler given"),
    ],
)
def test_bad_restarts_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Independent(**settings)
