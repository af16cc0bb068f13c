"""Shards: who draws a sample changes nothing, and nothing is lost or drawn twice, whoever is killed."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ornstein as on
from clusters import cluster
from folders import manifest
from killing import started, workers_of
from ornstein.cli import main
from ornstein.distributed.pools import Dask, Done, Here, Pool, WorkersLost
from ornstein.domains.energies import metrics
from ornstein.domains.energies.task import Energies, EnergiesRequest
from ornstein.errors import InputError
from ornstein.events import Event, finished
from ornstein.spaces import Euclidean
from ornstein.tasks.parallel import shards as cut
from ornstein.tasks.parallel.shards import Order, shard_size, shards
from ornstein.tasks.planning import Portion, portions
from ornstein.tasks.requests import draw, drawing
from ornstein.tasks.samples import Samples
from ornstein.tasks.storage import shelves
from ornstein.tasks.storage.identity import digest_of
from ornstein.tasks.storage.intervals import Intervals
from ornstein.tasks.storage.shelves import Shelf
from ornstein.tasks.storage.unfinished import counted, part_of, read_members
from ornstein.tasks.strength import MomentConstraint
from ornstein.tasks.task import Request

ASKED = EnergiesRequest()
SMALL: dict[str, Any] = {"n": 21, "first": 3, "steps": 2, "batch_size": 4, "threads": 1}
"""Samples 3 to 23 in blocks of four, of which the first is cut: 3, 4 to 7, ..., 20 to 23."""


@pytest.fixture(scope="module")
def model() -> Any:
    return on.load("energies/gmm-40")


@pytest.fixture(scope="module")
def threads() -> Iterator[Pool]:
    with Dask.local(2, processes=False) as pool:
        yield pool


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "figures", lambda first, energies, system: [])


class Ending(Here):
    """Workers that are all lost after so many shards; they remember what they were given."""

    def __init__(self, after: int = 10**9) -> None:
        self.after, self.given = after, list[range]()

    def results(self, work: Callable[[Any, Any], Any], shared: Any, pieces: Sequence[Any]) -> Iterator[Done[Any, Any]]:
        for k, piece in enumerate(pieces):
            if k == self.after:
                raise WorkersLost("all workers are gone")
            self.given.append(piece)
            yield Done(piece, work(shared, piece))


# How samples are cut ----------------------------------------------------------------------------------


def test_intervals_are_sets() -> None:
    torch.manual_seed(0)
    for _ in range(50):
        rows, numbers = Intervals(), set[int]()
        for _ in range(12):
            low, size, ask = torch.randint(0, 30, (3,)).tolist()
            row, asked = range(low, low + size % 6), range(ask, ask + size % 7)
            rows.add(row)
            numbers |= set(row)
            assert rows.covers(asked) == numbers.issuperset(asked)
            assert rows.meets(asked) == bool(numbers & set(asked))
            assert [number for one in rows for number in one] == sorted(numbers)
            assert len(rows) == len(numbers)
    assert [*Intervals([range(2, 4), range(2)])] == [range(4)]


def test_every_number_is_in_one_shard_and_blocks_are_whole() -> None:
    one = [Portion(range(3, 24))]
    assert shards(one, 4, 8) == [range(3, 8), range(8, 16), range(16, 24)]
    there = Intervals([range(4, 8), range(16, 20)])
    assert shards(one, 4, 8, there.covers) == [range(3, 4), range(8, 16), range(20, 24)]
    assert shards(one, 4, 100, there.covers) == [range(3, 4), range(8, 16), range(20, 24)]
    assert shards(one, 4, 4, Intervals([range(3, 24)]).covers) == []
    parts = portions(range(5, 25), 10, "off")  # blocks are counted from the start of each portion
    assert shards(parts, 4, 8) == [range(5, 8), range(8, 10), range(10, 18), range(18, 20), range(20, 25)]


def test_shards_are_of_whole_units_from_the_first_block_that_begins_one() -> None:
    units, one = range(10, 70, 12), [Portion(range(2, 40))]
    assert shards(one, 2, 12, units=units) == [range(2, 10), range(10, 22), range(22, 34), range(34, 40)]
    assert shards(one, 5, 60, units=units) == [range(2, 10), range(10, 40)]
    assert shards(one, 2, 8, units=units) == shards(one, 2, 8)  # of no whole units
    assert shards(one, 4, 12, units=range(9, 70, 12)) == shards(one, 4, 12)  # none begins with a block
    parts = portions(range(2, 40), 20, "off")  # units do not end where portions do
    ends = [range(2, 10), range(10, 20), range(20, 22), range(22, 34), range(34, 40)]
    assert shards(parts, 2, 12, units=units) == ends


def test_shards_are_few_and_small() -> None:
    space = Euclidean((250,))  # of 1000 bytes
    assert shard_size(None, 16, 100, space) == 16
    assert shard_size(None, 16, 16 * 513, space) == 32
    assert shard_size(None, 16, 10**7, space) == 32_768  # 64 MB hold 64,000
    assert shard_size(None, 200_000, 10**7, space) == 200_000
    assert shard_size(48, 16, 10**6, space) == 48
    units = range(0, 10**7, 24)
    assert shard_size(None, 16, 1000, space, units, workers=2) == 48
    assert shard_size(None, 16, 96 * 512, space, units, workers=2) == 96
    assert shard_size(None, 16, 48 * 4 - 1, space, units, workers=2) == 16  # too few for two workers
    assert shard_size(None, 16, 1000, space, units) == 16  # there may be many workers
    assert shard_size(None, 16, 10**7, space, range(0, 10**7, 64_001), workers=2) == 32_768  # more than memory holds
    assert shard_size(32, 16, 1000, space, units, workers=2) == 32
    for said in (0, 40):
        with pytest.raises(InputError, match=f"shard is {said}, expected a multiple of batch_size, which is 16"):
            shard_size(said, 16, 10**6, space)


# Who draws --------------------------------------------------------------------------------------------


AT_ANY_TIME: Any = {"x": 0, "seconds": 0, "created": ""}
"""What is compared otherwise, or depends on when it is drawn."""


def assert_same_wherever(pools: Sequence[Pool | Any], model: Any, folder: Path) -> None:
    """The samples of one process are those of workers, in the files and in memory, bit for bit."""
    whole = draw(model, ASKED, **SMALL, out=folder / "whole")
    for k, pool in enumerate(pools):
        found = draw(model, ASKED, **SMALL, shard=8, on=pool, out=folder / str(k))
        assert manifest(folder / str(k)) == manifest(folder / "whole")
        sent = draw(model, ASKED, **SMALL, on=pool)
        for samples in (found, sent):
            assert samples.x.equal(whole.x)
            assert replace(samples, **AT_ANY_TIME) == replace(whole, **AT_ANY_TIME)


def test_who_draws_changes_nothing(model: Any, threads: Any, tmp_path: Path) -> None:
    assert_same_wherever([Here(), threads, threads.client], model, tmp_path)


def test_workers_that_count_from_their_own_start_are_seen(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cut.draw_shard

    def twin(order: Order, numbers: range) -> Any:
        bare = replace(order, shelf=None)
        drawn = real(bare, range(len(numbers)))
        assert isinstance(drawn, Samples)
        own = replace(drawn, settings={**drawn.settings, "first": numbers.start}, origin=order.asking.model.origin)
        return own if order.shelf is None else order.shelf.put_late(own)

    monkeypatch.setattr(cut, "draw_shard", twin)
    with pytest.raises(AssertionError):
        assert_same_wherever([Here()], model, tmp_path)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every request has a guide that is fitted to the model; with how many threads that was done, each time."""
    real, threads = MomentConstraint.guiding, list[int]()
    asked = Energies.request

    def guided(self: Energies, *said: Any) -> Request:
        return replace(asked(self, *said), guides=[MomentConstraint(torch.tensor([1.0, 0.0]), 2.0, n=32, steps=2)])

    def watched(self: MomentConstraint, denoiser: Any) -> Any:
        threads.append(torch.get_num_threads())
        return real(self, denoiser)

    monkeypatch.setattr(Energies, "request", guided)
    monkeypatch.setattr(MomentConstraint, "guiding", watched)
    return threads


def test_a_guide_is_fitted_once_as_in_one_process(model: Any, threads: Any, fits: list[int], tmp_path: Path) -> None:
    """By the command, with the threads of a worker: one more could change its last digit."""
    draw(model, ASKED, **SMALL, out=tmp_path / "whole")
    with cut.threads_of(2):
        draw(model, ASKED, **SMALL, shard=8, on=threads, out=tmp_path / "spread")
    assert manifest(tmp_path / "spread") == manifest(tmp_path / "whole")
    assert fits == [1, 1]
    with pytest.raises(InputError, match="MomentConstraint is fitted to the model by drawing from it"):
        draw(model, ASKED, **SMALL, device="cuda", on=threads)
    assert fits == [1, 1]


def test_samples_of_any_denoiser_are_drawn_by_workers(model: Any, threads: Any) -> None:
    said: dict[str, Any] = {"first": 5, "steps": 2, "batch_size": 4, "seed": 2}
    with cut.threads_of(1):
        whole = on.sample(model, 30, **said)
    found = on.sample(model, 30, **said, on=threads.client)
    assert found.x.equal(whole.x)
    assert replace(found, x=0, seconds=0) == replace(whole, x=0, seconds=0)
    with pytest.raises(InputError, match="say how many are one, as batch_size=64"):
        on.sample(model, 30, on=threads)
    with pytest.raises(InputError, match="on is for independent samples; with exact='particles'"):
        on.sample(model, 30, exact="particles", on=threads)


def test_progress_counts_samples(model: Any, tmp_path: Path) -> None:
    events: list[Event] = []
    finished(drawing(model, ASKED, **SMALL, shard=8, on=Here(), out=tmp_path / "out"), events.append)
    assert [(one.done, one.total) for one in events] == [(0, 21), (5, 21), (13, 21), (21, 21), (21, 21)]
    assert [one.stage for one in events] == ["sampling on 1 worker"] * 4 + ["written"]


# What is refused --------------------------------------------------------------------------------------


REFUSED: dict[str, dict[str, Any]] = {
    "exact=particles draws one population.*torchrun": {"exact": "particles", "batch_size": None},
    "exact=mcmc draws one set of samples": {"exact": "mcmc", "batch_size": None},
    "shard is 6, expected a multiple of batch_size, which is 4": {"shard": 6},
    "on is str, expected a distributed.Client": {"on": "dask"},
    "shard is 8, but samples are drawn here": {"shard": 8, "on": None},
    "device is 'cpu', but samples are drawn here": {"device": "cpu", "on": None},
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_has_no_meaning_is_refused(said: str, model: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        draw(model, ASKED, **{**SMALL, "on": Here(), **REFUSED[said]}, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--workers 2", "--workers is for --on"),
        ("--scheduler tcp://127.0.0.1:9", "--scheduler is for --on"),
        ("--on dask --workers 2 --scheduler x", "give one"),
        ("--on dask --scheduler nowhere", "scheduler is 'nowhere', expected an address"),
    ],
)
def test_flags_that_have_no_meaning_are_refused(
    flags: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", "energies/gmm-40", "--n", "4", "--out", str(tmp_path / "out"), *flags.split()]
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_worker_that_would_draw_others_is_refused(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"the worker on .* has no CUDA device"):
        draw(model, ASKED, **SMALL, device="cuda", on=Here())
    real = cut.arithmetic
    found = iter([real("cpu"), {**real("cpu"), "torch": "1.0"}])  # of whoever gives out the work, and of the worker
    monkeypatch.setattr(cut, "arithmetic", lambda device: next(found))
    with pytest.raises(InputError, match=r"the worker on .* has torch 1\.0, whoever gives out the work has .*"):
        draw(model, ASKED, **SMALL, on=Here(), out=tmp_path / "out")


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_worker_that_comes_late_leaves_nothing(
    moment: str, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stood still while others drew its shard, all was finished, and the folder went."""
    part = part_of(tmp_path / "out")
    with pytest.raises(WorkersLost):
        draw(model, ASKED, **SMALL, shard=4, on=Ending(2), out=tmp_path / "out")
    shelf = Shelf(part, model.origin, range(3, 24), digest_of(read_members(part)["drawn"]))
    samples = draw(model, ASKED, **{**SMALL, "n": 1})
    if moment == "before":
        shutil.rmtree(part)
    else:
        real = shelves.pack
        monkeypatch.setattr(shelves, "pack", lambda *said: (shutil.rmtree(part), real(*said)))
    with pytest.raises(InputError, match="is not there"):
        shelf.put_late(samples)
    assert not part.exists()


def test_a_worker_that_does_not_see_the_folder_is_refused(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cut.draw_shard

    def hidden(order: Order, numbers: range) -> Any:
        part_of(tmp_path / "out").rename(tmp_path / "away")
        return real(order, numbers)

    monkeypatch.setattr(cut, "draw_shard", hidden)
    with pytest.raises(InputError, match=r"the worker on .*out\.part is not there: .* a shared file system"):
        draw(model, ASKED, **SMALL, on=Here(), out=tmp_path / "out")


# What is left, and goes on ----------------------------------------------------------------------------


def test_what_is_whole_is_not_drawn_again(model: Any, tmp_path: Path) -> None:
    """A shard that nobody has named is taken in; one that is cut off, one of another draw and an odd file are not."""
    whole, out = draw(model, ASKED, **SMALL), tmp_path / "out"
    with pytest.raises(WorkersLost, match="all workers are gone") as error:
        draw(model, ASKED, **SMALL, shard=4, on=Ending(4), out=out)
    assert error.value.__notes__ == [
        f"13 of 21 samples are whole (3 to 15) in {out}.part; the same command with --resume goes on"
    ]
    part = part_of(out)
    said = read_members(part)
    named = {**said, "blocks": said["blocks"][:1]}  # as if it was killed before it could name the others
    (part / "members.json").write_text(json.dumps(named))
    cut_off = part / "00000008-4.safetensors"
    cut_off.write_bytes(cut_off.read_bytes()[:-9])
    with pytest.raises(WorkersLost):  # of other samples: its blocks are none of these
        draw(model, ASKED, **SMALL, seed=1, shard=4, on=Ending(2), out=tmp_path / "other")
    (part_of(tmp_path / "other") / "00000004-4.safetensors").rename(part / "00000016-4.safetensors")
    pool = Ending()
    found = draw(model, ASKED, **SMALL, shard=8, on=pool, out=out, resume=True)
    assert pool.given == [range(8, 12), range(16, 24)]
    assert found.x.equal(whole.x)
    draw(model, ASKED, **SMALL, out=tmp_path / "whole")
    assert manifest(out) == manifest(tmp_path / "whole")


def test_what_workers_began_this_process_ends_with_as_many_threads(model: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(WorkersLost):
        draw(model, ASKED, **SMALL, on=Ending(2), out=out)
    with pytest.raises(InputError, match="drawn with 1 threads a process, asked for are 2: --threads 1"):
        draw(model, ASKED, **{**SMALL, "threads": 2}, out=out, resume=True)
    before = torch.get_num_threads()
    assert draw(model, ASKED, **SMALL, out=out, resume=True).x.equal(draw(model, ASKED, **SMALL).x)
    assert torch.get_num_threads() == before


def test_an_error_of_a_worker_ends_the_work(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cut.draw_shard

    def failing(order: Order, numbers: range) -> Any:
        if numbers.start == 8:
            raise InputError("no such thing")
        return real(order, numbers)

    monkeypatch.setattr(cut, "draw_shard", failing)
    with pytest.raises(InputError, match="no such thing") as error:
        draw(model, ASKED, **SMALL, shard=4, on=Here(), out=tmp_path / "out")
    assert "5 of 21 samples are whole (3 to 7)" in error.value.__notes__[0]


# Processes that are killed ----------------------------------------------------------------------------

COMMAND = ["sample", "energies/gmm-40", "--n", "600", "--batch-size", "50", "--steps", "40", "--threads", "1"]


def shards_in(out: Path) -> int:
    return len(list(part_of(out).glob("*-50.safetensors")))


def wait_for(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many shards are whole."""
    ends = time.monotonic() + 300
    while shards_in(out) < count and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.01)
    assert process.poll() is None
    assert shards_in(out) >= count


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process writes."""
    out = tmp_path_factory.mktemp("expected") / "out"
    assert main([*COMMAND, "--out", str(out)]) == 0
    return manifest(out)


def test_a_killed_worker_loses_nothing(tmp_path: Path, expected: dict[str, Any]) -> None:
    out = tmp_path / "out"
    process = started(*COMMAND, "--out", str(out), "--on", "dask", "--workers", "2", "--shard", "50")
    wait_for(out, 3, process)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    assert process.wait(300) == 0
    assert manifest(out) == expected


def test_a_killed_command_leaves_no_workers_and_goes_on(tmp_path: Path, expected: dict[str, Any]) -> None:
    out = tmp_path / "out"
    process = started(*COMMAND, "--out", str(out), "--on", "dask", "--workers", "2", "--shard", "50")
    wait_for(out, 3, process)
    workers = workers_of(process.pid)
    process.kill()
    process.wait()
    ends = time.monotonic() + 20
    while any(Path(f"/proc/{one}").exists() for one in workers) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{one}").exists() for one in workers)
    before = {path.name: path.stat().st_mtime_ns for path in part_of(out).glob("*-50.safetensors")}
    again = started(*COMMAND, "--out", str(out), "--on", "dask", "--workers", "1", "--shard", "100", "--resume")
    wait_for(out, len(before), again)
    assert again.wait(300) == 0
    assert manifest(out) == expected


def test_a_killed_scheduler_ends_the_command_which_goes_on(tmp_path: Path, expected: dict[str, Any]) -> None:
    out = tmp_path / "out"
    with cluster(tmp_path, 2) as (scheduler, file):
        process = started(*COMMAND, "--out", str(out), "--on", "dask", "--scheduler", str(file), "--shard", "50")
        wait_for(out, 3, process)
        scheduler.kill()
        assert process.wait(120) == 3
        assert process.stderr is not None
        said = process.stderr.read()
    assert "the scheduler at tcp://" in said
    assert "samples are whole" in said
    assert "--resume goes on" in said
    assert counted(read_members(part_of(out))).split()[0] not in ("0", "600")
    assert started(*COMMAND, "--out", str(out), "--resume").wait(300) == 0
    assert manifest(out) == expected
