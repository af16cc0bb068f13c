"""Plots as SVG, drawn without a display."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure as Canvas

mpl.rcParams.update(
    {
        "svg.hashsalt": "ornstein",  # the same plot gives the same file
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 9,
        "axes.prop_cycle": cycler(color=["#1f4e79", "#c8553d", "#588b8b", "#f2a65a", "#6d597a"]),
    }
)


def svg(canvas: Canvas) -> bytes:
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
    """Named curves (x, y); `log` names the axes that are logarithmic, as in "xy"."""
    canvas = Canvas(figsize=size)
    axes: Any = canvas.add_subplot()
    for name, (x, y) in lines.items():
        axes.plot(x, y, label=name, marker="o" if len(x) < 20 else None, markersize=3)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    axes.legend(frameon=False)
    return svg(canvas)


def clouds(panels: Mapping[str, np.ndarray], limit: float, size: float = 1.9) -> bytes:
    """Scatter plots of (n, 2) points side by side, all on [−limit, limit]²."""
    canvas = Canvas(figsize=(size * len(panels), size))
    for k, (name, points) in enumerate(panels.items()):
        axes: Any = canvas.add_subplot(1, len(panels), k + 1)
        axes.scatter(points[:, 0], points[:, 1], s=1, alpha=0.5, linewidths=0, rasterized=True)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], title=name, aspect="equal")
        axes.title.set_fontsize(8)
    return svg(canvas)


def bars(groups: Mapping[str, Sequence[float]], labels: Sequence[str], ylabel: str) -> bytes:
    """Bars side by side, one group a label."""
    canvas = Canvas(figsize=(5.0, 2.6))
    axes: Any = canvas.add_subplot()
    width = 0.8 / len(groups)
    for k, (name, heights) in enumerate(groups.items()):
        axes.bar(np.arange(len(labels)) + (k - (len(groups) - 1) / 2) * width, heights, width, label=name)
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    axes.set_ylabel(ylabel)
    axes.legend(frameon=False)
    return svg(canvas)
