"""Sensors and whole fields from files: what is read is what was written, and what is wrong is named with its place."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from ornstein.domains.poisson.asked.given import field_of, mask_of, read_fields
from ornstein.domains.poisson.asked.sensors import Sensors, read_sensors, sensors_of, write_sensors
from ornstein.errors import InputError
from ornstein.keys import Keys


def csv(folder: Path, text: str | bytes) -> Path:
    path = folder / "s.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_columns_are_known_by_their_names_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    text = "# m and V\r\n value, std ,x,y\r\n\r\n1e-3,0.5,0.25,-1\r\n# one more\r\n2,1,0.25,-1\r\n"
    found = read_sensors(csv(tmp_path, text), 2)
    assert found.points.tolist() == [[0.25, -1.0], [0.25, -1.0]]  # two readings at one place are two readings
    assert (found.values.tolist(), found.std.tolist()) == ([1e-3, 2.0], [0.5, 1.0])
    assert found.skipped == "1 blank line and 2 comments"
    assert found.places == ("line 4", "line 6")
    assert read_sensors(csv(tmp_path, "﻿x,value,std\n1,2,3"), 1).table().tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_what_is_written_is_read(ndim: int, tmp_path: Path) -> None:
    table = Keys.of(ndim, 9).normal(ndim + 2).double().exp()
    write_sensors(tmp_path / "s.csv", Sensors.of_table(table))
    assert torch.allclose(read_sensors(tmp_path / "s.csv", ndim).table(), table, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty, expected the header x,y,value,std"),
        ("# nothing\n\n", "is empty"),
        ("x,y,value,std\n", "a header and no sensors"),
        ("x,value,std\n1,2,3\n", "line 1: column 'y' is missing"),
        ("x,y,z,value,std\n1,1,1,2,3\n", "line 1: column 'z' is unknown"),
        ("x,x,y,value,std\n1,1,1,2,3\n", "line 1: column 'x' stands there 2 times"),
        ("0.1,0.2,1.0,0.1\n", "line 1: column '0.1' is unknown"),
        ("x;y;value;std\n1;1;2;3\n", "expected the header x,y,value,std"),
        ("x,y,value,std\n1,1,2,3\n1,1,2\n", "line 3: has 3 fields, expected 4"),
        ("x,y,value,std\n1,1,2,3,\n", "line 2: has 5 fields"),
        ("x,y,value,std\n1,1,nan,3\n", "line 2: value is 'nan', expected a finite number"),
        ("x,y,value,std\n\n1,inf,1,3\n", "line 3: y is 'inf'"),
        ("x,y,value,std\n1,1,1_0,3\n", "line 2: value is '1_0'"),
        ("x,y,value,std\n1,one,1,3\n", "line 2: y is 'one'"),
        (
            "x,y,value,std\n1,1,1,3\n1,1,1,0\n1,1,1,-2\n",
            "line 3: std is 0, expected a positive number; 2 sensors in all",
        ),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "line 1 holds the byte 0x89, which is not UTF-8"),
        (b"x,y,value,std\n1,1,1\x00,3\n", "line 2: value is"),
    ],
)
def test_what_is_wrong_in_a_csv_file_is_named_with_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_sensors(csv(tmp_path, text), 2)
    assert said in str(error.value)
    assert "s.csv" in str(error.value)


def test_an_npz_file_has_the_same_names(tmp_path: Path) -> None:
    path, x = tmp_path / "s.npz", np.linspace(0, 1, 3)
    np.savez(path, x=x, y=x**2, value=np.arange(3), std=0.1)
    assert read_sensors(path, 2).table()[2].tolist() == [1.0, 1.0, 2.0, 0.1]
    for wrong, said in (
        ({"y": x[:2]}, "array 'y' has the shape (2,)"),
        ({"value": x + 1j}, "array 'value' holds complex128"),
        ({"value": np.array([1, np.nan, 2])}, "element 1: value is nan"),
        ({"std": np.array([1.0, 0.0, 1.0])}, "element 1: std is 0"),
        ({"value": np.array(["a", "b", "c"])}, "array 'value' holds <U1"),
        ({"w": x}, "array 'w' is unknown"),
        ({"x": x[:0], "y": x[:0], "value": x[:0]}, "has no sensors"),
        ({"x": np.array(1.0)}, "array 'x' has the shape ()"),
    ):
        np.savez(path, **{"x": x, "y": x, "value": x, "std": 0.1, **wrong})
        with pytest.raises(InputError) as error:
            read_sensors(path, 2)
        assert said in str(error.value)


def test_paths_that_are_no_files_of_sensors(tmp_path: Path) -> None:
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "garbage.npz").write_bytes(b"PK\x03\x04 nothing")
    for name, said in (("dir.csv", "not a file but a folder"), ("none.csv", "not found"), ("garbage.npz", "damaged")):
        with pytest.raises(InputError, match=said):
            read_sensors(tmp_path / name, 2)


def test_sensors_outside_are_named_by_their_line(tmp_path: Path) -> None:
    found = read_sensors(csv(tmp_path, "x,y,value,std\n0,2,1,1\n1.1,0,1,1\n-1,0,1,1\n"), 2)
    assert found.inside((-1.0, 0.0), (2.0, 2.0)).points.equal(found.points)
    with pytest.raises(InputError, match=r"line 3: x is 1\.1, expected 0 to 1, inside of the domain; 2 sensors in all"):
        found.inside((0.0, 0.0), (1.0, 2.0))
    with pytest.raises(InputError, match="points of 2 axes, expected 1"):
        found.inside((0.0,), (1.0,))


def test_sensors_of_python() -> None:
    found = sensors_of(([[0.5, 0.25]], [1.0], 0.1), 2)
    assert Sensors.of_table(found.table()).table().equal(found.table())
    assert len(found[torch.tensor([True])]) == 1
    for wrong, said in (
        (([[0.5]], [1.0], 0.1), "points of 1 axes, expected 2"),
        (([0.5, 0.25], [1.0], 0.1), "points have the shape"),
        (([[0.5, 0.25]], [1.0, 2.0], 0.1), "expected one each"),
        (([[0.5, 0.25]], [float("nan")], 0.1), "expected finite numbers"),
        (([[0.5, 0.25]], [1.0], -0.1), "std is -0.1"),
        (3, "a int, expected a file"),
    ):
        with pytest.raises(InputError) as error:
            sensors_of(wrong, 2)
        assert said in str(error.value)


def test_fields_of_every_kind_of_file_are_the_same(tmp_path: Path) -> None:
    field, at = np.random.default_rng(0).normal(size=(3, 4)), (np.arange(3) / 3, np.arange(4) / 4)
    np.save(tmp_path / "f.npy", field)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(field))
    np.savez_compressed(tmp_path / "f.npz", other=field + 1, source=field)
    np.savez(tmp_path / "one.npz", anything=field)
    data = xr.Dataset({"rho": (("x", "y"), field.T)}, {"x": at[1], "y": at[0]})
    data.to_netcdf(tmp_path / "four.nc", engine="h5netcdf")
    data.to_netcdf(tmp_path / "three.nc", engine="scipy")
    coordinates = [torch.from_numpy(one) for one in at]
    for name in ("f.npy", "fortran.npy", "f.npz", "one.npz", "four.nc", "three.nc"):
        found = field_of(tmp_path / name, (3, 4), "--source", ("source",), coordinates)
        assert np.array_equal(found.numpy(), field), name
    assert field_of(2, (3, 4), "--source").unique().tolist() == [2.0]
    moved = [coordinates[0], coordinates[1] + 0.1]
    with pytest.raises(InputError, match=r"x is .* where a node of the grid is at"):
        field_of(tmp_path / "four.nc", (3, 4), "--source", ("source",), moved)


def test_truths_are_those_that_are_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", solution=np.zeros((5, 6)), note=np.array("of 2026"))
    found = read_fields(tmp_path / "t.npz", {"source": ("source",), "solution": ("solution",)}, {(3, 4), (5, 6)})
    assert list(found) == ["solution"]
    with pytest.raises(InputError, match=r"has the shape \(5, 6\), expected \(3, 4\)"):
        read_fields(tmp_path / "t.npz", {"source": ("source",), "solution": ("solution",)}, {(3, 4)})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.full((3, 4), np.nan), "element (0, 0) is nan, expected finite numbers"),
        (np.zeros((4, 3)), "has the shape (4, 3), expected (3, 4)"),
        (np.zeros((3, 4), complex), "holds complex numbers"),
        (np.zeros((3, 4), bool), "holds true and false"),
        (np.full((3, 4), "a"), "holds text"),
        (np.zeros((0, 4)), "has the shape (0, 4)"),
    ],
)
def test_fields_that_are_none(tmp_path: Path, value: np.ndarray, said: str) -> None:
    np.save(tmp_path / "f.npy", value)
    with pytest.raises(InputError) as error:
        field_of(tmp_path / "f.npy", (3, 4), "--source")
    assert said in str(error.value)
    assert "f.npy" in str(error.value)


def test_files_that_hold_no_field(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "garbage.npy").write_bytes(b"\x93NUMPY garbage")
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "cut.npy").write_bytes(_bytes(np.zeros((3, 4)))[:-8])
    (tmp_path / "pickle.npy").write_bytes(_bytes(np.array([[{}]])))
    np.savez(tmp_path / "two.npz", a=np.zeros((3, 4)), b=np.zeros((3, 4)))
    for name, said in (
        ("dir", "a folder"),
        ("none.npy", "not found"),
        ("garbage.npy", "damaged"),
        ("text.npy", "begins with"),
        ("cut.npy", "8 bytes are missing"),
        ("pickle.npy", "objects"),
        ("two.npz", "has 'a', 'b', expected one array, or one that is named source"),
    ):
        with pytest.raises(InputError, match=said):
            field_of(tmp_path / name, (3, 4), "--source", ("source",))


def _bytes(array: np.ndarray) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def test_masks(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.eye(3, dtype=np.uint8))
    assert mask_of(tmp_path / "m.npy", (3, 3), "--mask").sum() == 3
    for wrong, said in (
        (np.full((3, 3), 2), "other values"),
        (np.zeros((3, 3), bool), "nowhere"),
        (np.eye(2), "shape"),
    ):
        with pytest.raises(InputError, match=said):
            mask_of(wrong, (3, 3), "--mask")


def test_huge_files_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "s.csv").open("wb") as file:
        file.truncate(10**12)  # of which nothing is on the disk
    with pytest.raises(InputError, match="more than the limit of"):
        read_sensors(tmp_path / "s.csv", 2)
    header = _bytes(np.zeros((3, 4)))[:128].replace(b"(3, 4)", b"(10000000, 10000)")[:128]
    with (tmp_path / "f.npy").open("wb") as file:
        file.write(header)
        file.truncate(10**12)
    with pytest.raises(InputError, match=r"has the shape \(10000000, 10000\), expected \(3, 4\)"):
        field_of(tmp_path / "f.npy", (3, 4), "--source")
