"""Chapters to one self-contained HTML page: pictures are inside it, nothing is fetched."""

import re
from collections.abc import Sequence

from ..tasks.figures import Chapter, Figure, Interactive, Metric
from ..text.escaping import document, html, phrases
from .cards import card_table
from .style import style


def page(
    title: str,
    lead: str,
    chapters: Sequence[Chapter],
    footer: str = "",
    top: str = "",
    names: Sequence[str] = (),
    reload: int | None = None,
) -> str:
    """The whole page. `lead`, chapter texts and the footer are HTML of plain tags; titles and captions are plain text.

    Args:
        title: heading.
        chapters: parts of the page.
        top: HTML between the lead and the first chapter.
        names: of the chapters' places, to which links on the page may lead.
        reload: seconds after which a page that is not complete loads itself anew.
    """
    body = top + "".join(map(_chapter, chapters, names or [f"chapter-{k}" for k in range(len(chapters))]))
    whole = f"<h1>{html(title)}</h1><p>{phrases(lead)}</p>{body}<footer>{phrases(footer)}</footer>"
    return document(title, whole, style(), _scripts(chapters), reload, "report")


def coded(text: str) -> str:
    """Plain text as HTML, in which what stands between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html(text))


def _scripts(chapters: Sequence[Chapter]) -> list[str]:
    """What interactive figures run, each script once however many figures need it."""
    figures = [figure for chapter in chapters for figure in chapter.figures]
    return list(dict.fromkeys(figure.script for figure in figures if isinstance(figure, Interactive)))


def _chapter(chapter: Chapter, name: str) -> str:
    figures = "".join(_figure(figure) for figure in chapter.figures)
    table = _scores(chapter.metrics) if chapter.card is None else card_table(chapter.metrics, chapter.card)
    head = f'<h2 id="{html(name)}">{html(chapter.title)}</h2><p>{phrases(chapter.text)}</p>'
    return head + _facts(chapter.facts) + figures + table


def verdict(text: str, holds: bool | None) -> str:
    """What a reader must know first, as a paragraph.

    Args:
        text: plain text.
        holds: whether it is good news; None if it is neither.
    """
    kind = {True: "verdict holds", False: "verdict fails", None: "verdict"}[holds]
    return f'<p class="{kind}">{html(text)}</p>'


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    cells = (f"<tr><td>{html(name)}</td><td>{html(value)}</td></tr>" for name, value in rows)
    return f'<table class="pairs">{"".join(cells)}</table>' if rows else ""


def _figure(figure: Figure | Interactive) -> str:
    return figure.bare() if isinstance(figure, Interactive) else figure.html()


def _scores(metrics: Sequence[Metric]) -> str:
    if not metrics:
        return ""
    head = "<tr><th>Score</th><th>Value</th><th>Yardstick</th><th>What it means</th></tr>"
    return f'<div class="scroll"><table>{head}{"".join(_row(score) for score in metrics)}</table></div>'


def _row(metric: Metric) -> str:
    cells = [
        f"<td>{html(metric.name)}<br><small>{html(metric.better)} is better</small></td>",
        f'<td class="number">{html(metric.measured)}</td>',
        f'<td class="number">{html(metric.yardstick)}</td>',
        f"<td>{html(metric.meaning)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"
