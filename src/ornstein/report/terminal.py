"""Tables for a terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ..tasks.figures import Metric
from ..text.escaping import printable


def metric_table(metrics: Sequence[Metric], title: str) -> Table:
    """The scores beside their yardsticks."""
    table = Table(title=Text(printable(title)), title_justify="left")
    for column in ("score", "value", "yardstick", "what it means"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for metric in metrics:
        row = f"{metric.name} ({metric.better} is better)", metric.measured, metric.yardstick, metric.meaning
        table.add_row(*cells(*row))
    return table


def pairs_table(rows: Sequence[tuple[str, str]], title: str) -> Table:
    """Two columns, name and value."""
    table = Table(title=Text(printable(title)), title_justify="left", show_header=False)
    for name, value in rows:
        table.add_row(*cells(name, value))
    return table


def cells(*row: str) -> list[Text]:
    """A row of a table whose texts may be somebody else's: shown as they are, not as markup."""
    return [Text(printable(text)) for text in row]
