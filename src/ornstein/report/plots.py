"""Plots as SVG, drawn without a display."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..deferred import deferred
from .palette import DENSITY, HEIGHTS, RED, SERIES

if TYPE_CHECKING:
    import matplotlib as mpl
    from matplotlib import cm, colors, figure, rcsetup, ticker
else:
    mpl, figure, rcsetup = deferred("matplotlib"), deferred("matplotlib.figure"), deferred("matplotlib.rcsetup")
    cm, colors = deferred("matplotlib.cm"), deferred("matplotlib.colors")
    ticker = deferred("matplotlib.ticker")


def empty(width: float, height: float) -> figure.Figure:
    """An empty figure of this size, inches, in the style of all of them."""
    mpl.rcParams.update(
        {
            "svg.hashsalt": "ornstein",  # the same plot gives the same file
            "text.parse_math": False,  # a label may be somebody else's text
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": 9,
            "axes.prop_cycle": rcsetup.cycler(color=SERIES),
        }
    )
    return figure.Figure(figsize=(width, height))


def svg(canvas: figure.Figure) -> bytes:
    """The SVG file of a matplotlib figure."""
    buffer = BytesIO()
    canvas.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    log: str = "",
    size: tuple[float, float] = (5.0, 3.0),
) -> bytes:
    """Named curves (x, y), as a picture.

    Args:
        lines: name → (x, y) of a curve.
        xlabel: of the horizontal axis.
        ylabel: of the vertical axis.
        log: the axes that are logarithmic, as in "xy".
        size: width and height, inches.
    """
    canvas = empty(*size)
    axes: Any = canvas.add_subplot()
    for name, (x, y) in lines.items():
        axes.plot(x, y, label=name, marker="o" if len(x) < 20 else None, markersize=3)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    logarithmic(axes, log)
    _legend(axes, len(lines))
    return svg(canvas)


def logarithmic(axes: Any, which: str) -> None:
    """Makes these axes logarithmic, with plain numbers on them: mathematics is not parsed, see `empty`."""
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in which:
            getattr(axes, f"set_{name}scale")("log")
            axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(ticker.FuncFormatter(partial(_between, axis)))


def _between(axis: Any, value: float, _: object) -> str:
    """2 and 5 between powers of ten, where fewer than two of these can be seen."""
    low, high = axis.get_view_interval()
    return f"{value:g}" if high < 10 * low and f"{value:e}"[0] in "25" else ""


def _legend(axes: Any, entries: int) -> None:
    """Above the axes, where it covers nothing."""
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2 if entries > 3 else 3, fontsize=8)


def clouds(panels: Mapping[str, np.ndarray], limit: float, size: float = 1.9) -> bytes:
    """Scatter plots of (n, 2) points side by side, all on [−limit, limit]².

    Args:
        panels: title → points.
        size: width and height, inches.
    """
    canvas = empty(size * len(panels), size)
    for k, (name, points) in enumerate(panels.items()):
        axes: Any = canvas.add_subplot(1, len(panels), k + 1)
        axes.scatter(points[:, 0], points[:, 1], s=1, alpha=0.5, linewidths=0, rasterized=True)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], title=name, aspect="equal")
        axes.title.set_fontsize(8)
    return svg(canvas)


def bars(groups: Mapping[str, Sequence[float]], labels: Sequence[str], ylabel: str) -> bytes:
    """Bars side by side, one group a label.

    Args:
        groups: name → heights of the bars.
        labels: below the groups.
        ylabel: of the vertical axis.
    """
    canvas = empty(5.0, 2.6)
    axes: Any = canvas.add_subplot()
    width = 0.8 / len(groups)
    for k, (name, heights) in enumerate(groups.items()):
        axes.bar(np.arange(len(labels)) + (k - (len(groups) - 1) / 2) * width, heights, width, label=name)
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    axes.set_ylabel(ylabel)
    _legend(axes, len(groups))
    return svg(canvas)


def landscape(
    panels: Mapping[str, tuple[Callable[[torch.Tensor], torch.Tensor], np.ndarray | None]],
    limits: tuple[float, float, float, float],
    nats: float = 8.0,
    size: float = 2.4,
    resolution: int = 161,
) -> bytes:
    """Energies in the plane side by side, as filled contours from each one's lowest point up, with points on top.

    Args:
        panels: name → (energy, points): E = −log p of (n, 2) points, nats; (m, 2) to scatter, or None.
        limits: left, right, bottom, top.
        nats: what lies higher than this above the lowest point is one colour.
        resolution: points of the grid along each axis.
        size: width and height, inches.
    """
    canvas = empty(size * len(panels) + 0.5, size)
    every: Any = canvas.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, (energy, points)) in zip(every, panels.items(), strict=True):
        filled = axes.contourf(*_heights(energy, limits, nats, resolution), np.linspace(0, nats, 25), cmap=HEIGHTS)
        filled.set_rasterized(True)
        if points is not None:
            axes.scatter(points[:, 0], points[:, 1], s=1.5, color=RED, alpha=0.6, linewidths=0, rasterized=True)
        axes.set(xlim=limits[:2], ylim=limits[2:], xticks=[], yticks=[], aspect="equal")
        axes.set_title(name, fontsize=8)
    scale = cm.ScalarMappable(colors.Normalize(0, nats), HEIGHTS)
    bar = canvas.colorbar(scale, ax=list(every), ticks=[0, nats], fraction=0.02, label="nats above the lowest")
    bar.ax.set_yticklabels(["0", f"≥ {nats:g}"])
    return svg(canvas)


def _heights(
    energy: Callable[[torch.Tensor], torch.Tensor], limits: tuple[float, float, float, float], nats: float, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The axes of a grid, and on it the energy above its lowest point, at most `nats`, where it is infinite too."""
    x, y = np.linspace(*limits[:2], n), np.linspace(*limits[2:], n)
    places = torch.from_numpy(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)).to(torch.get_default_dtype())
    with torch.no_grad():
        found = energy(places).double().cpu().nan_to_num(nan=torch.inf).reshape(n, n).numpy()
    return x, y, np.minimum(found - found.min(), nats)


def histograms(sets: Mapping[str, np.ndarray], xlabel: str, bins: int = 36) -> bytes:
    """Densities of numbers as outlines, between the outermost hundredths of them all.

    Args:
        sets: name → values to compare.
        xlabel: of the horizontal axis.
        bins: of the histograms.
    """
    canvas = empty(5.0, 2.8)
    axes: Any = canvas.add_subplot()
    ends = np.array([np.quantile(values, [0.003, 0.997]) for values in sets.values()])
    edges = np.linspace(ends[:, 0].min(), ends[:, 1].max(), bins + 1)
    for name, values in sets.items():
        axes.hist(values, edges, density=True, histtype="step", label=name, linewidth=1.2)
    axes.set(xlabel=xlabel, ylabel="density")
    _legend(axes, len(sets))
    return svg(canvas)


def matrices(
    panels: Mapping[str, np.ndarray], label: str, marks: Sequence[tuple[int, int]] = (), size: float = 3.0
) -> bytes:
    """Square matrices side by side on one scale, with small circles around marked entries.

    Args:
        panels: title → square matrix.
        label: of the colours' scale.
        marks: pairs of positions to mark.
        size: width and height, inches.
    """
    canvas = empty(size * len(panels) + 0.6, size)
    every: Any = canvas.subplots(1, len(panels), squeeze=False)[0]
    top = max(float(np.quantile(matrix, 0.999)) for matrix in panels.values())
    for axes, (name, matrix) in zip(every, panels.items(), strict=True):
        image = axes.imshow(matrix, cmap=DENSITY, vmin=0, vmax=top)
        image.set_rasterized(True)
        if marks:
            rows, columns = zip(*marks, strict=True)
            axes.scatter(columns, rows, s=14, facecolors="none", edgecolors=RED, linewidths=0.5)
        axes.set_title(name, fontsize=8)
    canvas.colorbar(cm.ScalarMappable(colors.Normalize(0, top), DENSITY), ax=list(every), fraction=0.02, label=label)
    return svg(canvas)
