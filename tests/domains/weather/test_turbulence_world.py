"""`weather-qg`: a true flow, forecasts of it, and the files that they become; on a small grid, soon after it begins."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from torch import Tensor

from ornstein.commands.sets import made
from ornstein.domains.weather.worlds import SETS, turbulence
from ornstein.domains.weather.worlds.quasigeostrophic import State, TwoLayer, truncated
from ornstein.errors import InputError
from worlds import rejected


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turbulence, "TRUTH", TwoLayer(n=16, dt=0.1))
    monkeypatch.setattr(turbulence, "FORECAST", TwoLayer(n=8, wind=(0.92, 0.0), drag=0.4, dt=0.2))
    monkeypatch.setattr(turbulence, "SPIN_UP", 10)


def states(n: int) -> Tensor:
    """n flows of 64² points that are not correlated; q."""
    noise = torch.randn(n, 2, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    k2 = turbulence.TRUTH.k2
    return turbulence.TRUTH.waves(noise) * torch.exp(-k2) * (k2 > 0)


# The error of the analysis ----------------------------------------------------------------------------


def assert_error(found: Tensor, truth: Tensor) -> None:
    """12 % of the standard deviation in both layers within 2 %, which do not know of each other; the spectrum."""
    model, exact = turbulence.FORECAST, truncated(truth, 32)
    error = model.grid(found - exact)
    share = error.std((0, 2, 3)) / model.grid(exact).std((0, 2, 3))
    assert share.numpy() == pytest.approx(0.12, rel=0.02)
    assert abs(float((error[:, 0] * error[:, 1]).mean() / error.std() ** 2)) < 0.02
    power = (found - exact).abs().square().mean((0, 1))
    large, small = power[(model.k2 > 0.5) & (model.k2 < 1.5)].mean(), power[(model.k2 > 7) & (model.k2 < 8)].mean()
    assert float((small / large).log()) == pytest.approx(-6.5 / 2.1**2, abs=0.1)


def test_the_analysis_errs_as_it_is_said() -> None:
    truth = states(300)
    assert_error(turbulence.analyses(truth, 0, 0), truth)


@pytest.mark.parametrize("broken", ["ERROR", "SMOOTH"])
def test_another_error_is_rejected(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = states(300)
    monkeypatch.setattr(turbulence, broken, 1.05 * getattr(turbulence, broken))
    rejected(assert_error, turbulence.analyses(truth, 0, 0), truth)


def test_layers_that_err_alike_are_rejected() -> None:
    truth = states(300)
    exact = truncated(truth, 32)
    error = (turbulence.analyses(truth, 0, 0) - exact)[:, :1]
    scale = turbulence.FORECAST.grid(exact).std((0, 2, 3)) / turbulence.FORECAST.grid(exact).std((0, 2, 3))[0]
    rejected(assert_error, exact + error * scale[:, None, None], truth)


def test_an_error_belongs_to_a_number_and_a_seed() -> None:
    truth = states(3)
    whole = turbulence.analyses(truth, 4, 1)
    assert torch.allclose(turbulence.analyses(truth[1:], 5, 1), whole[1:], rtol=0, atol=1e-15)
    assert not torch.allclose(turbulence.analyses(truth, 4, 2), whole)


# The files --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_the_files_are_what_a_forecaster_expects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turbulence, "BLOCK", 2)
    made(SETS["weather-qg"])(tmp_path / "qg", n=3, seed=3)
    assert "3 forecasts for 3 lead times" in capsys.readouterr().out
    forecast, truth = (xarray.open_zarr(tmp_path / f"qg/{name}.zarr") for name in ("forecast", "truth"))
    assert dict(forecast.sizes) == {"time": 3, "step": 3, "y": 8, "x": 8}
    assert dict(truth.sizes) == {"time": 3, "step": 3, "y": 16, "x": 16}
    assert (forecast.time.values == np.datetime64("2000-01-01") + 10 * np.arange(3).astype("timedelta64[D]")).all()
    assert forecast.step.values.astype("timedelta64[D]").astype(int).tolist() == [2, 4, 8]
    for one in (forecast, truth):
        assert one.x.attrs["periodic"] == 1
        assert float(one.x[1]) == pytest.approx(8 * np.pi / one.sizes["x"])
        assert one.streamfunction.attrs["units"] == "1"
        assert one.attrs["license"] == "Apache-2.0"
    assert_as_computed(forecast, truth)


def assert_as_computed(forecast: xarray.Dataset, truth: xarray.Dataset) -> None:
    """The third time is in another block than the first."""
    flow = torch.stack(list(turbulence.trajectory(3, 3)))
    pair = turbulence.pair(flow[2:], 2, 3)
    for at, name in enumerate(("streamfunction", "vorticity")):
        assert np.allclose(truth[name][2], pair.truth[0, :, at], rtol=1e-5, atol=1e-6)
        assert np.allclose(forecast[name][2], pair.forecast[0, :, at], rtol=1e-4, atol=1e-5)
    vorticity = turbulence.TRUTH.grid(turbulence.TRUTH.vorticity(flow[2, 1]))[0]
    assert np.allclose(truth.vorticity[2, 0], vorticity.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("small")
def test_the_truth_goes_on_from_one_forecast_to_the_next() -> None:
    first, second = list(turbulence.trajectory(2, 0))
    assert torch.allclose(turbulence.TRUTH.run(first[-1], 2), second[0])
    assert torch.allclose(turbulence.TRUTH.run(first[0], 2), first[1])


@pytest.mark.usefixtures("small")
def test_a_perfect_model_with_a_perfect_analysis_forecasts_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    def analysis(truth: State, first: int, seed: int) -> State:
        return truth

    flow = torch.stack(list(turbulence.trajectory(1, 0)))
    assert not np.allclose(turbulence.pair(flow, 0, 0).forecast, _coarse(flow), atol=1e-2)
    monkeypatch.setattr(turbulence, "FORECAST", replace(turbulence.TRUTH))
    monkeypatch.setattr(turbulence, "analyses", analysis)
    pair = turbulence.pair(flow, 0, 0)
    assert np.allclose(pair.forecast, pair.truth, atol=1e-5)


def _coarse(flow: Tensor) -> np.ndarray:
    return turbulence.pair(flow, 0, 0).truth[..., ::2, ::2]


def test_no_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="n is 0, expected at least one time"):
        made(SETS["weather-qg"])(tmp_path / "qg", n=0)
    assert not list(tmp_path.iterdir())


# The spread of the true world -------------------------------------------------------------------------


@pytest.mark.slow
def test_forecasts_are_as_wrong_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean absolute errors of ψ₁ where the grids coincide, of 6 times: about what the module says."""
    monkeypatch.setattr(turbulence, "SPIN_UP", 120)
    flow = torch.stack(list(turbulence.trajectory(6, 1)))
    pair = turbulence.pair(flow, 0, 1)
    errors = np.abs(pair.forecast - pair.truth[..., ::2, ::2]).mean((0, 3, 4))
    assert errors[:, 0] == pytest.approx([0.42, 0.59, 1.13], rel=0.25)
    assert pair.truth[:, :, 0].std() == pytest.approx(2.8, rel=0.2)
    assert pair.truth[:, :, 1].std() == pytest.approx(1.95, rel=0.15)
