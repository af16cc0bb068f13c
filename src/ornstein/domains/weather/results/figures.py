"""Ensembles of weather as a person wants to see them: maps and fans, and by lead whether they say what they should.

What is calibrated is grey, as everywhere in the reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .... import calibration
from ....calibration import Ranks, Spectra
from ....report import ensembles, fields, plots
from ....report.palette import GREY, INK, RED, TRUTH
from ....tasks.figures import Figure
from ..files.grids import Grid
from ..files.times import lead_names, written
from ..known import dated
from ..metrics import Layout, bands
from .drawn import Drawn

MOST = 4
"""Leads that a figure shows at most: the first, the last and some between; the tables have all of them."""
_COLUMNS = 2.3, 2.1
"""Of a panel, inches."""


def chosen(count: int, most: int = MOST) -> list[int]:
    """Numbers of some of so many, evenly, with the first and the last.

    Args:
        count: how many there are.
        most: how many are wanted.
    """
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def signed(values: Any) -> bool:
    """Whether 0 has a meaning in a field: it lies well within its values, as for vorticity, and not for pressure.

    Args:
        values: of the field; NaN is missing.
    """
    low, high = np.nanquantile(np.asarray(values, np.float64), [0.02, 0.98])
    return bool(low < 0 < high and min(-low, high) > 0.2 * max(-low, high))


def unit_of(shown: Drawn, name: str) -> str:
    """Of a variable; empty where it has none, which CF calls 1.

    Args:
        shown: what was drawn.
        name: of the variable.
    """
    unit = shown.units.get(name, "")
    return "" if unit == "1" else unit


# Maps and fans ----------------------------------------------------------------------------------------


def members(shown: Drawn, raw: Any | None = None, record: int = 0, variable: int = 0, lead: int = 0) -> Figure:
    """One forecast: raw forecast, truth, mean, spread and members, as stamps; of stations, as a fan.

    Args:
        shown: what was drawn.
        raw: of the forecast that was given, (n, V, S, *grid); None = not shown.
        record: which time.
        variable: which.
        lead: which step; a fan has all of them.
    """
    truth = None if shown.truths is None else np.asarray(shown.truths[record : record + 1])[0, variable]
    drawn = np.asarray(shown.members[record : record + 1])[0, :, variable]
    given = None if raw is None else np.asarray(raw[record : record + 1])[0, variable]
    name, unit = shown.variables[variable], unit_of(shown, shown.variables[variable])
    what = f"{name}, {when(shown.times[record])}"
    if shown.grid.kind == "stations" or len(shown.grid.shape) < 2:
        return fan(shown.steps, _point(truth, 1), _point(drawn, 2), _point(given, 1), what, unit, "lead")
    truth, drawn, given = (_flat(x, lead, axis) for x, axis in ((truth, 0), (drawn, 1), (given, 0)))
    assert drawn is not None
    return ensembles.stamps(
        truth, drawn, f"{what}, lead {lead_names(shown.steps)[lead]}", 6, unit, upward(shown.grid),
        beside={} if given is None else {"raw forecast": given}, signed=signed(drawn),
    )  # fmt: skip


def _point(values: np.ndarray | None, axis: int) -> np.ndarray | None:
    """The first place that has data, of values whose places come from this axis on."""
    if values is None:
        return None
    flat = values.reshape(*values.shape[:axis], -1)
    there = np.isfinite(flat).reshape(-1, flat.shape[-1]).any(0)
    return flat[..., int(there.argmax())]


def _flat(values: np.ndarray | None, lead: int, axis: int) -> np.ndarray | None:
    """(…, y, x) of one lead; of a grid of three axes, its first level."""
    if values is None:
        return None
    found = values.take(lead, axis)
    return found[(..., *(0,) * (found.ndim - axis - 2), slice(None), slice(None))]


def upward(grid: Grid) -> bool:
    """Whether the first row of a map is at the bottom: latitudes, or heights, that grow along it.

    Args:
        grid: of the field.
    """
    rows = grid.axis(grid.dims[-2]) if len(grid.dims) > 1 else None
    return rows is not None and len(rows) > 1 and bool(rows[-1] > rows[0])


def fan(
    at: Any,
    truth: Float[np.ndarray, " n"] | None,
    samples: Float[np.ndarray, "members n"] | None,
    raw: Float[np.ndarray, " n"] | None = None,
    what: str = "",
    unit: str = "",
    along: str = "valid time",
) -> Figure:
    """An ensemble at one place along leads or times: bands of 50 and 90 % of the members, mean, truth, raw forecast.

    Args:
        at: (n,), leads or dates.
        truth: NaN is missing; None = not known.
        samples: of the ensemble.
        raw: the forecast that was given.
        what: of the caption.
        unit: of the values.
        along: what the abscissa is.
    """
    assert samples is not None
    x, label = _abscissa(np.asarray(at), along)
    canvas = plots.empty(6.2, 2.9)
    axes: Any = canvas.add_subplot()
    for low, high, alpha in ((0.05, 0.95, 0.35), (0.25, 0.75, 0.7)):
        ends = np.quantile(samples, [low, high], 0)
        axes.fill_between(x, *ends, color=GREY, alpha=alpha, lw=0, label=f"{high - low:.0%} of the members")
    axes.plot(x, samples.mean(0), color=INK, lw=1.4, label="mean")
    if raw is not None:
        axes.plot(x, raw, ":", color=RED, lw=1.4, label="raw forecast")
    if truth is not None:
        axes.plot(x, truth, "o-", color=TRUTH, lw=0.8, markersize=2.5, label="truth")
    axes.set(xlabel=label, ylabel=unit, xlim=(x[0], x[-1]) if len(x) > 1 else None)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=5, fontsize=8)
    if dated(np.asarray(at)):
        canvas.autofmt_xdate()
    alt = f"Mean, bands and members of {len(samples)} forecasts along one axis{fields.of(what)}"
    return Figure(plots.svg(canvas), f"{len(samples)} members{fields.of(what)}.", "svg+xml", 620, alt)


def _abscissa(at: np.ndarray, along: str) -> tuple[np.ndarray, str]:
    """Dates as they are, leads in hours, numbers; and what stands below the axis."""
    if at.dtype.kind == "m":
        return at / np.timedelta64(1, "h"), f"{along}, hours"
    if at.dtype == object:
        return np.array([np.datetime64(one.isoformat()[:19], "s") for one in at]), along
    return at, along


def over_times(shown: Drawn, raw: Any | None = None, variable: int = 0, lead: int = 0, most: int = 60) -> Figure:
    """Forecasts of consecutive times at one place, by the times that they are of.

    Args:
        shown, raw, variable, lead: see `members`.
        most: times, the first ones.
    """
    some = slice(0, most)
    drawn = np.asarray(shown.members[some])[:, :, variable, lead].swapaxes(0, 1)
    others = [None if x is None else np.asarray(x[some])[:, variable, lead] for x in (shown.truths, raw)]
    truth, given = (_point(x, 1) for x in others)
    name = shown.variables[variable]
    what = f"{name}, lead {lead_names(shown.steps)[lead]}"
    return fan(shown.times[some], truth, _point(drawn, 2), given, what, unit_of(shown, name), "initial time")


def when(time: Any) -> str:
    """A time in words, to the minute.

    Args:
        time: a date of NumPy or of another calendar, or a number.
    """
    text = written(time)
    return text[:16].replace("T", " ") if "T" in text else f"time {text}"


def spread_maps(shown: Drawn, variable: int = 0, lead: int = 0) -> Figure | None:
    """Over all times: where the mean is wrong, and where the members say that it may be, on one scale.

    Args:
        shown, variable, lead: see `members`.

    None where there is no map: of stations, along one axis, of one member, or where no truth is known.
    """
    if shown.truths is None or shown.grid.kind != "grid" or len(shown.grid.shape) < 2:
        return None
    error, spread, known = np.zeros((3, *shown.grid.shape[-2:]))
    for record in range(len(shown.times)):
        drawn = _flat(np.asarray(shown.members[record : record + 1])[0, :, variable], lead, 1)
        truth = _flat(np.asarray(shown.truths[record : record + 1])[0, variable], lead, 0)
        assert drawn is not None
        assert truth is not None
        there = np.isfinite(truth)
        known += there
        error += np.where(there, (drawn.mean(0) - truth) ** 2, 0.0)
        spread += np.where(there, drawn.var(0, ddof=1) * (len(drawn) + 1) / len(drawn), 0.0)
    if not known.any() or shown.members.shape[1] < 2:
        return None
    count, seen = len(shown.times), np.where(known > 0, known, np.nan)
    name = shown.variables[variable]
    panels = {"error of the mean (RMSE)": np.sqrt(error / seen), "spread": np.sqrt(spread / seen)}
    what = f"{name}, lead {lead_names(shown.steps)[lead]}, {count} times"
    return maps(panels, f"Error of the mean and spread on one scale{fields.of(what)}.", shown, name)


def maps(panels: Mapping[str, Float[np.ndarray, "y x"]], caption: str, shown: Drawn, variable: str) -> Figure:
    """Fields from 0 up, side by side on one scale.

    Args:
        panels: title → field.
        caption: plain text.
        shown: of what.
        variable: whose unit they have.
    """
    top = float(np.nanquantile(np.stack(list(panels.values())), 0.995))
    canvas = plots.empty(2.4 * len(panels) + 0.8, 2.6)
    canvas.set_layout_engine("constrained")
    every: Any = canvas.subplots(1, len(panels), squeeze=False).ravel()
    for axes, (title, field) in zip(every, panels.items(), strict=True):
        origin = "lower" if upward(shown.grid) else "upper"
        axes.imshow(field, vmin=0, vmax=top, cmap="magma", origin=origin, interpolation="nearest")
        axes.set_title(title, fontsize=9, pad=3)
        axes.set(xticks=[], yticks=[])
        for side in axes.spines.values():
            side.set_visible(False)
    unit = unit_of(shown, variable)
    bar = canvas.colorbar(
        every[0].images[0], ax=list(every), fraction=0.04, label=f"{variable}, {unit}" if unit else variable
    )
    bar.outline.set_visible(False)
    return ensembles.pixels(canvas, caption, 230 * len(panels) + 80)


# By lead ----------------------------------------------------------------------------------------------


def by_lead(found: Mapping[str, Any], draw: Callable[[Any, Any], object], caption: str, square: bool = False) -> Figure:
    """One panel a lead, side by side.

    Args:
        found: lead → what is drawn.
        draw: (axes, found) draws it on axes of matplotlib.
        caption: plain text.
        square: whether panels are.
    """
    width, height = _COLUMNS
    canvas = plots.empty(width * len(found) + 0.6, height + 0.6 * square)
    every: Any = canvas.subplots(1, len(found), squeeze=False).ravel()
    for axes, (lead, one) in zip(every, found.items(), strict=True):
        draw(axes, one)
        axes.set_title(f"lead {lead}", fontsize=9, pad=4)
    top = max(axes.get_ylim()[1] for axes in every)
    for axes in () if square else every:
        axes.set_ylim(0, top)
    return _with_legend(canvas, every, caption, len(found))


def _with_legend(canvas: Any, every: Any, caption: str, columns: int) -> Figure:
    for axes in every[1:columns]:
        axes.set_ylabel("")
    canvas.tight_layout()
    handles, names = every[0].get_legend_handles_labels()
    canvas.legend(handles, names, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8)
    return Figure(plots.svg(canvas), caption, "svg+xml", 230 * columns + 60)


def judged(shown: Drawn, raw: Any | None = None, variable: int = 0, block: int = 1, most: int = MOST) -> list[Figure]:
    """Rank histograms, PIT, reliability, spread beside error, and spectra of a variable, by lead.

    Args:
        shown, raw, variable: see `members`; the truth is known.
        block: how many consecutive times hang together.
        most: leads that are shown, of those of which something is known.

    None of one member.
    """
    assert shown.truths is not None
    layout, name = Layout.of(shown), shown.variables[variable]
    names = lead_names(shown.steps)
    known = [s for s in range(len(names)) if np.isfinite(np.asarray(shown.truths[:])[:, variable, s]).any()]
    leads = {names[known[k]]: known[k] for k in chosen(len(known), most)} if known else {}
    if not leads or shown.members.shape[1] < 2:
        return []
    cells = {lead: _cell(shown, variable, s) for lead, s in leads.items()}
    some: Any = {"weights": layout.weights}
    ranks = {lead: Ranks.of(y, x, **some) for lead, (y, x) in cells.items()}
    histograms = {lead: one.histogram(block=block) for lead, one in ranks.items()}
    skill = {lead: calibration.spread_skill(y, x, block=block, **some) for lead, (y, x) in cells.items()}
    p = ", ".join(f"p = {one.test.p_value:.2g}" for one in histograms.values())
    ratios = ", ".join(f"{one.ratio.value:.2f}" for one in skill.values())
    figures = [
        by_lead(histograms, fields.ranks_on, f"Rank histograms of {name}; of uncorrelated points, {p}."),
        by_lead(
            {lead: one.pit() for lead, one in ranks.items()}, fields.pit_on,
            f"Probability integral transform of {name}: ∪ too narrow, ∩ too wide, a slope biased.",
        ),
        by_lead(skill, fields.spread_skill_on, f"Error where the spread is alike, {name}: ratios {ratios}.", True),
        *_reliable(cells, name, unit_of(shown, name), block, some),
    ]  # fmt: skip
    transform = layout.transform(tuple(shown.grid.shape))
    if transform is None or any(np.isnan(y).any() for y, _ in cells.values()):
        return figures
    found = {lead: calibration.spectra(y, x, transform, block=block) for lead, (y, x) in cells.items()}
    others = {} if raw is None else {
        lead: calibration.spectrum(np.asarray(raw[:])[:, variable, s], transform)[1] for lead, s in leads.items()
    }  # fmt: skip
    return [*figures, spectra_by_lead(found, others, bands(tuple(shown.grid.shape)), name)]


def _cell(shown: Drawn, variable: int, lead: int) -> tuple[np.ndarray, np.ndarray]:
    """Truths and members of a variable and lead."""
    assert shown.truths is not None
    truths, members = np.asarray(shown.truths[:]), np.asarray(shown.members[:])
    return truths[:, variable, lead], members[:, :, variable, lead]


def _reliable(
    cells: Mapping[str, tuple[np.ndarray, np.ndarray]], name: str, unit: str, block: int, some: Mapping[str, Any]
) -> list[Figure]:
    """Of the event that a value is in the upper tenth of what happened; none where that is one value."""
    every = np.concatenate([truth.ravel() for truth, _ in cells.values()])
    threshold = float(np.nanquantile(every, 0.9))
    if next(iter(cells.values()))[1].shape[1] < 3 or not (every > threshold).any():
        return []
    found = {lead: calibration.reliability(y, x, threshold, block=block, **some) for lead, (y, x) in cells.items()}
    event = f"{name} above {threshold:.3g}{' ' * bool(unit)}{unit}, which happens one time in ten"
    said = "The grey line is what a calibrated ensemble of this size shows."
    return [by_lead(found, fields.reliability_on, f"Reliability of the event: {event}. {said}", True)]


def spectra_by_lead(
    found: Mapping[str, Spectra],
    raw: Mapping[str, Float[np.ndarray, "cases k"]],
    ends: Sequence[tuple[float, float]],
    name: str,
) -> Figure:
    """Power of truth, members, their mean and the raw forecast; below, members over truth in bands.

    Args:
        found: lead → `calibration.spectra(...)`.
        raw: lead → power of the forecast that was given; none are not shown.
        ends: of the bands.
        name: of the variable.
    """
    width, height = _COLUMNS
    canvas = plots.empty(width * len(found) + 0.6, 1.6 * height)
    tops, belows = canvas.subplots(2, len(found), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 2))
    for top, below, (lead, one) in zip(tops, belows, found.items(), strict=True):
        beside = {"raw forecast": raw[lead]} if lead in raw else {}
        fields.spectra_on(top, below, one, ends, beside)
        top.set_title(f"lead {lead}", fontsize=9, pad=4)
        below.set_ylim(0.5, 1.5)
    for below in belows[1:]:
        below.set_ylabel("")
    said = "; ".join(
        f"lead {lead}: " + ", ".join(f"{r.value:.2f}" for r in one.ratios(ends)) for lead, one in found.items()
    )
    caption = f"Power spectra of {name}; members / truth in bands, grey 0.9 to 1.1: {said}."
    return _with_legend(canvas, tops, caption, len(found))


def of_samples(shown: Drawn, most: int = 4) -> list[Figure]:
    """Of the first time and the middle lead: the variables as stamps or fans, and where they may be wrong.

    Args:
        shown: what was drawn.
        most: variables.
    """
    middle, some = len(shown.steps) // 2, range(min(most, len(shown.variables)))
    found = [members(shown, shown.forecast, 0, v, middle) for v in some]
    spreads = [spread_maps(shown, v, middle) for v in some]
    return [*found, *(one for one in spreads if one is not None)]
