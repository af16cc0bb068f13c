"""Tables and numbers of the page of costs, and the rows that they are of."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

NOWHERE = "Not measured on this checkout yet."


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown; words where there is no line."""
    body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *body]) if body else NOWHERE


def short(value: float) -> str:
    """Three digits at most, without powers of ten."""
    if value == 0:
        return "0"
    return (
        f"{value:,.0f}" if abs(value) >= 100 else f"{float(f'{value:.2g}'):.12g}" if abs(value) >= 1e-4 else "< 0.0001"
    )


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; none if there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
