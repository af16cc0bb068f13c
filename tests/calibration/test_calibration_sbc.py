"""Simulation-based calibration on a Gaussian posterior in closed form, and on samplers broken on purpose."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import ornstein as on
from field_worlds import assert_calibrated, ensemble
from ornstein.calibration import Ranks, sbc, simulated, spectra, tarp
from ornstein.calibration.sbc import cumulated
from ornstein.errors import InputError
from ornstein.keys import Keys
from worlds import rejected

NOISE = 0.5


def observe(x: Any, keys: Keys) -> np.ndarray:
    return x + NOISE * keys.normal(*x.shape)[0].numpy()


def posterior(spread: float = 1.0, bias: float = 0.0) -> Any:
    """Of x ~ N(0, 1) seen through noise; broken by a spread or a bias, in its standard deviations."""
    std = NOISE / np.sqrt(1 + NOISE**2)

    def sample(y: np.ndarray, members: int, seed: int) -> np.ndarray:
        z = Keys.of(seed, members).normal(*y.shape).numpy()
        return y / (1 + NOISE**2) + std * (bias + spread * z)

    return sample


def world(seed: int, cases: int = 60, members: int = 19, **broken: float) -> tuple[np.ndarray, np.ndarray]:
    """Truths (cases, 4) and samples of their posteriors, all at once."""
    rng = np.random.default_rng(seed)
    truths = rng.normal(size=(cases, 4))
    seen = truths + NOISE * rng.normal(size=truths.shape)
    drawn = posterior(**broken)(seen, members, seed)  # (members, cases, 4)
    return truths, drawn.swapaxes(0, 1)


def test_truths_and_samples_are_simulated() -> None:
    prior = Keys.of(0, 30).normal(2).numpy()
    truths, samples = simulated(prior, observe, posterior(), members=5, seed=3)
    assert (truths == prior).all()
    assert samples.shape == (30, 5, 2)
    again = simulated(torch.tensor(prior[:4]), observe_tensor, lambda *how: torch.tensor(posterior()(*how)), 5, 3)
    assert (again[1] == samples[:4]).all()  # each case has keys of its own


def observe_tensor(x: torch.Tensor, keys: Keys) -> np.ndarray:
    return observe(x.numpy(), keys)


def smallest(test: Any) -> Any:
    """The Bonferroni p-value of all functionals."""

    def p(truths: np.ndarray, samples: np.ndarray) -> float:
        found = test(truths, samples).values()
        return min(1.0, min(one.p_value for one in found) * len(found))

    return p


def share(test: Any, seeds: int, **broken: Any) -> float:
    return float(np.mean([test(*world(seed, **broken)) < 0.05 for seed in range(seeds)]))


def assert_passes(test: Any, seeds: int = 40, **broken: float) -> None:
    found = share(test, seeds, **broken)
    assert found <= stats.binom.ppf(0.999, seeds, 0.05) / seeds, f"{found:.0%} rejected"


TESTS = {"sbc": smallest(sbc), "tarp": lambda y, x: tarp(y, x).p_value}
BROKEN = {"narrow": {"spread": 0.7}, "wide": {"spread": 1.4}, "biased": {"bias": 0.7}}


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_the_right_posterior_passes(test: Any) -> None:
    assert_passes(test, 24)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_wrong_posteriors_are_rejected(test: Any, broken: dict[str, float]) -> None:
    rejected(assert_passes, test, 6, cases=120, **broken)


def test_fields_are_judged_as_a_whole() -> None:
    assert_calibrated(smallest(lambda y, x: sbc(y, x)), 20)
    assert_calibrated(lambda y, x: tarp(y, x).p_value, 20)
    found = sbc(*ensemble(0))
    assert list(found) == ["mean", "std", "min", "max"]
    broken = sbc(*ensemble(0, 100, 20, correlated=False))
    assert broken["mean"].p_value < 0.01  # independent points have too steady a mean
    assert tarp(*ensemble(0, 100, 20, spread=0.8)).p_value < 0.01


def test_a_band_holds_cumulated_ranks_everywhere_at_once() -> None:
    rng, outside, small = np.random.default_rng(0), 0, 0
    for _ in range(200):
        found = cumulated("x", rng.integers(0, 20, 50), 19)
        out = ((found.values < found.low) | (found.values > found.high)).any()
        outside, small = outside + out, small + (found.p_value < 0.05)
    assert 0.01 <= small / 200 <= 0.09
    assert outside <= small + 3


def test_bootstrap_bands_scatter_as_the_cases_do() -> None:
    found = cumulated("x", np.random.default_rng(1).integers(0, 20, 400), 19)
    half = (found.greatest - found.least)[9] / 2
    assert half == pytest.approx(1.96 * np.sqrt(0.25 / 400), rel=0.2)


def test_tarp_is_the_rank_of_the_distance() -> None:
    truths, samples = world(0, 10)
    references = np.random.default_rng(0).normal(size=truths.shape)
    found = tarp(truths, samples, np.array([1.0, 1, 2, 0]), references=references)
    square = [((x - references) ** 2 * [1, 1, 2, 0]).sum(-1) for x in (truths, samples.swapaxes(0, 1))]
    assert found.ranks.tolist() == (square[1] < square[0]).sum(0).tolist()
    assert found.values[4] == (found.ranks <= 4).mean()


def test_missing_values_are_left_out() -> None:
    truths, samples = world(0, 10)
    truths[0], truths[1, 2] = np.nan, np.nan
    assert len(tarp(truths, samples).ranks) == 8  # without that case, and the one that it is the reference of
    found = sbc(truths, samples)
    assert [len(one.ranks) for one in found.values()] == [9, 9, 8, 9]
    assert len(sbc(truths, samples, {"mean": lambda x: np.nanmean(x, 1)})["mean"].ranks) == 9


def test_blocks_give_one_case_each() -> None:
    truths, samples = (np.repeat(x, 5, 0) for x in world(0, 30))
    assert len(tarp(truths, samples, block=5).ranks) == 30
    assert sbc(truths, samples, block=5)["element 0"].ranks.tolist() == sbc(*world(0, 30))["element 0"].ranks.tolist()


Y, X = world(0, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sbc(Y, X[..., :2]), "samples: shape"),
        (lambda: sbc(Y, X, {"all": lambda x: x}), r"functional 'all': gave shape \(6, 4\)"),
        (lambda: tarp(Y, X, references=Y[:2]), "references: shape"),
        (lambda: tarp(Y[:1], X[:1]), "1 cases in blocks of 1"),
        (lambda: tarp(np.full_like(Y, np.nan), X), "NaN everywhere"),
        (lambda: tarp(Y, X, -np.ones(4)), "weights: negative"),
        (lambda: simulated(Y, observe, lambda y, n, s: y, 3), r"sample: gave shape \(4,\) for case 0"),
    ],
)
def test_what_is_wrong_is_named(call: Any, message: str) -> None:
    with pytest.raises(on.InputError, match=message):
        call()


def test_members_that_are_partly_missing_are_named_here_too() -> None:
    truths, samples = np.zeros((3, 2)), np.ones((3, 4, 2))
    samples[1, 2, 1] = np.nan
    with pytest.raises(InputError, match="case 1, point 1 of the flat field: 1 of 4 members are NaN"):
        sbc(truths, samples)
    with pytest.raises(InputError, match="numbers that are not finite for case 0"):
        simulated(torch.zeros(2, 3), lambda x, keys: x, lambda y, n, seed: np.full((n, 3), np.nan))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("levels", [[np.nan], "a", 0.5])
def test_levels_that_are_none_are_named(levels: Any) -> None:
    ranks = Ranks.of(np.zeros((3, 2)), np.ones((3, 4, 2)))
    with pytest.raises(InputError, match="expected a list of numbers between 0 and 1"):
        ranks.coverage(levels)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("bands", [3, [(1,)], [2]])
def test_bands_that_are_none_are_named(bands: Any) -> None:
    with pytest.raises(InputError, match="expected a list of"):
        spectra(np.zeros((3, 4, 4)), np.ones((3, 4, 4, 4))).ratios(bands)
