"""Requests of more than memory holds, portion by portion; on another grid; with as many samples as they speak of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ornstein import sample
from ornstein.denoisers.windows import windowed
from ornstein.disk import trees
from ornstein.errors import InputError
from ornstein.events import finished
from ornstein.tasks import requests
from ornstein.tasks.samples import read_samples
from ornstein.tasks.storage import keeping
from ornstein.tasks.storage.unfinished import part_of
from registering import registered
from stacks import EACH, Stacks, StacksRequest, model

FEW: dict[str, Any] = {"steps": 2}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(keeping, "SHARE", float("inf"))
    Stacks.asked_of.clear()
    with registered("stacks", "stacks:Stacks"):
        yield


def test_a_request_says_how_many_samples_it_is_and_is_made_portion_by_portion() -> None:
    drawn = requests.draw(model(), StacksRequest(layers=4), **FEW)
    assert len(drawn) == 4 * EACH
    assert Stacks.asked_of == [range(3), range(3, 6), range(6, 9), range(9, 12)]
    assert drawn.each["layer"] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert drawn.notes.count("of a stack") == 1
    assert (drawn.x[:, 0, 0, 0] - torch.tensor(drawn.each["layer"])).abs().max() < 0.1
    Stacks.asked_of.clear()
    assert len(requests.draw(model(), StacksRequest(), **FEW)) == requests.SOME
    assert Stacks.asked_of == [range(16)]
    assert len(requests.draw(model(), StacksRequest(layers=4), first=7, **FEW)) == 5
    with pytest.raises(InputError, match="samples 9 to 12 are asked for, but the request speaks of 12"):
        requests.draw(model(), StacksRequest(layers=4), 4, first=9)
    with pytest.raises(InputError, match="samples 12 to 12 are asked for, but the request speaks of 12"):
        requests.draw(model(), StacksRequest(layers=4), first=12)


def test_samples_are_the_same_by_their_number_whichever_portion_they_are_in() -> None:
    asked = StacksRequest(layers=3)
    whole = requests.draw(model(), asked, batch_size=2, **FEW)
    some = requests.draw(model(), asked, 4, first=2, batch_size=2, **FEW)
    assert some.x.equal(whole.x[2:6])
    assert some.each["layer"] == [0, 1, 1, 1]


def test_the_events_of_portions_count_up_to_the_end() -> None:
    found: list[Any] = []
    finished(requests.drawing(model(), StacksRequest(layers=3), **FEW), found.append)
    done = [event.done for event in found]
    assert {event.total for event in found} == {3}
    assert done == sorted(done)
    assert done[-1] == 3
    assert [event.result is not None for event in found] == [False] * (len(found) - 1) + [True]


def test_a_population_lies_within_one_portion() -> None:
    some: dict[str, Any] = {"exact": "particles", "particles": 4, **FEW}
    assert len(requests.draw(model(), StacksRequest(layers=3), 3, first=3, **some)) == 3
    with pytest.raises(InputError, match=r"samples 0 to 8 are of 3 posteriors of 3 samples each.*--first 0 --n 3"):
        requests.draw(model(), StacksRequest(layers=3), **some)


def test_a_network_that_knows_no_grid_draws_on_another_one(tmp_path: Path) -> None:
    asked = StacksRequest(layers=2, size=6)
    drawn = requests.draw(model(), asked, **FEW)
    assert drawn.x.shape == (6, 1, 6, 6)
    assert drawn.settings["metadata"] == {"shape": [1, 6, 6]}
    kept = requests.draw(model(), asked, out=tmp_path / "out", **FEW)
    assert kept.x.equal(drawn.x)
    again = read_samples(tmp_path / "out")
    assert again.x.equal(drawn.x)
    assert not list((tmp_path / "out").rglob("scratch"))
    assert read_samples(drawn.save(tmp_path / "saved")).x.equal(drawn.x)
    assert not list((tmp_path / "saved").rglob("scratch"))
    with pytest.raises(InputError, match=r"draws on the grid that it was trained on, not on Euclidean 1 × 6 × 6: .*"):
        requests.draw(model(anywhere=False), asked, **FEW)
    with pytest.raises(InputError, match=r"the request's metadata: field shape\[1\] is 100"):
        requests.draw(model(), StacksRequest(size=100), **FEW)


def test_a_field_larger_than_those_that_were_learned_is_drawn_by_windows(tmp_path: Path) -> None:
    asked = StacksRequest(size=10, windows=True)
    drawn = requests.draw(model(anywhere=False), asked, 2, **FEW)
    own = windowed(model(anywhere=False), (1, 10, 10), borders=("periodic",) * 2)
    assert drawn.x.equal(sample(own, 2, **FEW).x)
    assert drawn.nfe == 2 * len(own.tiling.windows)
    kept = requests.draw(model(anywhere=False), asked, 2, out=tmp_path / "out", **FEW)
    assert kept.x.equal(drawn.x)
    again = read_samples(tmp_path / "out")
    assert again.x.equal(drawn.x)
    assert again.settings["windows"] == {"borders": ["periodic", "periodic"]}


def test_what_was_cut_off_goes_on_without_reading_what_is_there(tmp_path: Path) -> None:
    asked, out = StacksRequest(layers=4, size=5), tmp_path / "out"
    whole = requests.draw(model(), asked, **FEW)
    stream = requests.drawing(model(), asked, out=out, **FEW)
    next(event for event in stream if event.finished is not None and event.finished.first == 5)
    stream.close()
    there = read_samples(out, unfinished=True)
    assert there.x.equal(whole.x[: len(there)])
    assert len(there) == 6
    with pytest.raises(InputError, match="drawn with n = 12"):
        requests.draw(model(), asked, 11, out=out, resume=True, **FEW)
    Stacks.asked_of.clear()
    requests.draw(model(), asked, out=out, resume=True, **FEW)
    assert Stacks.asked_of == [range(3), range(6, 9), range(9, 12)]  # the first says what is drawn
    assert read_samples(out).x.equal(whole.x)
    assert not part_of(out).exists()


def test_what_is_finished_is_kept_until_it_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, out = StacksRequest(layers=2), tmp_path / "out"

    def failing(*args: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("ornstein.tasks.samples.sync_tree", failing)
    with pytest.raises(OSError, match="the disk is full"):
        requests.draw(model(), asked, out=out, **FEW)
    monkeypatch.setattr("ornstein.tasks.samples.sync_tree", trees.sync_tree)
    Stacks.asked_of.clear()
    requests.draw(model(), asked, out=out, resume=True, **FEW)
    assert Stacks.asked_of == [range(3)]
    assert len(read_samples(out)) == 6
