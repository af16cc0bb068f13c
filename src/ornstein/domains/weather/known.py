"""What a model knows of the data that it learned from, and how a forecast becomes what the network is told.

    u = T(truth)                       T = √ of what is never negative and often 0, else the truth itself
    x = (u − base)/scale               the model's state, channel v · S + s of variable v and step s
    forecast = (T(f) − mean)/std       of each predictor and step; NaN = missing

All of it is in the metadata of a model, so that a forecast alone is needed to draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import pi
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...denoisers.base import Condition
from ...files import ANY, NUMBER, Within
from ...spectral.shells import Shells
from .base import Base
from .files.grids import Grid
from .files.pairs import Read
from .files.times import calendar
from .unseen import SCHEMA
from .windows import FIELDS

_COUNT = Within(int, 0, 10**6)
_YEARS = 700.0
"""Days from which on the season is told: one year alone would tell which day it was."""
FACTS: Mapping[str, Any] = {
    "shape": [Within(int, 1, 10**6)],
    "variables": [str],
    "predictors": [str],
    "units": {str: str},
    "attrs": {str: {str: ANY}},
    "steps": dict,
    "calendar?": str,
    "grid": dict,
    "members": Within(int, 1, 10**6),
    "static": _COUNT,
    "leads": ("joint", "each"),
    "method?": ("diffusion", "crps"),
    "positive": [bool],
    "bounded": [bool],
    "missing": bool,
    "cycles": [("year", "day")],
    "window": _COUNT,
    "places?": _COUNT,
    "fields?": (None, FIELDS),
    "predictor_mean": [[NUMBER]],
    "predictor_std": [[Within(float, 1e-30, 1e30)]],
    "spread_mean": [[NUMBER]],
    "truth_mean": [[NUMBER]],
    "truth_std": [[Within(float, 1e-30, 1e30)]],
    "base": {"weights": list, "constant": list, "slope": list},
    "spectrum": (None, Shells.SCHEMA),
    "parts": {str: [_COUNT]},
    "files": {str: [str]},
    "source": str,
    "unseen?": (None, SCHEMA),
    "recalibration?": dict,
}
"""What the metadata of a model hold."""


@dataclass(frozen=True, eq=False)
class Known:
    """The statistics of the training.

    Attributes:
        variables, predictors: names; the first predictors are the forecasts of the variables.
        steps: how many leads.
        grid: of the truth.
        leads: "joint": a state has all leads; "each": one, which is a condition.
        positive: of each variable, whether it is never negative and often 0, so that u is its root.
        bounded: of each variable, whether it is never negative though seldom 0, as the speed of the wind: u is the
            variable itself, and draws below 0 are 0.
        ensemble: whether forecasts have members, of whose spread the model is told.
        missing: whether truths may be missing.
        cycles: what the model is told of the time when a forecast began: "year", the season, and "day", the hour.
        predictor_mean, predictor_std: (P, S), of the transformed predictors.
        spread_mean: (P, S).
        truth_mean, truth_std: (V, S), of u.
        base: the regression; None until it is fitted.
    """

    variables: Sequence[str]
    predictors: Sequence[str]
    steps: int
    grid: Grid
    leads: str
    positive: Sequence[bool]
    bounded: Sequence[bool]
    ensemble: bool
    missing: bool
    cycles: Sequence[str]
    predictor_mean: Tensor
    predictor_std: Tensor
    spread_mean: Tensor
    truth_mean: Tensor
    truth_std: Tensor
    base: Base | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "Known":
        """From the metadata of a model."""
        tensors = {
            name: torch.tensor(metadata[name], dtype=torch.float32)
            for name in ("predictor_mean", "predictor_std", "spread_mean", "truth_mean", "truth_std")
        }
        return cls(
            metadata["variables"],
            metadata["predictors"],
            len(metadata["predictor_mean"][0]),
            Grid.from_record(metadata["grid"]),
            metadata["leads"],
            metadata["positive"],
            metadata["bounded"],
            metadata["members"] > 1,
            metadata["missing"],
            metadata["cycles"],
            base=Base.from_record(metadata["base"]),
            **tensors,
        )

    def record(self) -> dict[str, Any]:
        """In JSON values, for the metadata."""
        assert self.base is not None
        tensors = ("predictor_mean", "predictor_std", "spread_mean", "truth_mean", "truth_std")
        return {
            "variables": list(self.variables),
            "predictors": list(self.predictors),
            "grid": self.grid.record(),
            "leads": self.leads,
            "positive": list(self.positive),
            "bounded": list(self.bounded),
            "missing": self.missing,
            "cycles": list(self.cycles),
            "base": self.base.record(),
            **{name: getattr(self, name).tolist() for name in tensors},
        }

    @property
    def censored(self) -> Sequence[bool]:
        """Of each variable, whether u ≤ 0 is seen as 0: of those that are learned as their roots."""
        return self.positive

    # Fields -------------------------------------------------------------------------------------------

    @cached_property
    def _roots(self) -> Tensor:
        """Of each predictor, whether its root is taken: those of variables that are never negative."""
        others = [False] * (len(self.predictors) - len(self.variables))
        return torch.tensor([*self.positive, *others])

    def rooted(self, truth: Float[Tensor, "n v *rest"]) -> Float[Tensor, "n v *rest"]:
        """u of truths: the root of variables that are never negative."""
        return _rooted(truth, torch.tensor(self.positive))

    def standardised(self, read: Read) -> Float[Tensor, "n p s *grid"]:
        """The predictors, NaN where they are missing."""
        found = _rooted(torch.from_numpy(read.mean), self._roots)
        return (found - _on(self.predictor_mean, found)) / _on(self.predictor_std, found)

    def squared(self, read: Read) -> Float[Tensor, "n s v ..."]:
        """The squared spread of the forecasts of the variables, in units of u.

        Of forecasts of one member it is 0, but the square of the forecast itself of what is never negative, as winds
        are the less certain the stronger they are.
        """
        v = len(self.variables)
        if read.spread is None:
            if not any(self.bounded):
                return torch.zeros(len(read.mean), read.mean.shape[2], v, *(1,) * (read.mean.ndim - 3))
            forecast = torch.from_numpy(read.mean[:, :v])
            forecast = torch.where(forecast.isnan(), _on(self.predictor_mean[:v], forecast), forecast).clamp(min=0)
            bounded = torch.tensor(self.bounded).reshape(1, v, *(1,) * (forecast.ndim - 2))
            return torch.where(bounded, forecast, torch.zeros_like(forecast)).square().transpose(1, 2)
        spread = torch.from_numpy(read.spread[:, :v])
        spread = torch.where(spread.isnan(), _on(self.spread_mean[:v], spread), spread)  # as it is as a rule
        mean = torch.from_numpy(read.mean[:, :v]).nan_to_num().clamp(min=0)
        root = spread / (2 * (mean + spread).clamp(min=1e-12).sqrt())  # of √f, where f varies about its mean
        positive = torch.tensor(self.positive).reshape(1, v, *(1,) * (spread.ndim - 2))
        return torch.where(positive, root, spread).square().transpose(1, 2)

    def features(self, read: Read, times: np.ndarray) -> Float[Tensor, "n s f *grid"]:
        """1, the predictors, the season and the hour, step by step; 0 where a predictor is missing.

        Args:
            read: some records.
            times: when these began.
        """
        predictors = self.standardised(read).nan_to_num().transpose(1, 2)
        n, s, _, *grid = predictors.shape
        parts = [torch.ones(n, s, 1, *grid), predictors]
        if self.cycles:
            said = torch.from_numpy(phases(times, self.cycles)).float()
            parts.append(said.reshape(n, 1, -1, *(1,) * len(grid)).expand(-1, s, -1, *grid))
        return torch.cat(parts, 2)

    def conditions(self, read: Read, times: np.ndarray) -> Condition:
        """What samples of some records are told, all leads of them.

        "forecast", "spread", "guess" and "cycles" are for the network, "base" and "scale" for the map, in units of u.

        Args:
            read: the records.
            times: when these began.
        """
        assert self.base is not None
        predictors = self.standardised(read)
        mean, std = self.base(self.features(read, times), self.squared(read))
        guess = (mean - _on(self.truth_mean, mean)) / _on(self.truth_std, mean)
        found = {"forecast": predictors, "guess": guess, "base": mean, "scale": std}
        if read.spread is not None:
            spread = torch.from_numpy(read.spread)
            found["spread"] = (spread / _on(self.spread_mean, spread).clamp(min=1e-12) - 1).clamp(max=10)
        found = {name: _channels(value) for name, value in found.items()}
        return found | ({"cycles": torch.from_numpy(phases(times, self.cycles)).float()} if self.cycles else {})

    def one_lead(self, condition: Condition, step: Tensor) -> Condition:
        """Of conditions of all leads those of one, and which it is.

        Args:
            condition: of some samples.
            step: of each sample, from 0.
        """
        found = {}
        for name, value in condition.items():
            if name == "cycles":
                found[name] = value
                continue
            each = value.unflatten(1, (-1, self.steps))
            found[name] = each[torch.arange(len(step)), :, step]
        place = step.float()[:, None] / max(1, self.steps - 1)
        return found | {"lead": 2 * place - 1}

    @property
    def scalars(self) -> dict[str, int]:
        """How many numbers the network is told beside fields, by name."""
        return ({"cycles": 4 * len(self.cycles)} if self.cycles else {}) | ({"lead": 1} if self.leads == "each" else {})

    @property
    def fields(self) -> dict[str, int]:
        """How many channels of fields the network is told, by name."""
        steps = 1 if self.leads == "each" else self.steps
        found = {"forecast": len(self.predictors) * steps, "guess": len(self.variables) * steps}
        return found | ({"spread": len(self.predictors) * steps} if self.ensemble else {})

    @property
    def channels(self) -> int:
        """Of a state."""
        return len(self.variables) * (1 if self.leads == "each" else self.steps)

    def each_channel(self, values: Sequence[Any]) -> list[Any]:
        """One value a variable as one a channel of a state."""
        return [value for value in values for _ in range(self.channels // len(self.variables))]


def _on(value: Tensor, like: Tensor) -> Tensor:
    """(P, S) with the axes of (n, P, S, *grid)."""
    return value.reshape(1, *value.shape, *(1,) * (like.ndim - 3))


def _channels(value: Tensor) -> Tensor:
    """(n, V, S, *grid) → (n, V · S, *grid)."""
    return value.flatten(1, 2).float().contiguous()


def _rooted(values: Tensor, which: Tensor) -> Tensor:
    roots = which.reshape(1, -1, *(1,) * (values.ndim - 2))
    return torch.where(roots, values.clamp(min=0).sqrt(), values) if bool(which.any()) else values


def dated(times: np.ndarray) -> bool:
    """Whether times are dates, of NumPy or of another calendar."""
    return times.dtype.kind == "M" or (times.dtype == object and hasattr(times.flat[0], "timetuple"))


def phases(times: np.ndarray, cycles: Sequence[str]) -> Float[np.ndarray, "n waves"]:
    """Sine and cosine, of one turn and of two, of the year and of the day, of dates in any calendar.

    Args:
        times: dates.
        cycles: "year", "day", or both.
    """
    if times.dtype.kind == "M":
        seconds = times.astype("datetime64[s]")
        days = (seconds - seconds.astype("datetime64[Y]")) / np.timedelta64(1, "D")
    else:
        days = np.array([one.timetuple().tm_yday - 1 + _day(one) for one in times.flat])
    turns = {"year": days / _year(times), "day": days % 1}
    angles = [2 * pi * k * turns[name] for name in cycles for k in (1, 2)]
    return np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)], 1)


def _day(time: Any) -> float:
    """What of a day is over."""
    return (time.hour + (time.minute + time.second / 60) / 60) / 24


def _year(times: np.ndarray) -> float:
    """Days, of the calendar."""
    return {"360_day": 360.0, "noleap": 365.0, "365_day": 365.0, "all_leap": 366.0, "366_day": 366.0}.get(
        calendar(times), 365.25
    )


def cycles_of(times: np.ndarray) -> tuple[str, ...]:
    """What of the time is worth telling: the season of two years or more, the hour where it is not always the same.

    Args:
        times: when forecasts began, of those that are learned from.
    """
    if not dated(times):
        return ()
    days = times[-1] - times[0]
    years = (days / np.timedelta64(1, "D") if isinstance(days, np.timedelta64) else days.days) > _YEARS
    hours = np.ptp(phases(times, ["day"]), 0).max() > 1e-6
    return ("year",) * bool(years) + ("day",) * bool(hours)
