"""RNA inverse folding beside RNAinverse: the same targets, the same seconds, one process on one core.

python -m benchmarks.inverse_folding --targets FILE [--seconds 60] [--seed 0] [--out FILE.jsonl]

The targets are a TSV with the columns puzzle, name, structure, such as Eterna100 (Lee et al. 2014; V2, for ViennaRNA 2:
Koodli et al. 2021), which is not part of this repository. A target is solved if ViennaRNA's structure of least free
energy, by its default parameters, is the target itself.

RNAinverse (Hofacker et al. 1994) starts anew from random sequences until its time is up, and leaves a start as soon as
it cannot succeed any more, as the program does that is asked to go on until it has a solution. It cannot be interrupted
from Python, so that it runs in a process of its own.

Every measurement is appended to the file at once; what is in it already, at the same seconds and seed, is not repeated.
"""

import argparse
import csv
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import RNA
import torch

from ornstein.domains.sequences.folding_draft import BASES, apart, design
from ornstein.domains.sequences.scores import defect
from ornstein.keys import Keys

Row = dict[str, Any]
SHOWN = ((0, 50), (50, 100), (100, 200), (200, 10_000))
"""Ranges of length in the table."""


def ours(target: str, seconds: float, seed: int) -> str:
    return design(target, Keys.of(seed, 1), folds=10**9, seconds=seconds).sequence


def rnainverse(target: str, seconds: float, seed: int) -> str:
    """The sequence that came closest; a random one if no start came to an end."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_restarts, args=(target, seed, sender), daemon=True)
    end, best = time.monotonic() + seconds, (inf, _random(target, seed, 0))
    process.start()
    while best[0] > 0 and receiver.poll(max(0.0, end - time.monotonic())):
        best = min(best, receiver.recv())
    process.kill()
    process.join()
    return best[1]


def _restarts(target: str, seed: int, sender: Connection) -> None:
    RNA.cvar.give_up = 1
    for start in range(10**9):
        text, _ = RNA.inverse_fold(_random(target, seed, start), target)
        sender.send((apart(RNA.fold(text)[0], target), text))


def _random(target: str, seed: int, start: int) -> str:
    numbers = Keys.of(seed, 1).fold(start).uniform(len(target))[0]
    return "".join(BASES[int(4 * u)] for u in numbers.tolist())


METHODS: dict[str, Callable[[str, float, int], str]] = {"ornstein": ours, "RNAinverse": rnainverse}


def measured(puzzle: Row, method: str, seconds: float, seed: int) -> Row:
    target = puzzle["structure"]
    start = time.monotonic()
    sequence = METHODS[method](target, seconds, seed)
    spent = time.monotonic() - start
    distance = apart(RNA.fold(sequence)[0], target)
    return {
        "puzzle": puzzle["puzzle"],
        "name": puzzle["name"],
        "length": len(target),
        "method": method,
        "solved": distance == 0,
        "seconds": round(spent, 3),
        "distance": distance,
        "defect": round(defect(sequence, target), 5),
        "limit": seconds,
        "seed": seed,
    }


def identity(row: Row) -> tuple[Any, ...]:
    return row["puzzle"], row["method"], row["limit"], row["seed"]


def table(rows: Sequence[Row]) -> str:
    """Solved of all, by method and length."""
    names = [f"{low}–{high - 1}" for low, high in SHOWN[:-1]] + [f"{SHOWN[-1][0]}–"]
    lines = [f"{'solved of':12}{'all':>10}" + "".join(f"{name:>10}" for name in names) + f"{'defect':>10}"]
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        if mine:
            groups = [[row for row in mine if low <= row["length"] < high] for low, high in ((0, 10_000), *SHOWN)]
            counts = [f"{sum(row['solved'] for row in group)}/{len(group)}" for group in groups]
            mean = sum(row["defect"] for row in mine) / len(mine)
            lines.append(f"{method:12}" + "".join(f"{count:>10}" for count in counts) + f"{mean:>10.3f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("inverse_folding.jsonl"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    with args.targets.open(newline="") as file:
        puzzles = list(csv.DictReader(file, delimiter="\t"))
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    done = {identity(row) for row in rows}
    for method in args.methods:
        for puzzle in puzzles:
            if (puzzle["puzzle"], method, args.seconds, args.seed) in done:
                continue
            row = measured(puzzle, method, args.seconds, args.seed)
            rows.append(row)
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(
                f"{method:12}{row['puzzle']:>4} {row['length']:4} {row['solved']!s:6}{row['seconds']:8.2f} s",
                flush=True,
            )
    print(table([row for row in rows if (row["limit"], row["seed"]) == (args.seconds, args.seed)]))


if __name__ == "__main__":
    main()
