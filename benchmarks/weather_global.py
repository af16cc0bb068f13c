"""An ensemble on a global grid of a quarter of a degree, 721 × 1440, by a model that learned from windows of 64 × 64.

    .venv/bin/python -m benchmarks.weather_global [--grid 721 1440] [--members 4] [--method diffusion] [--steps 8]

Forecasts and truths of two variables are generated: random fields with a spectrum k⁻³, of which the forecast knows the
large scales, and two static fields. A small network learns from a few of them, then draws an ensemble into Zarr by the
command line, each in a process of its own.

    seconds      of the process, wall clock
    peak MB      of its resident memory, start, reading and writing included; what is asked for is less than 8,000
    seams        how rough the members are across the edges of windows, over elsewhere; 1 = no seams
    round        the same where the longitude goes round

One line of JSON a process; with --keep they go to benchmarks/results/weather_global.jsonl.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor

import ornstein as on
from ornstein.denoisers.windows import windowed
from ornstein.keys import Keys
from ornstein.spectral.roots import power_law
from ornstein.spectral.transforms import Separable

RESULTS = Path(__file__).parent / "results" / "weather_global.jsonl"
NAMES = ("z500", "t850")
WINDOW = 64
BOUND = 8000.0
"""MB."""
TRAIN = """import json, sys
from pathlib import Path
from ornstein.config import update
from ornstein.domains.weather.task import WeatherConfig
from ornstein.tasks.runs import train
train("weather", "global", update(WeatherConfig(), json.loads(sys.argv[1]), "benchmark"), Path(sys.argv[2]))"""
SAMPLE = "import sys; from ornstein.cli import main; sys.exit(main())"


def make(folder: Path, grid: tuple[int, int], times: int) -> None:
    """Writes forecast.zarr and truth.zarr of so many days, and today.zarr, a forecast alone.

    Args:
        folder: for them.
        grid: latitudes and longitudes.
        times: days to learn from.
    """
    for number in range(times + 1):
        fields = {name: _pair(Keys.of(k, [number]), grid) for k, name in enumerate(NAMES)}
        for place, kind in enumerate(("forecast", "truth")):
            one = {name: pair[place] for name, pair in fields.items()}
            if number < times:
                _append(_day(one, grid, number), folder / f"{kind}.zarr", number)
            elif kind == "forecast":
                _append(_day(one, grid, number), folder / "today.zarr", 0)


def _pair(keys: Keys, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A forecast and the truth of it: half as much as is not known of the truth is wrong in the forecast."""
    waves = Separable(("cosine", "fourier"))
    known = power_law((1, *grid), 3, waves).root(keys.fold("known").normal(1, *grid))[0, 0]
    rough = power_law((1, *grid), 3, waves, outer=1 / 32, std=0.3)
    unknown, wrong = (rough.root(keys.fold(name).normal(1, *grid))[0, 0] for name in ("unknown", "wrong"))
    return (known + wrong / 2).float(), (known + unknown).float()


def _day(fields: dict[str, Tensor], grid: tuple[int, int], number: int) -> xarray.Dataset:
    """One initial time and one lead of a day."""
    height, width = grid
    latitude, longitude = np.linspace(90, -90, height), np.arange(width) * 360 / width
    dims = ("time", "step", "latitude", "longitude")
    heights = (1 + np.cos(np.deg2rad(3 * longitude))) * np.cos(np.deg2rad(latitude))[:, None]
    return xarray.Dataset(
        {name: (dims, value.numpy()[None, None], {"units": "1"}) for name, value in fields.items()}
        | {"orography": (dims[2:], heights.astype(np.float32), {"units": "m"})},
        {
            "time": np.array(["2020-01-01"], "datetime64[ns]") + np.timedelta64(number, "D"),
            "step": np.array([24], "timedelta64[h]").astype("timedelta64[ns]"),
            "latitude": ("latitude", latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", longitude, {"units": "degrees_east"}),
        },
    )


def _append(day: xarray.Dataset, path: Path, number: int) -> None:
    if number:
        day.drop_vars("orography").to_zarr(path, append_dim="time")
    else:
        day.to_zarr(path, consolidated=False)


def run(stage: str, *command: str, threads: int) -> dict[str, Any]:
    """A Python program in a process of its own: how long it took, and its largest resident memory.

    Args:
        stage: what it is.
        command: the program, and its arguments.
        threads: of the process.
    """
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", *command], env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{stage} ended with {process.returncode}")
    peak = used.ru_maxrss / 1000 if sys.platform != "darwin" else used.ru_maxrss / 1e6
    return {"stage": stage, "seconds": time.perf_counter() - started, "cpu": used.ru_utime, "peak MB": peak}


def seams(path: Path, folder: Path) -> dict[str, float]:
    """How rough an ensemble is across the edges of windows and of the map, over elsewhere.

    Args:
        path: of the ensemble.
        folder: of the model.
    """
    model, found = on.load(folder), xarray.open_zarr(path / "ens.zarr")
    forecast = xarray.open_zarr(folder.parent / "today.zarr", consolidated=False)
    fields = np.stack([(found[name] - forecast[name]).isel(time=0, step=0).values for name in NAMES], 1)
    off = torch.from_numpy(fields).float()  # what was drawn, without the large scales of the forecast
    whole = windowed(model, off.shape[1:], borders=("reflect", "periodic"))
    across = (off[..., 0] - off[..., -1]).square().mean() / off.diff(dim=-1).square().mean()
    return {"seams": float(whole.seams(off).mean()), "round": float(across), "members": len(off)}


def rows(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """What was measured, stage by stage.

    Args:
        options: of the command.
        folder: for all that is made.
    """
    make(folder, tuple(options.grid), options.times)
    config = {
        **{kind: str(folder / f"{kind}.zarr") for kind in ("forecast", "truth")},
        "window": WINDOW, "method": options.method, "validation": 0.2, "test": 0.0, "judged": 0,
        "network": {"channels": 16, "multipliers": [1, 2], "blocks": 1, "attention": []},
        "train": {"steps": options.train_steps, "batch_size": 16, "warmup": 10, "ema": 0.9, "validate_every": 10**6},
    }  # fmt: skip
    model = folder / "run"
    yield run("train", TRAIN, json.dumps(config), str(model), threads=options.threads)
    steps = ("--steps", str(options.steps)) if options.method == "diffusion" else ()
    asked = ("--forecast", str(folder / "today.zarr"), "--members", str(options.members))
    out = ("--batch-size", "1", "--out", str(folder / "out"))
    row = run("sample", SAMPLE, "sample", str(model), *asked, *steps, *out, threads=options.threads)
    yield {**row, **seams(folder / "out", model)}


def main(said: Sequence[str] | None = None) -> int:
    """The exit code: 0 if the ensemble was drawn within the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, nargs=2, default=[721, 1440])
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--method", default="diffusion", choices=("diffusion", "crps"))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--times", type=int, default=6)
    parser.add_argument("--train-steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(said)
    row: dict[str, Any] = {}
    with TemporaryDirectory(prefix="ornstein-global-") as folder:
        for row in rows(options, Path(folder)):
            row = {"grid": options.grid, "method": options.method, "steps": options.steps, **row}
            text = json.dumps({name: round(x, 3) if isinstance(x, float) else x for name, x in row.items()})
            print(text, flush=True)
            if options.keep:
                with RESULTS.open("a") as file:
                    file.write(text + "\n")
    return 0 if row["peak MB"] < BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
