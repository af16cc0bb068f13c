"""Figures of whether ensembles of fields say what they should: see ornstein.calibration, whose results they show.

What is calibrated is drawn in grey, as a line or as the band in which it lies; what was measured in colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ..calibration.ensembles import real, shaped
from ..calibration.estimates import blocked
from ..calibration.ranks import Coverage, RankHistogram
from ..calibration.recalibration import Recalibration
from ..calibration.sbc import Cumulated
from ..calibration.spectra import Spectra
from ..calibration.spread import Reliability, SpreadSkill
from ..tasks.figures import Figure
from . import plots
from .palette import GREY, INK, RED, RULE


def rank_histogram(found: RankHistogram, what: str = "") -> Figure:
    """How often each rank occurs, beside the band of a calibrated forecast with as many independent points.

    Args:
        found: `Ranks.histogram(...)`.
        what: of the caption: variable, lead time, region.
    """
    canvas = plots.empty(4.6, 2.6)
    ranks_on(axes := canvas.add_subplot(), found)
    legend(axes)
    seen = found.test.seen
    caption = (
        f"Rank histogram{of(what)}: p = {found.test.p_value:.2g} on every {_times(found.thin)} point. A spread below "
        f"{seen['narrow']:.2f} or above {seen['wide']:.2f} of the right one, or a bias of {seen['bias']:.2f} standard "
        "deviations, would be seen in 4 of 5 cases."
    )
    return _figure(canvas, caption, 460)


def ranks_on(axes: Any, found: RankHistogram) -> None:
    """The bars and the band of a rank histogram, on axes.

    Args:
        axes: of matplotlib.
        found: `Ranks.histogram(...)`.
    """
    ranks, level = np.arange(found.members + 1), 1 / (found.members + 1)
    half = 1.96 * np.sqrt(level * (1 - level) / found.test.effective)
    axes.bar(ranks, found.frequencies / level, 0.9, color=INK)
    axes.axhspan(1 - half / level, 1 + half / level, color=GREY, alpha=0.5, lw=0, label="calibrated, 95 % of ranks")
    axes.axhline(1, color=RULE, lw=0.8)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="members below the truth", ylabel="frequency / uniform", xlim=(-0.6, found.members + 0.6))


def pit(values: Any, what: str = "", bins: int = 20) -> Figure:
    """The density of probability integral transforms, flat where calibrated.

    Args:
        values: of `Ranks.pit()`, (cases, …), NaN is missing.
        what: of the caption.
        bins: of the histogram.
    """
    canvas = plots.empty(4.6, 2.6)
    pit_on(axes := canvas.add_subplot(), values, bins)
    legend(axes)
    return _figure(canvas, f"Probability integral transform{of(what)}: ∪ too narrow, ∩ too wide, a slope biased.", 460)


def pit_on(axes: Any, values: Any, bins: int = 20) -> None:
    """The density of probability integral transforms, on axes.

    Args:
        axes: of matplotlib.
        values, bins: see `pit`.
    """
    values = real(shaped(values), "values")
    counts = np.array([np.histogram(row[~np.isnan(row)], bins, (0, 1))[0] for row in values.reshape(len(values), -1)])
    density = counts.sum(0) / counts.sum() * bins
    off = blocked(counts - counts.sum(1, keepdims=True) / bins, 1)
    half = 1.96 * np.sqrt((off**2).sum(0).mean()) / counts.sum() * bins
    axes.axhspan(1 - half, 1 + half, color=GREY, alpha=0.5, lw=0, label="calibrated, 95 % of bars")
    axes.stairs(density, np.linspace(0, 1, bins + 1), color=INK, lw=1.4, baseline=None)
    axes.axhline(1, color=RULE, lw=0.8)
    axes.set(xlabel="PIT", ylabel="density", xlim=(0, 1), ylim=(0, None))


def coverage(found: Mapping[str, Coverage], what: str = "") -> Figure:
    """Coverage of central intervals less their level.

    Args:
        found: name → coverage, such as {"before": …, "after": …}.
        what: of the caption.
    """
    canvas = plots.empty(4.6, 2.8)
    axes: Any = canvas.add_subplot()
    axes.axhline(0, color=RULE, lw=0.8)
    for k, (name, one) in enumerate(found.items()):
        shift = 0.006 * (k - (len(found) - 1) / 2)
        axes.errorbar(
            100 * (one.levels + shift), 100 * (one.values - one.levels), 196 * one.errors, label=name, marker="o",
            markersize=3.5, lw=1.2, elinewidth=1.0, capsize=2, color=(RED, INK)[k] if len(found) == 2 else None,
        )  # fmt: skip
    axes.set(xlabel="level of the interval, %", ylabel="coverage − level, %", xlim=(0, 100))
    legend(axes)
    numbers = "; ".join(f"{name}: {one.near(0.9)}" for name, one in found.items())
    return _figure(canvas, f"Coverage of central intervals{of(what)}, 95 % bars. {numbers}.", 460)


def recalibration(found: Recalibration, what: str = "") -> Figure:
    """Coverage before and after, on the cases held out.

    Args:
        found: `recalibrate(...)`.
        what: of the caption.
    """
    words = f"{found.method}, {what}" if what else found.method
    figure = coverage({"before": found.before, "after": found.after}, words)
    counted = f" Fitted on {found.fitted_on} cases, judged on {found.held_out} others."
    return replace(figure, caption=figure.caption + counted)


def spread_skill(found: SpreadSkill, what: str = "") -> Figure:
    """The error of the mean where the spread is alike, beside the spread.

    Args:
        found: `spread_skill(...)`.
        what: of the caption.
    """
    canvas = plots.empty(3.4, 3.2)
    spread_skill_on(axes := canvas.add_subplot(), found)
    legend(axes)
    return _figure(canvas, f"Error where the spread is alike{of(what)}, 95 % bars. {found.ratio}; {found.bias}.", 340)


def spread_skill_on(axes: Any, found: SpreadSkill) -> None:
    """Error of the mean beside the spread, on axes.

    Args:
        axes: of matplotlib.
        found: `spread_skill(...)`.
    """
    top = 1.08 * max(np.nanmax(found.bin_spread), np.nanmax(found.bin_skill))
    axes.plot([0, top], [0, top], color=GREY, lw=1.2, label="calibrated")
    axes.errorbar(
        found.bin_spread, found.bin_skill, 1.96 * np.nan_to_num(found.bin_error), marker="o", markersize=3.5, lw=1.2,
        elinewidth=1.0, capsize=2, color=INK, label="measured",
    )  # fmt: skip
    axes.set(xlabel="spread", ylabel="RMSE of the mean", xlim=(0, top), ylim=(0, top), aspect="equal")


def reliability(found: Reliability, what: str = "") -> Figure:
    """How often an event happened where it was given a probability.

    Args:
        found: `reliability(...)`.
        what: of the caption.
    """
    canvas = plots.empty(3.4, 3.8)
    axes, below = canvas.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    reliability_on(axes, found)
    axes.set(xlabel="")
    legend(axes)
    below.bar(found.forecast, found.points / found.points.sum(), 0.7 / len(found.points), color=INK)
    below.set(xlabel="share of members", ylabel="points", xlim=(-0.05, 1.05), yticks=[])
    caption = f"The field above {found.threshold:g}{of(what)}: forecast and frequency, 95 % bars. The grey line "
    return _figure(canvas, caption + "is what a calibrated ensemble of this size shows.", 340)


def reliability_on(axes: Any, found: Reliability) -> None:
    """How often an event happened, on axes.

    Args:
        axes: of matplotlib.
        found: `reliability(...)`.
    """
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    axes.plot(found.forecast, found.expected, color=GREY, lw=1.4, label="calibrated")
    axes.errorbar(
        found.forecast, found.observed, 1.96 * np.nan_to_num(found.error), marker="o", markersize=3.5, lw=1.2,
        elinewidth=1.0, capsize=2, color=INK, label="measured",
    )  # fmt: skip
    axes.set(xlabel="share of members", ylabel="it happened", xlim=(-0.05, 1.05), ylim=(-0.03, 1.03))


def spectra(found: Spectra, bands: Sequence[tuple[float, float]] = (), what: str = "", unit: str = "") -> Figure:
    """Power of truth, members and their mean, and members over truth, with errors over cases.

    Args:
        found: `spectra(...)`.
        bands: (low, high) of the ratio; none: at every wavenumber.
        what: of the caption.
        unit: of the wavenumbers, such as "cycles per km".
    """
    canvas = plots.empty(4.6, 4.0)
    top, below = canvas.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    spectra_on(top, below, found, bands)
    legend(top)
    below.set(xlabel=f"wavenumber{', ' if unit else ''}{unit}")
    said = "; ".join(map(str, found.ratios(bands)))
    return _figure(canvas, f"Power spectra{of(what)}, 95 % bands over cases; grey: 0.9–1.1. {said}".rstrip(), 460)


def spectra_on(
    top: Any,
    below: Any,
    found: Spectra,
    bands: Sequence[tuple[float, float]] = (),
    beside: Mapping[str, Float[np.ndarray, "cases k"]] | None = None,
) -> None:
    """Power, and members over truth, on two pairs of axes with one abscissa.

    Args:
        top: of matplotlib, for the power.
        below: likewise, for the ratio.
        found: `spectra(...)`.
        bands: (low, high) of the ratio; none: at every wavenumber.
        beside: the power of others, by name, such as that of a raw forecast.
    """
    k, least = found.wavenumbers, 1e-6 * float(np.nanmean(found.truth, 0).max())
    others = [(name, power, "#7a7a7a", ":") for name, power in (beside or {}).items()]
    for name, power, colour, style in (
        ("truth", found.truth, "#333333", "-"),
        ("members", found.members, RED, "-"),
        ("mean of members", found.mean, INK, "--"),
        *others,
    ):
        some = power[~np.isnan(power).any(1)]
        centre, half = some.mean(0), 1.96 * some.std(0, ddof=1) / np.sqrt(len(some)) if len(some) > 1 else 0 * some[0]
        shown = centre > least
        top.plot(k[shown], centre[shown], style, color=colour, lw=1.3, label=name)
        low = np.maximum(centre - half, centre / 10)
        top.fill_between(k[shown], low[shown], (centre + half)[shown], color=colour, alpha=0.18, lw=0)
    top.set_ylabel("power")
    plots.logarithmic(top, "xy")
    below.axhline(1, color=RULE, lw=0.8)
    below.axhspan(0.9, 1.1, color=GREY, alpha=0.4, lw=0)
    (_banded if bands else _every)(below, found, bands)
    below.set(xlabel="wavenumber", ylabel="members / truth")


def _banded(axes: Any, found: Spectra, bands: Sequence[tuple[float, float]]) -> None:
    for low, high in bands:
        one = found.ratio(low, high)
        inside = found.wavenumbers[(found.wavenumbers >= low) & (found.wavenumbers < high)]
        centre = np.clip(np.exp(np.log(inside).mean()), inside[0], inside[-1])
        ends = [[centre - inside[0]], [inside[-1] - centre]]
        axes.errorbar(
            [centre], [one.value], [1.96 * (one.error or 0.0)], ends, marker="o", markersize=3.5, color=RED, lw=1.2,
            capsize=2,
        )  # fmt: skip


def _every(axes: Any, found: Spectra, bands: Sequence[tuple[float, float]]) -> None:
    k = found.wavenumbers[np.nansum(found.truth, 0) > 1e-6 * np.nansum(found.truth, 0).max()]
    ratios = [found.ratio(one, np.nextafter(one, np.inf)) for one in k]
    values, half = (np.array(x) for x in zip(*((r.value, 1.96 * (r.error or 0.0)) for r in ratios), strict=True))
    axes.plot(k, values, color=RED, lw=1.3)
    axes.fill_between(k, values - half, values + half, color=RED, alpha=0.2, lw=0)


def cumulated(found: Mapping[str, Cumulated] | Cumulated, what: str = "", most: int = 6) -> Figure:
    """Shares of truths below shares of samples, less what is calibrated: SBC and TARP.

    Args:
        found: `sbc(...)` or `tarp(...)`.
        what: of the caption.
        most: panels; those with the smallest p-values are shown.
    """
    every = {found.name: found} if isinstance(found, Cumulated) else dict(found)
    shown = sorted(every.values(), key=lambda one: one.p_value)[:most]
    columns = len(shown) if len(shown) < 4 else 2 if len(shown) == 4 else 3
    rows = -(-len(shown) // columns)
    canvas = plots.empty(2.5 * columns + 0.8, 2.3 * rows)
    panels: Any = canvas.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, one in zip(panels, shown, strict=False):
        x = 100 * one.levels
        axes.fill_between(x, 100 * (one.low - one.levels), 100 * (one.high - one.levels), color=GREY, alpha=0.5, lw=0,
                          step="mid", label="calibrated, 95 %")  # fmt: skip
        axes.fill_between(x, 100 * (one.least - one.levels), 100 * (one.greatest - one.levels), color=RED, alpha=0.2,
                          lw=0, label="bootstrap, 95 %")  # fmt: skip
        axes.plot(x, 100 * (one.values - one.levels), color=RED, lw=1.3, label="measured")
        axes.axhline(0, color=RULE, lw=0.8)
        axes.set_title(f"{one.name}, p = {one.p_value:.2g}", fontsize=8)
        axes.set(xlim=(0, 100))
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("truths − samples, %")
    for axes in panels[max(0, len(shown) - columns) : len(shown)]:
        axes.set_xlabel("samples below, %")
        axes.tick_params(labelbottom=True)
    canvas.tight_layout()
    handles, names = panels[0].get_legend_handles_labels()
    canvas.legend(handles, names, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    hidden = f" The {len(shown)} of {len(every)} with the smallest p are shown." if len(shown) < len(every) else ""
    cases = f"{len(shown[0].ranks)} cases of {shown[0].members} samples"
    return _figure(canvas, f"Truths below each share of the samples{of(what)}, {cases}.{hidden}", 250 * columns + 80)


def legend(axes: Any) -> None:
    """Above the axes, where it covers nothing."""
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8)


def _figure(canvas: Any, caption: str, width: int) -> Figure:
    return Figure(plots.svg(canvas), caption, "svg+xml", width)


def of(what: str) -> str:
    """What a caption is of, in brackets."""
    return f" ({what})" if what else ""


def _times(steps: Sequence[int]) -> str:
    return " × ".join(f"{step}." for step in steps) or "1."
