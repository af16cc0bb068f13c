"""Pieces of work on workers: each once, errors by piece, and none lost with a worker."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from clusters import cluster
from ornstein import code
from ornstein.distributed import pools
from ornstein.distributed.absence import WorkersLost
from ornstein.distributed.parcels import Parcel
from ornstein.distributed.pools import Dask, Done, Here, Pool, pool_of
from ornstein.errors import InputError


def squared(shared: dict[str, Any], piece: int) -> int:
    """What is done: some pieces fail, some end the process, the first time or whenever they are tried."""
    if piece in shared.get("bad", ()):
        raise InputError(f"piece {piece} is bad")
    if piece in shared.get("deadly", ()):
        os.kill(os.getpid(), signal.SIGKILL)
    if piece in shared.get("once", ()) and not (mark := shared["marks"] / str(piece)).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(shared.get("seconds", 0))
    return piece**2


@pytest.fixture(scope="module")
def threads() -> Iterator[Pool]:
    with Dask.local(2, processes=False) as pool:
        yield pool


def results(pool: Pool, shared: dict[str, Any], pieces: Sequence[int]) -> Iterator[Done[int, int]]:
    """What has been done, without the news that it is waited for."""
    return (one for one in pool.results(squared, shared, pieces) if isinstance(one, Done))


@pytest.mark.parametrize("n", [0, 1, 3, 20])
def test_every_piece_is_done_once_wherever(n: int, threads: Pool) -> None:
    for pool in (Here(), threads):
        done = list(results(pool, {"bad": (2,)}, range(n)))
        assert sorted(one.piece for one in done) == list(range(n))
        assert {one.piece: one.value for one in done if one.error is None} == {k: k * k for k in range(n) if k != 2}
        assert [str(one.error) for one in done if one.error is not None] == ["piece 2 is bad"] * (n > 2)
        assert all(isinstance(one.error, InputError) for one in done if one.piece == 2)


def test_pools_say_how_many_they_are(threads: Pool) -> None:
    assert (str(Here()), str(threads)) == ("1 worker", "2 workers")


def test_workers_are_counted_though_nothing_is_said_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Dask's client asks for every two seconds may be the answer to another question."""
    with Dask.local(2, processes=False) as pool:
        real = pool.client.scheduler_info
        monkeypatch.setattr(pool.client, "scheduler_info", lambda *said, **named: real(n_workers=0))
        assert pool.client.scheduler_info()["workers"] == {}
        assert pool.size == 2


def test_who_stops_reading_stops_the_work(threads: Pool) -> None:
    reading = threads.results(squared, {"seconds": 0.02}, range(1000))
    next(reading)
    started = time.monotonic()
    reading.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert [one.value for one in results(threads, {}, [3])] == [9]
    assert time.monotonic() - started < 5  # 1000 pieces take 10 s


def test_what_a_thread_opens_it_opens_once() -> None:
    parcel, found = Parcel.of([1]), []
    assert parcel.opened() is parcel.opened()
    other = threading.Thread(target=lambda: found.append(parcel.opened()))
    other.start()
    other.join()
    assert found == [[1]]
    assert found[0] is not parcel.opened()


def test_code_of_the_users_may_run_on_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is there now: a worker lives longer than what it was given before."""
    (tmp_path / "mine.py").write_text("import beside_mine\ndef half(x):\n    return beside_mine.share * x\n")
    for share in (0.5, 0.25):
        (tmp_path / "beside_mine.py").write_text(f"share = {share}\n")
        source = f"{tmp_path / 'mine.py'}:half"
        monkeypatch.setattr(code, "_allowed", {})
        code.allow(source)
        parcel = Parcel.of(code.run(source)[1]["half"])
        monkeypatch.setattr(code, "_allowed", {})  # a process that was told nothing, has run nothing, and
        code._executed.cache_clear()
        sys.modules["beside_mine"].share = 7.0  # pyright: ignore[reportAttributeAccessIssue], has another of that name
        assert parcel.opened()(8) == 8 * share
        assert source in code.allowed()


def test_settings_of_a_cluster_are_those_that_it_knows() -> None:
    """One of a wrong name would be ignored, such as how many workers may end at a piece."""
    from dask import config  # pyright: ignore[reportPrivateImportUsage], its documented place

    before = config.get("distributed.scheduler.allowed-failures")
    with pools._set(scheduler__allowed_failures=before + 7):
        assert config.get("distributed.scheduler.allowed-failures") == before + 7
    with pytest.raises(KeyError):
        pools._set(distributed__scheduler__allowed_failures=7)


def test_what_is_no_pool_is_refused(threads: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "ANSWER", 0.2)
    assert pool_of(threads) is threads
    assert isinstance(threads, Dask)
    assert pool_of(threads.client).size == 2
    with pytest.raises(InputError, match=r"on is str, expected a distributed\.Client"):
        pool_of("dask")
    with pytest.raises(InputError, match="scheduler is 'nowhere', expected an address"):
        Dask.at("nowhere")
    with pytest.raises(InputError, match=r"scheduler is 'tcp://127\.0\.0\.1:9', where no dask scheduler answers"):
        Dask.at("tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be sent to workers: "):
        list(threads.results(squared, {"lock": threading.Lock()}, [1]))


def test_a_lost_worker_loses_nothing_and_a_deadly_piece_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "DEATHS", 2)
    with Dask.local(2) as pool:
        once = {"once": (1,), "marks": tmp_path}
        done = {one.piece: one.value for one in results(pool, once, range(8))}
        assert done == {k: k * k for k in range(8)}
        done = {one.piece: one for one in results(pool, {"deadly": (3,)}, range(8))}
    assert isinstance(done[3].error, WorkersLost)
    assert "2 workers have ended at it, the last at tcp://" in str(done[3].error)
    assert [one.value for k, one in sorted(done.items()) if k != 3] == [k * k for k in range(8) if k != 3]


def test_work_whose_scheduler_is_killed_says_so(tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as (scheduler, file), Dask.at(str(file)) as pool:
        reading = results(pool, {"seconds": 0.1}, range(200))
        assert next(reading).error is None
        scheduler.kill()
        with pytest.raises(WorkersLost, match=r"the scheduler at tcp://.* is gone"):
            list(reading)
