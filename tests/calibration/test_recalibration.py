"""Recalibration does what its equations say, on cases that it has not seen, and tells what it was worth."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ornstein as on
from field_worlds import ensemble
from ornstein.calibration import Conformal, Intervals, MemberByMember, Ranks, Widening, crps, recalibrate, spread_skill
from ornstein.calibration.groups import grouping
from worlds import rejected

METHODS = {"widening": Widening(), "member by member": MemberByMember(), "conformal": Conformal()}


def assert_calibrated(coverage: Any) -> None:
    assert coverage.p_value > 0.01, str(coverage)


@pytest.mark.parametrize("by", ["all", "element"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("spread", [0.6, 1.6])
def test_wrong_spread_is_mended_and_both_coverages_are_told(method: Any, by: str, spread: float) -> None:
    truths, samples = ensemble(1, 400, 19, 4, spread=spread)
    found = recalibrate(truths, samples, method, by=by, levels=[0.5, 0.9])
    assert (found.fitted_on, found.held_out, found.before.levels.tolist()) == (200, 200, [0.5, 0.9])
    assert_calibrated(found.after)
    rejected(assert_calibrated, found.before)
    record = json.loads(json.dumps(found.record))
    for name in ("before", "after"):
        assert record[name]["coverage"] == getattr(found, name).values.tolist()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_coverage_is_of_what_it_gives(method: Any) -> None:
    truths, samples = ensemble(2, 60, 9, 4, spread=0.7)
    found = recalibrate(truths, samples, method, levels=[0.4, 0.8])
    given = found(samples[30:])
    if isinstance(given, Intervals):
        held = ((given.low <= truths[30:]) & (truths[30:] <= given.high)).mean((1, 2, 3))
    else:
        held = Ranks.of(truths[30:], given).coverage([0.4, 0.8]).values
    assert found.after.values == pytest.approx(held)
    one = found(samples[0])  # members of one case
    every = found(samples)
    if isinstance(one, Intervals):
        assert one.low == pytest.approx(every.low[:, 0])
        assert one.high == pytest.approx(every.high[:, 0])
    else:
        assert one == pytest.approx(every[0])


def test_what_was_held_out_is_not_fitted() -> None:
    """Judged on the cases that it was fitted on, a margin for every element looks right by construction."""
    rng = np.random.default_rng(0)
    truths, samples = rng.normal(size=(40, 50)), rng.normal(size=(40, 9, 50))
    truths[20:] *= 3
    found = recalibrate(truths, samples, Conformal(), by="element", levels=[0.8])
    assert found.after.values[0] < 0.65
    other = recalibrate(truths[:20], samples[:20], Conformal(), by="element", levels=[0.8], held_out=(truths, samples))
    assert (other.fitted_on, other.held_out) == (20, 40)
    assert other(samples).low == pytest.approx(found(samples).low)


# Moments -----------------------------------------------------------------------------------------------


def test_widening_is_spread_over_error() -> None:
    truths, samples = ensemble(3, 80, 6, 4, spread=0.7)
    found = recalibrate(truths, samples, Widening(), held_out=(truths, samples))
    factor = found.record["parameters"]["factor"]
    assert factor == pytest.approx([1 / spread_skill(truths, samples).ratio.value] * 3)
    wide = found(samples)
    assert wide.mean(1) == pytest.approx(samples.mean(1))
    assert wide - wide.mean(1, keepdims=True) == pytest.approx(factor[0] * (samples - samples.mean(1, keepdims=True)))
    assert spread_skill(truths, wide).ratio.value == pytest.approx(1)


def test_members_follow_the_lines_that_the_truth_follows() -> None:
    """y = 2 + 0.5 x̄ + noise whose variance is 0.5 s² + 0.4."""
    rng = np.random.default_rng(0)
    cases, members = 4000, 12
    spread = np.exp(rng.normal(size=cases) / 3)
    centre = 280 + 3 * rng.normal(size=cases)
    samples = centre[:, None] + spread[:, None] * rng.normal(size=(cases, members))
    std = np.sqrt(0.5 * samples.var(1, ddof=1) + 0.4)
    truths = 2 + 0.5 * samples.mean(1) + np.sqrt(1 + 1 / members) * std * rng.normal(size=cases)
    found = recalibrate(truths, samples, MemberByMember())
    parameters = found.record["parameters"]
    assert parameters["shift"][0] == pytest.approx(2, abs=2.5)
    assert parameters["scale"][0] == pytest.approx(0.5, abs=0.01)
    assert parameters["factor"][0] ** 2 == pytest.approx(0.5, rel=0.2)
    assert parameters["added std"][0] ** 2 == pytest.approx(0.4, rel=0.3)
    assert_calibrated(found.after)
    half = slice(cases // 2, None)
    better = crps(truths[half], found(samples[half])).minus(
        crps(truths[half], recalibrate(truths, samples, Widening())(samples[half]))
    )
    assert better.error
    assert better.value < -5 * better.error


def test_spread_that_says_nothing_is_replaced() -> None:
    rng = np.random.default_rng(1)
    spread = np.exp(rng.normal(size=2000))
    truths, samples = rng.normal(size=2000), 0.1 * spread[:, None] * rng.normal(size=(2000, 8))
    found = recalibrate(truths, samples, MemberByMember())
    assert found.record["parameters"]["factor"][0] < 0.6  # where widening takes 5
    assert found.record["parameters"]["added std"][0] == pytest.approx(1, rel=0.1)
    assert_calibrated(found.after)


def test_groups_have_factors_of_their_own() -> None:
    truths, samples = ensemble(4, 100, 10, 4)
    samples = samples.mean(1, keepdims=True) + (samples - samples.mean(1, keepdims=True)) * np.array([0.5, 0.5, 2, 2])
    rows = np.array([[7, 7, 3, 3]])
    factors = recalibrate(truths, samples, by=rows).fitted.widen  # pyright: ignore[reportAttributeAccessIssue]
    assert np.unique(factors).size == 2
    assert np.sqrt(factors[0]) == pytest.approx([2, 2, 0.5, 0.5], rel=0.15)
    assert grouping(rows, (4, 4)).of_points(np.array([3, 7])).tolist() == [[7, 7, 3, 3]] * 4


# Conformal ---------------------------------------------------------------------------------------------


def guarantee(rng: np.random.Generator, cases: int, points: int, level_of: Any, correlated: bool = False) -> float:
    """How often intervals of skewed and wrong ensembles hold a new case, over many calibrations."""
    held = []
    for _ in range(120):
        shape = (cases + 20, points)
        truths = rng.exponential(size=shape)
        if correlated:
            truths = np.repeat(truths[:, :1], points, 1)
        samples = 0.3 * rng.normal(size=(cases + 20, 9, points))
        found = recalibrate(truths, samples, Conformal(), levels=[0.8], held_out=20 / (cases + 20), by=level_of)
        held.append(found.after.values[0])
    return float(np.mean(held))


@pytest.mark.parametrize("cases", [4, 6, 9])
def test_conformal_intervals_hold_as_often_as_they_must(cases: int) -> None:
    """At least the level, at most 1/(n + 1) more, for laws without ties; over 2,400 new cases, ± 0.01."""
    found = guarantee(np.random.default_rng(cases), cases, 3, "element")
    assert 0.8 - 0.02 < found < 0.8 + 1 / (cases + 1) + 0.02
    exact = np.ceil((cases + 1) * 0.8) / (cases + 1)
    assert found == pytest.approx(exact, abs=0.02)


def test_points_that_move_together_count_as_one_case() -> None:
    assert guarantee(np.random.default_rng(0), 6, 30, "all", correlated=True) > 0.78


def test_more_than_the_cases_can_say_is_refused() -> None:
    truths, samples = ensemble(0, 6, 19, 4)
    with pytest.raises(on.InputError, match=r"levels: 90.0% needs at least 9 cases to fit on, found 3"):
        recalibrate(truths, samples, Conformal(), levels=[0.9])


# Missing values, memory and wrong input ------------------------------------------------------------------


@pytest.mark.parametrize("by", ["all", "element"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_missing_values_have_no_part(method: Any, by: str, tmp_path: Path) -> None:
    truths, samples = ensemble(5, 80, 9, 4, spread=0.7)
    truths[:, 0, 0] = np.nan  # never seen
    truths[::3, 1, 1] = np.nan
    np.save(tmp_path / "samples.npy", samples)
    found = recalibrate(truths, np.load(tmp_path / "samples.npy", mmap_mode="r"), method, by=by, levels=[0.4, 0.8])
    assert found.record["groups without data"] == (by == "element")
    there = truths.reshape(80, 16)[:, 1:], samples.reshape(80, 9, 16)[..., 1:]
    without = recalibrate(*there, method, by=by, levels=[0.4, 0.8])
    assert found.after.values == pytest.approx(without.after.values)


Y, X = ensemble(0, 12, 4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recalibrate(Y, X[:, :1]), "one member"),
        (lambda: recalibrate(Y, X, Widening), "method: .*Widening.*, expected Widening"),
        (lambda: recalibrate(Y, X, held_out=1.0), "held_out: 1.0"),
        (lambda: recalibrate(Y, X, held_out=0.01), "cases both to fit on and to judge"),
        (lambda: recalibrate(Y, X, held_out=(Y, X, X)), "held_out: 3 arrays"),
        (lambda: recalibrate(Y, X, held_out=(Y, X[:, :2])), "members and field"),
        (lambda: recalibrate(Y, X, by="pixel"), "by: 'pixel', expected 'all', 'element'"),
        (lambda: recalibrate(Y, X, by=np.zeros(3, int)), "by: shape"),
        (lambda: recalibrate(Y, X, by=-np.ones((4, 4), int)), "whole numbers ≥ 0"),
        (lambda: recalibrate(Y, 0 * X), "the members are all equal in 1 of 1 groups"),
        (lambda: recalibrate(np.full_like(Y, np.nan), X), "no point has both"),
        (lambda: recalibrate(Y, X, MemberByMember(), by="element", held_out=0.75), "3 values in group 0"),
        (lambda: recalibrate(Y, X)(X[..., :2]), r"samples: shape \(12, 4, 4, 2\)"),
        (lambda: recalibrate(Y, X, Conformal(), levels=[0.6])(X[:, :2]), r"samples: shape \(12, 2, 4, 4\)"),
    ],
)
def test_what_is_wrong_is_named(call: Any, message: str) -> None:
    with pytest.raises(on.InputError, match=message):
        call()
