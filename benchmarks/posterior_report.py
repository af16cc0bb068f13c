"""The page about benchmarks/posterior.py's rows: tables, plot and words."""

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2

import posterior_honesty as honesty
from posterior_worlds import SETTINGS

Row = dict[str, Any]
Setting = tuple[int, int]
FLOOR = "exact draws"
STEPS = 100
"""Steps of our particles: the default."""
GOALS = {(8, 1): 0.45, (8, 2): 0.10, (8, 4): 0.10, (80, 1): 0.45, (80, 2): 0.25, (80, 4): 0.25}
FAMILIES = ("MMPS", "TDS", "DPS")
BINS, LEVEL = 10, 0.01


def particles(steps: int) -> str:
    """The name of our particles with so many steps."""
    return f"particles, {steps} steps"


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in ("ornstein", "torch", "azula")}}


def _version(name: str) -> str:
    """Of a package, or "absent": only the peers need azula."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


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
        return self.w1("ornstein", particles(STEPS), setting)

    def floor(self, setting: Setting) -> float:
        return self.w1("exact", FLOOR, setting)

    def best(self, setting: Setting, family: str = "") -> tuple[float, str]:
        """azula's configuration of the smallest mean distance, chosen afterwards."""
        names = [name for name in self.methods("azula") if name.startswith(family)]
        scores = [(self.w1("azula", name, setting), name) for name in names]
        return min(score for score in scores if np.isfinite(score[0]))


def pvalues(row: Row) -> list[float]:
    """χ² of the ranks in equal bins against uniform, along each direction."""
    found = []
    for ranks in row["ranks"]:
        counts = np.histogram(ranks, BINS, (-0.5, 99.5))[0]
        found.append(float(chi2.sf(((counts - counts.mean()) ** 2 / counts.mean()).sum(), BINS - 1)))
    return found


# Tables -----------------------------------------------------------------------------------------------


def heading(*columns: str) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]


def distance_table(table: Table) -> list[str]:
    """Ours, the floor, and the best configuration of each of azula's methods."""
    lines = heading("d, m", FLOOR, "goal", "particles", "off", *FAMILIES, "particles / azula's best", "closer on")
    for setting in table.settings:
        least, name = table.best(setting)
        mine = table.values("ornstein", particles(STEPS), setting)
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


def honesty_table(rows: Sequence[Row], settings: Sequence[Setting]) -> list[str]:
    """What particles say of themselves against what is so."""
    lines = heading(
        "d, m",
        "log evidence off, nats",
        "stated error",
        "RMS z",
        "evidence within 1.96",
        "means within 1.96",
        "if particles were counted",
        "90 % intervals hold",
        "those of exact draws",
        "could be missing",
    )
    return lines + [f"| {' | '.join(cells)} |" for cells in honesty.table(rows, settings)]


def calibration_table(rows: Iterable[Row]) -> list[str]:
    """Ranks in tenths, all directions together, and the p-value of each."""
    lines = heading("draws", "ranks in tenths, all directions together", "p along each direction")
    for row in rows:
        counts = np.histogram(row["ranks"], BINS, (-0.5, 99.5))[0]
        cells = " ".join(map(str, counts)), ", ".join(f"{p:.2g}" for p in pvalues(row))
        lines.append(f"| {row['calibration']} | {' | '.join(cells)} |")
    return lines


def missed(table: Table, calibration: Iterable[Row], rows: Sequence[Row]) -> list[str]:
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
    for row in calibration:
        uniform, wanted = min(pvalues(row)) > LEVEL / len(row["ranks"]), row["calibration"] == "particles"
        if uniform != wanted and row["calibration"] != "off":
            lines.append(f"- Calibration: the ranks of {row['calibration']} are {'' if uniform else 'not '}uniform.")
    lines += honesty.missed(rows, table.settings)
    return lines or ["- Nowhere in these tables."]


# The page ---------------------------------------------------------------------------------------------


def page(rows: Sequence[Row]) -> str:
    """docs/posterior.md."""
    table, runs = Table(rows), [row for row in rows if "minutes" in row]
    calibration = [row for row in rows if "calibration" in row]
    problems = sorted({row["seed"] for row in rows if "method" in row})
    judged = sorted({row["seed"] for row in rows if row.get("honesty")})
    failed = sorted({(row["library"], row["method"], row["failed"]) for row in rows if "failed" in row})
    return TEXT.format(
        runs="\n".join(f"- {told(run)}" for run in runs),
        steps=STEPS,
        first=problems[0],
        last=problems[-1],
        distance="\n".join(distance_table(table)),
        methods="\n".join(method_table(table)),
        judged=len(judged),
        first_judged=judged[0],
        last_judged=judged[-1],
        directions_judged=honesty.DIRECTIONS,
        honesty="\n".join(honesty_table(rows, table.settings)),
        measured=calibration[0]["seed"],
        times=len(calibration[0]["ranks"][0]),
        directions=len(calibration[0]["ranks"]),
        calibration="\n".join(calibration_table(calibration)),
        missed="\n".join(missed(table, calibration, rows)),
        failed="\n".join(f"- {library} {name}: {what}" for library, name, what in failed) or "- None.",
    )


def told(run: Row) -> str:
    """When a part was run, in words."""
    others = [f"{name} {run[name]}" for name in ("python", "ornstein", "torch", "azula") if run[name] != "absent"]
    return f"{run['part']}: {run['minutes']:.0f} minutes, {', '.join(others)}"


TEXT = """\
# Exact posteriors, side by side

Written by `benchmarks/posterior.py`; do not edit. Made by

    make bench-env && .bench-env/bin/python benchmarks/posterior.py

on one thread of a machine that was shared, its parts in so many minutes of one core:

{runs}

The prior is a mixture of 25 Gaussians in d dimensions, of which m noisy combinations are measured (MCGdiff, Cardoso et
al. 2023), so that the posterior is known. Problems {first} – {last} of each size; settings were chosen on problems
0 – 9. Every method gets the same exact E[x₀ | x_t] and nothing else, and draws 1000 samples.

## Distance to the posterior

![Distance to the posterior](posterior.svg)

Mean Wasserstein-1 distance along 100 random directions to 1000 exact draws, mean over the problems (± its standard
error). *exact draws*: what other exact draws are from the same ones; nothing can be told apart below it. *particles*:

    ornstein.sample(denoiser & Measurement(y, Matrix(A), sigma), n=1000, steps=…, exact="particles")

with 1000 particles and {steps} steps, the default. *off* is the same without particles. Of each of azula's methods the
best configuration counts, chosen afterwards for each size; *closer on*: the problems on which particles come closer
than the one in brackets, azula's best on the mean.

{distance}

All configurations, with the most evaluations of the denoiser a sample and the median time of 1000 samples on one core.
Gradients of the denoiser, which every method takes, are not among the evaluations.

{methods}

deepinv is not compared: it does not import without torchvision, which would replace the pinned torch.

## What they say of their own errors

{judged} further problems of each size ({first_judged} – {last_judged}), one run of each, and what
`samples.exactness`, `samples.mean_and_error` and `samples.interval` say of it. z is what the log evidence is off in
units of its stated error; of honest errors 95 % lie within 1.96, a little more or less by chance (± its standard error
over the problems). *means*: along {directions_judged} random directions of each problem; *if particles were counted*:
the same with σ/√n for the error, as if no particle had relatives. *hold*: the exact posterior mass between the ends of
the interval, mean over directions and problems. *could be missing*: the largest share of the posterior's mass that the
families may have missed at 95 %, median.

{honesty}

Where a chain knows a mean alone (80 dimensions), its steps look back to the one before, and the last step is a small
one. *plain chain*: it does neither, at the same number of steps, on a fifth of the problems: it loses variance, so that
its intervals are too narrow, and the bias of its evidence stands in no stated error. Nor does what is left of that bias
where the steps are too few.

## Calibration

x* is drawn from the prior and measured as in the (8, 2) problem {measured}, {times} times; the rank of x* among 99
draws, along each of {directions} random directions, is uniform if the draws follow the posterior (simulation-based
calibration, Talts et al. 2018). *particles*: 500, in 100 steps. *off*: guided by the moment-matched likelihood, without
particles. *plug-in*: guided by the likelihood of the mean alone, as if there were no doubt.

{calibration}

## Where we miss

The goals: the distances of the first table, half of azula's best, 95 % of the evidences within 1.96 of their stated
errors (listed where fewer are than chance allows 19 times of 20), intervals that hold what those of exact draws hold
(within two standard errors of the difference), uniform ranks of the particles and not of the plug-in.

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
        shown += [("ornstein", particles(STEPS), "particles", "#c1272d")]
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
