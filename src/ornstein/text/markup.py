"""Small pieces of HTML for notebooks: verdicts and tables that look right on a light and on a dark page.

A notebook's page is not ours. Every style stands at its own element, so that nothing else is restyled, and colours are
the page's own: text is inherited, lines are a mix of it. All texts are escaped; only `boxed` takes HTML.
"""

from collections.abc import Iterable, Sequence

from .escaping import html

_LINE = "color-mix(in srgb,currentColor 20%,transparent)"
_CELL = f"padding:.25em 1.2em .25em 0;border:0;border-bottom:1px solid {_LINE};text-align:left;vertical-align:top"
_COLOURS = {True: "#20a394", False: "#c94329", None: "#808a96"}  # each seen on white and on black: test_style.py


def boxed(*parts: str) -> str:
    """Parts one below the other, readable at any width.

    Args:
        parts: HTML.
    """
    return f'<div style="max-width:64em;line-height:1.45;overflow-wrap:break-word">{"".join(parts)}</div>'


def heading(text: object) -> str:
    """The name of what is shown."""
    return f'<div style="font-weight:650;font-size:1.1em;margin:.2em 0 .4em">{html(text)}</div>'


def verdict(text: object, holds: bool | None) -> str:
    """What a reader must know first.

    Args:
        text: plain text.
        holds: whether it is good news; None if it is neither.
    """
    colour = _COLOURS[holds]
    style = f"border-left:.3em solid {colour};padding:.35em .8em;margin:.3em 0 .6em;font-weight:600"
    sign = {True: "✓ ", False: "✗ ", None: ""}[holds]
    return f'<div style="{style};background:color-mix(in srgb,{colour} 12%,transparent)">{sign}{html(text)}</div>'


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """A table of names and values."""
    return _table(_row(_cell(name, "opacity:.75;white-space:nowrap"), _cell(value)) for name, value in rows)


def columns(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with heads."""
    first = _row(*(f'<th scope="col" style="{_CELL};font-weight:600;opacity:.75">{html(head)}</th>' for head in heads))
    return _table([first, *(_row(*map(_cell, row)) for row in rows)])


def line(text: object) -> str:
    """A line of code."""
    mono = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    return f'<div style="margin:.4em 0"><code style="font-family:{mono};font-size:.92em">{html(text)}</code></div>'


def _table(rows: Iterable[str]) -> str:
    style = "border-collapse:collapse;border:0;margin:.3em 0;font-size:.95em"
    return f'<div style="overflow-x:auto"><table style="{style}">{"".join(rows)}</table></div>'


def _row(*cells: str) -> str:
    return f'<tr style="background:none">{"".join(cells)}</tr>'


def _cell(value: object, more: str = "") -> str:
    return f'<td style="{_CELL};font-variant-numeric:tabular-nums;{more}">{html(value)}</td>'
