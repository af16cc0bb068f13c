"""What a person sees while they wait: bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..config import TrainConfig
from ..escaping import printable
from ..events import Event
from ..tasks.figures import Metric

console = Console(soft_wrap=True)


@contextmanager
def training_progress(train: TrainConfig) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Shows the rows of a training run, against its steps or its minutes."""
    if not console.is_terminal:
        yield lambda row: print(_line(row), flush=True) if "validation" in row else None
        return
    with _bar() as bar:
        job = bar.add_task("training", total=train.minutes or train.steps)

        def show(row: dict[str, Any]) -> None:
            bar.update(job, completed=row.get("minutes", row["step"]), description=f"loss {row['loss']:.4f}")
            if "validation" in row:
                bar.console.print(_line(row))

        yield show


@contextmanager
def drawing_progress() -> Iterator[Callable[[Event], None]]:
    """Shows the events of any work: a bar on a terminal, elsewhere a line now and then."""
    if not console.is_terminal:
        yield _Lines()
        return
    with _bar() as bar:
        job = bar.add_task("starting", total=None)
        yield lambda event: bar.update(job, completed=event.done, total=event.total, description=event.stage)


class _Lines:
    """A line every quarter of a minute, so that a log of long work is neither silent nor long."""

    def __init__(self, every: float = 15.0) -> None:
        self.every, self.started = every, time.monotonic()
        self.next = self.started + every

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if now < self.next or not event.done:
            return
        self.next = now + self.every
        left = (now - self.started) * (event.total / event.done - 1)
        print(f"{event.stage}: {event.done / event.total:.0%}, about {left:.0f} s left", file=sys.stderr, flush=True)


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


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _line(row: dict[str, Any]) -> str:
    return (
        f"step {row['step']}  loss {row['loss']:.4f}  validation {row['validation']:.4f}  "
        f"{row['steps_per_second']:.1f} steps/s"
    )
