"""Effective sample sizes, resampling and the error of the evidence, against what they promise."""

from collections.abc import Callable
from dataclasses import replace
from math import inf, isnan, nan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from ornstein.keys import Keys
from ornstein.sampling.diagnostics import (
    Exactness,
    effective_sample_size,
    errors_of_means,
    genealogy_error,
    interval,
    log_mean_exp,
    mean_and_error,
    missing,
    systematic,
    widening,
    with_error,
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


@pytest.mark.parametrize(
    ("error", "said"),
    [(0.01, "-2.345 ± 0.010"), (999.0, "-2.345 ± 999.000"), (3.82e31, "-2 ± 4e+31"), (inf, "-2 ± inf")],
)
def test_a_useless_error_has_no_digits(error: float, said: str) -> None:
    assert with_error(-2.345, error) == said


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


@pytest.mark.parametrize("count", [5, 10, 40, 400])
def test_few_families_have_students_error(count: int) -> None:
    even = torch.full((count,), 1 / count, dtype=torch.float64)
    expected = stats.t.ppf(0.975, count - 1) / stats.norm.ppf(0.975)
    assert widening(0 * even, even).item() == pytest.approx(expected, rel=0.02)
    assert widening(even[:1], even[:1] * count).item() == inf


def test_the_heaviest_family_counts_twice() -> None:
    even = torch.full((400,), 1 / 400, dtype=torch.float64)
    few = widening(0 * even, even)
    assert widening(torch.eye(400)[0].double(), even) / few == pytest.approx(2**0.5)
    assert widening(even, even) / few == pytest.approx((1 + 1 / 400) ** 0.5)


def assert_error_with_heavy_tails(widen: bool) -> None:
    """The mean of 400 weights e^{1.8 z}, of which few decide: it lies within 1.96 errors in most of 2000 runs."""
    weights = (1.8 * Keys.of(11, 2000).normal(400).double() - 1.8**2 / 2).exp().T
    shares = weights / weights.sum(0)
    error = (shares - 1 / 400).square().sum(0).sqrt()
    if widen:
        error = error * torch.stack([widening(one - 1 / 400, one) for one in shares.T])
    held = (weights.mean(0).log().abs() < 1.96 * error).double().mean().item()
    assert held > 0.9, f"held in {held:.1%}"


def test_an_error_holds_under_heavy_tails_and_one_that_is_not_widened_does_not() -> None:
    assert_error_with_heavy_tails(True)
    rejected(assert_error_with_heavy_tails, False)


FAMILIES, MEMBERS, REPEATS = 40, 5, 400
GENEALOGY = torch.arange(FAMILIES * MEMBERS) // MEMBERS
ONE_BY_ONE = torch.arange(FAMILIES * MEMBERS)


def relatives(spread: float) -> Tensor:
    """Standard normal values of samples of many repetitions, (n, repeats); those of a family share all but `spread`."""
    keys = Keys.of(8, REPEATS)
    common = keys.fold("family").normal(FAMILIES).T.double().repeat_interleave(MEMBERS, 0)
    own = keys.fold("own").normal(FAMILIES * MEMBERS).T.double()
    return (1 - spread**2) ** 0.5 * common + spread * own


def assert_error_of_means(genealogy: Tensor, spread: float) -> None:
    """The true mean, 0, lies within 1.96 errors in 95 % of the repetitions."""
    values = relatives(spread)
    held = (values.mean(0).abs() < 1.96 * errors_of_means(values, genealogy)).sum().item()
    p = stats.binomtest(int(held), REPEATS, 0.95).pvalue
    assert p > 0.01, f"held in {held / REPEATS:.1%}"


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_error_of_a_mean_holds_and_one_that_counts_particles_does_not(spread: float) -> None:
    assert_error_of_means(GENEALOGY, spread)
    rejected(assert_error_of_means, ONE_BY_ONE, spread)


def test_one_family_has_no_error_of_a_mean() -> None:
    assert mean_and_error(WEIGHTS, torch.zeros(50, dtype=torch.long)) == (pytest.approx(0.02), inf)


def quantiles(values: Tensor, genealogy: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """A broken twin: those of the samples, as if these were all that there is."""
    low, high = values.quantile(double([(1 - level) / 2, (1 + level) / 2]), 0)
    return low, high


def assert_interval(found: Callable[..., tuple[Tensor, Tensor]], level: float, spread: float) -> None:
    """A further draw falls within it with the probability `level`: the mean mass over repetitions is that."""
    low, high = found(relatives(spread), GENEALOGY, level)
    mass = torch.special.ndtr(high) - torch.special.ndtr(low)
    z = (mass.mean() - level) / (mass.std() / REPEATS**0.5)
    assert abs(z) < 3.5, f"it holds {mass.mean():.4f} of the mass, z = {z:.1f}"


@pytest.mark.parametrize(("level", "spread"), [(0.9, 0.0), (0.6, 0.0), (0.9, 0.5)])
def test_an_interval_holds_its_level_and_quantiles_do_not(level: float, spread: float) -> None:
    assert_interval(interval, level, spread)
    rejected(assert_interval, quantiles, level, spread)


def test_an_interval_of_independent_samples_lies_between_their_ranks() -> None:
    """Of 99 the fifth and the fifth from the end hold 90 %."""
    values = Keys.of(9, 99).normal().double()
    low, high = interval(values[:, None].expand(-1, 2), torch.arange(99), 0.9)
    ordered = values.sort().values
    assert ordered[3] < low[0] <= ordered[4]
    assert ordered[94] <= high[1] < ordered[95]


def test_the_tails_of_a_handful_are_unknown_and_a_constant_is_its_own_interval() -> None:
    values = Keys.of(9, 10).normal().repeat_interleave(20)
    assert interval(values, torch.arange(200) // 20, 0.9) == (-inf, inf)
    assert interval(values, torch.zeros(200, dtype=torch.long), 0.9) == (-inf, inf)
    assert interval(torch.ones(40), torch.arange(40), 0.9) == (1, 1)


def test_what_could_be_missing_is_said_recorded_and_read_back() -> None:
    found = Exactness("particles", 64, (0.9, 0.5), 2, 31, -1.25, 0.03, 0.113)
    assert found.verdict == "of what the model can draw, at most 11 % of the mass could be missing (95 %)"
    assert found.verdict in str(found)
    assert "at most 0.8 % of" in replace(found, missing=0.0081).verdict
    assert "COLLAPSED" in replace(found, families=4).verdict
    assert Exactness.from_record(found.record()) == found


def test_a_record_from_before_it_was_said_is_read() -> None:
    record = Exactness("particles", 64, (0.9, 0.5), 2, 31, -1.25, 0.03, 0.11).record()
    older = Exactness.from_record({name: value for name, value in record.items() if name != "missing"})
    assert isnan(older.missing)
    assert replace(older, missing=0.11) == Exactness.from_record(record)
    assert older.verdict == "how much could be missing was not recorded"
    assert Exactness.from_record(replace(older, missing=nan).record()).log_evidence == -1.25


def test_the_summary_is_json_and_a_sentence() -> None:
    found = Exactness("particles", 64, (0.91234, 0.5), 2, 31, -1.25, 0.03)
    assert found.record()["ess"] == [0.9123, 0.5]
    assert str(found).startswith("64 particles, ESS at least 50%, resampled 2 ×, 31 families; log evidence -1.250 ±")
