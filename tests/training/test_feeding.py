"""Every batch is read once, a step ahead, and checked before it is used."""

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from ornstein import Euclidean, InputError
from ornstein.training import checking, checkpoints
from ornstein.training.batches import record_numbers
from ornstein.training.datasets import Arrays
from ornstein.training.feeding import Feed
from small_training import CONFIG, assert_same_run, data, trainer


@dataclass(frozen=True)
class Watched(Arrays):
    """Data that write down who asks for what, and read no faster than in `seconds`."""

    asked: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    seconds: float = 0.0

    def batch(self, index: torch.Tensor) -> tuple[Any, Any]:
        time.sleep(self.seconds)
        self.asked.append((threading.current_thread().name, tuple(index.tolist())))
        return super().batch(index)


def watched(seconds: float = 0.0) -> Watched:
    whole = data()
    return Watched(whole.x, whole.condition, seconds=seconds)


def test_each_batch_is_read_once_in_a_thread_that_ends(tmp_path: Path) -> None:
    records, config = watched(), replace(CONFIG, steps=12)
    run = trainer(tmp_path, config, records)
    run.fit(Fraction(1, 2))
    assert len(records.asked) == 6  # nothing is read that is not used
    run.fit()
    assert [index for _, index in records.asked] == [
        tuple(record_numbers(config.seed, step, 16, 100).tolist()) for step in range(12)
    ]
    assert all(name.startswith("ornstein-reading") for name, _ in records.asked)
    assert not any(thread.name.startswith("ornstein-reading") for thread in threading.enumerate())


def test_reading_overlaps_with_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading takes .05 s, and so does what follows each step: together they take as long as one of them."""

    def unhurried(feed: Feed, end: float) -> AbstractContextManager[None]:
        return nullcontext()

    def seconds(ahead: bool) -> float:
        run = trainer(tmp_path / f"{ahead}", replace(CONFIG, steps=20, save_every=99), watched(0.05))
        run.progress = lambda row: time.sleep(0.05)
        if not ahead:
            monkeypatch.setattr(Feed, "ahead", unhurried)
        began = time.monotonic()
        run.fit()
        return time.monotonic() - began

    assert seconds(True) < seconds(False) - 0.5
    assert_same_run(tmp_path / "True", tmp_path / "False")


def test_what_reading_raises_is_raised_at_its_step(tmp_path: Path) -> None:
    class Faulty(Watched):
        def batch(self, index: torch.Tensor) -> tuple[Any, Any]:
            if len(self.asked) == 7:
                raise OSError(5, "the disk is gone", "shard-7")
            return super().batch(index)

    whole = data()
    run = trainer(tmp_path, CONFIG, Faulty(whole.x, whole.condition))
    with pytest.raises(OSError, match="the disk is gone"):
        run.fit()
    assert run.step == 7
    assert checkpoints.load(tmp_path / "last.safetensors", "training")[1]["step"] == 5
    assert not any(thread.name.startswith("ornstein-reading") for thread in threading.enumerate())


def test_small_sets_are_checked_whole_and_large_ones_as_they_are_read() -> None:
    space, bad = Euclidean((2,)), 7_000

    def records(n: int) -> Watched:
        x = torch.zeros(n, 2)
        x[bad, 1] = torch.inf
        return Watched(x)

    with pytest.raises(InputError, match=r"training data: record 7000, element \(1,\) is inf"):
        checking.check_ahead(space, records(8_000), "training data")
    large = records(checking.SMALL + 1)
    checking.check_ahead(space, large, "training data")
    assert 0 < len(large.asked) < 3
    with pytest.raises(InputError, match=r"training data: record 7000, element \(1,\) is inf"):
        checking.read(space, large, torch.tensor([3, bad, 5]), "training data")
    with pytest.raises(InputError, match="validation data: no records"):
        checking.check_ahead(space, Arrays(torch.zeros(0, 2)), "validation data")


def test_an_infinite_condition_is_named_with_its_record() -> None:
    """One that is missing, NaN, is not at fault."""
    coarse = torch.zeros(6, 3, 2)
    coarse[1] = torch.nan
    data = Arrays(torch.zeros(6, 2), {"coarse": coarse})
    assert checking.read(Euclidean((2,)), data, torch.tensor([1, 4]), "data")[1]["coarse"].shape == (2, 3, 2)
    coarse[4, 2, 0] = -torch.inf
    with pytest.raises(InputError, match=r"^data: record 4, condition 'coarse' is infinite at \(2, 0\)"):
        checking.read(Euclidean((2,)), data, torch.tensor([1, 4]), "data")


def test_large_records_are_checked_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit into the memory that the check may take, and of sets of many numbers only the first of these."""
    monkeypatch.setattr(checking, "_NUMBERS_AT_ONCE", 64)
    records = Watched(torch.zeros(10, 24))
    checking.check_ahead(Euclidean((24,)), records, "training data")
    assert max(len(index) for _, index in records.asked) == 2
    assert {k for _, index in records.asked for k in index} == set(range(10))
    monkeypatch.setattr(checking, "SMALL_NUMBERS", 239)
    records = Watched(torch.zeros(10, 24))
    checking.check_ahead(Euclidean((24,)), records, "training data")
    assert [index for _, index in records.asked] == [(0,), (0, 1)]
