"""Coil maps from the middle of k-space are the true ones, up to a phase."""

import pytest
import torch
from torch import Tensor

from ornstein.domains.mri.coils.espirit import estimated, low_images
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps, smooth_phase
from ornstein.domains.mri.trajectories import masks
from ornstein.errors import InputError
from ornstein.keys import Keys
from worlds import rejected


def disc(h: int, w: int, radius: float = 0.7) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    texture = Keys.of(5, 1).uniform(h, w)[0].float()
    return torch.where(torch.hypot(y, x) < radius, 0.6 + 0.4 * texture, 0.0)


def assert_maps(found: Tensor, true: Tensor, signal: Tensor, degrees: float) -> None:
    """The angle between them in all but a hundredth of the pixels with signal."""
    angle = torch.rad2deg((found.conj() * true).sum(0).abs().clamp(max=1).acos())
    assert float(angle[signal].quantile(0.99)) < degrees


@pytest.mark.parametrize(("shape", "coils"), [((48, 40), 4), ((41, 47), 3)])
@pytest.mark.parametrize("sigma", [0.0, 0.01])
def test_they_are_the_true_maps(shape: tuple[int, int], coils: int, sigma: float) -> None:
    maps, image = simulate_maps(shape, coils, Keys.of(0, 1)), disc(*shape) * smooth_phase(shape, Keys.of(1, 1))[0]
    mask = masks.equispaced(shape, 2, 0.4)
    kspace = simulate(image, maps, mask, sigma, Keys.of(2, 1))
    found = estimated(kspace[:, *masks.middle_of(mask)], shape)
    signal = image.abs() > 0
    assert_maps(found.maps, maps, signal, 3.0)
    rejected(assert_maps, found.maps.conj(), maps, signal, 3.0)  # k-space the other way round
    rejected(assert_maps, found.maps.roll(1, 2), maps, signal, 3.0)  # one pixel off
    assert not found.notes
    length = found.maps.abs().square().sum(0)
    assert bool((((length - 1).abs() < 1e-4) | (length == 0)).all())
    assert bool((found.eigenvalues[0][signal] > 0.9).all())


def test_their_phase_leaves_next_to_none_in_the_image() -> None:
    shape = (48, 48)
    maps, image = simulate_maps(shape, 6, Keys.of(0, 1)), disc(*shape) * smooth_phase(shape, Keys.of(1, 1))[0]
    kspace = simulate(image, maps, masks.full(shape), 0.0, Keys.of(2, 1))
    found = estimated(kspace[:, 12:36, 12:36], shape)
    combined = (found.maps.conj() * maps).sum(0) * image
    inside = disc(*shape, 0.6) > 0
    assert float(combined[inside].angle().std()) < 0.05
    assert float(image[inside].angle().std()) > 0.3


def test_an_image_that_is_folded_needs_a_second_set_and_is_named() -> None:
    shape, half = (64, 48), (32, 48)
    maps, image = simulate_maps(shape, 6, Keys.of(0, 1)), disc(*shape)
    kspace = simulate(image.to(torch.complex64), maps, masks.full(shape), 1e-3, Keys.of(2, 1))
    found = estimated(kspace[:, ::2][:, 4:28, 12:36], half)  # every other line: half the field of view
    assert any("more than one set" in note for note in found.notes)


def test_signal_that_no_map_fits_is_named() -> None:
    """Coils whose images have nothing to do with one another."""
    fields = torch.view_as_complex(Keys.of(0, 1).normal(3, 24, 24, 2))[0].to(torch.complex64)
    found = estimated(fields, (24, 24), threshold=0.5)
    assert any("nothing is seen there" in note for note in found.notes)


def test_one_coil_has_a_map_of_1() -> None:
    image = disc(32, 32).to(torch.complex64)
    kspace = simulate(image, torch.ones(1, 32, 32, dtype=torch.complex64), masks.full((32, 32)), 0.0, Keys.of(0, 1))
    found = estimated(kspace[:, 8:24, 8:24], (32, 32))
    torch.testing.assert_close(found.maps.abs()[0][image.abs() > 0], torch.ones(int((image.abs() > 0).sum())))
    assert not found.eigenvalues[1].any()


def test_rows_are_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    image, shape = disc(24, 20).to(torch.complex64), (24, 20)
    kspace = simulate(image, simulate_maps(shape, 3), masks.full(shape), 0.0, Keys.of(0, 1))
    whole = estimated(kspace[:, 4:20, 2:18], shape).maps
    monkeypatch.setattr("ornstein.domains.mri.coils.espirit.BLOCK", 500)
    torch.testing.assert_close(estimated(kspace[:, 4:20, 2:18], shape).maps, whole)


def test_low_images_are_the_images_of_the_middle() -> None:
    kspace = torch.zeros(2, 16, 16, dtype=torch.complex64)
    kspace[:, 8, 8] = 4.0  # the mean
    torch.testing.assert_close(low_images(kspace[:, 5:12, 4:13], (16, 16)), torch.full((2, 16, 16), 0.25 + 0j))


def test_a_middle_that_says_nothing_is_refused() -> None:
    calibration = torch.ones(2, 8, 8, dtype=torch.complex64)
    for words, wrong in {
        "expected 4 × 4 or more": lambda: estimated(calibration[:, :3], (16, 16)),
        "no more than the image": lambda: estimated(calibration, (6, 16)),
        "is 0": lambda: estimated(calibration * 0, (16, 16)),
        "crop": lambda: estimated(calibration, (16, 16), crop=1.0),
        "kernel": lambda: estimated(calibration, (16, 16), kernel=1),
    }.items():
        with pytest.raises(InputError, match=words):
            wrong()
