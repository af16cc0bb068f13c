"""Long work as a stream of events, which progress bars, cancelling, trajectories and web pages all read.

    for event in draws(model, 100):         closing the generator cancels the work
        print(event.done, event.total)

A function `@streamed` is written as a generator of events that returns its result. Called, it runs to its end; its
`events` are the generator itself. Work deep within something that is no stream, such as the reading of data, `tell`s
how far it is to whoever listens (`heard_by`).
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Event:
    """How far some work has come.

    Attributes:
        done: units of work done, of `total`; the last event has done = total.
        total: units of work in all, the same in every event of a stage.
        stage: what is being done, in words.
        state: where the samples stand, of the structure of one batch; None where there are none yet.
        finished: what has become final with this event, such as the `Samples` of one batch; else None.
        result: of all the work, in the last event; else None.
        condition: what the samples at `state` are given, name → (batch, ...), where that is known.
        settings: what samples at `state` would carry as their settings beside those of the sampler, in JSON values.
        waits: nothing can be done until something else comes: the stage says what.
    """

    done: float
    total: float
    stage: str
    state: Any = None
    finished: Any = None
    result: Any = None
    condition: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    waits: bool = False


Stream = Generator[Event, None, Result]
"""Events, and at the end the result."""


class Streamed(Generic[P, Result]):
    """A function whose `events` can be watched and closed."""

    def __init__(self, function: Callable[P, Stream[Result]]) -> None:
        self.events = function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result:
        from .progress import watched  # which knows events

        return watched(self.events(*args, **kwargs))


def streamed(function: Callable[P, Stream[Result]]) -> Streamed[P, Result]:
    """A generator of events that returns its result, as a function of that result."""
    return Streamed(function)


def finished(stream: Stream[Result], callback: Callable[[Event], object] = lambda event: None) -> Result:
    """The result of a stream that is run to its end.

    callback: called with every event; what it raises cancels the work.
    """
    try:
        while True:
            callback(next(stream))
    except StopIteration as end:
        return end.value
    finally:
        stream.close()


def part(stream: Stream[Result], before: float, size: float, total: float, stage: str | None = None) -> Stream[Result]:
    """A stream as `size` units of a work of `total` units, of which `before` are done.

    Args:
        stage: what is being done, in words.
    """
    while True:
        try:
            event = next(stream)
        except StopIteration as end:
            return end.value
        share = min(1.0, event.done / event.total) if event.total else 1.0
        yield replace(event, done=before + size * share, total=total, stage=stage or event.stage)


_LISTENER: ContextVar[Callable[[Event], object] | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Callable[[Event], object]) -> Iterator[None]:
    """Within the block `listener` is called with what is told in this thread.

    Args:
        listener: what it raises ends the work that told.
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(done: float, total: float, stage: str) -> None:
    """Tells whoever listens how far some work is; nothing if nobody does.

    Args:
        done: units of work done, of `total`.
        total: units of work in all.
        stage: what is being done, in words.
    """
    if (listener := _LISTENER.get()) is not None:
        listener(Event(done, total, stage))
