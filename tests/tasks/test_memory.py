"""What cannot be held is refused before any work, and what is no sample is not saved."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ornstein as on
from folders import origin, run, states
from ornstein import InputError
from ornstein.cli import main
from ornstein.distributed.ranks import Ranks
from ornstein.errors import SamplingError
from ornstein.tasks import memory, runs
from ornstein.tasks.memory import available
from ornstein.tasks.samples import Samples, not_finite
from ornstein.training import checkpoints
from worlds import line

HELD = "is 1000000000"
FLAGS = {
    "--n": "are 1,000,000,000, expected 5,000,000 at most",  # what a folder can say of its samples
    "--batch-size": HELD,
    "--exact=particles --particles": HELD,
    "--exact=mcmc --particles": HELD,
}


@pytest.mark.parametrize("flag", FLAGS)
def test_more_than_can_be_held_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "run")
    begun = time.monotonic()
    assert main(["sample", "run", *flag.split(), "1000000000", "--out", "out"]) == 2
    assert time.monotonic() - begun < 2
    error = capsys.readouterr().err
    assert FLAGS[flag] in error
    assert ("GB at least" in error) == (FLAGS[flag] == HELD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_batch_that_cannot_be_held_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = runs.recipe("images", "digits")
    big = replace(config, train=replace(config.train, batch_size=10**7))
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    message = r"train.batch_size is 10000000: a batch needs 10.6 GB at least, 1 GB are free"
    with pytest.raises(InputError, match=message):
        runs.train("images", "digits", big, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_ranks_share_the_particles_and_each_holds_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    model = line()
    monkeypatch.setattr(memory, "available", lambda: 10_000 * memory._bytes(model))
    two_machines = Ranks(0, 8, "cpu", beside=4)
    memory.require_room(model, two_machines, particles=20_000, n=2500)
    with pytest.raises(InputError, match=r"particles is 20008: .* GB at least for 4 of 8 ranks"):
        memory.require_room(model, two_machines, particles=20_008)
    with pytest.raises(InputError, match="n is 2501"):
        memory.require_room(model, two_machines, n=2501)


def test_python_refuses_it_too() -> None:
    with pytest.raises(InputError, match=r"n is 1000000000: so many samples need .* GB at least"):
        on.sample(line(), 10**9, 3)
    with pytest.raises(InputError, match="particles is 1000000000"):
        on.sample(line(), 2, 3, exact="particles", particles=10**9)
    assert 10**7 < available() < 10**15


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_not_finite_is_said_and_not_saved(tmp_path: Path, wrong: float) -> None:
    x, condition = states("images", 3)
    x[1, 0, 2, 2] = wrong
    samples = Samples(x, condition, origin("images"), settings={"seed": 0})
    with pytest.raises(SamplingError, match=r"out: 1 of 3 samples are not finite numbers") as error:
        samples.save(tmp_path / "out")
    assert error.value.exit_code == 1
    assert not list(tmp_path.iterdir())
    assert not_finite({"a": torch.zeros(3, dtype=torch.int64), "b": x}) == not_finite(x)
    assert replace(samples, x=x.nan_to_num(0, 0)).save(tmp_path / "out").is_dir()


def test_drawn_nan_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run(tmp_path / "run") / "model.safetensors"
    tensors, meta = checkpoints.load(path, "model")
    checkpoints.save(path, "model", {name: value + 1e30 for name, value in tensors.items()}, meta)
    assert main(["sample", str(path), "--n", "2", "--steps", "2", "--out", str(tmp_path / "out")]) == 1
    assert "samples are not finite numbers (NaN or ±∞); nothing was saved" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_guidance_beyond_all_numbers_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert main(["sample", "images/digits", "--label", "3", "--guidance", "1e30", "--out", "out"]) == 2
    assert "guidance is 1e+30, expected a number in [0, 1e6]" in " ".join(capsys.readouterr().err.split())
