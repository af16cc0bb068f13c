"""The child's side of a worker: it draws, shows and judges, one task at a time, and says how far it is.

    for (task, values) from the pipe:  news, news, …, one answer

Cancelling and the end of the parent are looked for at every event of what is drawn.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...events import Event, finished, heard_by
from . import results
from .queueing import Order

MODELS = 2
"""Models that are kept in memory: those used last."""
LONGEST: Mapping[str, float] = {"view": 600.0, "backdrop": 120.0, "hand": 120.0, "evaluate": 7200.0, "trust": 7200.0}
"""Seconds that an answer may take: one that hangs would keep everybody else waiting. A drawing is cancelled by hand."""
_EVERY = 0.1
"""Seconds between two messages of progress."""


class Cancelled(BaseException):
    """The work is not wanted any more; no handler of errors on its way keeps it."""


def main(pipe: Connection) -> None:
    """What the process runs.

    Args:
        pipe: to the parent; when it ends, so does the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which says when to stop
    end_with_parent()
    _go_first()
    import_module("ornstein.tasks.requests")  # seconds, which nobody needs to wait for later
    Child(pipe).serve()


def end_with_parent() -> None:
    """Has this process end with its parent, whatever it is doing. Files are whole or absent, however it ends."""
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _go_first() -> None:
    """Where memory is short the system is to end this process, which is replaced, before the server or another's."""
    with suppress(OSError):  # of Linux
        Path("/proc/self/oom_score_adj").write_text("500")


class Child:
    """The tasks, and the models that are in memory."""

    def __init__(self, pipe: Connection) -> None:
        """pipe: to the parent."""
        self.pipe = pipe
        self._models: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def serve(self) -> None:
        """Does what it is told until nobody is there."""
        tasks: Mapping[str, Callable[..., Any]] = {
            "draw": self.draw,
            "view": self.view,
            "evaluate": self.evaluate,
            "trust": self.trust,
            "backdrop": self.backdrop,
            "hand": self.hand,
        }
        try:
            while True:
                task, values = self.pipe.recv()
                if task in tasks:  # a cancel that comes too late is none
                    self.pipe.send(_answered(tasks[task], values))
        except (EOFError, OSError):
            return

    def tell(self, kind: str, **said: Any) -> None:
        """News of the task."""
        self.pipe.send(("news", kind, said))

    def require_wanted(self, id: str) -> None:
        """Cancelled if the parent wants this job cancelled, or is gone."""
        while self.pipe.poll():
            try:
                task, values = self.pipe.recv()
            except EOFError:
                raise Cancelled from None
            if task == "cancel" and values["id"] == id:
                raise Cancelled

    def model(self, name: str, device: str) -> Any:
        """A model, from memory if its file is still the same. Code that it names is not run."""
        from ...tasks import runs

        path = runs.locate(name)
        known = path.stat() if path.exists() else None
        key = (str(path.resolve()), device, known and (known.st_mtime_ns, known.st_size))
        if key not in self._models:
            self._models[key] = runs.load(name, device)
        self._models.move_to_end(key)
        while len(self._models) > MODELS:
            self._models.popitem(last=False)
        return self._models[key]

    # Drawing ----------------------------------------------------------------------------------------------

    def draw(self, id: str, order: Order, out: Path, resume: bool) -> str:
        """Draws into OUT/ID; returns "done" or "cancelled"."""
        from ...commands.exits import require_writable
        from ...tasks.requests import drawing
        from ...tasks.runs import pick_device
        from ...tasks.storage.unfinished import require_place

        folder = results.folder(out, id)
        require_place(folder, resume)
        require_writable(folder)
        self.tell("progress", done=0, total=0, stage="loading the model", seconds_left=None)
        try:
            self.require_wanted(id)
            model = self.model(order.model, pick_device(order.device))
            watch = Watch(self, id, model, order)
            with heard_by(watch):
                finished(drawing(model, order.asked, out=folder, resume=resume, **order.how), watch)
        except Cancelled:
            return "done" if folder.exists() else "cancelled"
        self.tell("drawn")
        self._shown(out, id)
        return "done"

    def _shown(self, out: Path, id: str) -> None:
        """Makes the view of a result; a figure that fails does not fail the samples, which are there."""
        try:
            results.make_view(out, id)
        except Exception as error:
            traceback.print_exc()
            self.tell("note", text=f"the samples are there, but they cannot be shown: {_said(error)}")

    # Showing and judging ----------------------------------------------------------------------------------

    def view(self, id: str, out: Path) -> None:
        results.make_view(out, id)

    def evaluate(self, id: str, out: Path, data: str | None = None) -> list[dict[str, Any]]:
        """The scores of a result, which are also added to its folder."""
        from ...tasks import runs

        return [results.metric_row(metric) for metric in runs.evaluate(results.folder(out, id), data=data)]

    def trust(self, id: str, out: Path) -> dict[str, Any]:
        """The trust report of a result."""
        from ...report.trust import trust

        report = trust(results.folder(out, id))
        statements = [
            {"section": section, "holds": one.holds, "text": one.text, "basis": one.basis}
            for section, statements in report.sections.items()
            for one in statements
        ]
        return {"trusted": report.trusted, "verdict": report.verdict, "made": report.made, "statements": statements}

    # By hand ----------------------------------------------------------------------------------------------

    def backdrop(self, model: str, field: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What lies under the pointer, as JSON."""
        from .pointing import backdrop

        return backdrop(self.model(model, "cpu"), field, given)

    def hand(
        self, model: str, field: str, given: Mapping[str, Any], marks: Mapping[str, Any], folder: Path
    ) -> dict[str, Any]:
        """Writes the file that was made with a pointer into a new folder."""
        from .pointing import written

        return {"path": str(written(self.model(model, "cpu"), field, given, marks, folder))}


class Watch:
    """What a job's events become: progress, and a frame now and then, which is never more than a fifth of the work."""

    SHARE, EVERY = 0.2, 0.25  # of the time that frames may take; seconds between them, at least

    def __init__(self, child: Child, id: str, model: Any, order: Order) -> None:
        """
        Args:
            child: whose job it is.
            id: of the job.
            model: that draws.
            order: what is drawn.
        """
        self.child, self.id, self.model, self.order = child, id, model, order
        self.left, self.frames = SecondsLeft(), True
        self._told = self._next = 0.0
        self._stage, self._made = "", 0
        self._unseen: Event | None = None

    def __call__(self, event: Event) -> None:
        if event.result is not None:  # all is written: too late to cancel
            return self._show(self._unseen) if self._unseen and self.frames else None
        self.child.require_wanted(self.id)
        now, seconds = time.monotonic(), self.left(event)
        if event.stage != self._stage or now - self._told >= _EVERY:
            self._told, self._stage = now, event.stage
            self.child.tell("progress", stage=event.stage, seconds_left=seconds, **_counted(event))
        if event.state is not None:
            self._unseen = event  # the last one is shown however fast they come
        if self.frames and event.state is not None and now >= self._next:
            first = not self._made
            self._show(event)
            ended = time.monotonic()
            spent = 0.0 if first else ended - now  # the first one waits for packages to be imported
            self._next = max(now + self.EVERY, ended + spent * (1 / self.SHARE - 1))

    def _show(self, event: Event) -> None:
        """Sends a frame; a domain that fails to make one makes no more of this job."""
        self._unseen = None
        try:
            figure = self._frame(event)
        except Exception as error:
            self.frames = False
            traceback.print_exc()
            self.child.tell("note", text=f"no pictures on the way: {_said(error)}")
            return
        if figure is not None:
            self._made += 1
            shown = {"src": results.data_url(figure), "alt": figure.alt or figure.caption}
            self.child.tell("frame", k=self._made, **shown, **_counted(event))

    def _frame(self, event: Event) -> Any:
        """The first samples as they stand, as their domain draws them."""
        from ...config import to_dict
        from ...states import take, to_device
        from ...tasks.registry import task
        from ...tasks.samples import Samples

        some = slice(results.SHOWN)
        x, given = (to_device(take(one, some), "cpu") for one in (event.state, event.condition))
        settings = {**to_dict(self.order.asked), **self.order.how, **event.settings}
        samples = Samples(x, given, self.model.origin, settings=settings)
        return task(self.model.origin.domain).frame(samples)


def _counted(event: Event) -> dict[str, float]:
    """How far it is, without the noise of floating-point numbers."""
    return {"done": round(event.done, 3), "total": round(event.total, 3)}


class SecondsLeft:
    """An estimate of what is left of a work from its events, once a little of it is done."""

    LEAST, SHARE = 0.5, 0.005  # seconds of work, and the share of it, after which there is one

    def __init__(self) -> None:
        """The work begins now."""
        self._begin(0.0)

    def _begin(self, share: float) -> None:
        self.started, self.first, self.share = time.monotonic(), share, share

    def __call__(self, event: Event) -> float | None:
        """Seconds; None while nothing can be told."""
        share = min(1.0, event.done / event.total) if event.total else 0.0
        if share < self.share:
            self._begin(share)  # it is another work that this event is of
        self.share = share
        spent, done = time.monotonic() - self.started, share - self.first
        if spent < self.LEAST or done < self.SHARE:
            return None
        return round(spent * (1 - share) / done, 1)


def _answered(task: Callable[..., Any], values: Mapping[str, Any]) -> tuple[str, Any]:
    """What is sent back for a task."""
    from ...errors import exit_code, why

    try:
        return "answer", task(**values)
    except Exception as error:
        code = exit_code(error)
        if code is None:
            traceback.print_exc()
            sys.stderr.flush()
        return "refused" if code == InputError.exit_code else "failed", why(error) if code else _said(error)


def _said(error: Exception) -> str:
    """What went wrong, where it may be a fault of ours."""
    if getattr(error, "exit_code", None):
        return str(error)
    return f"{type(error).__name__}: {error} (a fault of the program; the traceback is where the studio was started)"
