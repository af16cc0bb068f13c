"""What the tour tells of weather: one forecast in, an ensemble out, and whether that says what it should."""

from functools import partial

from ...denoisers.base import NeuralDenoiser
from ...events import Stream
from ...tasks.figures import Chapter, Figure, Metric, Stop
from ...tasks.requests import drawing
from . import examples, judging
from .asked.flags import WeatherRequest
from .results import figures
from .results.drawn import Drawn, ensembles

QUICK, FULL = (2, 8, 8), (5, 20, 12)
"""Times, members of each, and steps."""
TITLE = "One forecast in, an ensemble out"
SCORES = ("CRPS", "variogram score", "spread / skill")
_VORTICITY, _MIDDLE = 1, 1
"""The rough variable and the middle lead, of which figures are."""


def stops(model: NeuralDenoiser, full: bool) -> list[Stop]:
    """What is shown of a model beside its own samples: of one of the world whose forecasts ship.

    Args:
        model: any of the domain.
        full: as many samples as a judgement needs.
    """
    assert model.origin is not None
    if not examples.fits(model.origin.metadata):
        return []
    return [Stop(TITLE, partial(forecast, model, full), 40, 15)]


def forecast(model: NeuralDenoiser, full: bool, seed: int) -> Stream[Chapter]:
    """Ensembles for forecasts of times that no model has learned from.

    Args:
        model: of the quasi-geostrophic world.
        full: as many samples as a judgement needs.
        seed: of the members.
    """
    times, members, steps = FULL if full else QUICK
    asked = WeatherRequest(forecast=examples.FORECAST, truth=examples.TRUTH, times=f"0:{times}", members=members)
    samples = yield from drawing(model, asked, seed=seed, batch_size=8, steps=steps)
    drawn = ensembles(samples)
    shown = pictures(drawn)
    lead = drawn.leads[_MIDDLE]
    return Chapter(
        TITLE,
        "Turbulence of two layers of a rotating fluid, a world like the atmosphere at middle latitudes, and forecasts "
        "of it by a model with half the resolution, a wrong wind and a wrong start. For each of these forecasts the "
        f"network draws what may happen, at leads of {', '.join(drawn.leads)} together: {members} members in {steps} "
        f"steps, for {times} times that it has not learned from. Maps are of the lead {lead}; where an ensemble is "
        "right, the truth looks like one more member: in its place, its size and its texture.",
        shown,
        [one for one in judged(drawn) if one.name.split(", ")[1].startswith(f"{lead}: ")],
        shown[0],
    )


def pictures(drawn: Drawn) -> list[Figure]:
    """Both variables as stamps, spread beside error, rank histograms and spectra.

    Args:
        drawn: with what happened.
    """
    stamps = [figures.members(drawn, drawn.forecast, 0, v, _MIDDLE) for v in (_VORTICITY, 0)]
    spread = figures.spread_maps(drawn, 0, _MIDDLE)
    ranks, *_, spectra = figures.judged(drawn, drawn.forecast, _VORTICITY)
    return [*stamps, *([spread] if spread else []), ranks, spectra]


def judged(drawn: Drawn) -> list[Metric]:
    """Scores beside those of the forecast that was given.

    Args:
        drawn: with what happened.
    """
    every = judging.beside_the_forecast(drawn)
    return [one for one in every if any(one.name.endswith(f": {name}") for name in SCORES)]
