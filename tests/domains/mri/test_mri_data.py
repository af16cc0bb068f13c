"""Slices to learn from: functions of their numbers, standardised as scans are, never of subjects that are judged on."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from ornstein.domains.mri import data, slices
from ornstein.domains.mri.coils.phase import low_resolution, phase_and_scale, restored, standardised
from ornstein.domains.mri.volumes import base, planes
from ornstein.errors import InputError
from ornstein.tasks.registry import task


def _head(path: Path, shape: tuple[int, int, int] = (24, 28, 20), seed: int = 0) -> Path:
    """A ball with texture in it."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in shape), indexing="ij"))
    inside = (at**2).sum(0) < 1
    nibabel.save(nibabel.Nifti1Image((inside * (80 + 20 * rng.random(shape))).astype(np.float32), np.eye(4)), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        _head(tmp_path / f"{number}.nii.gz", seed=number)
    return tmp_path


def test_records_are_functions_of_their_numbers(folder: Path) -> None:
    train, held_out = data.opened(str(folder), (32, 40), 1.0, 1000, 100.0)
    x, _ = train.batch(torch.tensor([3, 7]))
    again, _ = train.batch(torch.tensor([7]))
    assert x.shape == (2, 2, 32, 40)
    assert x.dtype == torch.float32
    assert bool(x.isfinite().all())
    assert torch.equal(x[1:], again)
    assert not torch.equal(x[0], x[1])
    other, _ = held_out.batch(torch.tensor([3]))
    assert not torch.equal(other[0], x[0])


def test_the_real_part_is_nearly_all(folder: Path) -> None:
    train, _ = data.opened(str(folder), (64, 64), 0.5, 1000, 100.0)
    x, _ = train.batch(torch.arange(8))
    power = x.square().mean((0, 2, 3))
    assert torch.allclose(data.spread(train.metadata)[:, 0, 0], power.sqrt(), rtol=0.3)
    assert power[1] < 0.1 * power[0]
    assert float(x[:, 0].mean()) > 0


def test_windows_are_parts_of_slices(folder: Path) -> None:
    train, held_out = data.opened(str(folder), (40, 48), 1.0, 5, 100.0, crop=16)
    whole, _ = data.opened(str(folder), (40, 48), 1.0, 5, 100.0)
    assert (len(train), len(held_out)) == (5 * data.WINDOWS, data.HELD_OUT)
    assert train.metadata["shape"] == [2, 16, 16]
    assert train.metadata["slice"] == [40, 48]
    windows, _ = train.batch(torch.tensor([3, 8, 13]))
    again, _ = train.batch(torch.tensor([8]))
    assert torch.equal(windows[1:2], again)  # kept, and the same
    (picture,), _ = whole.batch(torch.tensor([3]))
    parts = picture.unfold(1, 16, 1).unfold(2, 16, 1)  # 2, places, 16, 16
    for window in windows:
        off = (parts - window[:, None, None]).abs().amax((0, 3, 4))
        assert float(off.min()) < 2e-3
    assert not torch.equal(windows[0], windows[1])


def test_metadata_make_the_space_of_any_grid(folder: Path) -> None:
    train, _ = data.opened(str(folder), (32, 32), 1.0, 1000, 100.0)
    this: Any = task("mri")
    assert this.space(this.config(), train.metadata).shape == (2, 32, 32)
    larger = this.space(this.config(), {**train.metadata, "shape": [2, 48, 40]})
    assert larger.shape == (2, 48, 40)
    same = data.spectrum(train.metadata).variance
    finer = data.spectrum({**train.metadata, "shape": [2, 64, 64]}).variance  # every second wave is one of the others
    assert torch.allclose(finer[..., 0, 0], same[..., 0, 0])
    assert torch.allclose(finer[..., 0, 8], same[..., 0, 4], rtol=0.05)


def test_phase_and_units_come_back() -> None:
    at = torch.linspace(-1, 1, 48)
    smooth = torch.polar(torch.ones(48, 48), 2 * at[:, None] + at[None] ** 2)
    magnitude = ((at[:, None] ** 2 + at[None] ** 2) < 0.7).float() * 300
    image = magnitude * smooth
    found = standardised(image)
    assert torch.allclose(restored(*found), image, atol=1e-3)
    phase, scale = phase_and_scale(low_resolution(image))
    assert torch.equal(phase, found.phase)
    assert torch.equal(scale, found.scale)
    assert float(found.x[1].square().mean()) < 0.02 * float(found.x[0].square().mean())
    brighter = standardised(7 * image)
    assert torch.allclose(brighter.x, found.x, atol=1e-5)


def test_a_test_subject_is_refused(tmp_path: Path) -> None:
    slab = np.round(255 * slices.read("r16")).astype(np.uint8)
    path = tmp_path / "somebody.nii.gz"
    nibabel.save(nibabel.Nifti1Image(slab[..., None], np.eye(4)), path)
    with pytest.raises(InputError, match="r16 of ANTs"):
        base.opened(base.Source(path))
    scaled = tmp_path / "scaled.nii"
    nibabel.save(nibabel.Nifti1Image(slab[::-1].T[..., None] * np.float32(3), np.eye(4)), scaled)
    with pytest.raises(InputError, match="r16 of ANTs"):
        base.opened(base.Source(scaled))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "has no .nii"),
        (lambda folder: (folder / "a.nii").write_text("no"), "no NIfTI file"),
        (
            lambda folder: nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8)), np.eye(4)), folder / "a.nii"),
            "brighter",
        ),
        (lambda folder: nibabel.save(nibabel.Nifti1Image(np.ones((8, 8)), np.eye(4)), folder / "a.nii"), "three axes"),
        (
            lambda folder: nibabel.save(
                nibabel.Nifti1Image(np.where(np.arange(512) == 9, np.nan, 1.0).reshape(8, 8, 8), np.eye(4)),
                folder / "a.nii",
            ),
            "voxel .* is not finite",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_named(tmp_path: Path, make, said: str) -> None:
    make(tmp_path)
    with pytest.raises(InputError, match=said):
        data.opened(str(tmp_path), (32, 32), 1.0, 10, 100.0)


def test_missing_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mricron-data"):
        data.opened(f"brains:{tmp_path}", (32, 32), 1.0, 10, 100.0)
    with pytest.raises(InputError, match="expected 'brains', or a folder"):
        data.opened("nowhere", (32, 32), 1.0, 10, 100.0)


def test_planes_without_variation_are_those_of_the_volume(tmp_path: Path) -> None:
    slab = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(np.repeat(slab[:, :, None], 12, 2), np.eye(4)), path)
    volume = base.opened(base.Source(path))
    still = planes.Variation((1, 0, 0), 0, 0, 0, 0, 0)
    picture, brain = planes.drawn(volume, (12, 12), 1.0, np.random.default_rng(0), still)
    assert brain is None
    turned = [np.rot90(one, k) for one in (slab.T, slab) for k in range(4)]
    unit = float(picture.mean() / slab.mean())
    assert min(float(np.abs(picture / unit - one).max()) for one in turned) < 1e-3
    bent, _ = planes.drawn(volume, (12, 12), 1.0, np.random.default_rng(0), planes.Variation((1, 0, 0), 0, 0, 0, 0, 2))
    assert min(float(np.abs(bent / unit - one).max()) for one in turned) > 0.1
