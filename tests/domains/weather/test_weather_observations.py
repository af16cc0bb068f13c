"""Observations: what a file says of which channel and point, and what a model makes of it, beside the closed form."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import ornstein as on
from ornstein import InputError, Keys, calibration
from ornstein.denoisers.fields import draw_normal
from ornstein.domains.weather.factors import Observed, stds
from ornstein.domains.weather.files import Grid
from ornstein.domains.weather.known import Known
from ornstein.domains.weather.observed.moments import Moments
from ornstein.domains.weather.observed.places import Gather, corners
from ornstein.domains.weather.observed.readings import read
from ornstein.domains.weather.roots import Roots
from ornstein.testing import check_operator
from worlds import rejected

ROUND = {"y": {"periodic": 1}, "x": {"periodic": 1}}
SQUARE = Grid("grid", ("y", "x"), (8, 8), {"y": np.arange(8.0), "x": np.arange(8.0)}, ROUND)
GLOBE = Grid("grid", ("lat", "lon"), (5, 8), {"lat": np.linspace(60, 40, 5), "lon": np.arange(0.0, 360.0, 45.0)})
ALPS = Grid(
    "stations",
    ("station",),
    (2,),
    {"station": np.array(["IBK", "VIE"]), "latitude": np.array([47.26, 48.2]), "longitude": np.array([11.4, 16.4])},
)
SPECTRUM = on.roots.power_law((2, 8, 8), 3, on.transforms.periodic())  # a variable at two leads
WORLD = on.oracles.gaussian_field(SPECTRUM, noise_cov=SPECTRUM)
NUMBERS = np.array([0.0, 10.0])
DAYS = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]")


def known(grid: Grid = SQUARE, positive: bool = False) -> Known:
    """What a model of one variable says."""
    one = torch.ones(1, 2)
    said = {
        "positive": [positive],
        "bounded": [False],
        "ensemble": False,
        "missing": False,
        "cycles": (),
    }
    stats = dict.fromkeys(("predictor_mean", "predictor_std", "spread_mean", "truth_mean", "truth_std"), one)
    return Known(variables=["t"], predictors=["t"], steps=2, grid=grid, leads="joint", **said, **stats)


def moments(times: np.ndarray = NUMBERS) -> Moments:
    steps = np.array([2.0, 4.0]) if times.dtype.kind == "f" else np.array([24, 48]).astype("timedelta64[h]")
    hours = np.array([[2.0, 4.0]] * 2) if times.dtype.kind == "f" else np.array([[24.0, 48.0]] * 2)
    return Moments(times, times[:, None] + steps, hours)


def written(tmp_path: Path, *rows: str, header: str = "variable,valid_time,y,x,value,std") -> Path:
    path = tmp_path / "today.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def observed(path: Path, of: Any = None, when: Moments | None = None, **std: float) -> Observed:
    return Observed.of(path, of or known(), when or moments(), std)


# Places -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "place", "points"),
    [
        (SQUARE, {"y": 2.0, "x": 3.0}, {19: 1.0}),
        (SQUARE, {"y": 2.0, "x": 7.25}, {23: 0.75, 16: 0.25}),
        (GLOBE, {"latitude": 57.5, "longitude": -22.5}, {7: 0.25, 0: 0.25, 15: 0.25, 8: 0.25}),
        (GLOBE, {"latitude": 62.0, "longitude": 90.0}, {2: 1.0}),
        (ALPS, {"station": "VIE"}, {1: 1.0}),
        (ALPS, {"latitude": 47.261, "longitude": 11.4}, {0: 1.0}),
    ],
)
def test_a_place_is_read_between_its_points(grid: Grid, place: dict[str, Any], points: dict[int, float]) -> None:
    found = corners(grid, {name: [value] for name, value in place.items()})
    read = {int(k): float(w) for k, w in zip(found.index[0], found.weight[0], strict=True) if w > 0}
    assert read == pytest.approx(points)


def test_on_a_curvilinear_grid_it_is_the_nearest_point() -> None:
    lat, lon = np.meshgrid(np.linspace(40, 44, 5), np.linspace(178, 182, 5), indexing="ij")
    grid = Grid("grid", ("j", "i"), (5, 5), {"lat": lat + 0.1 * (lon - 180), "lon": lon})
    assert corners(grid, {"latitude": [42.1], "longitude": [-179.1]}).index.tolist() == [[13]]
    with pytest.raises(InputError, match="km off the nearest point"):
        corners(grid, {"latitude": [12.0], "longitude": [0.0]})


def test_the_operator_is_one() -> None:
    index = torch.randint(0, 128, (3, 4, 2))
    assert check_operator(Gather(index, torch.rand(3, 4, 2, dtype=torch.float64), (2, 8, 8)), (2, 8, 8)) > 0
    assert check_operator(Gather(index[:1], torch.rand(1, 4, 2, dtype=torch.float64), (2, 8, 8)), (2, 8, 8)) > 0


# Files ------------------------------------------------------------------------------------------------


def test_a_reading_is_of_the_channel_and_the_place_that_its_line_says(tmp_path: Path) -> None:
    path = written(tmp_path, "# today", "t,4,2,3,1.5,0.5", "", "t,12,1,7.25,-1,0.25")
    found = observed(path)
    assert found.used == [1, 1]
    field = torch.randn(2, 2, 8, 8)
    (factor,), condition = found.of_records([0, 1])
    y, operator = (lambda m: (m.y, m.operator))(factor.bound(condition).of_u)  # pyright: ignore[reportAttributeAccessIssue]
    assert torch.allclose(y.flatten(), torch.tensor([3.0, -4.0]))
    want = torch.stack([field[0, 1, 2, 3] / 0.5, (0.75 * field[1, 0, 1, 7] + 0.25 * field[1, 0, 1, 0]) / 0.25])
    assert torch.allclose(operator(field).flatten(), want)


@pytest.mark.parametrize(
    ("header", "row", "times"),
    [
        ("variable,valid_time,y,x,value,std", "t,2020-01-03T00:00,1,1,1,1", DAYS),
        ("variable,time,y,x,value,std", "t,2020-01-03 00:00:00Z,1,1,1,1", DAYS),
        ("x,value,name,y,sigma,date", "1,1,t,1,1,2020-01-03", DAYS),
        ("variable,time,step,y,x,value,std", "t,2020-01-01,48,1,1,1,1", DAYS),
        ("variable,time,step,y,x,value,std", "t,2020-01-01,48h,1,1,1,1", DAYS),
    ],
)
def test_times_are_read_as_files_say_them(tmp_path: Path, header: str, row: str, times: np.ndarray) -> None:
    found = observed(written(tmp_path, row, header=header), when=moments(times))
    assert found.used == ([1, 0] if "step" in header else [1, 1])
    assert found.places[0, 0, 0] // 64 == 1


def test_what_the_forecast_has_not_is_named_and_counted(tmp_path: Path) -> None:
    rows = ["t,4,2,3,1,1", "t,5,1,1,1,1", "t,6,1,1,1,1", "t,4,1,1,nan,1", "wind,4,1,1,1,1"]
    notes = observed(written(tmp_path, *rows)).notes
    assert [note.split(": ", 1)[1].split(" (")[0] for note in notes] == [
        "2 left out, of times or leads that the forecast has not",
        "1 left out, without a value",
        "1 left out, the variable 'wind' is none of the model's, t; valid: t",
    ]
    assert "line 3" in notes[0]


def test_places_beyond_the_model_are_named_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "t,4,50,10,1,1", "t,4,10,10,1,1", header="variable,valid_time,lat,lon,value,std")
    found = observed(path, known(GLOBE))
    assert found.used == [1, 0]
    assert "1 left out, of places that the model has not" in found.notes[0]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["t,4,2,3,hot,1"], "line 2: value is 'hot'"),
        (["t,4,2,north,1,1"], "line 2: x is 'north'"),
        (["t,4,2,3,1,-1"], "line 2: std is -1"),
        (["t,4,2,3,1"], "line 2: has 5 fields, expected 6"),
        (["t,noon,2,3,1,1"], "line 2: time is 'noon', expected a number"),
        (["t,,2,3,1,1"], "line 2: says no time"),
        (["t,4,2,3,1,"], "nobody says how sure t is"),
        (["t,77,2,3,1,1"], "nothing observed is of the forecast"),
        ([], "has no readings"),
    ],
)
def test_what_is_no_observation_is_named(tmp_path: Path, rows: Sequence[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        observed(written(tmp_path, *rows))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("variable,valid_time,y,x,value,quality", "column 'quality' is unknown"),
        ("variable,valid_time,y,value,std", "expected y, x"),
        ("variable,y,x,value,std", "no column says when"),
        ("valid_time,y,x,value,std", "'variable' is missing"),
        ("variable,valid_time,y,x,value,value", "stands there 2 times"),
    ],
)
def test_a_header_says_what_is_wrong_with_it(tmp_path: Path, header: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        observed(written(tmp_path, "t,4,2,3,1,1", header=header))


def test_a_step_alone_is_of_a_forecast_of_one_time(tmp_path: Path) -> None:
    path = written(tmp_path, "t,4,1,1,1,1", header="variable,step,y,x,value,std")
    with pytest.raises(InputError, match="of several times"):
        observed(path)
    one = Moments(NUMBERS[:1], NUMBERS[:1, None] + np.array([[2.0, 4.0]]), np.array([[2.0, 4.0]]))
    found = observed(path, when=one)
    assert found.places[0, 0, int(found.values[0, 0, 2:].argmax())] == 64 + 9


def test_the_error_may_be_said_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, "t,4,2,3,1", header="variable,valid_time,y,x,value")
    assert float(observed(path, t=0.5).values[0, 0, 1]) == 2.0
    assert stds("0.5", ["a", "b"]) == {"a": 0.5, "b": 0.5}
    assert stds("a=1, b=2", ["a", "b"]) == {"a": 1.0, "b": 2.0}
    for wrong in ("a=x", "c=1", "-1", "a="):
        with pytest.raises(InputError, match="observation_std"):
            stds(wrong, ["a", "b"])


def test_stations_of_a_netcdf_file(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    values = np.array([[1.0, 2.0], [np.nan, 4.0]])
    path = tmp_path / "today.nc"
    data = {"t": (("valid_time", "station"), values, {"units": "K"}), "t_std": (("station",), np.array([0.5, 0.25]))}
    coords = {"valid_time": [2.0, 4.0], "station": ["VIE", "IBK"]}
    xarray.Dataset(data, coords).to_netcdf(path, engine="h5netcdf")
    found = read(path, ["t"], ALPS, {"t": "K"})
    assert [(one.value, one.std, one.place["station"]) for one in found][:2] == [(1.0, 0.5, "VIE"), (2.0, 0.25, "IBK")]
    assert observed(path, known(ALPS)).used == [3, 0]
    with pytest.raises(InputError, match="t is in 'K', expected 'degC'"):
        read(path, ["t"], ALPS, {"t": "degC"})


# What a model makes of it -----------------------------------------------------------------------------


def assert_posterior(x: torch.Tensor, law: Any, n: int = 100) -> None:
    """Means and spreads of samples on both leads, within four standard errors; coverage of 90 %."""
    cov = law.cov
    variance = torch.stack([cov(e[None])[0].flatten()[k] for k, e in _units()])
    mean = law.mean[0].flatten()[[k for k, _ in _units()]]
    found = x.flatten(1)[:, [k for k, _ in _units()]].double()
    z = (found.mean(0) - mean) / (variance / n).sqrt()
    assert float(z.abs().max()) < 4, z
    ratio = found.var(0) / variance
    assert float((ratio - 1).abs().max()) < 4 * sqrt(2 / n), ratio
    inside = ((found - mean).abs() < stats.norm.ppf(0.95) * variance.sqrt()).double().mean()
    assert 0.85 < float(inside) < 0.95


def _units() -> list[tuple[int, torch.Tensor]]:
    places = (19, 40, 64 + 9, 64 + 27)
    units = []
    for place in places:
        unit = torch.zeros(128, dtype=torch.float64)
        unit[place] = 1
        units.append((place, unit.reshape(2, 8, 8)))
    return units


def test_samples_of_each_time_follow_their_own_posterior(tmp_path: Path) -> None:
    """In one call, of two times that different things were observed of."""
    path = written(tmp_path, "t,4,2,3,1.5,0.3", "t,2,5,0,-1,0.3", "t,12,1,7.25,2,0.2")
    found = observed(path)
    records = [0] * 100 + [1] * 100
    (factor,), condition = found.of_records(records)
    drawn = on.sample(WORLD & factor, 200, steps=12, eta=1.0, condition=condition).x
    laws = [WORLD.posterior(found.of_record(record)[0].of_u)[1] for record in (0, 1)]  # pyright: ignore[reportAttributeAccessIssue]
    for record in (0, 1):
        assert_posterior(drawn[100 * record :][:100], laws[record])
    rejected(assert_posterior, drawn[:100], laws[1])
    rejected(assert_posterior, drawn[:100], WORLD.prior())


def test_observations_lower_the_crps_and_keep_the_coverage(tmp_path: Path) -> None:
    """Beside the exact posterior, of a truth that was drawn and ten readings of it."""
    truth = WORLD.draw(Keys.of(3, 1))
    places = Keys.of(4, 10).uniform(3)
    noise = 0.2 * Keys.of(5, 10).normal(1)[:, 0]
    lines = []
    for (lead, y, x), off in zip(places.tolist(), noise.tolist(), strict=True):
        step, y, x = (2, 4)[int(2 * lead)], int(8 * y), int(8 * x)
        lines.append(f"t,{step},{y},{x},{float(truth[0, step // 2 - 1, y, x]) + off},0.2")
    factors = observed(written(tmp_path, *lines)).of_record(0)
    given = on.sample(WORLD & factors[0], 64, steps=12, eta=1.0).x
    plain = WORLD.draw(Keys.of(6, 64))
    exact = WORLD.posterior(factors[0].of_u)[1]  # pyright: ignore[reportAttributeAccessIssue]
    draws = draw_normal(exact, Keys.of(7, 64)).float()
    score = [calibration.crps(truth.numpy(), x[None].numpy()).value for x in (given, plain)]
    assert score[0] < 0.9 * score[1]
    assert score[0] == pytest.approx(calibration.crps(truth.numpy(), draws[None].numpy()).value, rel=0.1)


# What is never negative -------------------------------------------------------------------------------


def test_rain_is_observed_by_its_root(tmp_path: Path) -> None:
    """y ± s of max(u, 0)² is √y ± √(y + s) − √y of u: conjugate, where the field itself is not linear."""
    path = written(tmp_path, "t,4,2,3,4,0.41")
    (factor,) = observed(path, known(positive=True)).of_record(0)
    model = on.mapped(WORLD, Roots((True, True)))
    drawn = on.sample(model & factor, 200, steps=12, eta=1.0).x[:, 1, 2, 3]
    row = torch.zeros(2, 8, 8, dtype=torch.bool)
    row[1, 2, 3] = True
    _, law = WORLD.posterior(on.Measurement([2.0], on.operators.Mask(row), 0.1))
    assert float(drawn.sqrt().mean()) == pytest.approx(float(law.mean[0, 1, 2, 3]), abs=0.03)
    with pytest.raises(InputError, match="expected a number from 0"):
        observed(written(tmp_path, "t,4,2,3,-4,1"), known(positive=True))


def test_a_zero_that_was_observed_says_that_it_is_dry(tmp_path: Path) -> None:
    (factor,) = observed(written(tmp_path, "t,4,2,3,0,0.01"), known(positive=True)).of_record(0)
    model = on.mapped(WORLD, Roots((True, True)))
    prior = on.physical(model, WORLD.draw(Keys.of(8, 400)))[:, 1, 2, 3]
    drawn = on.sample(model & factor, 100, exact="particles", particles=200, steps=15).x[:, 1, 2, 3]
    assert float((prior == 0).double().mean()) < 0.6
    assert float((drawn < 0.02).double().mean()) > 0.95
    other = on.sample(model, 100, steps=15).x[:, 1, 2, 3]
    assert float((other < 0.02).double().mean()) < 0.7
