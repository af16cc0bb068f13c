"""NetCDF files as they are written: classic, with 64-bit offsets, which xarray and all other readers know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...files import write_atomic


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable; it is the coordinate of an axis where it has its name.

    Attributes:
        axes: their names.
        values: float32, float64 or int32, as many axes.
        name: the long name, in words.
        unit: of the values; "1" if they have none.
    """

    axes: Sequence[str]
    values: np.ndarray
    name: str
    unit: str = "1"


def write(path: Path, variables: Mapping[str, Variable], title: str) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: of the file.
        variables: by their names.
        title: of the file, in words.

    InputError for variables that have an axis in common, but not its length.
    """
    sizes: dict[str, int] = {}
    for name, one in variables.items():
        for axis, size in zip(one.axes, one.values.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise InputError(f"{path}: variable {name!r} has {size} along {axis}, expected {sizes[axis]}")

    def written(temporary: Path) -> None:
        from scipy.io import netcdf_file

        with netcdf_file(str(temporary), "w", version=2) as file:
            file.Conventions, file.title = "CF-1.11", title
            for axis, size in sizes.items():
                file.createDimension(axis, size)
            for name, one in variables.items():
                variable = file.createVariable(name, one.values.dtype.str[1:], tuple(one.axes))
                variable[...] = one.values
                variable.long_name, variable.units = one.name, one.unit

    write_atomic(path, written)
