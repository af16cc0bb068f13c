"""A trust report on a terminal of up to 100 columns, and as a page that prints on one sheet of A4."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...escaping import document, html, printable
from ..terminal import cells, console
from .statements import Statement, TrustReport, mark, paragraphs, sentence

WIDEST = 100  # columns
_BASIS = 22  # columns of what a statement rests on

_STYLE = """
@page { size: A4; margin: 14mm 16mm }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2430; max-width: 46rem; margin: 2.4rem auto; padding: 0 1.2rem }
h1 { font-size: 1.5rem; font-weight: 650; letter-spacing: -.02em; margin: 0 0 .2rem }
h2 { font-size: 1rem; margin: 1.3rem 0 .3rem; border-top: 1px solid #d8dde4; padding-top: .7rem }
p { margin: .2rem 0 }
.made, small { color: #5b6675 }
.verdict { font-weight: 600; border-left: 4px solid #3a7d5c; background: #f1f7f4 }
.verdict { padding: .45rem .8rem; margin: .9rem 0 }
.verdict.fails { border-color: #b3372f; background: #fbeeed }
ul { list-style: none; margin: 0; padding: 0 }
li { padding: .16rem 0 .16rem 1.3rem; text-indent: -1.3rem }
li span { display: inline-block; width: 1.3rem; text-indent: 0 }
li.holds span { color: #3a7d5c } li.fails span, li.fails { color: #b3372f }
li, .verdict, p { overflow-wrap: anywhere }
small { font-size: .8em; white-space: nowrap }
code { background: #f3f5f8; border-radius: 4px; padding: .1rem .3rem; font-size: .85em }
@media print {
  body { font-size: 8.8pt; line-height: 1.3; margin: 0; padding: 0; max-width: none }
  h2 { margin-top: .8rem; padding-top: .4rem }
}
"""


def page(report: TrustReport) -> str:
    """The whole page, which fetches nothing and runs nothing."""
    return document(f"Trust report: {report.title}", body(report), _STYLE)


def body(report: TrustReport) -> str:
    """What stands on the page, in HTML."""
    command = f"<p><code>{html(report.command)}</code></p>" if report.command else ""
    sections = "".join(f"<h2>{html(name)}</h2>{paragraphs(said)}" for name, said in report.sections.items())
    return (
        f'<h1>Trust report: {html(report.title)}</h1><p class="made">{html(report.made)}</p>{command}'
        f'<p class="verdict{"" if report.trusted else " fails"}">{html(sentence(report.verdict))}</p>{sections}'
    )


def printed(report: TrustReport) -> Group:
    """What rich should print of it."""
    style = "bold" if report.trusted else "bold red"
    head = [
        Text(printable(f"Trust report: {report.title}"), style="bold"),
        Text(printable(report.made), style="dim"),
        *([Text(printable(report.command), style="dim")] if report.command else []),
        Text(),
        Text(printable(sentence(report.verdict)), style=style),
    ]
    width = min(WIDEST, console.width)
    sections = [part for name, said in report.sections.items() for part in (Text(f"\n{name}", "bold"), _list(said))]
    frame = Table.grid()
    frame.width = width
    frame.add_column(overflow="fold")
    for part in (*head, *sections):
        frame.add_row(part)
    return Group(frame)


def _list(statements: Sequence[Statement]) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(width=_BASIS, style="dim", overflow="fold")
    for one in statements:
        table.add_row(*cells(mark(one), one.text, one.basis), style="red" if one.holds is False else "")
    return table
