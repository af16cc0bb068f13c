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
from ornstein.training.devices import bf16_pays, bf16_slowdown, bf16_units, of_precision, precision_of
from ornstein.training.trainer import Trainer
from small_training import CONFIG, trainer


def pretend(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None, units: bool = False, slowdown: float = 1.0
) -> None:
    """A machine with such a GPU, or with none, and a CPU that has units for bf16 and takes so much of the time."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(devices, "bf16_units", lambda: units)
    monkeypatch.setattr(devices, "_slowdown", lambda: slowdown)


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


@pytest.mark.parametrize(
    ("units", "slowdown", "chosen", "said"),
    [
        (True, 0.51, "bf16-mixed", "CPU, whose products in bf16 take 0.51 of the time of float32"),
        (True, 0.95, "32-true", "CPU, whose products in bf16 take 0.95 of the time of float32"),
        (False, 0.51, "32-true", "CPU, which has no bf16 units"),
        (False, 31.5, "32-true", "CPU, which has no bf16 units"),
    ],
)
def test_auto_takes_bf16_on_cpus_that_are_faster_in_it(
    units: bool, slowdown: float, chosen: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for capability, device in ((None, "auto"), ((7, 0), "cpu"), ((9, 0), "cpu")):
        pretend(monkeypatch, capability, units, slowdown)
        config = replace(TrainConfig(), device=device)
        assert precision_of(config) == chosen
        assert of_precision(config) == f"arithmetic: {chosen}, chosen for this {said} (train.precision = auto)"
    pretend(monkeypatch, (7, 0), units, slowdown)  # what the CPU can says nothing of a GPU
    assert precision_of(TrainConfig()) == "32-true"


@pytest.mark.parametrize(
    ("cpuinfo", "units"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\nbugs : none\n", True),
        ("flags\t\t: fpu avx512f\nmodel name\t: it has avx512_bf16\n", False),
        ("flags\t\t: avx512_bf16\nflags\t\t: avx512f\n", False),  # cores of two kinds
        ("", False),
        (None, False),
    ],
)
def test_units_are_what_the_processor_says(cpuinfo: str | None, units: bool, tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    assert bf16_units(path) == units


def test_the_speed_of_bf16_is_only_measured_where_there_are_units(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(devices, "_slowdown", lambda: asked.append(True) or 0.5)
    for units in (False, True):
        monkeypatch.setattr(devices, "bf16_units", lambda units=units: units)
        assert bf16_pays() == units
    assert asked == [True]


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


def test_a_resume_on_a_cpu_with_bf16_goes_on_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, steps=40, precision="auto")
    first = begun(tmp_path, config, progress=lambda row: row["step"] == 2 and first.cancel())
    with pytest.raises(Interrupted):
        first.fit()
    pretend(monkeypatch, None, units=True, slowdown=0.5)
    again = begun(tmp_path, config)
    assert again.resume() == ["the arithmetic was 32-true and is bf16-mixed from here on (train.precision)"]
    assert again.precision == again.fabric._precision.precision == "bf16-mixed"
    assert again._update()["loss"] > 0


def test_a_resume_in_the_middle_has_nothing_to_say(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=40, warmup=10)
    first = begun(tmp_path, config, progress=lambda row: row["step"] == 2 and first.cancel())
    with pytest.raises(Interrupted, match="stopped at step 2 of 40"):
        first.fit()
    assert begun(tmp_path, config).resume() == []
