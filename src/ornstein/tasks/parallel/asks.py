"""Many requests of one model: a folder of samples each, below one; what fails is named, and the others are drawn.

    asks = [Ask("three", ImagesRequest(label=(3,)), {"n": 8}), Ask("scan", ImagesRequest(observation=path))]
    outcomes = draw_all(model, asks, "OUT")             OUT/three, OUT/scan, and OUT/requests.json, which says of each

The samples of a request are those that `draw` gives. OUT grows: a folder in it is whole or not there, and until it is,
what has finished of it is beside it (keeping.py), so that a crash loses no more than of one drawing.
"""

import errno
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from socket import gethostname
from traceback import format_exception
from typing import Any

import torch

from ...denoisers.base import NeuralDenoiser
from ...disk.locks import Busy
from ...distributed.absence import Waiting
from ...distributed.pools import Done, Pool, WorkersLost, pool_of
from ...errors import InputError, exit_code, why
from ...events import Event, Stream, finished, part
from ...events.progress import watched
from ..requests import drawing
from ..storage.throttle import Throttle
from ..storage.unfinished import is_unfinished
from .counting import MOST_FAILED
from .outcomes import SHARE, Ask, Outcome, Outcomes, Refused, require_seen
from .shards import arithmetic, require_arithmetic

LATE = 60.0
"""Seconds that a request waits for a worker which draws it already, as it was given up for lost and is not."""
_LOOK = 0.5
"""Seconds between two looks whether it still does."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Faults of the disk that every other request would meet as well."""


def draw_all(
    model: NeuralDenoiser,
    asks: Iterable[Ask | Refused],
    out: Path | str,
    *,
    callback: Callable[[Event], object] | None = None,
    **options: Any,
) -> list[Outcome]:
    """What has become of each request, once all are drawn that can be: the result of `drawing_all`, which see.

    Args:
        model: trained, so that it knows its domain.
        asks: the requests, whose names differ.
        out: a new folder for theirs.
        options: those of `drawing_all`.
        callback: called with every event, for progress; what it raises cancels the work.
    """
    return watched(drawing_all(model, asks, out, **options), callback)


def drawing_all(
    model: NeuralDenoiser,
    asks: Iterable[Ask | Refused],
    out: Path | str,
    *,
    resume: bool = False,
    on: Any = None,
    device: str | None = None,
) -> Stream[list[Outcome]]:
    """Events of drawing many requests; `finished` is the `Outcome` of one that is over.

    Args:
        model: trained, so that it knows its domain.
        asks: the requests, whose names differ.
        out: a new folder for theirs.
        resume: draw what an earlier call has left: folders that are there are passed over, begun ones go on, and what
            had failed is tried again.
        on: a `distributed.Client`, or a `Pool` (distributed/pools.py), each of whose workers draws a request at a time;
            they must see the folder. This process, one request after the other, if not given.
        device: on which workers draw, "cpu" or "cuda"; that of the model if not given (with on).

    InputError if the folder is there already or in use, and if what is to be resumed is of another model. A request
    that fails is an outcome; a full disk ends the work, and so does the loss of all workers.
    """
    pool = None if on is None else pool_of(on)
    if pool is None and device is not None:
        raise InputError(f"device is {device!r}, but samples are drawn here: it is for workers (on)")
    with Outcomes(Path(out), model, asks, resume) as outcomes:
        for outcome in outcomes.refused:
            yield Event(0, 1, "requests", finished=outcome)
        yield from _one_by_one(model, outcomes) if pool is None else _by_workers(pool, model, outcomes, device)
        found = outcomes.all()
    yield Event(1, 1, "requests", result=found)
    return found


# In this process --------------------------------------------------------------------------------------


def _one_by_one(model: NeuralDenoiser, outcomes: Outcomes) -> Stream[None]:
    total = len(outcomes.waiting)
    for k, ask in enumerate(outcomes.waiting):
        stage = f"request {k + 1} of {total}: {ask.name}"
        outcome = yield from part(_drawn(model, ask, outcomes.folder), k, 1, total, stage)
        outcomes.note(outcome)
        yield Event(k + 1, total, stage, finished=outcome)


def _drawn(model: NeuralDenoiser, ask: Ask, out: Path) -> Stream[Outcome]:
    """The events of drawing a request into its folder, and what has become of it."""
    started, folder = time.monotonic(), out / ask.name
    over = partial(_over, ask, started)
    try:
        yield from _without_results(drawing(model, ask.asked, **ask.options, out=folder, resume=is_unfinished(folder)))
    except Exception as error:
        return over(error)
    return over()


def _without_results(stream: Stream[Any]) -> Stream[None]:
    """The events; samples that are in their folder are nobody's concern any more."""
    for event in stream:
        yield replace(event, finished=None, result=None)


def _over(ask: Ask, started: float, error: BaseException | None = None) -> Outcome:
    """What has become of a request, which may have failed; a full disk is raised."""
    seconds = time.monotonic() - started
    if error is None:
        return Outcome(ask.name, ask.line, "done", None, seconds)
    if not isinstance(error, Exception) or (isinstance(error, OSError) and error.errno in _FULL):
        raise error
    if exit_code(error) is not None:
        return Outcome(ask.name, ask.line, "failed", why(error), seconds)
    said = f"{type(error).__name__}: {why(error)} (a fault of the program)"
    return Outcome(ask.name, ask.line, "failed", said, seconds, "".join(format_exception(error)))


# On workers -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Order:
    """What all requests share.

    Attributes:
        model: on the CPU when it is sent.
        device: where it draws.
        out: the folder of the requests' folders.
        run: a word in its record, by which a worker knows that it sees the folder.
        arithmetic: of whoever gives out the work; see `shards.arithmetic`.
    """

    model: NeuralDenoiser
    device: str
    out: Path
    run: str
    arithmetic: Mapping[str, str]


def _by_workers(pool: Pool, model: NeuralDenoiser, outcomes: Outcomes, device: str | None) -> Stream[None]:
    total, stage, device = len(outcomes.waiting), f"requests on {pool}", device or model.device.type
    order = _Order(_on_cpu(model), device, outcomes.folder.absolute(), outcomes.run, arithmetic(device))
    yield Event(0, total, stage)
    results = pool.results(_drawn_there, order, outcomes.waiting)
    ready = lost = 0
    with closing(results):  # pyright: ignore[reportArgumentType], a generator
        for done in results:
            if isinstance(done, Waiting):
                yield Event(ready, total, str(done), waits=True)
                continue
            outcome = _outcome(done)
            outcomes.note(outcome)
            ready, lost = ready + 1, lost + isinstance(done.error, WorkersLost)
            yield Event(ready, total, stage, finished=outcome)
            if lost == MOST_FAILED:
                raise WorkersLost(f"{lost} requests have ended several workers each, and the others were given up")


def _outcome(done: Done[Ask, Outcome]) -> Outcome:
    """What has become of a request, as a pool says; what a worker raised is raised."""
    if isinstance(done.error, WorkersLost):
        return Outcome(done.piece.name, done.piece.line, "failed", why(done.error))
    if done.error is not None:
        raise done.error
    assert done.value is not None
    return done.value


def _on_cpu(model: NeuralDenoiser) -> NeuralDenoiser:
    """A model that can be sent to workers which may have no other device."""
    if model.device.type != "cpu":
        model = deepcopy(model)
        model.network.to("cpu")
    return model


def _drawn_there(order: _Order, ask: Ask) -> Outcome:
    """What a worker does; what it raises ends the work."""
    require_seen(order.out, order.run)
    require_arithmetic(order.arithmetic, order.device)
    if order.device == "cuda" and not torch.cuda.is_available():
        raise InputError(f"worker {gethostname()} has no CUDA device; --device cpu draws without")
    order.model.network.to(order.device)
    started = time.monotonic()
    try:
        while not _is_drawn(order, ask, started):
            time.sleep(_LOOK)
    except Exception as error:
        return _over(ask, started, error)
    return _over(ask, started)


def _is_drawn(order: _Order, ask: Ask, started: float) -> bool:
    """Draws a request; False where another worker does, which was given up for lost and is late: it may yet end.

    Busy if it has not for too long.
    """
    folder, options = order.out / ask.name, {"threads": 1, **ask.options}  # a worker shares its machine with others
    if folder.exists():  # which a worker that was lost may have finished
        return True
    try:
        finished(
            _while_wanted(order, drawing(order.model, ask.asked, **options, out=folder, resume=is_unfinished(folder)))
        )
    except Busy as error:
        if time.monotonic() < started + LATE:
            return False
        error.add_note(f"it was given up for lost, and has drawn for more than {LATE:g} s since; --resume tries again")
        raise
    return True


def _while_wanted(order: _Order, stream: Stream[Any]) -> Stream[None]:
    """The events, as long as whoever gave out the work, and nobody after that, works in the folder; else InputError.

    A worker that is late lets go of its request, then, for those of the next command.
    """
    looks = Throttle(SHARE)
    for event in _without_results(stream):
        if looks.due:
            with looks.spent():
                require_seen(order.out, order.run)
        yield event
