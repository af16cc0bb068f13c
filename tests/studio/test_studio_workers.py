"""A worker that dies is told of and replaced, whoever waits for it; none outlives its owner."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import obedient as obedient_module
from obedient import busy, obedient
from ornstein.errors import InputError
from ornstein.studio import workers
from ornstein.studio.queueing import Busy
from ornstein.studio.workers import Worker, WorkerDied, WorkFailed


def with_worker(test: Callable[[Worker], Awaitable[Any]]) -> Any:
    """What a test returns of a worker, of which nothing is left afterwards."""

    async def run() -> Any:
        worker = Worker("tester", obedient)
        try:
            return await test(worker)
        finally:
            worker.end()

    found = asyncio.run(run())
    assert not multiprocessing.active_children()
    assert not [thread for thread in threading.enumerate() if "tester" in thread.name]
    return found


def test_tasks_are_answered_in_turn_with_their_news() -> None:
    async def test(worker: Worker) -> None:
        heard = []
        answers = await asyncio.gather(
            *(worker.work("echo", {"k": k}, lambda kind, said: heard.append((kind, said))) for k in range(5))
        )
        assert [answer["k"] for answer in answers] == list(range(5))
        assert heard == [("progress", {"half": True})] * 5

    with_worker(test)


def test_errors_keep_their_words_and_their_kind() -> None:
    async def test(worker: Worker) -> None:
        with pytest.raises(InputError, match="--label is 'x', expected a whole number"):
            await worker.work("refused", {"words": "--label is 'x', expected a whole number"})
        with pytest.raises(WorkFailed, match="out of memory"):
            await worker.work("failed", {"words": "out of memory"})
        assert await worker.work("echo", {"k": 1}) == {"k": 1}

    with_worker(test)


@pytest.mark.parametrize(
    ("task", "values", "words"),
    [
        ("die", {"signal": signal.SIGKILL}, r"signal 9, SIGKILL: killed, as the system does when memory is short"),
        ("die", {"signal": signal.SIGSEGV}, r"signal 11, SIGSEGV: a fault in memory"),
        ("die", {"signal": signal.SIGTERM}, r"signal 15, SIGTERM\)"),
        ("leave", {"code": 3}, r"exit code 3"),
    ],
)
def test_a_death_is_told_and_the_next_task_has_a_new_process(task: str, values: Any, words: str) -> None:
    async def test(worker: Worker) -> None:
        waiting = [worker.work("echo", {"k": 0}), worker.work(task, values), worker.work("echo", {"k": 2})]
        before, died, after = await asyncio.gather(*waiting, return_exceptions=True)
        assert (before, after) == ({"k": 0}, {"k": 2})
        assert isinstance(died, WorkerDied)
        with pytest.raises(WorkerDied, match=words):
            raise died

    with_worker(test)


def test_a_worker_that_died_while_it_did_nothing_is_replaced() -> None:
    async def test(worker: Worker) -> None:
        await worker.work("echo", {})
        first = worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        while worker.pid is not None:
            await asyncio.sleep(0.01)
        assert await worker.work("echo", {"k": 1}) == {"k": 1}
        assert worker.pid not in (None, first)

    with_worker(test)


def test_whoever_no_longer_waits_ends_the_work() -> None:
    async def test(worker: Worker) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.work("sleep", {}), 0.5)
        started = time.monotonic()
        assert await worker.work("echo", {"k": 1}) == {"k": 1}
        assert time.monotonic() - started < 30, "the sleeper would have slept for a minute"

    with_worker(test)


def test_work_that_hangs_is_ended_and_the_next_is_done() -> None:
    async def test(worker: Worker) -> None:
        await worker.work("echo", {})
        with pytest.raises(WorkFailed, match=r"the tester took longer than 0\.2 s"):
            await worker.work("sleep", {}, limit=0.2)
        assert await worker.work("echo", {"k": 1}, limit=30) == {"k": 1}

    with_worker(test)


def test_only_so_many_wait_for_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_MOST_WAITING", 2)

    async def test(worker: Worker) -> None:
        found = await asyncio.gather(*(worker.work("echo", {}) for _ in range(4)), return_exceptions=True)
        assert [type(one) for one in found] == [dict, dict, Busy, Busy]
        assert await worker.work("echo", {}) == {}

    with_worker(test)


def test_a_process_that_does_not_listen_yet_keeps_nobody_waiting() -> None:
    """It is starting, say: whoever sends more than the pipe takes waits in a thread."""

    async def test() -> None:
        worker = Worker("tester", busy)
        sending = asyncio.create_task(worker.work("echo", {"marks": "x" * 10_000_000}))
        started = time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.01)
            worker.cancel("x")
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert time.monotonic() - started < 10, "the process sleeps for a minute"

    asyncio.run(test())
    assert not multiprocessing.active_children()


def test_a_busy_process_ends_with_its_parent() -> None:
    program = """
from multiprocessing import get_context
from obedient import busy
process = get_context("spawn").Process(target=busy, args=(None,), daemon=True)
process.start()
process.join()
"""
    tests = str(Path(obedient_module.__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    assert parent.stdout.readline().strip().isdigit()
    started = time.monotonic()
    parent.kill()
    parent.stdout.read()  # to the end: when the child is gone, too
    assert time.monotonic() - started < 20, "the child sleeps for a minute"


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    """Killed with -9, the parent says nothing to it any more: the end of the pipe does."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=obedient, args=(theirs,))
    process.start()
    theirs.close()
    ours.close()
    process.join(20)
    assert process.exitcode == 0
