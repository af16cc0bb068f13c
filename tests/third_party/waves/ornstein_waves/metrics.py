"""How ensembles of fields are judged: channel by channel, by the scores that forecasts of fields have."""

from collections.abc import Sequence

import numpy as np

from ornstein import calibration
from ornstein.calibration import Estimate
from ornstein.tasks.figures import Metric


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
    top = truths.shape[-1] // 2
    bands = [(1, 3), (3, top // 2 + 1), (top // 2 + 1, top)]
    return [
        calibration.crps(truths, members),
        calibration.spread_skill(truths, members).ratio,
        *calibration.Ranks.of(truths, members).coverage().estimates,
        *calibration.spectra(truths, members).ratios(bands),
    ]
