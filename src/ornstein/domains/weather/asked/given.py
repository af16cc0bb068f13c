"""The forecasts that a request names: of today, or those of the training's own files that were held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from glob import glob
from json import dumps, loads
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ....errors import InputError
from .. import examples
from ..files.opened import opened_for
from ..files.pairs import Pairs
from .flags import WeatherRequest, flag


@dataclass(frozen=True)
class Given:
    """Forecasts of the times that are asked for.

    Attributes:
        pairs: with the truth, where it is known; on the model's grid, with the model's variables and steps.
        chosen: numbers of these times among all of the file.
        notes: what a user should know of the choice, in words.
    """

    pairs: Pairs
    chosen: Int[np.ndarray, " n"]
    notes: Sequence[str] = ()

    @property
    def times(self) -> np.ndarray:
        """Initial times."""
        return self.pairs.times[self.chosen]


def given(asked: WeatherRequest, metadata: Mapping[str, Any]) -> Given:
    """The forecasts of a request.

    InputError names the flag, the file, and what the model needs that is not there.

    Args:
        asked: the request.
        metadata: of the data that the model learned from, in JSON values.
    """
    if asked.forecast is None and not asked.held_out:
        if examples.fits(metadata):
            return _given(asked, str(examples.FORECAST), str(examples.TRUTH), metadata, None)
        raise InputError(
            "--forecast is not given, expected the files of a forecast; --held-out validation or test draws for those "
            "of the training"
        )
    if asked.forecast is not None:
        forecast, truth = str(asked.forecast), None if asked.truth is None else str(asked.truth)
        return _given(asked, forecast, truth, metadata, None)
    (forecast,), (truth,) = (metadata["files"][name] for name in ("forecast", "truth"))
    return _given(asked, forecast, truth, metadata, range(*metadata["parts"][asked.held_out]))


def _given(
    asked: WeatherRequest, forecast: str, truth: str | None, metadata: Mapping[str, Any], part: range | None
) -> Given:
    facts = dumps({name: value for name, value in metadata.items() if name not in _HEAVY}, sort_keys=True)
    pairs = _opened(forecast, truth, facts, (_stamp(forecast), _stamp(truth or "")))
    if part is not None and part.stop > len(pairs.times):
        raise InputError(
            f"{flag('held_out')} {asked.held_out}: {forecast} has {len(pairs.times)} times, but had {part.stop} or "
            "more when the model learned from it"
        )
    among = np.arange(len(pairs.times)) if part is None else np.asarray(part)
    if not len(among):
        raise InputError(f"{flag('held_out')} {asked.held_out}: no times of the training were held out for that")
    return Given(pairs, among[asked.chosen(pairs.times[among])], asked.short_of(len(among)))


@lru_cache(maxsize=2)
def _opened(forecast: str, truth: str | None, facts: str, stamps: tuple[int, int]) -> Pairs:
    """Files as they were at these times, for a model of these metadata; nothing is read but what says what is there."""
    return opened_for(loads(facts), forecast, truth)


_HEAVY = ("base", "spectrum")
"""Metadata that do not say what a model must be given."""


def _stamp(said: str) -> int:
    """When the files that a path or a pattern names were last changed."""
    paths = [Path(said)] if Path(said).exists() else [Path(one) for one in sorted(glob(said))]
    inner = [inside for path in paths if path.is_dir() for inside in path.iterdir()]
    return max((path.stat().st_mtime_ns for path in [*paths, *inner]), default=0)
