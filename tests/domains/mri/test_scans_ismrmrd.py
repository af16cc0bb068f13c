"""ISMRMRD files: our own, those of the `ismrmrd` package, and what scanners put into them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ornstein.domains.mri.scans import header
from ornstein.domains.mri.scans.acquisitions import HEAD, Acquisitions
from ornstein.domains.mri.scans.geometry import centred
from ornstein.domains.mri.scans.opened import open_scan
from ornstein.domains.mri.scans.written import write_ismrmrd
from ornstein.errors import InputError

SLICES, COILS, H, W = 3, 2, 12, 16


def random(shape: tuple[int, ...] = (SLICES, COILS, H, W), seed: int = 0) -> np.ndarray:
    dice = np.random.default_rng(seed)
    return (dice.standard_normal(shape) + 1j * dice.standard_normal(shape)).astype(np.complex64)


MASK = np.isin(np.arange(H), (1, 4, 5, 6, 7, 9))[:, None] & (np.arange(W) >= 3)  # lines, and an asymmetric echo
UNDER = random() * MASK


def space(w: int, h: int, z: int, voxel: float = 2.0) -> header.Space:
    return header.Space((w, h, z), (w * voxel, h * voxel, z * voxel))


def saved(path: Path, lines: list[dict], how: header.Encoding | str) -> Path:
    """Acquisitions given by the fields of their headers, counters, `data` and `traj`."""
    kind = np.dtype([("head", HEAD), ("traj", h5py.vlen_dtype(np.float32)), ("data", h5py.vlen_dtype(np.float32))])
    records = np.zeros(len(lines), kind)
    for record, line in zip(records, lines, strict=True):
        data, traj = line.pop("data"), line.pop("traj", np.zeros((0, 0), np.float32))
        head = record["head"]
        head["active_channels"], head["number_of_samples"] = data.shape
        head["center_sample"] = data.shape[1] // 2
        head["trajectory_dimensions"] = traj.shape[1]
        for flag in line.pop("flags", ()):
            head["flags"] |= np.uint64(1 << (flag - 1))
        for name, value in line.items():
            (head["idx"] if name in HEAD["idx"].names else head)[name] = value  # type: ignore[operator]
        record["data"], record["traj"] = data.view(np.float32).ravel(), traj.ravel()
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        group["xml"] = [how if isinstance(how, str) else header.written(how)]
        group.create_dataset("data", data=records, dtype=kind)
    return path


def plain(mode: str = "", lines: header.Limits | None = None, trajectory: str = "cartesian") -> header.Encoding:
    return header.Encoding(space(W, H, 1), space(W // 2, H - 2, 1), lines, None, trajectory, mode)


def each(values: np.ndarray, rows: range = range(H), **fields: object) -> list[dict]:
    """A line a row of k-space (coils, H, W)."""
    return [{"data": values[:, row].copy(), "kspace_encode_step_1": row, **fields} for row in rows]


# What is written comes back ---------------------------------------------------------------------------


def test_kspace_mask_noise_and_place_come_back(tmp_path: Path) -> None:
    affine = centred(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), np.array([1.5, 2, 4]), (8, 10, 3), np.ones(3))
    noise = random((COILS, 100), 1)
    write_ismrmrd(tmp_path / "a.h5", UNDER, noise=noise, size=(10, 8), affine=affine)
    scan = open_scan(tmp_path / "a.h5")
    assert (scan.format, scan.shape, scan.size) == ("ismrmrd", (SLICES, COILS, H, W), (10, 8))
    for k in range(SLICES):
        assert np.array_equal(scan.slice(k).kspace, UNDER[k])
        assert np.array_equal(scan.slice(k).mask, MASK)
    assert np.allclose(scan.affine, affine, atol=1e-5)
    assert scan.oriented
    assert np.array_equal(scan.noise, noise)  # type: ignore[arg-type]


def test_the_package_reads_what_we_write_and_we_what_it_writes(tmp_path: Path) -> None:
    ismrmrd = pytest.importorskip("ismrmrd")
    write_ismrmrd(tmp_path / "ours.h5", UNDER, size=(10, 8))
    theirs = ismrmrd.Dataset(str(tmp_path / "ours.h5"), "dataset", create_if_needed=False)
    parsed = ismrmrd.xsd.CreateFromDocument(theirs.read_xml_header())
    assert parsed.encoding[0].reconSpace.matrixSize.x == 8
    assert theirs.number_of_acquisitions() == SLICES * 6
    first = theirs.read_acquisition(7)
    assert (first.idx.slice, first.idx.kspace_encode_step_1) == (1, 4)
    assert np.array_equal(first.data, UNDER[1, :, 4, 3:])
    copy = ismrmrd.Dataset(str(tmp_path / "theirs.h5"))
    copy.write_xml_header(theirs.read_xml_header())
    for k in range(theirs.number_of_acquisitions()):
        copy.append_acquisition(theirs.read_acquisition(k))
    copy.close()
    theirs.close()
    scan = open_scan(tmp_path / "theirs.h5")
    assert np.array_equal(scan.slice(2).kspace, UNDER[2])


# What scanners do -------------------------------------------------------------------------------------


def test_partial_fourier_begins_before_the_middle(tmp_path: Path) -> None:
    """The counter begins at 0 where the first step was made; the limits say which is the middle."""
    values = random((COILS, H, W))
    lines = [line | {"kspace_encode_step_1": k} for k, line in enumerate(each(values, range(4, H)))]
    scan = open_scan(saved(tmp_path / "a.h5", lines, plain(lines=header.Limits(0, 7, 2))))
    found = scan.slice(0)
    assert np.array_equal(found.kspace[:, 4:], values[:, 4:])
    assert not found.mask[:4].any()
    assert found.mask[4:].all()


def test_noise_is_scaled_to_the_dwell_time_of_the_lines(tmp_path: Path) -> None:
    noise = random((COILS, 30), 3)
    first = {"data": noise, "flags": (19,), "sample_time_us": 8.0}
    scan = open_scan(saved(tmp_path / "a.h5", [first, *each(UNDER[0], sample_time_us=2.0)], plain()))
    assert np.allclose(scan.noise, 2 * noise)  # type: ignore[arg-type]
    assert "scaled by 2" in scan.notes[0]


@pytest.mark.parametrize("mode", ["separate", "embedded"])
def test_calibration_lines(mode: str, tmp_path: Path) -> None:
    image, other = random((COILS, H, W)), random((COILS, H, W), 1)
    lines = [*each(image, range(0, H, 2)), *each(other, range(3, 9, 2), flags=(20,))]
    scan = open_scan(saved(tmp_path / "a.h5", lines, plain(mode)))
    found, calibration = scan.slice(0), scan.calibration(0)
    assert np.array_equal(found.kspace[:, ::2], image[:, ::2])
    if mode == "separate":
        assert not found.mask[1::2].any()
        assert np.array_equal(calibration[:, 3:9:2], other[:, 3:9:2])  # type: ignore[index]
        assert not calibration[:, ::2].any()  # type: ignore[index]
    else:
        assert np.array_equal(found.kspace[:, 3:9:2], other[:, 3:9:2])
        assert calibration is None


def test_navigators_are_put_aside_and_counted(tmp_path: Path) -> None:
    lines = [*each(random((COILS, 2, W), 5), range(2), flags=(23,)), *each(UNDER[0])]
    scan = open_scan(saved(tmp_path / "a.h5", lines, plain()))
    assert "2 navigators are not used" in scan.notes
    assert np.array_equal(scan.slice(0).kspace, UNDER[0])


def test_one_image_is_chosen(tmp_path: Path) -> None:
    values = random((2, COILS, H, W))
    lines = [line for k in range(2) for line in each(values[k], repetition=k)]
    path = saved(tmp_path / "a.h5", lines, plain())
    assert np.array_equal(open_scan(path, repetition=1).slice(0).kspace, values[1])
    with pytest.raises(InputError, match=r"has 2 values of repetition \(0, 1\).*setting 'repetition'"):
        open_scan(path)
    with pytest.raises(InputError, match="has no repetition 2, expected one of 0, 1"):
        open_scan(path, repetition=2)
    with pytest.raises(InputError, match="no encoding 1"):
        open_scan(path, encoding=1)


def volume_of(values: np.ndarray, measured: Callable[[int, int], bool]) -> list[dict]:
    """A line of k-space (coils, Z, H, W) for each row and partition that was measured."""
    return [
        line | {"kspace_encode_step_2": z}
        for z in range(values.shape[1])
        for line in each(values[:, z], range(values.shape[2]))
        if measured(line["kspace_encode_step_1"], z)
    ]


def image(kspace: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes), axes=axes, norm="ortho"), axes)


def test_a_volume_becomes_slices_along_the_encoding_that_was_measured_whole(tmp_path: Path) -> None:
    values = random((COILS, 6, H, W))
    how = header.Encoding(space(W, H, 6), space(W // 2, H - 2, 4), None, None, "cartesian", "")
    path = saved(tmp_path / "a.h5", volume_of(values, lambda row, z: row % 2 == 0), how)
    scan = open_scan(path)
    assert (scan.shape, scan.size) == ((4, COILS, H, W), (H - 2, W // 2))
    expected = image(values, (1,))[:, 1:5]
    for k in range(4):
        assert np.allclose(scan.slice(k).kspace[:, ::2], expected[:, k, ::2], atol=1e-5)
        assert not scan.slice(k).mask[1::2].any()


def test_a_volume_undersampled_both_ways_becomes_slices_along_its_readout(tmp_path: Path) -> None:
    values = random((COILS, 6, H, W))
    how = header.Encoding(space(W, H, 6), space(W // 2, H - 2, 4), None, None, "cartesian", "")

    def measured(row: int, z: int) -> bool:
        return (row + z) % 2 == 0

    scan = open_scan(saved(tmp_path / "a.h5", volume_of(values, measured), how))
    assert (scan.shape, scan.size) == ((8, COILS, H, 6), (H - 2, 4))
    expected = image(values, (3,))[..., 4:12]
    mask = np.array([[measured(row, z) for z in range(6)] for row in range(H)])
    for k in (0, 7):
        found = scan.slice(k)
        assert np.array_equal(found.mask, mask)
        assert np.allclose(found.kspace, expected[..., k].swapaxes(1, 2) * mask, atol=1e-5)
    assert scan.volume([np.zeros(scan.size, np.float32)] * 8).shape == (8, H - 2, 4)
    with pytest.raises(InputError, match=r"has the slabs \[0\]"):
        open_scan(tmp_path / "a.h5", slab=1)


def test_spokes_keep_their_places(tmp_path: Path) -> None:
    angles = np.linspace(0, np.pi, 5, endpoint=False)
    at = np.linspace(-0.5, 0.5, W, endpoint=False)
    lines = [
        {"data": random((COILS, W), k), "traj": np.stack([at * np.cos(a), at * np.sin(a)], 1).astype(np.float32)}
        for k, a in enumerate(angles)
    ]
    scan = open_scan(saved(tmp_path / "a.h5", lines, plain(trajectory="radial")))
    values, places = scan.trajectory(0)  # type: ignore[misc]
    assert np.array_equal(values[:, :W], random((COILS, W), 0))
    assert np.allclose(places[2 * W : 3 * W], np.stack([H * at * np.sin(angles[2]), W * at * np.cos(angles[2])], 1))
    with pytest.raises(InputError, match="radial trajectory, which is not on a grid"):
        scan.slice(0)


def test_slices_that_are_not_evenly_spaced_are_said_to_be(tmp_path: Path) -> None:
    place: dict[str, Any] = {"read_dir": (1, 0, 0), "phase_dir": (0, 1, 0), "slice_dir": (0, 0, 1)}
    lines = [
        line for k, z in enumerate((0.0, 5.0, 30.0)) for line in each(UNDER[k], slice=k, position=(0, 0, z), **place)
    ]
    scan = open_scan(saved(tmp_path / "a.h5", lines, plain()))
    assert any("not evenly spaced" in note for note in scan.notes)
    assert scan.voxel_size == (2.0, 2.0, 2.0)


def test_slices_that_were_counted_in_time_are_put_in_order(tmp_path: Path) -> None:
    place: dict[str, Any] = {"read_dir": (1, 0, 0), "phase_dir": (0, 1, 0), "slice_dir": (0, 0, 1)}
    lines = [line for k, z in enumerate((0, 6, 3)) for line in each(UNDER[k], slice=k, position=(0, 0, z), **place)]
    scan = open_scan(saved(tmp_path / "a.h5", lines, plain()))
    assert "slices are in the order of their positions, not of their counter" in scan.notes
    assert np.array_equal(scan.slice(1).kspace, UNDER[2])
    assert scan.voxel_size == (3.0, 2.0, 2.0)
    assert np.allclose(scan.affine @ [4, 5, 0, 1], [0, 0, 0, 1])


def test_only_the_lines_of_a_slice_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ismrmrd(tmp_path / "a.h5", UNDER)
    scan = open_scan(tmp_path / "a.h5")
    numbers: list[int] = []
    samples = Acquisitions.samples
    monkeypatch.setattr(
        Acquisitions, "samples", lambda self, k: numbers.append(int(self.numbers[k])) or samples(self, k)
    )
    scan.slice(1)
    assert numbers == list(range(6, 12))


# What is wrong is named -------------------------------------------------------------------------------


def refused(path: Path, words: str, number: int | None = None) -> None:
    """Opening a file, or reading one of its slices, must name what is wrong."""
    if number is None:
        with pytest.raises(InputError, match=words):
            open_scan(path)
    else:
        scan = open_scan(path)
        with pytest.raises(InputError, match=words):
            scan.slice(number)


def test_lines_that_are_wrong(tmp_path: Path) -> None:
    def of(lines: list[dict], how: header.Encoding | str | None = None) -> Path:
        return saved(tmp_path / f"{len(list(tmp_path.iterdir()))}.h5", lines, how or plain())

    good = UNDER[0]
    refused(of([*each(good), *each(good, range(5, 6))]), "slice 0, row 5 was measured 2 times, expected once")
    refused(of(each(good, kspace_encode_step_1=40)), "acquisition 0 has kspace_encode_step_1 40, which lies in row 40")
    refused(of(each(random((COILS, H, W + 2)))), f"acquisition 0 has {W + 2} samples .* the {W} columns")
    refused(of(each(good, flags=(22,))), f"{H} lines were read in reverse, as in echo-planar")
    refused(of(each(good, flags=(19,))), "none of 12 acquisitions is a line")
    refused(of(each(good, flags=(20,))), "all lines are for calibration")
    refused(of([*each(good), *each(good[:1], range(1))]), "lines have 1, 2 coils, expected the same")
    refused(of(each(good), "<a/>"), "describes no encoding")
    refused(
        of(each(good), header.written(plain()).replace(f"<x>{W}</x>", "<x>many</x>")), "is 'many', expected a number"
    )
    refused(of(each(good), header.written(plain()).replace(f"<x>{W}</x>", "<x>-1</x>")), "expected numbers above 0")
    refused(of(each(good, number_of_samples=W - 1)), "has 64 numbers of data, its header says 60", number=0)
    values = good.copy()
    values[1, 4, 7] = np.nan
    refused(of(each(values)), "slice 0, coil 1, phase encode 4, readout 7", number=0)


def test_groups_that_are_not_acquisitions(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dataset/xml"], file["dataset/data"] = ["<a/>"], np.ones(3)
    refused(tmp_path / "a.h5", "describes no encoding")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["dataset/xml"], file["dataset/data"] = [header.written(plain())], np.ones(3)
    refused(tmp_path / "b.h5", "expected acquisitions of ISMRMRD")
