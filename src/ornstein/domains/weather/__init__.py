"""What may happen, given a forecast: a sharp, calibrated ensemble, on any grid or of stations.

of every domain     data, network, factors, metrics, task
files/              forecasts and truths as they come: names, units, calendars, grids, stations, in pairs
worlds/             data to learn from: two-layer turbulence, rain at Innsbruck, a mast
base, roots, known, unseen      the regression that a model stands on, and what it knows of its data
asked/              flags, requests: forecasts of today; today: observations and events
observed/           what was measured of today, where and when; events/: thresholds and how probable they are
results/            store: ensembles in Zarr; drawn, figures; recalibration and the calibration report
baselines/          what an ensemble is judged beside; windows: grids too large for one network; examples, chapters
"""

from . import baselines
from .asked.flags import WeatherRequest
from .events.event import Event
from .events.probability import Probability, probability
from .events.words import parse as event
from .factors import Observed, observations
from .files.opened import opened, opened_for
from .files.pairs import Pairs
from .results.drawn import Drawn, ensembles

__all__ = [
    "Drawn",
    "Event",
    "Observed",
    "Pairs",
    "Probability",
    "WeatherRequest",
    "baselines",
    "ensembles",
    "event",
    "observations",
    "opened",
    "opened_for",
    "probability",
]
