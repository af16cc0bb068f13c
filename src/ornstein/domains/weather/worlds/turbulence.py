"""A true atmosphere and a forecast model that is wrong in known ways: `ornstein data weather-qg`.

The truth is a long run of two-layer quasi-geostrophic turbulence (quasigeostrophic.py) on 64 × 64 points. Every 10 time
units a forecast begins. Its model sees 32 × 32 points, blows with U₁ = 0.92 instead of 1 and drags with 0.4 instead of
0.3; it begins with the truth's waves that its grid carries plus an error of analysis: in each layer a homogeneous
Gaussian field of potential vorticity with the spectrum exp(−(|k|/2.1)²), wavenumbers in inverse deformation radii, and
12 % of the standard deviation that the potential vorticity has there and then.

Where upper-layer fields are compared on the truth's grid, the forecast interpolated linearly, its mean absolute errors
2, 4 and 8 units later are about 0.42, 0.59 and 1.15 for ψ₁ and 0.87, 1.06 and 1.41 for ζ₁, whose standard deviations
are 2.8 and 2.0. A time unit is written as a day: with a deformation radius of 1,000 km and a shear of 12 m/s it is one.

Turbulence forgets: another version of this program or another processor rounds otherwise, and some dozens of time units
later its truth is another one of the same law.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ....errors import InputError, needed_for
from ....events import tell
from ....keys import Keys
from .quasigeostrophic import State, TwoLayer, truncated

if TYPE_CHECKING:
    import xarray

TRUTH = TwoLayer()
FORECAST = TwoLayer(n=32, wind=(0.92, 0.0), drag=0.4, dt=0.025)
LEADS = (2, 4, 8)
"""Times after a forecast's beginning that are kept."""
EVERY, SPIN_UP = 10, 240
"""Time between the beginnings of two forecasts; until the turbulence is in equilibrium."""
ERROR, SMOOTH = 0.12, 2.1
"""Of the analysis: its share of the standard deviation, and the wavenumber of its spectrum."""
BLOCK = 40
VARIABLES: Mapping[str, Mapping[str, str]] = {
    "streamfunction": {
        "long_name": "eddy streamfunction of the upper layer",
        "units": "1",
        "comment": "in (mean shear) x (deformation radius)",
    },
    "vorticity": {
        "long_name": "relative vorticity of the upper layer",
        "units": "1",
        "comment": "in (mean shear) / (deformation radius)",
    },
}


def weather_qg(out: Path, n: int = 960, seed: int = 0) -> str:
    """Two-layer quasi-geostrophic turbulence, and forecasts of it by a coarser, biased model.

    Writes OUT/forecast.zarr (32 x 32 points) and OUT/truth.zarr (64 x 64). 0.3 s a time on one core.

    Args:
        out: the folder.
        n: times at which a forecast begins, 10 time units apart.
        seed: of the initial state and of the errors of the analyses.
    """
    if n < 1:
        raise InputError(f"n is {n}, expected at least one time")
    with needed_for("writing Zarr", "weather"):
        import xarray  # noqa: F401
        import zarr  # noqa: F401
    begun, block = 0, []
    for number, states in enumerate(trajectory(n, seed)):
        block.append(states)
        if len(block) == BLOCK or number == n - 1:
            write(out, pair(torch.stack(block), begun, seed))
            begun, block = number + 1, []
        tell(number + 1, n, "turbulence")
    return f"{n} forecasts for {len(LEADS)} lead times"


def trajectory(n: int, seed: int) -> Iterator[Complex[Tensor, "leads layers=2 n half"]]:
    """The truth where each of n forecasts begins and at its lead times, in the order of time."""
    state = TRUTH.run(_seeded(seed), SPIN_UP)
    for _ in range(n):
        states = [state]
        for since, until in zip((0, *LEADS), LEADS, strict=False):
            states.append(TRUTH.run(states[-1], until - since))
        yield torch.stack(states)
        state = TRUTH.run(states[-1], EVERY - LEADS[-1])


def _seeded(seed: int) -> Complex[Tensor, "layers=2 n half"]:
    """Weak large-scale noise, from which the turbulence grows."""
    generator = torch.Generator().manual_seed(seed)
    noise = 0.1 * torch.randn(2, TRUTH.n, TRUTH.n, generator=generator, dtype=torch.float64)
    return TRUTH.waves(noise) * (TRUTH.k2 < 4)


def analyses(
    truth: Complex[Tensor, "times layers=2 n half"], first: int, seed: int
) -> Complex[Tensor, "times layers=2 m rest"]:
    """What the forecasts begin with: the truth on the coarse grid and an error of analysis.

    Args:
        truth: where they begin, (times, 2, 64, 33).
        first: number of the first of them; the error of each is a function of its number and the seed.
        seed: of the errors.
    """
    seen = truncated(truth, FORECAST.n)
    keys = Keys.of(seed, range(first, first + len(seen))).fold("analysis")
    noise = FORECAST.waves(keys.normal(2, FORECAST.n, FORECAST.n))
    shape = torch.exp(-FORECAST.k2 / (2 * SMOOTH**2))
    shape[0, 0] = 0
    own = FORECAST.grid(seen).std((-2, -1), keepdim=True)
    return seen + ERROR * own * noise * shape / _white_std(shape)


def _white_std(shape: Float[Tensor, "n half"]) -> Float[Tensor, ""]:
    """The standard deviation at a point of white noise of unit variance whose waves are multiplied by `shape`."""
    return FORECAST.grid(shape.to(torch.complex128) ** 2)[0, 0].sqrt() / FORECAST.n


@dataclass(frozen=True, eq=False)
class Pair:
    """Some forecasts and what came, (times, leads, variables, y, x).

    Attributes:
        first: number of the first of them.
        forecast: on the coarse grid.
        truth: on the fine one.
    """

    first: int
    forecast: Float[np.ndarray, "times leads variables n n"]
    truth: Float[np.ndarray, "times leads variables m m"]


def pair(states: Complex[Tensor, "times leads layers=2 n half"], first: int, seed: int) -> Pair:
    """Forecasts of what `trajectory` gave, beside it."""
    state, forecasts = analyses(states[:, 0], first, seed), []
    for since, until in zip((0, *LEADS), LEADS, strict=False):
        state = FORECAST.run(state, until - since)
        forecasts.append(state)
    return Pair(first, _upper(FORECAST, torch.stack(forecasts, 1)), _upper(TRUTH, states[:, 1:]))


def _upper(model: TwoLayer, states: State) -> Float[np.ndarray, "times leads variables n n"]:
    """ψ₁ and ζ₁ at the grid points, float32."""
    fields = torch.stack([model.streamfunction(states), model.vorticity(states)], 2)[:, :, :, 0]
    return model.grid(fields).float().numpy()


def write(folder: Path, pair: Pair) -> None:
    """Appends to folder/forecast.zarr and folder/truth.zarr, which a pair whose first number is 0 begins."""
    for name, values, model in (("forecast", pair.forecast, FORECAST), ("truth", pair.truth, TRUTH)):
        dataset = _dataset(values, pair.first, model)
        dataset.attrs = {"Conventions": "CF-1.10", "title": _TITLES[name], "source": _SOURCE, "license": "Apache-2.0"}
        if pair.first:
            dataset.to_zarr(folder / f"{name}.zarr", append_dim="time")
        else:
            chunks = (BLOCK, len(LEADS), model.n, model.n)
            whole: dict[str, Any] = {variable: {"chunks": chunks} for variable in VARIABLES}
            whole["time"] = {"units": "days since 2000-01-01", "dtype": "int64"}
            dataset.to_zarr(folder / f"{name}.zarr", mode="w", encoding=whole, zarr_format=2)


_TITLES = {
    "forecast": "Forecasts by a coarse, biased two-layer quasi-geostrophic model",
    "truth": "Two-layer quasi-geostrophic turbulence at the valid times of forecasts (time + step)",
}
_SOURCE = f"ornstein data weather-qg: truth {TRUTH}, forecast {FORECAST}, analysis error {ERROR} of the std"


def _dataset(values: Float[np.ndarray, "times leads variables n n"], first: int, model: TwoLayer) -> "xarray.Dataset":
    import xarray

    times = np.datetime64("2000-01-01", "ns") + np.timedelta64(EVERY, "D") * np.arange(first, first + len(values))
    steps = np.array(LEADS, "timedelta64[D]").astype("timedelta64[ns]")
    places = np.arange(model.n) * model.size / model.n
    coords = {
        "time": ("time", times, {"standard_name": "forecast_reference_time", "comment": "a time unit is a day"}),
        "step": ("step", steps, {"standard_name": "forecast_period"}),
        "y": ("y", places, _axis("northward", "Y", model)),
        "x": ("x", places, _axis("eastward", "X", model)),
    }
    dims = ("time", "step", "y", "x")
    fields = {name: (dims, values[:, :, at], dict(attrs)) for at, (name, attrs) in enumerate(VARIABLES.items())}
    return xarray.Dataset(fields, coords)


def _axis(way: str, letter: str, model: TwoLayer) -> dict[str, Any]:
    words = f"{way} distance in deformation radii"
    return {"long_name": words, "units": "1", "axis": letter, "periodic": 1, "period": model.size}
