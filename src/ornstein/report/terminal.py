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
        yield Lines()
        return
    with _bar() as bar:
        job = bar.add_task("starting", total=None)
        yield lambda event: bar.update(job, completed=event.done, total=event.total, description=event.stage)


_TELLING = 0.005  # the least share of a work from which the rest can be told


class Lines:
    """An estimate once a little of long work is done, then a line now and then: neither silence nor a long log.

    Attributes:
        first: seconds of work after which there is an estimate.
        worth: seconds that must be left for it to be worth a line.
        every: seconds between lines.
    """

    def __init__(self, first: float = 2.0, worth: float = 10.0, every: float = 15.0) -> None:
        self.first, self.worth, self.every = first, worth, every
        self.begin()

    def begin(self) -> None:
        """What comes next is another work, which begins now."""
        self.started = time.monotonic()
        self.next, self.share = self.started + self.first, 0.0

    def __call__(self, event: Event) -> None:
        share = event.done / event.total if event.total else 1.0
        if share < self.share:
            self.begin()  # it is another work that this event is of
        self.share = share
        now = time.monotonic()
        if now < self.next or share < _TELLING:
            return
        left = (now - self.started) * (1 / share - 1)
        self.next = now + self.every
        if left >= self.worth or share == 1:
            told = f"{share:.0%}, about {_duration(left)} left" if share < 1 else "done"
            print(f"{event.stage}: {told}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """In the unit that a person would use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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
