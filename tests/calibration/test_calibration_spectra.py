"""Power where it is put, summed to the variance, and the same of members and truth where they are calibrated."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import ornstein as on
from field_worlds import assert_calibrated, ensemble
from ornstein.calibration import Along, Radial, spectra, spectrum
from worlds import rejected

RNG = np.random.default_rng(0)
Y, X = ensemble(0, 6, 4, 16)


def wave(height: int, width: int, ky: float, kx: float) -> np.ndarray:
    y, x = np.arange(height)[:, None] / height, np.arange(width) / width
    return np.sqrt(2) * np.cos(2 * np.pi * (ky * y + kx * x) + 0.7)  # variance 1


@pytest.mark.parametrize("shape", [(16, 16), (15, 16), (16, 9), (12, 30)])
def test_power_sums_to_the_variance(shape: tuple[int, int]) -> None:
    field = RNG.normal(size=(3, *shape)) + 5
    for transform in (Radial(), Along()):
        axis = (-2, -1) if isinstance(transform, Radial) else -1
        variance = field.var(axis) if isinstance(transform, Radial) else field.var(-1).mean(-1)
        k, power = spectrum(field, transform)
        assert power.shape == (3, len(k))
        assert power.sum(-1) == pytest.approx(variance)


def test_waves_are_found_at_their_wavenumber() -> None:
    k, power = spectrum(wave(16, 16, 3, 4))
    assert (k[power.argmax()], power.max()) == (5.0, pytest.approx(1))
    k, power = spectrum(wave(10, 20, 0, 3), Radial(spacing=(50.0, 50.0)))  # a wave of 1000/3 km
    assert k[power.argmax()] == pytest.approx(3 / 1000)
    k, power = spectrum(wave(8, 24, 0, 5), Along(spacing=2.0))
    assert (k[power.argmax()], power.max()) == (pytest.approx(5 / 48), pytest.approx(1))
    k, power = spectrum(wave(1, 24, 0, 5)[0], Along(two=False))
    assert (k[power.argmax()], power.max()) == (5.0, pytest.approx(1))


def test_rings_that_hold_no_coefficient_have_no_power() -> None:
    field = RNG.normal(size=(10, 100))
    k, power = spectrum(field, Radial(spacing=(1.0, 10.0)))  # rows and columns of very different lengths
    assert (len(k), np.count_nonzero(power) < len(k) // 2) == (502, True)
    assert power.sum() == pytest.approx(field.var())


def test_white_noise_has_equal_power_a_coefficient() -> None:
    power = spectrum(RNG.normal(size=(4000, 6)), Along(two=False))[1].mean(0)
    assert power == pytest.approx([2 / 6, 2 / 6, 1 / 6], rel=0.1)


def test_a_window_keeps_the_power_and_stops_the_leak_of_a_border() -> None:
    white = RNG.normal(size=(400, 16, 16))
    tapered = spectrum(white, Radial(window="hann"))[1].mean(0)
    assert tapered[1:] == pytest.approx(spectrum(white)[1].mean(0)[1:], rel=0.15)
    open_wave = wave(64, 64, 0, 2.5)  # not periodic
    plain, hann = (spectrum(open_wave, Radial(window=window))[1][8:].sum() for window in ("none", "hann"))
    assert hann < 1e-3 * plain


def test_latitudes_count_as_their_circles() -> None:
    field = np.stack([wave(1, 12, 0, 2)[0], wave(1, 12, 0, 4)[0]])
    k, power = spectrum(field, Along.latitudes([0.0, 60.0]))
    assert k.tolist() == [1, 2, 3, 4, 5, 6]
    assert power == pytest.approx(np.array([0, 2, 0, 1, 0, 0]) / 3)


def test_missing_points_are_a_window() -> None:
    field = RNG.normal(size=(600, 12, 12)) + 100
    field[:, 3:6, 2:7] = np.nan
    for transform in (Radial(), Along()):
        power = spectrum(field, transform)[1].mean(0).sum()
        assert power == pytest.approx(1, rel=0.1)
    rows = np.where(np.arange(12)[:, None] < 6, np.nan, field)  # rows without data do not count
    kept = spectrum(rows, Along())[1]
    assert kept == pytest.approx(spectrum(rows[:, 6:], Along())[1])


def ratio_p(band: tuple[float, float], transform: Any) -> Any:
    def p(truths: np.ndarray, samples: np.ndarray) -> float:
        found = spectra(truths, samples, transform).ratio(*band)
        assert found.error
        return float(2 * stats.norm.sf(abs(found.value - 1) / found.error))

    return p


SMALL = {"length": 1.0}


def test_calibrated_members_have_the_power_of_the_truth() -> None:
    assert_calibrated(ratio_p((2, 5), Radial()), 40, members=4, **SMALL)
    assert_calibrated(ratio_p((1, 3), Along()), 40, members=4, **SMALL)


@pytest.mark.parametrize("broken", [{"correlated": False}, {"spread": 0.7}, {"spread": 1.4}])
def test_broken_members_have_another_power(broken: dict[str, Any]) -> None:
    rejected(assert_calibrated, ratio_p((2, 5), Radial()), 8, cases=60, members=4, **SMALL, **broken)


def test_spectra_are_of_each_case_and_member() -> None:
    holed = Y.copy()
    holed[2], holed[3, :4, :4] = np.nan, np.nan
    found = spectra(holed, X)
    assert np.isnan(found.truth[2]).all()
    assert found.members[0] == pytest.approx(np.mean([spectrum(x)[1] for x in X[0]], 0))
    assert found.mean[0] == pytest.approx(spectrum(X[0].mean(0))[1])
    masked = np.where(np.isnan(holed[3]), np.nan, X[3])
    assert found.members[3] == pytest.approx(np.mean([spectrum(x)[1] for x in masked], 0))
    ratio = found.ratios([(1, 4)])[0]
    there = [0, 1, 3, 4, 5]
    assert ratio.value == pytest.approx(found.members[there, :3].sum() / found.truth[there, :3].sum())
    assert (ratio.cases, ratio.reference) == (5, 1.0)


def test_variables_are_averaged() -> None:
    two = np.stack([Y, 2 * Y], 1)
    assert spectra(two, two[:, None].repeat(2, 1)).truth == pytest.approx(2.5 * spectra(Y, X).truth)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectrum(Y[0, 0]), "at least 2 points along each of the last 2 axes"),
        (lambda: spectrum(np.full((4, 4), np.nan)), "NaN everywhere"),
        (lambda: spectrum(Y, Radial(window="box")), "window: 'box'"),
        (lambda: spectrum(Y, Along.latitudes([0.0, 1.0])), r"weights: shape \(2,\), expected 16 rows"),
        (lambda: spectra(Y, X[:, :1]), "one member"),
        (lambda: spectra(np.full_like(Y, np.nan), X), "NaN everywhere"),
        (lambda: spectra(Y, X).ratio(50, 60), "no wavenumber from 50 to below 60, these are 1 to 11"),
    ],
)
def test_what_is_wrong_is_named(call: Any, message: str) -> None:
    with pytest.raises(on.InputError, match=message):
        call()
