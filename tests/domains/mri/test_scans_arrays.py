"""K-space in .npz, fastMRI's and BART's files: what is written comes back, what is wrong is named."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from fuzz import mutations, require_clean
from ornstein.domains.mri.scans.bart import write_bart
from ornstein.domains.mri.scans.base import Scan
from ornstein.domains.mri.scans.fastmri import write_fastmri
from ornstein.domains.mri.scans.npz import write_npz
from ornstein.domains.mri.scans.opened import open_scan
from ornstein.errors import InputError

SLICES, COILS, H, W = 3, 2, 10, 16


def kspace(seed: int = 0, shape: tuple[int, ...] = (SLICES, COILS, H, W)) -> np.ndarray:
    dice = np.random.default_rng(seed)
    return (dice.standard_normal(shape) + 1j * dice.standard_normal(shape)).astype(np.complex64)


def lines(*measured: int) -> np.ndarray:
    return np.isin(np.arange(H), measured)


MASK = lines(1, 3, 4, 5, 6, 8)
UNDER = kspace() * MASK[:, None]


def written(kind: str, folder: Path, values: np.ndarray = UNDER) -> Path:
    path = folder / {"npz": "scan.npz", "fastmri": "scan.h5", "bart": "scan.cfl"}[kind]
    {"npz": write_npz, "fastmri": write_fastmri, "bart": write_bart}[kind](path, values)
    return path


KINDS = ("npz", "fastmri", "bart")


def refused(path: Path, *words: str, number: int | None = None, **settings: object) -> None:
    """Opening a file, or reading one of its slices, must name what is wrong."""
    try:
        scan = open_scan(path, **settings)
        if number is not None:
            scan.slice(number)
    except InputError as found:
        error = str(found)
    else:
        pytest.fail(f"{path} was read")
    for word in (path.name, *words):
        assert word in error, f"{word!r} is not in {error}"


# What is written comes back ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_kspace_comes_back_and_its_mask_is_found_from_the_zeros(kind: str, tmp_path: Path) -> None:
    scan = open_scan(written(kind, tmp_path))
    assert (scan.format, scan.shape, len(scan)) == (kind, (SLICES, COILS, H, W), SLICES)
    for k in range(SLICES):
        found = scan.slice(k)
        assert found.kspace.dtype == np.complex64
        assert np.array_equal(found.kspace, UNDER[k])
        assert np.array_equal(found.mask, np.broadcast_to(MASK[:, None], (H, W)))
        assert not found.air


def test_npz_brings_mask_maps_truth_noise_and_place(tmp_path: Path) -> None:
    truth, maps = np.abs(kspace(1)[:, 0, :, :8]), kspace(2, (COILS, H, W))
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    noise = kspace(3, (COILS, 50))
    path = tmp_path / "all.npz"
    write_npz(path, UNDER, mask=MASK, maps=maps, truth=truth, noise=noise, sigma=0.25, affine=affine)
    scan = open_scan(path, readout=8)
    assert scan.size == (H, 8)
    assert scan.noise_std == 0.25
    assert scan.voxel_size == (4.0, 3.0, 2.0)
    assert np.array_equal(np.asarray(scan.maps(1)), maps)
    assert np.array_equal(np.asarray(scan.truth(2)), truth[2])
    assert np.array_equal(np.asarray(scan.noise), noise)
    assert np.array_equal(scan.slice(0).mask[:, 0], MASK)


def test_compressed_npz_and_one_slice_without_coils(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "one.npz", kspace=UNDER[0, 0].astype(complex))
    scan = open_scan(tmp_path / "one.npz")
    assert scan.shape == (1, 1, H, W)
    assert np.array_equal(scan.slice(0).kspace[0], UNDER[0, 0])


def test_fastmri_has_the_readout_first_and_crops_at_the_end(tmp_path: Path) -> None:
    path, truth = tmp_path / "file.h5", np.abs(kspace(1)[:, 0, :8, :8])
    write_fastmri(path, UNDER, mask=MASK, truth=truth, size=(8, 8), voxel_size=(5.0, 1.5, 0.5))
    with h5py.File(path) as file:
        assert file["kspace"].shape == (SLICES, COILS, W, H)  # type: ignore[union-attr]
        assert file["mask"].shape == (H,)  # type: ignore[union-attr]
        stored = file["reconstruction_rss"][1]  # type: ignore[index]
    scan = open_scan(path)
    assert (scan.size, scan.readout, scan.phase_encodes) == ((8, 8), 8, 8)
    assert scan.voxel_size == (5.0, 1.5, 0.5)
    assert np.array_equal(np.asarray(scan.truth(1)), truth[1])
    assert np.array_equal(scan.volume([scan.truth(k) for k in range(SLICES)])[:, :, 1], stored)  # type: ignore[arg-type]


def test_fastmri_single_coil(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "single.h5", "w") as file:
        file["kspace"] = UNDER[:, 0].swapaxes(1, 2)
    scan = open_scan(tmp_path / "single.h5")
    assert np.array_equal(scan.slice(2).kspace, UNDER[2, :1])
    assert "voxel size is not known" in scan.notes[0]


def test_fastmri_columns_filled_up_with_zeros_are_not_measured(tmp_path: Path) -> None:
    """The masks of the test set count them."""
    path, values = tmp_path / "padded.h5", kspace()
    values[..., :2, :] = values[..., 9:, :] = 0
    write_fastmri(path, values, mask=np.ones(H, bool))
    with h5py.File(path, "r+") as file:
        text = file["ismrmrd_header"][()].decode()  # type: ignore[index, union-attr]
        del file["ismrmrd_header"]
        old = "<minimum>0</minimum><maximum>9</maximum><center>5</center>"
        assert old in text
        file["ismrmrd_header"] = text.replace(old, "<minimum>0</minimum><maximum>6</maximum><center>3</center>")
    found = open_scan(path).slice(0)
    assert np.array_equal(found.mask[:, 0], lines(*range(2, 9)))
    assert not found.notes


def test_fastmri_of_another_number_of_columns_than_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "cut.h5"
    write_fastmri(path, UNDER, size=(5, 8), voxel_size=(5.0, 1.5, 0.5))
    with h5py.File(path, "r+") as file:
        del file["kspace"]
        file["kspace"] = UNDER[:, :, 1:9].swapaxes(-1, -2)
    scan = open_scan(path)
    assert np.array_equal(scan.slice(0).kspace, UNDER[0, :, 1:9])
    assert scan.size == (4, 8)  # the same field of view in larger voxels
    assert scan.voxel_size == pytest.approx((5.0, 1.5 * H / 8, 0.5))
    assert "k-space of 16 by 10, the file has 16 by 8" in scan.notes[1]


def test_nothing_about_the_patient_is_read(tmp_path: Path) -> None:
    path = written("fastmri", tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs["patient_id"] = "secret"
    assert "secret" not in repr(open_scan(path))


def test_bart_has_maps_beside_and_files_without_trailing_sizes(tmp_path: Path) -> None:
    maps = kspace(4)
    write_bart(tmp_path / "k", UNDER, maps=maps)
    scan = open_scan(tmp_path / "k.hdr", voxel_size=(4.0, 2.0, 1.0))
    assert np.array_equal(np.asarray(scan.maps(2)), maps[2])
    assert scan.voxel_size == (4.0, 2.0, 1.0)
    assert "k_maps.cfl" in scan.notes[1]
    (tmp_path / "short.hdr").write_text(f"# Dimensions\n{W} {H} 1 {COILS}\n# Command\nfft")
    UNDER[0].tofile(tmp_path / "short.cfl")
    assert np.array_equal(open_scan(tmp_path / "short.cfl").slice(0).kspace, UNDER[0])


def test_bart_of_several_sets_of_maps_the_first(tmp_path: Path) -> None:
    maps = kspace(5, (2, COILS, H, W))
    write_bart(tmp_path / "k", UNDER)
    (tmp_path / "soft.hdr").write_text(f"# Dimensions\n{W} {H} 1 {COILS} 2\n")
    maps.tofile(tmp_path / "soft.cfl")
    scan = open_scan(tmp_path / "k.cfl", maps=tmp_path / "soft.cfl")
    assert np.array_equal(np.asarray(scan.maps(1)), maps[0])
    assert "of 2 sets" in scan.notes[2]


# One slice at a time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_slice_takes_the_memory_of_a_slice(kind: str, tmp_path: Path) -> None:
    """The other slices are not read: they are damaged, and nothing is seen of it."""
    big = np.zeros((12, 2, 64, 64), np.complex64)
    big[5] = 1
    big[6] = np.nan
    scan = open_scan(written(kind, tmp_path, big))
    import tracemalloc

    tracemalloc.start()
    scan.slice(5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * big[5].nbytes < big.nbytes


# What is wrong is named -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, complex(0, -np.inf)])
def test_a_number_that_is_not_finite_is_named(kind: str, value: complex, tmp_path: Path) -> None:
    values = UNDER.copy()
    values[1, 1, 4, 7] = value
    path = written(kind, tmp_path, values)
    assert open_scan(path).slice(0).mask.any()
    refused(path, "slice 1, coil 1, phase encode 4, readout 7", "expected finite", number=1)


@pytest.mark.parametrize("kind", KINDS)
def test_air_is_kept_and_said(kind: str, tmp_path: Path) -> None:
    values = UNDER.copy()
    values[2] = 0
    found = open_scan(written(kind, tmp_path, values)).slice(2)
    assert found.air
    assert not found.kspace.any()


@pytest.mark.parametrize("kind", KINDS)
def test_no_such_slice(kind: str, tmp_path: Path) -> None:
    refused(written(kind, tmp_path), "no slice 3", "from 0 to 2", number=3)


@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_masks_that_contradict_kspace(suffix: str, tmp_path: Path) -> None:
    def saved(mask: np.ndarray) -> Path:
        if suffix == "h5":
            return holding(tmp_path, kspace=UNDER.swapaxes(-1, -2), mask=mask)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        write_npz(path, UNDER, mask=mask)
        return path

    refused(saved(np.zeros(H, bool)), "'mask'", "0 everywhere")
    refused(saved(lines(3, 4, 5, 6, 8)), "slice 0", "not 0 at phase encode 1", number=0)
    refused(saved(np.isin(np.arange(W), (3, 4))), "'mask'", f"({W},)", "other axis", f"({H},)")
    refused(saved(np.ones(H + 1, bool)), "'mask'", f"({H + 1},)", f"expected ({H},)")
    found = open_scan(saved(MASK | lines(0, 9))).slice(0)
    assert np.array_equal(found.mask[:, 3], MASK)
    assert found.notes == ("2 lines that the mask counts as measured are 0 in all coils",)


def test_arrays_of_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "b.npz"
    np.savez(path, k_space=UNDER)
    refused(path, "no 'kspace'", "'k_space'", "did you mean 'k_space'")
    np.savez(path, kspace=np.real(UNDER))
    refused(path, "'kspace' holds float32", "complex")
    np.savez(path, kspace=np.stack([np.real(UNDER), np.imag(UNDER)], -1)[0])
    refused(path, "real and imaginary part belong into one complex number")
    np.savez(path, kspace=UNDER[:, :, :0])
    refused(path, "'kspace' has the shape", "none of them empty")
    np.savez(path, kspace=np.array([{}], object))
    refused(path, "'kspace'", "objects")
    np.savez_compressed(path, kspace=np.array([{}], object))
    refused(path, "'kspace'", "object")
    np.savez(path, kspace=UNDER, mask=np.full(H, 0.5))
    refused(path, "'mask' is 0.5", "only 0 and 1")
    np.savez(path, kspace=UNDER, maps=UNDER[:, :1])
    refused(path, "'maps'", f"expected ({COILS}, {H}, {W})")
    np.savez(path, kspace=UNDER, truth=UNDER[:2, 0])
    refused(path, "'truth'", f"expected ({H}, {W})")
    np.savez(path, kspace=UNDER, sigma=-1.0)
    refused(path, "'sigma' is -1.0", "positive")
    np.savez(path, kspace=UNDER, affine=np.zeros((4, 4)))
    refused(path, "'affine'", "invertible")
    np.savez(path, kspace=UNDER, affine=np.eye(4), voxel_size=np.ones(3))
    refused(path, "both 'affine' and 'voxel_size'")
    np.savez(path, kspace=UNDER, maks=MASK)
    assert open_scan(path).notes == ("array 'maks' is not used, did you mean 'mask'?",)
    np.savez(path, kspace=UNDER)
    refused(path, "readout is 99", "from 1 to 16", readout=99)
    refused(path, "no setting 'readuot'", "did you mean 'readout'", readuot=8)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    for name in ("text.h5", "text.npz", "text.cfl"):
        (tmp_path / name).write_text("not numbers")
    refused(tmp_path / "text.h5", "b'not numb'")
    refused(tmp_path / "text.npz", "b'not numb'")
    refused(tmp_path / "none.h5", "not found")
    (tmp_path / "folder.h5").mkdir()
    refused(tmp_path / "folder.h5", "not a file")
    (tmp_path / "scan.dat").write_text("")
    refused(tmp_path / "scan.dat", "not a file of k-space by its name", ".npz")


@pytest.mark.parametrize("kind", ["npz", "fastmri"])
def test_a_file_that_was_cut_off(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    refused(path, "damaged or truncated", number=2)


def holding(folder: Path, **datasets: object) -> Path:
    """A new HDF5 file with these datasets."""
    path = folder / f"{len(list(folder.iterdir()))}.h5"
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def test_datasets_of_fastmri(tmp_path: Path) -> None:
    refused(holding(tmp_path, kspaces=UNDER), "no 'kspace'", "did you mean 'kspaces'")
    refused(holding(tmp_path, kspace=np.abs(UNDER)), "'kspace' holds float32", "complex")
    refused(holding(tmp_path, kspace=UNDER[0, 0]), "'kspace' has the shape (10, 16)", "3 or 4 axes")
    refused(holding(tmp_path, kspace=UNDER, ismrmrd_header="<a>"), "'ismrmrd_header' is not valid XML")
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    refused(holding(tmp_path, kspace=UNDER, ismrmrd_header=bomb), "document type")
    path = tmp_path / "truth.h5"
    write_fastmri(path, UNDER, truth=np.ones((SLICES, H + 2, W), np.float32))
    refused(path, "'reconstruction_rss' has the shape (3, 16, 12)", "at most 16 by 10")


def test_numbers_that_lie_in_another_file(tmp_path: Path) -> None:
    """HDF5 can refer to any file that the user may read."""
    secret = holding(tmp_path, kspace=UNDER)
    refused(holding(tmp_path, kspace=h5py.ExternalLink(secret.name, "/kspace")), "no 'kspace'")
    layout = h5py.VirtualLayout(UNDER.shape, UNDER.dtype)
    layout[:] = h5py.VirtualSource(str(secret), "kspace", UNDER.shape)
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("kspace", layout)
    refused(tmp_path / "virtual.h5", "another file")
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("kspace", UNDER.shape, UNDER.dtype, external=[(str(secret), 0, UNDER.nbytes)])
    refused(tmp_path / "external.h5", "another file")


def test_pairs_of_bart(tmp_path: Path) -> None:
    path, head = written("bart", tmp_path), tmp_path / "scan.hdr"
    good = head.read_text()
    head.write_text(good.replace(f"{W} {H}", f"{W} {H + 1}"))
    refused(path, f"{UNDER.nbytes} bytes", f"expected {UNDER.nbytes // H * (H + 1)}")
    for bad in ("", "# Dimensions\n", "# Dimensions\n16 x\n", "# Dimensions\n0 1\n", "# Dimensions\n" + "1 " * 17):
        head.write_text(bad)
        refused(head, "expected")
    head.write_text(f"# Dimensions\n{W} {H} {SLICES} {COILS}\n")
    refused(head, "second phase encoding", "bart fft")
    head.write_text(f"# Dimensions\n{W} {H} 1 {COILS} 1 {SLICES}\n")
    refused(head, "dimension 5 (echoes) has the size 3")
    head.write_text(good)
    write_bart(tmp_path / "scan_maps", UNDER[:, :1])
    with pytest.raises(InputError, match=r"scan_maps\.hdr: dimension 3 \(coils\) has the size 1, expected 2"):
        open_scan(path)
    path.unlink()
    with pytest.raises(InputError, match=r"scan\.cfl: not found, expected the numbers of scan\.hdr"):
        open_scan(head)
    head.unlink()
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"scan\.hdr: not found"):
        open_scan(path)


def test_a_volume_of_some_slices_lies_where_they_were(tmp_path: Path) -> None:
    scan: Scan = open_scan(written("npz", tmp_path))
    some = scan.placed(range(1, 3, 2))
    assert np.allclose(some @ [2, 3, 0, 1], scan.affine @ [2, 3, 1, 1])
    assert np.allclose(some @ [2, 3, 1, 1], scan.affine @ [2, 3, 3, 1])


@pytest.mark.parametrize("kind", ["npz", "fastmri", "bart"])
def test_files_that_are_almost_right_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path, kspace(shape=(2, 1, 4, 4)))
    changed = path.with_suffix(".hdr") if kind == "bart" else path

    def read(data: bytes) -> None:
        changed.unlink()
        changed.write_bytes(data)
        scan = open_scan(path)
        for k in range(min(len(scan), 3)):
            scan.slice(k)

    read_or_refused = require_clean(read, mutations(changed.read_bytes(), 40, 1))
    assert sum(read_or_refused) == 40
    assert read_or_refused[1] > 10
