"""Figures of ensembles of fields: truth, mean, spread and members, as postage stamps or, along one axis, as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calibration.ensembles import real, shaped
from ..deferred import deferred
from ..errors import InputError
from ..tasks.figures import Figure
from . import plots
from .fields import legend, of
from .palette import DIVERGING, GREY, INK, RED, SEQUENTIAL, TRUTH

if TYPE_CHECKING:
    from matplotlib import colors
else:
    colors = deferred("matplotlib.colors")

_ROW = 4  # panels beside one another at most, so that what is written on them can be read on a page


def stamps(
    truth: Any | None,
    samples: Any,
    what: str = "",
    most: int = 6,
    unit: str = "",
    upward: bool = False,
    points: Any | None = None,
    extent: tuple[float, float, float, float] | None = None,
    beside: Mapping[str, Any] | None = None,
    signed: bool = False,
) -> Figure:
    """Postage stamps: the truth, the members' mean and spread, and members, all on one scale but the spread.

    Args:
        truth: (y, x); NaN is missing and left white; None = not known.
        samples: (members, y, x); of one member alone neither mean nor spread is shown.
        what: of the caption.
        most: members that are shown.
        unit: of the field.
        upward: whether the first row is at the bottom, as where latitudes grow.
        points: (m, 2), x and y of dots on the truth, the mean and the spread, such as sensors: in the units of
            `extent`, else in cells.
        extent: where the field ends, (left, right, bottom, top), in units that the axes show; None = in cells, unshown.
        beside: further fields (y, x) by name, shown first, such as a raw forecast.
        signed: whether 0 has a meaning: it is white then, and the scale goes as far below as above.
    """
    truth = None if truth is None else real(shaped(truth), "truth")
    samples = real(shaped(samples), "samples")
    least, shape = (1, samples.shape[1:]) if truth is None else (2, truth.shape)
    if len(shape) != 2 or samples.shape[1:] != shape or len(samples) < least:
        expected = f"(members, y, x) with at least {least} members for a truth (y, x), found {shape}"
        raise InputError(f"samples: shape {samples.shape}, expected {expected}")
    others = _others(beside or {}, shape)
    shown = others | _stamps_of(truth, samples, most)
    left, right, bottom, top = extent or (0.0, shape[1], 0.0, shape[0])
    rows = -(-len(shown) // _ROW)
    columns = -(-len(shown) // rows)
    aspect = min(1.6, max(0.4, abs((top - bottom) / (right - left))))
    bars = 0.75 * (1 + ("spread" in shown)) + 0.35 * (extent is not None)  # colour bars and numbers, in inches
    canvas = plots.empty(1.55 * columns + bars, (1.45 * aspect + 0.32) * rows)
    canvas.set_layout_engine("constrained")
    panels: Any = canvas.subplots(rows, columns, squeeze=False).ravel()
    low, high = _range(np.stack([field for name, field in shown.items() if name != "spread"]))
    end = max(abs(low), abs(high))
    scale, colours = (colors.Normalize(-end, end), DIVERGING) if signed else (colors.Normalize(low, high), SEQUENTIAL)
    for axes, (name, field) in zip(panels, shown.items(), strict=False):
        look = (colors.Normalize(0, _range(field)[1]), "magma") if name == "spread" else (scale, colours)
        _stamp(axes, field, name, *look, upward, extent)
        if points is not None and name in ("truth", "mean", "spread"):
            axes.autoscale(False)
            axes.scatter(*np.asarray(points).T, s=5, color="white", edgecolors="black", linewidths=0.4)
        if extent is not None:
            axes.label_outer()
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    _bars(canvas, panels, list(shown), unit)
    dots = f"; dots: {len(points)} sensor{'s' if len(points) > 1 else ''}" if points is not None else ""
    told = _members(truth, samples, most)
    told = "; ".join([*others, told[0].lower() + told[1:]]) if others else told
    return pixels(canvas, f"{told[0].upper()}{told[1:]}{of(what)}{dots}.", 170 * columns + 120)


def _others(beside: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Fields that are shown beside members; InputError for one of another shape."""
    others = {name: real(shaped(field), name) for name, field in beside.items()}
    for name, field in others.items():
        if field.shape != shape:
            raise InputError(f"{name}: shape {field.shape}, expected that of a member, {shape}")
    return others


def _bars(canvas: Any, panels: Any, names: Sequence[str], unit: str) -> None:
    """The scale of the fields and, where it is shown, that of the spread."""
    for k, name in [(0, "field"), *((k, name) for k, name in enumerate(names) if name == "spread")]:
        bar = canvas.colorbar(panels[k].images[0], ax=list(panels), fraction=0.025, label=f"{name}{_in(unit)}")
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)


def _stamps_of(truth: np.ndarray | None, samples: np.ndarray, most: int) -> dict[str, np.ndarray]:
    shown = {} if truth is None else {"truth": truth}
    if len(samples) > 1:
        missing = np.isnan(samples).all(0)
        filled = np.where(missing, 0, samples)
        mean, spread = (np.where(missing, np.nan, f) for f in (filled.mean(0), filled.std(0, ddof=1)))
        shown |= {"mean": mean, "spread": spread}
    return {**shown, **{f"member {k + 1}": x for k, x in enumerate(samples[:most])}}


def _members(truth: np.ndarray | None, samples: np.ndarray, most: int) -> str:
    if len(samples) == 1:
        return "One sample"
    head = "Mean" if truth is None else "Truth, mean"
    return f"{head} and spread of {len(samples)} members, and the first {len(samples[:most])} of them"


def lines(
    at: Any, truth: Any | None, samples: Any, what: str = "", most: int = 6, unit: str = "", points: Any | None = None
) -> Figure:
    """An ensemble of fields along one axis: truth, mean, the band of 90 % of the members, members, and readings.

    Args:
        at: (n,), the coordinate.
        truth: (n,); None = not known.
        samples: (members, n).
        what: of the caption.
        most: members that are shown.
        unit: of the field.
        points: (m, 3), coordinate, value and standard deviation of readings.
    """
    at, samples = np.asarray(at, np.float64), real(shaped(samples), "samples")
    truth = None if truth is None else real(shaped(truth), "truth")
    if at.ndim != 1 or samples.shape[1:] != at.shape or (truth is not None and truth.shape != at.shape):
        raise InputError(f"samples: shape {samples.shape} at {at.shape} places, expected (members, n) at (n,)")
    canvas = plots.empty(4.6, 2.8)
    axes: Any = canvas.add_subplot()
    for k, member in enumerate(samples[:most]):
        axes.plot(at, member, color=INK, lw=0.6, alpha=0.5, label="members" if not k else None)
    if len(samples) > 1:
        low, high = np.quantile(samples, [0.05, 0.95], 0)
        axes.fill_between(at, low, high, color=GREY, alpha=0.5, lw=0, label="90 %")
        axes.plot(at, samples.mean(0), color=INK, lw=1.5, label="mean")
    if truth is not None:
        axes.plot(at, truth, "--", color=TRUTH, lw=1.2, label="truth")
    if points is not None:
        x, y, std = np.asarray(points, np.float64).T
        axes.errorbar(x, y, 1.96 * std, fmt="o", markersize=2.5, lw=0.8, color=RED, label="readings, 95 %")
    axes.set(xlim=(at[0], at[-1]) if len(at) > 1 else None, ylabel=f"field{_in(unit)}")
    legend(axes)
    return pixels(canvas, f"{_members(truth, samples, most)}{of(what)}.", 460)


def pixels(canvas: Any, caption: str, width: int) -> Figure:
    """A figure of matplotlib as a PNG.

    Args:
        canvas: of matplotlib.
        caption: plain text.
        width: in which it is shown, pixels.
    """
    buffer = BytesIO()
    canvas.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    return Figure(buffer.getvalue(), caption, "png", width)


def _stamp(axes: Any, field: np.ndarray, name: str, scale: Any, cmap: str, upward: bool, extent: Any) -> None:
    axes.set_title(name, fontsize=8, pad=3)
    if extent is None:
        axes.set(xticks=[], yticks=[])
    axes.tick_params(labelsize=7, length=2)
    axes.locator_params(nbins=3)
    for side in axes.spines.values():
        side.set_visible(False)
    origin = "lower" if upward else "upper"
    axes.imshow(field, norm=scale, cmap=cmap, origin=origin, interpolation="nearest", extent=extent)


def _range(fields: np.ndarray) -> tuple[float, float]:
    """What holds 99 % of the values; 0 to 1 if there are none."""
    values = fields[np.isfinite(fields)]
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def _in(unit: str) -> str:
    return f", {unit}" if unit else ""
