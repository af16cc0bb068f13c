"""Worlds to learn weather from: a turbulence whose equations are known, and two sets of real stations."""

from collections.abc import Callable, Mapping

from .mast import mast_hourly
from .rain import rain_innsbruck
from .turbulence import weather_qg

SETS: Mapping[str, Callable[..., str]] = {
    "weather-qg": weather_qg,
    "rain-innsbruck": rain_innsbruck,
    "mast": mast_hourly,
}
"""What `ornstein data` makes, by name."""
