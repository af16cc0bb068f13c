"""Masks: those of lines are fastMRI's, number by number; the others have the acceleration and the form they say."""

from math import pi

import pytest
import torch
from torch import Tensor

from ornstein.domains.mri.trajectories import masks
from ornstein.errors import InputError

NAME = "file_brain_AXT1_201_6002736.h5"


def lines(mask: Tensor, axis: int = 0) -> list[int]:
    return mask.any(1 - axis).nonzero()[:, 0].tolist()


def test_masks_of_a_file_are_those_of_fastmris_code() -> None:
    """What its code gives for that name as seed, as run once."""
    random_64 = [3, 9, 14, 22, 30, 31, 32, 33, 34, 36, 39, 42, 45, 53, 54, 58, 60]
    equispaced_64 = [4, 9, 15, 20, 25, 30, 31, 32, 33, 34, 36, 42, 47, 52, 58]
    random_45, equispaced_45 = [3, 9, 22, 23, 33, 36], [3, 15, 22, 23, 27, 39]
    assert lines(masks.uniform((64, 8), 4, 0.08, NAME)) == random_64
    assert lines(masks.equispaced((64, 8), 4, 0.08, NAME)) == equispaced_64
    assert lines(masks.uniform((8, 45), 8, 0.04, NAME, axis=1), 1) == random_45
    assert lines(masks.equispaced((8, 45), 8, 0.04, NAME, axis=1), 1) == equispaced_45


@pytest.mark.parametrize("kind", masks.KINDS)
def test_a_mask_is_a_function_of_seed_and_slice(kind: str) -> None:
    shape = (48, 40)
    mask = masks.drawn(kind, shape, 4, seed=1, slice=2)
    assert mask.shape == shape
    assert torch.equal(mask, masks.drawn(kind, shape, 4, seed=1, slice=2))
    assert not all(torch.equal(mask, masks.drawn(kind, shape, 4, seed=1, slice=k)) for k in range(3, 9))
    assert (masks.whole_lines(mask) == 0) == (kind in ("random", "equispaced"))
    assert mask[24, 20]


@pytest.mark.parametrize("kind", ["equispaced", "poisson", "radial"])
def test_the_acceleration_is_the_one_asked_for(kind: str) -> None:
    """To within a line, half a spoke, or 1 %."""
    for acceleration in (2, 4, 8):
        found = masks.acceleration_of(masks.drawn(kind, (64, 40), acceleration))
        off = {"equispaced": 1 / 64, "radial": 0.5 / 40, "poisson": 0.011 / acceleration}[kind]
        assert abs(1 / found - 1 / acceleration) <= off + 1e-9


def test_lines_at_random_have_the_acceleration_on_average() -> None:
    found = torch.stack([masks.uniform((100, 4), 4, 0.08, slice=k) for k in range(400)])
    share = found[:, :, 0].double().mean(0)
    assert bool((share[46:54] == 1).all())
    outside = torch.cat([share[:46], share[54:]])
    expected = (25 - 8) / 92
    assert float(outside.mean()) == pytest.approx(expected, abs=5 * (expected / 92 / 400) ** 0.5)
    assert float((outside - expected).abs().max()) < 5 * (expected / 400) ** 0.5


def test_points_of_a_poisson_disc_keep_their_distance_and_thin_out() -> None:
    mask = masks.poisson((64, 64), 8, 0.08)
    rows, columns = masks.middle_of(mask)
    assert min(rows.stop - rows.start, columns.stop - columns.start) >= 5
    y, x = torch.meshgrid(torch.arange(64) - 32, torch.arange(64) - 32, indexing="ij")
    away = torch.hypot(y / 32, x / 32)
    density = [float(mask[(away > low) & (away <= low + 0.2)].double().mean()) for low in (0.2, 0.4, 0.6, 0.8)]
    assert density == sorted(density, reverse=True)
    assert not mask[away > 1].any()
    assert masks.poisson((64, 64), 8, 0.08, corners=True)[away > 1].any()
    outer = mask & (away > 0.6)
    beside = outer[1:] & outer[:-1]
    assert not beside.any()  # chance would put 3 % of them beside one another


def test_spokes_pass_through_the_middle_and_fill_a_disc() -> None:
    mask = masks.radial((128, 128), 4)
    spokes = float(mask.sum()) / 128  # to begin with
    rows, columns = masks.middle_of(mask)
    assert min(rows.stop - rows.start, columns.stop - columns.start) > spokes / pi / 2
    assert masks.radial((128, 128), 4, 0.25)[48:80, 64].all()


def test_parts_of_k_space() -> None:
    for share, lines_left in ((5 / 8, 10), (6 / 8, 12), (7 / 8, 14), (1.0, 16)):
        assert lines(masks.partial((16, 4), share)) == list(range(16 - lines_left, 16))
    echo = masks.partial((16, 8), 0.75, axis=1)
    assert lines(echo, 1) == list(range(2, 8))
    both = masks.drawn("random", (16, 8), 2, 0.2, share=0.75)
    assert torch.equal(both, masks.uniform((16, 8), 2, 0.2) & masks.partial((16, 8), 0.75))


def test_the_middle_without_a_gap() -> None:
    mask = torch.zeros(12, 10, dtype=torch.bool)
    assert masks.middle_of(mask) == (slice(6, 6), slice(5, 5))
    mask[4:9, 3:7] = True
    assert masks.middle_of(mask) == (slice(4, 9), slice(3, 7))
    assert masks.middle_of(masks.equispaced((64, 8), 4, 0.08, NAME)) == (slice(30, 35), slice(0, 8))


def test_words_have_the_acceleration_that_came_out_beside_the_one_asked_for() -> None:
    said = masks.described(masks.uniform((256, 256), 4), 4)
    assert said == "57 of 256 lines, 4.49-fold, 4-fold asked for, 21 in the middle without a gap"
    assert "points" in masks.described(masks.radial((64, 64), 4))


def test_impossible_masks_are_refused() -> None:
    for words, wrong in {
        "acceleration": lambda: masks.uniform((16, 16), 0.5),
        "centre alone": lambda: masks.equispaced((16, 16), 8, 0.5),
        "share of the lines": lambda: masks.uniform((16, 16), 2, 1.5),
        "one of random": lambda: masks.drawn("spiral", (16, 16), 2),
        "offset": lambda: masks.equispaced((16, 16), 2, 0.1, offset=16),
        "over 0.5": lambda: masks.partial((16, 16), 0.5),
    }.items():
        with pytest.raises(InputError, match=words):
            wrong()
