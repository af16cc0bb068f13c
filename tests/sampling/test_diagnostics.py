"""Effective sample sizes, resampling and the error of the evidence, against what they promise."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein.keys import Keys
from ornstein.sampling.diagnostics import (
    Exactness,
    effective_sample_size,
    genealogy_error,
    log_mean_exp,
    missing,
    systematic,
)
from worlds import assert_close, double, rejected

Resample = Callable[..., Tensor]
WEIGHTS = (2 * Keys.of(0, 1).normal(50)[0]).softmax(0)


@pytest.mark.parametrize("shift", [0.0, -1e4, 1e4])
def test_effective_sample_size_of_equal_and_of_one_hot_weights(shift: float) -> None:
    assert_close(effective_sample_size(torch.full((40,), shift, dtype=torch.float64)), double(40.0), 1e-8)
    one = torch.full((40,), -torch.inf, dtype=torch.float64)
    one[3] = shift
    assert_close(effective_sample_size(one), double(1.0))


def test_effective_sample_size_is_written_out() -> None:
    assert_close(effective_sample_size(WEIGHTS.log() + 3), 1 / (WEIGHTS**2).sum())


def test_the_mean_weight_does_not_overflow() -> None:
    assert_close(log_mean_exp(double([1e4, 1e4, -torch.inf, -torch.inf])), double(1e4).sub(torch.tensor(2.0).log()))


def multinomial(log_weights: Tensor, u: Tensor, count: int | None = None) -> Tensor:
    """A broken twin: right on average, but with more scatter."""
    points = Keys.of(int(u * 2**40), 1).uniform(count or len(log_weights))[0]
    return torch.searchsorted(log_weights.softmax(0).cumsum(0), points)


def assert_even(resample: Resample) -> None:
    """Sample i is drawn ⌊n W_i⌋ or ⌈n W_i⌉ times."""
    for u in double([1e-9, 0.2, 0.77, 1 - 1e-9]):
        counts = torch.bincount(resample(WEIGHTS.log() + 5, u), minlength=50)
        assert counts.sum() == 50
        assert (counts >= (50 * WEIGHTS).floor()).all()
        assert (counts <= (50 * WEIGHTS).ceil()).all()


def test_systematic_resampling_is_even() -> None:
    assert_even(systematic)
    rejected(assert_even, multinomial)


@given(u=st.floats(1e-6, 1 - 1e-6), count=st.integers(1, 80))
def test_systematic_resampling_is_a_function_of_its_number(u: float, count: int) -> None:
    first, again = (systematic(WEIGHTS.log(), double(u), count) for _ in range(2))
    assert first.equal(again)
    assert len(first) == count
    assert (first.diff() >= 0).all()


def assert_unbiased(resample: Resample) -> None:
    """Averaged over u, sample i is drawn n W_i times."""
    grid = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    draws = torch.cat([resample(WEIGHTS.log(), u) for u in grid])
    assert_close(torch.bincount(draws, minlength=50).double() / 4000, 50 * WEIGHTS, 1e-3)


def test_systematic_resampling_is_unbiased() -> None:
    assert_unbiased(systematic)
    rejected(assert_unbiased, lambda log_weights, u: systematic(log_weights / 2, u))


def test_what_has_no_weight_is_never_drawn() -> None:
    log_weights = double([-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf])
    for u in double([1e-12, 0.5, 1 - 1e-12]):
        assert set(systematic(log_weights, u).tolist()) == {1, 3}


def test_the_family_error_of_equal_families_is_none_and_of_one_family_all() -> None:
    """Without resampling every particle is its own family: the error is the weights' scatter, √(1/ESS − 1/n)."""
    equal, own = torch.zeros(8, dtype=torch.float64), torch.arange(8)
    assert_close(genealogy_error(equal, own), double(0.0))
    log_weights = Keys.of(1, 1).normal(8)[0]
    expected = (1 / effective_sample_size(log_weights) - 1 / 8).sqrt()
    assert_close(genealogy_error(log_weights, own), expected)
    assert_close(genealogy_error(equal, torch.zeros(8, dtype=torch.int64)), double(1 - 1 / 8).sqrt())


@pytest.mark.parametrize("n", [4, 40, 1000])
def test_of_equal_families_a_mode_of_three_in_n_is_missed_one_time_in_twenty(n: int) -> None:
    m = missing(torch.full((n,), 1 / n))
    assert m == pytest.approx(2.9957 / n, rel=1e-4)
    assert missing(torch.full((n,), 1 / n), 0.01) > m


def test_what_unequal_families_can_have_missed_solves_its_equation() -> None:
    shares = (1.5 * Keys.of(3, 1).normal(60)[0]).softmax(0)
    m = missing(shares)
    assert_close((shares * (-m / shares).exp()).sum(), double(0.05), 1e-9)
    assert m > 3 / 60
    assert m == pytest.approx(missing(torch.cat([shares, torch.zeros(40)])))


@pytest.mark.parametrize("families", [1, 2])
def test_one_or_two_families_bound_nothing(families: int) -> None:
    assert missing(torch.full((families,), 1 / families)) == 1


def test_the_summary_is_json_and_a_sentence() -> None:
    found = Exactness("particles", 64, (0.91234, 0.5), 2, 31, -1.25, 0.03)
    assert found.record()["ess"] == [0.9123, 0.5]
    assert str(found).startswith("64 particles, ESS at least 50%, resampled 2 ×, 31 families; log evidence -1.250 ±")
