"""The arithmetic of the benchmarks of pictures, and that both sides evaluate the network equally often."""

from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import ornstein as on
from ornstein.config import read_toml

ROOT = Path(__file__).parent.parent


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.pictures_training")


@pytest.fixture
def sampling(training: Any) -> Any:
    return import_module("benchmarks.pictures_sampling")


def contender(training: Any, whose: str, bf16: bool, weights: int = 100) -> Any:
    return training.Contender(whose, "a network", bf16, weights, lambda: None)


def test_ours_is_compared_with_theirs_in_float32_and_at_their_best(training: Any) -> None:
    all_four = [contender(training, whose, bf16) for whose in ("theirs", "ours") for bf16 in (False, True)]
    found = training.rows("alike", all_four, [4.0, 2.0, 1.6, 1.0], 32)
    assert [row["times_theirs_float32"] for row in found] == [1.0, 2.0, 2.5, 4.0]
    assert [row["times_theirs_best"] for row in found] == [0.5, 1.0, 1.25, 2.0]
    assert found[-1]["pictures_a_cpu_second"] == 32.0


def test_networks_of_unequal_size_are_not_compared(training: Any) -> None:
    training.require_equal([contender(training, "ours", False, weights) for weights in (100, 103)])
    with pytest.raises(ValueError, match="104"):
        training.require_equal([contender(training, "ours", False, weights) for weights in (100, 104)])


def test_medians_leave_the_first_round_out(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}

    def taking(*seconds: float) -> Callable[[], object]:
        left = list(seconds)
        return lambda: clock.update(now=clock["now"] + left.pop(0))

    monkeypatch.setattr(training.time, "process_time", lambda: clock["now"])
    assert training.seconds([taking(100, 1, 2, 9), taking(50, 5, 5, 5)], rounds=3) == [2.0, 5.0]


def test_ours_as_trained_is_the_recipes_network(training: Any) -> None:
    network = read_toml(training.RECIPE)["network"]
    config = training.recipe()
    assert (config.channels, list(config.multipliers)) == (network["channels"], network["multipliers"])
    assert config.patch == network.get("patch", 1)


def test_our_contender_is_a_step_of_the_trainer(training: Any, tmp_path: Path) -> None:
    config = training.UNetConfig(8, (1, 2), 1, (1,))
    mine = training.ours(config, 2, False, tmp_path)
    row = mine.step()
    assert row["step"] == 1
    assert row["gradient_norm"] > 0
    assert mine.weights == training.count(training.UNet(config, 3))


def test_all_ways_evaluate_equally_often(sampling: Any) -> None:
    diffusers = pytest.importorskip("diffusers")
    network, telling = (make(diffusers, (32, 32)) for make in (sampling.plain, sampling.captioned))
    evaluated: list[int] = []  # batch by batch, how many states
    for each in (network, telling):
        each.register_forward_pre_hook(lambda module, args: evaluated.append(len(args[0])))
    with torch.no_grad():
        for way in sampling.ways(diffusers, network, telling, batch=2, steps=3):
            evaluated.clear()
            way.step()
            assert sum(evaluated) == 2 * 3 * (2 if way.group == "guided" else 1), way.name


def test_ways_are_compared_with_diffusers_in_their_group(sampling: Any) -> None:
    costs = [
        ("deterministic", "DDIMPipeline", 3.0),
        ("deterministic", "ours", 1.5),
        ("guided", "loop of diffusers", 8.0),
    ]
    found = sampling.rows([(sampling.Way(group, name, lambda: None), cost) for group, name, cost in costs], 6, 10)
    assert [row["times_diffusers"] for row in found] == [1.0, 2.0, 1.0]
    assert [row["samples_a_cpu_second"] for row in found] == [2.0, 4.0, 0.75]
    assert [row["evaluations"] for row in found] == [10, 10, 20]


def test_the_figure_has_a_row_a_style_and_one_for_the_way(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = import_module("benchmarks.pictures_figure")
    monkeypatch.setattr(drawing, "COLUMNS", 2)
    with Image.open(BytesIO(drawing.figure(on.load("images/openmoji"), steps=1))) as found:
        wide, high = found.size
    assert (wide, high) == (2 * 130 - 2, 5 * 130 - 2)  # 128 pixels each, and 2 between
