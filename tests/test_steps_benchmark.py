"""What a step asks of a device: few operators, and nothing that is waited for."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from molecular_training import TOGETHER, molecular
from ornstein.spaces import Categorical
from ornstein.training.trainer import Trainer
from worlds import RATES, rejected

ROOT = Path(__file__).parent.parent
OPERATORS = 1500
"""At most, of a step of two layers that sees what it believed; 1,373 when this was written."""
WAITS = 5
"""Of a step on a CPU, which asks for the sizes of molecules in each of two passes and draws the seed of the layers."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.training_steps")


def assert_lean(steps: Any, run: Trainer) -> None:
    seen = steps.counted(run)
    assert seen.work <= OPERATORS
    assert seen.waits <= WAITS


class Asking(nn.Module):
    """The same network, which asks for a number as it goes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Any) -> Any:
        outputs = self.network(*inputs)
        assert outputs["atoms"].sum().item() < torch.inf
        return outputs


def test_a_step_asks_for_little_and_waits_for_less(steps: Any, tmp_path: Path) -> None:
    run = molecular(tmp_path, replace(TOGETHER, warmup=0))
    run._update()  # what is asked once for all
    while not run.feed.training(run.step).recall:
        run._update()
    assert_lean(steps, run)
    run.step -= 1  # the same batch
    run.model = replace(run.model, network=Asking(run.model.network))
    rejected(assert_lean, steps, run)


def test_a_count_is_of_what_moves_numbers_forward_and_backward(steps: Any) -> None:
    x = torch.ones(2, 3, requires_grad=True)
    with steps.Counted() as seen:
        (2 * x.T).sum().backward()
    assert seen.calls["mul"] == 2
    assert seen.waits == 0
    with steps.Counted() as seen:
        bool(x[0, 0] > 0)
    assert (seen.work, seen.waits) == (2, 1)


@pytest.mark.parametrize(
    "space",
    [
        Categorical.masked((3,), 4),
        Categorical.uniform((3,), 4),
        Categorical.substitution((3,), RATES - torch.diag(RATES.sum(1))),
    ],
    ids=["masked", "uniform", "substitution"],
)
def test_a_batch_is_bound_to_its_mask_without_a_look_at_numbers(steps: Any, space: Categorical) -> None:
    """What was checked when a space was made is not asked of tensors again."""
    mask = torch.ones(2, 3, dtype=torch.bool)
    with steps.Counted() as seen:
        bound = space.with_mask(mask)
    assert not seen.calls
    assert bound.mask is mask
