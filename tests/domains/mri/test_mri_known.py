"""Whether a prior knows images: one that is exact for white images, of which others are too wide, smooth, or no images.

The features are of images of the model's own law, so that p-values are uniform; a broken twin is rejected.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from ornstein import InputError
from ornstein.domains.mri.results import known
from ornstein.keys import Keys
from ornstein.tasks.samples import Samples
from recon_domain import SHAPE, model

LEVELS = (0.2, 1.0)
STD = 0.3


def white(seed: int, count: int, std: float = STD) -> torch.Tensor:
    return std * Keys.of(seed, count).normal(2, *SHAPE).float()


@pytest.fixture(scope="module")
def fitted() -> known.Known:
    return known.fit(model(), white(1, 24), LEVELS)


def test_error_and_doubt_of_a_gaussian_are_its_variance_given_the_noise() -> None:
    found = np.exp(known.features(model(), white(2, 10), Keys.of(0, 10), LEVELS))
    s = np.array(LEVELS)
    wanted = STD**2 / (STD**2 + s**2)
    np.testing.assert_allclose(found.mean(0), [*wanted, *wanted], rtol=0.06)


@pytest.mark.slow
def test_p_values_of_what_is_known_are_uniform_and_of_a_broken_twin_are_not(fitted: known.Known) -> None:
    for std, uniform in ((STD, True), (1.15 * STD, False)):
        x = white(3, 60, std)
        p = fitted.probabilities(known.features(model(), x, Keys.of(5, 60), LEVELS))
        assert (stats.kstest(p, "uniform").pvalue > 1e-3) == uniform, std
        assert ((p < known.RATE).mean() < 0.1) == uniform, std
    assert fitted.false_alarms <= 0.1


def test_one_sample_of_each_slice_is_judged_and_air_is_left_out(fitted: known.Known) -> None:
    x = torch.cat([white(4, 2), 2 * white(4, 2), torch.zeros(2, 2, *SHAPE)])
    drawn = Samples(x, {}, each={"slice": [7, 7, 9, 9, 11, 11]})
    found = known.judge(fitted, model(), drawn)
    assert list(found) == [7, 9]
    assert found[7] > known.RATE > found[9]
    assert known.metric(found).value == 0.5
    other = known.Known("mri/mine", "1" * 64, LEVELS, fitted.features)
    with pytest.raises(InputError, match="is of mri/mine, other weights"):
        known.judge(other, model(), drawn)


def test_what_is_known_is_saved_and_read(fitted: known.Known, tmp_path: Path) -> None:
    fitted.save(tmp_path / "known.json")
    again = known.read(tmp_path / "known.json")
    np.testing.assert_allclose(again.features, fitted.features, atol=1e-5)
    assert f"of them are flagged, each left out in its turn, {known.RATE:.0%} are expected" in str(again)
    (tmp_path / "bad.json").write_text('{"model": "m", "weights": "w", "levels": [1.0], "features": [[1.0, 2.0]]}')
    with pytest.raises(InputError, match="1 slices with 2 features, expected 2 of more than 4"):
        known.read(tmp_path / "bad.json")
    with pytest.raises(InputError, match="expected fit FILE MODEL"):
        known.main(["fit"])
