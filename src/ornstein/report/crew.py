"""Several processes that make the stops of the tour, one thread each, and tell how far they are.

Two processes of one thread each finish the tour sooner than one of two threads: its networks are small, and drawing
molecules, plots and scores gain nothing from a second thread.
"""

import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from queue import Empty
from typing import Any

from ..tasks.figures import Chapter
from .page import coded
from .stops import Job, made


@dataclass(frozen=True)
class Told:
    """How far a stop is.

    Attributes:
        share: of its work that is done, from 0 to 1.
        chapter: once it is finished.
        failed: whether the chapter only says what went wrong.
    """

    job: Job
    share: float
    chapter: Chapter | None = None
    failed: bool = False


def alone(jobs: Sequence[Job]) -> Iterator[Told]:
    """All stops one after the other, in this process."""
    for job in jobs:
        yield from _told(job)


def together(jobs: Sequence[Job], workers: int) -> Iterator[Told]:
    """All stops, begun in their order, by several processes; these end when the generator is closed."""
    context = get_context("spawn")
    work, news = context.SimpleQueue(), context.Queue()
    crew = [context.Process(target=_work, args=(work, news), daemon=True) for _ in range(workers)]
    for one in crew:
        one.start()
    for job in (*jobs, *[None] * workers):
        work.put(job)
    try:
        yield from _news(news, crew, list(jobs))
    finally:
        for one in crew:
            one.terminate()
            one.join()


def _news(news: Any, crew: Sequence[BaseProcess], waiting: list[Job]) -> Iterator[Told]:
    """What the crew tells until every stop is finished, or nobody is left who could."""
    while waiting:
        try:
            told: Told = news.get(timeout=1.0)
        except Empty:
            if any(one.is_alive() for one in crew):
                continue
            for job in waiting:
                yield _failure(job, "its process ended early, for lack of memory perhaps")
            return
        if told.chapter is not None:
            waiting.remove(told.job)
        yield told


def _work(work: Any, news: Any) -> None:
    """A member of the crew: stops from one queue, what becomes of them to the other."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who waits, who ends the crew
    torch.set_num_threads(1)
    while (job := work.get()) is not None:
        for told in _told(job):
            news.put(told)


def _told(job: Job) -> Iterator[Told]:
    """How far a stop is, and at last its chapter: what went wrong, if anything did, so that the others go on."""
    try:
        for event in made(job):
            result = event.result if isinstance(event.result, Chapter) else None  # samples are only on the way to it
            yield Told(job, event.done / max(event.total, 1e-9), result)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        yield _failure(job, f"{type(error).__name__}: {error}")


def _failure(job: Job, why: str) -> Told:
    return Told(job, 1.0, Chapter(job.title, f"This chapter failed: {coded(why)}"), failed=True)
