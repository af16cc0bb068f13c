"""The queue is fair between owners and bounded; news of a job is bounded, and whoever watches misses nothing final."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from ornstein.domains.images.requests import ImagesRequest
from ornstein.errors import InputError
from ornstein.studio import results
from ornstein.studio.queueing import Busy, Job, Order, Queue
from ornstein.studio.studio import Over, Settings, Studio

ORDER = Order("images/digits", ImagesRequest(label=(3,)), {"n": 4, "seed": 7}, flat={"label": [3], "n": 4, "seed": 7})


def queue_of(owners: str, **bounds: int) -> Queue:
    queue = Queue(**bounds)
    for k, owner in enumerate(owners):
        queue.add(Job(f"{owner}{k}", owner, ORDER))
    return queue


def drawn(queue: Queue) -> list[str]:
    return [job.id for job in iter(queue.next, None)]


def test_owners_take_turns_and_each_is_served_in_order() -> None:
    assert drawn(queue_of("aaabbc")) == ["a0", "b3", "c5", "a1", "b4", "a2"]


def test_places_are_those_in_which_jobs_are_drawn() -> None:
    queue = queue_of("aabcab")
    places = [job.id for job in queue]
    assert drawn(queue) == places


def test_places_follow_turns_that_are_taken_already() -> None:
    queue = queue_of("aab")
    assert queue.next().id == "a0"  # pyright: ignore[reportOptionalMemberAccess]
    assert [job.id for job in queue] == ["b2", "a1"]


def test_a_job_that_leaves_the_queue_leaves_no_gap() -> None:
    queue = queue_of("abab")
    for job in list(queue)[1:3]:
        queue.remove(job)
    assert drawn(queue) == ["a0", "b3"]


def test_the_queue_is_bounded_for_one_and_for_all() -> None:
    queue = queue_of("aab", most=4, of_one=2)
    with pytest.raises(Busy, match="2 of your samples are waiting"):
        queue.add(Job("x", "a", ORDER))
    queue.add(Job("y", "b", ORDER))
    with pytest.raises(Busy, match="4 samples are waiting"):
        queue.add(Job("z", "c", ORDER))
    assert len(queue) == 4


# News -------------------------------------------------------------------------------------------------


async def told(job: Job, number: int = 0) -> list[tuple[str, int, int]]:
    return [(kind, said["k"], told) async for kind, said, told in job.watch(number)]


def test_a_slow_reader_gets_the_latest_of_each_kind_in_order() -> None:
    job = Job("x", "a", ORDER)
    for k in range(1000):
        job.tell("frame", {"k": k})
        job.tell("progress", {"k": k})
    job.tell("end", {"k": 0})
    assert asyncio.run(told(job)) == [("frame", 999, 1999), ("progress", 999, 2000), ("end", 0, 2001)]
    assert asyncio.run(told(job, 2000)) == [("end", 0, 2001)]
    assert asyncio.run(told(job, 2001)) == []


def test_readers_hear_what_comes_later_and_are_forgotten_when_they_leave() -> None:
    async def watched() -> list[list[tuple[str, int, int]]]:
        job = Job("x", "a", ORDER)
        readers = [asyncio.create_task(told(job)) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(job._waiting) == 3
        readers[2].cancel()
        for k in range(3):
            job.tell("progress", {"k": k})
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        job.tell("end", {"k": 3})
        found = await asyncio.gather(*readers[:2])
        assert not job._waiting
        return list(found)

    for found in asyncio.run(watched()):
        assert [k for _, k, _ in found] == [0, 1, 2, 3]


# The studio, which has not begun to draw --------------------------------------------------------------


def test_what_waits_has_a_place_and_is_cancelled_at_once(tmp_path: Path) -> None:
    async def waiting() -> None:
        studio = Studio(Settings(tmp_path))
        first, second = studio.submit(ORDER, "a"), studio.submit(ORDER, "a")
        assert (studio.status(first)["place"], studio.status(second)["place"]) == (1, 2)
        assert second.news["state"][1]["place"] == 2
        studio.cancel(first.id)
        assert second.news["state"][1]["place"] == 1, "whoever waits is told that it has moved up"
        said = [news async for news in studio.subscribe(first.id)]
        assert [kind for kind, _, _ in said] == ["state", "end"]
        assert said[-1][1]["state"] == "cancelled"
        with pytest.raises(Over):
            studio.cancel(first.id)
        with pytest.raises(results.NotThere):
            studio.cancel("nothing")
        await studio.stop()
        assert second.state == "cancelled"

    asyncio.run(waiting())
    assert not list(tmp_path.iterdir()), "nothing is written of what was never begun"


def test_a_status_says_how_the_same_is_drawn_elsewhere(tmp_path: Path) -> None:
    async def status() -> dict[str, object]:
        studio = Studio(Settings(tmp_path))
        job = studio.submit(ORDER, "a")
        assert job.id.startswith("digits-")
        return studio.status(job)

    said = asyncio.run(status())
    assert said["command"] == "ornstein sample images/digits --n 4 --seed 7 --label 3"
    assert said["asked"] == {"n": 4, "seed": 7, "label": [3]}
    assert "on.draw(model, asked, n=4, seed=7)" in str(said["python"])


def test_the_history_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ornstein.studio.studio.HISTORY", 5)

    async def many() -> None:
        studio = Studio(Settings(tmp_path))
        ids = []
        for _ in range(12):
            ids.append(studio.submit(ORDER, "a").id)
            studio.cancel(ids[-1])
        assert list(studio._jobs) == ids[-5:]

    asyncio.run(many())


def test_attached_jobs_end_with_the_last_stream_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ornstein.studio.studio.DETACHED", 0.05)

    async def tabs() -> None:
        studio = Studio(Settings(tmp_path))
        job, other = studio.submit(ORDER, "a"), studio.submit(ORDER, "b")
        streams = [studio.subscribe(job.id, attached=True) for _ in range(2)]
        loose = studio.subscribe(other.id)
        for stream in [*streams, loose]:
            await anext(stream)
        await streams[0].aclose()  # pyright: ignore[reportAttributeAccessIssue]
        await asyncio.sleep(0.1)
        assert job.state == "queued", "one tab is still open"
        await streams[1].aclose()  # pyright: ignore[reportAttributeAccessIssue]
        again = studio.subscribe(job.id, attached=True)  # the page was loaded anew
        await anext(again)
        await asyncio.sleep(0.1)
        assert job.state == "queued"
        await again.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        await loose.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        await asyncio.sleep(0.1)
        assert (job.state, other.state) == ("cancelled", "queued")

    asyncio.run(tabs())


def test_unknown_results_are_not_there_and_strange_names_are_no_results(tmp_path: Path) -> None:
    async def asked() -> None:
        studio = Studio(Settings(tmp_path))
        for id in ("nothing", "..", ".studio", "a/b", "../x", "", "a\x00b", "/etc"):
            with pytest.raises((results.NotThere, InputError)):
                await studio.found(id)
            with pytest.raises((results.NotThere, InputError)):
                _ = [news async for news in studio.subscribe(id)]

    asyncio.run(asked())


def test_the_studio_is_imported_without_torch() -> None:
    code = "import ornstein.studio.studio, ornstein.studio.streaming, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
