"""Ranks, coverage, spread and reliability: uniform where calibrated, and not where the ensemble is broken."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import ornstein as on
from field_worlds import assert_calibrated, ensemble, share_rejected
from ornstein.calibration import Coverage, Ranks, ensembles, reliability, spread_skill
from ornstein.calibration.uniform import grouped, rank_shares, seen, uniformity
from worlds import rejected

# Ranks --------------------------------------------------------------------------------------------------


def test_ranks_count_the_members_below() -> None:
    truths = np.array([[0.5, np.nan, 3.0], [-1.0, 2.0, 1.0]])
    samples = np.array([[[0.0, 1, 1], [1, 2, 2]], [[0, np.nan, 1], [-2, np.nan, 0]]])
    assert Ranks.of(truths, samples).values.tolist() == [[1, -1, 2], [1, -1, Ranks.of(truths, samples).values[1, 2]]]
    assert Ranks.of(truths, samples, np.array([0.0, 1, 1])).values[:, 0].tolist() == [-1, -1]


def test_ties_lie_anywhere_among_equal_members(monkeypatch: Any) -> None:
    truths, samples = np.zeros((4000, 1)), np.zeros((4000, 4, 1))
    samples[:, 0] = -1  # one below, three equal: ranks 1 … 4
    ranks = Ranks.of(truths, samples)
    counts = np.bincount(ranks.values.ravel(), minlength=5)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 0.001
    monkeypatch.setattr(ensembles, "BLOCK", 10)
    assert (Ranks.of(truths[:50], samples[:50]).values == ranks.values[:50]).all()


def rain(seed: int, cases: int = 300, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Mostly zeros, calibrated."""
    return tuple(np.maximum(x - threshold, 0.0)[..., 0, 0] for x in ensemble(seed, cases, 9, 2))  # pyright: ignore


def histogram_p(truths: np.ndarray, samples: np.ndarray, **settings: Any) -> float:
    return Ranks.of(truths, samples).histogram(**settings).test.p_value


def test_ranks_of_rain_are_uniform() -> None:
    assert np.mean([histogram_p(*rain(seed)) < 0.05 for seed in range(60)]) < 0.17


def below_or_equal(truths: np.ndarray, samples: np.ndarray) -> float:
    """A broken twin: ties all lie below."""
    counts = np.bincount((samples <= truths[:, None]).sum(1), minlength=samples.shape[1] + 1)
    return float(stats.chisquare(counts).pvalue)


def test_ties_that_all_lie_below_are_rejected() -> None:
    assert below_or_equal(*rain(0)) < 1e-6 < histogram_p(*rain(0))


# The rank histogram -------------------------------------------------------------------------------------

BROKEN = {"narrow": {"spread": 0.8}, "wide": {"spread": 1.25}, "low": {"bias": -0.5}}


def test_calibrated_fields_pass() -> None:
    assert_calibrated(histogram_p)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_fields_are_rejected(broken: dict[str, Any]) -> None:
    rejected(assert_calibrated, histogram_p, 12, cases=100, members=20, length=1.0, **broken)
    assert share_rejected(histogram_p, 12, cases=100, members=20, length=1.0, **broken) > 0.8


def test_correlated_points_are_not_taken_for_independent() -> None:
    """Without any thinning, what differs between cases says how much the points are worth."""

    def all_points(truths: np.ndarray, samples: np.ndarray) -> float:
        return histogram_p(truths, samples, thin=1)

    def naive(truths: np.ndarray, samples: np.ndarray) -> float:
        counts = np.bincount(Ranks.of(truths, samples).values.ravel(), minlength=11)
        return float(stats.chisquare(counts).pvalue)

    assert_calibrated(all_points)
    rejected(assert_calibrated, naive)


def test_repeated_cases_are_one_block() -> None:
    def repeated(block: int) -> Any:
        return lambda y, x: histogram_p(np.repeat(y[:, :1, :1], 6, 0), np.repeat(x[..., :1, :1], 6, 0), block=block)

    assert_calibrated(repeated(6), 40, cases=80, size=2)
    rejected(assert_calibrated, repeated(1), 20, cases=80, size=2)


def test_points_are_thinned_until_they_are_not_correlated() -> None:
    for length, most in ((0.0, 1), (1.5, 4), (3.0, 8)):
        thin = Ranks.of(*ensemble(0, 40, 10, 16, length=length)).histogram().thin
        assert max(0.6 * length, 1) <= min(thin) <= max(thin) <= most, (length, thin)


def test_thinned_points_are_taken_where_there_are_data() -> None:
    truths, samples = ensemble(0, 40, 10, 8)
    truths[:, np.arange(8) % 4 != 1], truths[:, :, np.arange(8) % 4 != 2] = np.nan, np.nan
    assert Ranks.of(truths, samples).histogram(thin=4).test.points == 40 * 4


def test_directions_say_what_is_wrong() -> None:
    for name, value, bias, spread in (("bias", -0.5, 1, 0), ("spread", 0.7, 0, 1), ("spread", 1.5, 0, -1)):
        settings: dict[str, Any] = {name: value}
        test = Ranks.of(*ensemble(0, 150, 20, signal=0.0, **settings)).histogram().test
        for found, expected in ((test.bias, bias), (test.spread, spread)):
            assert (abs(found) < 3.5) if not expected else (found * expected > 4), (settings, test)


def test_what_can_be_seen_is_seen_in_four_of_five_cases() -> None:
    rng, members, bins, points = np.random.default_rng(0), 19, 20, 500
    limits = seen(members, bins, points)
    worlds = ((limits["narrow"], 0.0), (limits["wide"], 0.0), (1.0, limits["bias"]))
    for spread, bias in worlds:
        shares = rank_shares(members, spread, bias)
        counts = rng.multinomial(points, shares / shares.sum(), size=600)
        power = np.mean(stats.chisquare(counts, axis=1).pvalue < 0.05)
        assert 0.74 < power < 0.86, (spread, bias, power)
    assert limits["narrow"] < 1 < limits["wide"]
    assert np.isnan(seen(9, 10, 5)["narrow"])  # five points show nothing


def test_shares_of_ranks_are_those_of_gaussian_ensembles() -> None:
    rng = np.random.default_rng(0)
    ranks = (0.8 * rng.normal(size=(20_000, 9)) < (rng.normal(size=20_000) + 0.3)[:, None]).sum(1)
    assert stats.chisquare(np.bincount(ranks, minlength=10), 20_000 * rank_shares(9, 0.8, 0.3)).pvalue > 0.001


def test_few_points_are_judged_in_few_bins() -> None:
    truths, samples = (x[..., 0, 0] for x in ensemble(0, 30, 20, 2))
    found = Ranks.of(truths, samples).histogram()
    assert (found.bins, found.test.points, len(found.frequencies)) == (6, 30, 21)
    groups, shares = grouped(21, 6)
    assert np.bincount(groups).tolist() == (shares * 21).round().tolist() == [4, 3, 4, 3, 4, 3]


def test_uniformity_of_independent_counts_is_pearsons() -> None:
    counts = np.random.default_rng(1).multinomial(60, np.full(5, 0.2), size=8)  # too few blocks to see correlation
    found = uniformity(counts, np.full(5, 0.2), 4)
    peer = stats.chisquare(counts.sum(0))
    assert (found.statistic, found.p_value) == (pytest.approx(peer.statistic), pytest.approx(peer.pvalue))


# PIT ------------------------------------------------------------------------------------------------------


def assert_uniform(values: np.ndarray) -> None:
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_pit_of_ensembles_and_gaussians_is_uniform() -> None:
    truths, samples = (x[..., 0, 0] for x in ensemble(5, 400, 9, 2, signal=0.0))
    zero, one = np.zeros_like(truths), np.ones_like(truths)
    assert_uniform(Ranks.of(truths, samples).pit())
    assert_uniform(Ranks.gaussian(truths, zero, one).pit())
    rejected(assert_uniform, Ranks.of(truths, 0.7 * samples).pit())
    rejected(assert_uniform, Ranks.gaussian(truths, zero, 0.7 * one).pit())
    assert Ranks.gaussian(truths, zero, one).histogram().test.p_value > 0.01
    assert Ranks.gaussian(truths, zero, 0.7 * one).histogram().test.p_value < 1e-3
    assert Ranks.gaussian(truths, zero + 0.5, one).histogram().test.p_value < 1e-3


# Coverage -------------------------------------------------------------------------------------------------


def coverage_p(truths: np.ndarray, samples: np.ndarray) -> float:
    return Ranks.of(truths, samples).coverage([0.5, 0.9]).p_value


def test_coverage_is_counted_between_members_at_exact_levels() -> None:
    truths, samples = ensemble(0, 30, 10, 2)
    ordered, found = np.sort(samples, 1), Ranks.of(truths, samples).coverage()
    assert found.levels.tolist() == pytest.approx([1 / 11, 3 / 11, 5 / 11, 7 / 11, 9 / 11])
    for k, value in zip((5, 4, 3, 2, 1), found.values, strict=True):
        assert value == pytest.approx(((ordered[:, k - 1] <= truths) & (truths <= ordered[:, -k])).mean())
    assert found.near(0.8).value == found.values[-1]


def test_calibrated_coverage_passes_with_few_members_and_correlated_points() -> None:
    assert_calibrated(coverage_p)
    assert_calibrated(lambda y, x: Ranks.of(y, x[:, :3]).coverage().p_value, 40)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_coverage_is_rejected(broken: dict[str, Any]) -> None:
    rejected(assert_calibrated, coverage_p, 12, cases=100, members=19, **broken)


def test_levels_of_infinitely_many_members_would_be_rejected() -> None:
    """Three members hold the truth in half of all cases; between 25 % and 75 % quantiles of them it is not so."""
    truths, samples = (x[..., 0, 0] for x in ensemble(0, 2000, 3, 2, signal=0.0))
    low, high = np.quantile(samples, [0.25, 0.75], axis=1)
    naive = ((low <= truths) & (truths <= high)).mean()
    exact = Ranks.of(truths, samples).coverage([0.5])
    assert (exact.levels[0], abs(exact.off[0]) < 3.5) == (0.5, True)
    assert abs(naive - 0.5) > 10 * exact.errors[0]


def test_errors_of_coverage_are_binomial_for_single_points() -> None:
    truths, samples = (x[..., 0, 0] for x in ensemble(1, 300, 19, 2))
    found = Ranks.of(truths, samples).coverage([0.9])
    assert found.errors[0] == pytest.approx(np.sqrt(0.9 * 0.1 / 300), rel=0.02)
    assert found.estimates[0].error == pytest.approx(np.sqrt(found.values[0] * (1 - found.values[0]) / 299), rel=1e-6)


# Spread and error -----------------------------------------------------------------------------------------


def ratio_p(truths: np.ndarray, samples: np.ndarray) -> float:
    ratio = spread_skill(truths, samples).ratio
    assert ratio.error
    return float(2 * stats.norm.sf(abs(ratio.value - 1) / ratio.error))


def test_calibrated_spread_is_the_error() -> None:
    assert_calibrated(ratio_p, 40, cases=60)
    assert_calibrated(lambda y, x: ratio_p(y, x[:, :3]), 40, cases=60)


@pytest.mark.parametrize("broken", [{"spread": 0.8}, {"spread": 1.25}, {"bias": 0.7}])
def test_wrong_spread_is_rejected(broken: dict[str, Any]) -> None:
    rejected(assert_calibrated, ratio_p, 12, cases=100, members=20, **broken)


def test_spread_without_the_factor_of_finite_ensembles_is_rejected() -> None:
    def naive(truths: np.ndarray, samples: np.ndarray) -> float:
        found = spread_skill(truths, samples).ratio
        assert found.error
        return float(2 * stats.norm.sf(abs(found.value * np.sqrt(3 / 4) - 1) / found.error))

    rejected(assert_calibrated, naive, 20, cases=60, members=3)


def test_spread_and_skill_are_their_sums() -> None:
    truths, samples = ensemble(0, 20, 5, 4)
    weights = np.arange(4.0)[:, None]
    found = spread_skill(truths, samples, weights, bins=4)
    share = np.broadcast_to(weights, (4, 4)) / weights.sum() / 4
    spread = np.sqrt((samples.var(1, ddof=1) * share).sum((1, 2)).mean() * 6 / 5)
    skill = np.sqrt(((samples.mean(1) - truths) ** 2 * share).sum((1, 2)).mean())
    assert (found.spread.value, found.skill.value) == (pytest.approx(spread), pytest.approx(skill))
    assert found.ratio.value == pytest.approx(spread / skill)
    assert found.bin_points.tolist() == [60, 60, 60, 60]  # of the points that have a weight
    assert (np.diff(found.bin_spread) > 0).all()


def test_error_follows_the_spread_where_it_says_something() -> None:
    truths, samples = ensemble(0, 200, 20, 4, signal=0.0, length=0.0)
    scale = np.geomspace(0.3, 3, 200)[:, None, None]
    found = spread_skill(truths * scale, samples * scale[:, None], bins=5)
    assert found.bin_skill == pytest.approx(found.bin_spread, rel=0.2)
    flat = spread_skill(truths, samples * scale[:, None], bins=5)
    assert flat.bin_skill != pytest.approx(flat.bin_spread, rel=0.2)


def reliability_p(truths: np.ndarray, samples: np.ndarray) -> float:
    found = reliability(truths, samples, 0.5, bins=4)
    enough = found.points > 50
    return float(min(1.0, 2 * stats.norm.sf(np.abs(found.off[enough]).max()) * enough.sum()))


def test_events_happen_as_often_as_they_should() -> None:
    assert_calibrated(reliability_p, 30, cases=120)
    rejected(assert_calibrated, reliability_p, 12, cases=120, members=20, bias=0.7)
    rejected(assert_calibrated, reliability_p, 12, cases=120, members=20, spread=0.5)


def test_few_members_are_not_expected_on_the_diagonal() -> None:
    truths, samples = ensemble(0, 800, 4, 2)
    found = reliability(truths, samples, 0.5, bins=4)
    assert np.abs(found.off).max() < 3.5
    assert np.abs((found.observed - found.forecast) / found.error).max() > 6


def test_reliability_leaves_each_member_out() -> None:
    truths, samples = (x[..., 0, 0] for x in ensemble(0, 300, 4, 2))
    found, happened = reliability(truths, samples, 0.3, bins=4), truths > 0.3
    counts, events, own = np.zeros((3, 4))
    for k in range(4):
        others = (np.delete(samples, k, 1) > 0.3).sum(1)
        counts += np.bincount(others, minlength=4) / 4
        events += np.bincount(others, happened, 4) / 4
        own += np.bincount(others, samples[:, k] > 0.3, 4) / 4
    assert found.forecast.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert found.points.tolist() == pytest.approx(counts.tolist())
    assert found.observed.tolist() == pytest.approx((events / counts).tolist())
    assert found.expected.tolist() == pytest.approx((own / counts).tolist())


# Wrong input ----------------------------------------------------------------------------------------------

Y, X = ensemble(0, 12, 4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Ranks.of(np.full_like(Y, np.nan), X), "no point has both"),
        (lambda: Ranks.of(Y, X[..., 0]), "samples: shape"),
        (lambda: Ranks.of(Y, X, -np.ones((4, 4))), "weights: negative"),
        (lambda: Ranks.of(Y, X).coverage([0.9]), "levels: 0.9, expected levels between 0 and 0.6"),
        (lambda: Ranks.of(Y, X[:, :1]).coverage(), "one member has no interval"),
        (lambda: Ranks.of(Y, X).histogram(thin=0), "thin: 0"),
        (lambda: Ranks.of(Y, X).histogram(thin=(1, 2, 3)), "2 axes of the field"),
        (lambda: Ranks.of(Y, X).histogram(bins=9), "bins: 9, expected 2 to 5"),
        (lambda: spread_skill(Y, X[:, :1]), "one member"),
        (lambda: spread_skill(Y, X, bins=0), "bins: 0"),
        (lambda: spread_skill(np.full_like(Y, np.nan), X), "no case has data"),
        (lambda: spread_skill(0 * Y, 0 * X), "is the truth everywhere"),
        (lambda: reliability(Y, X[:, :2], 0.0), "2 members, expected at least 3"),
        (lambda: reliability(np.full_like(Y, np.nan), X, 0.0), "NaN everywhere"),
    ],
)
def test_what_is_wrong_is_named(call: Any, message: str) -> None:
    with pytest.raises(on.InputError, match=message):
        call()


def test_coverage_is_told_in_words() -> None:
    found = Ranks.of(Y, X).coverage()
    assert isinstance(found, Coverage)
    assert str(found).startswith("20.0%: ")
    assert "independent ones" in str(Ranks.of(Y, X).histogram().test)
