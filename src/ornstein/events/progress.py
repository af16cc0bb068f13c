"""What a person sees while they wait for a stream of events: a bar on a terminal or in a notebook, elsewhere lines.

A notebook's bar is one display of HTML that is written anew, at most four times a second: rich's own bars do not move
there without ipywidgets. A script sees nothing that it does not ask for.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..config import TrainConfig
from ..text.escaping import html, printable
from .stream import Event, Result, Stream, finished

console = Console(soft_wrap=True)


def watched(stream: Stream[Result], callback: Callable[[Event], object] | None = None) -> Result:
    """The result of a stream that is run to its end; a notebook shows how far it is, unless somebody else listens.

    Args:
        stream: of events.
        callback: called with every event; what it raises cancels the work.
    """
    if callback is not None or _SHOWING.get() or not in_notebook():
        return finished(stream, callback or (lambda event: None))
    with notebook_progress() as show:
        return finished(stream, show)


# On a terminal ----------------------------------------------------------------------------------------


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


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _line(row: dict[str, Any]) -> str:
    return (
        f"step {row['step']}  loss {row['loss']:.4f}  validation {row['validation']:.4f}  "
        f"{row['steps_per_second']:.1f} steps/s"
    )


# In lines ---------------------------------------------------------------------------------------------

_TELLING = 0.005  # the least share of a work from which the rest can be told


class Pace:
    """How long a work has taken, and how long it will.

    Attributes:
        started: when it began, seconds of the monotonic clock.
        share: of it that is done, 0 to 1.
    """

    def __init__(self) -> None:
        self._begin(0.0)

    def _begin(self, share: float) -> None:
        self.started, self.share = time.monotonic(), share
        self._first: tuple[float, float] | None = None  # when the first event came, and the share that was done then

    def follows(self, event: Event) -> bool:
        """Takes an event in; False if it is of another work than those before, which thus began just now."""
        share = event.done / event.total if event.total else 1.0
        same = share >= self.share
        if not same:
            self._begin(share)
        self.share = share
        self._first = self._first or (time.monotonic(), share)
        return same

    @property
    def elapsed(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float | None:
        """Seconds that it will still take; None while too little is done to tell.

        They are told from what was done since the first event, as a work that is resumed begins with a share done.
        """
        begun, before = self._first or (self.started, 0.0)
        if self.share <= before:
            begun, before = self.started, 0.0
        done = self.share - before
        return None if done < _TELLING else (time.monotonic() - begun) * (1 - self.share) / done


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
        self.pace = Pace()
        self.next = self.pace.started + self.first

    def __call__(self, event: Event) -> None:
        if not self.pace.follows(event):
            self.next = self.pace.started + self.first
        if event.waits:
            print(f"{event.stage} ({event.done:g} of {event.total:g} are there)", file=sys.stderr, flush=True)
            return
        now, left = time.monotonic(), self.pace.left
        if now < self.next or left is None:
            return
        self.next = now + self.every
        if left >= self.worth or self.pace.share == 1:
            told = f"{self.pace.share:.0%}, about {duration(left)} left" if self.pace.share < 1 else "done"
            print(f"{event.stage}: {told}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """In the unit that a person would use."""
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# In a notebook ----------------------------------------------------------------------------------------

_SHOWING: ContextVar[bool] = ContextVar("showing", default=False)
"""Whether a bar is shown already, so that work within work does not add others."""

_SOON, _OFTEN = 0.3, 0.25  # seconds before a bar is worth showing, and between two of its states


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


@contextmanager
def notebook_progress() -> Iterator[Callable[[Event], None]]:
    """Shows the events of any work below a notebook's cell, and at the end how it went; nothing of what is quick."""
    bar, token = NotebookBar(), _SHOWING.set(True)
    try:
        yield bar
        bar.end("done")
    except BaseException as error:
        bar.end("stopped", type(error).__name__)
        raise
    finally:
        _SHOWING.reset(token)


class NotebookBar:
    """One display below a cell, which each event may write anew."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.next = self.began + _SOON
        self.pace, self.event, self.handle = Pace(), Event(0, 0, "starting"), None

    def __call__(self, event: Event) -> None:
        self.pace.follows(event)
        self.event, now = event, time.monotonic()
        if now >= self.next:
            self.next = now + _OFTEN
            self._show(Shown(event.stage, self.pace.share, _counted(event), self._timing(), "running"))

    def end(self, state: Literal["done", "stopped"], why: str = "") -> None:
        """The last state that is shown.

        Args:
            state: how the work ended.
            why: what stopped it.
        """
        if self.handle is None:
            return
        share, took = (1.0 if state == "done" else self.pace.share), duration(time.monotonic() - self.began)
        said = f"done in {took}" if state == "done" else f"stopped by {why} after {took}"
        self._show(Shown(self.event.stage, share, _counted(self.event), said, state))

    def _timing(self) -> str:
        """The rate, and the time that is left."""
        rate = self.event.done / self.pace.elapsed if self.pace.elapsed > 0 else 0.0
        rated = f"{rate:.3g}/s" if _whole(self.event) and rate else ""
        left = "" if self.pace.left is None else f"about {duration(max(1, round(self.pace.left)))} left"
        return ", ".join(filter(None, (rated, left)))

    def _show(self, shown: "Shown") -> None:
        from IPython.display import display

        if self.handle is None:
            self.handle = display(shown, display_id=True)
        else:
            self.handle.update(shown)


_MARKS = {"running": "", "done": "✓ ", "stopped": "✗ "}


@dataclass(frozen=True)
class Shown:
    """A state of a bar, as HTML and as text.

    Attributes:
        stage: what is being done, in words.
        share: of it that is done, 0 to 1.
        counted, timing: how far it is, and how fast, in words.
        state: whether it runs, or how it ended.
    """

    stage: str
    share: float
    counted: str
    timing: str
    state: Literal["running", "done", "stopped"]

    def __repr__(self) -> str:
        said = ", ".join(filter(None, (self.counted, self.timing)))
        return printable(f"{_MARKS[self.state]}{self.stage}: {self.share:.0%}{f' ({said})' if said else ''}")

    def _repr_html_(self) -> str:
        label = f"{html(_MARKS[self.state])}<b>{html(self.stage)}</b>"
        bar = f'<progress max="1" value="{self.share:.4f}" style="flex:1 1 12em;max-width:26em;height:.7em"></progress>'
        numbers = f'<span style="font-variant-numeric:tabular-nums">{html(self._numbers())}</span>'
        row = "display:flex;flex-wrap:wrap;gap:.2em .8em;align-items:center;color:inherit"
        return f'<div role="status" style="{row}"><span>{label}</span>{bar}{numbers}</div>'

    def _numbers(self) -> str:
        return " · ".join(filter(None, (f"{self.share:.0%}", self.counted, self.timing)))


def _whole(event: Event) -> bool:
    """Whether an event counts in whole things."""
    return event.total > 1 and float(event.done).is_integer() and float(event.total).is_integer()


def _counted(event: Event) -> str:
    return f"{event.done:.0f} of {event.total:.0f}" if _whole(event) else ""
