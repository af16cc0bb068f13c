"""RNA inverse folding: our design beside RNAinverse, the same time for both, on a file of target structures.

python -m benchmarks.inverse_folding --targets FILE [--seconds 60] [--only our|RNAinverse] [--out FILE]

FILE is a table with the columns puzzle, name and structure (dot-bracket), such as Eterna100 V2's. Solved means that
ViennaRNA's structure of least free energy is the target. RNAinverse (Hofacker et al. 1994) starts again from random
sequences until its time is over. Each method has one core. Rows that are in the output already are not measured again.
"""

import argparse
import csv
import json
import time
from multiprocessing import Process, Queue
from pathlib import Path
from typing import Any

from ornstein import Keys
from ornstein.domains.sequences.folding import design, folded, pairs_of
from ornstein.domains.sequences.folding.structures import apart, vienna
from ornstein.errors import InputError

METHODS = ("ours", "RNAinverse")


def ours(target: str, seed: int, seconds: float) -> str:
    try:
        return design(target, Keys.of(seed, 1), 10**9, seconds).sequence
    except InputError:  # no sequence can have it
        return "A" * len(target)


def rna_inverse(target: str, seed: int, seconds: float) -> str:
    """Its best sequence; in a process of its own, because one start can outlast the time."""
    found: Any = Queue()
    child = Process(target=_starts, args=(target, seed, found))
    child.start()
    child.join(seconds)
    if child.is_alive():
        child.kill()
        child.join()
    best = "A" * len(target)
    while not found.empty():
        best = found.get()
    return best


def _starts(target: str, seed: int, found: Any) -> None:
    """Random starts until one is solved; every improvement is told."""
    pairs, least = {i: j for i, j in pairs_of(target)}, float("inf")  # noqa: C416
    for start in range(1_000_000):
        numbers = (Keys.of(seed, 1).fold(start).uniform(len(target))[0] * 6).long().tolist()
        letters = ["ACGUAC"[k] for k in numbers]
        for i, j in pairs.items():
            letters[i], letters[j] = ("GC", "CG", "AU", "UA", "GU", "UG")[numbers[i]]
        sequence, distance = vienna().inverse_fold("".join(letters), target)
        if distance < least:
            least = distance
            found.put(sequence.upper())
        if distance == 0:
            return


def measured(row: dict[str, str], method: str, seed: int, seconds: float) -> dict[str, Any]:
    target, started = row["structure"], time.perf_counter()
    sequence = (ours if method == "ours" else rna_inverse)(target, seed, seconds)
    elapsed = time.perf_counter() - started
    compound = vienna().fold_compound(sequence)
    compound.pf()
    distance = apart(folded(sequence, target)[0], target)
    return {
        "puzzle": row["puzzle"],
        "name": row["name"],
        "length": len(target),
        "method": method,
        "limit": seconds,
        "solved": distance == 0,
        "seconds": round(elapsed, 2),
        "distance": distance,
        "defect": round(compound.ensemble_defect(target), 4),
        "sequence": sequence,
    }


def summary(rows: list[dict[str, Any]]) -> str:
    lines = ["| method | solved | of | median seconds, solved | mean ensemble defect |", "|---|---|---|---|---|"]
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        if not mine:
            continue
        times = sorted(row["seconds"] for row in mine if row["solved"]) or [float("nan")]
        defect = sum(row["defect"] for row in mine) / len(mine)
        solved = sum(row["solved"] for row in mine)
        lines.append(f"| {method} | {solved} | {len(mine)} | {times[len(times) // 2]} | {defect:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=METHODS, nargs="+", default=METHODS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/inverse_folding.jsonl"))
    options = parser.parse_args()
    with options.targets.open() as file:
        targets = list(csv.DictReader(file, delimiter="\t"))
    text = options.out.read_text() if options.out.exists() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    done = {(row["puzzle"], row["method"]) for row in rows}
    with options.out.open("a") as file:
        for target in targets:
            for method in options.only:
                if (target["puzzle"], method) not in done:
                    rows.append(measured(target, method, options.seed, options.seconds))
                    print(json.dumps(rows[-1]), file=file, flush=True)
    print(summary(rows))


if __name__ == "__main__":
    main()
