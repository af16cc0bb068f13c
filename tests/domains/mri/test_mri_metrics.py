"""fastMRI's numbers, the brain, and coverage over it, of reconstructions whose errors are known."""

from dataclasses import replace
from math import log10

import numpy as np
import pytest
import torch

from ornstein import calibration
from ornstein.calibration import Conformal, Widening, recalibrate
from ornstein.domains.mri import metrics
from ornstein.domains.mri.task import Mri
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.tasks import memory
from ornstein.tasks.samples import Samples
from worlds import rejected


def smooth(cases: int, members: int, side: int, seed: int, width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Truths, and members about means that err as much as members spread, alike over four voxels."""
    drawn = torch.nn.functional.interpolate(
        Keys.of(seed, cases).normal(members + 1, side // 4, side // 4), (side, side), mode="nearest"
    ).numpy()
    mean = 5 + np.arange(side)[:, None] / side
    return mean + 0.3 * drawn[:, 0].astype(float), mean + width * 0.3 * drawn[:, 1:].astype(float)


def head(side: int = 128, skull: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """A head seen from above: scalp, skull, brain with two ventricles; and where the brain is."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    away = np.hypot(y / 0.8, x / 0.65)
    image = np.where(away < 1, 0.9, 0.0)
    image[away < 0.92] = skull
    brain = away < 0.8
    image[brain] = 0.6
    image[np.hypot(y / 0.2, (np.abs(x) - 0.1) / 0.05) < 1] = 0.1
    return image, brain


# fastMRI's numbers ------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_scikit_image_and_of_fastmris_code() -> None:
    judge = pytest.importorskip("skimage.metrics")
    truth, members = smooth(3, 1, 40, 1)
    truth *= np.array([1.0, 0.5, 2.0])[:, None, None]
    found, top = members[:, 0], truth.max()
    wanted = [judge.structural_similarity(u, v, data_range=top) for u, v in zip(truth, found, strict=True)]
    np.testing.assert_allclose(metrics.ssim(truth, found, top), wanted, atol=1e-12)
    own = [judge.structural_similarity(u, v, data_range=u.max()) for u, v in zip(truth, found, strict=True)]
    np.testing.assert_allclose(metrics.ssim(truth, found), own, atol=1e-12)
    assert metrics.volume_psnr(truth, found) == pytest.approx(
        judge.peak_signal_noise_ratio(truth, found, data_range=top), abs=1e-10
    )
    assert metrics.nmse(truth, found) == pytest.approx(
        np.linalg.norm(truth - found) ** 2 / np.linalg.norm(truth) ** 2, rel=1e-12
    )
    by_name = {one.name: one for one in metrics.accuracy(truth, found)}
    assert by_name["PSNR, volume maximum"].value == pytest.approx(metrics.volume_psnr(truth, found))
    assert by_name["SSIM, volume maximum"].value == pytest.approx(np.mean(wanted))
    assert by_name["NMSE"].value == pytest.approx(metrics.nmse(truth, found))
    assert by_name["PSNR, slice maximum"].value == pytest.approx(metrics.psnr(truth, found).mean())


def test_numbers_that_can_be_worked_out_by_hand() -> None:
    truth = np.zeros((2, 10, 10))
    truth[0], truth[1] = 1.0, 4.0
    found = truth + 0.1
    np.testing.assert_allclose(metrics.psnr(truth, found), [20.0, 20 * log10(40)])
    assert metrics.volume_psnr(truth, found) == pytest.approx(20 * log10(40))
    assert metrics.nmse(truth, found) == pytest.approx(0.01 / 8.5)
    # of constant images only the means count: (2 · 1 · 1.1 + c) / (1 + 1.21 + c), c = (.01 m)²
    np.testing.assert_allclose(metrics.ssim(truth, found)[0], (2.2 + 1e-4) / (2.21 + 1e-4))
    np.testing.assert_allclose(metrics.ssim(truth, found, 4.0)[0], (2.2 + 16e-4) / (2.21 + 16e-4))


def test_the_error_of_a_mean_is_over_slices_and_not_over_voxels() -> None:
    """Voxels of a slice err together: enlarging the images must not make the errors smaller."""
    small, large = (metrics.accuracy(*_repeated(times)) for times in (2, 4))
    for one, other in zip(small, large, strict=True):
        if "SSIM" not in one.name:
            assert one.error == pytest.approx(other.error)
            assert one.error is not None
            assert one.error > 0
    assert all(one.error is None for one in metrics.accuracy(*(x[:1] for x in _repeated(2))))


def _repeated(times: int) -> tuple[np.ndarray, np.ndarray]:
    truth, members = smooth(5, 1, 16, 2)
    return tuple(np.kron(x, np.ones((times, times))) for x in (truth, members[:, 0]))  # type: ignore[return-value]


def test_slices_smaller_than_the_window_are_named() -> None:
    with pytest.raises(InputError, match=r"6, 9.*at least 7"):
        metrics.ssim(np.ones((1, 6, 9)), np.ones((1, 6, 9)))


# The brain --------------------------------------------------------------------------------------------


def test_the_brain_is_within_its_skull_and_keeps_its_ventricles() -> None:
    image, brain = head()
    found = metrics.brain(1e-6 * image)
    assert (found ^ brain).sum() < 0.03 * brain.sum()
    noisy = np.abs(image + 0.02 * Keys.of(0, 1).normal(*image.shape)[0].numpy())
    assert (metrics.brain(noisy) ^ brain).sum() < 0.05 * brain.sum()


def test_without_a_skull_to_see_it_is_the_whole_head() -> None:
    image, _ = head(skull=0.7)
    found, whole = metrics.brain(image), image > 0
    assert (found ^ whole).sum() < 0.1 * whole.sum()
    assert not metrics.brain(np.zeros((20, 20))).any()


# Coverage ---------------------------------------------------------------------------------------------


def covered(truth: np.ndarray, members: np.ndarray) -> None:
    found = metrics.coverage(truth, members, np.ones(truth.shape, bool), [0.9])
    np.testing.assert_allclose(found.levels, 0.9)
    assert np.abs(found.off).max() < 4


def test_intervals_of_right_samples_hold_the_truth_as_often_as_they_say() -> None:
    truth, members = smooth(40, 19, 32, 3)
    covered(truth, members)
    rejected(covered, *smooth(40, 19, 32, 3, width=0.7))


def test_outside_the_mask_nothing_counts() -> None:
    truth, members = smooth(20, 19, 32, 4)
    mask = np.zeros(truth.shape, bool)
    mask[:, 8:24, 8:24] = True
    found = metrics.coverage(truth, members, mask, [0.9])
    spoiled = np.where(mask, truth, 1e6)
    np.testing.assert_array_equal(metrics.coverage(spoiled, members, mask, [0.9]).values, found.values)
    assert found.points == mask.sum()
    with pytest.raises(InputError, match="mask is empty"):
        metrics.coverage(truth, members, mask & False, [0.9])


@pytest.mark.parametrize("method", [Widening(), Conformal()])
def test_widening_mends_coverage_and_the_raw_one_stands_beside_it(method: object) -> None:
    truth, members = smooth(60, 19, 32, 5, width=0.6)
    made = recalibrate(metrics.masked(truth, np.ones(truth.shape, bool)), members, method, levels=[0.9])
    assert made.before.values[0] < 0.82
    assert made.after.values[0] == pytest.approx(0.9, abs=0.03)


# Samples ----------------------------------------------------------------------------------------------


def drawn(first: int, count: int, each: int = 4) -> Samples:
    truth, members = smooth(3, each, 16, 6)
    x = np.stack([members, 0 * members], 2).reshape(-1, 2, 16, 16)
    given = np.repeat(np.stack([truth, 0 * truth], 1), each, 0)
    rows = slice(first, first + count)
    condition = {
        "truth": torch.tensor(given[rows]),
        "brain": torch.ones(count, 16, 16, dtype=torch.bool),
        "scale": torch.tensor([1.0, 2.0, 3.0]).repeat_interleave(each)[rows],
    }
    return Samples(torch.tensor(x[rows]), condition, settings={"each": each, "first": first})


def test_samples_are_judged_slice_by_slice_in_the_units_of_the_volume() -> None:
    truth, members = smooth(3, 4, 16, 6)
    scale = np.array([1.0, 2.0, 3.0])[:, None, None]
    found = {one.name: one.value for one in Mri().evaluate(drawn(0, 12))}
    assert found["PSNR, volume maximum"] == pytest.approx(metrics.volume_psnr(scale * truth, scale * members.mean(1)))
    assert {"brain: coverage, 60.0%", "brain: CRPS"} <= set(found)


def test_slices_of_which_samples_are_missing_are_left_out() -> None:
    assert judged(drawn(2, 9), 9) == judged(drawn(4, 4), 4)
    with pytest.raises(InputError, match="all 4 of a slice"):
        Mri().evaluate(drawn(1, 3))


def judged(samples: Samples, size: int) -> dict[str, list[float | None]]:
    judge = Mri().judge(samples)
    judge.begin(len(samples))
    for first in range(0, len(samples), size):
        judge.add(samples[first : first + size])
    return {one.name: [one.value, one.error, one.reference] for one in judge.metrics()}


def test_parts_of_any_cut_have_the_scores_of_all() -> None:
    """Within the samples of a slice, and of several slices at once."""
    chi2 = {metrics.DATA: torch.linspace(0.8, 1.4, 12), metrics.HELD: torch.linspace(2.0, 0.5, 12)}
    each = {"slice": [k // 4 for k in range(12)]}

    def told(samples: Samples) -> Samples:
        return replace(samples, condition={**samples.condition, **chi2}, each=each)

    wanted = judged(told(drawn(0, 12)), 12)
    assert {"SSIM, volume maximum", "brain: spread / skill", "χ² of the lines held out"} <= set(wanted)
    for size in (1, 3, 7):
        found = judged(told(drawn(0, 12)), size)
        assert found.keys() == wanted.keys()
        for name, numbers in found.items():
            known = [number for number in wanted[name] if number is not None]
            assert [number for number in numbers if number is not None] == pytest.approx(known, rel=1e-6), name
    mixed = told(drawn(0, 12))  # a judge that takes a sample of one slice for one of another
    rolled = judged(replace(mixed, x=mixed.x.roll(1, 0)), 3)
    assert all(rolled[name][0] != pytest.approx(wanted[name][0], rel=1e-3) for name in ("NMSE", "brain: CRPS"))


def test_the_scores_are_those_of_all_slices_at_once() -> None:
    truth, members = smooth(3, 4, 16, 6)
    scale = np.array([1.0, 2.0, 3.0])[:, None, None]
    truth, members, found = scale * truth, scale[:, None] * members, judged(drawn(0, 12), 5)
    wanted = metrics.accuracy(truth, members.mean(1))
    wanted += [calibration.crps(truth, members), calibration.spread_skill(truth, members).ratio]
    wanted.append(calibration.Ranks.of(truth, members).coverage().near(0.5))
    by_name = {name.removeprefix("brain: "): numbers for name, numbers in found.items()}
    for one in wanted:
        assert by_name[one.name][:2] == pytest.approx([one.value, one.error], rel=1e-6), one.name


def test_only_one_slice_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Mri().judge(drawn(0, 12))
    monkeypatch.setattr(memory, "available", lambda: 100_000)
    judge.begin(10**9)
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(InputError, match="samples of one slice, 16 × 16 pixels each: 4 samples"):
        judge.begin(10**9)


def test_slices_of_air_do_not_count() -> None:
    whole, last = drawn(0, 12), drawn(4, 8)
    for name in ("truth", "scale"):
        whole.condition[name][:4] = 0  # type: ignore[index]
    np.testing.assert_equal([vars(one) for one in Mri().evaluate(whole)], [vars(one) for one in Mri().evaluate(last)])
    whole.condition["truth"][:] = 0  # type: ignore[index]
    assert Mri().evaluate(whole) == []


def test_without_a_truth_there_is_nothing_to_hold_them_against() -> None:
    assert Mri().evaluate(Samples(torch.zeros(4, 2, 16, 16))) == []


def test_agreement_with_k_space_is_a_mean_over_slices() -> None:
    """Without a truth, too; a slice of air, which was not compared, does not count."""
    nan = float("nan")
    condition = {
        metrics.DATA: torch.tensor([0.9, 1.1, 1.4, 1.6, nan, nan]),
        metrics.HELD: torch.tensor([2.0, 2.0, 1.0, 1.0, nan, nan]),
    }
    each = {"slice": [3, 3, 4, 4, 5, 5]}
    data, held = Mri().evaluate(Samples(torch.zeros(6, 2, 8, 8), condition, each=each, settings={"each": 2}))
    assert (data.name, data.value, data.reference) == ("χ² of the data", pytest.approx(1.25), 1.0)
    assert data.error == pytest.approx(0.5 / 2)  # of two slices, 1.0 and 1.5
    assert (held.name, held.value) == ("χ² of the lines held out", pytest.approx(1.5))
    assert Mri().evaluate(Samples(torch.zeros(6, 2, 8, 8), {}, each=each, settings={"each": 2})) == []
