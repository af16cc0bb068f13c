"""Members of fields as Zarr, NIfTI and NPZ; see members.py.

Zarr: one store, an array a variable with the axis `number` first, a chunk a member, metadata consolidated in the end;
`xarray.open_zarr` reads it, where members that are not there yet are NaN (0 of whole numbers). NIfTI: a folder with a
file a variable and member, whose axes are those of the array in their order. NPZ: a folder with a file a member, which
holds the coordinates, too. What a file has no place for stands in layout.json beside it.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...disk.arrays import members as arrays_of
from ...disk.arrays import write as write_arrays
from ...disk.locks import beside
from ...disk.trees import sync_tree
from ...errors import InputError, needed_for
from ...files import MB, Within, read_json, write_atomic, write_json
from .members import NUMBER, Layout, MemberFiles, Variable

_LAYOUT = "layout.json"
_DESCRIBED = {"dims": [str], "shape": [Within(int, 1, 10**12)], "dtype": str, "attrs": dict}
_SCHEMA = {
    "variables": {str: _DESCRIBED},
    "first": Within(int, 0, 10**15),
    "n": Within(int, 1, 10**8),
    "coords": {str: {**_DESCRIBED, "values": list}},
    "attrs": dict,
}


class ZarrMembers(MemberFiles):
    """One Zarr store (format 3)."""

    format = "zarr"

    @classmethod
    def open(cls, path: Path | str) -> Self:
        try:
            group = _zarr().open_group(str(path), mode="r", use_consolidated=False)
            arrays = dict(group.arrays())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: no Zarr group ({error}), expected what ornstein writes") from None
        try:
            return cls(path, _layout_of(arrays, dict(group.attrs)))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def _require(self, name: str, variable: Variable) -> None:
        pass  # it holds whatever NumPy has

    @cached_property
    def _group(self) -> Any:
        """The store, which is made if it is not there; InputError if it is one of another layout."""
        zarr = _zarr()
        if (self.path / "zarr.json").is_file():
            self.require_same(type(self).open(self.path).layout)
            return zarr.open_group(str(self.path), mode="r+", use_consolidated=False)
        with beside(self.path) as work:
            group = zarr.open_group(str(work), mode="w", zarr_format=3)
            group.attrs.update(dict(self.layout.attrs))
            self._begin(group)
            sync_tree(work)
            work.rename(self.path)
        return zarr.open_group(str(self.path), mode="r+", use_consolidated=False)

    def _begin(self, group: Any) -> None:
        numbers = self.layout.numbers
        count = group.create_array(NUMBER, shape=(len(numbers),), dtype="int64", dimension_names=(NUMBER,))
        count[:] = np.arange(numbers.start, numbers.stop)
        for name, values in self.layout.coords.items():
            one = self.layout.coordinate(name)
            made = group.create_array(name, shape=one.shape, dtype=one.dtype, dimension_names=one.dims)
            made[...] = values
            made.attrs.update(dict(one.attrs))
        for name, one in self.layout.variables.items():
            made = group.create_array(
                name,
                shape=(len(numbers), *one.shape),
                chunks=(1, *one.shape),
                dtype=one.dtype,
                dimension_names=(NUMBER, *one.dims),
                fill_value=np.dtype(one.dtype).type(np.nan if np.dtype(one.dtype).kind in "fc" else 0),
                config={"write_empty_chunks": True},
            )
            others = " ".join(other for other in self.layout.coords if (other,) != self.layout.coordinate(other).dims)
            made.attrs.update({**one.attrs, **({"coordinates": others} if others else {})})

    def _files(self, number: int) -> Sequence[Path]:
        index = str(number - self.layout.numbers.start)
        return [
            self.path.joinpath(name, "c", index, *("0" for _ in one.shape))
            for name, one in self.layout.variables.items()
        ]

    def _write(self, number: int, fields: Mapping[str, np.ndarray]) -> Sequence[Path]:
        with _zarr().config.set({"array.write_empty_chunks": True}):  # what is not there is not whole
            for name, array in fields.items():
                self._group[name][number - self.layout.numbers.start] = array
        return self._files(number)

    def _read(self, number: int) -> Mapping[str, np.ndarray]:
        index = number - self.layout.numbers.start
        try:
            return {name: np.asarray(self._group[name][index]) for name in self.layout.variables}
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{self.path}: member {number} is damaged ({error})") from None

    def finish(self) -> None:
        super().finish()
        for cut_off in self.path.rglob("*.partial"):  # what zarr was writing when it was killed
            cut_off.unlink()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata")  # which xarray reads all the same
            _zarr().consolidate_metadata(str(self.path))


def _zarr() -> Any:
    with needed_for("Zarr", "fields"):
        import zarr
    return zarr


def _layout_of(arrays: Mapping[str, Any], attrs: Mapping[str, Any]) -> Layout:
    """What a Zarr store says of its members."""
    if NUMBER not in arrays or arrays[NUMBER].ndim != 1 or arrays[NUMBER].dtype.kind not in "iu":
        raise InputError(f"has no whole numbers {NUMBER!r}, expected those of its members")
    numbers = np.asarray(arrays[NUMBER][:])
    first, count = int(numbers[0]) if len(numbers) else 0, len(numbers)
    if not np.array_equal(numbers, np.arange(first, first + count)):
        raise InputError(f"{NUMBER!r} does not count its members one by one")
    variables, coords, axes = {}, {}, {}
    for name, array in sorted(arrays.items()):
        dims: tuple[str, ...] = tuple(getattr(array.metadata, "dimension_names", None) or ())
        if len(dims) != array.ndim or None in dims:
            raise InputError(f"{name!r} does not name its axes")
        said = {key: value for key, value in array.attrs.items() if key != "coordinates"}
        if name == NUMBER:
            continue
        if NUMBER not in dims:
            coords[name], axes[name] = np.asarray(array[...]), (dims, said)
        elif dims[:1] == (NUMBER,) and array.shape[0] == count:
            variables[name] = Variable(dims[1:], array.shape[1:], str(array.dtype), said)
        else:
            raise InputError(
                f"{name!r} has the axes {dims} of sizes {array.shape}, expected {NUMBER!r} of {count} first"
            )
    return Layout(variables, range(first, first + count), coords, axes, attrs)


# Folders of files -------------------------------------------------------------------------------------


class _Folder(MemberFiles):
    """A folder of files, with its layout beside them."""

    @classmethod
    def open(cls, path: Path | str) -> Self:
        said = read_json(Path(path) / _LAYOUT, "the layout of members", _SCHEMA, limit=1000 * MB)
        if said.get("format") != cls.format:
            raise InputError(f"{Path(path) / _LAYOUT}: of members as {said.get('format')!r}, expected {cls.format!r}")
        try:
            return cls(path, Layout.from_record(said))
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{Path(path) / _LAYOUT}: {error}") from None

    @cached_property
    def _begun(self) -> Path:
        """The folder, with its layout; InputError if it is one of another layout."""
        if (self.path / _LAYOUT).is_file():
            self.require_same(type(self).open(self.path).layout)
        else:
            write_json(self.path / _LAYOUT, {"format": self.format, **self.layout.record()})
        return self.path


class NpzMembers(_Folder):
    """An .npz a member."""

    format = "npz"

    def _require(self, name: str, variable: Variable) -> None:
        pass  # it holds whatever NumPy has

    def _files(self, number: int) -> Sequence[Path]:
        return [self.path / f"{number:05d}.npz"]

    def _write(self, number: int, fields: Mapping[str, np.ndarray]) -> Sequence[Path]:
        (path,) = self._files(number)
        assert self._begun
        write_arrays(path, {**fields, **self.layout.coords})
        return [path]

    def _read(self, number: int) -> Mapping[str, np.ndarray]:
        (path,) = self._files(number)
        described = self.layout.described.values()
        size = sum(np.dtype(one.dtype).itemsize * int(np.prod(one.shape)) for one in described)
        kinds = {name: np.dtype(one.dtype).kind for name, one in self.layout.variables.items()}
        return arrays_of(path, size + MB, kinds)


class NiftiMembers(_Folder):
    """A .nii a variable and member; the affine is `layout.attrs["affine"]`, else that of coordinates evenly spaced."""

    format = "nifti"

    def _require(self, name: str, variable: Variable) -> None:
        if str(np.dtype(variable.dtype)) not in _IN_NIFTI or not 1 <= len(variable.shape) <= 7:
            raise InputError(
                f"{self.path}: {name!r} is {variable.dtype} of shape {variable.shape}; NIfTI has 1 to 7 axes of "
                f"{', '.join(_IN_NIFTI)}"
            )

    def _files(self, number: int) -> Sequence[Path]:
        return [self.path / f"{name}-{number:05d}.nii" for name in self.layout.variables]

    def _write(self, number: int, fields: Mapping[str, np.ndarray]) -> Sequence[Path]:
        assert self._begun
        files = self._files(number)
        for path, (name, array) in zip(files, fields.items(), strict=True):
            data = self._image(name, array).to_bytes()
            write_atomic(path, lambda temporary, data=data: temporary.write_bytes(data))
        return files

    def _image(self, name: str, array: np.ndarray) -> Any:
        nibabel = _nibabel()
        from nibabel.nifti1 import Nifti1Extension

        kind = nibabel.Nifti2Image if max(array.shape) > _LONGEST else nibabel.Nifti1Image
        image = kind(array, self._affine(name), dtype=array.dtype)
        said = json.dumps({"variable": self.layout.variables[name].record(), "attrs": dict(self.layout.attrs)})
        image.header.extensions.append(Nifti1Extension("comment", said.encode()))
        return image

    def _affine(self, name: str) -> np.ndarray:
        """From places in the array to where they are: that of the layout, else of its coordinates, else the places."""
        if "affine" in self.layout.attrs:
            given = np.array(self.layout.attrs["affine"], float)
            if given.shape != (4, 4):
                raise InputError(f"{self.path}: affine has the shape {given.shape}, expected (4, 4)")
            return given
        affine = np.eye(4)
        for k, dim in enumerate(self.layout.variables[name].dims[:3]):
            values = np.asarray(self.layout.coords.get(dim, []), float)
            if values.ndim == 1 and len(values) > 1 and np.allclose(np.diff(values), values[1] - values[0]):
                affine[k, k], affine[k, 3] = values[1] - values[0], values[0]
        return affine

    def _read(self, number: int) -> Mapping[str, np.ndarray]:
        nibabel = _nibabel()
        from nibabel.filebasedimages import ImageFileError

        found = {}
        for name, path in zip(self.layout.variables, self._files(number), strict=True):
            try:
                image: Any = nibabel.load(path)
                one = self.layout.variables[name]
                if image.shape != one.shape:  # before its numbers are read
                    raise InputError(f"{path}: has the shape {image.shape}, expected {one.shape}")
                array = np.asanyarray(image.dataobj)
            except (ImageFileError, OSError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(f"{path}: no NIfTI file, or a damaged one ({error})") from None
            found[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
        return found


def _nibabel() -> Any:
    with needed_for("NIfTI", "fields"):
        import nibabel
    return nibabel


_IN_NIFTI = (
    *(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")),
    *("float32", "float64", "complex64", "complex128"),
)
_LONGEST = 32_767  # places on an axis of NIfTI-1

FORMATS: Mapping[str, type[MemberFiles]] = {one.format: one for one in (ZarrMembers, NiftiMembers, NpzMembers)}
