"""Events: what their words mean, and their probabilities beside the closed form of Gaussian fields."""

from dataclasses import replace
from math import log, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import ornstein as on
from ornstein import InputError, Keys
from ornstein.domains.weather.events.event import Event
from ornstein.domains.weather.events.probability import Probability, probability
from ornstein.domains.weather.events.words import parse
from ornstein.domains.weather.files import Grid
from ornstein.domains.weather.roots import Roots
from ornstein.sampling.diagnostics import Exactness
from worlds import MeanOnly, rejected

ROUND = {"y": {"periodic": 1}, "x": {"periodic": 1}}
SQUARE = Grid("grid", ("y", "x"), (8, 8), {"y": np.arange(8.0), "x": np.arange(8.0)}, ROUND)
GLOBE = Grid("grid", ("lat", "lon"), (5, 8), {"lat": np.linspace(60, 40, 5), "lon": np.arange(0.0, 360.0, 45.0)})
SPECTRUM = on.roots.power_law((2, 8, 8), 3, on.transforms.periodic())  # a variable at two leads
WORLD = on.oracles.gaussian_field(SPECTRUM, noise_cov=SPECTRUM)


def said(text: str, grid: Grid = SQUARE, positive: bool = False) -> Event:
    return parse(text, grid, ["t2m"], [2.0, 4.0], [positive])


def chance(event: Event, mean: torch.Tensor, cov: Any) -> float:
    """Of a linear statistic of N(mean, cov) at one lead."""
    row = torch.zeros(1, *mean.shape, dtype=torch.float64)
    row.flatten(2)[0, event.channels[0], event.index] = event.weight
    sign = 1 if event.above else -1
    z = sign * (float((row * mean).sum()) - event.threshold) / sqrt(float((row * cov(row)).sum()))
    return float(stats.norm.cdf(z))


def assert_found(found: Probability, truth: float) -> None:
    """Within three standard errors, which are of use, and in the interval at 99.7 %."""
    assert found.trusted
    assert found.error < 0.1 * found.value
    assert abs(found.value - truth) < 3 * found.error, f"{found}, truth {truth:.4g}"


# Words ------------------------------------------------------------------------------------------------


def test_a_place_is_read_between_the_points_and_a_lead_is_a_channel() -> None:
    event = said("t2m > 3 @ y=4.25,x=7.5 step=4")
    field = torch.arange(128.0).reshape(1, 2, 8, 8)
    corners = 0.75 * (field[0, 1, 4, [7, 0]].mean()) + 0.25 * field[0, 1, 5, [7, 0]].mean()
    assert event.channels == (1,)
    assert torch.allclose(event.value(field), corners.double()[None].to(event.value(field)))
    assert said("t2m < 3 @ 4.25,7.5 step=4").value(field) == event.value(field)


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("max(t2m) > 1 in box 44:56,10:140", [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)]),
        ("min(t2m) < 1 in box 60:61,300:50", [(0, 7), (0, 0), (0, 1)]),
        ("mean(t2m) > 1 in box lat=39:41,lon=-50:0", [(4, 7), (4, 0)]),
    ],
)
def test_a_box_holds_these_points(text: str, points: list[tuple[int, int]]) -> None:
    found = said(text, GLOBE)
    assert sorted(found.index.tolist()) == sorted(y * 8 + x for y, x in points)
    assert float(found.weight.sum()) == pytest.approx(1)


def test_an_event_happens_at_any_lead_that_is_not_said() -> None:
    field = torch.zeros(3, 2, 8, 8)
    field[0, 1, 2, 3] = 5.0
    field[1, 0, 2, 3] = -5.0
    assert said("max(t2m) > 4").happened(field).tolist() == [True, False, False]
    assert said("t2m < -4 @ 2,3").happened(field).tolist() == [False, True, False]
    assert said("max(t2m) > 4 step=2").happened(field).tolist() == [False, False, False]


def test_stations_are_said_by_name_or_by_their_place() -> None:
    coords = {
        "station": np.array(["IBK", "VIE"]),
        "latitude": np.array([47.26, 48.2]),
        "longitude": np.array([11.4, 16.4]),
    }
    stations = Grid("stations", ("station",), (2,), coords)
    for text in ("t2m > 1 @ station=VIE", "t2m > 1 @ VIE", "t2m > 1 @ 48.2,16.4", "mean(t2m) > 1 in box 48:49,15:17"):
        assert said(text, stations).index.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t2m", "expected an event such as"),
        ("t2m >", "expected an event such as"),
        ("t2n > 3 @ 1,1", "no 't2n', did you mean 't2m'"),
        ("t2m > hot @ 1,1", "threshold is 'hot'"),
        ("t2m > 3", "where is it"),
        ("t2m > 3 in box 1:2,1:2", "where is it"),
        ("t2m > 3 @ 1", "expected y, x"),
        ("t2m > 3 @ y=1,z=2", "expected y, x"),
        ("t2m > 3 @ y=1,x=east", "x is 'east'"),
        ("max(t2m) > 3 @ 1,1", "not at a place"),
        ("max(t2m) > 3 in box 1:2", "box '1:2', expected y, x"),
        ("max(t2m) > 3 in box 1,2", "expected LOW:HIGH"),
        ("max(t2m) > 3 in box 1.2:1.4,0:7", "no point of the grid lies in the box"),
        ("t2m > 3 @ 1,1 step=3", "step is '3', expected one of 2, 4"),
        ("t2m > 3 @ 1,1 tomorrow", "expected y, x|x is '1 tomorrow'"),
        ("t2m > 3 @ 1,1 step=2 step=4", "says its step twice"),
        ("median(t2m) > 3", "expected an event such as"),
    ],
)
def test_what_is_no_event_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        said(text)


def test_a_place_beyond_the_grid_is_named() -> None:
    with pytest.raises(InputError, match="reaches from 40 to 60"):
        said("t2m > 3 @ 12,11", GLOBE)


# Probabilities ----------------------------------------------------------------------------------------


class Softened(Event):
    """Broken: a soft threshold instead of the event."""

    @property
    def factor(self) -> Any:
        sign = 1 if self.above else -1
        return on.Energy(lambda x: -torch.special.log_ndtr(sign * (self.value(x) - self.threshold) / 0.3))


@pytest.mark.parametrize("text", ["t2m > 3 @ y=4.2,x=7.5 step=4", "mean(t2m) < -2.2 in box 2:5,6:1 step=2"])
def test_a_rare_event_has_the_probability_of_the_closed_form(text: str) -> None:
    event = said(text)
    truth = chance(event, WORLD.mean, SPECTRUM)
    assert 1e-4 < truth < 1e-3
    assert_found(probability(WORLD, event, particles=256, steps=20), truth)
    soft = Softened(**{name: getattr(event, name) for name in Event.__dataclass_fields__})
    rejected(assert_found, probability(WORLD, soft, particles=256, steps=20), truth)


def test_what_was_observed_counts() -> None:
    event = said("t2m > 3 @ 4,7 step=2")
    row = torch.zeros(2, 8, 8, dtype=torch.bool)
    row[0, 4, 6] = row[1, 1, 1] = True
    seen = on.Measurement([1.5, -1.0], on.operators.Mask(row), 0.3)
    _, given = WORLD.posterior(seen)
    truth = chance(event, given.mean[0], given.cov)
    found = probability(WORLD, event, given=[seen], particles=256, steps=20)
    assert_found(found, truth)
    rejected(assert_found, found, chance(event, WORLD.mean, SPECTRUM))


def test_the_event_of_a_maximum_is_the_share_of_exact_draws() -> None:
    event = said("max(t2m) > 3.2 in box 2:4,2:4")
    draws = WORLD.draw(Keys.of(5, 20000))
    truth = float(event.happened(draws).double().mean())
    found = probability(WORLD, event, particles=256, steps=20)
    error = sqrt(truth / 20000 + found.error**2)
    assert truth < 0.02
    assert abs(found.value - truth) < 3 * error
    assert found.error < 0.3 * found.value


def test_a_network_whose_belief_is_a_mean_finds_it_too() -> None:
    event = said("t2m > 3 @ y=4.2,x=7.5 step=4")
    found = probability(MeanOnly(WORLD), event, particles=256, steps=40)
    truth = chance(event, WORLD.mean, SPECTRUM)
    assert abs(log(found.value / truth)) < max(3 * found.error / found.value, 0.15)


def test_particles_are_scenarios_in_which_it_happens() -> None:
    event = said("t2m > 3 @ y=4.2,x=7.5 step=4")
    drawn = on.sample(WORLD & event.factor, 64, exact="particles", particles=64, steps=20)
    assert bool(event.happened(drawn.x).all())


@pytest.mark.parametrize("text", ["t2m > 5 @ 4,7 step=4", "t2m > 5 @ 4.5,7 step=4", "max(t2m) > 14 step=4"])
def test_a_variable_that_is_never_negative_is_known_by_its_root(text: str) -> None:
    """Rain is max(u, 0)²: more than 5 where u is above √5."""
    event = said(text, positive=True)
    model = on.mapped(WORLD, Roots((True, True)))
    draws = on.physical(model, WORLD.draw(Keys.of(5, 20000)))
    truth = float(event.happened(draws).double().mean())
    found = probability(model, event, particles=256, steps=20)
    assert found.error < 0.3 * found.value
    assert abs(found.value - truth) < 3 * sqrt(truth / 20000 + found.error**2)


def test_members_give_their_share() -> None:
    happened = torch.arange(50) < 4
    found = Probability.of_members("rain", happened)
    assert found.value == 0.08
    assert (found.low, found.high) == pytest.approx(tuple(stats.beta.ppf([0.025, 0.975], 4.5, 46.5)))
    none = Probability.of_members("rain", happened & False)
    assert (none.value, none.low) == (0.0, 0.0)
    assert 0 < none.error < none.high < 0.06


def test_a_collapsed_population_is_not_trusted() -> None:
    good = Exactness("particles", 100, (0.5,), 3, 20, log(1e-3), 0.1)
    assert Probability.of_particles("rain", good).trusted
    assert not Probability.of_particles("rain", replace(good, families=2)).trusted
    given = Probability.of_particles("rain", good, replace(good, log_evidence=log(1e-2)))
    assert given.value == pytest.approx(0.1)
    assert given.error == pytest.approx(0.1 * sqrt(2) * 0.1)
