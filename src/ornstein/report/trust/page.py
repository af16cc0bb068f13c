"""A trust report on a terminal of up to 100 columns, and as a page that prints on one sheet of A4."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...events.progress import console
from ...text.escaping import document, html, printable
from ..page import verdict
from ..style import style
from ..terminal import cells
from .statements import Statement, TrustReport, mark, paragraphs, sentence

WIDEST = 100  # columns
_BASIS = 22  # columns of what a statement rests on


def page(report: TrustReport) -> str:
    """The whole page, which fetches nothing and runs nothing."""
    return document(f"Trust report: {report.title}", body(report), style(), kind="trust")


def body(report: TrustReport) -> str:
    """What stands on the page, in HTML."""
    command = f"<p><code>{html(report.command)}</code></p>" if report.command else ""
    sections = "".join(f"<h2>{html(name)}</h2>{paragraphs(said)}" for name, said in report.sections.items())
    return (
        f'<h1>Trust report: {html(report.title)}</h1><p class="made">{html(report.made)}</p>{command}'
        f"{verdict(sentence(report.verdict), report.trusted)}{sections}"
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
