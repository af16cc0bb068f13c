"""Brightness, on a world of independent normal pixels, whose tilted law is known: shifted, and as wide as before."""

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import InputError
from ornstein.beliefs import Belief, Normal
from ornstein.denoisers.base import Condition, Denoiser, Traits
from ornstein.domains.images import Brightness
from ornstein.events import Event, finished
from ornstein.schedules import Cosine
from ornstein.spaces import Euclidean
from ornstein.states import State, Time

MEAN, STD = 0.4, 0.08  # of a pixel's brightness; a picture of 16 has a spread of .02


class Pixels(Denoiser):
    """Pictures of 16 independent pixels, which counts how many it is asked about."""

    def __init__(self) -> None:
        self.traits, self.asked = Traits(Euclidean((1, 4, 4), Cosine(), 1.0)), 0

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        assert isinstance(x_t, Tensor)
        self.asked += len(x_t)
        time = torch.as_tensor(t, dtype=x_t.dtype)
        alpha, sigma = Cosine().alpha(time), Cosine().sigma(time)
        mean, variance = 2 * MEAN - 1, (2 * STD) ** 2
        return Normal((mean * sigma**2 + alpha * variance * x_t) / (sigma**2 + alpha**2 * variance), None)


def brightness(samples: on.Samples) -> Tensor:
    return (samples.x.mean((1, 2, 3)) + 1) / 2


@pytest.mark.parametrize("target", [0.43, 0.34])
def test_pictures_are_as_bright_as_asked_for(target: float) -> None:
    found = brightness(on.sample(Pixels() & Brightness(target), 2000, seed=5))
    assert found.mean().item() == pytest.approx(target, abs=0.005)
    assert found.std().item() == pytest.approx(STD / 4, rel=0.08)
    plain = brightness(on.sample(Pixels(), 2000, seed=5))
    assert abs(plain.mean().item() - target) > 0.02  # the broken twin


@pytest.mark.parametrize("target", [0.95, 0.01, 0.55])
def test_what_no_picture_is_near_is_refused_after_a_glance(target: float) -> None:
    """The target .95 was drawn as .836, and nothing was said."""
    model = Pixels()
    with pytest.raises(InputError, match=r"beyond what this model draws: its pictures are [0-9.]+ ± 0\.0"):
        _ = model & Brightness(target)
    assert model.asked <= 12 * 256


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, 2.0, float("nan"), float("inf")])
def test_targets_that_are_none_are_refused_at_once(target: float) -> None:
    with pytest.raises(InputError, match=r"target is .* expected a number between 0 and 1"):
        Brightness(target)


def test_calibration_is_watched_and_says_how_long_it_takes() -> None:
    events: list[Event] = []
    finished(Brightness(0.43).guiding(Pixels()), events.append)
    assert events[0].stage == "looking how bright pictures are"
    assert "calibrating brightness, about 1 s in all" in {event.stage for event in events}
    done = [event.done / event.total for event in events]
    assert done == sorted(done)
    assert len(events) > 20


def test_a_calibration_costs_a_few_thousand_calls() -> None:
    """It took 1,024 pictures of 20 steps at a time: minutes."""
    model = Pixels()
    _ = model & Brightness(0.43)
    assert model.asked < 25_000
