"""The studio with its real workers: frames come, a cancel is heard within a step, a killed worker is replaced."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ornstein.domains.images.requests import ImagesRequest
from ornstein.studio.engine.queueing import Job, Order
from ornstein.studio.engine.studio import Over, Settings, Studio

LONG = Order("images/digits", ImagesRequest(), {"n": 4, "batch_size": 2, "steps": 2000})
SHORT = Order("images/digits", ImagesRequest(label=(3,)), {"n": 2, "steps": 4})


def with_studio(out: Path, test: Callable[[Studio], Awaitable[Any]]) -> None:
    """Runs a test of a studio, of which no process and no thread is left afterwards."""

    async def run() -> None:
        studio = Studio(Settings(out))
        await studio.start()
        try:
            await test(studio)
        finally:
            await studio.stop()

    before = set(threading.enumerate())
    asyncio.run(run())
    assert not multiprocessing.active_children()
    assert set(threading.enumerate()) <= before


async def ended(studio: Studio, job: Job) -> tuple[Any, set[str]]:
    """The last status of a job, and the kinds of news on the way."""
    news = [(kind, said) async for kind, said, _ in studio.subscribe(job.id)]
    return news[-1][1], {kind for kind, _ in news}


async def at_work(job: Job, done: float) -> None:
    while job.done < done:
        assert not job.over, job.error
        await asyncio.sleep(0.02)


def test_jobs_are_drawn_watched_cancelled_and_survive_their_workers(tmp_path: Path) -> None:
    async def test(studio: Studio) -> None:
        long, short = studio.submit(LONG, "a"), studio.submit(SHORT, "b")
        await at_work(long, 3)
        started = time.monotonic()
        studio.cancel(long.id)
        said, kinds = await ended(studio, long)
        assert time.monotonic() - started < 2
        assert (said["state"], said["result"], said["unfinished"]) == ("cancelled", None, None)
        assert {"state", "frame", "end"} <= kinds
        said, _ = await ended(studio, short)
        assert (said["state"], said["result"]["n"]) == ("done", 2)
        with pytest.raises(Over):
            studio.cancel(short.id)

        victim, next_one = studio.submit(LONG, "a"), studio.submit(SHORT, "a")
        await at_work(victim, 3)
        assert studio._drawer.pid is not None
        os.kill(studio._drawer.pid, signal.SIGKILL)
        said, _ = await ended(studio, victim)
        assert said["state"] == "failed"
        assert "signal 9" in said["error"]
        said, _ = await ended(studio, next_one)
        assert (said["state"], said["error"]) == ("done", "")
        assert len(await studio.gallery()) == 3, "two results, and what the victim has begun"

        last = studio.submit(LONG, "a")
        await at_work(last, 3)  # and now the studio is stopped

    with_studio(tmp_path, test)


def test_a_drawer_that_shows_no_sign_of_life_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ornstein.studio.engine.studio.UNRESPONSIVE", 0.5)

    async def test(studio: Studio) -> None:
        job = studio.submit(LONG, "a")
        await at_work(job, 3)
        assert studio._drawer.pid is not None
        os.kill(studio._drawer.pid, signal.SIGSTOP)
        studio.cancel(job.id)
        said, _ = await asyncio.wait_for(ended(studio, job), 10)
        assert said["state"] == "cancelled"
        said, _ = await ended(studio, studio.submit(SHORT, "a"))
        assert said["state"] == "done"

    with_studio(tmp_path, test)


def test_results_of_the_command_line_are_shown_at_first_sight(tmp_path: Path) -> None:
    import ornstein as on

    on.draw(on.load("images/digits"), ImagesRequest(), n=2, steps=2, out=tmp_path / "by hand")

    async def test(studio: Studio) -> None:
        (entry,) = await studio.gallery()
        assert (entry["viewed"], entry["cover"]) == (False, None)
        first, second = await asyncio.gather(studio.found("by hand"), studio.found("by hand"))
        assert first == second
        assert first["state"] == "done"
        assert first["result"]["figures"]
        (entry,) = await studio.gallery()
        assert entry["cover"] == "/v1/samples/by%20hand/figures/cover"

    with_studio(tmp_path, test)
