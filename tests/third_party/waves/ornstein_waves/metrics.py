"""How ensembles of fields are judged: channel by channel, by the scores that forecasts of fields have."""

from collections.abc import Sequence

import numpy as np

from ornstein import calibration
from ornstein.calibration import Estimate
from ornstein.tasks.figures import Metric

BANDS = ((1, 3), (3, 6), (6, 100))
"""Waves around the grid, from and below."""


def judged(truths: np.ndarray, members: np.ndarray, names: Sequence[str]) -> list[Metric]:
    """CRPS, spread over skill, coverage and power of each channel.

    Args:
        truths: (cases, channels, y, x).
        members: (cases, members, channels, y, x).
        names: of the channels.
    """
    return [
        Metric(**{**one.metric, "name": f"{name}: {one.name}"})
        for k, name in enumerate(names)
        for one in _estimates(truths[:, k], members[:, :, k])
    ]


def _estimates(truths: np.ndarray, members: np.ndarray) -> list[Estimate]:
    return [
        calibration.crps(truths, members),
        calibration.spread_skill(truths, members).ratio,
        *calibration.Ranks.of(truths, members).coverage().estimates,
        *calibration.spectra(truths, members).ratios(BANDS),
    ]
