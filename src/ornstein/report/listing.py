"""`ornstein models`: what is shipped, domain by domain, on a terminal of any width."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..tasks import runs
from ..tasks.registry import broken, task
from ..tasks.scores import latest_metrics


def shipped_table() -> Group:
    """A table a domain: each model, its size, its first score and the yardstick; then domains that cannot be loaded."""
    shipped = runs.shipped()
    tables = [_of_domain(domain, shipped) for domain in dict.fromkeys(name.partition("/")[0] for name in shipped)]
    missing = [Text(f"not installed: {error}\n") for error in broken().values()]
    more = Text("ornstein show MODEL tells more; ornstein sample MODEL --help what to ask for")
    return Group(*tables, *missing, more)


def _of_domain(domain: str, shipped: Mapping[str, Path]) -> Table:
    table = Table(title=Text(f"{domain}: {task(domain).summary}"), title_justify="left", box=None, show_header=False)
    table.title_style = "bold"
    table.add_column("model", no_wrap=True, min_width=22)
    table.add_column("size", no_wrap=True, justify="right")
    table.add_column("measured", overflow="fold")
    for name, folder in shipped.items():
        if name.partition("/")[0] == domain:
            size = (folder / runs.MODEL).stat().st_size / 1e6
            table.add_row(Text(name), f"{size:.1f} MB", Text(_measured(folder)))
    table.add_row()
    return table


def _measured(folder: Path) -> str:
    """The first score of the card, and what it is compared with."""
    first = next(iter(latest_metrics(folder)), None)
    if first is None:
        return ""
    beside = "" if first.reference is None else f" ({first.reference_name}: {first.reference:.3g})"
    return f"{first.name} {first.value:.3g}{beside}"
