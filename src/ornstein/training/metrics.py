"""metrics.jsonl: one JSON object a line, appended as a training goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import MB, NUMBER, Within, number, own, parse_json, plain, require, text, write_text

METRICS = "metrics.jsonl"

_VALUE = (*NUMBER, None)
_ROW = {str: _VALUE, "step": Within(int, 0, 1e15), "loss": _VALUE}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that a crash cut short is left out.

    InputError, naming the line, if one is not a row of metrics.
    """
    *lines, last = text(own(path.parent, path.name), 128 * MB, "the metrics of a training").split("\n")
    if last and _is_whole(last):
        lines.append(last)
    return [_row(line, f"{path}: line {k}") for k, line in enumerate(lines, 1)]


def _is_whole(line: str) -> bool:
    try:
        parse_json(line, "", "")
    except InputError:
        return False
    return True


def _row(line: str, where: str) -> dict[str, Any]:
    row = require(parse_json(line, where, "a row of metrics"), _ROW, where)
    return {name: value if name == "step" else number(value) for name, value in row.items()}


def append_row(folder: Path, row: Mapping[str, Any]) -> None:
    """Writes one more row."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps(plain(row)) + "\n")


def forget_after(folder: Path, step: int) -> None:
    """Drops what a crash left behind: metrics of steps that are undone, files that were never finished."""
    for unfinished in folder.glob(".*.tmp"):
        unfinished.unlink()
    path = folder / METRICS
    if path.exists():
        write_text(path, "".join(f"{json.dumps(plain(row))}\n" for row in read_metrics(path) if row["step"] <= step))
