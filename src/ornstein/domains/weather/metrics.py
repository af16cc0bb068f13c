"""How ensembles of weather are judged: by variable and lead, at times that were held out, beside the baselines.

    CRPS              distance of each value's law from what happened, fair: as of infinitely many members
    variogram score   differences between points nearby: whether a member is a plausible field
    spread / skill    √(mean variance) √((M + 1)/M) over the RMSE of the mean: 1 where calibrated
    coverage          how often the central interval nearest to 90 % holds what happened
    rank p            of the rank histogram's χ² on points that are not correlated: small where it is not flat
    power             of members over the truth's, in bands of wavelengths, on grids
    bias              of the mean

Standard errors are over blocks of times: as many as hang together, by the correlation of the errors of the mean.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from ...calibration import Along, Estimate, Listed, Near, Radial, RunningCases
from ...keys import Keys
from ...tasks.figures import Metric
from .files.times import lead_names

Scores = dict[tuple[str, str], dict[str, Estimate]]
"""Estimates by variable and lead, and by their names."""
LEVEL = 0.9
"""Of the intervals whose coverage is told, or the nearest that so many members have."""
REACH = 3.0
"""Grid steps that points of the variogram score are apart at most."""
BANDS = (0.0, 3 / 16, 3 / 8, 3 / 4)
"""Ends of the bands of power, in shares of the shortest wave's number."""
AT_ONCE = 1 << 24
"""Numbers of members that are read at once, if one time has no more."""
_PAIRS, _FEW_MEMBERS = 4096, 5


@dataclass(frozen=True, eq=False)
class Layout:
    """What fields of weather are.

    Attributes:
        variables: their names.
        leads: names of the steps, such as "24 h".
        kind: of the points.
        weights: of the points, areas or all alike.
        periodic: of each axis of the grid.
        units: by variable, where they are known.
    """

    variables: Sequence[str]
    leads: Sequence[str]
    kind: Literal["grid", "stations"]
    weights: Float[np.ndarray, "*grid"] | None = None
    periodic: Sequence[bool] = ()
    units: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: Any) -> "Layout":
        """Of pairs of files or of an ensemble that was drawn: variables, steps, grid and units."""
        grid = fields.grid
        return cls(fields.variables, lead_names(fields.steps), grid.kind, grid.weights, grid.periodic, fields.units)

    def cells(self) -> Iterator[tuple[tuple[int, int], tuple[str, str]]]:
        """Place and name of each variable and lead."""
        for v, variable in enumerate(self.variables):
            for s, lead in enumerate(self.leads):
                yield (v, s), (variable, lead)

    def pairs(self, shape: tuple[int, ...]) -> Near | Listed | None:
        """Points that are compared: nearby ones of a grid, pairs of stations; None where there is one point."""
        if max(shape, default=1) < 2:
            return None
        if self.kind == "grid":
            return Near(REACH, len(shape))
        first, second = np.triu_indices(shape[0], 1)
        some = np.argsort(Keys.of(0, 1).fold("pairs").uniform(len(first))[0].numpy())[:_PAIRS]
        return Listed(first[some], second[some])

    def transform(self, shape: tuple[int, ...]) -> Radial | Along | None:
        """Of the spectra; None of stations and small grids."""
        axes = min(2, len(shape))
        if self.kind != "grid" or not axes or min(shape[-axes:]) < 8:
            return None
        periodic = [*self.periodic] or [False] * len(shape)
        windows = tuple("none" if goes_round else "hann" for goes_round in periodic[-axes:])
        return Radial(window=windows) if axes == 2 else Along(window=windows, two=False)


# Scores -----------------------------------------------------------------------------------------------


class Scoring:
    """Scores of an ensemble by variable and lead, whose times come some at a time and are read once."""

    def __init__(self, layout: Layout, events: Mapping[str, Sequence[float]] | None = None) -> None:
        """Of no times yet.

        Args:
            layout: of the fields.
            events: thresholds by variable, in its units, whose exceedance has a Brier score.
        """
        self._layout, self._events = layout, events or {}
        self._cells: dict[tuple[str, str], RunningCases] = {}
        self._errors: list[np.ndarray] = []

    def add(self, truths: Float[np.ndarray, "n V S *grid"], members: Float[np.ndarray, "n M V S *grid"]) -> None:
        """Takes in further times.

        Args:
            truths: NaN is missing.
            members: in the units of the variables.
        """
        for place, name in self._layout.cells():
            if name not in self._cells:
                self._cells[name] = self._cell(name[0], truths.shape[3:])
            self._cells[name].add(truths[:, *place], members[:, :, *place])
        self._errors.append(_errors(truths, members))

    def _cell(self, variable: str, shape: tuple[int, ...]) -> RunningCases:
        layout = self._layout
        return RunningCases(
            layout.weights,
            pairs=layout.pairs(shape),
            transform=layout.transform(shape),
            thresholds=self._events.get(variable, ()),
        )

    @property
    def block(self) -> int:
        """How many consecutive times hang together, see `hanging`."""
        return _lag(self._errors)

    def scores(self, block: int | None = None) -> Scores:
        """Of all times that came.

        Args:
            block: how many consecutive times hang together; None: as many as these do.
        """
        block = block or self.block
        return {name: {one.name: one for one in _estimates(cell, block)} for name, cell in self._cells.items()}


def _estimates(cell: RunningCases, block: int) -> list[Estimate]:
    found = [cell.crps(block)]
    if cell.pairs is not None:
        found.append(cell.variogram_score(block))
    if cell.members > 1:
        spread = cell.spread_skill(block)
        found += [spread.ratio, *_ranks(cell, block), spread.bias]
    if cell.transform is not None:
        found += cell.spectra(block).ratios(bands(cell.shape))
    return found + cell.brier(block)


def _ranks(cell: RunningCases, block: int) -> list[Estimate]:
    if cell.members < _FEW_MEMBERS:
        return []
    ranks = cell.ranks()
    test = ranks.histogram(block=block).test
    meaning = "probability of a calibrated ensemble showing ranks as far from uniform, on uncorrelated points"
    p = Estimate("rank p", test.p_value, np.zeros(0), "higher", meaning)
    coverage = ranks.coverage(block=block).near(LEVEL)
    return [replace(coverage, name=f"coverage, {LEVEL:.0%}"), p]


def scored(
    truths: Any,
    members: Any,
    layout: Layout,
    *,
    events: Mapping[str, Sequence[float]] | None = None,
    block: int | None = 1,
) -> Scores:
    """All scores of an ensemble, by variable and lead.

    Args:
        truths: (n, V, S, *grid); NaN is missing.
        members: (n, M, V, S, *grid), an array or what is sliced along its times like one, and is read once.
        layout: of the fields.
        events: thresholds by variable, in its units, whose exceedance has a Brier score.
        block: how many consecutive times hang together, see `hanging`; None: as many as these do.
    """
    return _scoring(truths, members, layout, events).scores(block)


def _scoring(truths: Any, members: Any, layout: Layout, events: Mapping[str, Sequence[float]] | None) -> Scoring:
    found = Scoring(layout, events)
    for index in _parts(members):
        found.add(np.asarray(truths[index]), np.asarray(members[index]))
    return found


def bands(shape: tuple[int, ...]) -> list[tuple[float, float]]:
    """Of wavenumbers, from the longest waves to three quarters of the shortest ones' number.

    Args:
        shape: of the grid.
    """
    ends = np.maximum(1, np.rint(np.array(BANDS) * max(shape[-2:]) / 2)).tolist()
    return [(low, high) for low, high in pairwise(ends) if low < high]


def hanging(truths: Any, members: Any) -> int:
    """How many consecutive times hang together: the first lag at which errors of the mean are correlated below 0.1.

    A bias is no correlation: errors are taken about their own mean. At most a tenth of the times, so that there are
    blocks enough.

    Args:
        truths: (n, V, S, *grid); NaN is missing.
        members: (n, M, V, S, *grid).
    """
    return _lag([_errors(np.asarray(truths[index]), np.asarray(members[index])) for index in _parts(members)])


def _errors(truths: np.ndarray, members: np.ndarray) -> Float[np.ndarray, "n V S points"]:
    """Of the mean, at some points spread over the grid."""
    y, x = truths.reshape(*truths.shape[:3], -1), members.reshape(*members.shape[:4], -1)
    step = max(1, y.shape[-1] // 256)
    return (x[..., ::step].mean(1) - y[..., ::step]).astype(np.float64)


def _lag(errors: Sequence[np.ndarray]) -> int:
    error = _standard(np.concatenate(errors))
    count = len(error)
    for lag in range(1, max(1, count // 10)):
        if (error[lag:] * error[:-lag]).mean() < 0.1 * (error**2).mean():
            return lag
    return max(1, count // 10)


def _standard(errors: Float[np.ndarray, "n V S points"]) -> Float[np.ndarray, "n V S points"]:
    """About their mean at each point, with one mean square for each variable and step; 0 where missing."""
    there = np.isfinite(errors)
    errors = np.where(there, errors, 0.0)
    errors = np.where(there, errors - errors.sum(0) / np.maximum(1, there.sum(0)), 0.0)
    squares = (errors**2).sum((0, 3), keepdims=True) / np.maximum(1, there.sum((0, 3), keepdims=True))
    return errors / np.sqrt(np.maximum(squares, np.finfo(float).tiny))


def _parts(members: Any) -> Iterator[slice]:
    step = max(1, int(AT_ONCE // np.prod(members.shape[1:])))
    yield from (slice(first, min(first + step, members.shape[0])) for first in range(0, members.shape[0], step))


# Beside the baselines ---------------------------------------------------------------------------------


def compared(
    truths: Any,
    ensembles: Mapping[str, Any],
    layout: Layout,
    *,
    events: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Scores]:
    """The scores of several ensembles of the same times, by name, with errors over the same blocks.

    Args:
        truths: (n, V, S, *grid).
        ensembles: ours and the baselines', by name; each is read once and then forgotten.
        layout: of the fields.
        events: see `scored`.
    """
    found: dict[str, Scores] = {}
    block = 0
    for name, members in ensembles.items():
        scoring = _scoring(truths, members, layout, events)
        block = block or scoring.block
        found[name] = scoring.scores(block)
    return found


def judged(
    truths: Any,
    members: Any,
    layout: Layout,
    *,
    beside: Mapping[str, Scores] | None = None,
    events: Mapping[str, Sequence[float]] | None = None,
    block: int | None = None,
) -> list[Metric]:
    """What is said of an ensemble, by variable and lead; proper scores beside the best baseline's.

    Args:
        truths: (n, V, S, *grid); NaN is missing.
        members: (n, M, V, S, *grid).
        layout: of the fields.
        beside: scores of baselines on the same times.
        events: see `scored`.
        block: how many consecutive times hang together; None: by `hanging`.
    """
    return metrics(scored(truths, members, layout, events=events, block=block), beside or {})


def metrics(found: Scores, beside: Mapping[str, Scores]) -> list[Metric]:
    """Of scores, with those of the best baseline as their yardstick.

    Args:
        found: what is judged.
        beside: baselines by name.
    """
    return [
        Metric(**{**one.metric, "name": f"{variable}, {lead}: {name}", **_yardstick(beside, (variable, lead), name)})
        for (variable, lead), scores in found.items()
        for name, one in scores.items()
    ]


def _yardstick(beside: Mapping[str, Scores], cell: tuple[str, str], name: str) -> dict[str, Any]:
    others = {method: scores[cell][name] for method, scores in beside.items() if name in scores.get(cell, {})}
    if not others or next(iter(others.values())).better != "lower":
        return {}
    best = min(others, key=lambda method: others[method].value)
    return {"reference": others[best].value, "reference_error": others[best].error, "reference_name": best}
