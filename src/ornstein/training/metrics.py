"""metrics.jsonl: one JSON object a line, appended as a training goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import require, write_text

METRICS = "metrics.jsonl"

_ROW = {"step": int, "loss": float, "validation?": float}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that a crash cut short is left out.

    InputError, naming the line, if one is not a row of metrics.
    """
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a file of metrics ({error})") from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            raise InputError(f"{path}: line {number} is not valid JSON, expected a row of metrics") from None
        rows.append(require(row, _ROW, f"{path}: line {number}"))
    return rows


def append_row(folder: Path, row: Mapping[str, Any]) -> None:
    """Writes one more row."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps(row) + "\n")


def forget_after(folder: Path, step: int) -> None:
    """Drops what a crash left behind: metrics of steps that are undone, files that were never finished."""
    for unfinished in folder.glob(".*.tmp"):
        unfinished.unlink()
    path = folder / METRICS
    if path.exists():
        write_text(path, "".join(f"{json.dumps(row)}\n" for row in read_metrics(path) if row["step"] <= step))
