"""Scans as careless people hand them over: what is used in spite of it, what is named, and what is refused."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ornstein import Keys
from ornstein.domains.mri.asked.flags import MriRequest
from ornstein.domains.mri.asked.prepared import Slice, volume
from ornstein.domains.mri.coils.espirit import estimated
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps
from ornstein.domains.mri.results.held_out import Verdict
from ornstein.errors import InputError
from recon_domain import scan


@pytest.fixture(autouse=True)
def strict() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def changed(path: Path, **arrays: Any) -> Path:
    """The scan with other arrays, None of which is left out."""
    with np.load(path) as found:
        given = {**dict(found), **arrays}
    np.savez(path, **{name: value for name, value in given.items() if value is not None})
    return path


def kspace(path: Path) -> np.ndarray:
    with np.load(path) as found:
        return found["kspace"]


def first(path: Path, **said: Any) -> Slice:
    return volume(MriRequest(kspace=path, **said))[0]


def disc(shape: tuple[int, int], coils: int, sigma: float, mask: torch.Tensor | None = None) -> np.ndarray:
    """K-space (1, coils, H, W) of a disc with a brighter one in it, 1 bright."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    image = ((x**2 + y**2 < 0.6).float() + 0.3 * ((x - 0.2) ** 2 + y**2 < 0.1).float()).to(torch.complex64)
    mask = torch.ones(shape, dtype=torch.bool) if mask is None else mask
    return (
        simulate(image, simulate_maps(shape, coils), mask, sigma, Keys.of(5, 1))[None].reshape(1, coils, *shape).numpy()
    )


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e6, 1e29])
def test_units_are_of_no_account(tmp_path: Path, unit: float) -> None:
    """The state is the same, and the image times the unit, however small or large the numbers of the file are."""
    with np.load(scan(tmp_path / "scan.npz", slices=1)) as found:
        given = dict(found)
    one = first(tmp_path / "scan.npz")
    scaled = {name: given[name].astype(np.complex128) * unit for name in ("kspace", "truth")}
    other = first(changed(tmp_path / "scan.npz", sigma=given["sigma"] * unit, **scaled))
    assert other.scale == pytest.approx(one.scale * unit, rel=1e-5)
    for name in ("kspace", "maps", "phase", "truth"):
        assert torch.allclose(getattr(other, name), getattr(one, name), rtol=1e-4, atol=1e-4), name


def test_maps_of_any_size_give_the_image_that_goes_with_them(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.npz", slices=1)
    one = first(path)
    with np.load(path) as found:
        maps = found["maps"]
    other = first(changed(path, maps=1e-12 * maps.astype(np.complex128)))
    assert other.scale == pytest.approx(1e12 * one.scale, rel=1e-5)
    assert torch.allclose(other.maps, one.maps, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match=r"scan.npz: slice 0: the coil maps are 0 everywhere"):
        first(changed(path, maps=0 * maps))


def test_a_coil_that_was_not_connected_is_left_out_and_named(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.npz", slices=2)
    whole, silent = first(path), kspace(path)
    silent[:, 1] = 0
    found = volume(MriRequest(kspace=changed(path, kspace=silent)))
    assert torch.allclose(found[0].kspace, whole.kspace[[0, 2, 3]])
    assert any("coil 1 (counted from 0) is 0 throughout slice 1" in note for note in found.scan.notes)
    np.savez(
        tmp_path / "noise.npz",
        noise=np.random.default_rng(0).normal(size=(4, 99, 2)).astype(np.float32).view("c8")[..., 0],
    )
    np.savez(tmp_path / "maps.npz", maps=np.ones((4, 32, 24), np.complex64))
    beside = {"noise": tmp_path / "noise.npz", "maps": tmp_path / "maps.npz"}
    assert first(changed(path, sigma=None), **beside).maps.shape == (3, 32, 24)


def test_the_noise_of_a_scan_with_a_silent_coil_is_that_of_the_others(tmp_path: Path) -> None:
    given = disc((32, 64), 4, 0.05)
    given[:, 2] = 0
    np.savez(tmp_path / "scan.npz", kspace=given)
    assert volume(MriRequest(kspace=tmp_path / "scan.npz")).noise.std == pytest.approx(0.05, rel=0.1)


def test_noise_is_not_taken_for_signal_of_a_wide_middle() -> None:
    """All of a noisy scan without gaps: with a threshold below the noise maps are of nothing (43 % of the truth)."""
    shape, sigma = (64, 64), 0.2
    maps, calibration = simulate_maps(shape, 4), torch.from_numpy(disc(shape, 4, sigma)[0])
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = x**2 + y**2 < 0.6

    def alike(found: torch.Tensor) -> float:
        return float(((found.conj() * maps).sum(0).abs() / maps.norm(dim=0))[inside].mean())

    assert alike(estimated(calibration, shape, noise=sigma).maps) > 0.98
    assert alike(estimated(calibration, shape).maps) < 0.9


@pytest.mark.parametrize(
    ("axes", "where"), [((-2, -1), "corners"), ((-2,), "first and last phase encodes"), ((-1,), "ends of the readout")]
)
def test_swapped_halves_are_refused(tmp_path: Path, axes: tuple[int, ...], where: str) -> None:
    given = disc((32, 24), 4, 0.05)
    np.savez(tmp_path / "right.npz", kspace=given, sigma=0.05)
    assert first(tmp_path / "right.npz").scale > 0
    np.savez(tmp_path / "scan.npz", kspace=np.fft.ifftshift(given, axes), sigma=0.05)
    with pytest.raises(
        InputError, match=rf"scan.npz: slice 0: k-space is \d+ times stronger at the {where} .*fftshift"
    ):
        first(tmp_path / "scan.npz")


def refused() -> list[Any]:
    lines = torch.zeros(32, 24, dtype=torch.bool)
    lines[::2] = True
    lines[16] = False
    off = disc((32, 24), 4, 0.05, lines)
    return [
        ({"kspace": off, "mask": None, "truth": None}, {}, "k = 0, phase encode 16, readout 12, was not measured"),
        ({"sigma": 1e6}, {}, "σ = 1e.06, as stated.* noise alone would be larger"),
        ({"sigma": 1e-20}, {}, "which single precision rounds by more; expected σ of at least"),
        ({}, {"sigma": 1e-25}, "which single precision rounds by more"),
        ({"kspace": np.zeros((1, 4, 32, 24), np.complex64)}, {}, "scan.npz: all slices are 0"),
        ({"maps": None}, {"calibration": 1000, "coils": 2, "maps": Path("none.npz")}, "--calibration is for maps"),
    ]


@pytest.mark.parametrize(("arrays", "said", "why"), refused())
def test_what_cannot_be_is_refused_before_anything_is_drawn(
    tmp_path: Path, arrays: dict[str, Any], said: dict[str, Any], why: str
) -> None:
    path = changed(scan(tmp_path / "scan.npz", slices=1), **arrays)
    with pytest.raises(InputError, match=why):
        first(path, **said)


def test_maps_and_noise_beside_a_scan_are_checked_first_and_read_anew(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.npz", slices=4)
    np.savez(tmp_path / "maps.npz", maps=np.ones((2, 4, 32, 24), np.complex64))
    with pytest.raises(InputError, match=r"scan.npz: slice 0: --maps .*maps.npz.*or these of 4 slices"):
        first(path, maps=tmp_path / "maps.npz")
    huge = np.full((4, 32, 24), 1e300, np.complex128)
    for name, values, why in (("maps", huge, r"slice 0 is .*inf"), ("noise", huge[:, 0], r"'noise' is .*inf")):
        given: dict[str, Any] = {name: values}
        np.savez(tmp_path / f"{name}.npz", **given)
        with pytest.raises(InputError, match=why):
            first(path, **{name: tmp_path / f"{name}.npz"})
    rng = np.random.default_rng(0)
    for sigma in (1.0, 2.0):
        values = sigma * (rng.normal(size=(4, 5000)) + 1j * rng.normal(size=(4, 5000)))
        np.savez(tmp_path / "noise.npz", noise=values)
        said = MriRequest(kspace=path, noise=tmp_path / "noise.npz")
        assert volume(said).noise.std == pytest.approx(sigma, rel=0.05)


def test_masks_that_cannot_be_written_to_raise_no_warning(tmp_path: Path) -> None:
    given = disc((32, 24), 4, 0.05)
    np.savez(tmp_path / "scan.npz", kspace=given.astype(">c16"), mask=np.ones(32), sigma=0.05)
    first(tmp_path / "scan.npz")  # warnings are errors here


@pytest.mark.parametrize("said", ["3:2", "2:2", "-1", "x", "1:2:3:4", "0:4:-1", "::0", " 1", "1,2"])
def test_slices_are_refused_in_words_that_help(said: str) -> None:
    with pytest.raises(InputError, match="expected a number, such as 12, or some that rise, such as 10:20"):
        MriRequest(kspace=Path("scan.npz"), slices=said)


def test_slices_are_what_python_has() -> None:
    for said, expected in {
        "": range(4),
        ":": range(4),
        "3": range(3, 4),
        "1:": range(1, 4),
        "::2": range(0, 4, 2),
    }.items():
        assert MriRequest(kspace=Path("scan.npz"), slices=said).chosen(4) == expected
    for said in ("4", "4:", "1:9"):
        with pytest.raises(InputError, match=f"--slices is '{said}', but the scan has 4, counted from 0"):
            MriRequest(kspace=Path("scan.npz"), slices=said).chosen(4)


def test_only_what_is_out_of_bounds_decides_what_is_said_of_it() -> None:
    found = Verdict(consistency=0.7, held_out=1.2, error=None).distrust
    assert found is not None
    assert "less sure than they need be" in found
    assert "held out" not in found
    assert "do not trust" in (Verdict(0.7, 1.9, None).distrust or "")


def test_a_volume_of_several_is_chosen_by_its_number(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = np.zeros((24, 32, 2, 3), np.float32)
    image[6:18, 8:24] = [1, 2, 3]
    nibabel.save(nibabel.Nifti1Image(image, np.diag([1.5, 1.2, 3, 1])), tmp_path / "several.nii")
    path = tmp_path / "several.nii"
    with pytest.raises(InputError, match=r"has 3 volumes, expected one, or its number \(volume\)"):
        first(path, sigma=0.02)
    scan = volume(MriRequest(kspace=path, volume=2, sigma=0.02)).scan
    assert np.abs(scan.truth(0)).max() == pytest.approx(3)  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(InputError, match="--volume is for --kspace of an image"):
        MriRequest(kspace=Path("scan.npz"), volume=0)


def test_what_does_not_stand_out_from_the_noise_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", kspace=disc((32, 24), 4, 0.05), sigma=5.0)
    with pytest.raises(InputError, match="slice 0: nothing in the middle of k-space stands out from the noise, σ = 5"):
        first(tmp_path / "scan.npz")
