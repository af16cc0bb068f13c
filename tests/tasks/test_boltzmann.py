"""Refining with a slow calculator: how many evaluations it takes is known before, kept to, and can be made small."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein import InputError
from ornstein.domains.energies import systems
from ornstein.keys import Keys
from ornstein.tasks.boltzmann import evaluations, refine
from worlds import rejected

START = Keys.of(0, 20).normal(2)


class Counted:
    """A double well that counts the states it is asked of."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        return 3 * (x[:, 0].square() - 1).square() + x[:, 1].square() / 2


def assert_about(found: int, expected: int) -> None:
    assert expected / 4 < found < 3 * expected, f"{found} evaluations, expected about {expected}"


def test_few_particles_are_cheap() -> None:
    """Twenty samples once annealed a thousand particles, and two thousand of the check, whatever was said."""
    energy = Counted()
    found = refine(START, energy, particles=50, check=0, moves=5)
    assert found.settings["particles"] == 50
    assert_about(energy.asked, evaluations(20, 5, 0, 50))
    rejected(assert_about, energy.asked, evaluations(20, 5))


def test_the_estimate_holds_for_other_energies() -> None:
    system = systems["gmm-40"]()
    draw: Any = system.draw
    found: Any = refine(draw(Keys.of(0, 20)).float(), system.energy, particles=100, check=100, moves=5).exactness
    assert_about(found.gradients + found.values, evaluations(20, 5, 100, 100))


def test_a_budget_is_kept_before_any_evaluation() -> None:
    energy = Counted()
    with pytest.raises(InputError, match=r"about 451,220 evaluations of the energy are expected, more than the budget"):
        refine(START, energy, budget=10_000)
    assert energy.asked == 0
    refine(START, energy, budget=10_000, particles=20, check=0, moves=5)
    assert 0 < energy.asked <= 10_000


@pytest.mark.parametrize("wrong", [{"particles": 19}, {"particles": 0}, {"budget": 0}, {"check": -1}])
def test_sizes_are_whole_numbers(wrong: Any) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(InputError, match=f"{name} is {value}, expected a whole number of at least"):
        refine(START, Counted(), **wrong)


def test_more_samples_than_particles_are_all_annealed() -> None:
    assert evaluations(500, particles=100, check=0) == evaluations(500, particles=500, check=0)
    assert len(refine(START, Counted(), 60, particles=20, check=0, moves=2).x) == 60
    assert torch.isfinite(refine(START, Counted(), 60, particles=20, check=0, moves=2).x).all()
