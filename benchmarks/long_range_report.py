"""Tables, plot and summary of long_range.py, from its rows: python -m benchmarks.long_range_report ROWS..."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ornstein.files import write_json, write_text
from ornstein.report import plots

DOCS = Path("docs/long-range.md")
SUMMARY = Path("src/ornstein/domains/sequences/families/long_range.json")
NAMES = ("left-to-right", "two orders", "masked", "hybrid", "uniform")
Row = dict[str, Any]


def said(rows: Sequence[Row], key: str, digits: int = 3) -> str:
    """Mean ± standard deviation over the seeds."""
    values = [row[key] for row in rows if key in row]
    if not values:
        return "–"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in rows)


def chosen(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def unconditional(rows: Sequence[Row], steps: int) -> str:
    lines = []
    for arm in NAMES:
        here = chosen(rows, arm=arm, task="unconditional", steps=steps)
        for way in dict.fromkeys(row["way"] for row in here):
            some = chosen(here, way=way)
            numbers = [said(some, key) for key in ("pairs", "near", "middle", "far", "agreement")]
            lines.append([arm, way, said(some, "calls", 0), said(some, "arithmetic", 0), said(some, "bits"), *numbers])
    for arm in ("data", "nearest training record", "profile HMM", "independent columns"):
        some = chosen(rows, arm=arm)
        numbers = [said(some, key) for key in ("pairs", "near", "middle", "far", "agreement")]
        lines.append([arm, "", "", "", "", *numbers])
    head = ("arm", "sampler", "calls", "letters", "bits", "all pairs", "near", "middle", "far", "pair agreement")
    return table(head, lines)


def tasks(rows: Sequence[Row], steps: int) -> str:
    lines = []
    for arm in NAMES:
        suffix, scattered, repair, reward = (
            chosen(rows, arm=arm, task=task, steps=steps)
            for task in ("suffix fixed", "scattered fixed", "repair", "reward")
        )
        told = [said(some, key) for some in (suffix, scattered) for key in ("pairs", "half known")]
        mended = [said(repair, "far"), said(repair, "kept"), said(reward, "reward", 1), said(reward, "pairs")]
        lines.append([arm, *told, *mended])
    head = (
        "arm", "suffix: all pairs", "half known", "scattered: all pairs", "half known", "repair: far pairs", "kept",
        "reward: G–C pairs", "its pairs",
    )  # fmt: skip
    return table(head, lines)


def main() -> None:
    rows = [json.loads(line) for path in sys.argv[1:] for line in Path(path).read_text().splitlines()]
    steps = max(row["steps"] for row in rows if "steps" in row)
    few = min(row["steps"] for row in rows if "steps" in row)
    seeds = sorted({row["seed"] for row in rows if row.get("steps") == steps})
    before = mean(row["before"] for row in rows if "before" in row)
    text = f"""# Long-range pairs: who keeps them?

Written by `benchmarks/long_range_report.py`; do not edit. Made by

    make bench-sequences

20,000 samples of Rfam's SAM riboswitch (27 base pairs, L = 108), one transformer for all arms ({steps:,} steps of 16
sequences, seeds {", ".join(map(str, seeds))}; the learning rate chosen for each arm). These are models of their own:
the shipped `sequences/riboswitch` knows 3,400 records, and what it gives on the command line is in
[sequences.md](sequences.md). The corrector takes back letters below a probability of .02, that of the command line
below .01. Validity is the share of pairs
that can form: *near* |i − j| ≤ 20, *middle* ≤ 90, *far* beyond, the seven pairs around the molecule. *letters*: forward
passes over one letter a sequence, with a cache for autoregression. *bits* a column of held-out records: exact for
autoregression, bounds for the others. ± is the standard deviation over seeds; one seed's 128 samples alone have a
standard error of about .006 for all pairs.

## Unconditional

{unconditional(rows, steps)}

## After {few:,} steps (one seed)

{unconditional(rows, few)}

## Told something

The second half of held-out records is given, or every second letter at random; *half known* are the pairs of which one
letter was given. Repair: three of the seven far pairs were broken (validity {before:.3f} before), nobody says which;
*kept* is the share of letters as they were. Reward: half a nat for every G–C pair, counted by a program without
gradient, by 128 particles.

{tasks(rows, steps)}
"""
    write_text(DOCS, text)
    first = {arm: chosen(rows, arm=arm, task="unconditional", steps=steps) for arm in NAMES}
    summary = {
        arm: {
            "unconditional": mean(row["pairs"] for row in some if row["way"] == some[0]["way"]),
            **{
                task: mean(row["pairs"] for row in chosen(rows, arm=arm, task=task, steps=steps))
                for task in ("suffix fixed", "scattered fixed")
            },
        }
        for arm, some in first.items()
        if some and chosen(rows, arm=arm, task="scattered fixed", steps=steps)
    }
    write_json(SUMMARY, summary)
    heights = {arm: list(values.values()) for arm, values in summary.items()}
    labels = ["unconditional", "suffix fixed", "scattered fixed"]
    DOCS.with_suffix(".svg").write_bytes(plots.bars(heights, labels, "pairs that can form"))
    print(text)


if __name__ == "__main__":
    main()
