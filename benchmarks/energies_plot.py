"""The plot about energies.py's rows: error against gradients."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from energies_report import CHAINED, HYBRID, NUTS, PEER, PT, SMC, by_system
from energies_worlds import SETTINGS, Row, named, share_floor

COLOURS = {SMC: "#4477aa", PT: "#228833", NUTS: "#888888", PEER: "#aa3377", HYBRID: "#c1272d", CHAINED: "#ee7733"}


def curves(rows: Sequence[Row], error: str) -> Iterator[tuple[str, list[float], list[float]]]:
    """(method, gradients, error): sizes of a method are one curve, every run of chains is one."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.get("method") in COLOURS:
            size = row["size"] if row["method"] in (NUTS, PT) else ""
            groups.setdefault((row["method"], size), []).append(row)
    for (method, _), found in groups.items():
        yield method, [row["gradients"] for row in found], [row[error] for row in found]


def plot(rows: Sequence[Row], path: Path) -> None:
    """A panel a system."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ornstein"
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    systems = by_system(rows)
    figure, grid = pyplot.subplots(1, len(systems), figsize=(12, 3.2), constrained_layout=True, squeeze=False)
    for axes, (name, found) in zip(grid[0], systems.items(), strict=True):
        _panel(axes, name, found)
    handles = [Line2D([], [], color=colour, marker="o", ms=4, label=method) for method, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _panel(axes: Any, name: str, rows: Sequence[Row]) -> None:
    error = SETTINGS[name].error
    for method, gradients, errors in curves(rows, error):
        axes.plot(gradients, errors, "o-", ms=3.5, lw=1.2, color=COLOURS[method])
    for row in rows:
        if "training" in row:
            cost = row["gradients"] + row["training"]
            axes.plot([cost], [row[error]], "o", ms=4.5, mfc="none", color=COLOURS[row["method"]])
    floor = _floor(name, rows, error)
    axes.axhline(floor, color="black", lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", title=name, xlabel="gradients")
    axes.set_ylabel("total variation of shares" if error == "tv" else "KS distance of E", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_minor_formatter("")
    axes.yaxis.set_minor_formatter("")
    if error == "ks":
        axes.set_ylim(0.007, 0.5)
    axes.grid(alpha=0.25)


def _floor(name: str, rows: Sequence[Row], error: str) -> float:
    largest = max(row["n"] for row in rows if row.get("method") in COLOURS)
    floor = share_floor(named(name), largest) if error == "tv" else None
    return rows[-1]["floors"]["ks"] if floor is None else floor
