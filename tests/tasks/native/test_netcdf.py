"""NetCDF files: what is written is what xarray reads."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ornstein.errors import InputError
from ornstein.tasks.native.netcdf import Variable, write


def test_what_is_written_is_read_by_xarray(tmp_path: Path) -> None:
    at, field = np.arange(3.0), np.random.default_rng(0).normal(size=(2, 3))
    variables = {"x": Variable(("x",), at, "place", "m"), "heat": Variable(("number", "x"), field, "temperature", "K")}
    write(tmp_path / "a.nc", {**variables, "count": Variable((), np.array(7, np.int32), "how many")}, "rods")
    with xr.open_dataset(tmp_path / "a.nc") as found:
        assert found.heat.dims == ("number", "x")
        assert np.array_equal(found.heat.values, field)
        assert np.array_equal(found.x.values, at)
        assert found["count"].item() == 7
        assert (found.heat.attrs["units"], found.heat.attrs["long_name"], found.title) == ("K", "temperature", "rods")


def test_axes_have_one_length_and_nothing_is_half_written(tmp_path: Path) -> None:
    variables = {name: Variable(("x",), np.zeros(n), name) for name, n in {"a": 2, "b": 3}.items()}
    with pytest.raises(InputError, match="variable 'b' has 3 along x, expected 2"):
        write(tmp_path / "a.nc", variables, "")
    assert not list(tmp_path.iterdir())
