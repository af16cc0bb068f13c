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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from ... import calibration
from ...calibration import Along, Estimate, Listed, Near, Radial
from ...keys import Keys
from ...tasks.figures import Metric
from ...tasks.samples import Samples
from .files.times import lead_names
from .results.drawn import Drawn, ensembles

Scores = dict[tuple[str, str], dict[str, Estimate]]
"""Estimates by variable and lead, and by their names."""
LEVEL = 0.9
"""Of the intervals whose coverage is told, or the nearest that so many members have."""
REACH = 3.0
"""Grid steps that points of the variogram score are apart at most."""
BANDS = (0.0, 3 / 16, 3 / 8, 3 / 4)
"""Ends of the bands of power, in shares of the shortest wave's number."""
IN_MEMORY, AT_ONCE = 1 << 28, 1 << 24
"""Members that are in memory at most, numbers (1 GiB); more are on the disk meanwhile. Numbers read at once."""
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


def scored(
    truths: Any,
    members: Any,
    layout: Layout,
    *,
    events: Mapping[str, Sequence[float]] | None = None,
    block: int = 1,
) -> Scores:
    """All scores of an ensemble, by variable and lead.

    Args:
        truths: (n, V, S, *grid); NaN is missing.
        members: (n, M, V, S, *grid), an array or what is sliced along its records like one, and is read once.
        layout: of the fields.
        events: thresholds by variable, in its units, whose exceedance has a Brier score.
        block: how many consecutive times hang together, see `hanging`.
    """
    with kept(members) as drawn:
        return {
            name: _cell(_Cell(truths, place), _Cell(drawn, place, 2), layout, (events or {}).get(name[0], ()), block)
            for place, name in layout.cells()
        }


@dataclass(frozen=True, eq=False)
class _Cell:
    """One variable and lead of an array, read where it is asked for.

    Attributes:
        array: (n, V, S, *grid) or (n, M, V, S, *grid).
        place: of the variable and of the lead.
        axis: of the variables.
        times: how often each member is there.
    """

    array: Any
    place: tuple[int, int]
    axis: int = 1
    times: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        first, *rest = (*self.array.shape[: self.axis], *self.array.shape[self.axis + 2 :])
        return (first, rest[0] * self.times, *rest[1:]) if self.axis == 2 else (first, *rest)

    def __getitem__(self, cases: slice) -> np.ndarray:
        found = np.asarray(self.array[cases])[(*(slice(None),) * self.axis, *self.place)]
        return found if self.times == 1 else np.repeat(found, self.times, axis=1)


def _cell(y: _Cell, x: _Cell, layout: Layout, events: Sequence[float], block: int) -> dict[str, Estimate]:
    several = x.shape[1] > 1
    some = {"weights": layout.weights, "block": block}
    found = [calibration.crps(y, x, fair=several, **some)]
    pairs, transform = layout.pairs(y.shape[1:]), layout.transform(y.shape[1:])
    if pairs is not None:
        found.append(calibration.variogram_score(y, x, pairs=pairs, fair=several, **some))
    if several:
        spread = calibration.spread_skill(y, x, **some)
        found += [spread.ratio, *_ranks(y, x, layout, block), spread.bias]
    if transform is not None:
        spectra = calibration.spectra(y, x if several else replace(x, times=2), transform, block=block)
        found += spectra.ratios(bands(y.shape[1:]))
    found += [calibration.brier(y, x, threshold, fair=several, **some) for threshold in events]
    return {one.name: one for one in found}


def _ranks(y: _Cell, x: _Cell, layout: Layout, block: int) -> list[Estimate]:
    if x.shape[1] < _FEW_MEMBERS:
        return []
    ranks = calibration.Ranks.of(y, x, layout.weights)
    test = ranks.histogram(block=block).test
    meaning = "probability of a calibrated ensemble showing ranks as far from uniform, on uncorrelated points"
    p = Estimate("rank p", test.p_value, np.zeros(0), "higher", meaning)
    coverage = ranks.coverage(block=block).near(LEVEL)
    return [replace(coverage, name=f"coverage, {LEVEL:.0%}"), p]


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
    count = truths.shape[0]
    off = []
    for index in _parts(members):
        errors = np.asarray(members[index]).mean(1) - np.asarray(truths[index])
        errors = errors.reshape(*errors.shape[:3], -1)
        off.append(errors[..., :: max(1, errors.shape[-1] // 256)].astype(np.float64))
    error = _standard(np.concatenate(off))
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


@contextmanager
def kept(members: Any) -> Iterator[Any]:
    """Members as an array in memory, or on the disk if they are many, for as long as they are needed.

    Args:
        members: (n, M, …), which are read once, some records at a time.
    """
    if isinstance(members, np.ndarray):
        yield members
        return
    shape = tuple(members.shape)
    with ExitStack() as stack:
        if np.prod(shape) <= IN_MEMORY:
            found = np.empty(shape, np.float32)
        else:
            folder = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
            found = np.memmap(Path(folder) / "members", np.float32, "w+", shape=shape)
        for index in _parts(members):
            found[index] = members[index]
        yield found


def _parts(members: Any) -> Iterator[slice]:
    step = max(1, int(AT_ONCE // np.prod(members.shape[1:])))
    yield from (slice(first, min(first + step, members.shape[0])) for first in range(0, members.shape[0], step))


def evaluate(samples: Samples) -> list[Metric]:
    """What can be said of samples: their scores beside the raw forecast's, or of an unknown truth how far they spread.

    Args:
        samples: of a model of this domain, drawn or read.
    """
    return beside_the_forecast(ensembles(samples))


def beside_the_forecast(drawn: Drawn) -> list[Metric]:
    """All scores of ensembles, beside those of the forecast that was given; of an unknown truth how far they spread.

    Args:
        drawn: of some times.
    """
    layout = Layout.of(drawn)
    if drawn.truths is None:
        return [_spread(drawn.members[:, :, *place], name) for place, name in layout.cells()]
    block = hanging(drawn.truths, drawn.members)
    alone = None if drawn.forecast is None else drawn.forecast[:, None]
    raw = {} if alone is None else {"raw forecast": scored(drawn.truths, alone, layout, block=block)}
    return judged(drawn.truths, drawn.members, layout, beside=raw, block=block)


def _spread(members: Float[np.ndarray, "n M *grid"], name: tuple[str, str]) -> Metric:
    variance = members.var(1, ddof=min(1, members.shape[1] - 1))
    meaning = "root mean variance of the members: what is not known, in the units of the variable"
    return Metric(f"{name[0]}, {name[1]}: spread", float(np.sqrt(np.nanmean(variance))), "closer", meaning)


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
        with kept(members) as drawn:
            block = block or hanging(truths, drawn)
            found[name] = scored(truths, drawn, layout, events=events, block=block)
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
    with kept(members) as drawn:
        found = scored(truths, drawn, layout, events=events, block=block or hanging(truths, drawn))
    return metrics(found, beside or {})


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
