"""What could be missing, as it is said, beside what is: proposals that lack part of a density, over a hundred seeds.

    .venv/bin/python -m benchmarks.missing

Writes benchmarks/results/missing.jsonl and docs/missing.md. What is tried is in tests/lacking.py.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

import missing_report as reporting  # noqa: E402
from bounds import Trial, alone, tried  # noqa: E402
from lacking import CASES, Case  # noqa: E402

Row = dict[str, Any]
RESULTS = ROOT / "benchmarks" / "results" / "missing.jsonl"
N, SEEDS, QUICK = 400, 100, 5
SLOW, FEWER = ("pair-32", "funnel-10"), 4
"""Cases of ten times as many seconds, of which a fourth of the runs is made."""
SIGNIFICANT = 4
"""Digits of a number in the results."""

_BEGIN = time.perf_counter()


def log(text: str) -> None:
    print(f"[{time.perf_counter() - _BEGIN:4.0f} s] {text}", flush=True)


def rounded(row: Row) -> Row:
    """Numbers of few digits; what is not a number left out, as JSON has none."""
    short = {name: float(f"{value:.{SIGNIFICANT}g}") for name, value in row.items() if isinstance(value, float)}
    return {name: value for name, value in (row | short).items() if value == value}


def summary(trials: Sequence[Trial]) -> Row:
    """What is kept of the runs of a case: how often bounds hold, and medians."""
    columns = {name: np.array([getattr(trial, name) for trial in trials], dtype=float) for name in vars(trials[0])}
    middle = {
        name: float(np.median(columns[name])) for name in ("missing", "sources", "evaluations", "seconds", "high")
    }
    row: Row = {"runs": len(trials), "passed": int(columns["passed"].sum()), "exact": int(columns["exact"].sum())}
    for name in trials[0].holds:
        missed = [k for k, trial in enumerate(trials) if not trial.holds[name]]
        row |= {f"{name} held": len(trials) - len(missed), f"{name} missed": missed}
    row |= middle | {"missing_most": float(columns["missing"].max()), "unseen_most": float(columns["unseen"].max())}
    return row | {"off": float(columns["log_z"].mean()), "scatter": float(columns["log_z"].std())}


def row_of(name: str, case: Case, method: str, trial: Callable[[Case, int, int], Trial], seeds: int) -> Row:
    """One line of the results."""
    began = time.perf_counter()
    row = summary([trial(case, N, seed) for seed in range(seeds)])
    held = ", ".join(f"{key} {value}" for key, value in row.items() if key.endswith("held"))
    log(f"{name}: {method}: of {seeds} {held}; missing {row['missing']:.3f}; {time.perf_counter() - began:.0f} s")
    about = {"case": name, "kind": case.kind, "part": case.right, "method": method, "n": N}
    return rounded(about | row | {"total": time.perf_counter() - began, "engine": engine()})


def engine() -> str:
    """The commit of what is measured."""
    return subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()


def rows_of(name: str, seeds: int) -> list[Row]:
    """Of one case: ours, and the twin that takes the weights at their word."""
    case = CASES[name]()
    seeds = max(QUICK, seeds // FEWER) if any(slow in name for slow in SLOW) else seeds
    methods = ((reporting.OURS, tried), (reporting.ALONE, alone))
    return [row_of(name, case, method, trial, seeds) for method, trial in methods]


def stored() -> list[Row]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def written(rows: Sequence[Row]) -> list[Row]:
    """All stored rows, of which those given anew are replaced."""
    new = {(row["case"], row["method"]) for row in rows}
    kept = [row for row in stored() if (row["case"], row["method"]) not in new and row["case"] in CASES]
    kept = sorted([*kept, *rows], key=lambda row: list(CASES).index(row["case"]))
    RESULTS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
    return kept


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", metavar="TEXT", help="cases of names with this, whose stored results are replaced")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of every case")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} runs of every case; writes no files")
    parser.add_argument("--report", action="store_true", help="only write the page again, from the stored results")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    rows: list[Row] = []
    for name in [] if chosen.report else [name for name in CASES if (chosen.only or "") in name]:
        new = rows_of(name, QUICK if chosen.quick else chosen.seeds)
        rows = [*rows, *new] if chosen.quick else written(new)
    text = reporting.page(rows if chosen.quick else written([]))
    print(text)
    if not chosen.quick:
        (ROOT / "docs" / "missing.md").write_text(text)


if __name__ == "__main__":
    main()
