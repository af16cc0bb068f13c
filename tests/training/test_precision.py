"""The arithmetic of a training: what auto takes, what is said of it, and what a resume elsewhere says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ornstein.config import TrainConfig, read_toml, to_dict
from ornstein.errors import Interrupted
from ornstein.tasks.registry import domains, task
from ornstein.training import checkpoints, devices
from ornstein.training.devices import bf16_slowdown, of_precision, precision_of
from ornstein.training.trainer import Trainer
from small_training import CONFIG, trainer


def pretend(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None) -> None:
    """A machine with such a GPU, or with none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)


@pytest.mark.parametrize(
    ("capability", "device", "chosen"),
    [
        (None, "auto", "32-true"),
        ((7, 5), "auto", "32-true"),
        ((8, 0), "auto", "bf16-mixed"),
        ((9, 0), "cuda", "bf16-mixed"),
        ((9, 0), "cpu", "32-true"),
    ],
)
def test_auto_takes_bf16_on_gpus_that_have_it(
    capability: tuple[int, int] | None, device: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, capability)
    config = replace(TrainConfig(), device=device)
    assert precision_of(config) == chosen
    assert f"{chosen}, chosen for this" in of_precision(config)


@pytest.mark.parametrize("said", ["32-true", "bf16-mixed"])
def test_what_is_said_is_obeyed(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for capability in (None, (7, 0), (9, 0)):
        pretend(monkeypatch, capability)
        assert precision_of(TrainConfig(precision=said)) == said  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("slower", "warned"), [(31.46, True), (0.6, False)])
def test_bf16_on_a_cpu_without_it_is_warned_of(slower: float, warned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, None)
    monkeypatch.setattr(devices, "bf16_slowdown", lambda: slower)
    said = of_precision(TrainConfig(precision="bf16-mixed"))
    assert ("bf16 takes 31.5 times as long as 32-true: take auto" in said) == warned


def test_the_slowdown_is_a_ratio_of_times() -> None:
    assert 0.01 < bf16_slowdown(size=64, repeats=2) < 1000


def test_recipes_leave_the_arithmetic_to_the_machine() -> None:
    for domain in domains():
        for path in (task(domain).folder / "recipes").glob("*.toml"):
            assert "precision" not in read_toml(path).get("train", {}), path


def begun(folder: Path, config: TrainConfig, **options: Any) -> Trainer:
    """A trainer whose checkpoints say how it was configured."""
    made = trainer(folder, config, **options)
    made.meta["config"] = {"train": to_dict(config)}
    return made


def test_a_resume_says_what_is_otherwise(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=3, warmup=0)
    begun(tmp_path, config).fit()
    assert checkpoints.load(tmp_path / "last.safetensors", "training")[1]["precision"] == "32-true"
    again = begun(tmp_path, replace(config, steps=30))
    again.precision = "bf16-mixed"
    arithmetic, rate = again.resume()
    assert arithmetic == "the arithmetic was 32-true and is bf16-mixed from here on (train.precision)"
    assert rate.startswith("the learning rate ended at 0.0025, by its schedule over 3 steps, and goes on from 0.0099")


def test_a_resume_in_the_middle_has_nothing_to_say(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=40, warmup=10)
    first = begun(tmp_path, config, progress=lambda row: row["step"] == 2 and first.cancel())
    with pytest.raises(Interrupted, match="stopped at step 2 of 40"):
        first.fit()
    assert begun(tmp_path, config).resume() == []
