"""From a scan to volumes: what is written, resumed, read again, judged and shown, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ornstein as on
from ornstein.domains.mri import metrics
from ornstein.domains.mri.asked.flags import MriRequest
from ornstein.domains.mri.asked.held import held_out
from ornstein.domains.mri.asked.prepared import volume
from ornstein.domains.mri.results import store, widened
from ornstein.domains.mri.results.pictures import View
from ornstein.domains.mri.results.store import ReconStore
from ornstein.domains.mri.results.volumes import Frame, Written
from ornstein.domains.mri.task import Mri
from ornstein.domains.mri.trajectories.masks import middle_of, uniform
from ornstein.errors import InputError
from ornstein.tasks import requests
from ornstein.tasks.samples import read_samples
from ornstein.tasks.storage import keeping, reading
from recon_domain import SHAPE, model, scan

nibabel = pytest.importorskip("nibabel")
FEW: dict[str, Any] = {"steps": 2}


@pytest.fixture(autouse=True)
def _each_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "SHARE", float("inf"))


def asked(path: Path, **said: Any) -> MriRequest:
    return MriRequest(**{"kspace": path, "each": 2, "hold_out": 0.1, **said})


def array(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


@pytest.mark.slow
def test_a_scan_becomes_volumes_that_are_placed_resumed_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = scan(tmp_path / "scan.npz", slices=3), tmp_path / "recon"
    whole = requests.draw(model((16, 16)), asked(path), **FEW)  # on another grid than the model's
    assert whole.x.shape == (6, 2, *SHAPE)
    stream = requests.drawing(model((16, 16)), asked(path), out=out, **FEW)
    next(event for event in stream if event.finished is not None)
    stream.close()
    requests.draw(model((16, 16)), asked(path), out=out, resume=True, **FEW)
    samples, mean = nibabel.load(out / "samples.nii"), array(out / "mean.nii.gz")
    assert samples.shape == (SHAPE[1], SHAPE[0], 3, 2)
    assert samples.header.get_zooms()[:3] == pytest.approx((1.2, 1.0, 3.0))
    assert np.allclose(samples.affine, nibabel.load(out / "std.nii.gz").affine)
    magnitudes = np.abs(np.asarray(samples.dataobj))
    assert np.allclose(magnitudes.mean(-1), mean, rtol=1e-4)
    assert np.allclose(magnitudes.std(-1, ddof=1), array(out / "std.nii.gz"), rtol=1e-3, atol=1e-4)
    again = read_samples(out)
    monkeypatch.setattr(reading, "PART", 2 * again.x[0].numel() * 4)
    assert torch.equal(torch.cat([part.x for part in reading.parts(out)]), again.x)
    assert (again.x - whole.x).abs().max() < 1e-5
    for name, value in whole.condition.items():
        assert torch.allclose(again.condition[name], value, atol=1e-4), name
    assert again.each["slice"] == [0, 0, 1, 1, 2, 2]
    assert any("χ²: data" in note for note in again.notes)
    assert "not for clinical use" in again.notes
    said = json.loads((out / "recon.json").read_text())
    assert [one["slice"] for one in said["slices"]] == [0, 1, 2]
    assert all(len(one["chi2 data"]) == 2 and one["chi2 held out"] > 0 for one in said["slices"])
    assert not list(out.rglob("scratch"))


def test_a_model_of_windows_draws_whole_slices_and_slices_of_other_sizes(tmp_path: Path) -> None:
    learned = model(SHAPE, window=(16, 16))
    out = tmp_path / "plain"
    stream = requests.drawing(learned, MriRequest(), n=2, out=out, batch_size=1, **FEW)
    next(event for event in stream if event.finished is not None)
    stream.close()
    assert read_samples(out, unfinished=True).x.shape == (1, 2, *SHAPE)
    assert requests.draw(learned, MriRequest(), n=2, out=out, batch_size=1, resume=True, **FEW).x.shape[2:] == SHAPE
    one = volume(asked(scan(tmp_path / "scan.npz")))
    drawn = on.sample(learned & on.mri.kspace(one[0]), 1, steps=2)
    assert drawn.x.shape == (1, 2, *one.grid)
    for grid in ((16, 16), (40, 24)):  # that of the windows, too
        assert on.sample(on.mri.on_grid(learned, grid), 1, steps=2).x.shape == (1, 2, *grid)
    with pytest.raises(InputError, match="of no training"):
        on.mri.on_grid(replace(learned, traits=replace(learned.traits, origin=None)), (16, 16))


def test_samples_of_one_slice_can_be_one_population(tmp_path: Path) -> None:
    """Whose members take each other's places, so that nothing may be said of one that is not true of all."""
    origin = model().origin
    assert origin is not None
    told = Mri().request(asked(scan(tmp_path / "scan.npz")), range(2, 4), origin.metadata)
    assert told.each == {"slice": [1, 1]}


@pytest.mark.slow
def test_some_slices_lie_where_they_are_in_the_scan(tmp_path: Path) -> None:
    path, out = scan(tmp_path / "scan.npz", slices=4), tmp_path / "recon"
    requests.draw(model(), asked(path, slices="1:4:2"), out=out, **FEW)
    affine = nibabel.load(out / "mean.nii.gz").affine
    whole = np.array(volume(asked(path)).scan.affine)
    assert np.allclose(affine[:3, 3], whole[:3, 3] + whole[:3, 2])
    assert np.allclose(affine[:3, 2], 2 * whole[:3, 2])
    assert read_samples(out).each["slice"] == [1, 1, 3, 3]


@pytest.mark.slow
def test_the_samples_of_a_slice_may_be_one_population(tmp_path: Path) -> None:
    """They differ in nothing that is known of them, so that they may take each other's places."""
    path, out = scan(tmp_path / "scan.npz", slices=2), tmp_path / "recon"
    drawn = requests.draw(model(), asked(path, slices="1"), exact="particles", particles=4, steps=2, out=out)
    assert drawn.exactness is not None
    assert drawn.each["slice"] == [1] * len(drawn)
    assert np.isfinite(array(out / "std.nii.gz")).all()


def test_one_sample_of_a_slice_says_nothing_of_its_spread(tmp_path: Path) -> None:
    path, out = scan(tmp_path / "scan.npz", slices=1), tmp_path / "recon"
    drawn = requests.draw(model(), asked(path, each=1), out=out, **FEW)
    assert any("std, quantile-05, quantile-95 are not written" in note for note in drawn.notes)
    assert {"mean.nii.gz", "samples.nii"} <= {path.name for path in out.iterdir()}
    assert not [*out.glob("std*"), *out.glob("quantile*")]
    assert len(read_samples(out).x) == 1


def test_what_is_held_out_is_never_of_the_middle_and_never_used() -> None:
    mask = uniform((64, 32), 3, 0.2, seed=0)
    held = held_out(mask, 0.1, 0, 5)
    lines = held.any(1).nonzero()[:, 0].tolist()
    assert len(lines) == round(0.1 * int(mask.any(1).sum()))
    rows, _ = middle_of(mask)
    assert not any(rows.start <= line < rows.stop for line in lines)
    assert not bool((held & ~mask).any())
    assert held.equal(held_out(mask, 0.1, 0, 5))
    assert not held.equal(held_out(mask, 0.1, 0, 6))
    assert not held_out(mask, 0.0, 0, 5).any()


def test_the_state_of_the_truth_is_in_the_units_of_the_scan(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.npz", slices=1, sigma=1e-4)
    one = volume(asked(path))[0]
    image = torch.complex(one.truth[0], one.truth[1]) if one.truth is not None else torch.zeros(())
    seen = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(one.maps * image, (-2, -1)), norm="ortho"), (-2, -1))
    off = ((seen - one.kspace) * one.mask).abs().square().sum() / (2 * one.std**2 * one.mask.sum() * len(one.maps))
    assert 0.8 < float(off) < 1.2


def test_an_empty_slice_is_an_image_of_zeros(tmp_path: Path) -> None:
    path, out = scan(tmp_path / "scan.npz", slices=2), tmp_path / "recon"
    with np.load(path) as found:
        arrays = dict(found)
    arrays["kspace"][1] = 0
    np.savez(path, **arrays)
    drawn = requests.draw(model(), asked(path), out=out, **FEW)
    assert any("slice 1 is 0 in the file" in note for note in drawn.notes)
    assert not array(out / "samples.nii")[:, :, 1].any()
    assert np.isfinite(read_samples(out).x.numpy()).all()


def test_widened_intervals_lie_beside_the_quantiles_and_say_whose_they_are(tmp_path: Path) -> None:
    path, out, file = scan(tmp_path / "scan.npz", slices=1), tmp_path / "recon", tmp_path / "margins.json"
    margins = widened.Widened(
        (0.5, 0.9), (0.1, 2.0), 4, (0.3, 0.6), (0.5, 0.9), 20, 20, "mri/small", "1" * 64, (8.0, 8.0)
    )
    margins.save(file)
    drawn = requests.draw(model(), asked(path, each=4, widen=file), out=out, **FEW)
    mean, std = (array(out / f"{name}.nii.gz") for name in ("mean", "std"))
    low, high = (array(out / f"{end}-90.nii.gz") for end in ("low", "high"))
    half = (2.353363 * np.sqrt(1.25) + 2.0) * std  # Student's t of 3 degrees of freedom at 0.95
    assert np.allclose(high, mean + half, rtol=1e-4)
    assert np.allclose(low, np.maximum(mean - half, 0), rtol=1e-4, atol=1e-4)
    assert (array(out / "quantile-95.nii.gz") <= high).mean() > 0.99
    said = json.loads((out / "recon.json").read_text())
    truth = np.abs(array(out / "truth.nii.gz"))[..., 0].T
    inside = metrics.brain(truth.astype(float))
    held = ((low <= np.abs(array(out / "truth.nii.gz"))) & (np.abs(array(out / "truth.nii.gz")) <= high))[..., 0].T
    assert said["coverage"][1]["widened"] == pytest.approx(held[inside].mean(), abs=0.01)
    assert said["coverage"][1]["raw"] < said["coverage"][1]["widened"]
    assert said["widened"]["margins"] == [0.1, 2.0]
    wanted = f"90% intervals hold {said['coverage'][1]['raw']:.1%} raw and {said['coverage'][1]['widened']:.1%} widened"
    assert any(wanted in note for note in drawn.notes)
    assert any("another model than mri/small" in note and "instead of 8-fold" in note for note in drawn.notes)
    scores = {one.name: one.value for one in Mri().evaluate(read_samples(out))}
    assert scores["χ² of the data"] == pytest.approx(np.mean(said["slices"][0]["chi2 data"]))
    assert scores["χ² of the lines held out"] == pytest.approx(said["slices"][0]["chi2 held out"])
    few = requests.draw(model(), asked(path, each=4, widen=file), 3, out=tmp_path / "few", **FEW)
    assert any("not widened: the margins are for all samples of a slice" in note for note in few.notes)
    assert not list((tmp_path / "few").glob("low-*"))
    with pytest.raises(InputError, match="margins are for 4 samples a slice, found --each 2"):
        requests.draw(model(), asked(path, widen=file), **FEW)


def test_more_samples_than_memory_holds_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = Frame.plain((32, 24))
    Written(tmp_path / "samples.nii", frame, "complex64", 100).finish(compress=False)
    Written(tmp_path / "frame.nii", frame, "complex64").finish()
    monkeypatch.setattr(store, "available", lambda: 3_000_000)
    found = ReconStore(tmp_path, range(100))
    with pytest.raises(InputError, match=r"100 samples of 32 × 24 pixels need 0.00369 GB in memory, 0.003 GB are free"):
        found.read(range(100))
    assert len(found.read(range(80))[0]) == 80


@pytest.mark.parametrize(
    ("affine", "letters", "transposed"),
    [
        (np.diag([1.0, 1, 1, 1]), ("R", "L", "A", "P"), False),  # RAS, axial
        (np.diag([-1.0, -1, 1, 1]), ("R", "L", "A", "P"), False),  # LPS
        (np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), ("R", "L", "A", "P"), True),
        (np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), ("R", "L", "S", "I"), False),
        (np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), ("A", "P", "S", "I"), False),
    ],
)
def test_pictures_are_turned_as_radiologists_look_at_them(
    affine: np.ndarray, letters: tuple[str, ...], transposed: bool
) -> None:
    """A bright voxel at the patient's front right (or head) is at the picture's upper left."""
    frame = Frame((4, 6), (2, 1, 0), tuple(map(tuple, affine.tolist())), 1, oriented=True)
    view = View.of(frame)
    assert view.letters == letters
    assert view.transposed == transposed
    image = np.zeros((4, 6))
    towards = {"R": [1, 0, 0], "L": [-1, 0, 0], "A": [0, 1, 0], "P": [0, -1, 0], "S": [0, 0, 1], "I": [0, 0, -1]}
    wanted = np.array(towards[letters[0]]) + np.array(towards[letters[2]])
    rows, columns = np.mgrid[:4, :6]
    place = affine[:3, 0, None, None] * columns + affine[:3, 1, None, None] * rows
    image.flat[np.tensordot(wanted, place, 1).argmax()] = 1.0
    assert view(image)[0, 0] == 1
    unknown = View.of(Frame((4, 6), (2, 1, 0), frame.affine, 1))
    assert unknown.letters is None
    assert "does not say" in unknown.words


REFUSED = [
    ({"kspace": None, "each": 3}, "--each is for --kspace: give it, too"),
    ({"sigma": 1.0, "noise": Path("n.npz")}, "expected one of them"),
    ({"slices": "3:2"}, "--slices is '3:2', expected a number"),
    ({"slices": "a"}, "--slices is 'a', expected"),
    ({"pattern": "radial"}, "--pattern is for --acceleration"),
    ({"plane": "axial"}, "--plane is for --kspace of an image"),
    ({"maps": Path("m.npz"), "calibration": 20}, "--calibration is for maps that are estimated"),
    ({"hold_out": 0.9}, r"--hold-out is 0.9, expected a number in \[0, 0.5\]"),
]


@pytest.mark.parametrize(("said", "why"), REFUSED)
def test_flags_that_do_not_go_together_are_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        MriRequest(**{"kspace": Path("scan.npz"), **said})


def test_what_the_scan_does_not_have_is_refused(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.npz", slices=2)
    with pytest.raises(InputError, match="--slices is '1:9', but the scan has 2"):
        requests.draw(model(), asked(path, slices="1:9"))
    with pytest.raises(InputError, match="no setting 'repetition'"):
        requests.draw(model(), asked(path, repetition=1))
    with pytest.raises(InputError, match=r"samples 0 to 3 are of 2 posteriors of 2 samples each.*--first 0 --n 2"):
        requests.draw(model(), asked(path), exact="particles", particles=4)
    np.savez(tmp_path / "maps.npz", maps=np.ones((3, 4, 4), np.complex64))
    with pytest.raises(InputError, match=r"maps.npz: has the shape \(3, 4, 4\), expected \(4, 32, 24\)"):
        requests.draw(model(), asked(path, maps=tmp_path / "maps.npz"))
