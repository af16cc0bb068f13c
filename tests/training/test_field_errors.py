"""What is wrong with files of fields is said, with the file, the variable, the record, what was found and expected."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import zarr

from field_files import LAYOUT, world, written
from ornstein import InputError
from ornstein.errors import RecordError
from ornstein.training.fields import Layout, layout, open_fields

KIND = ["zarr2", "zarr3", "netcdf4", "netcdf3"]


@pytest.mark.parametrize("kind", KIND)
@pytest.mark.parametrize(
    ("variable", "place", "value", "said"),
    [
        ("t", (7, 1, 2, 3), np.nan, r"2000-01-02T18:00:00: t\[level=850\] is nan at \(2, 3\), .*missing='mask'"),
        ("forecast", (7, 0, 0, 1), np.inf, r"forecast\[level=500\] is inf at \(0, 1\), expected a number$"),
        ("index", (7,), np.nan, r"index is nan, expected a number \(missing='mask' reads such data\)$"),
        ("wind", (7, 0, 0), 1e300, r"wind is inf at \(0, 0\), expected a number$"),
    ],
)
def test_a_number_that_must_not_be_is_named(
    tmp_path: Path, kind: str, variable: str, place: tuple[int, ...], value: float, said: str
) -> None:
    whole = world()
    whole[variable][place] = value
    path = written(whole, tmp_path, kind)
    data = open_fields(path, LAYOUT).split(0.5, 0.5)[1]
    data.batch(torch.tensor([0, 2, 5]))
    with pytest.raises(RecordError, match=said) as caught:
        data.batch(torch.tensor([5, 1]))
    assert str(caught.value).startswith(f"{path}: variable {variable!r}: record 1, ")


def test_infinite_numbers_are_never_missing(tmp_path: Path) -> None:
    whole = world()
    whole["t"][7, 1, 2, 3] = -np.inf
    whole["t"][8, 1, 2, 3] = np.inf
    data = open_fields(written(whole, tmp_path, "zarr3"), Layout(["t"], missing="mask"))
    with pytest.raises(RecordError, match=r"record 7, .*t\[level=850\] is -inf at \(2, 3\)"):
        data.batch(torch.tensor([7, 8]))


def _cut(path: Path) -> None:
    """Half of the file, or of the longest chunk of the store, is gone."""
    if path.is_dir():
        path = max((one for one in (path / "t").rglob("*") if one.is_file()), key=lambda one: one.stat().st_size)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("kind", KIND)
def test_truncated_files(tmp_path: Path, kind: str) -> None:
    path = written(world(200), tmp_path, kind)
    _cut(path)
    for _ in range(3):  # Blosc itself finds it out now and then
        with pytest.raises(InputError, match=re.escape(str(path)) + ".*damaged or truncated"):
            open_fields(path, Layout(["t"])).batch(torch.arange(200))


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_truncated_arrays(tmp_path: Path, name: str) -> None:
    path, whole = tmp_path / name, np.ones((9, 1, 4, 4))
    np.save(path, whole) if name == "x.npy" else np.savez(path, x=whole)
    path.write_bytes(path.read_bytes()[:800])
    with pytest.raises(InputError, match=re.escape(str(path)) + ".*damaged or truncated"):
        open_fields(path, Layout(["x"], records=["dim_0"])).batch(torch.arange(9))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "not found, expected a Zarr store, an HDF5"),
        (lambda path: path.mkdir(), "a folder, but no Zarr store"),
        (lambda path: path.write_text("time,t\n"), "begins with b'time,t"),
        (lambda path: path.write_bytes(b""), "begins with b''"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50)), "damaged or truncated"),
        (lambda path: path.write_bytes(b"CDF\x01" + bytes(3)), "damaged or truncated"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(9)), "damaged or truncated|no variable"),
    ],
)
def test_what_is_no_file_of_fields(tmp_path: Path, write: Callable[[Path], Any], said: str) -> None:
    path = tmp_path / "x.npz"
    write(path)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*({said})"):
        open_fields(path, Layout(["t"]))


def test_objects_and_packed_archives(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.savez_compressed(tmp_path / "c.npz", x=np.ones((3, 2, 2)))
    for name, said in (("o.npy", "pickles"), ("c.npz", "compressed as a whole")):
        with pytest.raises(InputError, match=said):
            open_fields(tmp_path / name, Layout([name[0] if name[0] == "o" else "x"], records=["dim_0"]))
    with pytest.raises(InputError, match="no file has such a name"):
        open_fields(tmp_path / "*.zarr", LAYOUT)
    with pytest.raises(InputError, match="named twice"):
        open_fields([tmp_path / "c.npz", tmp_path / "c.npz"], LAYOUT)
    with pytest.raises(InputError, match="no files are named"):
        open_fields([], LAYOUT)


def _second(change: Callable[[Any], Any]) -> Callable[[], list[Any]]:
    return lambda: [world(4), change(world(4, "2000-01-02"))]


def _units(data: Any) -> Any:
    data["t"].attrs["units"] = "degC"
    return data


def again(data: Any) -> Any:
    return world(4)


FILES: dict[str, tuple[Callable[[], list[Any]], str]] = {
    "units": (_second(_units), "1.nc: variable 't' has the units 'degC', 'K' in .*0.nc"),
    "variable": (_second(lambda data: data.drop_vars("wind")), "1.nc: has no variable 'wind'"),
    "size": (_second(lambda data: data.isel(lon=slice(0, 4))), "1.nc: variable 't' has 4 along 'lon', 8 in .*0.nc"),
    "grid": (
        _second(lambda data: data.assign_coords(lon=data.lon + 0.5)),
        "1.nc: coordinate 'lon' is not that of .*: at position 0 it is 0.5",
    ),
    "levels": (
        _second(lambda data: data.assign_coords(level=[500, 700])),
        "1.nc: coordinate 'level' is not that of .*: at position 1 it is 700, expected 850",
    ),
    "no levels": (
        _second(lambda data: data.drop_vars("level")),
        "1.nc: dimension 'level' has no coordinate, but it has one in .*0",
    ),
    "order": (
        _second(lambda data: data.transpose("time", "lat", "lon", "level")),
        "1.nc: variable 't' has the dimensions",
    ),
    "again": (
        _second(again),
        "1.nc: time does not rise: record 4 is 2000-01-01T00:00:00 after 2000-01-01T18",
    ),
    "unsorted": (
        lambda: [world(4).isel(time=[0, 2, 1, 3])],
        "0.nc: time does not rise: record 2 is 2000-01-01T06:00:00 after 2000-01-01T12",
    ),
    "twice": (
        lambda: [world(4).isel(time=[0, 1, 1, 3])],
        "0.nc: time does not rise: record 2 is 2000-01-01T06:00:00 after 2000-01-01T06",
    ),
    "none": (lambda: [world(4).isel(time=[])], "0.nc: .*no records along 'time'"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_do_not_agree(tmp_path: Path, case: str) -> None:
    make, said = FILES[case]
    for k, part in enumerate(make()):
        written(part, tmp_path, "netcdf3", f"{k}")
    with pytest.raises(InputError, match=said):
        open_fields(tmp_path / "*.nc", LAYOUT)


def test_times_in_other_units_are_the_same_times(tmp_path: Path) -> None:
    """Hours since the first time of each file, as many files have them, and days of a calendar of no real world."""
    for k, start in enumerate(("2000-01-01", "2000-01-02")):
        part = world(4, start)
        part["time"].encoding["units"] = f"hours since {start}"
        written(part, tmp_path, "netcdf4", f"{k}")
    assert open_fields(tmp_path / "*.nc", LAYOUT).times() == [
        f"2000-01-0{1 + k // 4}T{6 * (k % 4):02}:00:00" for k in range(8)
    ]
    for k in range(2):
        with h5py.File(tmp_path / f"{k}.nc", "r+") as file:
            file["time"].attrs["calendar"] = "noleap"
    with pytest.raises(InputError, match=r"1.nc: coordinate 'time' has the units 'hours since 2000-01-02"):
        open_fields(tmp_path / "*.nc", LAYOUT)
    with h5py.File(tmp_path / "0.nc", "r+") as file:
        file["time"].attrs["units"] = "hours since long ago"
        file["time"].attrs["calendar"] = "standard"
    with pytest.raises(InputError, match=r"0.nc: variable 'time': times in .*long ago.* cannot be read"):
        open_fields(tmp_path / "0.nc", LAYOUT)


LAYOUTS: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt": ({"state": ["tt"]}, "has no variable 'tt'.*found"),
    "records": (
        {"state": ["t"], "records": ["step"]},
        r"'t' has the dimensions \['time', .*expected 'step', which counts",
    ),
    "static": ({"state": ["t"], "static": ["wind"]}, "variable 'wind' has the dimension 'time', but is to be the same"),
    "scalar": ({"state": ["t"], "scalars": {"w": ["wind"]}}, "'wind' has the dimension 'lat' of the grid"),
    "field": (
        {"state": ["t"], "conditions": {"i": ["index"]}},
        r"dimensions \['time'\], expected 'lat'",
    ),
    "grid": ({"state": ["t"], "grid": ["lat", "x"]}, "expected 'x' of the grid"),
    "level": ({"state": ["t"], "select": {"level": [500, 700]}}, "no such value as 700, found 500, 850"),
    "region": ({"state": ["t"], "select": {"lat": slice(91, 95)}}, "no value from 91.0 to 95.0, found 90"),
    "nowhere": ({"state": ["t"], "select": {"depth": [0]}}, "layout.select names 'depth'"),
    "nothing": ({"state": ["t"], "select": {"level": []}}, "is empty, expected one value"),
    "dims": ({"state": ["t"], "dims": {"t": ["a", "b"]}}, r"shape \(12, 2, 4, 8\), but layout.dims names \['a', 'b'\]"),
    "empty": ({"state": []}, "layout.state is empty"),
    "both": ({"state": ["t"], "conditions": {"a": "wind"}, "scalars": {"a": "index"}}, "a field and a scalar"),
    "mask": ({"state": ["t"], "conditions": {"mask": "wind"}}, "a condition is called 'mask'"),
    "counts": ({"state": ["t"], "select": {"time": [0]}}, "'time' counts the records"),
    "second": ({"state": ["t"], "records": ["time", "file"]}, "expected 'file' first"),
    "repeated": ({"state": ["t", "t"]}, "layout.state names 't' twice"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_layouts_that_do_not_fit(tmp_path_factory: pytest.TempPathFactory, case: str) -> None:
    settings, said = LAYOUTS[case]
    path = tmp_path_factory.getbasetemp() / "layouts" / "era.nc"
    if not path.exists():
        written(world(), path.parent, "netcdf4")
    with pytest.raises(InputError, match=said):
        open_fields(path, Layout(**settings))


def test_layouts_of_other_kinds() -> None:
    with pytest.raises(InputError, match=r"layout.state is .3., expected names"):
        layout._words("state", [3])
    with pytest.raises(InputError, match=r"layout.conditions is .'wind'., expected names by name"):
        layout._lists("conditions", ["wind"])


def test_a_mask_of_nothing_and_settings_that_are_none(tmp_path: Path) -> None:
    whole = world()
    whole["land"][:] = 0
    path = written(whole, tmp_path, "netcdf4")
    with pytest.raises(InputError, match="mask 'land' is 0 everywhere"):
        open_fields(path, Layout(["t"], mask="land"))
    with pytest.raises(InputError, match=r"one record takes .* more than the bound of"):
        open_fields(path, Layout(["t"]), bound=500)
    with pytest.raises(InputError, match="threads is 0"):
        open_fields(path, Layout(["t"]), threads=0)
    data = open_fields(path, Layout(["t"]))
    for wrong, said in (
        ((0.5, 0.6), "1 at most"),
        ((0.5, -0.1), "more than 0"),
        ((0.01, 0.5), "holds none"),
        ((), "more than 0"),
    ):
        with pytest.raises(InputError, match=said):
            data.split(*wrong)
    with pytest.raises(InputError, match="no records with time from 2001 to before None, found 2000-01-01"):
        data.between("2001")
    with pytest.raises(InputError, match="'yesterday', expected a date"):
        data.between("yesterday")


@pytest.mark.parametrize(("kind", "package"), [("zarr3", "zarr"), ("netcdf4", "h5py"), ("netcdf3", "xarray")])
def test_packages_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str) -> None:
    path = written(world(), tmp_path, kind)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"needs '{package}': pip install 'ornstein\[fields\]'"):
        open_fields(path, Layout(["t"]))


def test_grids_without_elements(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 0, 4)))
    with pytest.raises(InputError, match=r"x.npy: variable 'x' has the shape \(1, 0, 4\), so no elements"):
        open_fields(tmp_path / "x.npy", Layout(["x"], records=["dim_0"]))


def test_settings_of_other_kinds(tmp_path: Path) -> None:
    """As they come from users who are not told by a type checker."""
    path = written(world(), tmp_path, "netcdf4")
    data = open_fields(path, Layout(["t"]))
    assert len(data.between("2000-01-02T00:00Z")) == 8
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: data.split(float("nan")), "more than 0"),
        (lambda: open_fields(path, Layout(["t"], select={"level": slice("a", None)})), "to 'a', expected a number"),
        (lambda: open_fields(path, Layout(["t"], select={"level": [500, 500]})), "names a value twice: 500, 500"),
        (lambda: open_fields("a\0b", Layout(["t"])), r"files are 'a.*', expected a path"),
        (lambda: open_fields({}, Layout(["t"])), "not for 't'"),
    ]
    for act, said in wrong:
        with pytest.raises(InputError, match=said):
            act()


def test_stores_whose_description_is_damaged(tmp_path: Path) -> None:
    for k, (name, found) in enumerate({"zarr.json": "{", "t/zarr.json": "{}"}.items()):
        path = written(world(), tmp_path, "zarr3", f"{k}")
        (path / name).write_text(found)
        with pytest.raises(InputError, match=f"{k}.zarr cannot be read, the file is damaged"):
            open_fields(path, Layout(["t"]))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.Empty("f4")
        file["y"] = np.zeros((4, 3, 3), [("a", "f4"), ("b", "i4")])
        file["z"] = np.ones((4, 3, 3))
        file["z"].attrs["scale_factor"] = "two"
    for name, said in {"x": "no variable 'x'", "y": "expected numbers", "z": "scale_factor is 'two'"}.items():
        with pytest.raises(InputError, match=said):
            open_fields(tmp_path / "a.h5", Layout([name], records=["dim_0"]))


def test_dates_need_times(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), shape=(9, 4, 4), chunks=(3, 4, 4), dtype="f4")[:] = 1.0
    data = open_fields(path, Layout(["a"], records=["dim_0"]))
    assert data.times() is None
    with pytest.raises(InputError, match="'dim_0' has no coordinate"):
        data.between("2000")
