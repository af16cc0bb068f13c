"""What became of shards: how many samples are whole, which shards failed by themselves, whether workers are awaited."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from ...denoisers.base import Origin
from ...distributed.absence import Waiting, WorkersLost
from ...distributed.pools import Done, Pool
from ...errors import Incomplete, SamplingError, why
from ...events import Event, Stream
from ..samples import Samples
from ..storage.joining import joined

MOST_FAILED = 8
"""Shards that may fail by themselves before the others are given up: then they would most likely fail, too."""
MOST_AT_FIRST = 3
"""The same where none has been drawn."""
_OF_ONE = (WorkersLost, SamplingError, MemoryError)
"""What may befall one shard, and not the others."""


def counted(results: Iterator[Done[Any, Any] | Waiting], ready: int) -> Iterator[tuple[Any, int]]:
    """What became of shards as they are drawn, or that workers are awaited; and how many samples are then whole.

    Shards that have ended too many workers, whose samples are not finite or that memory does not hold are named once
    the others are drawn, or once they are many: Incomplete. What else a worker finds wrong is raised as it is, at once.

    Args:
        results: of a pool; a piece has as many samples as it is long.
        ready: samples that were whole before.
    """
    failed, most = list[str](), MOST_AT_FIRST
    try:
        with closing(results):  # pyright: ignore[reportArgumentType], a generator
            for done in results:
                if isinstance(done, Waiting):
                    yield done, ready
                elif done.error is None:
                    ready, most = ready + len(done.piece), MOST_FAILED
                    yield done.value, ready
                elif isinstance(done.error, _OF_ONE):
                    failed.append(f"{_named(done.piece)}: {why(done.error)}")
                    if len(failed) >= most:
                        failed.append("the others were given up")
                        break
                else:
                    raise done.error
    except Exception as error:
        for one in failed:  # which were to be named in the end
            error.add_note(one)
        raise
    if failed:
        raise Incomplete("; ".join(failed))


def _named(piece: Any) -> str:
    return f"samples {piece.start} to {piece.stop - 1}" if isinstance(piece, range) else str(piece)


def told(pool: Pool, ready: int, total: int, found: Any = None) -> Event:
    """How far workers are.

    Args:
        pool: the workers.
        ready: samples that are whole.
        total: samples in all.
        found: what `counted` said last.
    """
    if isinstance(found, Waiting):
        return Event(ready, total, str(found), waits=True)
    return Event(ready, total, f"sampling on {pool}")


def gathered(
    found: Iterator[tuple[Any, int]], origin: Origin | None, event: Callable[[int, Any], Event]
) -> Stream[Samples]:
    """Events of samples that workers send back, in any order; the result is all of them together.

    Args:
        found: what `counted` gives of samples without their model.
        origin: the model.
        event: what is told when so many are there, and what was found last.
    """
    drawn, ready, started = list[Samples](), 0, time.perf_counter()
    for one, ready in found:
        if not isinstance(one, Waiting):
            drawn.append(replace(one, origin=origin))
        yield event(ready, one)
    drawn.sort(key=lambda one: one.first)
    samples = joined(drawn, replace_seconds=time.perf_counter() - started)
    yield replace(event(len(samples), None), state=samples.x, result=samples)
    return samples
