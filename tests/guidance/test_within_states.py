"""The move of a measurement in the space of states is that of dense algebra, and of the solve in measured numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal, counted
from ornstein.effort import Tally
from ornstein.guidance import preconditioners, within_states
from ornstein.guidance.krylov import Determinant
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Complex, Fourier, Mask, Multiply, Operator, real_parts
from ornstein.guidance.solves import Remaining
from ornstein.keys import Keys
from ornstein.spaces import Euclidean
from ornstein.spectral.roots import Spectral, power_law
from ornstein.spectral.transforms import periodic
from ornstein.testing import check_operator
from worlds import F64, assert_close, double, rejected

SIDE, COILS, STD = 8, 4, 0.05
EVENT = (2, SIDE, SIDE)
STEEP = power_law(EVENT, 3, periodic())
AMPLITUDE = (0.5 * power_law((SIDE, SIDE), 4, periodic()).root(Keys.of(7, 1).normal(SIDE, SIDE))).exp()[:, None]


class Space(Euclidean):
    def gaussian_cov(self, t: Any, like: Tensor) -> Spectral:
        return STEEP


SPACE = Space(EVENT)


def network(v: Tensor) -> Tensor:
    """Its amplitude varies with the place, which the space does not know."""
    return AMPLITUDE.to(v) * STEEP(AMPLITUDE.to(v) * v)


def coils(per_sample: bool = False) -> Operator:
    at = torch.linspace(-1, 1, SIDE, dtype=F64)
    turns = torch.arange(COILS, dtype=F64) * 2 * torch.pi / COILS
    distance = (at[:, None] - turns.cos()[:, None, None]) ** 2 + (at - turns.sin()[:, None, None]) ** 2
    maps = torch.polar((-distance).exp(), 2 * at[:, None] * turns.cos()[:, None, None] + 0 * at)
    maps = maps / maps.abs().square().sum(0).sqrt()
    order = Keys.of(2, 2).uniform(SIDE * SIDE).argsort(1).argsort(1).reshape(2, SIDE, SIDE)
    mask = Mask(order < 24 if per_sample else order[0] < 24, last=True, per_sample=per_sample)
    return mask @ Fourier(complex=True) @ Multiply(maps, new_axis=True) @ Complex()


MEAN = STEEP.root(Keys.of(3, 2).normal(*EVENT))
TRUTH = network(Keys.of(4, 2).normal(*EVENT))


@pytest.fixture(autouse=True)
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditioners, "FORMED", 10)


MISSING = 0, 0, slice(3, 9)
"""Of the first sample and coil, some frequencies."""


def told(operator: Operator, valued: bool, missing: bool = False, mean: Tensor = MEAN, **options: Any) -> Any:
    """The belief, and what it took."""
    tally, y = Tally(valued=valued), operator(TRUTH)
    if missing:
        y[*MISSING] = torch.nan
    factor = Measurement(y, operator, STD, direct=10, **{"tolerance": 1e-4, "iterations": 300, **options})
    return factor.update(counted(Normal(mean, network), tally, 1), mean, 0.5, SPACE)[1], tally.effort


def exactly(operator: Operator, missing: bool = False) -> Tensor:
    """The posterior's mean, m + C Aᵀ (A C Aᵀ + σ²)⁻¹ (y − A m), of two samples by their matrices."""
    return posterior(operator, missing)[0]


def posterior(operator: Operator, missing: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and standard deviations."""
    seen, size = real_parts(operator), 2 * SIDE * SIDE
    units = torch.eye(size, dtype=F64).reshape(size, *EVENT)
    cov = network(units).reshape(size, size)
    moved, left = [], []
    for k in range(2):
        one = real_parts(operator.take(slice(k, k + 1)))
        rows = torch.cat([one(unit[None]).flatten(1) for unit in units])
        there = torch.ones_like(seen(TRUTH), dtype=torch.bool)
        there[*MISSING] = not missing
        rows, off = rows[:, there[k].flatten()], (seen(TRUTH) - seen(MEAN))[k][there[k]]
        system = rows.T @ cov @ rows + STD**2 * torch.eye(rows.shape[1], dtype=F64)
        gain = torch.linalg.solve(system, rows.T @ cov).T
        moved.append((gain @ off).reshape(EVENT))
        left.append((cov - gain @ rows.T @ cov).diagonal().sqrt().reshape(EVENT))
    return MEAN + torch.stack(moved), torch.stack(left)


@pytest.mark.parametrize("per_sample", [False, True])
def test_the_move_is_that_of_dense_algebra(per_sample: bool) -> None:
    operator = coils(per_sample)
    check_operator(operator, EVENT, n=2)
    check_operator(real_parts(operator), EVENT, n=2)
    found, effort = told(operator, valued=False)
    assert_close(found.mean, exactly(operator), 1e-2)
    assert effort.notes == ()


def start_alone(cov: Any, guess: Any, residual: Tensor, tolerance: float, iterations: int) -> Any:
    """A broken twin: the start is taken for the answer."""
    start = guess(guess.white.adjoint(residual))
    return within_states.Move(start, residual.new_zeros(2), torch.zeros(2, dtype=torch.bool))


def test_that_rejects_a_covariance_that_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ornstein.guidance.solves.move_of", start_alone)
    found, _ = told(coils(), valued=False)
    rejected(assert_close, found.mean, exactly(coils()), 1e-2)


def test_numbers_that_are_missing_are_left_out() -> None:
    found, _ = told(coils(), valued=False, missing=True)
    assert_close(found.mean, exactly(coils(), missing=True), 1e-2)
    rejected(assert_close, found.mean, exactly(coils()), 1e-2)


def test_single_precision_is_enough() -> None:
    found, effort = told(coils(), valued=False, mean=MEAN.float(), tolerance=1e-4)
    assert found.mean.dtype == torch.float32
    assert (effort.unsolved == 0).all()
    assert_close(found.mean.double(), exactly(coils()), 2e-2)


def test_few_products_of_the_network_are_worth_more_than_as_many_in_measured_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In standard deviations of the posterior; of three products, against as many."""
    right, std = posterior(coils())

    def off(mean: Tensor) -> float:
        return float(((mean - right) / std).square().mean().sqrt())

    few, taken = told(coils(), valued=False, iterations=2)
    with monkeypatch.context() as patch:
        patch.setattr("ornstein.guidance.solves.move_of", start_alone)
        start, _ = told(coils(), valued=False)
    monkeypatch.setattr(Remaining, "_guess", None)
    old, spent = told(coils(), valued=False, iterations=2)
    assert taken.gradients == spent.gradients == 3
    assert [off(one.mean) for one in (start, few, old)] == pytest.approx([0.66, 0.43, 6.8], rel=0.05)


def test_what_is_left_over_is_noted() -> None:
    _, effort = told(coils(), valued=False, iterations=1)
    assert effort.capped.tolist() == [1, 1]
    assert (effort.unsolved > 1e-4).all()
    assert "in 2 of 2 samples" in effort.notes[0]


def test_where_values_count_the_solve_is_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("in the space of states")

    def nothing(self: Any, residual: Tensor, steps: int) -> Determinant:
        return Determinant(residual.new_zeros(2), residual.new_zeros(2))

    monkeypatch.setattr("ornstein.guidance.solves.move_of", never)
    monkeypatch.setattr(Remaining, "_determinant", nothing)
    told(coils(), valued=True, tolerance=0.3)
    with pytest.raises(AssertionError, match="space of states"):
        told(coils(), valued=False)


def test_the_guess_is_the_solve_where_the_covariance_is_the_one_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """And more of its iterations are closer."""
    white = real_parts(coils())
    units = torch.eye(2 * SIDE * SIDE, dtype=F64).reshape(-1, *EVENT)
    precision = (STEEP.solve(units) + white.normal(units)).reshape(len(units), -1)
    b = Keys.of(5, 2).normal(*EVENT)
    right = torch.linalg.solve(precision, b.flatten(1).T).T.reshape(b.shape)
    guess = within_states.Guess.of(white, STEEP, b)
    monkeypatch.setattr(within_states, "FIRST", within_states.INNER)
    off = [(guess(b) - right).norm()]
    turned = guess.turned(b), guess(STEEP.solve(b))
    monkeypatch.setattr(within_states, "FIRST", 60)
    off.append((guess(b) - right).norm())
    assert off[1] < 2e-2 * right.norm()
    assert off[1] < 0.5 * off[0]
    assert_close(*turned, 1e-6)


def test_masks_say_what_they_keep() -> None:
    """Of the first or the last axes, of all samples or of each."""
    flags = double([[1, 0, 1], [0, 1, 1]]).bool()
    each = torch.stack([flags, flags.flip(0)])
    check_operator(Mask(flags), (2, 3, 4), n=2)
    check_operator(Mask(flags, last=True), (4, 2, 3), n=2)
    check_operator(Mask(each, per_sample=True), (2, 3, 4), n=2)
    check_operator(Mask(each, last=True, per_sample=True), (4, 2, 3), n=2)
