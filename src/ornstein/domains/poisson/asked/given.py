"""Whole fields that a user gives: a number, an array, or a file (.npy, .npz, NetCDF, HDF5, Zarr).

Arrays are (y, x), of the unknowns of the grid. A NetCDF file that names its axes may have them in any order, and the
coordinates it has must be those of the grid. Packed numbers are unpacked, missing ones are NaN.
"""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ....disk import arrays
from ....errors import InputError
from ....files import GB, MB
from ....training.fields.packing import packing
from ....training.fields.stores import Store, opened
from ....values import as_mask, as_tensor, is_number
from ..equations.boundaries import axes_of

_ROOM, _LIMIT = 64 * MB, 4 * GB
"""Bytes that an .npz may unpack to beside the fields that are wanted, and of the whole file."""
_KINDS = {"c": "complex numbers", "b": "true and false", "U": "text", "S": "text", "O": "objects", "M": "dates"}
Coordinates = Sequence[Float[Tensor, "..."]]
"""Along each axis of an array."""


def field_of(
    value: Any, shape: Sequence[int], what: str, names: Sequence[str] = (), coordinates: Coordinates | None = None
) -> Float[Tensor, "*grid"]:
    """A field of finite numbers, float64.

    Args:
        value: a number (the same everywhere), an array, a tensor, or a path.
        shape: of the field, in the order of an array's axes.
        what: of the field, for errors, such as "--source".
        names: under which a file of several arrays may have it.
        coordinates: of the field along each axis of an array, which those of a file must be; None = not compared.
    """
    found = loose_field_of(value, shape, what, names, coordinates)
    require_finite(found, value if isinstance(value, Path) else what)
    return found


def loose_field_of(
    value: Any, shape: Sequence[int], what: str, names: Sequence[str] = (), coordinates: Coordinates | None = None
) -> Float[Tensor, "*grid"]:
    """As `field_of`, of which elements may be NaN: not known."""
    shape = tuple(shape)
    if is_number(value):
        return torch.full(shape, float(value), dtype=torch.float64)
    where = f"{what} {value}" if isinstance(value, str | Path) else what
    if isinstance(value, str | Path):
        array = read_field(Path(value), shape, names, coordinates)
    else:
        array = as_tensor(value, what).detach().cpu().numpy()
    _require_kind(array.dtype, where)
    if array.shape != shape:
        raise InputError(f"{where}: has the shape {array.shape}, expected {shape}")
    return torch.from_numpy(array.astype(np.float64))


def mask_of(
    value: Any, shape: Sequence[int], what: str, coordinates: Coordinates | None = None
) -> Bool[Tensor, "*grid"]:
    """A mask of true and false, or of 1 and 0, with something true.

    Args:
        value: an array, a tensor, or a path.
        shape: of the field, in the order of an array's axes.
        what: of the mask, for errors, such as "--mask".
        coordinates: of the field along each axis of an array, which those of a file must be; None = not compared.
    """
    where = f"{what} {value}" if isinstance(value, str | Path) else what
    is_file = isinstance(value, str | Path)
    mask = as_mask(read_field(Path(value), shape, ("mask",), coordinates) if is_file else value, where)
    if tuple(mask.shape) != tuple(shape):
        raise InputError(f"{where}: has the shape {tuple(mask.shape)}, expected {tuple(shape)}")
    if not mask.any():
        raise InputError(f"{where}: holds nowhere, expected somewhere a known value")
    return mask


def require_finite(field: Float[Tensor, "*grid"], where: object, among: Bool[Tensor, "*grid"] | None = None) -> None:
    """InputError, with the first element, for NaN and infinite numbers.

    Args:
        field: in any unit.
        where: it stands, for the error.
        among: the elements that count; None = all.
    """
    wrong = ~field.isfinite() if among is None else ~field.isfinite() & among
    if bool(wrong.any()):
        place = tuple(wrong.nonzero()[0].tolist())
        raise InputError(f"{where}: element {place} is {field[place].item()}, expected finite numbers")


# Files ------------------------------------------------------------------------------------------------


def read_field(
    path: Path, shape: Sequence[int], names: Sequence[str] = (), coordinates: Coordinates | None = None
) -> np.ndarray:
    """The array of a file, its shape and type checked before it is read; see `field_of`."""
    found = read_fields(path, {"": names}, {tuple(shape)}, () if coordinates is None else (coordinates,))
    if not found:
        have = ", ".join(map(repr, names_in(path)[:10])) or "nothing"
        raise InputError(
            f"{path}: has {have}, expected one array, or one that is named {' or '.join(dict.fromkeys(names))}"
        )
    return found[""]


def read_fields(
    path: Path,
    wanted: Mapping[str, Sequence[str]],
    shapes: set[tuple[int, ...]],
    coordinates: Sequence[Coordinates] = (),
) -> dict[str, np.ndarray]:
    """Those arrays of a file that are there.

    Args:
        path: of the file.
        wanted: name → the names that it may have in the file; where one array is wanted, the only one of a file has
            any name.
        shapes: that they may have.
        coordinates: of the grids that a field may be on, which those of a file must be, upwards or downwards; none =
            not compared.
    """
    names = names_in(path)
    picked = {key: next((name for name in many if name in names), None) for key, many in wanted.items()}
    if len(wanted) == 1 and len(names) == 1:
        picked = dict.fromkeys(wanted, names[0])
    there = {key: name for key, name in picked.items() if name is not None}
    if path.suffix.lower() == ".npz":
        return _of_npz(path, there, shapes)
    store = opened(path)
    return {key: _of_store(store, name, shapes, coordinates) for key, name in there.items()}


def names_in(path: Path) -> list[str]:
    """Of the arrays in a file, coordinates of its axes aside; InputError if it is no such file."""
    if path.suffix.lower() == ".npz":
        return arrays.names(path, _LIMIT)
    store = opened(path)
    return [name for name in store.names() if store.dims(name) != (name.rpartition("/")[2],)]


def _of_npz(path: Path, there: Mapping[str, str], shapes: set[tuple[int, ...]]) -> dict[str, np.ndarray]:
    limit = max(path.stat().st_size, 16 * len(there) * max(map(prod, shapes)) + _ROOM)
    found = arrays.members(path, limit, dict.fromkeys(there.values(), "fiub"))
    for name, array in found.items():
        _require_shape(f"{path}: array {name!r}", array.shape, shapes)
    return {key: found[name] for key, name in there.items()}


def _of_store(store: Store, name: str, shapes: set[tuple[int, ...]], coordinates: Sequence[Coordinates]) -> np.ndarray:
    where = f"{store.path}: variable {name!r}"
    stored, dims = store.array(name), store.dims(name)
    _require_kind(np.dtype(stored.dtype), where, "fiub")
    order = _order(dims, len(stored.shape))
    _require_shape(where, tuple(stored.shape[k] for k in order), shapes)
    own = next((one for one in coordinates if tuple(map(len, one)) == tuple(stored.shape[k] for k in order)), None)
    down = [] if own is None or not dims else _downwards(store, [dims[k] for k in order], own)
    raw = store.read(name, tuple(slice(None) for _ in stored.shape))
    packed = packing(store.attributes(name), raw.dtype, where)
    values = raw if raw.dtype.kind == "b" else raw.astype(np.float64) * packed.scale + packed.offset
    for missing in packed.missing:
        values = np.where(raw == missing, np.nan, values)
    return np.ascontiguousarray(np.flip(values.transpose(order), tuple(down)))


def _order(dims: Sequence[str] | None, ndim: int) -> list[int]:
    """Where the axes of the array are in a file: by their names, if these are x, y and z, else as they stand."""
    axes = axes_of(ndim)
    return [list(dims).index(name) for name in axes] if dims and sorted(dims) == sorted(axes) else list(range(ndim))


def _downwards(store: Store, dims: Sequence[str], expected: Coordinates) -> list[int]:
    """The axes along which a file runs downwards; InputError if it has other coordinates than the grid."""
    down = []
    for axis, (dim, at) in enumerate(zip(dims, expected, strict=True)):
        if dim not in store.names() or store.array(dim).shape != (len(at),):
            continue
        stored = store.read(dim, (slice(None),))
        if stored.dtype.kind not in "fiu":
            raise InputError(f"{store.path}: coordinate {dim!r} holds {stored.dtype}, expected numbers")
        found = torch.from_numpy(stored.astype(np.float64))
        if len(found) > 1 and found[0] > found[-1]:
            down, found = [*down, axis], found.flip(0)
        step = float((at[-1] - at[0]).abs() / max(len(at) - 1, 1))
        room = 1e-4 * step + 1e-7 * float(at.abs().max())  # of numbers in single precision
        wrong = (~((found - at.double()).abs() <= room)).nonzero()
        if len(wrong):
            k = int(wrong[0])
            raise InputError(
                f"{store.path}: {dim} is {float(found[k]):g} where a node of the grid is at {float(at[k]):g}: "
                "give the lengths, the origin and the boundary that belong to the file"
            )
    return down


def _require_shape(where: str, shape: tuple[int, ...], shapes: set[tuple[int, ...]]) -> None:
    if shape not in shapes:
        raise InputError(f"{where} has the shape {shape}, expected {' or '.join(map(str, sorted(shapes)))}")


def _require_kind(dtype: np.dtype, where: str, kinds: str = "fiu") -> None:
    if dtype.kind not in kinds:
        raise InputError(f"{where}: holds {_KINDS.get(dtype.kind, str(dtype))} ({dtype}), expected real numbers")
