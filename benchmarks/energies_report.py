"""The page about energies.py's rows: a table a system, the plot, and what is missed."""

import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from energies_worlds import SETTINGS, named, share_floor

Row = dict[str, Any]
SMC, PT, NUTS, HYBRID = "annealed SMC", "parallel tempering", "NUTS (blackjax)", "hybrid"
CHAINED, BLIND = "hybrid, then HMC", "hybrid, half the modes unknown to the model"
OURS = (HYBRID, CHAINED)
COLOURS = {SMC: "#4477aa", PT: "#228833", NUTS: "#888888", HYBRID: "#c1272d", CHAINED: "#ee7733"}
TRUSTED = 0.7
"""The largest k̂ with which weights are trusted."""
NAMES = {
    "tv": "total variation of the shares",
    "w2": "W₂",
    "log_z_error": "error of log Z",
    "energy_error": "error of ⟨E⟩",
    "virial_error": "error of the virial",
    "ks": "distance of the energies' distributions",
    "gradients": "gradients",
}
WORDS = {
    "gmm-40": "Forty Gaussians in the plane. Shares are those of the components.",
    "many-well-32": "Sixteen double wells beside sixteen Gaussians; the share is that of the right well, mean over "
    "the sixteen.",
    "dw-4": "Four particles in the plane; classes are numbers of short bonds.",
    "lj-13": "Thirteen Lennard-Jones particles in a trap. Its ⟨E⟩ is that of the reference.",
    "funnel-10": "Neal's funnel. No model is trained for it, so there is no hybrid.",
}


def versions() -> dict[str, str]:
    names = ("ornstein", "torch", "blackjax", "jax")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def short(number: float) -> str:
    """Gradients, 1.2e6."""
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def stated(measure: str) -> str:
    """The name of the standard error of a measure."""
    return measure.removesuffix("_error") + "_se"


# Tables -----------------------------------------------------------------------------------------------


def both(name: str, digits: int) -> Callable[[Row], str]:
    """A number and its standard error."""
    return lambda row: f"{row[name]:.{digits}f} ± {row[stated(name)]:.{digits}f}"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "n": lambda row: f"{row['n']:,}",
    "gradients": lambda row: short(row["gradients"]),
    "s": lambda row: f"{row['seconds']:.0f}",
    "shares": lambda row: f"{row['tv']:.4f}",
    "exact draws": lambda row: f"{row['tv_floor']:.4f}",
    "modes": lambda row: f"{row['modes']}",
    "W₂": lambda row: f"{row['w2']:.2f}",
    "Δ log Z": both("log_z_error", 3),
    "Δ⟨E⟩": both("energy_error", 3),
    "virial off": lambda row: f"{row['virial_error']:.1%} ± {row['virial_se']:.1%}",
    "KS of E": lambda row: f"{row['ks']:.3f}",
    "R̂": lambda row: f"{row['r_hat']:.3f}",
    "ESS": lambda row: f"{row['ess']:.0%}" if row["ess"] <= 1 else f"{row['ess']:,.0f}",
    "k̂": lambda row: f"{row['k_hat']:.2f}",
}


def cell(write: Callable[[Row], str], row: Row) -> str:
    try:
        return write(row)
    except KeyError:
        return "–"


def table(rows: Sequence[Row]) -> str:
    """One line a method; columns that nothing has are left out."""
    cells = {title: [cell(write, row) for row in rows] for title, write in COLUMNS.items()}
    kept = {title: column for title, column in cells.items() if set(column) != {"–"}}
    lines = [f"| method | {' | '.join(kept)} |", "|---" * (len(kept) + 1) + "|"]
    for k, row in enumerate(rows):
        name = f"{row['method']}, {row['size']}"
        name = f"**{name}**" if row["method"] in OURS else name
        lines.append(f"| {name} | {' | '.join(column[k] for column in kept.values())} |")
    return "\n".join(lines)


def section(name: str, rows: Sequence[Row]) -> str:
    """What is said of one system."""
    about, whole = rows[-1], [row for row in rows if row.get("whole")]
    floors = about["floors"]
    compared = f"Two sets of right draws: W₂ {floors['w2']:.2f}, KS {floors['ks']:.3f}."
    right = "" if about["exact"] else f" No exact draws are known: W₂ and KS are to ours, {about['reference']}."
    training = {row["method"]: row for row in rows if "training" in row}.get(HYBRID)
    cost = (
        f" Training took {short(training['training'])} evaluations ({training['rounds']} rounds)." if training else ""
    )
    says = [f"- {row['method']}, {row['size']}: {row['verdict']}." for row in whole if row.get("verdict")]
    parts = [f"## {name}", WORDS[name] + " " + compared + right + cost, table(whole), "\n".join(says)]
    return "\n\n".join(part for part in parts if part)


def blind(row: Row) -> str:
    """What became of the proposals that lack half the modes."""
    return (
        f"n = {row['n']:,}: k̂ {row['k_hat']:.2f}, ESS {row['ess']:.0%}, log Z of the weights against "
        f"{row['log_z_check']:.3f} ± {row['log_z_check_se']:.3f} of the independent population. The hybrid says: "
        f"“{row['verdict']}”. Shares of its samples are off by {row['tv']:.3f} ({row['tv_floor']:.3f} expected of "
        f"exact draws; .5 of the draws themselves), with {row['modes']} of 40 modes; log Z is off by "
        f"{row['log_z_error']:.3f}."
    )


# Goals ------------------------------------------------------------------------------------------------


def held(rows: Sequence[Row], name: str) -> Iterator[tuple[str, Row, float, bool]]:
    """(measure, line, goal, whether it is met) of the largest hybrid of a system; the virial of all its chains."""
    last = [row for row in rows if row.get("method") == HYBRID]
    if not last:
        return
    chained = [row for row in rows if row.get("method") == CHAINED]
    for measure, goal in SETTINGS[name].goals.items():
        row = (chained or last)[-1] if measure in ("virial_error", "ks") else last[-1]
        yield measure, row, goal, row[measure] <= goal


def goals(rows: Sequence[Row], name: str, met: bool) -> Iterator[str]:
    """What is met, or what is not, in words."""
    for measure, row, goal, good in held(rows, name):
        if good == met:
            said = f" ± {row[stated(measure)]:.2g}" if stated(measure) in row else ""
            value = short(row[measure]) if measure == "gradients" else f"{row[measure]:.4g}{said}"
            yield f"- {name}, {row['method']}, {row['size']}: {NAMES[measure]} {value}, goal {goal:g}."
    gates = [row for row in rows if row.get("method") in OURS]
    wrong = [row for row in gates if not row["passed"] or row["k_hat"] >= TRUSTED]
    for row in wrong if not met else []:
        yield f"- {name}, {row['method']}, {row['size']}: k̂ {row['k_hat']:.2f}; {row['verdict']}."


# The page ---------------------------------------------------------------------------------------------


def by_system(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {name: found for name in SETTINGS if (found := [row for row in rows if row["system"] == name])}


def page(rows: Sequence[Row]) -> str:
    """docs/energies.md."""
    systems, abouts = by_system(rows), [row for row in rows if "versions" in row]
    lost = [blind(row) for row in rows if row.get("method") == BLIND]
    met, missed = (
        [line for name, found in systems.items() for line in goals(found, name, good)] for good in (True, False)
    )
    return TEXT.format(
        minutes=sum(row["seconds"] for row in abouts) / 60,
        versions=", ".join(f"{name} {number}" for name, number in abouts[-1]["versions"].items()),
        sections="\n\n".join(section(name, found) for name, found in systems.items()),
        blind="\n".join(lost) or "Not run.",
        met="\n".join(met) or "- Nothing.",
        missed="\n".join(missed) or "- Nothing.",
    )


TEXT = """\
# Boltzmann distributions, side by side

Written by `benchmarks/energies.py`; do not edit. Made by

    make bench-env && .bench-env/bin/python benchmarks/energies.py

on one thread in {minutes:.0f} minutes, with {versions}.

![Error against gradients](energies.svg)

Error against the gradients of the energy that were used, of every method at several sizes or after parts of its chains.
Dotted: what exact draws would have, at the largest size shown. Hollow: the hybrid with its training counted.

- *annealed SMC*: `anneal` from wide noise, as it comes; the number is that of particles.
- *parallel tempering*: `Tempering` of HMC in `chains.run`, on a path from wide noise.
- *NUTS*: blackjax, adapted chain by chain (Stan's windows, diagonal mass), from the same wide noise. Particles are
  given to it in coordinates without translation. Its seconds are without compiling, which takes about ten.
- *hybrid*: `hybrid(model, energy, n)`: draws of the model, weighed with their exact density, moved, and doubted.

*shares*: total variation between the shares of modes or classes and the exact ones, beside what n exact draws would
have. *W₂*: exact 2-Wasserstein distance of 1,000 samples to 1,000 right ones, symmetries not taken out. *KS of E*:
largest difference between the distribution functions of E, of up to 5,000 samples. *virial*: ⟨x · ∇E⟩ against its exact
value. *ESS*: of the hybrid the share of its draws that the weights leave; of chains that of log p, in draws.
*gradients*: of the energy, sample by sample, warm-up included and training not; values without gradient are in the
results. Errors after ± are standard errors as each method can state them; chains that miss modes state too small ones.
Times are from a machine that was shared.

{sections}

## A model that has lost half the modes

Draws of an exact mixture of the first 20 of gmm-40's 40 components, given to the hybrid: its weights cannot see what is
missing. {blind}

## Goals met

{met}

## Where we miss

{missed}
"""


# The plot ---------------------------------------------------------------------------------------------


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
    axes.grid(alpha=0.25)


def _floor(name: str, rows: Sequence[Row], error: str) -> float:
    largest = max(row["n"] for row in rows if row.get("method") in COLOURS)
    floor = share_floor(named(name), largest) if error == "tv" else None
    return rows[-1]["floors"]["ks"] if floor is None else floor
