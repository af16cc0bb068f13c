"""Chapters to one self-contained HTML page: pictures are inside it, nothing is fetched."""

import re
from collections.abc import Sequence

from ..escaping import document, html, phrases
from ..tasks.figures import Chapter, Figure, Interactive, Metric
from .cards import card_table

_STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #1c2430; max-width: 60rem; margin: 3rem auto; padding: 0 1.2rem }
h1 { font-weight: 650; letter-spacing: -.02em }
h2 { margin-top: 3rem; border-top: 1px solid #d8dde4; padding-top: 1.4rem }
figure { margin: 1.4rem 0 }
figcaption { color: #5b6675; font-size: .88rem; margin-top: .4rem }
img { max-width: 100%; height: auto }
table { border-collapse: collapse; font-size: .92rem; margin: 1rem 0 }
td, th { padding: .4rem .9rem .4rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e6e9ee }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
code { background: #f3f5f8; border-radius: 4px; padding: .1rem .35rem }
.wall { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem; margin: 1.4rem 0 }
.wall img { width: 100%; height: 9rem; object-fit: cover; object-position: left top; border-radius: 6px }
.notice { background: #fdf3dc; border-radius: 6px; padding: .6rem .9rem }
.scroll { overflow-x: auto }
nav ol { columns: 18rem; font-size: .92rem }
.coming { color: #9aa3ae }
@media (max-width: 40rem) {
  body { margin: 1rem auto; padding: 0 .8rem }
  td, th { padding-right: .5rem; overflow-wrap: anywhere }
}
footer { color: #5b6675; font-size: .85rem; margin-top: 4rem }
"""


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
    return document(title, whole, _STYLE, _scripts(chapters), reload)


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
    return f'<h2 id="{html(name)}">{html(chapter.title)}</h2><p>{phrases(chapter.text)}</p>{figures}{table}'


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
