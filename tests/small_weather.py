"""Small forecasts and truths, and models of them that nobody has trained, for tests of the domain weather."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from ornstein.config import TrainConfig
from ornstein.denoisers.base import NeuralDenoiser, Origin
from ornstein.domains.weather import data
from ornstein.domains.weather.files.opened import opened
from ornstein.domains.weather.task import Weather, WeatherConfig
from ornstein.files import plain
from ornstein.networks.patches import PatchTransformerConfig
from ornstein.networks.unet import UNetConfig

TIMES, STEPS = 12, (6, 12)
DOMAIN = ("weather", "ornstein.domains.weather.task:Weather")


def fields(kind: str = "grid", seed: int = 0) -> tuple[xarray.Dataset, xarray.Dataset]:
    """A forecast and a truth of temperature (K) and rain (mm, often 0), of days in January.

    Args:
        kind: "grid" of 8 latitudes × 16 longitudes that go round, or "stations", of which there are three.
        seed: of all of it.
    """
    rng = np.random.default_rng(seed)
    grid: dict[str, Any] = {
        "grid": {
            "latitude": ("latitude", np.linspace(70, -70, 8), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(16) * 22.5, {"units": "degrees_east"}),
        },
        "stations": {
            "station": ("station", ["Åre", "Bonn", "Chur"]),
            "latitude": ("station", [63.4, 50.7, 46.9], {"units": "degrees_north"}),
            "longitude": ("station", [13.1, 7.1, 9.5], {"units": "degrees_east"}),
        },
    }[kind]
    dims = ("latitude", "longitude") if kind == "grid" else ("station",)
    shape = (TIMES, len(STEPS), *(len(grid[dim][1]) for dim in dims))
    waves = np.cumsum(rng.normal(size=shape), -1) / 3
    truth = {"t2m": 280 + 5 * waves, "tp": np.maximum(waves + 0.3 * rng.normal(size=shape), 0) ** 2}
    forecast = {"t2m": truth["t2m"] + 1 + rng.normal(size=shape), "tp": truth["tp"] + rng.exponential(0.3, size=shape)}
    named: dict[str, dict[str, Any]] = {
        "t2m": {"units": "K", "long_name": "2 metre temperature", "standard_name": "air_temperature"},
        "tp": {"units": "mm", "long_name": "total precipitation"},
    }
    begun = np.datetime64("2020-01-01", "ns") + np.arange(TIMES) * np.timedelta64(1, "D")
    axes = {"time": begun, "step": np.array(STEPS, "timedelta64[h]").astype("timedelta64[ns]"), **grid}
    found = []
    for values in (forecast, truth):
        variables = {
            name: (("time", "step", *dims), one.astype(np.float32), named[name]) for name, one in values.items()
        }
        one = xarray.Dataset(variables, axes, {"institution": "nowhere"})
        one["time"].encoding = {"units": "hours since 1900-01-01", "calendar": "gregorian", "dtype": "int64"}
        found.append(one)
    return found[0], found[1]


def written(folder: Path, kind: str = "grid", seed: int = 0) -> tuple[Path, Path]:
    """These as NetCDF, raw.nc and truth.nc in a folder."""
    paths = folder / "raw.nc", folder / "truth.nc"
    for path, one in zip(paths, fields(kind, seed), strict=True):
        one.to_netcdf(path)
    return paths


def model(
    folder: Path, kind: str = "grid", leads: Any = "joint", truth: str = "truth.nc", **metadata: Any
) -> NeuralDenoiser:
    """A model of the files in a folder, as it is before a training: of base and scale, with a network of small weights.

    Args:
        folder: of `written`.
        kind: that was written.
        leads: see `WeatherConfig`.
        truth: the file of truths.
        metadata: in the place of those of the data.
    """
    config = WeatherConfig(
        str(folder / "raw.nc"), str(folder / truth), leads=leads, network=UNetConfig(4, (1,), 1, ()),
        stations=PatchTransformerConfig(width=8, layers=1, heads=1, patch=1), train=TrainConfig(batch_size=4),
    )  # fmt: skip
    told = {"files": {"forecast": [config.forecast], "truth": [config.truth]}, "source": "a test"}
    train, _ = data.split(opened(config.forecast, config.truth), (6, 9), leads, 10**8, cycles=(), told=told)
    facts = plain({**train.metadata, **metadata})
    from ornstein.config import to_dict

    origin = Origin("weather", "small", plain(to_dict(config)), facts, "0" * 64)
    found = Weather().denoiser(config, facts, origin)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in found.network.parameters():
            torch.nn.init.normal_(parameter.data, 0.0, 0.02)
    return found
