"""Refining with a slow calculator: a budget of evaluations is kept, whatever it is, and more of it finds more."""

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein import InputError
from ornstein.guidance.calculators import Calculated
from ornstein.keys import Keys
from ornstein.mcmc.budget import Budget, Effort
from ornstein.tasks.boltzmann import boltzmann, refine
from worlds import rejected, single

START = Keys.of(0, 20).normal(2)


@dataclass
class Counted:
    """A double well that counts the states it is asked of."""

    asked: int = field(default=0)

    def __call__(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        return 3 * (x[:, 0].square() - 1).square() + x[:, 1].square() / 2


def assert_kept(asked: int, budget: int) -> None:
    assert budget / 5 < asked <= budget, f"{asked} evaluations of {budget}"


@pytest.mark.parametrize("budget", [5_000, 20_000, 60_000])
def test_a_budget_is_kept(budget: int) -> None:
    energy = Counted()
    found = refine(START, energy, budget=budget, moves=5).exactness
    assert_kept(energy.asked, budget)
    assert found.gradients + found.values == energy.asked
    assert found.budget == f"{budget:,} evaluations of the energy"
    without = Counted()
    refine(START, without, moves=5)
    rejected(assert_kept, without.asked, budget)


def test_a_larger_budget_bounds_what_is_missing() -> None:
    bounds = [refine(START, Counted(), budget=budget, moves=5).exactness.missing for budget in (5_000, 20_000, 60_000)]
    assert bounds[0] > bounds[1] > bounds[2]
    assert bounds[2] < 0.05


def test_the_search_goes_on_until_the_tolerance_holds() -> None:
    """And no further: the rest of the budget is left."""
    found = refine(START, Counted(), budget=10**7, tolerance=0.02, check=100, moves=5).exactness
    assert found.missing <= 0.02
    assert found.exact
    assert found.gradients < 10**6


def test_draws_have_a_budget_too() -> None:
    energy = Counted()
    found = boltzmann(single(), energy, 50, budget=12_000, width=2.0, moves=5).exactness
    assert energy.asked <= 12_000
    assert found.missing < 0.5


@pytest.mark.slow
def test_time_is_a_budget() -> None:
    began = time.perf_counter()
    found = refine(START, Counted(), budget="3 s", moves=5, tolerance=1e-5).exactness
    assert time.perf_counter() - began < 30  # a search of that tolerance would take hours
    assert found.budget == "3 s"
    assert found.missing < 1


def test_too_small_a_budget_is_refused_before_any_evaluation() -> None:
    energy = Counted()
    with pytest.raises(InputError, match=r"budget is 1,000 evaluations of the energy, expected 3,220 at least"):
        refine(START, energy, budget=1_000)
    assert energy.asked == 0


@pytest.mark.parametrize(
    ("said", "evaluations", "seconds"),
    [(500, 500, None), ("2e6", 2_000_000, None), ("1,000", 1000, None), ("90 s", None, 90.0), ("1.5h", None, 5400.0)],
)
def test_budgets_in_words(said: Any, evaluations: int | None, seconds: float | None) -> None:
    found = Budget.of(said)
    assert found is not None
    assert (found.evaluations, found.seconds) == (evaluations, seconds)


@pytest.mark.parametrize("said", [0, -5, "5 days", "soon", 1.5, True, "nan", ""])
def test_what_is_no_budget(said: Any) -> None:
    with pytest.raises(InputError, match="expected a number of evaluations of the energy, such as 100000, or a time"):
        Budget.of(said)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -0.1, float("nan"), "1 %"])
def test_what_is_no_tolerance(tolerance: Any) -> None:
    with pytest.raises(InputError, match="expected a share between 0 and 1"):
        Effort.of(tolerance=tolerance)


def test_a_calculator_asks_for_a_budget() -> None:
    slow = Calculated(atoms=None, unit=1.0, reference=0.0)
    with pytest.raises(InputError, match=r"a calculator's, one geometry at a time, .*budget=20_000"):
        refine(START, slow)


@pytest.mark.parametrize("wrong", [{"particles": 19}, {"particles": 0}, {"check": -1}])
def test_sizes_are_whole_numbers(wrong: Any) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(InputError, match=f"{name} is {value}, expected a whole number of at least"):
        refine(START, Counted(), **wrong)


def test_more_samples_than_particles() -> None:
    found = refine(START, Counted(), 60, particles=20, check=0, moves=2)
    assert len(found.x) == 60
    assert torch.isfinite(found.x).all()
