"""Poisson's equation, solved in every way: one table.

    .bench-env/bin/python -m benchmarks.poisson [--quick] [--only BLOCK] [--report]

    full source      ρ is known: sine transforms, AMG-CG, LU, a Fourier neural operator (FNO), our learned solver
    123 sensors      of ρ (forward) or φ (inverse), 64²: kriging, the best linear estimator, our priors
    500 sensors      128², beside what others have published

What has learnt is judged on sources of every kind. See poisson_cases.py for what is measured; poisson_peers.py,
poisson_fno.py, poisson_solver.py and poisson_ours.py for how. Our models that are not there are left out by name; FNO
is what results/poisson_fno.jsonl holds of its trainings.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path

import torch
from benchmarks import poisson_fno as fno
from benchmarks import poisson_ours as ours
from benchmarks import poisson_peers as peers
from benchmarks import poisson_sensors as sensors
from benchmarks import poisson_solver as solver
from benchmarks.poisson_cases import KINDS, Row, table

from ornstein.denoisers.base import NeuralDenoiser
from ornstein.errors import InputError
from ornstein.tasks import runs

RESULTS = Path(__file__).parent / "results" / "poisson.jsonl"
FULL = "full source, 64²"
SENSORS = {
    "source": ("forward, 123 sensors of ρ, 64²", "forward, 500 sensors of ρ, 128²"),
    "solution": ("inverse, 123 sensors of φ, 64²", "inverse, 500 sensors of φ, 128²"),
}
"""Blocks by what is measured, and how much of it."""
PUBLISHED = {"FunDPS": (1.99, 20.47), "DiffusionPDE": (4.88, 21.10), "FNO": (101.0, 233.0)}
"""Per cent, forward and inverse, on data of the same law: Huang et al. 2024 and Yao et al. 2025. Not run here."""


def main() -> None:
    options = _options()
    if options.report:
        print(table(stored()))
        print(f"\n**posteriors beside what is best without a network**\n\n{sensors.table(sensors.stored())}")
        return
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for block, made in blocks(options).items():
        if options.only in block:
            for row in made():
                rows.append(row)
                print(json.dumps(shortened(row), ensure_ascii=False), flush=True)
    print(table(rows))
    if not options.quick:
        store(rows, options.threads)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=64, help="that the error is the mean over")
    parser.add_argument("--cases", type=int, default=16, help="fields that posteriors are judged on; a fourth at 128²")
    parser.add_argument("--steps", type=int, default=15, help="of a posterior's samples")
    parser.add_argument("--models", type=Path, help="folder of runs that are not shipped")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="blocks with this in their names; the stored rows of others stay")
    parser.add_argument("--quick", action="store_true", help="few sources; writes no file")
    parser.add_argument("--report", action="store_true", help="print the table of the stored results")
    options = parser.parse_args()
    if options.quick:
        options.sources, options.cases, options.steps = 4, 2, 4
    return options


# The blocks -------------------------------------------------------------------------------------------


def blocks(options: argparse.Namespace) -> dict[str, Callable[[], Iterator[Row]]]:
    """What makes the rows of each block."""
    made: dict[str, Callable[[], Iterator[Row]]] = {FULL: partial(full, options)}
    made |= {names[0]: partial(partial_knowledge, options, names[0], what) for what, names in SENSORS.items()}
    return made | {names[1]: partial(large, options, names[1], what) for what, names in SENSORS.items()}


def full(options: argparse.Namespace, side: int = 64) -> Iterator[Row]:
    """Solvers that need no learning, then what has learnt from some kind of sources, on every kind."""
    n = options.sources
    for kind in KINDS:
        yield from peers.rows(kind, side, n, FULL)
        yield from fno.rows(kind, side, n, FULL)
        for model in model_of("solver", options.models):
            every = (*solver.surrogate_errors(model, kind, n, members=4), *solver.rows(model, kind, n))
            yield from {row.method: row for row in every}.values()


def partial_knowledge(options: argparse.Namespace, block: str, what: str) -> Iterator[Row]:
    """What is best without a network, then our priors, on the kind that they have learnt and on the other."""
    for kind in ("gaussian", "discs"):
        cases = ours.Cases.of(kind, options.cases, 64, 123, what)
        yield ours.gaussian(cases, block) if kind == "gaussian" else ours.linear(cases, kind, block)
        for learnt in ("gaussian", "discs"):
            for model in model_of(learnt, options.models):
                yield ours.ours(model, learnt, cases, kind, block, options.steps)


def large(options: argparse.Namespace, block: str, what: str) -> Iterator[Row]:
    """The published setting, its exact answer and ours, on Gaussian sources."""
    for method, errors in PUBLISHED.items():
        name, value = ("error", errors[0]) if what == "source" else ("error_source", errors[1])
        yield replace(Row(block, method, "gaussian", published=True), **{name: value / 100})
    cases = ours.Cases.of("gaussian", max(2, options.cases // 4), 128, 500, what)
    yield ours.gaussian(cases, block)
    for model in model_of("gaussian-128", options.models):
        yield ours.ours(model, "gaussian", cases, "gaussian", block, options.steps)


def model_of(name: str, folder: Path | None) -> list[NeuralDenoiser]:
    """The run in a folder, or the shipped model; none, and a line that says so, where there is neither."""
    where: Path | str = folder / name if folder and (folder / name).exists() else f"poisson/{name}"
    try:
        return [runs.load(where)]
    except InputError as error:
        print(f"left out: {error}", file=sys.stderr)
        return []


# What is stored ---------------------------------------------------------------------------------------


def shortened(row: Row) -> dict[str, object]:
    """A row as a line of JSON: without what is not known, four digits."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in asdict(row).items()
        if value is not None and value is not False and value != ""
    }


def stored(path: Path = RESULTS) -> list[Row]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [Row(**line) for line in lines if "block" in line]


def store(rows: Sequence[Row], threads: int, path: Path = RESULTS) -> None:
    """Replaces the stored rows of the blocks that were run."""
    run = {row.block for row in rows}
    kept = [row for row in stored(path) if row.block not in run]
    about = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": threads,
    }
    path.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [*map(shortened, [*kept, *rows]), about])
    )


if __name__ == "__main__":
    main()
