"""Records of forecasts and truths: what they are, of each lead, mirrored, in windows, from memory or from files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ornstein import InputError, Keys
from ornstein.domains.weather.data import WeatherData, split
from ornstein.domains.weather.files.grids import Grid
from ornstein.domains.weather.files.pairs import Pairs
from ornstein.domains.weather.kept import Kept
from ornstein.domains.weather.measured import _Sign
from ornstein.domains.weather.task import Weather, WeatherConfig, _ends
from ornstein.domains.weather.unseen import from_record
from ornstein.domains.weather.worlds.quasigeostrophic import TwoLayer
from worlds import rejected

xarray = pytest.importorskip("xarray")
T, S, Y, X = 14, 2, 6, 8
LARGE = 10**9
STEPS = np.array([6, 12], "timedelta64[h]").astype("timedelta64[ns]")
TIMES = np.datetime64("2020-01-01", "ns") + np.arange(T) * np.timedelta64(1, "D")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def pairs(
    truth: np.ndarray | None = None, forecast: np.ndarray | None = None, times: Any = TIMES, **said: Any
) -> Pairs:
    """Of one variable, u, on a grid that goes round along x; a forecast of four dimensions, or with members."""
    truth = normal(len(times), S, Y, X) if truth is None else truth.astype(np.float32)
    forecast = truth + 0.5 * normal(*truth.shape, seed=1) if forecast is None else forecast.astype(np.float32)
    coords = {"time": times, "step": STEPS, "y": np.arange(Y) - 2.5, "x": ("x", np.arange(X), {"periodic": 1})}
    dims = ("time", "step", "y", "x")
    raw = xarray.Dataset({"u": (dims[:2] + ("number",) * (forecast.ndim - 4) + dims[2:], forecast)}, coords)
    known = xarray.Dataset({"u": (dims, truth)}, coords)
    members = forecast.shape[2] if forecast.ndim > 4 else 1
    grid = Grid.of(known, dims[2:])
    assert grid.periodic == (False, True)
    return Pairs(raw, known, ("u",), ("u",), times, STEPS, {"u": ""}, grid, members=members, **said)


def learned(found: Pairs | None = None, leads: Any = "joint", memory: int = LARGE, **said: Any) -> WeatherData:
    return split(pairs() if found is None else found, (8, 11), leads, memory, **{"cycles": (), **said})[0]


def rain() -> Pairs:
    """Half of it 0."""
    u = normal(T, S, Y, X)
    return pairs(np.maximum(u, 0) ** 2, np.maximum(u + 0.5 * normal(T, S, Y, X, seed=1), 0) ** 2)


def batch(data: WeatherData, *index: int) -> dict[str, Tensor]:
    x, condition = data.batch(torch.tensor(index or range(len(data))))
    return {"x": x, **condition}


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value.nan_to_num(9e9), b[name].nan_to_num(9e9)), name


# Records ----------------------------------------------------------------------------------------------


def test_states_are_what_the_regression_leaves() -> None:
    data = learned()
    x = batch(data)["x"]
    assert x.shape == (8, S, Y, X)
    flat = x.transpose(0, 1).flatten(1)
    assert torch.allclose(flat.mean(1), torch.zeros(S), atol=1e-3)
    assert torch.allclose(flat.std(1), torch.ones(S), atol=1e-2)


@pytest.mark.parametrize("found", [None, rain()], ids=["u", "rain"])
def test_records_of_one_lead_are_those_of_all(found: Pairs | None) -> None:
    joint, each = learned(found), learned(found, "each")
    assert len(each) == S * len(joint)
    assert each.metadata["shape"] == [1, Y, X]
    whole, parts = batch(joint, *range(8)), batch(each, *range(16))
    assert parts.pop("lead").flatten().tolist() == [-1, 1] * 8
    seen = torch.from_numpy(np.asarray(joint.pairs.read(slice(None)).truth))[:, 0] != 0
    for name, value in parts.items():
        there = seen if name == "x" else torch.ones_like(seen)  # what was not seen is drawn
        assert torch.allclose(value.reshape(8, S, Y, X)[there], whole[name][there], atol=1e-6), name


@pytest.mark.parametrize("said", [{}, {"mirror": "y"}, {"window": 4}, {"leads": "each"}], ids=str)
def test_records_are_functions_of_their_numbers_and_the_same_from_files(said: dict[str, Any]) -> None:
    found = None if "mirror" in said else rain()
    kept = learned(found, **said)
    last = len(kept) - 1
    many, few = batch(kept, last, 0, 9, 0), batch(kept, 9, last)
    assert_equal({name: value[[2, 0]] for name, value in many.items()}, few)
    files = replace(kept, kept=Kept(kept.pairs, 0))
    assert (kept.kept.whole, files.kept.whole) == (True, False)
    assert_equal(batch(files, last, 0, 9, 0), many)


def test_no_more_is_read_than_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found, read, sizes = pairs(), Pairs.read, []
    one = found.bytes // T

    def counted(self: Pairs, index: Any) -> Any:
        result = read(self, index)
        sizes.append(len(result.mean))
        return result

    monkeypatch.setattr(Pairs, "read", counted)
    large = learned(found)
    assert sizes == [8, 3]  # each part once, for all that is measured
    sizes.clear()
    small = learned(found, memory=4 * one)
    assert max(sizes) <= 4
    assert sum(sizes) <= 8
    batch(small, 0, 5, 5)
    assert sizes[-1] == 2
    assert torch.allclose(small.known.predictor_mean, large.known.predictor_mean, atol=0.3)
    assert learned(found, memory=1).known.predictor_std.isfinite().all()


def test_what_validates_shares_what_was_measured() -> None:
    train, validation = split(rain(), (8, 11), "joint", LARGE, cycles=())
    assert (len(train), len(validation)) == (8 * train.copies, 3)
    assert validation.known is train.known
    assert train.metadata["parts"] == {"train": [0, 8], "validation": [8, 11], "test": [11, 14]}


def test_one_time_is_enough() -> None:
    train, validation = split(pairs(times=TIMES[:2]), (1, 2), "joint", LARGE)
    assert all(bool(value.isfinite().all()) for one in (train, validation) for value in batch(one).values())


# Missing truths ---------------------------------------------------------------------------------------


def test_what_is_missing_is_masked_and_what_was_never_seen_is_kept() -> None:
    truth = normal(T, S, Y, X)
    truth[:, :, 1, 2], truth[3, 0, 4, 4] = np.nan, np.nan
    data = learned(pairs(truth, normal(T, S, Y, X)))
    found = batch(data, 2, 3)
    there = torch.ones(2, S, Y, X, dtype=torch.bool)
    there[:, :, 1, 2], there[1, 0, 4, 4] = False, False
    assert torch.equal(found["mask"], there)
    assert bool(found["x"].isfinite().all())
    assert data.metadata["spectrum"] is None
    unseen = from_record(data.metadata["unseen"])
    assert unseen is not None
    assert np.argwhere(unseen).tolist() == [[0, 1, 2]]


def test_a_gap_in_what_validates_is_one() -> None:
    truth = normal(T, S, Y, X)
    truth[9, 1, 0, 0] = np.nan
    train, validation = split(pairs(truth, normal(T, S, Y, X)), (8, 11), "joint", LARGE, cycles=())
    assert bool(batch(train)["mask"].all())
    assert not batch(validation)["mask"].all()
    assert train.metadata["unseen"] is None


def test_a_gap_that_nobody_looked_at_is_named() -> None:
    truth = normal(T, S, Y, X)
    truth[3, 1, 0, 0] = np.nan
    data = learned(pairs(truth, normal(T, S, Y, X)), memory=1)
    with pytest.raises(InputError, match=r"record 3: a truth is missing.*raise memory"):
        batch(data)


def test_truths_that_are_all_missing_are_named() -> None:
    with pytest.raises(InputError, match="u: the truth is missing at all times that are learned from"):
        learned(pairs(np.full((T, S, Y, X), np.nan), normal(T, S, Y, X)))


# Zeros ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "positive", "bounded"),
    [
        (np.maximum(normal(T, S, Y, X), 0), True, False),
        (np.abs(normal(T, S, Y, X)) + 1e-3, False, True),
        (280 + normal(T, S, Y, X), False, False),
        (normal(T, S, Y, X), False, False),
    ],
    ids=["rain", "wind", "kelvin", "signed"],
)
def test_which_variables_have_a_bound(truth: np.ndarray, positive: bool, bounded: bool) -> None:
    known = learned(pairs(truth, truth)).known
    assert (known.positive, known.censored, known.bounded) == ([positive], [positive], [bounded])


def assert_hidden(u: Tensor, base: Tensor, scale: Tensor) -> None:
    """Of N(base, scale²), given that it is not above 0."""
    edge = stats.norm.logcdf((-base / scale).double().numpy())
    uniform = np.exp(stats.norm.logcdf(((u - base) / scale).double().numpy()) - edge)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3


def test_zeros_are_draws_below() -> None:
    data = learned(rain())
    index = torch.arange(len(data))
    read = data.pairs.read(index.numpy() % 8)
    told = data.known.conditions(read, data.pairs.times[index.numpy() % 8])
    base, scale = told["base"], told["scale"]
    u = base + scale * data.batch(index)[0]
    zero = torch.from_numpy(np.asarray(read.truth))[:, 0] == 0
    assert 0.4 < zero.float().mean() < 0.6
    assert u[zero].max() <= 1e-5
    assert (u[:8][zero[:8]] != u[8:16][zero[8:16]]).float().mean() > 0.99  # each copy has its own
    assert_hidden(u[zero].clamp(max=0), base[zero], scale[zero])
    rejected(assert_hidden, -(scale * Keys.of(0, len(u)).normal(S, Y, X)).abs()[zero], base[zero], scale[zero])
    rejected(assert_hidden, u[zero].clamp(max=0), base[zero] + 0.1, scale[zero])


# Mirrors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["y", "x"])
def test_a_field_mirrored_twice_is_itself(axis: str) -> None:
    forecast = normal(T, S, 3, Y, X, seed=2)
    data = learned(pairs(forecast=forecast), mirror=axis)
    assert data.copies == 2
    plain = batch(data, *range(8))
    turned = batch(data, *range(8, 16))
    along = {"y": 2, "x": 3}[axis]
    places = (-np.arange(X)) % X if axis == "x" else np.arange(Y)[::-1].copy()  # x goes round, and begins where it did
    for name, value in turned.items():
        mirrored = plain[name].index_select(along, torch.from_numpy(places))
        assert torch.equal(value, mirrored if name == "spread" else -mirrored), name
        assert not torch.equal(value, plain[name])
    index = torch.arange(8, 16)
    again, condition = data._mirrored(turned.pop("x"), turned, index)
    assert_equal({"x": again, **condition}, plain)


def assert_symmetric(model: TwoLayer) -> None:
    """The flow that begins mirrored with its sign changed goes on so: its statistics are the same."""
    reach = (model.k2 > 0) & (model.k2 < 4)
    state = model.waves(torch.from_numpy(normal(2, model.n, model.n)).double()) * reach

    def mirrored(waves: Tensor) -> Tensor:
        return model.waves(-model.grid(waves).flip(-2).roll(1, -2))

    after = model.run(state, 20 * model.dt)
    assert (after - state).abs().max() > 1e-2 * state.abs().max()
    assert torch.allclose(model.run(mirrored(state), 20 * model.dt), mirrored(after), atol=1e-9)


def test_the_mirror_of_the_shipped_world_is_one() -> None:
    class Tilted(TwoLayer):
        """With a wind across, whose mirror image is another."""

        def tendency(self, state: Tensor) -> Tensor:
            return super().tendency(state) - 0.5j * self.l * state

    assert_symmetric(TwoLayer(n=16))
    rejected(assert_symmetric, Tilted(n=16))


def with_orography() -> Pairs:
    return replace(pairs(), static=normal(1, Y, X), static_names=("orography",))


@pytest.mark.parametrize(
    ("found", "said", "words"),
    [
        (pairs(), {"mirror": "z"}, "mirror is 'z', expected an axis of the grid: y, x"),
        (pairs(), {"mirror": "y", "window": 4}, "of whole grids, not of windows of 4 points"),
        (rain(), {"mirror": "y"}, "u is never negative"),
        (with_orography(), {"mirror": "y"}, "orography, are not the same mirrored"),
    ],
    ids=["axis", "windows", "sign", "static"],
)
def test_mirrors_that_are_none_are_refused(found: Pairs, said: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        learned(found, **said)


# Spectra ----------------------------------------------------------------------------------------------


def test_the_noise_has_the_spectrum_of_the_states() -> None:
    smooth = np.cumsum(np.cumsum(normal(T, S, Y, X), -1), -2)
    data = learned(pairs(smooth - smooth.mean((2, 3), keepdims=True), normal(T, S, Y, X)))
    x = batch(data)["x"]
    space = Weather().space(WeatherConfig(), data.metadata)
    drawn = space.prior(Keys.of(0, 4000))
    assert isinstance(drawn, Tensor)
    assert torch.allclose(drawn.square().mean((0, 2, 3)), x.square().mean((0, 2, 3)).float(), rtol=0.1)
    rough = (drawn[..., 1:] - drawn[..., :-1]).square().mean()
    assert rough < 1.2 * drawn.square().mean()
    white = Weather().space(WeatherConfig(coloured=False), data.metadata).prior(Keys.of(0, 4000))
    assert isinstance(white, Tensor)
    assert (white[..., 1:] - white[..., :-1]).square().mean() > 1.8 * white.square().mean()


def test_static_fields_are_standardised_and_those_of_windows_are_kept() -> None:
    data = learned(with_orography())
    assert data.static is not None
    assert data.metadata["static"] == 1
    assert torch.allclose(data.static.mean(), torch.tensor(0.0), atol=1e-5)
    assert torch.allclose(data.static.std(correction=0), torch.tensor(1.0), atol=1e-5)
    assert learned().static is None
    assert batch(learned(with_orography(), window=4), 0)["places"].shape == (1, 4, 4, 4)  # one, y, sin x, cos x


# The parts --------------------------------------------------------------------------------------------


def ends(times: Any = TIMES, **said: Any) -> tuple[int, int]:
    return _ends(pairs(times=times), WeatherConfig("f", "t", **said))


def test_parts_by_shares_and_by_dates() -> None:
    assert ends() == (10, 11)
    assert ends(validation=0.3, test=0.0) == (10, 14)
    assert ends(TIMES[:4]) == (2, 3)  # one at least validates
    assert ends(test_from="2020-01-11") == (9, 10)
    assert ends(test_from="2020-01-11", validation_from="2020-01-05") == (4, 10)
    assert ends(test_from="2020-01-11 12:00") == (10, 11)
    assert ends(np.arange(float(T)), test_from="10.5") == (10, 11)
    other = xarray.date_range("2020-02-20", periods=T, calendar="360_day", use_cftime=True).values
    assert ends(other, test_from="2020-02-30") == (9, 10)


@pytest.mark.parametrize(
    ("times", "said", "words"),
    [
        (TIMES, {"test_from": "soon"}, "test_from is 'soon', expected a date"),
        (TIMES, {"test_from": "today"}, "test_from is 'today', expected a date"),
        (TIMES, {"validation_from": "2020-13-01"}, "validation_from is '2020-13-01', expected a date"),
        (np.arange(float(T)), {"test_from": "2020-01-01"}, "or a number as times have"),
        (TIMES, {"test_from": "2019-01-01"}, "of 14 times -1 are before what validates"),
        (TIMES[:1], {}, "of 1 times"),
        (TIMES, {"validation_from": "2021-01-01"}, "expected at least one to learn from"),
    ],
)
def test_parts_that_leave_nothing_are_refused(times: Any, said: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ends(times, **said)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"match": ("t2m",)}, "expected NAME=NAME"),
        ({"truth": ""}, "--truth is not given"),
        ({"forecast": ""}, "--forecast is not given"),
    ],
)
def test_data_that_are_not_said_are_asked_for(tmp_path: Path, said: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Weather().data(WeatherConfig(**{"forecast": str(tmp_path), "truth": str(tmp_path), **said}))


def test_what_rounding_left_below_zero_is_still_never_negative() -> None:
    assert _Sign(-1e-9, 30.0, 2.0, 0.4).often_zero
    assert not _Sign(-0.1, 30.0, 2.0, 0.4).bounded
