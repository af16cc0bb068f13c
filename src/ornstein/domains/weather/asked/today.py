"""What a request says beside the forecast: observations of today, and an event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....denoisers.base import Condition, Guide
from ....errors import InputError
from ..events.words import parse
from ..factors import Observed, observations
from ..known import Known
from .flags import WeatherRequest
from .given import Given


@dataclass(frozen=True)
class Today:
    """What is known besides.

    Attributes:
        guides: to put on the model.
        condition: by which each sample is told of its own observations.
        notes: what was left out, and what the evidence means.
        weighed: flags that are for particles alone.
        record: for the manifest.
    """

    guides: Sequence[Guide] = ()
    condition: Condition = field(default_factory=dict)
    notes: Sequence[str] = ()
    weighed: Sequence[str] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


def today(
    asked: WeatherRequest, metadata: Mapping[str, Any], known: Known, found: Given, cases: Sequence[int]
) -> Today:
    """What a request says of these samples.

    InputError names the flag, and what is wrong with it.

    Args:
        asked: the request.
        metadata: of the data that the model learned from, in JSON values.
        known: of these.
        found: the forecasts.
        cases: of each sample.
    """
    if asked.observation_std and asked.observations is None:
        raise InputError("--observation-std is for --observations: give these, too")
    guides: list[Guide] = []
    notes: list[str] = []
    condition: Condition = {}
    record: dict[str, Any] = {}
    if asked.observations is not None:
        seen = _observed(asked, metadata, found)
        factors, condition = seen.of_records(cases)
        guides, notes, record = [*factors], [*seen.notes], {"observed": sum(seen.used)}
    if not asked.event:
        return Today(guides, condition, notes, (), record)
    event = parse(asked.event, known.grid, known.variables, _steps(metadata, cases), known.positive)
    less = ", less that of a run without it, which is of the observations" if guides else ""
    notes.append(
        f"exp(log evidence{less}) is the probability of {asked.event}; the members are those in which it happens"
    )
    return Today([*guides, event.factor], condition, notes, ("event",), record)


def _observed(asked: WeatherRequest, metadata: Mapping[str, Any], found: Given) -> Observed:
    assert asked.observations is not None
    if not asked.observations.exists():
        raise InputError(f"--observations {asked.observations}: no such file, expected CSV or NetCDF")
    pairs = found.pairs.part(found.chosen)
    return observations(Path(asked.observations), metadata, pairs, asked.observation_std)


def _steps(metadata: Mapping[str, Any], cases: Sequence[int]) -> list[float]:
    """Those of a state."""
    hours = list(metadata["steps"]["hours"])
    return [hours[cases[0] % len(hours)]] if metadata["leads"] == "each" else hours
