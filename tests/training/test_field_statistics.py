"""Statistics of fields are NumPy's, in one pass, whatever the chunks; they are read back only for the same data."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from field_files import LAYOUT, state, world, written
from ornstein import InputError
from ornstein.training import checkpoints
from ornstein.training.fields import Layout, Statistics, measured, open_fields, statistics
from ornstein.training.fields.moments import Moments


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    holes=st.floats(0, 1),
    offset=st.sampled_from([0.0, 1.0, 1e5]),
    seed=st.integers(0, 1000),
)
def test_moments_of_pieces_are_those_of_the_whole(sizes: list[int], holes: float, offset: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.normal(offset, 1, (sum(sizes), 2, 3)).astype("f4")
    whole[rng.random(whole.shape) < holes] = np.nan
    whole[:, 1, 1] = np.nan
    whole[0, 0, 0] = offset
    pieces = np.split(whole, np.cumsum(sizes)[:-1])
    found = Moments.of(pieces[0], (0,))
    for piece in pieces[1:]:
        found = found.merged(Moments.of(piece, (0,)))
    some = ~np.isnan(whole).all(0)
    truth = whole.astype("f8")[:, some]
    np.testing.assert_allclose(found.mean[some], np.nanmean(truth, 0), rtol=1e-12)
    np.testing.assert_allclose(found.variance[some], np.nanvar(truth, 0), rtol=1e-7, atol=1e-12)
    np.testing.assert_array_equal(found.low[some], np.nanmin(truth, 0))
    np.testing.assert_array_equal(found.high[some], np.nanmax(truth, 0))
    np.testing.assert_array_equal(found.missing, np.isnan(whole).sum(0))
    np.testing.assert_array_equal(found.count[~some], 0)


def test_large_means_cost_no_digits() -> None:
    """The twin that takes the mean of the squares less the square of the mean is rejected."""
    whole = (1e4 + np.random.default_rng(0).normal(size=(1000, 8))).astype("f4")
    truth = whole.astype("f8").var()
    found = Moments.of(whole[:300], (0, 1)).merged(Moments.of(whole[300:], (0, 1)))
    assert float(found.variance) == pytest.approx(truth, rel=1e-10)
    twin = np.square(whole).mean() - whole.mean() ** 2
    assert float(twin) != pytest.approx(truth, rel=1e-2)


@given(chunk=st.integers(1, 9), piece=st.integers(1, 500), bound=st.integers(1, 20), threads=st.integers(1, 3))
def test_statistics_of_files_are_those_of_numpy(
    tmp_path_factory: pytest.TempPathFactory, chunk: int, piece: int, bound: int, threads: int
) -> None:
    whole = np.random.default_rng(0).normal(3, 2, (9, 2, 3, 5)).astype("f4")
    path = tmp_path_factory.mktemp("any") / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=whole, chunks=(chunk, 2, 3, 5))
    data = open_fields(path, Layout(["a"], records=["dim_0"]), bound=360 * bound, threads=threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_PIECE", piece)
        found = measured(data, elements=True)
    truth = whole.astype("f8")
    np.testing.assert_allclose(found.channels["state"].mean, truth.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.channels["state"].variance, truth.var((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.elements["state"].mean, truth.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std("state", "element").numpy(), truth.std(0), rtol=1e-6)
    assert found.channels["state"].count.tolist() == [135, 135]


def test_everything_is_standardised(tmp_path: Path) -> None:
    whole = world(40)
    data = open_fields(written(whole, tmp_path, "zarr3"), LAYOUT)
    train, validation = data.split(0.75, 0.25)
    known = measured(train)
    x, condition = known.standardised(train).batch(torch.arange(30))
    for values in (x, condition["forecast"], condition["index"]):
        over = [0, *range(2, values.ndim)]
        torch.testing.assert_close(values.mean(over), torch.zeros(values.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(values.std(over, correction=0), torch.ones(values.shape[1]))
    theirs, _ = known.standardised(validation).batch(torch.tensor([3]))
    truth = (torch.from_numpy(state(whole))[33] - known.mean()) / known.std()
    torch.testing.assert_close(theirs[0], truth)
    static = known.standardised(train).static
    assert static is not None
    assert static.std(correction=0).item() == pytest.approx(1)
    metadata = known.standardised(train).metadata
    json.dumps(metadata, allow_nan=False)
    assert metadata["standardised"]["channels"]["state"]["labels"] == train.channels
    finer = measured(train, elements=True).standardised(train, by="element").batch(torch.arange(30))[0]
    torch.testing.assert_close(finer.std(0, correction=0), torch.ones(finer.shape[1:]))
    with pytest.raises(InputError, match="standardised already"):
        known.standardised(known.standardised(train))
    with pytest.raises(InputError, match="by element were measured, found none"):
        known.standardised(train, by="element")
    assert "t[level=850]" in known.table()


def test_what_is_missing_is_counted_and_left_out(tmp_path: Path) -> None:
    whole = world()
    whole["t"][2, 1, :2] = np.nan
    data = open_fields(written(whole, tmp_path, "netcdf4"), Layout(["t"], missing="mask"))
    found = measured(data).channels["state"]
    truth = whole["t"].values.astype("f8")
    np.testing.assert_allclose(found.mean, np.nanmean(truth, (0, 2, 3)), rtol=1e-12)
    assert found.missing.tolist() == [0, 16]
    x, condition = measured(data).standardised(data).batch(torch.tensor([2]))
    assert (x[~condition["mask"]] == 0).all()
    assert (~condition["mask"]).sum() == 16
    whole["t"][:, 0] = np.nan
    empty = open_fields(written(whole, tmp_path, "netcdf4", "empty"), Layout(["t"], missing="mask"))
    with pytest.raises(InputError, match=r"state: t\[level=500\] is missing in all records"):
        measured(empty)


def test_where_nothing_exists_nothing_is_measured(tmp_path: Path) -> None:
    """Whatever stands there in the file."""
    whole = world()
    land = whole["land"].values > 0
    whole["t"] = whole["t"].where(whole["land"] > 0, 1e9).transpose("time", "level", "lat", "lon")
    data = open_fields(written(whole, tmp_path, "zarr3"), Layout(["t"], mask="land"))
    known = measured(data, elements=True)
    np.testing.assert_allclose(known.channels["state"].mean, whole["t"].values[:, :, land].astype("f8").mean((0, 2)))
    assert known.elements["state"].count[:, ~land].max() == 0
    for by in ("channel", "element"):
        x, condition = known.standardised(data, by=by).batch(torch.arange(12))
        assert (x[~condition["mask"]] == 0).all()
        assert x.abs().max() < 6


def test_what_has_no_spread_is_refused(tmp_path: Path) -> None:
    """Though the computed variance of many times 0.1 is not quite 0."""
    whole = world()
    whole["t"][:, 1] = np.float32(0.1)
    data = open_fields(written(whole, tmp_path, "zarr2"), Layout(["t"]))
    with pytest.raises(InputError, match=r"state: t\[level=850\] is 0.1 in all records"):
        measured(data).standardised(data)
    x, _ = measured(data).standardised(data, least=1e-3).batch(torch.arange(12))
    assert x[:, 1].abs().max() < 1e-3
    whole["t"][:, 1] = whole["t"][:, 0]
    whole["t"][:, 0, 2, 3] = 7
    data = open_fields(written(whole, tmp_path, "zarr2", "element"), Layout(["t"]))
    with pytest.raises(InputError, match=r"t\[level=500\] is 7 in all records at \(2, 3\)"):
        measured(data, elements=True).standardised(data, by="element")


class Reversed:
    """A basis that is easy to check: the elements in another order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(-1)


def test_a_spectrum_is_the_mean_square_of_coefficients(tmp_path: Path) -> None:
    whole = world()
    data = open_fields(written(whole, tmp_path, "zarr3"), Layout(["t"]))
    ready = measured(data).standardised(data)
    x, _ = ready.batch(torch.arange(12))
    spectrum = measured(ready, basis=Reversed()).spectrum()
    torch.testing.assert_close(spectrum, x.double().square().mean(0).flip(-1))
    assert spectrum.mean().item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="no coefficients were measured"):
        measured(data).spectrum()
    whole["t"][0, 0, 0, 0] = np.nan
    holes = open_fields(written(whole, tmp_path, "zarr3", "holes"), Layout(["t"], missing="mask"))
    with pytest.raises(InputError, match="missing elements"):
        measured(holes, basis=Reversed())


def same(ours: Statistics, theirs: Statistics) -> bool:
    parts = [statistics._parts(one) for one in (ours, theirs)]
    return parts[0].keys() == parts[1].keys() and all(
        np.array_equal(a, b)
        for name in parts[0]
        for a, b in zip(parts[0][name].named().values(), parts[1][name].named().values(), strict=True)
    )


@pytest.mark.parametrize("kind", ["zarr3", "netcdf4"])
def test_they_are_kept_and_read_back(tmp_path: Path, kind: str) -> None:
    whole, kept = world(), tmp_path / "kept" / "statistics.safetensors"
    path = written(whole, tmp_path, kind, chunks=3)
    data = open_fields(path, LAYOUT)
    first = measured(data, kept, elements=True, basis=Reversed())
    again = measured(open_fields(path, LAYOUT), kept, elements=True, basis=Reversed())
    assert (first.read_back, again.read_back) == (False, True)
    assert same(first, again)
    assert again.labels == dict(first.labels)
    assert [one.name for one in kept.parent.iterdir()] == [kept.name]
    for other in (data.split(0.5, 0.5)[0], first.standardised(data), open_fields(path, Layout(["t"]))):
        assert not measured(other, kept).read_back
        assert measured(other, kept).read_back
    assert not measured(data, kept).read_back  # without elements
    whole["t"] += 1
    if path.is_dir():
        written(whole, tmp_path, kind, chunks=3)
    else:
        written(whole, tmp_path / "new", kind, chunks=3).replace(path)
    changed = open_fields(path, LAYOUT)
    assert not measured(changed, kept).read_back
    assert measured(changed, kept).mean()[0] == pytest.approx(first.mean()[0] + 1, rel=1e-6)


def test_contents_may_decide(tmp_path: Path) -> None:
    path, kept = written(world(), tmp_path, "netcdf4"), tmp_path / "kept.safetensors"
    assert not measured(open_fields(path, LAYOUT), kept, contents=True).read_back
    os.utime(path, (1, 1))
    assert measured(open_fields(path, LAYOUT), kept, contents=True).read_back


def test_what_is_no_statistics_is_not_written_over(tmp_path: Path) -> None:
    data, kept = open_fields(written(world(), tmp_path, "netcdf4"), LAYOUT), tmp_path / "model.safetensors"
    checkpoints.save(kept, "model", {"w": torch.ones(2)}, {})
    before = kept.read_bytes()
    with pytest.raises(InputError, match="a model checkpoint, expected a statistics checkpoint"):
        measured(data, kept)
    assert kept.read_bytes() == before
    measured(data, kept.with_name("s.safetensors"))
    cut = kept.with_name("s.safetensors")
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(InputError, match="truncated"):
        measured(data, cut)
