"""Poisson's equation, solved in every way: one table.

    .bench-env/bin/python -m benchmarks.poisson [--quick] [--only BLOCK] [--report]

    full source      ρ is known: sine transforms, AMG-CG, LU, a Fourier neural operator (FNO), our learned solver
    3 % sensors      123 of 64² values of ρ (forward) or φ (inverse) are known: kriging, our priors
    128²             500 sensors, beside what others have published

Each learned method is judged on the kind of sources that it has learnt from and on the other kind. See
poisson_cases.py for what is measured, poisson_peers.py, poisson_fno.py, poisson_solver.py and poisson_sensors.py for
how. Networks that are not there are left out by name: FNO is trained by benchmarks/poisson_fno.py.
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
from benchmarks import poisson_peers as peers
from benchmarks.poisson_cases import KINDS, LEARNT, TEST, Row, drawn, table

RESULTS = Path(__file__).parent / "results" / "poisson.jsonl"
FULL, FORWARD, INVERSE, LARGE = (
    "full source, 64²",
    "123 sensors of ρ, 64²",
    "123 sensors of φ, 64²",
    "500 sensors, 128²",
)

PUBLISHED = [
    Row(LARGE, f"{method}, {way}", "gaussian", error / 100, published=True)
    for method, errors in {
        "FunDPS": (1.99, 20.47),
        "DiffusionPDE": (4.88, 21.10),
        "FNO": (101.0, 233.0),
    }.items()
    for way, error in zip(("forward", "inverse"), errors, strict=True)
]
"""Yao et al. 2025 (FunDPS) and Huang et al. 2024 (DiffusionPDE), their own data of the same law; not run here."""


def main() -> None:
    options = _options()
    if options.report:
        print(table(stored()))
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
    parser.add_argument("--cases", type=int, default=32, help="sets of sensors that a posterior is judged on")
    parser.add_argument("--members", type=int, default=64, help="samples of each posterior")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="blocks with this in their names; the stored rows of others stay")
    parser.add_argument("--quick", action="store_true", help="few sources; writes no file")
    parser.add_argument("--report", action="store_true", help="print the table of the stored results")
    options = parser.parse_args()
    if options.quick:
        options.sources, options.cases, options.members = 4, 2, 8
    return options


# The blocks -------------------------------------------------------------------------------------------


def blocks(options: argparse.Namespace) -> dict[str, Callable[[], Iterator[Row]]]:
    """What makes the rows of each block."""
    return {FULL: partial(full, options.sources)}


def full(n: int, side: int = 64) -> Iterator[Row]:
    """Solvers that need no learning, then what has learnt from either kind of sources, on both."""
    for kind in KINDS:
        yield from peers.rows(kind, side, n, FULL)
        for learnt in LEARNT:
            yield from operators(learnt, kind, side, n)


def operators(learnt: str, kind: str, side: int, n: int) -> Iterator[Row]:
    """FNO, with what its guess is worth to conjugate gradients."""
    for name in fno.SIZES:
        where = fno.path(learnt, side, name)
        if not where.exists():
            print(f"left out: FNO ({name}), {where} is not there", file=sys.stderr)
            continue
        operator, facts = fno.load(where)
        rho, exact = drawn(kind, n, side, TEST)
        with torch.no_grad():
            inside = operator(rho)[:, 1:-1, 1:-1]
            row = Row(FULL, f"FNO, {name}", kind, learnt=learnt, **peers.timed(operator, rho))
            saved = peers.guess(side, rho[:8], inside[:8])
        yield replace(row, **peers.measured(operator(rho).detach(), rho, exact), note=told(facts, saved))


def told(facts: dict[str, object], saved: dict[str, float]) -> str:
    """The training, and iterations from a guess."""
    return (
        f"{facts['minutes']:g} min on {facts['device']}, {facts['seen']:,} sources; from its guess CG takes "
        f"{saved['cg']:g} iterations ({saved['cg_from_zero']:g} from zero), AMG-CG {saved['amg_cg']:g} "
        f"({saved['amg_cg_from_zero']:g})"
    )


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
