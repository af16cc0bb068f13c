"""Noise is told from the data without bias, whitened, and stays white where coils and readout are made fewer."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ornstein.domains.mri.coils.compress import compressed, without_oversampling
from ornstein.domains.mri.coils.noise import mixed, of_middle, of_rim, of_scan, stated, whitener
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps, smooth_phase
from ornstein.domains.mri.trajectories import masks
from ornstein.errors import InputError
from ornstein.keys import Keys
from worlds import rejected

SHAPE = (64, 192)
C128 = torch.complex128


def textured(number: int) -> Tensor:
    """An ellipse with an edge and a texture that reaches to the highest frequencies, with a phase."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SHAPE[0]), torch.linspace(-1, 1, SHAPE[1]), indexing="ij")
    inside = torch.hypot(y / 0.8, x / 0.7) < 1
    image = 0.6 + 0.2 * torch.cos(11 * y + 3 * x) + 0.06 * Keys.of(number, 1).normal(*SHAPE)[0].float()
    return torch.where(inside, image.clamp(0, 1), 0.0) * smooth_phase(SHAPE, Keys.of(number, 1))[0]


def scan(number: int, sigma: float) -> Tensor:
    """The 12 lines in the middle of a slice of its own, with coils of their own."""
    maps = simulate_maps(SHAPE, 4, Keys.of(number, 1))
    kspace = simulate(textured(number), maps, masks.full(SHAPE), sigma, Keys.of(number, 1))
    return kspace[:, 26:38]


def noise_of(coils: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.view_as_complex(Keys.of(seed, 1).normal(coils, *shape, 2))[0]


def assert_right(estimates: list[float], sigma: float, share: float = 0.02) -> None:
    """Their mean is σ to within that share."""
    assert sum(estimates) / len(estimates) == pytest.approx(sigma, rel=share)


def assert_white(samples: Tensor, sigma: float = 1.0) -> None:
    """The covariance of the real and imaginary parts of n vectors is σ² times the identity."""
    parts = torch.view_as_real(samples.to(C128)).flatten(1)
    cov, one = parts.T @ parts / len(parts) / sigma**2, torch.eye(parts.shape[1])
    assert float(((cov - one) / (1 + one).sqrt()).abs().max()) * len(parts) ** 0.5 < 5.5


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.05])
def test_the_noise_of_the_middle_is_told_without_bias(sigma: float) -> None:
    found = [of_middle(scan(number, sigma)) for number in range(8)]
    assert_right([one.std for one in found], sigma)
    off = torch.tensor([one.std / sigma - 1 for one in found]) / torch.tensor([one.error for one in found])
    assert float(off.square().mean()) < 3  # errors are as large as they say
    rejected(assert_right, [one.std * 2**0.5 for one in found], sigma)  # of a complex number, not of a part
    assert "from the middle" in found[0].note
    assert "±" in found[0].note


def test_eigenvalues_of_the_same_windows_would_be_too_small() -> None:
    """The broken twin: energies in the part in which the directions were found."""
    from ornstein.domains.mri.coils.espirit import windows

    naive = []
    for number in range(8):
        a = windows(scan(number, 0.01).to(C128), (6, 6))
        values = torch.linalg.eigvalsh(a.T @ a.conj())
        naive.append(float(values[: len(values) // 4].mean() / len(a) / 2) ** 0.5)
    rejected(assert_right, naive, 0.01)


def test_the_rim_of_an_oversampled_readout_has_the_covariance_of_the_noise() -> None:
    maps = simulate_maps((64, 64), 3, Keys.of(0, 1))
    image = torch.zeros(64, 128, dtype=torch.complex64)
    image[:, 32:96] = 0.5
    wide = torch.zeros(3, 64, 128, dtype=torch.complex64)
    wide[..., 32:96] = maps
    mix = torch.tensor([[1.0, 0, 0], [0.4j, 0.8, 0], [0.2, 0.1j, 1.2]], dtype=C128)
    kspace = simulate(image, wide, masks.full((64, 128)), 0.0, Keys.of(0, 1)) + 0.01 * mixed(mix, noise_of(3, 64, 128))
    found = of_rim(kspace.to(torch.complex64), 64)
    torch.testing.assert_close(found.covariance, 1e-4 * mix @ mix.mH, atol=6e-6, rtol=0.0)
    assert "beside the image" not in found.note
    image[:, 16:96] = 0.5
    wide[..., 16:32] = 0.5
    leaking = simulate(image, wide, masks.full((64, 128)), 0.01, Keys.of(0, 1))
    assert "larger" in of_rim(leaking, 64).note


def test_a_noise_scan_whitens() -> None:
    mix = torch.tensor([[1.0, 0, 0], [0.6j, 0.8, 0], [0.3, 0.2j, 1.4]], dtype=C128)
    noise = 0.3 * mix @ noise_of(3, 20000)
    found = of_scan(noise)
    assert found.std == pytest.approx(0.3 * float((mix @ mix.mH).diagonal().real.mean()) ** 0.5, rel=4 * found.error)
    fresh = 0.3 * mix @ noise_of(3, 4000, seed=1)
    assert_white((whitener(found.covariance).to(C128) @ fresh).T)
    rejected(assert_white, (fresh / found.std).T)
    rejected(assert_white, (whitener(found.covariance * 2).to(C128) @ fresh).T)


def test_noise_without_oversampling_is_white_and_of_the_same_size() -> None:
    mask, noise = masks.full((500, 16)), noise_of(2, 500, 16)
    left = without_oversampling(noise, mask, 8)
    assert_white(left.permute(1, 0, 2).flatten(1))
    rejected(assert_white, noise[..., ::2].permute(1, 0, 2).flatten(1) * 1.2)
    thrice = torch.cat([left[..., :-1] + left[..., 1:]], -1) / 2**0.5
    rejected(assert_white, thrice.permute(1, 0, 2).flatten(1))


@pytest.mark.parametrize(("w", "readout"), [(16, 8), (15, 8), (16, 7), (9, 9)])
def test_the_image_without_oversampling_is_its_middle(w: int, readout: int) -> None:
    image = torch.view_as_complex(Keys.of(0, 1).normal(6, w, 2))[0]
    one = torch.ones(1, 6, w, dtype=C128)
    kspace = simulate(image, one, masks.full((6, w)), 0.0, Keys.of(0, 1))
    middle = image[:, w // 2 - readout // 2 :][:, :readout]
    right = simulate(middle, one[..., :readout], masks.full((6, readout)), 0.0, Keys.of(0, 1))
    torch.testing.assert_close(without_oversampling(kspace, masks.full((6, w)), readout), right)


def test_virtual_coils_keep_the_energy_and_the_noise() -> None:
    kspace = scan(0, 0.001)
    many = torch.cat([kspace, 0.5j * kspace[:2], kspace[1:3]])  # 8 coils, of which 4 are new
    found = compressed(many, energy=1 - 1e-9)
    assert found.matrix.shape == (4, 8)
    assert found.lost < 1e-6
    few = compressed(many, 2)
    seen = mixed(few.matrix, many)
    share = float(seen.abs().square().sum() / many.abs().square().sum())
    assert few.lost == pytest.approx(1 - share, rel=1e-3)
    assert "compressed to 2" in few.note
    assert_white((few.matrix.to(C128) @ noise_of(8, 4000)).T)
    rejected(assert_white, (many[:2, 0, :8].to(C128) @ noise_of(8, 4000)).T)


def test_what_cannot_be_told_is_refused() -> None:
    tries: dict[str, Callable[[], object]] = {
        "one coil": lambda: of_middle(noise_of(1, 20, 64)),
        "expected 5 × 60": lambda: of_middle(noise_of(4, 20, 40)),
        "expected more samples": lambda: of_scan(noise_of(4, 4)),
        "a coil has none": lambda: of_scan(torch.cat([noise_of(3, 50), torch.zeros(1, 50)])),
        "no rim": lambda: of_rim(noise_of(2, 4, 20), 12),
        "positive number": lambda: stated(0.0, 2),
        "not positive": lambda: whitener(torch.ones(2, 2, dtype=torch.complex64)),
        "cannot be removed": lambda: without_oversampling(noise_of(2, 8, 8), masks.partial((8, 8), 0.75, axis=1), 4),
        "the readout has 8": lambda: without_oversampling(noise_of(2, 8, 8), masks.full((8, 8)), 9),
        "energy": lambda: compressed(noise_of(2, 8, 8), energy=0.0),
        "nothing to tell": lambda: compressed(torch.zeros(2, 4, 4, dtype=torch.complex64)),
    }
    for words, wrong in tries.items():
        with pytest.raises(InputError, match=words):
            wrong()
