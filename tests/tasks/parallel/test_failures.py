"""The command while what draws for it fails: workers that a shard ends, that are killed, or that never come."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clusters import cluster
from folders import manifest
from killing import started, workers_of
from ornstein.cli import main
from ornstein.distributed import absence
from ornstein.distributed.absence import Absence, Waiting, WorkersLost
from ornstein.distributed.pools import Dask, Done, Here
from ornstein.errors import Incomplete, InputError, SamplingError, exit_code, why
from ornstein.events import Event
from ornstein.events.progress import Lines
from ornstein.tasks.parallel.counting import counted, told
from ornstein.tasks.storage.unfinished import part_of

COMMAND = ["sample", "energies/gmm-40", "--n", "300", "--batch-size", "25", "--steps", "20", "--threads", "1"]
SPREAD = ["--on", "dask", "--workers", "2", "--shard", "25"]


# Workers that are not there ---------------------------------------------------------------------------


def test_workers_are_waited_for_as_long_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told at once and then now and then; any worker that comes ends it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(absence, "time", SimpleNamespace(monotonic=lambda: clock.now))
    watched, heard = Absence("the scheduler", 90.0), []
    for workers, seconds in [(0, 10), (0, 21), (0, 20), (1, 50), (0, 40), (0, 89)]:
        heard.append(watched.seen(workers))
        clock.now += seconds
    assert [one is not None for one in heard] == [True, False, True, False, True, True]
    assert (
        str(heard[2]) == "waiting for workers: the scheduler has had 0 for 31 s; without any the work ends after 90 s"
    )
    with pytest.raises(WorkersLost, match=r"the scheduler has had no worker for 129 s: .*--patience SECONDS"):
        watched.seen(0)


def test_who_waits_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    event = told(Here(), 3, 9, Waiting("the scheduler", 0.0, 600.0))
    assert event == Event(3, 9, str(Waiting("the scheduler", 0.0, 600.0)), waits=True)
    Lines()(event)
    assert capsys.readouterr().err == (
        "waiting for workers: the scheduler has 0; without any the work ends after 600 s (3 of 9 are there)\n"
    )


def echo(shared: Any, piece: Any) -> Any:
    return piece


def test_a_scheduler_without_workers_ends_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with cluster(tmp_path, 0) as (_, file):
        words = ["--on", "dask", "--scheduler", str(file), "--patience", "1", "--out", str(tmp_path / "out")]
        assert main([*COMMAND, *words]) == 3
        said = capsys.readouterr().err
        assert "waiting for workers: the scheduler at tcp://127.0.0.1" in said
        assert "has had no worker for" in said
        assert not part_of(tmp_path / "out").exists()
        with Dask.at(str(file), patience=1) as pool, pytest.raises(WorkersLost):
            assert all(isinstance(one, Waiting) for one in pool.results(echo, None, [1, 2]))


# Shards that fail -------------------------------------------------------------------------------------


def ended(*errors: Exception | None) -> Iterator[Done[Any, Any]]:
    for k, error in enumerate(errors):
        yield Done(range(8 * k, 8 * k + 8), k, error)


def test_a_shard_that_fails_by_itself_costs_no_other() -> None:
    found = list[Any]()
    with pytest.raises(Incomplete) as error:
        found.extend(counted(ended(None, SamplingError("not finite"), MemoryError(), WorkersLost("5 ended"), None), 0))
    assert str(error.value).startswith("samples 8 to 15: not finite; samples 16 to 23: out of memory")
    assert str(error.value).endswith("samples 24 to 31: 5 ended")
    assert exit_code(error.value) == 3
    results = counted(ended(None, SamplingError("not finite"), None), 0)
    assert [next(results), next(results)] == [(0, 8), (2, 16)]
    with pytest.raises(InputError, match="wrong") as wrong:  # which all would find
        list(counted(ended(SamplingError("not finite"), InputError("wrong"), None), 0))
    assert why(wrong.value) == "wrong; samples 0 to 7: not finite"


@pytest.mark.parametrize(("first", "tried"), [(None, 8), (WorkersLost("gone"), 2)])
def test_where_many_fail_the_others_are_given_up(first: Exception | None, tried: int) -> None:
    results = ended(first, *[WorkersLost("gone")] * 20)
    with pytest.raises(Incomplete, match=rf"samples {8 * tried} to {8 * tried + 7}: gone; the others were given up"):
        list(counted(results, 0))


POISON = """
import importlib.util, os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "ornstein.tasks.storage.shelves":
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            spec.loader.exec_module = lambda module, load=spec.loader.exec_module: poisoned(load, module)
            return spec

def poisoned(load, module):
    load(module)
    put = module.Shelves.put_late
    def put_late(shelf, samples):
        if samples.first == 50:
            os.kill(os.getpid(), signal.SIGSEGV)
        return put(shelf, samples)
    module.Shelves.put_late = put_late

sys.meta_path.insert(0, Finder())
"""
"""A sitecustomize.py: whoever draws samples 50 to 74 ends with a fault of memory, each time."""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process writes."""
    out = tmp_path_factory.mktemp("expected") / "out"
    assert main([*COMMAND, "--out", str(out)]) == 0
    return manifest(out)


def test_a_shard_that_ends_its_workers_is_named_and_the_others_drawn(tmp_path: Path, expected: dict[str, Any]) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(POISON)
    out = tmp_path / "out"
    process = started(*COMMAND, *SPREAD, "--out", str(out), path=tmp_path / "path")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 3
    assert "samples 50 to 74: 5 workers have ended at it" in said
    assert "275 of 300 samples are whole (0 to 49, 75 to 299)" in said
    assert started(*COMMAND, "--out", str(out), "--resume").wait(300) == 0
    assert manifest(out) == expected


# Kills while workers write to a URL -------------------------------------------------------------------


def wait_for(place: Path, shards: int, process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + 300
    while len(list(place.glob("shards/*"))) < shards and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.01)
    assert process.poll() is None


def test_kills_while_a_url_is_written_lose_nothing(tmp_path: Path, expected: dict[str, Any]) -> None:
    """A worker and the command itself, twice; a shard that was cut off by it is drawn again, and no other."""
    place = tmp_path / "run"
    words = ["--out", f"file://{place}", *SPREAD]
    process = started(*COMMAND, *words)
    wait_for(place, 2, process)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    wait_for(place, 4, process)
    process.kill()
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in sorted(place.glob("shards/*"))}
    cut_off = place / "shards" / next(iter(before))
    cut_off.write_bytes(cut_off.read_bytes()[:-9])
    process = started(*COMMAND, *words, "--resume")
    wait_for(place, len(before) + 2, process)
    process.kill()
    process.wait()
    assert started(*COMMAND, *words, "--resume").wait(300) == 0
    after = {path.name: path.stat().st_mtime_ns for path in sorted(place.glob("shards/*"))}
    assert len(after) == 12
    assert {name for name, at in before.items() if after[name] != at} == {cut_off.name}
    assert main(["merge", f"file://{place}", "--out", str(tmp_path / "merged")]) == 0
    assert manifest(tmp_path / "merged") == expected
