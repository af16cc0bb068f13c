"""Scores against their sums written out, against one another, and against ensembles broken on purpose."""

import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scoringrules
import torch

import ornstein as on
from field_worlds import ensemble
from ornstein.calibration import (
    Listed,
    Near,
    brier,
    crps,
    energy_score,
    ensembles,
    gaussian_crps,
    latitude_weights,
    quantile_score,
    variogram_score,
)
from worlds import rejected

SCORES = {"crps": crps, "energy": energy_score, "variogram": variogram_score}


def rainy(seed: int = 0, cases: int = 5, members: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truths and members with many ties and missing values, and weights of points."""
    truths, samples = (np.maximum(x, 0) for x in ensemble(seed, cases, members, 4))
    truths[0, 1, 2] = truths[3] = np.nan
    samples[1, :, 0, 0] = np.nan
    return truths, samples, latitude_weights([80.0, 30.0, 0.0, -30.0])


def pairs_of(x: np.ndarray) -> list[Any]:
    return list(combinations(x, 2))


@pytest.mark.parametrize("fair", [True, False])
def test_crps_is_its_double_sum(fair: bool) -> None:
    truths, samples, weights = rainy()
    top = bottom = 0.0
    for case, members in zip(truths, samples, strict=True):
        for index in np.ndindex(4, 4):
            x, y, w = members[(slice(None), *index)], case[index], weights[index[0], 0]
            if not np.isnan(y + x.sum()):
                between = [abs(a - b) for a, b in pairs_of(x)]
                top += w * (np.abs(x - y).mean() - np.mean(between) / 2 * (1 if fair else 3 / 4))
                bottom += w
    assert crps(truths, samples, weights, fair=fair).value == pytest.approx(top / bottom, abs=1e-12)


def test_energy_score_is_its_double_sum() -> None:
    truths, samples, weights = rainy()
    root = np.sqrt(np.broadcast_to(weights / weights.mean(), (4, 4)))

    def norm(z: np.ndarray, there: np.ndarray) -> float:
        return float(np.sqrt((((root * z) ** 2)[there]).sum()))

    found = []
    for y, x in zip(truths, samples, strict=True):
        there = ~np.isnan(y + x.sum(0))
        if there.any():
            between = np.mean([norm(a - b, there) for a, b in pairs_of(x)])
            found.append(np.mean([norm(a - y, there) for a in x]) - between / 2)
    assert energy_score(truths, samples, weights).value == pytest.approx(np.mean(found), abs=1e-12)


@pytest.mark.parametrize("fair", [True, False])
def test_variogram_score_is_its_double_sum(fair: bool) -> None:
    truths, samples, weights = rainy()
    flat = np.broadcast_to(weights / weights.mean(), (4, 4)).ravel()
    top = bottom = 0.0
    for y, x in zip(truths.reshape(5, 16), samples.reshape(5, 4, 16), strict=True):
        for i, j in combinations(range(16), 2):
            near = np.hypot(i // 4 - j // 4, i % 4 - j % 4)
            if near <= 2 and not np.isnan(y[i] + y[j] + x[:, [i, j]].sum()):
                apart = np.sqrt(np.abs(x[:, i] - x[:, j]))
                squares = (np.sqrt(abs(y[i] - y[j])) - apart) ** 2
                between = sum((a - b) ** 2 for a, b in pairs_of(apart)) * 2 / (4 * 3 if fair else 16)
                top += flat[i] * flat[j] / near * (squares.mean() - between / 2)
                bottom += flat[i] * flat[j] / near
    found = variogram_score(truths, samples, weights, pairs=Near(2, by_distance=True), fair=fair)
    assert found.value == pytest.approx(top / bottom, abs=1e-12)


def test_scores_of_fields_are_scoringrules() -> None:
    truths, samples = ensemble(1, 6, 5, 4)
    y, x = truths.reshape(6, 16), samples.reshape(6, 5, 16)
    energies: Any = scoringrules.es_ensemble(y, x, estimator="fair")
    assert energy_score(truths, samples).value == pytest.approx(energies.mean())
    variograms: Any = scoringrules.vs_ensemble(y, x, p=0.7, estimator="fair")
    peer = variograms.mean() / (16 * 15)
    for pairs in (Listed.every(16), Near(9), list(combinations(range(16), 2))):
        assert variogram_score(truths, samples, p=0.7, pairs=pairs).value == pytest.approx(peer)


def test_fair_scores_do_not_depend_on_the_number_of_members() -> None:
    truths = ensemble(2, 1500, 2, 2)[0]
    mean, std = np.zeros_like(truths), np.full_like(truths, np.sqrt(2))  # a climatology: of the mean and about it
    climate = np.sqrt(2) * np.random.default_rng(0).normal(size=(1500, 5, 2, 2))
    exact = gaussian_crps(truths, mean, std)
    for members in (2, 5):
        few = crps(truths, climate[:, :members])
        difference = few.minus(exact)
        assert difference.error is not None
        assert abs(difference.value) < 4 * difference.error < 0.2
    unfair = crps(truths, climate[:, :2], fair=False).minus(exact)
    assert unfair.error is not None
    assert unfair.value > 4 * unfair.error


def test_gaussian_crps_is_the_integral() -> None:
    grid = np.linspace(-12, 12, 200_001)
    distribution = torch.special.ndtr(torch.from_numpy((grid - 0.3) / 1.7)).numpy()
    integral = ((distribution - (grid >= 1.1)) ** 2).sum() * (grid[1] - grid[0])
    found = gaussian_crps(np.array([1.1, np.nan]), np.array([0.3, 0.0]), np.array([1.7, np.nan]))
    assert (found.value, found.cases, found.missing) == (pytest.approx(integral, abs=1e-4), 1, 0.5)


def test_brier_and_quantile_scores_are_their_sums() -> None:
    truths, samples = (x[..., 0, 0] for x in ensemble(3, 30, 9, 2))
    share = (samples > 0.5).mean(1)
    expected = ((share - (truths > 0.5)) ** 2 - share * (1 - share) / 8).mean()
    assert brier(truths, samples, 0.5).value == pytest.approx(expected)
    third = np.sort(samples, 1)[:, 2]  # the third smallest of nine is the quantile 0.3
    expected = np.where(truths < third, 0.7 * (third - truths), 0.3 * (truths - third)).mean()
    assert quantile_score(truths, samples, 0.3).value == pytest.approx(expected)


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_scores_do_not_depend_on_how_they_are_read(score: Any, monkeypatch: Any, tmp_path: Path) -> None:
    truths, samples, weights = rainy()
    whole = score(truths, samples, weights)
    np.save(tmp_path / "samples.npy", samples)
    monkeypatch.setattr(ensembles, "BLOCK", 12)
    mapped = np.load(tmp_path / "samples.npy", mmap_mode="r")
    for y, x in ((truths, mapped), (torch.tensor(truths), torch.tensor(samples)), (truths.tolist(), samples.tolist())):
        again = score(y, x, weights)
        assert again.value == pytest.approx(whole.value, abs=1e-12)
        assert again.error == pytest.approx(whole.error, abs=1e-12)
    masked = np.ma.masked_invalid(truths), np.ma.masked_invalid(samples)
    assert score(*masked, weights).value == pytest.approx(whole.value, abs=1e-12)


def test_scores_read_labelled_arrays_and_stores(tmp_path: Path) -> None:
    xarray, zarr = pytest.importorskip("xarray"), pytest.importorskip("zarr")
    truths, samples, weights = rainy()
    labelled = xarray.DataArray(truths, dims=("time", "y", "x")), xarray.DataArray(samples)
    stored = zarr.array(truths, chunks=(1, 4, 4)), zarr.array(samples, chunks=(1, 2, 4, 4))
    for arrays in (labelled, stored):
        assert crps(*arrays, weights).value == pytest.approx(crps(truths, samples, weights).value)
    assert crps(*labelled, xarray.DataArray(weights)).value == crps(truths, samples, weights).value


def test_without_scoringrules_the_extra_is_named(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "scoringrules", None)
    with pytest.raises(on.InputError, match=r"the CRPS needs 'scoringrules': pip install 'ornstein\[fields\]'"):
        crps(Y, X)
    assert energy_score(Y, X).value > 0


# What a score must see -------------------------------------------------------------------------------


def assert_worse(score: Any, seed: int = 0, **broken: Any) -> None:
    """An ensemble broken like this has a worse score than the right one, by more than three standard errors."""
    truths, right = ensemble(seed, 150, 20)
    worse = score(truths, ensemble(seed, 150, 20, **broken)[1]).minus(score(truths, right))
    assert worse.error is not None
    assert worse.value > 3 * worse.error, f"worse by {worse}"


WORLDS = {"narrow": {"spread": 0.8}, "wide": {"spread": 1.25}, "independent points": {"correlated": False}}


@pytest.mark.parametrize("broken", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("score", [energy_score, variogram_score])
def test_scores_of_fields_see(score: Any, broken: dict[str, Any]) -> None:
    assert_worse(score, **broken)
    rejected(assert_worse, score)


def test_crps_sees_bias_and_spread_but_no_correlation() -> None:
    worlds: list[dict[str, Any]] = [{"bias": 0.5}, {"spread": 0.7}, {"spread": 1.4}]
    for broken in worlds:
        assert_worse(crps, **broken)
    rejected(assert_worse, crps, correlated=False)


# Errors -----------------------------------------------------------------------------------------------


def off(repeat: int, block: int) -> np.ndarray:
    """Standard errors by which scores of calibrated worlds are off their exact value, each case `repeat` times."""
    found = []
    exact = 1.0 / np.sqrt(np.pi)  # the CRPS of N(0, 1) forecasts of N(0, 1)
    for seed in range(60):
        truths, samples = (np.repeat(x, repeat, 0) for x in ensemble(seed, 40, 3, 2, signal=0.0))
        estimate = crps(truths, samples, block=block)
        found.append((estimate.value - exact) / (estimate.error or np.nan))
    return np.array(found)


def assert_errors(scaled: np.ndarray) -> None:
    """Standardised by right errors, the scatter of 60 numbers is 1 ± 0.09."""
    assert 0.75 < scaled.std() < 1.3, f"{scaled.std():.2f}"


def test_errors_are_over_independent_cases() -> None:
    assert_errors(off(1, 1))
    assert_errors(off(4, 4))
    rejected(assert_errors, off(4, 1))


def test_one_case_has_no_error() -> None:
    truths, samples = ensemble(0, 1)
    assert crps(truths, samples).error is None
    assert "±" not in str(crps(truths, samples))


def test_skill_has_the_error_of_a_paired_ratio() -> None:
    found = []
    for seed in range(40):
        truths, good = ensemble(seed, 40, 8, 2)
        skill = crps(truths, good).skill_over(crps(truths, ensemble(seed, 40, 8, 2, bias=1.0)[1]))
        found.append((skill.value, skill.error))
    values, errors = np.array(found).T
    assert 0.2 < values.mean() < 0.5
    assert values.std() == pytest.approx(errors.mean(), rel=0.35)


def test_an_estimate_is_a_metric() -> None:
    from ornstein.tasks.figures import Metric

    estimate = on.calibration.crps(*ensemble(0))
    metric = Metric(**estimate.metric)
    assert (metric.value, metric.error, metric.better) == (estimate.value, estimate.error, "lower")


# Wrong input ------------------------------------------------------------------------------------------

Y, X = ensemble(0, 3, 4, 4)
HOLED = np.where(np.arange(4)[:, None, None] == 2, np.nan, X)
WRONG = {
    "one member": (Y, X[:, :1], None, "one member, expected at least 2"),
    "shape": (Y, X[..., :3], None, r"samples: shape \(3, 4, 4, 3\), expected \(cases, members, \*field\)"),
    "cases": (Y[:2], X, None, "samples: shape"),
    "no members": (Y, Y, None, "samples: shape"),
    "empty": (Y[:0], X[:0], None, "none of them empty"),
    "nowhere": (np.full_like(Y, np.nan), X, None, "no case has data"),
    "one member missing": (Y, HOLED, None, "case 0, point 0 of the flat field: 1 of 4 members are NaN"),
    "infinite": (np.where(Y > 1, np.inf, Y), X, None, "truths: infinite values"),
    "complex": (Y.astype(complex), X, None, "truths: numbers of type complex128, expected real"),
    "negative weights": (Y, X, -np.ones((4, 4)), "weights: negative"),
    "zero weights": (Y, X, np.zeros((4, 4)), "weights: all zero"),
    "NaN weights": (Y, X, np.full((4, 4), np.nan), "weights: not finite"),
    "shape of weights": (Y, X, np.ones(4), r"weights: shape \(4,\), expected that of the field, \(4, 4\)"),
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize(("truths", "samples", "weights", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(score: Any, truths: Any, samples: Any, weights: Any, message: str) -> None:
    with pytest.raises(on.InputError, match=message):
        score(truths, samples, weights)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crps(Y, X, block=0), "block: 0"),
        (lambda: crps([[1.0], [1.0, 2.0]], X), "rows of different lengths"),
        (lambda: gaussian_crps(Y, Y, -np.ones_like(Y)), "std: -1, expected positive"),
        (lambda: gaussian_crps(Y, Y[:2], np.ones_like(Y)), "mean: shape"),
        (lambda: brier(Y, X, float("nan")), "threshold: nan"),
        (lambda: quantile_score(Y, X, 1.5), "level: 1.5"),
        (lambda: variogram_score(Y, X, p=0.0), "p: 0"),
        (lambda: variogram_score(Y, X, pairs=[(0, 16)]), "pairs: second has numbers 16 to 16 of 16 points"),
        (lambda: variogram_score(Y[:, 0, 0], X[..., 0, 0]), "expected fields"),
        (lambda: latitude_weights([91.0]), "latitudes"),
        (lambda: crps(Y, X).minus(crps(Y[:2], X[:2])), "the same cases"),
    ],
)
def test_wrong_settings_are_named(call: Any, message: str) -> None:
    with pytest.raises(on.InputError, match=message):
        call()
