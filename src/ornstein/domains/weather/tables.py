"""Scores as they are read: tables in Markdown, numbers with their errors, and which method is best."""

from collections.abc import Mapping, Sequence

import numpy as np

from ...calibration import Estimate
from .metrics import Layout, Scores


def table(found: Mapping[str, Scores], layout: Layout | None = None) -> str:
    """In Markdown: a row for each variable, lead and method; the lowest of each proper score is bold.

    Args:
        found: scores by method, ours first.
        layout: of the fields, whose units are said.
    """
    cells = sorted((cell for scores in found.values() for cell in scores.values()), key=len, reverse=True)
    columns = list(dict.fromkeys(name for cell in cells for name in cell))
    lines = [_row(["variable", "lead", "method", *columns]), "|" + "---|" * (3 + len(columns))]
    for cell in dict.fromkeys(cell for scores in found.values() for cell in scores):
        rows = {method: scores[cell] for method, scores in found.items() if cell in scores}
        best = {name: lowest({method: row.get(name) for method, row in rows.items()}) for name in columns}
        unit = "" if layout is None else layout.units.get(cell[0], "")
        label = f"{cell[0]} ({unit})" if unit else cell[0]
        for method, row in rows.items():
            shown = [number(row.get(name), digits=2) for name in columns]
            bold = [f"**{text}**" if method == best[name] else text for name, text in zip(columns, shown, strict=True)]
            lines.append(_row([label, cell[1], method, *bold]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def lowest(values: Mapping[str, Estimate | None]) -> str | None:
    """The method with the lowest of a proper score; None where there is none, or it is no proper score.

    Args:
        values: by method.
    """
    there = {method: one.value for method, one in values.items() if one is not None and one.better == "lower"}
    return min(there, key=lambda method: there[method]) if there else None


def number(one: Estimate | None, digits: int) -> str:
    """A number with its error; empty where there is none.

    Args:
        one: the estimate.
        digits: of the error.
    """
    if one is None:
        return ""
    if one.name == "rank p":
        return f"{one.value:.2g}"
    places = 3 if not one.error else int(np.clip(digits - 1 - np.floor(np.log10(one.error)), 0, 6))
    return f"{one.value:.{places}f}" + (f" ± {one.error:.{places}f}" if one.error else "")
