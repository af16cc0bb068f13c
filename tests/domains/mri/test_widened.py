"""Intervals of reconstructions that are widened: on brains whose samples are too close together."""

import json
from pathlib import Path

import numpy as np
import pytest

from ornstein import InputError
from ornstein.domains.mri.results import widened
from ornstein.domains.mri.results.volumes import Frame, Written

SLICES, MEMBERS, SIZE = 24, 8, 24
RECORD = {"size": [SIZE, SIZE], "axes": [2, 1, 0], "affine": np.eye(4).tolist(), "slices": [0, SLICES, 1]}
RECORD |= {"acceleration": 4.0}
MODEL = ("mri/brain", "0" * 64, (4.0, 4.0))


def recon(folder: Path, narrow: float, seed: int = 0, members: int = MEMBERS, slices: int = SLICES) -> Path:
    """A folder as a reconstruction is: bright discs, the samples' spread `narrow` times the right one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    disc = np.hypot(x, y) < SIZE / 2 - 2
    folder.mkdir()
    frame = Frame.of({**RECORD, "slices": [0, slices, 1]}, "test")
    files = {name: Written(folder / f"{name}.nii", frame, "float32") for name in ("truth", "mean", "std")}
    for index in range(slices):
        sigma = rng.uniform(0.01, 0.05, (SIZE, SIZE))
        centre = disc * (1 + 0.1 * rng.normal(size=(SIZE, SIZE)))
        truth = np.abs(centre + disc * sigma * rng.normal(size=(SIZE, SIZE)))
        draws = centre + disc * narrow * sigma * rng.normal(size=(members, SIZE, SIZE))
        for name, image in (("truth", truth), ("mean", draws.mean(0)), ("std", draws.std(0, ddof=1))):
            files[name].put(index, image)
    for file in files.values():
        file.finish()
    said = {"scan": {**RECORD, "slices": [0, slices, 1]}, "affine": np.eye(4).tolist()}
    said["model"] = dict(zip(("name", "weights"), MODEL[:2], strict=True))
    (folder / "recon.json").write_text(json.dumps({**said, "slices": [{"members": members}] * slices}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("narrow", "low", "high"), [(1.0, -0.05, 0.4), (0.5, 1.0, 6.0), (2.0, -1.5, -0.2)])
def test_intervals_hold_what_they_say_whatever_the_samples_do(
    tmp_path: Path, narrow: float, low: float, high: float
) -> None:
    found = widened.fit([recon(tmp_path / "recon", narrow, slices=80)])
    assert found.levels == (0.5, 0.9)
    aimed = np.array(found.levels) * 41 / 40  # which makes it hold for a new slice, however few there were
    assert np.allclose(found.after, aimed, atol=0.02)
    raw_is_right = np.allclose(found.before, found.levels, atol=0.02)
    assert raw_is_right == (narrow == 1)
    assert low < found.margins[1] < high
    assert "fitted on 40 slices, judged on 40 others" in str(found)
    assert f"{found.before[1]:.1%} raw and {found.after[1]:.1%} widened" in str(found)


def test_what_was_fitted_is_saved_and_applied_to_another_volume(tmp_path: Path) -> None:
    file = tmp_path / "margins.json"
    assert widened.main(["fit", str(file), str(recon(tmp_path / "a", 0.5))]) == 0
    found = widened.read(file)
    assert found == widened.fit([tmp_path / "a"])
    other = recon(tmp_path / "b", 0.5, seed=1)
    assert widened.main(["apply", str(file), str(other), str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"low-50.nii.gz", "high-50.nii.gz", "low-90.nii.gz", "high-90.nii.gz", "widened.json"}
    truth, out = (
        widened.Recon.opened(other),
        widened.Recon(tmp_path / "out", widened.Recon.opened(other).frame, MEMBERS),
    )
    held, there = 0, 0
    for index in range(SLICES):
        image, low, high = truth.image("truth", index), out.image("low-90", index), out.image("high-90", index)
        assert (low >= 0).all()
        disc = truth.image("std", index) > 0
        held += int(((low <= image) & (image <= high))[disc].sum())
        there += int(disc.sum())
    assert held / there == pytest.approx(0.9 * 13 / 12, abs=0.02)


def test_what_cannot_be_fitted_is_named(tmp_path: Path) -> None:
    few = recon(tmp_path / "few", 1.0, slices=6)
    with pytest.raises(InputError, match="needs at least 9 cases to fit on, found 3"):
        widened.fit([few])
    other = recon(tmp_path / "other", 1.0, members=4, slices=2)
    with pytest.raises(InputError, match=r"samples a slice: .*few: 8, .*other: 4, expected one number"):
        widened.fit([few, other])
    (few / "truth.nii.gz").unlink()
    with pytest.raises(InputError, match=r"truth.nii.gz: not there, expected the truth"):
        widened.fit([few])
    with pytest.raises(InputError, match="has 4 samples a slice, the margins are for 8"):
        widened.apply(widened.Widened((0.9,), (1.0,), 8, (0.5,), (0.9,), 9, 9, *MODEL), other, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "bad.json").write_text('{"levels": [0.9]}')
    with pytest.raises(InputError, match=r"bad.json.*margins"):
        widened.read(tmp_path / "bad.json")
    with pytest.raises(InputError, match="expected fit FILE FOLDER"):
        widened.main(["widen"])


def test_margins_of_other_reconstructions_are_said_to_promise_nothing() -> None:
    found = widened.Widened((0.9,), (1.0,), 8, (0.5,), (0.9,), 9, 9, *MODEL)
    assert found.unlike("0" * 64, 4.1) == []
    assert "another model than mri/brain" in found.unlike("1" * 64, 4.0)[0]
    assert "8-fold undersampling instead of 4-fold" in found.unlike("0" * 64, 8.0)[0]


def test_margins_of_several_models_are_not_fitted_together(tmp_path: Path) -> None:
    one, other = recon(tmp_path / "one", 1.0, slices=2), recon(tmp_path / "other", 1.0, slices=2)
    said = json.loads((other / "recon.json").read_text())
    (other / "recon.json").write_text(json.dumps({**said, "model": {"name": "mri/mine", "weights": "1" * 64}}))
    with pytest.raises(InputError, match=r"models: .*one: mri/brain \(0+\), .*other: mri/mine \(1+\), expected one"):
        widened.fit([one, other])
