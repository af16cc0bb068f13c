"""What the flags of a request mean: of each sample the forecast of its time.

Sample k is member k % members of case k // members; see results/frame.py. A portion is some whole times, so that no
more than their forecasts are in memory.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....denoisers.base import Condition
from ....errors import InputError
from ....files import MB, plain
from ....tasks.task import Request
from ..known import Known
from ..results.frame import ENSEMBLE, axis_of
from ..unseen import from_record
from ..windows import by_windows, given_places, windows
from .flags import WeatherRequest
from .given import Given, given
from .today import today

_ROOM, _MOST = 256 * MB, 100_000
"""Bytes of what the samples of a portion are given, and samples, at most; of one time at least."""


def count(asked: WeatherRequest, metadata: Mapping[str, Any]) -> int:
    """How many samples a request speaks of: of each time so many members.

    Args:
        asked: the request.
        metadata: of the data that the model learned from, in JSON values.
    """
    return len(given(asked, metadata).chosen) * _per_time(metadata) * asked.members


def portion(asked: WeatherRequest, metadata: Mapping[str, Any]) -> int:
    """How many samples are requested together: those of as many times as there is room for.

    Args:
        asked: the request.
        metadata: of the data that the model learned from, in JSON values.
    """
    channels = len(metadata["variables"]) + len(metadata["predictors"])
    steps = 1 if metadata["leads"] == "each" else len(metadata["steps"]["hours"])
    of_sample = 4 * 4 * channels * steps * prod(metadata["grid"]["shape"])
    samples = max(1, min(_MOST, int(_ROOM // of_sample)))
    each = asked.members * _per_time(metadata)
    return max(1, samples // each) * each


def request(asked: WeatherRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """What the flags mean for some samples.

    InputError names the flag, the file, and what is wrong in it.

    Args:
        asked: what was said.
        numbers: of the samples.
        metadata: of the data that the model learned from, in JSON values.
    """
    found, known = given(asked, metadata), Known.of(metadata)
    if asked.csv and known.grid.kind != "stations":
        raise InputError("--csv is for ensembles of stations, but this model is of fields on a grid, which are in Zarr")
    each = _per_time(metadata)
    last = len(found.chosen) * each - 1  # samples beyond only fill up a block, and are dropped
    cases = [min(number // asked.members, last) for number in numbers]
    condition, beside = _known(found, known, sorted(set(cases)), each)
    places = torch.from_numpy(np.unique(cases, return_inverse=True)[1])
    factors = _factors(asked, metadata)
    condition = {**condition, **given_places(known.grid, metadata, len(set(cases)))}
    besides = today(asked, metadata, known, found, cases)
    if (mask := from_record(metadata.get("unseen"))) is not None:
        there = torch.from_numpy(~mask).repeat_interleave(known.channels // len(mask), 0)
        condition = {**condition, "mask": there.expand(len(set(cases)), *there.shape)}
    return Request(
        besides.guides,
        condition={**_for_samples(condition, places), **besides.condition},
        beside=_for_samples(beside, places),
        record={ENSEMBLE: {**_record(found), "members": asked.members, "factors": factors}, **besides.record},
        each={"case": cases},
        defaults=_defaults(metadata, bool(besides.guides)),
        notes=[*_notes(found, metadata, factors), *besides.notes],
        weighed=besides.weighed,
        metadata={"shape": [known.channels, *known.grid.shape]} if by_windows(metadata) else {},
        windows=windows(known.grid, metadata, asked.window),
    )


def _defaults(metadata: Mapping[str, Any], guided: bool) -> dict[str, Any]:
    """Of a field without fresh noise, which scores better and in fewer steps; posteriors and stations need some."""
    if metadata.get("method") == "crps" or guided or metadata["grid"]["kind"] == "stations":
        return {}
    return {"steps": 12, "eta": 0.0}


def _per_time(metadata: Mapping[str, Any]) -> int:
    """Samples of one member of one time."""
    return len(metadata["steps"]["hours"]) if metadata["leads"] == "each" else 1


def _known(found: Given, known: Known, cases: Sequence[int], each: int) -> tuple[Condition, Condition]:
    """Of each case what the model is told, and what is kept beside: the forecast and the truth, as they are."""
    times, at = np.unique([case // each for case in cases], return_inverse=True)
    chosen = found.chosen[times]
    read = found.pairs.read(chosen)
    condition = known.conditions(read, found.pairs.times[chosen])
    raw = torch.from_numpy(read.mean[:, : len(known.variables)])
    truth = torch.full_like(raw, float("nan")) if read.truth is None else torch.from_numpy(read.truth)
    beside = {"raw": raw.flatten(1, 2), "truth": truth.flatten(1, 2)}
    if known.leads == "each":
        steps, places = torch.tensor([case % each for case in cases]), torch.from_numpy(at)
        condition = known.one_lead({name: value[places] for name, value in condition.items()}, steps)
        beside = {name: value.unflatten(1, (-1, each))[places, :, steps] for name, value in beside.items()}
    return condition, beside


def _for_samples(values: Mapping[str, Tensor], places: Tensor) -> dict[str, Tensor]:
    """What each sample is given, of what each case is; all members of one case share it in memory."""
    if len(places) and int(places[-1]) == 0:
        return {name: value.expand(len(places), *value.shape[1:]) for name, value in values.items()}
    return {name: value[places] for name, value in values.items()}


def _record(found: Given) -> dict[str, Any]:
    """What the manifest says of the times, the same for each portion."""
    forecast = found.pairs.forecast
    encodings = {name: forecast[name].encoding if name in forecast.coords else {} for name in ("time", "step")}
    return {
        "times": axis_of(found.times, encodings["time"]),
        "steps": axis_of(found.pairs.steps, encodings["step"]),
        "attrs": plain({str(name): _json(value) for name, value in forecast.attrs.items()}),
    }


def _json(value: Any) -> Any:
    """An attribute as JSON holds it."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return value if isinstance(value, str | int | float | bool | list) else str(value)


def _factors(asked: WeatherRequest, metadata: Mapping[str, Any]) -> list[float] | None:
    """By which members are spread about their mean; None = they are left as they are."""
    found = metadata.get("recalibration")
    if asked.recalibrate and found is None:
        raise InputError("--recalibrate: the model has no factors, which a training fits on times that validate")
    if found is None or asked.recalibrate is False or not (asked.recalibrate or found["helps"]):
        return None
    return [float(factor) for factor in found["factors"]]


def _notes(found: Given, metadata: Mapping[str, Any], factors: Sequence[float] | None) -> list[str]:
    """What a user should know of what was read."""
    notes = [*found.pairs.notes, *found.notes]
    if factors is None and metadata.get("recalibration") is not None:
        notes.append("not recalibrated: members are as the model draws them")
    if found.pairs.members > 1 and metadata["members"] == 1:
        notes.append(
            f"of {found.pairs.members} members of the forecast the model is told the mean: it has learned of one"
        )
    return notes
