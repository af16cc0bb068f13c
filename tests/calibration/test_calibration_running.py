"""Scores of cases that come some at a time are those of all of them."""

from typing import Any

import numpy as np
import pytest

from ornstein import calibration
from ornstein.calibration import Near, Radial, RunningCases, RunningMembers, ensembles, spool
from ornstein.calibration import members as members_module
from ornstein.errors import InputError

WEIGHTS = np.linspace(0.5, 1.5, 10)[:, None]
PAIRS, TRANSFORM = Near(1.5), Radial()


def world(members: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Cases that differ, with ties and with missing points, one of them without any truth."""
    rng = np.random.default_rng(0)
    truths = np.cumsum(rng.normal(size=(9, 10, 8)), 1)
    samples = truths[:, None] + np.arange(1.0, 10.0)[:, None, None, None] * rng.normal(size=(9, members, 10, 8))
    truths[2, :3], truths[5] = np.nan, np.nan
    samples[7, :, 4:6] = truths[7, 4:6] = 0.0
    return truths, samples


def measured(found: RunningCases, block: int) -> dict[str, Any]:
    spread, ranks = found.spread_skill(block), found.ranks()
    every = [found.crps(block), *found.brier(block), found.variogram_score(block), spread.ratio, spread.bias]
    every += [*ranks.coverage(block=block).estimates, *found.spectra(block).ratios([(1, 3), (3, 5)])]
    p_value = ranks.histogram(block=block).test.p_value
    return {one.name: (one.value, one.error, one.missing) for one in every} | {"p": p_value}


def together(truths: np.ndarray, samples: np.ndarray, block: int) -> dict[str, Any]:
    some: dict[str, Any] = {"weights": WEIGHTS, "block": block}
    spread = calibration.spread_skill(truths, samples, bins=1, **some)
    ranks = calibration.Ranks.of(truths, samples, WEIGHTS)
    every = [calibration.crps(truths, samples, **some), calibration.brier(truths, samples, 0.5, **some)]
    every += [calibration.variogram_score(truths, samples, pairs=PAIRS, **some), spread.ratio, spread.bias]
    every += ranks.coverage(block=block).estimates
    every += calibration.spectra(truths, samples, TRANSFORM, block=block).ratios([(1, 3), (3, 5)])
    p_value = ranks.histogram(block=block).test.p_value
    return {one.name: (one.value, one.error, one.missing) for one in every} | {"p": p_value}


@pytest.mark.parametrize(("size", "block"), [(1, 2), (2, 1), (4, 3), (9, 1)])
def test_cases_of_any_cut_have_the_scores_of_all(size: int, block: int) -> None:
    truths, samples = world()
    running = RunningCases(WEIGHTS, pairs=PAIRS, transform=TRANSFORM, thresholds=[0.5, 0.5])
    for first in range(0, len(truths), size):
        running.add(truths[first : first + size], samples[first : first + size])
    found, wanted = measured(running, block), together(truths, samples, block)
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        assert values == pytest.approx(wanted[name], rel=1e-9), name
    np.testing.assert_array_equal(running.ranks().values, calibration.Ranks.of(truths, samples, WEIGHTS).values)
    by_point = np.asarray(calibration.crps(truths, samples, WEIGHTS).by_point)
    np.testing.assert_allclose(np.asarray(running.crps().by_point), by_point)
    assert running.ranks().values.dtype == np.int8


def test_a_case_that_is_forgotten_or_mixed_with_another_is_seen() -> None:
    truths, samples = world()
    wanted = together(truths, samples, 1)["CRPS"]
    for wrong in (samples[:-1], samples[[1, 0, *range(2, 9)]]):
        running = RunningCases(WEIGHTS, pairs=PAIRS, transform=TRANSFORM, thresholds=[0.5])
        for y, x in zip(truths, wrong, strict=False):
            running.add(y[None], x[None])
        assert running.crps().value != pytest.approx(wanted[0], rel=1e-3)


def test_one_member_has_a_crps_and_no_ranks() -> None:
    truths, samples = world(1)
    running = RunningCases(pairs=PAIRS, transform=TRANSFORM)
    for y, x in zip(truths, samples, strict=True):
        running.add(y[None], x[None])
    assert running.crps().value == pytest.approx(calibration.crps(truths, samples, fair=False).value)
    twice = calibration.spectra(truths, np.repeat(samples, 2, 1), TRANSFORM)
    assert running.spectra().ratio(1, 3).value == pytest.approx(twice.ratio(1, 3).value)
    with pytest.raises(InputError, match="two members"):
        running.ranks()


def test_cases_of_other_members_are_refused() -> None:
    truths, samples = world()
    running = RunningCases()
    running.add(truths[:2], samples[:2])
    with pytest.raises(InputError, match=r"cases from 2 on: .* is \(5, 10, 8\), and \(6, 10, 8\) of those before"):
        running.add(truths[2:3], samples[2:3, :5])


@pytest.mark.parametrize("in_memory", [1 << 26, 100])
def test_members_of_one_truth_may_come_in_any_cut(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that lie on the disk, and that are read few points at a time."""
    monkeypatch.setattr(spool, "IN_MEMORY", in_memory)
    for module in (members_module, ensembles):
        monkeypatch.setattr(module, "BLOCK", 1200)
    rng = np.random.default_rng(0)
    truth, members = rng.normal(size=(10, 8)), rng.normal(size=(40, 10, 8))
    truth[:2], members[:, 4] = np.nan, truth[4]
    y, x = truth[None], members[None]
    wanted = [calibration.crps(y, x, WEIGHTS), calibration.spread_skill(y, x, WEIGHTS, bins=1).ratio]
    for size in (1, 7, 40):
        running = RunningMembers(truth, WEIGHTS)
        for first in range(0, 40, size):
            running.add(members[first : first + size])
        for one, other in zip((running.crps(), running.spread_skill().ratio), wanted, strict=True):
            assert (one.name, one.error) == (other.name, None)
            assert one.value == pytest.approx(other.value, rel=1e-6)
            assert one.missing == pytest.approx(other.missing)
        np.testing.assert_array_equal(running.ranks().values, calibration.Ranks.of(y, x, WEIGHTS).values)
    forgotten = RunningMembers(truth, WEIGHTS)
    forgotten.add(members[:35])
    assert forgotten.crps().value != pytest.approx(wanted[0].value, rel=1e-4)
    with pytest.raises(InputError, match=r"expected \(members, \*field\) of \(10, 8\)"):
        running.add(members[:, 0])


def test_too_few_members_are_said() -> None:
    running = RunningMembers(np.zeros(3))
    with pytest.raises(InputError, match="members: 0 came, expected at least 1"):
        running.crps()
    running.add(np.ones((1, 3)))
    assert running.crps().value == 1.0
    with pytest.raises(InputError, match="members: 1 came, expected at least 2"):
        running.spread_skill()
