"""The example scans: they are what a scanner would have written, and reading them gives the slices back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ornstein import InputError
from ornstein.domains.mri import slices
from ornstein.domains.mri.examples import example, write
from ornstein.domains.mri.scans.opened import open_scan


def images_of(kspace: torch.Tensor) -> torch.Tensor:
    waves = torch.fft.ifftshift(kspace, (-2, -1))
    return torch.fft.fftshift(torch.fft.ifft2(waves, norm="ortho"), (-2, -1))


def test_all_of_kspace_gives_the_slice_back_up_to_its_noise() -> None:
    found = example("r16", acceleration=1.0)
    image = (found.maps.conj() * images_of(found.kspace)).sum(0)
    off = torch.view_as_real(image - found.image)
    assert float(off.std()) == pytest.approx(found.std, rel=0.02)
    truth = slices.read("r16")
    assert np.allclose(found.image.abs(), truth / truth.max(), atol=1e-5)


def test_a_smaller_one_is_the_same_slice_and_an_acceleration_is_kept() -> None:
    large, small = example("s1-axial", 256), example("s1-axial", 64, 8.0)
    blocks = torch.nn.functional.avg_pool2d(large.image.abs()[None], 4)[0]
    both = torch.stack([blocks.flatten(), small.image.abs().flatten()])
    assert float(torch.corrcoef(both)[0, 1]) > 0.95
    assert 4 < small.mask.numel() / int(small.mask.sum()) < 16
    assert not small.kspace[:, ~small.mask].any()
    assert not torch.equal(small.mask, example("s1-axial", 64, 8.0, number=1).mask)


@pytest.mark.parametrize(("name", "suffix"), [("s1-axial", ".h5"), ("r16", ".npz")])
def test_files_are_scans(tmp_path: Path, name: str, suffix: str) -> None:
    (path,) = write(tmp_path / "new", names=[name], size=64)
    assert path == tmp_path / "new" / f"{name}{suffix}"
    scan, expected = open_scan(path), example(name, 64)
    assert scan.shape == (1, 8, 64, 64)
    one = scan.slice(0)
    assert np.array_equal(one.mask, expected.mask.numpy())
    assert np.allclose(one.kspace, expected.kspace.numpy(), atol=1e-6)
    truth = scan.truth(0)
    assert truth is not None
    assert np.allclose(np.abs(truth), expected.image.abs(), atol=1e-6)
    assert scan.noise_std is None
    assert scan.voxel_size == pytest.approx((1.0, 4.0, 4.0))


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(InputError, match="size: is 512, expected a whole number from 16 to 256"):
        example("r16", 512)
    with pytest.raises(InputError, match="'r99', expected one of"):
        example("r99")
