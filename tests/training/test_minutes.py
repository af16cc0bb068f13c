"""Trainings of so many minutes end when the time does, and so does their schedule."""

import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ornstein import InputError
from ornstein.config import TrainConfig
from ornstein.errors import Interrupted
from ornstein.training.metrics import read_metrics
from ornstein.training.trainer import Trainer
from small_training import CONFIG, trainer


class Clock:
    """A machine on which every step takes 6 seconds of monotonic time, and nothing else does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("ornstein.training.trainer.time.monotonic", lambda: self.now)
        update = Trainer._update

        def slow(trainer: Trainer) -> dict[str, Any]:
            row = update(trainer)
            self.now += 6.0
            return row

        monkeypatch.setattr(Trainer, "_update", slow)


TIMED = replace(CONFIG, minutes=2.0, warmup=0, validate_every=99)


def test_minutes_end_the_run_and_its_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty steps of 6 seconds, at the rates of a run of twenty steps; train.steps, 40, is not used."""
    Clock(monkeypatch)
    trainer(tmp_path / "timed", TIMED).fit()
    trainer(tmp_path / "counted", replace(TIMED, minutes=None, steps=20)).fit()
    timed, counted = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("timed", "counted"))
    assert [row["learning_rate"] for row in timed] == pytest.approx([row["learning_rate"] for row in counted])
    assert len(timed) == 20
    assert [row["loss"] for row in timed] == pytest.approx([row["loss"] for row in counted])
    assert timed[-1]["minutes"] == pytest.approx(2.0)
    assert "validation" in timed[-1]
    assert "minutes" not in counted[-1]


def test_a_run_of_minutes_goes_on_with_the_time_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    run = trainer(tmp_path, TIMED, progress=lambda row: run.cancel() if row["step"] == 8 else None)
    with pytest.raises(Interrupted, match=r"stopped at step 8, after 0.8 of 2 minutes"):
        run.fit()
    clock.now += 1e6  # nobody is at work
    again = trainer(tmp_path, TIMED)
    again.resume()
    again.fit()
    assert again.step == 20
    more = trainer(tmp_path, replace(TIMED, minutes=3.0))
    more.resume()
    more.fit()
    assert more.step == 30


def test_shares_of_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds: each takes its part of the time."""
    Clock(monkeypatch)
    run = trainer(tmp_path, TIMED)
    ends = []
    for k in range(3):
        assert not run.reached(Fraction(k + 1, 3))
        run.fit(Fraction(k + 1, 3))
        ends.append(run.step)
    assert ends == [7, 14, 20]


def test_real_minutes_pass(tmp_path: Path) -> None:
    began = time.monotonic()
    run = trainer(tmp_path, replace(TIMED, minutes=0.02, save_every=1000, log_every=1000))
    run.fit()
    assert 1.2 <= time.monotonic() - began < 10
    assert run.step > 5


def test_what_a_training_is_to_be_is_said() -> None:
    assert TrainConfig(steps=7).length == "7 steps"
    assert TrainConfig(minutes=1.5).length == (
        "1.5 minutes (train.minutes is given, so train.steps = 2000 is not used)"
    )
    with pytest.raises(InputError, match=r"train.minutes is 0.0, expected a number in \(0, inf\)"):
        TrainConfig(minutes=0.0)
