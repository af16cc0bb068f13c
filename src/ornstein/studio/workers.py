"""The parent's side of a worker: a process that is started, given one task at a time, and replaced when it dies.

Messages go over a pipe as pickles, between our own processes only. A task is answered by any number of ("news", kind,
said) and one ("answer", said) or ("refused", words) or ("failed", words). Cancelling is a message, too: the child looks
for it at every event, where an end of the pipe tells it that its parent is gone.
"""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from ..errors import InputError
from .queueing import Busy
from .worker import main

News = Callable[[str, Mapping[str, Any]], object]
"""Called with a kind and what is said."""


class WorkerDied(Exception):
    """The process of a worker ended in the middle of a task; says how."""


class WorkFailed(Exception):
    """A task failed in a way that is no fault of the input."""


_MOST_WAITING = 50
"""Tasks that wait for one worker."""


class Worker:
    """One process, and what it is doing. Started when it is first needed, and anew after it has died."""

    def __init__(self, name: str, main: Callable[[Connection], None] = main) -> None:
        """
        Args:
            name: what it does, for the names of its process and its thread, such as "drawer".
            main: what the process runs, given its end of the pipe.
        """
        self.name, self.main = name, main
        self._process: Any = None
        self._pipe: Connection | None = None
        self._reader: threading.Thread | None = None
        self._answer: asyncio.Future[Any] | None = None
        self._news: News = lambda kind, said: None
        self._turn, self._waiting, self._sending = asyncio.Lock(), 0, threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the process; None if none runs."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def start(self) -> None:
        """Starts the process if none runs."""
        if self.pid is not None:
            return
        self.end()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=self.main, args=(theirs,), name=f"ornstein {self.name}", daemon=True)
        with _without_interrupt():
            self._process.start()
        theirs.close()  # else its end would not be seen here when the process dies
        self._pipe = ours
        arguments = (ours, self._process, asyncio.get_running_loop())
        self._reader = threading.Thread(target=self._read, args=arguments, name=f"{self.name} reader", daemon=True)
        self._reader.start()

    async def work(
        self, what: str, values: Mapping[str, Any], news: News = lambda kind, said: None, limit: float | None = None
    ) -> Any:
        """What the worker answers to a task, after those before it.

        Args:
            what: the task, by the name that it has in worker.py.
            values: its arguments.
            news: called with what it tells meanwhile.
            limit: seconds, after which the process is ended; none if not given.

        InputError as the child raised it; WorkFailed for what is no fault of the input; WorkerDied; Busy if many wait
        already. Whoever no longer waits (cancels this coroutine) ends the process with its task.
        """
        if self._waiting >= _MOST_WAITING:
            raise Busy(f"{self._waiting} requests are waiting for the {self.name} already; try again later")
        self._waiting += 1
        try:
            async with self._turn, asyncio.timeout(limit):
                return await self._worked(what, values, news)
        except TimeoutError:
            raise WorkFailed(f"the {self.name} took longer than {limit:g} s for this and was ended") from None
        finally:
            self._waiting -= 1

    async def _worked(self, what: str, values: Mapping[str, Any], news: News) -> Any:
        self.start()
        self._answer, self._news = asyncio.get_running_loop().create_future(), news
        try:
            await asyncio.to_thread(self._send, what, values)  # which waits until a new process listens
            return await self._answer
        except asyncio.CancelledError:
            self.end()
            raise
        finally:
            self._answer = None

    def _send(self, what: str, values: Mapping[str, Any]) -> None:
        """Sends a task, if there is anybody to receive it."""
        with self._sending, suppress(OSError):  # it has died, which the reader tells
            if self._pipe is not None:
                self._pipe.send((what, dict(values)))

    def cancel(self, id: str) -> None:
        """Asks for the end of a task, unless that is still on its way: ask again."""
        if self._sending.acquire(blocking=False):
            try:
                with suppress(OSError):
                    if self._pipe is not None:
                        self._pipe.send(("cancel", {"id": id}))
            finally:
                self._sending.release()

    def kill(self) -> None:
        """Ends the process at once; whoever waits for its answer is told."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """Ends the process and the thread that reads it. Files are whole or absent, however a process ends."""
        if self._process is None:
            return
        self._process.kill()
        self._process.join()
        assert self._reader is not None
        assert self._pipe is not None
        self._reader.join()
        self._pipe.close()
        self._process.close()
        self._process = self._pipe = self._reader = None

    # In the thread of the reader --------------------------------------------------------------------------

    def _read(self, pipe: Connection, process: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Hands every message to the event loop, and the end of the process."""
        try:
            while True:
                loop.call_soon_threadsafe(self._heard, process, pipe.recv())
        except (EOFError, OSError):
            process.join()
            died = ("died", f"the worker died ({_ending(process.exitcode)}); a new one takes its place")
        except RuntimeError:  # the loop is closed
            return
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._heard, process, died)

    def _heard(self, process: Any, message: tuple[Any, ...]) -> None:
        if process is not self._process:
            return  # of one whose place another has taken
        kind, *said = message
        if kind == "news":
            self._news(*said)
        elif self._answer is not None and not self._answer.done():
            if kind == "answer":
                self._answer.set_result(said[0])
            else:
                self._answer.set_exception(_ERRORS[kind](said[0]))


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Ctrl-C, which goes to all processes of a terminal, is not heard by a process that is started within."""
    resource_tracker.ensure_running()  # which would unblock the signal when it is started later
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_ERRORS: Mapping[str, type[Exception]] = {"refused": InputError, "failed": WorkFailed, "died": WorkerDied}


def _ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None or code >= 0:
        return f"exit code {code}"
    said = {signal.SIGKILL: ": killed, as the system does when memory is short", signal.SIGSEGV: ": a fault in memory"}
    return f"signal {-code}, {signal.Signals(-code).name}{said.get(signal.Signals(-code), '')}"
