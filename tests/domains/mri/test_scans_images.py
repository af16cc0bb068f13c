"""Images in NIfTI files, undersampled afterwards; where volumes lie; how they are looked at."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ornstein.domains.mri.scans.geometry import centred, cropped, padded, part, sizes, upright
from ornstein.domains.mri.scans.npz import write_npz
from ornstein.domains.mri.scans.opened import open_scan
from ornstein.domains.mri.scans.retrospective import Retrospective
from ornstein.errors import InputError

SHAPE = (15, 18, 5)  # left to right, back to front, bottom to top
AFFINE = np.array([[-2.0, 0, 0, 20], [0, 3, 0.2, -30], [0, -0.1, 4, 7], [0, 0, 0, 1]])


def volume(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 100, shape).astype(np.float32)


def saved(folder: Path, values: np.ndarray, name: str = "head.nii.gz", affine: np.ndarray = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), folder / name)
    return folder / name


def image_of(kspace: np.ndarray, maps: np.ndarray) -> np.ndarray:
    coils = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, (-2, -1)), norm="ortho"), (-2, -1))
    return (coils * maps.conj()).sum(0)


WHOLE = {"acceleration": 1, "sigma": 0, "known_maps": True}


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz"])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_volume_comes_back_in_its_own_axes(name: str, plane: str, tmp_path: Path) -> None:
    values = volume()
    scan = open_scan(saved(tmp_path, values, name), plane=plane, coils=3, **WHOLE)
    found = [
        np.abs(cropped(image_of(scan.slice(k).kspace, scan.maps(k)), scan.size))  # type: ignore[arg-type]
        for k in range(len(scan))
    ]
    assert np.allclose(scan.volume(found), values, rtol=1e-4)
    assert np.allclose(scan.affine, AFFINE)
    assert np.allclose(np.abs(scan.volume([scan.truth(k) for k in range(len(scan))])), values, rtol=1e-5)  # type: ignore[misc]
    assert len(scan) == SHAPE[{"axial": 2, "coronal": 1, "sagittal": 0}[plane]]
    assert all(n % 2 == 0 for n in scan.shape[2:])


def test_the_axes_of_the_array_may_be_in_any_order(tmp_path: Path) -> None:
    """The same head, stored with its axes permuted and reversed, is looked at in the same way."""
    turn: Any = np.array([[2, 1], [0, -1], [1, -1]])
    stored = nibabel.Nifti1Image(volume(), AFFINE).as_reoriented(turn)
    nibabel.save(stored, tmp_path / "turned.nii")
    one = open_scan(saved(tmp_path, volume()), **WHOLE, phase=0)
    two = open_scan(tmp_path / "turned.nii", **WHOLE, phase=0)
    assert one.shape == two.shape
    assert np.array_equal(one.upright(one.truth(1)), two.upright(two.truth(3)))  # type: ignore[arg-type]
    whole: Any = two.volume([two.truth(k) for k in range(len(two))])  # type: ignore[misc]
    assert np.array_equal(whole.real, np.asarray(stored.dataobj))


def test_what_is_drawn_is_a_function_of_seed_and_slice(tmp_path: Path) -> None:
    path = saved(tmp_path, volume())
    one, two, other = (open_scan(path, acceleration=2, coils=2, seed=seed) for seed in (1, 1, 2))
    two.slice(0)
    assert np.array_equal(one.slice(3).kspace, two.slice(3).kspace)
    assert not np.array_equal(one.slice(3).mask, one.slice(4).mask)
    assert not np.array_equal(one.slice(3).mask, other.slice(3).mask)
    assert one.slice(3).mask.mean() < 0.8
    assert one.maps(3) is None
    assert one.notes[0].startswith("retrospective, simulated coils")


def test_noise_is_a_share_of_the_largest_magnitude(tmp_path: Path) -> None:
    path = saved(tmp_path, volume())
    noisy, clean = (open_scan(path, acceleration=1, coils=4, sigma=sigma).slice(2).kspace for sigma in (0.1, 0))
    found = (noisy - clean).view(np.float32).std() / volume().max()
    assert found == pytest.approx(0.1, rel=0.05)


def test_mask_and_maps_can_be_given(tmp_path: Path) -> None:
    mask = np.zeros((18, 16), bool)
    mask[5:12] = True
    maps = np.ones((2, 18, 16), np.complex64)
    scan = open_scan(saved(tmp_path, volume()), mask=mask, maps=maps)
    assert np.array_equal(scan.slice(4).mask, mask)
    assert np.array_equal(scan.maps(4), maps)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"the mask have the shape \(15, 16\), expected \(18, 16\)"):
        open_scan(saved(tmp_path, volume()), mask=mask[:15])


def test_kspace_that_was_measured_can_be_undersampled(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    kspace = (dice.standard_normal((2, 2, 24, 16)) + 0j).astype(np.complex64)
    kspace[:, :, :3] = 0
    write_npz(tmp_path / "whole.npz", kspace)
    scan = open_scan(tmp_path / "whole.npz", acceleration=3, seed=5)
    found = scan.slice(1)
    assert np.array_equal(found.kspace, kspace[1] * found.mask)
    assert not found.mask[:3].any()
    assert 2 < 21 / found.mask.any(1).sum() < 5
    assert any("retrospective" in note and "coils" not in note for note in scan.notes)
    with pytest.raises(InputError, match="'coils' is a setting of images"):
        open_scan(tmp_path / "whole.npz", coils=3)
    write_npz(tmp_path / "part.npz", kspace * (np.arange(24) % 2)[:, None])
    with pytest.raises(InputError, match="slice 0 is undersampled already"):
        open_scan(tmp_path / "part.npz", acceleration=3).slice(0)


def test_a_slice_of_nii_is_read_alone(tmp_path: Path) -> None:
    """The others are damaged, and nothing is seen of it."""
    values = volume()
    values[..., 3] = np.nan
    scan = open_scan(saved(tmp_path, values, "some.nii"), mask=np.ones((18, 16), bool))
    assert scan.truth(2) is not None
    with pytest.raises(InputError, match=r"some\.nii: slice 3 is nan at \(0, 0\), expected finite"):
        scan.slice(3)


@pytest.mark.parametrize("turn", [np.eye(3), np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]])])
def test_a_single_slice_has_the_plane_that_it_has(turn: np.ndarray, tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turn
    for values in (volume()[:, :, :1], volume()[:, :, 0]):
        scan = open_scan(saved(tmp_path, values, affine=affine), **WHOLE, phase=0)
        assert scan.shape == (1, 8, 18, 16)
        assert np.array_equal(scan.volume([scan.truth(0).real])[..., 0], volume()[:, :, 0])  # type: ignore[union-attr]


def test_volumes_of_a_series(tmp_path: Path) -> None:
    values = np.stack([volume(0), volume(1)], -1)
    path = saved(tmp_path, values)
    with pytest.raises(InputError, match=r"has 2 volumes, expected one, or its number \(volume\)"):
        open_scan(path)
    with pytest.raises(InputError, match="no volume 2, expected a number from 0 to 1"):
        open_scan(path, volume=2)
    found = open_scan(path, volume=1, **WHOLE, phase=0)
    assert np.array_equal(found.truth(2).real.T, values[:, :, 2, 1])  # type: ignore[union-attr]


def test_complex_images_keep_their_phase(tmp_path: Path) -> None:
    values = (volume() * np.exp(1j * volume(1))).astype(np.complex64)
    found = open_scan(saved(tmp_path, values), **WHOLE)
    assert np.allclose(found.truth(2), values[:, :, 2].T)  # type: ignore[arg-type]


def test_files_that_are_wrong(tmp_path: Path) -> None:
    path = saved(tmp_path, volume())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"head\.nii\.gz: no NIfTI file, or a damaged one"):
        open_scan(path).slice(0)
    for bad in (b"", b"text", whole[:50], b"x" * 400):
        (tmp_path / "bad.nii.gz").write_bytes(bad)
        (tmp_path / "bad.nii").write_bytes(bad)
        for name in ("bad.nii.gz", "bad.nii"):
            with pytest.raises(InputError, match="no NIfTI file, or a damaged one"):
                open_scan(tmp_path / name).slice(0)
    with pytest.raises(InputError, match="all voxels are 0"):
        open_scan(saved(tmp_path, 0 * volume())).slice(0)
    with pytest.raises(InputError, match="expected a volume of three axes"):
        open_scan(saved(tmp_path, volume()[0, 0]))
    with pytest.raises(InputError, match="not of the plane that was asked for"):
        open_scan(saved(tmp_path, volume()[0]), plane="sagittal").slice(0)
    flat, data = tmp_path / "flat.nii", bytearray(saved(tmp_path, volume(), "flat.nii").read_bytes())
    data[312:328] = bytes(16)  # the third row of the affine
    flat.write_bytes(data)
    with pytest.raises(InputError, match=r"its affine is .*, expected one that places"):
        open_scan(flat)
    with pytest.raises(InputError, match="plane is 'axail', expected axial, coronal, sagittal"):
        open_scan(saved(tmp_path, volume()), plane="axail")
    with pytest.raises(InputError, match="no setting 'accelaration'"):
        open_scan(saved(tmp_path, volume()), accelaration=4)


def test_a_small_file_that_says_that_it_is_huge(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(volume(), AFFINE)
    header = image.header.copy()
    header.set_data_shape((2000, 2000, 2000))
    import gzip

    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + b"\0" * 10_000))
    with pytest.raises(InputError, match=r"more than 2 GB, unpack it to a \.nii"):
        open_scan(path)
    header.set_data_shape(SHAPE)
    header["vox_offset"] = 1e9
    path.write_bytes(gzip.compress(header.binaryblock + b"\0" * 10_000))
    with pytest.raises(InputError, match="before its numbers"):
        open_scan(path)


@pytest.mark.parametrize("wrong", [{"acceleration": 0.5}, {"sigma": -1}, {"phase": float("nan")}, {"pattern": "lines"}])
def test_settings_of_undersampling(wrong: dict) -> None:
    with pytest.raises(InputError):
        Retrospective(**wrong)


# Where voxels lie -------------------------------------------------------------------------------------

affines = st.builds(
    lambda turn, voxel, at: centred(Rotation.random(rng=turn).as_matrix(), np.array(voxel), (4, 6, 5), np.array(at)),
    st.integers(0, 10**6),
    st.tuples(*[st.floats(0.1, 9)] * 3),
    st.tuples(*[st.floats(-90, 90)] * 3),
)


@given(affines)
def test_the_middle_of_a_centred_affine_lies_where_it_was_said(affine: np.ndarray) -> None:
    again = centred(affine[:3, :3] / sizes(affine), sizes(affine), (4, 6, 5), (affine @ [2, 3, 2, 1])[:3])
    assert np.allclose(again, affine)


@given(affines, st.integers(0, 2), st.integers(0, 5), st.integers(1, 3))
def test_a_part_lies_where_it_lay(affine: np.ndarray, axis: int, start: int, step: int) -> None:
    index = np.array([1.0, 2, 3, 1])
    before = index.copy()
    before[axis] = start + step * index[axis]
    assert np.allclose(part(affine, axis, range(start, 20, step)) @ index, affine @ before)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 4), st.integers(0, 4))
def test_cropping_undoes_padding_and_keeps_the_middle(h: int, w: int, more: int, wider: int) -> None:
    image = np.arange(h * w, dtype=float).reshape(h, w)
    large = padded(image, (h + more, w + wider))
    assert np.array_equal(cropped(large, (h, w)), image)
    assert large[(h + more) // 2, (w + wider) // 2] == image[h // 2, w // 2]


def looked_at(codes: tuple[str, str]) -> np.ndarray:
    """A 2 x 3 image whose rows and columns go in these directions, of numbers that tell each pixel."""
    directions = {"R": (1, 0, 0), "A": (0, 1, 0), "S": (0, 0, 1), "L": (-1, 0, 0), "P": (0, -1, 0), "I": (0, 0, -1)}
    rows, columns = (np.array(directions[code], float) for code in codes)
    return upright(np.arange(6.0).reshape(2, 3), rows, columns)


def test_upright_is_the_radiological_way() -> None:
    image = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(looked_at(("P", "L")), image)  # axial as it should be: down = posterior, along = left
    assert np.array_equal(looked_at(("A", "R")), image[::-1, ::-1])
    assert np.array_equal(looked_at(("L", "P")), image.T)
    assert np.array_equal(looked_at(("I", "L")), image)  # coronal
    assert np.array_equal(looked_at(("I", "P")), image)  # sagittal, anterior on the left
    assert np.array_equal(looked_at(("A", "S")), image.T[::-1, ::-1])
