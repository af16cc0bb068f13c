"""Zarr stores that are filled piece by piece, as xarray reads them: coordinates first, variables empty (NaN)."""

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....disk.locks import beside
from ....disk.trees import sync_tree
from ....errors import InputError, needed_for
from ....files import sync

if TYPE_CHECKING:
    import xarray

_MARK = "zarr.json"
"""What a store, and every array of it, has."""
_PARTIAL = ".partial"
"""Of a file that zarr is writing."""


@dataclass(frozen=True)
class Array:
    """A variable of single precision that is not there yet.

    Attributes:
        dims, shape: its axes.
        chunks: along each, what is written at a time.
        attrs: of it.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    attrs: Mapping[str, Any]


def is_begun(path: Path) -> bool:
    """Whether a store was made.

    Args:
        path: of its folder.
    """
    return (path / _MARK).is_file()


def begin(
    path: Path, coords: Mapping[str, "xarray.Variable"], arrays: Mapping[str, Array], attrs: Mapping[str, Any]
) -> None:
    """Makes a store, in the place of what was begun there before; it is there whole, or not at all.

    Args:
        path: of the folder.
        coords: as they are encoded.
        arrays: by name.
        attrs: of all of it.
    """
    with beside(path) as work:
        _make(work, coords, arrays, attrs)
        sync_tree(work)
        emptied(path)
        path.mkdir(parents=True, exist_ok=True)
        for inner in sorted(work.iterdir(), key=lambda inner: inner.name == _MARK):  # the mark last
            inner.rename(path / inner.name)
    sync(path)
    sync(path.parent)


def _make(
    path: Path, coords: Mapping[str, "xarray.Variable"], arrays: Mapping[str, Array], attrs: Mapping[str, Any]
) -> None:
    with needed_for("Zarr", "fields"):
        import xarray
    data = xarray.Dataset(coords={name: value.to_base_variable() for name, value in coords.items()}, attrs=dict(attrs))
    with _quiet():
        data.to_zarr(path, mode="a", zarr_format=3, consolidated=False)
    made_in = group(path)
    for name, one in arrays.items():
        made = made_in.create_array(
            name,
            shape=one.shape,
            chunks=one.chunks,
            dtype="float32",
            dimension_names=one.dims,
            fill_value=float("nan"),
        )
        others = " ".join(other for other, value in coords.items() if value.dims != (other,))
        made.attrs.update({**one.attrs, **({"coordinates": others} if others else {})})


def group(path: Path) -> Any:
    """Zarr's group of a store, to be written to.

    Args:
        path: of a store that was begun.
    """
    with needed_for("Zarr", "fields"):
        import zarr
    return zarr.open_group(str(path), mode="r+", use_consolidated=False)


def chunks_of(array: Path, first: int | None = None) -> list[Path]:
    """The files of an array's chunks that are there.

    Args:
        array: its folder.
        first: of those along the first axis which; all if not given.
    """
    inside = array / "c" if first is None else array / "c" / str(first)
    return sorted(path for path in inside.rglob("*") if path.is_file() and path.suffix != _PARTIAL)


def emptied(path: Path) -> None:
    """Removes what was written of a store before that was cut off; what else is in its folder stays."""
    marks = [inner / _MARK for inner in path.iterdir()] if path.is_dir() else []
    for mark in (one for one in marks if one.is_file()):
        shutil.rmtree(mark.parent)
    (path / _MARK).unlink(missing_ok=True)


def finished(path: Path) -> None:
    """Says in one place what all arrays of a store are, and removes what was left of a writing that was cut off."""
    import zarr

    for partial in path.rglob(f"*{_PARTIAL}"):
        partial.unlink()
    with _quiet():
        zarr.consolidate_metadata(str(path))


def opened(path: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Zarr's arrays of a store, of which nothing is read yet; InputError unless they are there, of these shapes.

    Args:
        path: of a store.
        shapes: by name.
    """
    with needed_for("Zarr", "fields"):
        import zarr
    try:
        with _quiet():
            group: Any = zarr.open_group(str(path), mode="r", use_consolidated=False)
            found = {name: group[name] for name in shapes}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no Zarr store of {', '.join(shapes)} ({error})") from None
    for name, shape in shapes.items():
        one = found[name]
        if not isinstance(one, zarr.Array) or tuple(one.shape) != tuple(shape) or one.dtype != np.float32:
            raise InputError(f"{path}: {name!r} is {one!r}, expected float32 of {tuple(shape)}")
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of what zarr calls unstable in its format, and xarray reads: texts, metadata in one place."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification")
        yield


def chunked(shape: Sequence[int], most: int) -> tuple[int, ...]:
    """Chunks of whole last axes, and as much of the first two as fits.

    Args:
        shape: of an array, of which the first two axes may be cut.
        most: numbers of a chunk.
    """
    size = 1
    for n in shape[2:]:
        size *= n
    second = shape[1] if size * shape[1] <= most else 1
    first = max(1, min(shape[0], most // (size * second))) if second == shape[1] else 1
    return (first, second, *shape[2:])
