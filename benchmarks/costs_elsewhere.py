"""Sections of the page of costs that other measurements fill: workers.py, and what was measured on a GPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from costs_tables import lines_of, short, table

Row = Mapping[str, Any]


def workers_section(results: Path) -> str:
    """How seconds fall with workers, and what kills leave, from the rows of workers.py; the last of each are told.

    Args:
        results: the folder of the results, where workers.jsonl and workers_killed.jsonl may be.
    """
    rows = {(row["model"], row["n"], row["workers"]): row for row in lines_of(results / "workers.jsonl")}
    killed = [_killed(row) for row in lines_of(results / "workers_killed.jsonl")[-1:]]
    lines = []
    for (model, n, workers), row in rows.items():
        one = rows.get((model, n, 1))
        speed = None if one is None or not workers else one["seconds"] / row["seconds"]
        who = ["none, one process" if not workers else f"{workers}", f"{row['cores']}"]
        seconds = [short(row["seconds"]), short(row["command"])]
        worth = ["–"] if speed is None else [f"{speed:.2f}"]
        lines.append([f"`{model}`", f"{n:,}", *who, *seconds, *worth, "yes" if row["same"] else "NO"])
    return "\n\n".join([table(_WORKERS, lines), *killed])


_WORKERS = ("model", "samples", "workers", "cores", "drawing, s", "command, s", "times as fast as 1", "same bytes")


def _killed(row: Row) -> str:
    """What kills leave, in words."""
    kills = " and ".join(f"{count} of the {who}s" for who, count in row["kills"].items())
    same = "the same bytes as without" if row["same"] else "NOT the same bytes as without"
    return (
        f"After {sum(row['kills'].values())} kills at random moments ({kills}) while {row['n']:,} samples of "
        f"`{row['model']}` were drawn, resumed each time: {row['lost']} shards lost, {same}."
    )


def gpu_section(file: Path) -> str:
    """What was measured on a GPU, with where it is from."""
    lines = []
    for row in lines_of(file):
        each = 1e6 * row["seconds"] / (row["count"] * (row["calls"] or 1))
        unit = f"{row['unit']} and call" if row["calls"] else row["unit"]
        lines.append([row["device"], row["what"], short(row["seconds"]), f"{short(each)} a {unit}", row["source"]])
    return table(("device", "what", "s", "µs", "source"), lines)
