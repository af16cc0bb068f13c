"""Forecasts and truths of a small grid, as files and in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ornstein.domains.weather.files import Pairs

xarray = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")
T, S, M = 6, 3, 4
DAY = np.timedelta64(24, "h").astype("timedelta64[ns]")
TIMES = np.datetime64("2020-01-01", "ns") + np.arange(T) * DAY
STEPS = np.arange(1, S + 1) * DAY
LATITUDE, LONGITUDE = np.arange(40.0, 46), np.arange(5.0, 13)
G = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return G.normal(size=shape).astype(np.float32)


def forecast(members: int = 0, **more: Any) -> Any:
    """A forecast of temperature and wind."""
    dims = ("time", "step", *["number"] * bool(members), "latitude", "longitude")
    shape = (T, S, *[members] * bool(members), 6, 8)
    coords = {"time": TIMES, "step": STEPS, "latitude": LATITUDE, "longitude": LONGITUDE}
    data = {"t2m": (dims, 280 + values(*shape), {"units": "K"}), "u10": (dims, values(*shape), {"units": "m s-1"})}
    return xarray.Dataset(data, coords=coords | more)


def truth(days: int = T + S) -> Any:
    """The truth of its valid times."""
    coords = {"time": TIMES[0] + np.arange(days) * DAY, "latitude": LATITUDE, "longitude": LONGITUDE}
    about = {"units": "K", "long_name": "2 m temperature"}
    return xarray.Dataset({"t2m": (("time", "latitude", "longitude"), 280 + values(days, 6, 8), about)}, coords=coords)


def told(pairs: Pairs) -> dict[str, Any]:
    """What a model keeps of its data."""
    return {
        "variables": list(pairs.variables), "predictors": list(pairs.predictors), "units": dict(pairs.units),
        "attrs": dict(pairs.attrs), "members": pairs.members, "grid": pairs.grid.record(), "season": True,
        "steps": {"hours": pairs.step_hours.tolist()}, "calendar": pairs.calendar,
    }  # fmt: skip


def assert_same(a: Pairs, b: Pairs) -> None:
    x, y = a.read(slice(None)), b.read(slice(None))
    assert np.allclose(x.mean, y.mean, atol=1e-4, equal_nan=True)
    assert x.truth is not None
    assert y.truth is not None
    assert np.allclose(x.truth, y.truth, atol=1e-4, equal_nan=True)


def saved(tmp_path: Path, data: Any, name: str) -> Path:
    path = tmp_path / name
    if name.endswith(".zarr"):
        pytest.importorskip("zarr")
        data.to_zarr(path, consolidated=False)
    else:
        data.to_netcdf(path, engine="scipy" if name.endswith("3.nc") else "h5netcdf")
    return path
