"""Phase and scale from undersampled k-space are those that training takes from whole images."""

import pytest
import torch
from torch import Tensor

from ornstein.domains.mri.coils.phase import low_resolution, phase_and_scale, standardised, window
from ornstein.domains.mri.coils.seen import phase_and_scale_of
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps, smooth_phase
from ornstein.domains.mri.trajectories import masks
from ornstein.errors import InputError
from ornstein.guidance.operators import Fourier
from ornstein.keys import Keys
from worlds import rejected

SHAPE = (96, 80)
MAPS = simulate_maps(SHAPE, 6, Keys.of(0, 1))


def head() -> Tensor:
    """An ellipse with a rim, of a texture, and with a phase."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SHAPE[0]), torch.linspace(-1, 1, SHAPE[1]), indexing="ij")
    away = torch.hypot(y / 0.85, x / 0.7)
    inside = 0.5 + 0.3 * torch.cos(9 * y) * torch.sin(7 * x) + 0.1 * Keys.of(5, 1).normal(*SHAPE)[0].float()
    image = torch.where(away < 0.9, inside, torch.where(away < 1, 1.0, 0.0))
    return image * smooth_phase(SHAPE, Keys.of(1, 1))[0]


def assert_same_state(phase: Tensor, scale: Tensor, image: Tensor, share: float) -> None:
    """What they make of the image is off by at most that share of its length, and the scale, too."""
    right = standardised(image)
    off = image * phase.conj() / scale - torch.view_as_complex(right.x.movedim(0, -1).contiguous())
    assert float(off.norm()) < share * float(right.x.norm())
    assert abs(float(scale / right.scale) - 1) < share


@pytest.mark.parametrize(
    ("kind", "acceleration", "centre", "share"),
    [("equispaced", 4, 0.2, 0.01), ("equispaced", 6, 0.1, 0.01), ("poisson", 6, None, 0.01), ("radial", 4, None, 0.01)],
)
def test_they_are_those_of_the_whole_image(kind: str, acceleration: int, centre: float, share: float) -> None:
    """Also where the middle has 10 lines, and the window 15."""
    image, mask = head(), masks.drawn(kind, SHAPE, acceleration, centre)
    kspace = simulate(image, MAPS, mask, 0.005, Keys.of(2, 1))
    assert_same_state(*phase_and_scale_of(kspace, MAPS, mask), image, share)
    summed = Fourier(complex=True, centered=True).adjoint(kspace * window(SHAPE))
    rejected(assert_same_state, *phase_and_scale((MAPS.conj() * summed).sum(0)), image, share)
    rejected(assert_same_state, *phase_and_scale(low_resolution(image, 6)), image, share)  # another window


def test_partial_fourier_changes_little() -> None:
    image, mask = head(), masks.drawn("equispaced", SHAPE, 4, 0.2, share=0.75)
    kspace = simulate(image, MAPS, mask, 0.005, Keys.of(2, 1))
    assert_same_state(*phase_and_scale_of(kspace, MAPS, mask), image, 0.01)


def test_units_are_those_of_k_space() -> None:
    image, mask = head(), masks.drawn("equispaced", SHAPE, 4, 0.2)
    kspace = simulate(image, MAPS, mask, 0.0, Keys.of(2, 1))
    phase, scale = phase_and_scale_of(kspace, MAPS, mask)
    other_phase, other = phase_and_scale_of(2.0**15 * kspace, MAPS, mask)
    torch.testing.assert_close(other, 2.0**15 * scale)
    torch.testing.assert_close(other_phase, phase)
    torch.testing.assert_close(phase_and_scale_of(kspace, 2.0**-10 * MAPS, mask)[1], 2.0**10 * scale)


def test_no_signal_is_refused() -> None:
    with pytest.raises(InputError, match="no image in it"):
        phase_and_scale_of(torch.zeros_like(MAPS), MAPS, masks.full(SHAPE))
