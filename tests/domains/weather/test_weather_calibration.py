"""The report of a model: factors of the spread are found and judged, figures and pages say what was found."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ornstein import Keys
from ornstein.denoisers.base import Origin
from ornstein.domains.weather import examples
from ornstein.domains.weather.asked.flags import WeatherRequest
from ornstein.domains.weather.files.grids import Grid
from ornstein.domains.weather.files.opened import opened
from ornstein.domains.weather.results import calibration, figures, recalibration
from ornstein.domains.weather.results.drawn import Drawn
from ornstein.domains.weather.results.frame import Frame
from ornstein.domains.weather.task import Weather, WeatherConfig
from ornstein.events import finished
from ornstein.networks.unet import UNetConfig
from ornstein.tasks.figures import Figure
from worlds import rejected

xarray = pytest.importorskip("xarray")
GRID = Grid("grid", ("y", "x"), (8, 8))
NAMES = ("t2m", "rain")


def ensemble(widths: Any = 1.0, n: int = 24, members: int = 10, grid: Grid = GRID) -> tuple[Drawn, Frame]:
    """A temperature and a rain at two leads whose members are so much too wide; rain is the square of what is drawn."""
    shape = (2, 2, *grid.shape)
    truth, mean = (
        Keys.of(0, n).fold("truth").normal(*shape).numpy(),
        2 * Keys.of(0, n).fold("mean").normal(*shape).numpy(),
    )
    mean[:, 1] = 4.0  # roots of rain, seldom below 0
    width = np.broadcast_to(np.asarray(widths, np.float32), (2, 2)).reshape(2, 2, *(1,) * len(grid.shape))
    off = np.stack([Keys.of(0, n).fold(f"member {k}").normal(*shape).numpy() for k in range(members)], 1)
    u = np.concatenate([(mean + truth)[:, None], mean[:, None] + width * off], 1)
    u[:, :, 1] = u[:, :, 1].clip(0) ** 2
    times = np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D")
    steps, units = np.array([24, 48], "timedelta64[h]"), {"t2m": "K", "rain": "mm"}
    found = u.astype(np.float32)
    drawn = Drawn(found[:, 1:], found[:, 0], mean.astype(np.float32), None, times, steps, grid, NAMES, units)
    return drawn, Frame(NAMES, units, {}, grid, members, {}, {"values": [24, 48]}, False, (False, True), {}, None)


# Factors ----------------------------------------------------------------------------------------------


def assert_recalibrated(widths: Any) -> None:
    """Too narrow members are spread, too wide ones drawn together, by variable and lead; and that is found to help."""
    found, exact = recalibration.fitted(*ensemble(widths)), np.sqrt((1 + widths**2 / 10) / (widths**2 * 11 / 10))
    assert found is not None
    assert found.helps
    assert np.allclose(np.array(found.factors).reshape(2, 2), exact, rtol=0.05)  # Σ (y − ū)² / Σ (M + 1)/M s², M = 10
    assert np.allclose(found.after["spread / skill"], 1, atol=0.1)
    assert "helps, and is on by default" in found.words


def test_factors_of_the_spread_are_found_by_variable_and_lead() -> None:
    assert_recalibrated(np.array([[0.5, 0.8], [0.7, 1.6]]))
    rejected(assert_recalibrated, np.ones((2, 2)))  # nothing is to be found, and little can help


def test_members_keep_their_mean_and_zeros_stay_zeros() -> None:
    drawn, frame = ensemble()
    members = drawn.members.copy()
    members[:, 0, 1] = 0.0
    found = recalibration.widened(members, [2.0, 1.0, 0.5, 1.0], frame)
    assert np.allclose(found[:, :, 0].mean(1), members[:, :, 0].mean(1), atol=1e-4)
    assert np.allclose(found[:, :, 0, 0].std(1), 2 * members[:, :, 0, 0].std(1), rtol=1e-3)
    assert np.array_equal(found[:, :, :, 1], members[:, :, :, 1]) or np.allclose(
        found[:, :, :, 1], members[:, :, :, 1], rtol=1e-4
    )
    assert not found[:, 0, 1].any()
    assert (found[:, :, 1] >= 0).all()


def test_few_times_give_no_factors() -> None:
    drawn, frame = ensemble(n=3)
    assert recalibration.fitted(drawn, frame) is None


# Figures ----------------------------------------------------------------------------------------------

STATIONS = Grid("stations", ("station",), (3,), {"station": np.array(["a", "b", "c"])})
SHOWN: dict[str, tuple[Callable[[], Figure | None], str]] = {
    "stamps": (
        lambda: figures.members(of := ensemble()[0], of.forecast, 1, 0, 1),
        r"^Raw forecast; truth, mean and spread of 10 members.*\(t2m, 2020-01-02 00:00, lead 48 h\).$",
    ),
    "stamps, truth unknown": (lambda: figures.members(replace(ensemble()[0], truths=None)), "^Mean and spread of 10"),
    "fan": (lambda: figures.members(of := ensemble(grid=STATIONS)[0], of.forecast), "^10 members"),
    "over times": (lambda: figures.over_times(ensemble(grid=STATIONS)[0]), r"^10 members \(t2m, lead 24 h\).$"),
    "spread": (lambda: figures.spread_maps(ensemble()[0], 1), r"one scale \(rain, lead 24 h, 24 times\).$"),
}


@pytest.mark.parametrize(("make", "caption"), SHOWN.values(), ids=SHOWN)
def test_figures_say_what_they_are_of(make: Callable[[], Figure | None], caption: str) -> None:
    found = make()
    assert found is not None
    assert re.search(caption, found.caption), found.caption
    assert found.image.startswith(b"\x89PNG" if found.kind == "png" else b"<?xml")


def test_what_has_no_map_has_none_and_missing_truths_are_passed_over() -> None:
    assert figures.spread_maps(ensemble(grid=STATIONS)[0]) is None
    drawn, _ = ensemble(n=6)
    assert drawn.truths is not None
    drawn.truths[:, :, 0] = np.nan
    assert figures.spread_maps(drawn) is None
    assert all("lead 24 h" not in one.caption for one in figures.judged(drawn))
    assert figures.judged(replace(drawn, members=drawn.members[:, :1])) == []


def test_a_field_with_a_sign_is_shown_about_zero() -> None:
    assert figures.signed(np.random.default_rng(0).normal(size=1000))
    assert not figures.signed(np.random.default_rng(0).normal(270, 10, size=1000))
    assert not figures.signed(np.random.default_rng(0).exponential(size=1000))


# The report -------------------------------------------------------------------------------------------


def files(folder: Path, n: int = 40) -> tuple[Path, Path]:
    """A world of 8 × 8 points whose forecasts are the truth and some noise."""
    drawn, _ = ensemble(n=n)
    assert drawn.truths is not None
    assert drawn.forecast is not None
    dims, at = ("time", "step", "y", "x"), {"time": drawn.times, "step": drawn.steps.astype("timedelta64[ns]")}
    at |= {name: (name, np.arange(8.0), {"periodic": 1}) for name in ("y", "x")}
    for name, values in {"truth": drawn.truths, "forecast": drawn.forecast}.items():
        fields = {"t2m": (dims, values[:, 0], {"units": "K"})}
        xarray.Dataset(fields, at).to_netcdf(folder / f"{name}.nc", engine="h5netcdf")
    return folder / "forecast.nc", folder / "truth.nc"


@pytest.mark.slow
def test_a_model_has_a_report_beside_the_baselines(tmp_path: Path) -> None:
    forecast, truth = files(tmp_path)
    this = Weather()
    config = WeatherConfig(str(forecast), str(truth), validation=0.2, test=0.2, network=UNetConfig(4, (1,), 1, ()))
    metadata = dict(this.data(config)[0].metadata)
    model = this.denoiser(config, metadata, Origin("weather", "<small>", {}, metadata, "0" * 64))
    said: list[str] = []
    stream = calibration.measured(model, tmp_path, said.append, 6, 5, ("raw", "EMOS"), {"steps": 2})
    found = finished(stream)["recalibration"]
    assert len(found["factors"]) == 2
    assert (found["fitted_on"], found["judged_on"]) in ((2, 2), (2, 1), (3, 3))
    assert found["words"] in said
    page = (tmp_path / "calibration" / "index.html").read_text()
    assert "weather/&lt;small&gt;" in page
    assert all(f"<td>{name}</td>" in page for name in (calibration.OURS, "raw", "EMOS"))
    (row,) = json.loads((tmp_path / "calibration" / "scores.json").read_text())
    assert set(row["beside"]) >= {"raw", "EMOS"}
    assert {one["name"] for one in row["scores"]} >= {"t2m, 24 h: CRPS", "t2m, 48 h: spread / skill"}
    assert json.loads(json.dumps(found)) == found
    assert finished(calibration.measured(model, tmp_path, said.append, 0)) == {}


def test_times_are_taken_evenly_and_no_more_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = {
        "parts": {"test": [100, 340]}, "variables": ["t"], "steps": {"hours": [1.0]}, "grid": {"shape": [10, 10]}
    }  # fmt: skip
    assert calibration.request(metadata, "test", 20, 40).times == "0:240:6"
    assert calibration.request(metadata, "test", 20, 1000).times == "0:240:1"
    monkeypatch.setattr(calibration, "_ALL", 20 * 100 * 8)
    assert calibration.request(metadata, "test", 20, 40).times == "0:240:30"
    chosen = WeatherRequest(held_out="test", times="0:240:30").chosen(np.arange(240))
    assert chosen.tolist() == list(range(0, 240, 30))


# What ships -------------------------------------------------------------------------------------------


def test_the_examples_are_small_free_and_readable(tmp_path: Path) -> None:
    written = examples.write(tmp_path / "made")
    assert sum(path.stat().st_size for path in written) < 400e3
    assert "Apache License" in written[2].read_text()
    pairs = opened(str(written[0]), str(written[1]))
    assert (set(pairs.variables), pairs.grid.shape) == (set(examples.VARIABLES), examples.SHAPE)
    assert tuple(pairs.step_hours) == examples.HOURS
    assert pairs.grid.periodic == (True, True)
    read = pairs.read(slice(0, 5))
    assert read.truth is not None
    off = np.abs(read.mean - read.truth).mean((0, 3, 4))
    assert (np.diff(off, axis=1) > 0).all()  # a forecast is worse at later leads
    assert (off < 0.8 * np.abs(read.truth - read.truth[::-1]).mean((0, 3, 4)) + 1).all()
