"""An `.npz` is read within its limit, and refused by name where it is not what it must be."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuzz import mutations, require_clean
from ornstein import InputError
from ornstein.disk.arrays import Blocks, members, rows, write

ARRAYS = {"x": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "bc"]), "n": np.array(3)}


def _saved(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.npz", **ARRAYS, big=np.arange(4, dtype=">i4"), columns=np.asfortranarray(ARRAYS["x"]))
    found = members(path, 10**6)
    for name, value in {**ARRAYS, "big": np.arange(4), "columns": ARRAYS["x"]}.items():
        assert found[name].tolist() == value.tolist()
        assert found[name].dtype.isnative
        assert found[name].flags.writeable
    assert list(members(path, 10**6, {"n": "i", "absent?": "f"})) == ["n"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": [1.0]}, "has no array 'x', found 'y'"),
        ({}, "has no array 'x', found nothing"),
        ({"x": [1 + 2j]}, "array 'x' holds complex128, expected real numbers"),
        ({"x": ["text"]}, "array 'x' holds <U4, expected real numbers"),
        ({"x": np.zeros(2, "f4,i4")}, "expected real numbers"),
        ({"x": np.array([None, {}])}, "array 'x' holds object, expected real numbers"),
        ({"x": np.zeros((300, 1000))}, "unpacks to 2.4 MB, more than the limit of 1 MB"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        members(_saved(tmp_path / "a.npz", **arrays), 10**6, {"x": "f"})


def test_a_shape_that_is_not_there_takes_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    with pytest.raises(InputError, match=r"shape \(1000000000, 1000000000\), but has only 128 bytes"):
        members(tmp_path / "a.npz", 10**6)


def test_any_file_is_read_or_refused(tmp_path: Path) -> None:
    _any_file(tmp_path, 200)


@pytest.mark.slow
def test_any_file_is_read_or_refused_at_length(tmp_path: Path) -> None:
    _any_file(tmp_path, 10_000)


def _any_file(folder: Path, n: int) -> None:
    data, path = _saved(folder / "a.npz", **ARRAYS).read_bytes(), folder / "b.npz"
    np.savez(folder / "plain.npz", **ARRAYS)  # pyright: ignore[reportArgumentType]

    def read(changed: bytes) -> None:
        path.write_bytes(changed)
        members(path, 10**6)

    packed, plain = mutations(data, n // 2, 1), mutations((folder / "plain.npz").read_bytes(), n - n // 2, 2)
    accepted, refused = require_clean(read, [*packed, *plain])
    assert accepted
    assert refused > n // 4


def test_blocks_are_written_as_the_whole_array(tmp_path: Path) -> None:
    x, y = np.arange(24, dtype="f4").reshape(6, 2, 2), np.arange(3.0)
    np.savez(tmp_path / "whole.npz", x=x, y=y)
    write(tmp_path / "blocks.npz", {"x": Blocks((6, 2, 2), x.dtype, (x[:1], x[1:5], x[5:])), "y": y})
    assert (tmp_path / "blocks.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    with pytest.raises(ValueError, match="blocks have 5 rows together, expected 6"):
        write(tmp_path / "few.npz", {"x": Blocks((6, 2, 2), x.dtype, (x[:1], x[1:5]))})
    assert not (tmp_path / "few.npz").exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_some_rows_are_read_without_the_others(tmp_path: Path, save: Any) -> None:
    x = np.arange(24, dtype=">f4").reshape(6, 4)
    path = tmp_path / "a.npz"
    save(path, y=np.zeros(5), x=x, columns=np.asfortranarray(x))

    def read(name: str = "x", shape: tuple[int, ...] = (6, 4), size: int = 2, chosen: range | None = None) -> Any:
        return [part.tolist() for part in rows(path, 10_000, name, "f", shape, size, chosen)]

    for size in (1, 4, 6, 9):
        assert read(size=size) == [x[k : k + size].tolist() for k in range(0, 6, size)]
    assert read(chosen=range(2, 5)) == [x[2:4].tolist(), x[4:5].tolist()]
    with pytest.raises(InputError, match=r"'x' has the shape \(6, 4\), expected \(5, 4\)"):
        read(shape=(5, 4))
    with pytest.raises(
        InputError, match=r"'columns' has the shape \(6, 4\), its first index fastest, expected \(6, 4\)"
    ):
        read("columns")
    with pytest.raises(InputError, match="has no array 'z'"):
        read("z")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"not an \.npz file, or a damaged one"):
        read()
