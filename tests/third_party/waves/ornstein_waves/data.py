"""The data: fine fields "height" (m) and "flow" (m/s) over (time, y, x), periodic; their coarse forecasts; the depth.

A model believes in what the forecast lacks, (field − forecast)/scale, whose spectrum colours the noise.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ornstein import Keys, maps
from ornstein.spectral import roots, transforms
from ornstein.spectral.shells import Shells
from ornstein.training.fields import FieldData, Layout, measured, open_fields

NAMES = ("height", "flow")
FORECASTS = ("forecast_height", "forecast_flow")
UNITS = {"height": "m", "flow": "m s-1", "depth": "m"}
LAYOUT = Layout(NAMES, conditions={"forecast": FORECASTS, "base": FORECASTS}, static=["depth"], grid=["y", "x"])
"""The forecast is told twice: standardised to the network, and as it is to the map."""
BASIS = transforms.periodic()


def residual(scale: Any) -> maps.Residual:
    """From the model's states to the fields: base + scale · x.

    Args:
        scale: of each channel, in its unit.
    """
    return maps.Residual("base", torch.as_tensor(scale, dtype=torch.float32))


def split(path: Path, bound: int) -> tuple[FieldData, FieldData]:
    """The first seven eighths of the records to learn from, and the others; InputError for a file of anything else.

    What is measured in the one pass over the data is kept beside them.

    Args:
        path: of a NetCDF, HDF5 or Zarr file.
        bound: bytes of records in memory.
    """
    train, validation = open_fields(path, LAYOUT, bound=bound).split(0.875, 0.125)
    known = measured(train.mapped(residual([1.0, 1.0])), path.with_suffix(".statistics"), basis=BASIS)
    scale = known.std().flatten()
    spectrum = Shells.of(known.spectrum() / scale.double()[:, None, None] ** 2, BASIS)
    told: dict[str, Any] = {"source": str(path), "scale": scale.tolist(), "spectrum": spectrum.record()}
    parts = (known.standardised(part, keep=["state", "base"]) for part in (train, validation))
    first, second = (part.mapped(residual(scale)).told(**told) for part in parts)
    return first, second


def write_world(path: Path, n: int, size: int, seed: int) -> Path:
    """A world to learn from: fields with a spectrum k⁻³, larger over the deep, and forecasts of their largest waves.

    Args:
        path: of the NetCDF file to write.
        n: records.
        size: of both axes.
        seed: of all of it.
    """
    import xarray

    spectrum, keys = roots.power_law((2, size, size), 3, BASIS), Keys.of(seed, n)
    white = keys.normal(2, size, size)
    waves = spectrum.root(torch.stack([white[:, 0], 0.6 * white[:, 0] + 0.8 * white[:, 1]], 1))
    place = 2 * torch.pi * torch.arange(size) / size
    depth = 40 + 30 * place.sin()[:, None] * place.cos()
    fields = waves * (0.5 + depth / 40)
    kept = BASIS.frequencies((size, size)) * size < 2.5
    forecasts = BASIS.inverse(torch.where(kept, BASIS.forward(fields + 0.1 * waves.flip(0)), 0.0))
    mean, scale = torch.tensor([3.0, -0.2])[:, None, None], torch.tensor([1.5, 0.04])[:, None, None]
    variables: dict[str, Any] = {
        name: (("time", "y", "x"), (mean + scale * values)[:, k].float().numpy(), {"units": UNITS[NAMES[k]]})
        for names, values in ((NAMES, fields), (FORECASTS, forecasts))
        for k, name in enumerate(names)
    }
    variables["depth"] = (("y", "x"), depth.float().numpy(), {"units": "m"})
    axes = {"time": np.arange(n), "y": np.arange(size) + 0.5, "x": np.arange(size) + 0.5}
    xarray.Dataset(variables, axes).to_netcdf(path)
    return path


def spectrum(metadata: Mapping[str, Any]) -> roots.Spectral:
    """The covariance of the model's states, as the metadata have it."""
    return Shells.from_record(metadata["spectrum"], "metadata: spectrum").spectral
