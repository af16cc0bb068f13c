"""Small fields in files of every kind, as xarray and the libraries themselves write them."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ornstein.training.fields import Layout

LEVELS = (500, 850)
PACKED = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 273.0, "_FillValue": -32767}
KINDS = ("zarr2", "zarr3", "netcdf4", "netcdf3", "packed-zarr2", "packed-zarr3", "packed-netcdf4", "packed-netcdf3")

LAYOUT = Layout(
    state=["t", "wind"],
    conditions={"forecast": ["forecast"]},
    scalars={"index": ["index"]},
    static=["land"],
)


def world(times: int = 12, start: str = "2000-01-01", seed: int = 0, height: int = 4, width: int = 8) -> xr.Dataset:
    """t on two levels, a forecast of it, a number a time and the shape of the land."""
    rng = np.random.default_rng(seed)
    shape = (times, 2, height, width)
    over = ("time", "level", "lat", "lon")
    t = rng.normal(280, 10, shape).astype("f4")
    return xr.Dataset(
        {
            "t": (over, t, {"units": "K"}),
            "forecast": (over, t + rng.normal(0, 1, shape).astype("f4"), {"units": "K"}),
            "wind": (over[:1] + over[2:], rng.normal(0, 5, (times, height, width)), {"units": "m s-1"}),
            "index": (("time",), rng.normal(0, 1, times)),
            "land": (("lat", "lon"), (rng.random((height, width)) < 0.7).astype("f4")),
        },
        coords={
            "time": np.datetime64(start, "ns") + np.arange(times) * np.timedelta64(6, "h"),
            "level": list(LEVELS),
            "lat": np.linspace(90, -90, height),
            "lon": np.arange(float(width)),
        },
    )


def written(data: xr.Dataset, folder: Path, kind: str, name: str = "era", chunks: int = 0) -> Path:
    """The data in a file or store of a kind; see KINDS.

    Args:
        chunks: times that are stored as one; 0 as the library likes.
    """
    packed, _, form = kind.rpartition("-")
    encoding: dict[str, Any] = {key: dict(PACKED) for key in ("t", "forecast")} if packed else {}
    for key in data.data_vars if chunks else ():
        if "time" in data[key].dims and form != "netcdf3":
            named = "chunksizes" if form == "netcdf4" else "chunks"
            encoding.setdefault(str(key), {})[named] = (chunks, *data[key].shape[1:])
    folder.mkdir(parents=True, exist_ok=True)
    if form.startswith("zarr"):
        path = folder / f"{name}.zarr"
        data.to_zarr(path, mode="w", zarr_format=int(form[-1]), encoding=encoding, consolidated=False)  # pyright: ignore[reportCallIssue, reportArgumentType]
    else:
        path = folder / f"{name}.nc"
        data.to_netcdf(path, engine="scipy" if form == "netcdf3" else "h5netcdf", encoding=encoding)
    return path


def state(data: xr.Dataset) -> np.ndarray:
    """The states of the layout."""
    return np.concatenate([data["t"].values, data["wind"].values[:, None]], 1).astype("f4")
