"""The benchmark of the learned solver: a perfect one has no error and no spread, a noisy one has both."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from ornstein.beliefs import Belief
from ornstein.config import to_dict
from ornstein.denoisers.base import Condition, Denoiser, Origin, Traits
from ornstein.domains.poisson.learned import pairs, surrogate
from ornstein.domains.poisson.task import Poisson, PoissonConfig
from ornstein.states import State, Time

CONFIG = PoissonConfig(learns="solutions", data="mixed", shape=(12, 12), coloured=True)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    return import_module("benchmarks.poisson_solver")


@dataclass(frozen=True)
class Known(Denoiser):
    """Believes in the solution, and a share of the noisy state."""

    traits: Traits
    share: float

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        assert condition is not None
        assert isinstance(x_t, torch.Tensor)
        assert self.origin is not None
        exact = pairs.equation((12, 12)).solution(condition["source"].double()) / self.origin.metadata["std"]
        return self.space.point_mass(exact.float() + self.share * x_t)


def model(share: float) -> Known:
    metadata = surrogate.data(CONFIG)[0].metadata
    task, origin = Poisson(), Origin("poisson", "known", to_dict(CONFIG), metadata, "")
    return Known(Traits(task.space(CONFIG, metadata), origin, map=task.map(CONFIG, metadata)), share)


def test_a_perfect_solver_has_no_error_and_no_spread(bench: Any) -> None:
    rows = list(bench.surrogate_errors(model(0.0), "gaussian", 3, 3))
    assert [row.method for row in rows] == [f"ours, {calls} calls" for calls in bench.CALLS]
    for row in rows:
        assert row.error < 1e-5
        assert row.spread < 1e-5
        assert row.boundary == 0


def test_a_noisy_solver_has_both(bench: Any) -> None:
    first, *_ = bench.surrogate_errors(model(0.1), "gaussian", 3, 3)
    assert first.error > 0.01
    assert first.spread > 0.01
