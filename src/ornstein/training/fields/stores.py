"""Files of named arrays, read piece by piece: Zarr 2 and 3, HDF5 and NetCDF-4, NetCDF-3, NumPy's .npy and .npz.

A `Store` says of each array its dimensions, shape, type, chunks and attributes, and reads slices of it. Nothing is kept
in memory: what is mapped is unmapped after each read, so that the memory of the process is what was read.
"""

import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import product
from pathlib import Path
from threading import Lock
from tokenize import TokenError
from typing import Any

import numpy as np

from ...errors import InputError, needed_for

Key = tuple[slice, ...]
_DAMAGED = (
    *(ValueError, RuntimeError, LookupError, EOFError, TypeError, AttributeError, AssertionError, OSError),
    *(zipfile.BadZipFile, zlib.error, struct.error, OverflowError, SyntaxError, TokenError),
)
"""What the libraries raise for bytes that are not what they expect."""


class Store(ABC):
    """One file, or one folder of a Zarr store, of named arrays."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> list[str]:
        """Of all arrays in the file, those of groups as "group/array"."""

    @abstractmethod
    def array(self, name: str) -> Any:
        """The array of that name: it has a shape and a dtype, and is read by slices."""

    def dims(self, name: str) -> tuple[str, ...] | None:
        """The names of its dimensions; None where the file has none."""
        return None

    def chunks(self, name: str) -> tuple[int, ...] | None:
        """The shape of what is stored, and compressed, as one; None where numbers simply follow one another."""
        return None

    def attributes(self, name: str) -> dict[str, Any]:
        """What the file says of the array, such as its units."""
        return {}

    def absent(self, name: str) -> tuple[int, Any]:
        """How many chunks of an array are not stored, and the value that stands in their places."""
        return 0, None

    def read(self, name: str, key: Key) -> np.ndarray:
        """The part of an array under slices, as it is stored; InputError if the file is damaged there."""
        with damaged(f"{self.path}: variable {name!r}"):
            return np.array(self.array(name)[key])


class damaged:
    """Within it, what a library raises for a damaged file is an InputError; a fault of the machine stays what it is."""

    def __init__(self, where: object) -> None:
        """where: the file and what is read of it."""
        self.where = where

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, InputError) or not isinstance(error, _DAMAGED):
            return
        if isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError):
            return
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{self.where} cannot be read, the file is damaged or truncated ({said})") from error


# Zarr -------------------------------------------------------------------------------------------------


class ZarrStore(Store):
    """A group of arrays, or one array, which has the name of its folder."""

    @cached_property
    def _root(self) -> Any:
        with needed_for(f"{self.path}: reading Zarr", "fields"):
            import zarr
        with damaged(self.path):
            return zarr.open(str(self.path), mode="r")

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        if hasattr(self._root, "shape"):
            return {self.path.stem: self._root}
        with damaged(self.path):
            return {name: found for name, found in self._root.members(max_depth=None) if hasattr(found, "shape")}

    def names(self) -> list[str]:
        return list(self._arrays)

    def array(self, name: str) -> Any:
        return self._arrays[name]

    def dims(self, name: str) -> tuple[str, ...] | None:
        found = self._arrays[name]
        named = getattr(found.metadata, "dimension_names", None) or found.attrs.get("_ARRAY_DIMENSIONS")
        return tuple(map(str, named)) if named else None

    def chunks(self, name: str) -> tuple[int, ...] | None:
        return tuple(self._arrays[name].chunks)

    def attributes(self, name: str) -> dict[str, Any]:
        """With the value that xarray fills: it is the array's own in Zarr 2, and written in base 64 in Zarr 3."""
        found = self._arrays[name]
        said = dict(found.attrs)
        if found.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in said and found.fill_value is not None:
            said["_FillValue"] = found.fill_value
        if isinstance(said.get("_FillValue"), str) and found.dtype.kind == "f":
            said["_FillValue"] = _from_base64(said["_FillValue"])
        return said

    def absent(self, name: str) -> tuple[int, Any]:
        """Chunks that are lost, or were left out by Zarr, as are those that hold nothing but that value."""
        found = self._arrays[name]
        return found.nchunks - found.nchunks_initialized, found.fill_value

    def read(self, name: str, key: Key) -> np.ndarray:
        """Chunks of Blosc must be as long as they say: it reads past the end of one that was cut off."""
        found = self._arrays[name]
        if found.shards is None and any("blosc" in type(one).__name__.lower() for one in found.compressors):
            self._require_whole(name, found, key)
        return super().read(name, key)

    def _require_whole(self, name: str, array: Any, key: Key) -> None:
        folder = self.path / array.path
        touched = [range(*_chunks_of(one, n, c)) for one, n, c in zip(key, array.shape, array.chunks, strict=True)]
        for place in product(*touched):
            path = folder / array.metadata.encode_chunk_key(place)
            if not path.is_file():  # which stands for the value that fills
                continue
            with path.open("rb") as file:
                start, size = file.read(16), path.stat().st_size
            if len(start) < 16 or struct.unpack("<I", start[12:])[0] != size:
                raise InputError(f"{path}: variable {name!r} cannot be read, the file is damaged or truncated")


def _chunks_of(part: slice, size: int, chunk: int) -> tuple[int, int]:
    """The first chunk that a slice touches, and the one behind the last."""
    begin, end, _ = part.indices(size)
    return begin // chunk, -(-end // chunk)


def _from_base64(text: str) -> float:
    from base64 import b64decode

    try:
        return struct.unpack("<d", b64decode(text))[0]
    except (ValueError, struct.error):
        return float(text)


# HDF5 and NetCDF --------------------------------------------------------------------------------------


class HDF5Store(Store):
    """An HDF5 file; the dimensions of a NetCDF-4 file are its scales."""

    @cached_property
    def _file(self) -> Any:
        with needed_for(f"{self.path}: reading HDF5 and NetCDF-4", "fields"):
            import h5py
        with damaged(self.path):
            return h5py.File(self.path, "r")

    @cached_property
    def _names(self) -> list[str]:
        found: list[str] = []

        def visit(name: str, item: Any) -> None:
            if getattr(item, "shape", None) is not None and not _is_mere_dimension(item):
                found.append(name)

        with damaged(self.path):
            self._file.visititems(visit)
        return found

    def names(self) -> list[str]:
        return self._names

    def array(self, name: str) -> Any:
        return self._file[name]

    def dims(self, name: str) -> tuple[str, ...] | None:
        """From the scales of the array; a scale names its own dimension."""
        found = self._file[name]
        if found.is_scale and found.ndim == 1 and not any(len(dim) for dim in found.dims):
            return (name.rpartition("/")[2],)
        named = [dim[0].name.rpartition("/")[2] if len(dim) else dim.label for dim in found.dims]
        return tuple(named) if named and all(named) else None

    def chunks(self, name: str) -> tuple[int, ...] | None:
        return self._file[name].chunks

    def attributes(self, name: str) -> dict[str, Any]:
        found = self._file[name].attrs
        hidden = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS")
        return {key: _plain(found[key]) for key in found if key not in hidden and not key.startswith("_Netcdf4")}


def _is_mere_dimension(item: Any) -> bool:
    """Whether zeros stand for a NetCDF-4 dimension without a coordinate, as the NetCDF library marks it."""
    name = item.attrs.get("NAME", b"")
    return bytes(name if isinstance(name, bytes) else b"").startswith(b"This is a netCDF dimension but not a netCDF")


class NetCDF3Store(Store):
    """A classic NetCDF file, which SciPy reads; it is opened and mapped anew for each read."""

    def _with(self, read: Callable[[Mapping[str, Any]], Any]) -> Any:
        """What a function makes of the variables, none of which may be left when the file is closed."""
        from scipy.io import netcdf_file

        with damaged(self.path):
            file = netcdf_file(str(self.path), mmap=True)
            try:
                return read(file.variables)
            finally:
                file.close()

    @cached_property
    def _about(self) -> dict[str, tuple[tuple[str, ...], tuple[int, ...], np.dtype, dict[str, Any]]]:
        return self._with(lambda variables: {name: _described(variable) for name, variable in variables.items()})

    def names(self) -> list[str]:
        return list(self._about)

    def array(self, name: str) -> Any:
        _, shape, dtype, _ = self._about[name]
        return _Read(shape, dtype, lambda key: self._with(lambda variables: np.array(variables[name].data[key])))

    def dims(self, name: str) -> tuple[str, ...] | None:
        return self._about[name][0]

    def attributes(self, name: str) -> dict[str, Any]:
        return self._about[name][3]


def _described(variable: Any) -> tuple[tuple[str, ...], tuple[int, ...], np.dtype, dict[str, Any]]:
    """Dimensions, shape, type and attributes of a variable of SciPy's."""
    attributes = {key: _plain(value) for key, value in variable._attributes.items()}
    return variable.dimensions, tuple(variable.data.shape), np.dtype(variable.data.dtype.str), attributes


class _Read:
    """An array of which each part is read by a function of its slices."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, read: Callable[[Key], np.ndarray]) -> None:
        self.shape, self.dtype, self._read = shape, dtype, read

    def __getitem__(self, key: Key) -> np.ndarray:
        return self._read(key)


def _plain(value: Any) -> Any:
    """An attribute as text, a number or a list."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiubSU":
        found = [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value.ravel().tolist()
        ]
        return found[0] if len(found) == 1 else found
    return value


# NumPy ------------------------------------------------------------------------------------------------


class NumpyStore(Store):
    """A .npy, whose array has the name of the file, or an .npz of arrays that are not compressed: both are mapped."""

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where in the file each array begins."""
        if self.path.suffix != ".npz":
            return {self.path.stem: 0}
        with damaged(self.path), zipfile.ZipFile(self.path) as archive, self.path.open("rb") as file:
            return {info.filename.removesuffix(".npy"): self._begin(info, file) for info in archive.infolist()}

    def _begin(self, info: zipfile.ZipInfo, file: Any) -> int:
        if info.compress_type != zipfile.ZIP_STORED:
            raise InputError(
                f"{self.path}: array {info.filename!r} is compressed as a whole, so no part of it can be read alone; "
                "expected what numpy.savez writes, or .npy files"
            )
        if info.header_offset < 0:
            raise ValueError(f"array {info.filename!r} begins before the file")
        file.seek(info.header_offset + 26)
        return info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))

    def names(self) -> list[str]:
        return list(self._places)

    @cached_property
    def _mapped(self) -> dict[str, tuple[np.dtype, tuple[int, ...], str, int]]:
        """Type, shape, order and place of the numbers of each array, which the file is long enough to hold."""
        found = {}
        for name, place in self._places.items():
            with damaged(f"{self.path}: array {name!r}"), self.path.open("rb") as file:
                file.seek(place)
                version = np.lib.format.read_magic(file)
                first = np.lib.format.read_array_header_1_0
                shape, fortran, dtype = (first if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
                if dtype.hasobject:
                    raise InputError(f"{self.path}: array {name!r} holds objects, which are pickles; expected numbers")
                missing = file.tell() + dtype.itemsize * int(np.prod(shape)) - self.path.stat().st_size
                if missing > 0:
                    raise ValueError(f"{missing} bytes are missing")
                found[name] = dtype, shape, "F" if fortran else "C", file.tell()
        return found

    def array(self, name: str) -> Any:
        dtype, shape, order, place = self._mapped[name]

        def read(key: Key) -> np.ndarray:
            if not shape or not all(shape):
                return np.zeros(shape, dtype)[key] if shape else np.fromfile(self.path, dtype, 1, "", place).reshape(())
            return np.array(np.memmap(self.path, dtype, "r", place, shape, order)[key])  # pyright: ignore[reportCallIssue, reportArgumentType]

        return _Read(shape, dtype, read)


# Any of these -----------------------------------------------------------------------------------------


def opened(path: Path) -> Store:
    """The store at a path, of the kind that its first bytes say; InputError if it is of none."""
    if path.is_dir():
        if any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray", ".zmetadata")):
            return ZarrStore(path)
        raise InputError(f"{path}: a folder, but no Zarr store (it has no zarr.json, .zgroup or .zarray)")
    if not path.is_file():
        raise InputError(f"{path}: not found, expected {_EXPECTED}")
    with path.open("rb") as file:
        start = file.read(8)
    for mark, kind in _MARKS.items():
        if start.startswith(mark):
            return kind(path)
    raise InputError(f"{path}: begins with {start!r}, expected {_EXPECTED}")


_EXPECTED = "a Zarr store, an HDF5 or NetCDF file, or NumPy's .npy or .npz"
_MARKS: Mapping[bytes, type[Store]] = {
    b"\x89HDF": HDF5Store,
    b"CDF\x01": NetCDF3Store,
    b"CDF\x02": NetCDF3Store,
    b"\x93NUMPY": NumpyStore,
    b"PK": NumpyStore,
}


class Opened:
    """The stores that were used last, so that ten thousand files are not held open at once."""

    def __init__(self, most: int = 64) -> None:
        self._most, self._stores, self._lock = most, OrderedDict[Path, Store](), Lock()

    def __call__(self, path: Path) -> Store:
        with self._lock:
            store = self._stores.pop(path, None) or opened(path)
            self._stores[path] = store
            while len(self._stores) > self._most:
                self._stores.popitem(last=False)  # it closes when its last reader lets go of it
            return store
