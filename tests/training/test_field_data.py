"""Fields in files: what is read is what xarray reads, of every kind of file, whatever the chunks and the memory."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from field_files import KINDS, LAYOUT, state, world, written
from ornstein import InputError
from ornstein.training.datasets import Dataset
from ornstein.training.fields import FieldData, Layout, open_fields


def expected(path: Path) -> xr.Dataset:
    """What xarray reads."""
    with xr.open_zarr(path, consolidated=False, chunks=None) if path.is_dir() else xr.open_dataset(path) as data:
        return data.load()


def all_of(data: FieldData) -> np.ndarray:
    x, _ = data.batch(torch.arange(len(data)))
    return x.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_what_xarray_reads(tmp_path: Path, kind: str) -> None:
    path = written(world(), tmp_path, kind, chunks=5)
    truth = expected(path)
    data = open_fields(path, LAYOUT)
    assert isinstance(data, Dataset)
    assert (len(data), data.shape) == (12, (3, 4, 8))
    assert data.channels == ["t[level=500]", "t[level=850]", "wind"]
    x, condition = data.batch(torch.tensor([7, 0, 11, 7]))
    np.testing.assert_array_equal(x.numpy(), state(truth)[[7, 0, 11, 7]])
    np.testing.assert_array_equal(condition["forecast"].numpy(), truth["forecast"].values[[7, 0, 11, 7]].astype("f4"))
    np.testing.assert_array_equal(condition["index"].numpy()[:, 0], truth["index"].values[[7, 0, 11, 7]].astype("f4"))
    assert data.static is not None
    np.testing.assert_array_equal(data.static.numpy()[0], truth["land"].values)
    assert (x.dtype, condition["index"].dtype) == (torch.float32, torch.float32)
    assert data.times() == [str(time)[:19] for time in truth["time"].values]
    assert data.metadata["units"]["t"] == "K"
    assert data.metadata["grid"]["lat"]["values"] == pytest.approx(truth["lat"].values.tolist())


@pytest.mark.parametrize("kind", ["zarr2", "zarr3", "netcdf4", "netcdf3"])
def test_missing_values_are_what_xarray_says(tmp_path: Path, kind: str) -> None:
    """_FillValue of packed and plain numbers, and missing_value."""
    whole = world()
    whole["t"][3, 1, 2, 4] = np.nan
    whole["wind"][5, 0, 0] = np.nan
    for packed in ("", "packed-"):
        path = written(whole, tmp_path / packed, packed + kind)
        truth = state(expected(path))
        assert np.isnan(truth).sum() == 2
        x, condition = open_fields(path, Layout(["t", "wind"], missing="mask")).batch(torch.arange(12))
        np.testing.assert_array_equal(condition["mask"].numpy(), ~np.isnan(truth))
        np.testing.assert_array_equal(x.numpy(), np.nan_to_num(truth))


def test_other_numbers_that_stand_for_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.array([[1.0, 1e20, -9999.0, 4.0]], "f4")
        file["x"].attrs["missing_value"] = [1e20, -9999.0]
        file["y"] = np.array([[1, 255, 3, 4]], "u1").view("i1")
        file["y"].attrs.update({"_Unsigned": "true", "scale_factor": 0.5, "_FillValue": np.int8(3)})
    layout = Layout(["x", "y"], records=["dim_0"], grid=["dim_1"], missing="mask")
    x, condition = open_fields(tmp_path / "a.h5", layout).batch(torch.tensor([0]))
    assert x.tolist() == [[[1.0, 0.0, 0.0, 4.0], [0.5, 127.5, 0.0, 2.0]]]
    assert condition["mask"].tolist() == [[[True, False, False, True], [True, True, False, True]]]


@given(
    chunk=st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)),
    bound=st.integers(1, 40),
    threads=st.integers(1, 3),
    numbers=st.lists(st.integers(0, 8), min_size=1, max_size=12),
    levels=st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
    over=st.sampled_from([("time",), ("time", "level"), ("level", "time")]),
)
def test_a_batch_is_a_function_of_its_numbers_alone(
    tmp_path_factory: pytest.TempPathFactory,
    chunk: tuple[int, ...],
    bound: int,
    threads: int,
    numbers: list[int],
    levels: list[int],
    over: tuple[str, ...],
) -> None:
    """Whatever the chunks, the memory, the threads and what was read before."""
    whole = np.random.default_rng(0).normal(size=(9, 3, 4, 5)).astype("f4")
    path, dims = tmp_path_factory.mktemp("any") / "a.h5", ["time", "level", "y", "x"]
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=whole, chunks=chunk, compression="lzf")
    select = {} if "level" in over else {"level": levels}
    layout = Layout(["a"], records=over, select=select, dims={"a": dims})
    data = open_fields(path, layout, bound=bound * 720, threads=threads)
    order = [*over, *(dim for dim in dims if dim not in over)]
    moved = whole.transpose([dims.index(dim) for dim in order])
    truth = moved.reshape(-1, 1, 4, 5) if "level" in over else whole[:, levels]
    assert len(data) == len(truth)
    for _ in range(2):
        x, _ = data.batch(torch.tensor(numbers))
        np.testing.assert_array_equal(x.numpy(), truth[numbers])
    assert data.source.blocks._taken == sum(block.nbytes for block in data.source.blocks._kept.values())
    assert data.source.blocks._taken <= data.source.blocks.bound


def test_a_chunk_is_read_once(tmp_path: Path) -> None:
    path = written(world(40), tmp_path, "zarr3", chunks=10)
    data = open_fields(path, Layout(["t"]))
    for k in range(0, 40, 4):
        data.batch(torch.arange(k, k + 4))
    assert data.source.blocks.reads == 1  # 40 records of 256 bytes are read together, though stored in four chunks
    large = world(8, height=128, width=256)
    data = open_fields(written(large, tmp_path, "zarr3", "large", chunks=4), Layout(["t"]))
    for _ in range(3):
        for k in (0, 4, 2, 6):
            data.batch(torch.arange(k, k + 2))
    assert data.source.blocks.reads == 2


def test_files_follow_one_another(tmp_path: Path) -> None:
    parts = [
        world(n, start, seed)
        for seed, (n, start) in enumerate([(5, "2000-01-01"), (3, "2000-02-01"), (4, "2000-03-01")])
    ]
    for k, part in enumerate(parts):
        written(part, tmp_path, "netcdf4", f"{k}")
    truth = np.concatenate([state(part) for part in parts])
    data = open_fields(tmp_path / "*.nc", LAYOUT)
    np.testing.assert_array_equal(all_of(data), truth)
    train, validation, test = data.split(0.5, 0.25, 0.25)
    assert [len(part) for part in (train, validation, test)] == [6, 3, 3]
    np.testing.assert_array_equal(all_of(validation), truth[6:9])
    apart = data.split(0.5, 0.5, gap=2)
    assert [(part.rows.start, part.rows.stop) for part in apart] == [(0, 6), (8, 12)]
    february = data.between("2000-02", "2000-03")
    np.testing.assert_array_equal(all_of(february), truth[5:8])
    np.testing.assert_array_equal(all_of(data.between("2000-02").split(0.5, 0.5)[1]), truth[9:])


def test_files_may_hold_a_variable_each(tmp_path: Path) -> None:
    whole = world()
    for name in ("t", "land"):
        written(whole[[name]], tmp_path, "netcdf4", name)
    for k in range(3):
        written(whole[["wind"]].isel(time=slice(4 * k, 4 * k + 4)), tmp_path, "netcdf3", f"wind-{k}")
    files = {"t": tmp_path / "t.nc", "wind": tmp_path / "wind-*.nc", "land": tmp_path / "land.nc"}
    data = open_fields(files, Layout(["t", "wind"], static=["land"]))
    np.testing.assert_array_equal(all_of(data), state(whole))


def test_subjects_are_files_of_so_many_slices(tmp_path: Path) -> None:
    """As fastMRI has them: no names of dimensions, complex numbers, and as many slices as each subject has."""
    rng, whole = np.random.default_rng(0), []
    for k, slices in enumerate((3, 5, 2, 4)):
        kspace = (rng.normal(size=(slices, 2, 6, 4)) + 1j * rng.normal(size=(slices, 2, 6, 4))).astype("c8")
        with h5py.File(tmp_path / f"{k}.h5", "w") as file:
            file["kspace"], file["norm"] = kspace, np.arange(slices, dtype="f4") + 10 * k
            file["ismrmrd_header"] = b"<xml/>"
        whole.append(kspace)
    dims = {"kspace": ("slice", "coil", "ky", "kx"), "norm": ("slice",)}
    layout = Layout(["kspace"], scalars={"norm": ["norm"]}, records=["file", "slice"], dims=dims)
    data = open_fields(tmp_path / "*.h5", layout)
    truth = np.concatenate(whole)
    assert data.channels == [f"kspace[coil={k}].{part}" for k in (0, 1) for part in ("real", "imag")]
    found = all_of(data)
    np.testing.assert_array_equal(found[:, 0::2] + 1j * found[:, 1::2], truth)
    train, test = data.split(0.5, 0.5)
    assert (len(train), len(test)) == (8, 6)  # whole subjects
    _, condition = test.batch(torch.tensor([2, 5]))
    assert condition["norm"].tolist() == [[30.0], [33.0]]
    x, _ = open_fields(tmp_path / "*.h5", Layout(["kspace"], records=["slice"], dims=dims)).batch(torch.tensor([13]))
    np.testing.assert_array_equal(x.numpy()[0, 1], truth[13, 0].imag)


def test_arrays_in_pieces(tmp_path: Path) -> None:
    """Files of one array each have the name that they are asked for, alone or by variable, and no other."""
    whole = np.random.default_rng(0).normal(size=(7, 2, 4, 5)).astype("f4")
    for k, part in enumerate((whole[:3], whole[3:])):
        np.save(tmp_path / f"part-{k}.npy", part)
        np.save(tmp_path / f"label-{k}.npy", part[:, 0, 0, 0])
    alone = open_fields(tmp_path / "part-*.npy", Layout(["x"], records=["dim_0"]))
    np.testing.assert_array_equal(all_of(alone), whole)
    files = {"x": tmp_path / "part-*.npy", "y": tmp_path / "label-*.npy"}
    data = open_fields(files, Layout(["x"], scalars={"y": "y"}, records=["dim_0"]))
    np.testing.assert_array_equal(data.batch(torch.tensor([5]))[1]["y"].numpy(), whole[5:6, 0, 0, :1])
    with pytest.raises(InputError, match=r"part-0.npy: has no variable 'x'.*found part-0"):
        open_fields(tmp_path / "part-*.npy", Layout(["x"], scalars={"y": "y"}, records=["dim_0"]))
    with pytest.raises(InputError, match="but not for 'y'; found x"):
        open_fields({"x": files["x"]}, Layout(["x"], scalars={"y": "y"}, records=["dim_0"]))


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numpy(tmp_path: Path, order: str) -> None:
    whole = np.random.default_rng(0).normal(size=(7, 2, 4, 5))
    np.save(tmp_path / "x.npy", np.asarray(whole, order=order))  # pyright: ignore[reportCallIssue, reportArgumentType]
    np.savez(tmp_path / "all.npz", x=np.asarray(whole, order=order), land=np.ones((4, 5)), n=np.arange(7))  # pyright: ignore[reportCallIssue, reportArgumentType]
    plain = open_fields(tmp_path / "x.npy", Layout(["x"], records=["dim_0"]))
    np.testing.assert_array_equal(all_of(plain), whole.astype("f4"))
    dims = {"x": ("n", "c", "y", "x"), "land": ("y", "x"), "n": ("n",)}
    layout = Layout(["x"], static=["land"], scalars={"n": ["n"]}, records=["n"], dims=dims)
    data = open_fields(tmp_path / "all.npz", layout)
    np.testing.assert_array_equal(all_of(data), whole.astype("f4"))
    assert data.batch(torch.tensor([4]))[1]["n"].tolist() == [[4.0]]


def test_parts_of_the_grid_and_of_the_levels(tmp_path: Path) -> None:
    whole = world()
    path = written(whole, tmp_path, "zarr3")
    data = open_fields(path, Layout(["t"], select={"level": [850], "lat": slice(-40, 95)}))
    assert data.channels == ["t[level=850]"]
    part = whole["t"].sel(level=[850]).isel(lat=slice(0, 3))
    np.testing.assert_array_equal(all_of(data), part.values)
    assert data.metadata["grid"]["lat"]["values"] == pytest.approx(part["lat"].values.tolist())
    turned = open_fields(path, Layout(["t"], grid=["lon", "lat"]))
    np.testing.assert_array_equal(all_of(turned), whole["t"].values.swapaxes(2, 3))
    volumes = open_fields(path, Layout(["t"], grid=["level", "lat", "lon"]))
    assert volumes.shape == (1, 2, 4, 8)


def test_land_says_where_the_state_exists(tmp_path: Path) -> None:
    whole = world()
    whole["t"] = whole["t"].where(whole["land"] > 0)
    data = open_fields(written(whole, tmp_path, "zarr3"), Layout(["t"], mask="land"))
    x, condition = data.batch(torch.arange(12))
    land = whole["land"].values > 0
    assert (condition["mask"].numpy() == land).all()
    np.testing.assert_array_equal(x.numpy(), np.nan_to_num(whole["t"].transpose("time", "level", "lat", "lon").values))


def test_it_says_what_it_reads(tmp_path: Path) -> None:
    data = open_fields(written(world(), tmp_path, "zarr3"), LAYOUT, bound=1_000_000)
    said = data.describe()
    for part in ("12 records by time", "t[level=500]", "1 MB of blocks at most", "t: 12 records at once"):
        assert part in said
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), shape=(100, 64, 64), chunks=(100, 8, 8), dtype="f4")[:] = 1.0
    narrow = open_fields(path, Layout(["a"], records=["dim_0"]), bound=1_000_000)
    assert "100 records are stored as one, so each is unpacked several times" in narrow.describe()


def test_chunks_that_are_lost_are_counted(tmp_path: Path) -> None:
    """Zarr reads them as the value that fills: NaN is refused, and of others it is said."""
    for fill in (0.0, np.nan):
        path = tmp_path / f"{fill}.zarr"
        array = zarr.create_array(str(path), shape=(9, 4, 4), chunks=(3, 4, 4), dtype="f4", fill_value=fill)
        array[:] = 1.0
        data = open_fields(path, Layout(["a"], records=["dim_0"]))
        assert "not stored" not in data.describe()
        (path / "c" / "1" / "0" / "0").unlink()
        data = open_fields(path, Layout(["a"], records=["dim_0"]))
        assert f"{path}: 1 chunks are not stored, and read as {fill}" in data.describe()
        if fill == fill:
            data.batch(torch.arange(9))
        else:
            with pytest.raises(InputError, match="record 3, dim_0 3: a is nan"):
                data.batch(torch.arange(9))


def test_no_record_that_is_not_there(tmp_path: Path) -> None:
    data = open_fields(written(world(), tmp_path, "zarr3"), LAYOUT).split(0.5, 0.5)[0]
    for wrong in (-1, 6):
        with pytest.raises(InputError, match="expected 0 to 5"):
            data.batch(torch.tensor([0, wrong]))


@pytest.mark.usefixtures("untyped")
def test_records_and_maps_that_are_none_are_named(tmp_path: Path) -> None:
    data = open_fields(written(world(), tmp_path, "zarr3"), LAYOUT)
    for index in (torch.tensor([0.5]), torch.tensor([[0]]), 3, ["a"]):
        with pytest.raises(InputError, match="asked for by whole numbers"):
            data.batch(index)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="not by a int"):
        data.mapped(3)  # pyright: ignore[reportArgumentType]


def test_records_without_a_coordinate(tmp_path: Path) -> None:
    """NetCDF-4 keeps zeros in the place of a coordinate that there is not, which are no numbers of records."""
    fields = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    xr.Dataset({"rho": (("run", "y", "x"), fields)}, {"x": np.arange(4.0)}).to_netcdf(tmp_path / "runs.nc")
    data = open_fields(tmp_path / "runs.nc", Layout(["rho"], records=["run"]))
    np.testing.assert_array_equal(all_of(data)[:, 0], fields)
    assert data.metadata["grid"]["x"]["values"] == [0, 1, 2, 3]
    assert data.metadata["grid"]["y"]["values"] is None
