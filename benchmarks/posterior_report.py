"""The page about benchmarks/posterior.py's rows: tables, plot and words."""

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2

from posterior_worlds import SETTINGS

Row = dict[str, Any]
Setting = tuple[int, int]
FLOOR = "exact draws"
STEPS = {8: 100, 80: 300}
"""Steps of our particles by dimension, chosen on the tuning problems."""
GOALS = {(8, 1): 0.45, (8, 2): 0.10, (8, 4): 0.10, (80, 1): 0.45, (80, 2): 0.25, (80, 4): 0.25}
FAMILIES = ("MMPS", "TDS", "DPS")
BINS, LEVEL = 10, 0.01


def particles(steps: int) -> str:
    """The name of our particles with so many steps."""
    return f"particles, {steps} steps"


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in ("ornstein", "torch", "azula")}}


# Numbers ----------------------------------------------------------------------------------------------


class Table:
    """The rows by method and setting."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: dict[tuple[str, str, Setting], list[Row]] = {}
        for row in rows:
            if "method" in row:
                self.rows.setdefault((row["library"], row["method"], (row["d"], row["m"])), []).append(row)
        self.settings = [setting for setting in SETTINGS if ("exact", FLOOR, setting) in self.rows]

    def methods(self, library: str) -> list[str]:
        return list(dict.fromkeys(name for found, name, _ in self.rows if found == library))

    def values(self, library: str, method: str, setting: Setting, name: str = "w1") -> np.ndarray:
        """One number a problem; NaN where the method failed."""
        return np.array([row.get(name, np.nan) for row in self.rows[library, method, setting]])

    def w1(self, library: str, method: str, setting: Setting) -> float:
        return float(self.values(library, method, setting).mean())

    def ours(self, setting: Setting) -> float:
        return self.w1("ornstein", particles(STEPS[setting[0]]), setting)

    def floor(self, setting: Setting) -> float:
        return self.w1("exact", FLOOR, setting)

    def best(self, setting: Setting, family: str = "") -> tuple[float, str]:
        """azula's configuration of the smallest mean distance, chosen afterwards."""
        names = [name for name in self.methods("azula") if name.startswith(family)]
        scores = [(self.w1("azula", name, setting), name) for name in names]
        return min(score for score in scores if np.isfinite(score[0]))

    def z(self, setting: Setting, steps: int) -> np.ndarray:
        """The error of the log evidence in units of the error that was stated."""
        name = particles(steps)
        error = self.values("ornstein", name, setting, "evidence_error")
        return self.values("ornstein", name, setting, "evidence_off") / error


def pvalues(row: Row) -> list[float]:
    """χ² of the ranks in equal bins against uniform, along each direction."""
    found = []
    for ranks in row["ranks"]:
        counts = np.histogram(ranks, BINS, (-0.5, 99.5))[0]
        found.append(float(chi2.sf(((counts - counts.mean()) ** 2 / counts.mean()).sum(), BINS - 1)))
    return found


def scatter(count: int) -> tuple[float, float]:
    """Between what the RMS of so many standard normal numbers falls 19 times of 20."""
    low, high = (np.sqrt(chi2.ppf(level, count) / count) for level in (0.025, 0.975))
    return float(low), float(high)


# Tables -----------------------------------------------------------------------------------------------


def heading(*columns: str) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]


def distance_table(table: Table) -> list[str]:
    """Ours, the floor, and the best configuration of each of azula's methods."""
    lines = heading("d, m", FLOOR, "goal", "particles", "off", *FAMILIES, "particles / azula's best", "closer on")
    for setting in table.settings:
        least, name = table.best(setting)
        mine = table.values("ornstein", particles(STEPS[setting[0]]), setting)
        closer = (mine < table.values("azula", name, setting)).sum()
        cells = [
            f"{setting[0]}, {setting[1]}",
            f"{table.floor(setting):.2f}",
            f"{GOALS[setting]:.2f}",
            f"**{mine.mean():.2f}** ± {mine.std(ddof=1) / len(mine) ** 0.5:.2f}",
            f"{table.w1('ornstein', 'off, 50 steps', setting):.2f}",
            *(f"{table.best(setting, family)[0]:.2f}" for family in FAMILIES),
            f"{mine.mean() / least:.2f} ({name})",
            f"{closer} of {len(mine)}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def method_table(table: Table) -> list[str]:
    """Every configuration: mean distance, evaluations, median seconds in the smallest and the largest setting."""
    settings = [f"{d}, {m}" for d, m in table.settings]
    seconds = [f"s at {settings[0]}", f"s at {settings[-1]}"]
    lines = heading("library", "configuration", *settings, "NFE", *seconds)
    for library in ("ornstein", "azula"):
        for name in table.methods(library):
            cells = [f"{table.w1(library, name, setting):.2f}" for setting in table.settings]
            nfe = max(table.values(library, name, setting, "nfe").max() for setting in table.settings)
            times = [np.median(table.values(library, name, table.settings[k], "seconds")) for k in (0, -1)]
            cells += [f"{nfe:.0f}", *(f"{time:.1f}" for time in times)]
            lines.append(f"| {library} | {name} | {' | '.join(cells)} |")
    return lines


def evidence_table(table: Table) -> list[str]:
    """Evidence against the exact one, and effective sample sizes."""
    lines = heading("d, m", "steps", "smallest ESS", "off, nats", "stated error", "mean z", "RMS z")
    for setting in table.settings:
        for steps in sorted(set(STEPS.values())):
            found = [table.values("ornstein", particles(steps), setting, name) for name in ("ess", "evidence_off")]
            error = table.values("ornstein", particles(steps), setting, "evidence_error")
            z, used = table.z(setting, steps), "**" * (steps == STEPS[setting[0]])
            lines.append(
                f"| {setting[0]}, {setting[1]} | {used}{steps}{used} | {found[0].mean():.0%} | {found[1].mean():+.3f} "
                f"| {error.mean():.3f} | {z.mean():+.2f} | {np.square(z).mean() ** 0.5:.2f} |"
            )
    return lines


def worst(rows: Iterable[Row]) -> str:
    """The evidence that is farthest off."""
    row = max((r for r in rows if "evidence_off" in r), key=lambda r: abs(r["evidence_off"]))
    return (
        f"{row['evidence_off']:+.2f} ± {row['evidence_error']:.2f} with an ESS down to {row['ess']:.0%}, "
        f"({row['d']}, {row['m']}), problem {row['seed']}, {row['method']}"
    )


def calibration_table(rows: Iterable[Row]) -> list[str]:
    """Ranks in tenths, all directions together, and the p-value of each."""
    lines = heading("draws", "ranks in tenths, all directions together", "p along each direction")
    for row in rows:
        counts = np.histogram(row["ranks"], BINS, (-0.5, 99.5))[0]
        cells = " ".join(map(str, counts)), ", ".join(f"{p:.2g}" for p in pvalues(row))
        lines.append(f"| {row['calibration']} | {' | '.join(cells)} |")
    return lines


def missed(table: Table, calibration: Iterable[Row]) -> list[str]:
    """Every goal that is not reached, in words."""
    lines = []
    for setting in table.settings:
        mine, floor, (least, name) = table.ours(setting), table.floor(setting), table.best(setting)
        if mine > GOALS[setting]:
            lines.append(
                f"- {setting}: {mine:.3f} where {GOALS[setting]} was the goal; exact draws are {floor:.3f} apart."
            )
        if mine > least / 2:
            lines.append(f"- {setting}: {mine / least:.2f} × azula's best ({name}), where half was the goal.")
        z = table.z(setting, STEPS[setting[0]])
        rms, high = float(np.square(z).mean() ** 0.5), scatter(len(z))[1]
        if rms > high:
            lines.append(
                f"- {setting}: the log evidence is off by {rms:.2f} × its stated error, {z.mean():+.2f} × on average."
            )
    for row in calibration:
        uniform, wanted = min(pvalues(row)) > LEVEL / len(row["ranks"]), row["calibration"] == "particles"
        if uniform != wanted and row["calibration"] != "off":
            lines.append(f"- Calibration: the ranks of {row['calibration']} are {'' if uniform else 'not '}uniform.")
    return lines or ["- Nowhere in these tables."]


# The page ---------------------------------------------------------------------------------------------


def page(rows: Sequence[Row]) -> str:
    """docs/posterior.md."""
    table, about = Table(rows), rows[-1]
    calibration = [row for row in rows if "calibration" in row]
    problems = sorted({row["seed"] for row in rows if "method" in row})
    failed = sorted({(row["library"], row["method"], row["failed"]) for row in rows if "failed" in row})
    low, high = scatter(len(problems))
    return TEXT.format(
        minutes=about["seconds"] / 60,
        versions=", ".join(f"{name} {number}" for name, number in about["versions"].items()),
        first=problems[0],
        last=problems[-1],
        distance="\n".join(distance_table(table)),
        methods="\n".join(method_table(table)),
        low=low,
        high=high,
        evidence="\n".join(evidence_table(table)),
        worst=worst(rows),
        measured=calibration[0]["seed"],
        times=len(calibration[0]["ranks"][0]),
        directions=len(calibration[0]["ranks"]),
        calibration="\n".join(calibration_table(calibration)),
        missed="\n".join(missed(table, calibration)),
        failed="\n".join(f"- {library} {name}: {what}" for library, name, what in failed) or "- None.",
    )


TEXT = """\
# Exact posteriors, side by side

Written by `benchmarks/posterior.py`; do not edit. Made by

    make bench-env && .bench-env/bin/python benchmarks/posterior.py

on one thread in {minutes:.0f} minutes, with {versions}.

The prior is a mixture of 25 Gaussians in d dimensions, of which m noisy combinations are measured (MCGdiff, Cardoso et
al. 2023), so that the posterior is known. Problems {first} – {last} of each size; settings were chosen on problems
0 – 9. Every method gets the same exact E[x₀ | x_t] and nothing else, and draws 1000 samples.

## Distance to the posterior

![Distance to the posterior](posterior.svg)

Mean Wasserstein-1 distance along 100 random directions to 1000 exact draws, mean over the problems (± its standard
error). *exact draws*: what other exact draws are from the same ones; nothing can be told apart below it. *particles*:

    ornstein.sample(denoiser & Measurement(y, Matrix(A), sigma), n=1000, steps=…, exact="particles")

with 1000 particles and 100 steps in 8 dimensions, 300 in 80. *off* is the same without particles. Of each of azula's
methods the best configuration counts, chosen afterwards for each size; *closer on*: the problems on which particles
come closer than the one in brackets, azula's best on the mean.

{distance}

All configurations, with the most evaluations of the denoiser a sample and the median time of 1000 samples on a machine
that was shared. Gradients of the denoiser, which every method takes, are not among the evaluations.

{methods}

deepinv is not compared: it does not import without torchvision, which would replace the pinned torch.

## Evidence

log p(y) as the particles tell it, less the exact one, beside the error that they state; z is their ratio. Honest errors
have an RMS of z between {low:.2f} and {high:.2f} 19 times of 20. *smallest ESS* is the smallest effective sample size
of a run, as a share of the particles, mean over the problems. Bold: the steps of the first table.

{evidence}

Two things are not in the stated error: the bias of too few steps, which more steps take away (80 dimensions), and
weights with heavy tails, which leave the evidence low, often with a small ESS on the way (8, 4). The farthest of all
runs is off by {worst}.

## Calibration

x* is drawn from the prior and measured as in the (8, 2) problem {measured}, {times} times; the rank of x* among 99
draws, along each of {directions} random directions, is uniform if the draws follow the posterior (simulation-based
calibration, Talts et al. 2018). *particles*: 500, in 100 steps. *off*: guided by the moment-matched likelihood, without
particles. *plug-in*: guided by the likelihood of the mean alone, as if there were no doubt.

{calibration}

## Where we miss

The goals: the distances of the first table, half of azula's best, errors of the evidence as stated (RMS of z up to
{high:.2f}), uniform ranks of the particles and not of the plug-in.

{missed}

## Configurations that failed

{failed}
"""


def plot(rows: Sequence[Row], path: Path) -> None:
    """Every problem a dot, the mean a bar: ours, the floor, azula's best of each kind."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ornstein"
    from matplotlib import pyplot

    table = Table(rows)
    figure, grid = pyplot.subplots(1, len(table.settings), figsize=(11, 3), sharey=True, constrained_layout=True)
    for axes, setting in zip(grid, table.settings, strict=True):
        shown = [("exact", FLOOR, "exact", "#888888")]
        shown += [("ornstein", particles(STEPS[setting[0]]), "particles", "#c1272d")]
        shown += [("azula", table.best(setting, family)[1], family, "#4477aa") for family in FAMILIES]
        for place, (library, name, _, colour) in enumerate(shown):
            values = table.values(library, name, setting)
            offsets = np.linspace(-0.25, 0.25, len(values))
            axes.plot(place + offsets, values, "o", ms=2, color=colour, mec="none", alpha=0.5)
            axes.plot([place - 0.35, place + 0.35], [values.mean()] * 2, color=colour, lw=2.5)
        axes.set_xticks(range(len(shown)), [label for _, _, label, _ in shown], rotation=90, fontsize=8)
        axes.set_title(f"d = {setting[0]}, m = {setting[1]}", fontsize=9)
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.grid(alpha=0.25, axis="y")
    grid[0].set_ylabel("Wasserstein-1")
    figure.savefig(path, metadata={"Date": None})
