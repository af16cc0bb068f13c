"""Members of fields as Zarr, NIfTI and NPZ: bit for bit, with units and coordinates, and what is missing is said."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch

import ornstein as on
from killing import killed
from ornstein.domains.energies.task import Energies, EnergiesRequest
from ornstein.errors import InputError
from ornstein.files import read_json, write_json
from ornstein.tasks.native.formats import FORMATS, NiftiMembers, NpzMembers, ZarrMembers
from ornstein.tasks.native.members import FieldStore, Layout, MemberFiles, Variable
from ornstein.tasks.requests import draw
from ornstein.tasks.samples import Samples, read_samples
from ornstein.tasks.storage import keeping
from ornstein.tasks.storage.unfinished import part_of

LAT, LON = np.linspace(-1, 1, 3), np.arange(4, dtype="float32")
LAYOUT = Layout(
    {
        "t2m": Variable(("lat", "lon"), (3, 4), "float32", {"units": "K", "levels": [1, 2]}),
        "k-space": Variable(("lat", "lon"), (3, 4), "complex64"),
        "n": Variable(("lon",), (4,), "int64"),
    },
    range(5, 8),
    {"lat": LAT, "lon": LON, "area": np.outer(LAT, LON)},
    {"lat": (("lat",), {"units": "degrees_north"}), "area": (("lat", "lon"), {"units": "m2"})},
    {"title": "a test"},
)


def member(number: int, layout: Layout = LAYOUT) -> dict[str, np.ndarray]:
    """Numbers of every kind: NaN, ±∞ and zeros among them."""
    random, found = np.random.default_rng(number), {}
    for name, one in layout.variables.items():
        values = random.normal(size=one.shape) * 100
        if np.dtype(one.dtype).kind == "c":
            values = values + 1j * random.normal(size=one.shape)
        if np.dtype(one.dtype).kind == "u":
            values = np.abs(values)
        if np.dtype(one.dtype).kind in "fc" and values.size > 2:
            values.flat[:3] = np.nan, np.inf, -0.0
        found[name] = values.astype(one.dtype)
    return found


def assert_same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for name, array in one.items():
        assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape)
        assert array.tobytes() == other[name].tobytes(), name


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> type[MemberFiles]:
    return FORMATS[request.param]


def test_members_are_read_back_bit_for_bit(kind: type[MemberFiles], tmp_path: Path) -> None:
    files = kind(tmp_path / "fields", LAYOUT)
    assert not (tmp_path / "fields").exists()
    assert files.whole == []
    for number in (7, 5):
        written = files.write(number, member(number))
        assert all(path.is_file() and path.is_relative_to(tmp_path / "fields") for path in written)
    again = kind.open(tmp_path / "fields")
    assert again.whole == [5, 7]
    assert again.layout.record() == {**LAYOUT.record(), "variables": again.layout.record()["variables"]}
    assert dict(again.layout.variables) == dict(LAYOUT.variables)
    for number in (5, 7):
        assert_same({name: again.read(number)[name] for name in LAYOUT.variables}, member(number))
    with pytest.raises(InputError, match="member 6 is not there; 2 of 3 members are there"):
        again.read(6)
    with pytest.raises(InputError, match="2 of 3 members are there, expected all of them"):
        files.finish()
    on_from_here = kind(tmp_path / "fields", LAYOUT)  # another process goes on
    on_from_here.write(6, member(6))
    on_from_here.write(5, member(5))
    on_from_here.finish()
    on_from_here.finish()
    assert kind.open(tmp_path / "fields").whole == [5, 6, 7]
    with pytest.raises(AssertionError):
        assert_same(member(5), member(6))


TYPES = {
    "zarr": ("bool", "uint8", "int16", "float16", "float64", "complex128"),
    "npz": ("bool", "uint8", "int16", "float16", "float64", "complex128"),
    "nifti": ("uint8", "int8", "int16", "uint64", "float64", "complex128"),
}


def test_every_type_stays_what_it_is(kind: type[MemberFiles], tmp_path: Path) -> None:
    variables = {f"v{dtype}": Variable(("x", "y", "z"), (3, 2, 1), dtype) for dtype in TYPES[kind.format]}
    layout = Layout(variables, range(1))
    files = kind(tmp_path / "fields", layout)
    files.write(0, member(0, layout))
    again = kind.open(tmp_path / "fields").read(0)
    assert_same({name: again[name] for name in variables}, member(0, layout))


def wrong(**changes: Any) -> dict[str, Any]:
    return {**member(5), **changes}


REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "no member 8, expected 5 to 7": (8, member(5)),
    "no member 0, expected 5 to 7": (0, member(5)),
    "member 5 has t2m, n, expected t2m, k-space, n": (5, {name: member(5)[name] for name in ("t2m", "n")}),
    r"'t2m' is float32 of shape \(4, 3\), expected float32 of \(3, 4\)": (5, wrong(t2m=np.zeros((4, 3), "float32"))),
    r"'t2m' is float64 of shape \(3, 4\), expected float32": (5, wrong(t2m=np.zeros((3, 4)))),
    r"'k-space' is float32 .* expected complex64": (5, wrong(**{"k-space": np.zeros((3, 4), "float32")})),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_member_is_refused(message: str, kind: type[MemberFiles], tmp_path: Path) -> None:
    number, fields = REFUSED[message]
    with pytest.raises(InputError, match=message):
        kind(tmp_path / "fields", LAYOUT).write(number, fields)
    assert not (tmp_path / "fields").exists()


LAYOUTS: dict[str, Any] = {
    r"axes \('x',\) of sizes \(1, 2\)": lambda: Variable(("x",), (1, 2)),
    "'number', which is the axis of the members": lambda: Variable(("number",), (2,)),
    r"shape \(0,\), expected sizes of at least 1": lambda: Variable(("x",), (0,)),
    "type 'S3', expected one of bool, float16": lambda: Variable(("x",), (1,), "S3"),
    "type '>f4', expected": lambda: Variable(("x",), (1,), ">f4"),
    "an attribute is nan, expected text, finite numbers": lambda: Variable(("x",), (1,), attrs={"missing": np.nan}),
    "an attribute is <object": lambda: Variable(("x",), (1,), attrs={"a": [object()]}),
    "0 variables of members": lambda: Layout({}, range(2)),
    r"members range\(2, 2\), expected": lambda: replace(LAYOUT, numbers=range(2, 2)),
    "'t2m' is a variable and a coordinate": lambda: replace(LAYOUT, coords={"t2m": LAT}, axes={}),
    "axis 'lat' has 3 places in 't2m' and 4 in 'lat'": lambda: replace(LAYOUT, coords={"lat": LON}, axes={}),
    "called '../x', expected letters": lambda: Layout({"../x": Variable(("x",), (1,))}, range(2)),
    "'x' is bool of shape": lambda: NiftiMembers("f", Layout({"x": Variable(("x",), (1,), "bool")}, range(2))),
    "NIfTI has 1 to 7 axes of int8": lambda: NiftiMembers("f", Layout({"x": Variable((), ())}, range(2))),
}


@pytest.mark.parametrize("message", LAYOUTS)
def test_layouts_that_make_no_sense_are_refused(message: str) -> None:
    with pytest.raises(InputError, match=message):
        LAYOUTS[message]()


def test_members_of_another_layout_are_not_written_over(kind: type[MemberFiles], tmp_path: Path) -> None:
    kind(tmp_path / "fields", LAYOUT).write(5, member(5))
    with pytest.raises(InputError, match="holds members of another layout"):
        kind(tmp_path / "fields", replace(LAYOUT, numbers=range(5, 9))).write(5, member(5))
    assert_same({name: kind.open(tmp_path / "fields").read(5)[name] for name in LAYOUT.variables}, member(5))


def test_xarray_reads_the_zarr(tmp_path: Path) -> None:
    import xarray

    files = ZarrMembers(tmp_path / "fields.zarr", LAYOUT)
    files.write(6, member(6))
    half = xarray.open_zarr(tmp_path / "fields.zarr", consolidated=False)
    assert half.t2m.sel(number=5).isnull().all()
    for number in (5, 7):
        files.write(number, member(number))
    (cut_off := tmp_path / "fields.zarr" / "n" / "c" / "0" / "0.f00.partial").write_bytes(b"ha")
    files.finish()
    assert not cut_off.exists()
    found = xarray.open_zarr(tmp_path / "fields.zarr", consolidated=True)
    assert found.t2m.dims == ("number", "lat", "lon")
    assert found.t2m.attrs == {"units": "K", "levels": [1, 2]}
    assert found.lat.attrs == {"units": "degrees_north"}
    assert set(found.coords) == {"number", "lat", "lon", "area"}
    assert found.attrs == {"title": "a test"}
    assert found["k-space"].dtype == "complex64"
    assert found.number.values.tolist() == [5, 6, 7]
    assert_same({name: found[name].sel(number=7).values for name in LAYOUT.variables}, member(7))
    assert found.t2m.encoding["chunks"] == (1, 3, 4)


def test_a_layout_like_a_dataset(tmp_path: Path) -> None:
    import xarray

    dates = np.array(["2020-01-01T06", "2020-01-02"], "datetime64[ns]")
    dataset = xarray.Dataset(
        {"t": (("time", "lat"), np.zeros((2, 3), "float32"), {"units": "K"})},
        {"time": dates, "lat": ("lat", LAT, {"units": "degrees_north"}), "month": ("time", [1, 1])},
        {"title": "t"},
    )
    layout = Layout.like(dataset, range(2))
    files = ZarrMembers(tmp_path / "a.zarr", layout)
    for number in range(2):
        files.write(number, {"t": dataset.t.values})
    files.finish()
    again = xarray.open_zarr(tmp_path / "a.zarr", consolidated=True)
    assert (again.time.values == dates).all()
    xarray.testing.assert_equal(again.sel(number=1, drop=True).load(), dataset)
    assert ZarrMembers.open(tmp_path / "a.zarr").layout.record() == layout.record()
    with pytest.raises(InputError, match="'time' has dates of fractions of a second"):
        Layout.like(dataset.assign_coords(time=dates + np.timedelta64(1, "ns")), range(2))


def test_a_scanner_is_told_where_things_are(tmp_path: Path) -> None:
    import nibabel

    NiftiMembers(tmp_path / "a", LAYOUT).write(5, member(5))
    image: Any = nibabel.load(tmp_path / "a" / "t2m-00005.nii")  # type: ignore[attr-defined]
    assert image.affine[:3].tolist() == [[1, 0, 0, -1], [0, 1, 0, 0], [0, 0, 1, 0]]  # spacing and origin of lat, lon
    affine = [[2.0, 0, 0, 1], [0, 3, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]]
    NiftiMembers(tmp_path / "b", replace(LAYOUT, attrs={"affine": affine})).write(5, member(5))
    image = nibabel.load(tmp_path / "b" / "k-space-00005.nii")  # type: ignore[attr-defined]
    assert image.affine.tolist() == affine
    assert image.get_data_dtype() == "complex64"
    assert b'"dims": ["lat", "lon"]' in image.header.extensions[0].get_content()
    with pytest.raises(InputError, match=r"affine has the shape \(3,\), expected \(4, 4\)"):
        NiftiMembers(tmp_path / "c", replace(LAYOUT, attrs={"affine": [1, 2, 3]})).write(5, member(5))


def test_numpy_reads_the_npz(tmp_path: Path) -> None:
    NpzMembers(tmp_path / "a", LAYOUT).write(5, member(5))
    with np.load(tmp_path / "a" / "00005.npz") as found:
        assert set(found) == {"t2m", "k-space", "n", "lat", "lon", "area"}
        assert found["area"].tobytes() == LAYOUT.coords["area"].tobytes()


def test_damaged_files_are_named(kind: type[MemberFiles], tmp_path: Path) -> None:
    files = kind(tmp_path / "fields", LAYOUT)
    (path, *_) = files.write(5, member(5))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"fields.*(damaged|not an .npz file|array)"):
        kind.open(tmp_path / "fields").read(5)
    for here, match in ((tmp_path / "absent", "absent"), (path, "fields")):
        with pytest.raises(InputError, match=match):
            kind.open(here)


def test_a_zarr_of_somebody_else(tmp_path: Path) -> None:
    import zarr

    def made(**arrays: tuple[tuple[int, ...], tuple[str, ...]]) -> Path:
        group = zarr.open_group(str(tmp_path / "a"), mode="w")
        for name, (shape, dims) in arrays.items():
            group.create_array(name, shape=shape, dtype="int64", dimension_names=dims)[...] = np.arange(shape[0])
        return tmp_path / "a"

    with pytest.raises(InputError, match="has no whole numbers 'number'"):
        ZarrMembers.open(made(x=((3,), ("number",))))
    with pytest.raises(InputError, match=r"'x' has the axes .* of sizes \(4,\), expected 'number' of 3 first"):
        ZarrMembers.open(made(number=((3,), ("number",)), x=((4,), ("number",))))


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in (("zarr", ZarrMembers), ("nibabel", NiftiMembers)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InputError, match=rf"needs '{name}': pip install 'ornstein\[fields\]'"):
            kind(tmp_path / name, LAYOUT).write(5, member(5))


def test_a_layout_of_somebody_else(tmp_path: Path) -> None:
    NpzMembers(tmp_path / "a", LAYOUT).write(5, member(5))
    path = tmp_path / "a" / "layout.json"
    said = read_json(path, "a layout")
    with pytest.raises(InputError, match="of members as 'npz', expected 'nifti'"):
        NiftiMembers.open(tmp_path / "a")
    said["coords"]["lat"]["values"] = [1, "x", 3]
    write_json(path, said)
    with pytest.raises(InputError, match=r"layout.json: could not convert string"):
        NpzMembers.open(tmp_path / "a")


# A domain that streams --------------------------------------------------------------------------------

MODEL: dict[str, Any] = {"n": 6, "steps": 2, "batch_size": 2}


def plane(path: Path, numbers: range, kind: type[MemberFiles] = ZarrMembers) -> FieldStore:
    layout = Layout({"place": Variable(("axis",), (2,), "float32")}, numbers)
    return FieldStore(
        kind(path / "places", layout),
        lambda samples: {"place": samples.x.numpy()},
        lambda fields: (torch.from_numpy(fields["place"]), {}),
    )


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A domain that writes its samples as they finish."""

    def read(self: Any, folder: Path, manifest: Mapping[str, Any]) -> Any:
        return plane(folder, range(manifest["n"])).read(range(manifest["n"]))

    monkeypatch.setattr(keeping, "SHARE", float("inf"))
    monkeypatch.setattr(Energies, "store", lambda self, folder, origin, numbers: plane(folder, numbers))
    monkeypatch.setattr(Energies, "write", None)
    monkeypatch.setattr(Energies, "read", read)
    return on.load("energies/gmm-40")


def test_what_is_written_is_not_held(streaming: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(streaming, EnergiesRequest(), **MODEL)
    most, say, alive = 0, keeping.Kept._put, []

    def watched(kept: Any, samples: Samples) -> None:
        nonlocal most
        alive.append(ref(samples.x))
        most = max(most, sum(one() is not None for one in alive) * len(samples))
        say(kept, samples)
        if samples.first == 2 and not resumed:
            assert read_samples(tmp_path / "out", unfinished=True).x.equal(whole.x[:4])
            raise KeyboardInterrupt

    resumed = False
    monkeypatch.setattr(keeping.Kept, "_put", watched)
    monkeypatch.setattr(keeping, "MOST_HELD", 47)  # bytes: one less than the states have; fewer are read back
    with pytest.raises(KeyboardInterrupt):
        draw(streaming, EnergiesRequest(), **MODEL, out=tmp_path / "out")
    resumed = True
    drawn = draw(streaming, EnergiesRequest(), **MODEL, out=tmp_path / "out", resume=True)
    assert drawn.x.is_meta
    assert len(drawn) == 6
    assert most == 4  # two blocks: the one that is written, and the one before, which the last event still shows
    assert "Samples of energies/gmm-40: (6, 2)" in repr(drawn)
    again = read_samples(tmp_path / "out")
    assert again.x.equal(whole.x)
    assert again.nfe == whole.nfe
    assert (tmp_path / "out" / "places" / "place" / "c" / "5" / "0").is_file()
    assert not (tmp_path / "out.part").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS.values())
def test_a_stream_that_is_killed_anywhere_goes_on(
    kind: type[MemberFiles], streaming: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Energies, "store", lambda self, folder, origin, numbers: plane(folder, numbers, kind))
    draw(streaming, EnergiesRequest(), **MODEL, out=tmp_path / "whole")
    whole, k = read_json(tmp_path / "whole" / "manifest.json", "a manifest")["files"], 1
    while killed(lambda k=k: draw(streaming, EnergiesRequest(), **MODEL, out=tmp_path / f"{k}"), k):
        out = tmp_path / f"{k}"
        if not out.exists():
            draw(streaming, EnergiesRequest(), **MODEL, out=out, resume=(part_of(out) / "members.json").exists())
        assert read_json(out / "manifest.json", "a manifest")["files"] == whole
        k += 3
    assert k > 30
