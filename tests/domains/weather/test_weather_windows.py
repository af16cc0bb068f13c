"""Grids too large to learn from at once: windows of them know where they are, and draw the whole without seams."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ornstein import Euclidean, InputError, Keys, OneStep, Traits, load, sample
from ornstein.config import TrainConfig, to_dict
from ornstein.denoisers.base import Condition
from ornstein.denoisers.windows import Windowed, windowed
from ornstein.domains.weather.data import WeatherData, split
from ornstein.domains.weather.files.grids import Grid
from ornstein.domains.weather.files.pairs import Pairs
from ornstein.domains.weather.known import Known
from ornstein.domains.weather.network import described, network
from ornstein.domains.weather.task import Weather, WeatherConfig
from ornstein.domains.weather.windows import PLACES, by_windows, given_places, unpacked, windows
from ornstein.networks.patches import PatchTransformerConfig
from ornstein.networks.unet import UNetConfig
from ornstein.spectral.roots import power_law
from ornstein.spectral.transforms import Separable
from ornstein.training.trainer import Trainer
from worlds import rejected

xarray = pytest.importorskip("xarray")
GLOBE = (48, 96)
SMALL = UNetConfig(4, (1, 2), 1, ())


def pairs(static: bool = True, times: int = 20) -> Pairs:
    """Smooth fields over the whole globe, one lead; the forecast is half of the truth."""
    latitude = np.linspace(-90, 90, GLOBE[0])
    longitude = np.arange(GLOBE[1]) * 360 / GLOBE[1]
    smooth = power_law((1, *GLOBE), 3, Separable(("cosine", "fourier")))
    truth = smooth.root(Keys.of(0, times).normal(1, *GLOBE)).numpy()
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
        "step": np.array([24], "timedelta64[h]").astype("timedelta64[ns]"),
        "latitude": ("latitude", latitude, {"units": "degrees_north"}),
        "longitude": ("longitude", longitude, {"units": "degrees_east"}),
    }
    dims = ("time", "step", "latitude", "longitude")
    made = [xarray.Dataset({"t2m": (dims, scale * truth)}, coords) for scale in (0.5, 1.0)]
    grid = Grid.of(made[1], dims[2:])
    fields = np.broadcast_to(np.abs(latitude)[:, None], GLOBE)[None].astype(np.float32) if static else None
    return Pairs(
        made[0], made[1], ("t2m",), ("t2m",), coords["time"], coords["step"], {"t2m": "K"}, grid,
        static=fields, static_names=("orography",) if static else (),
    )  # fmt: skip


def learned(static: bool = True, window: int = 32, **said: Any) -> WeatherData:
    return split(pairs(static), (12, 16), "joint", 10**9, window, **said)[0]


def echo(metadata: Any, channel: int) -> OneStep:
    """A generator in windows that says of each element one of the numbers that it is told of its place."""

    class Echo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
            return condition[PLACES][:, channel : channel + 1] - x

    fields = described(metadata, None)
    return OneStep(Echo(), Traits(Euclidean(tuple(metadata["shape"]))), fields.unconditional)


def test_windows_are_told_of_places_as_the_whole_grid_has_them() -> None:
    data = learned()
    metadata, grid = data.metadata, data.known.grid
    assert grid.periodic == (False, True)
    assert (metadata["shape"], metadata["spectrum"], metadata[PLACES]) == ([1, 32, 32], None, 4)
    told = given_places(grid, metadata, 2)[PLACES]
    assert told.shape == (2, 4, *GLOBE)
    for channel in range(4):
        whole = windowed(echo(metadata, channel), (1, *GLOBE), **(windows(grid, metadata) or {}))
        assert torch.allclose(sample(whole, 2, condition={PLACES: told}).x[:, 0], told[:, channel], atol=1e-5)
    x, condition = data.batch(torch.arange(64))
    where = condition[PLACES]
    assert (x.shape, where.shape) == ((64, 1, 32, 32), (64, 4, 32, 32))
    over_the_end = where[:, 3, 0].diff(dim=1)  # of the cosine of the longitude, −cos: falls and rises within a window
    assert ((over_the_end > 0).any(1) & (over_the_end < 0).any(1)).sum() > 10
    assert torch.allclose(where[:, 2].square() + where[:, 3].square(), torch.ones(64, 32, 32), atol=1e-5)


def test_a_window_is_what_stands_at_its_place() -> None:
    data = learned(static=False)
    x, condition = data.batch(torch.arange(12))
    latitude = condition[PLACES][:, 0, :, 0]
    longitude = torch.atan2(condition[PLACES][:, 1, 0], condition[PLACES][:, 2, 0])
    row = ((latitude + 1) * GLOBE[0] / 2 - 0.5).round().long()
    column = ((longitude / torch.pi + 1) * GLOBE[1] / 2 - 0.5).round().long() % GLOBE[1]
    whole, _ = split(pairs(False), (12, 16), "joint", 10**9)[0].batch(torch.arange(12))
    found = torch.stack([field[:, one[:, None], other] for field, one, other in zip(whole, row, column, strict=True)])
    assert torch.allclose(x, found, atol=1e-5)


def test_networks_of_windows_take_what_they_are_told_and_those_of_whole_grids_know_it() -> None:
    data = learned()
    x, condition = data.batch(torch.arange(2))
    net = network(SMALL, PatchTransformerConfig(), data.metadata, None)
    assert net(x, torch.ones(2), condition).shape == x.shape
    assert net.static is None
    whole = split(pairs(), (12, 16), "joint", 10**9)[0].metadata
    assert not by_windows(whole)
    assert given_places(data.known.grid, whole, 2) == {}
    assert PLACES not in described(whole, None).conditions
    with pytest.raises(InputError, match="--window is 16, but the model learned from whole grids"):
        windows(data.known.grid, whole, 16)


def test_static_fields_of_windows_are_kept_with_three_digits() -> None:
    data = learned()
    assert data.static is not None
    assert torch.allclose(unpacked(data.metadata["fields"]), data.static, rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match="metadata: fields: no static fields"):
        unpacked({**data.metadata["fields"], "packed": "AAAA"})


@pytest.mark.parametrize("window", [0, 32])
def test_a_model_of_one_step_is_trained_saved_and_loaded(window: int, tmp_path: Path) -> None:
    train = TrainConfig(steps=2, batch_size=2, warmup=1, condition_dropout=0.0)
    config = WeatherConfig(method="crps", draws=3, bands=0.0 if window else 0.5, network=SMALL, train=train)
    told: dict[str, Any] = {"files": {"forecast": [], "truth": []}, "source": "made"}
    data, validation = split(pairs(), (12, 16), leads="joint", memory=10**9, window=window, told=told)
    model = Weather().denoiser(config, data.metadata)
    Weather().prepare(model.network, data)
    meta = {"domain": "weather", "name": "small", "config": to_dict(config), "facts": dict(data.metadata)}
    Trainer(model, data, validation, train, tmp_path, meta).fit()
    again = load(tmp_path)
    assert isinstance(again, OneStep)
    assert (again.members, again.bands, again.one_step) == (3, config.bands, True)
    assert (again.space.noise_cov is None) == bool(window)  # pyright: ignore[reportAttributeAccessIssue]
    of_first = Known.of(data.metadata).conditions(data.pairs.read([0]), data.pairs.times[:1])
    given = {**of_first, **given_places(data.known.grid, data.metadata, 1)}
    lie = windows(data.known.grid, data.metadata)
    whole = again if lie is None else windowed(again, (1, *GLOBE), **lie)
    drawn = sample(whole, 1, condition=given).x
    assert drawn.shape == (1, 1, *GLOBE)
    assert 0.5 < float(((drawn - given["base"]) / given["scale"]).std()) < 2


def test_what_a_score_of_draws_needs_is_refused_of_diffusion() -> None:
    for said in ({"draws": 3}, {"bands": 0.5}):
        with pytest.raises(InputError, match="draws and bands are for method crps, found method diffusion"):
            WeatherConfig(**said)  # pyright: ignore[reportArgumentType]


class Blur(nn.Module):
    """Noise averaged over squares of 7 × 7: what is drawn near the edge of a window is not that of the next window."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 1, 7, 7), 1 / 7))

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return nn.functional.conv2d(x, self.weight, padding=3) - x


def globe(overlap: int, borders: tuple[Any, Any] = ("reflect", "periodic")) -> Windowed:
    model = OneStep(Blur(), Traits(Euclidean((1, 32, 32))))
    return windowed(model, (1, *GLOBE), overlap=overlap, borders=borders)


def assert_seamless(whole: Windowed) -> None:
    """Fields are as rough across the edges of windows as elsewhere, and where the longitude goes round."""
    drawn = sample(whole, 40).x
    seams = whole.seams(drawn).mean(0)
    assert ((seams - 1).abs() < 0.1).all(), seams
    across = (drawn[..., 0] - drawn[..., -1])[..., 8:-8].square().mean()
    inside = drawn[..., 8:-8, :].diff(dim=-1).square().mean()
    assert abs(float(across / inside) - 1) < 0.15, across / inside


def test_windows_that_overlap_draw_a_globe_without_seams() -> None:
    assert_seamless(globe(16))
    rejected(assert_seamless, globe(0))
    rejected(assert_seamless, globe(16, ("reflect", "reflect")))
