"""Many requests of one model: a folder of samples each, below one; what fails is named, and the others are drawn.

    asks = [Ask("three", ImagesRequest(label=(3,)), {"n": 8}), Ask("scan", ImagesRequest(observation=path))]
    outcomes = draw_all(model, asks, "OUT")             OUT/three, OUT/scan, and OUT/requests.json, which says of each

The samples of a request are those that `draw` gives. OUT grows: a folder in it is whole or not there, and until it is,
what has finished of it is beside it (keeping.py), so that a crash loses no more than of one drawing.
"""

import errno
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Any

from ..denoisers.base import NeuralDenoiser
from ..errors import exit_code, why
from ..events import Event, Stream, part
from ..progress import watched
from .outcomes import Ask, Outcome, Outcomes, Refused
from .requests import drawing
from .unfinished import is_unfinished

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
    model: NeuralDenoiser, asks: Iterable[Ask | Refused], out: Path | str, *, resume: bool = False
) -> Stream[list[Outcome]]:
    """Events of drawing many requests; `finished` is the `Outcome` of one that is over.

    Args:
        model: trained, so that it knows its domain.
        asks: the requests, whose names differ.
        out: a new folder for theirs.
        resume: draw what an earlier call has left: folders that are there are passed over, begun ones go on, and what
            had failed is tried again.

    InputError if the folder is there already or in use, and if what is to be resumed is of another model. A request
    that fails is an outcome; a full disk ends the work.
    """
    with Outcomes(Path(out), model, asks, resume) as outcomes:
        for outcome in outcomes.refused:
            yield Event(0, 1, "requests", finished=outcome)
        yield from _one_by_one(model, outcomes)
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
