"""Scores of weather on worlds that are calibrated, or broken on purpose."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from field_worlds import ensemble, fields
from ornstein.domains.weather import metrics
from ornstein.domains.weather.files.grids import Grid
from ornstein.domains.weather.files.times import lead_names
from ornstein.domains.weather.judging import beside_the_forecast
from ornstein.domains.weather.metrics import Layout, compared, hanging, judged, scored
from ornstein.domains.weather.results.drawn import Drawn
from ornstein.domains.weather.tables import table
from worlds import rejected

LAYOUT = Layout(("t",), ("6 h",), "grid", periodic=(True, True), units={"t": "K"})


def world(**broken: Any) -> tuple[np.ndarray, np.ndarray]:
    """(n, 1, 1, 8, 8) and (n, M, 1, 1, 8, 8)."""
    y, x = ensemble(3, 120, 12, **broken)
    return y[:, None, None], x[:, :, None, None]


def found(y: np.ndarray, x: np.ndarray, **options: Any) -> dict[str, Any]:
    return {one.name.removeprefix("t, 6 h: "): one for one in judged(y, x, LAYOUT, **options)}


def test_a_calibrated_ensemble_has_the_numbers_of_one() -> None:
    def assert_calibrated(**broken: Any) -> None:
        said = found(*world(**broken))
        assert said["spread / skill"].value == pytest.approx(1.0, abs=0.05)
        assert said["coverage, 90%"].value == pytest.approx(said["coverage, 90%"].reference, abs=0.03)
        assert said["rank p"].value > 0.01
        assert said["power, k 1–2"].value == pytest.approx(1.0, abs=0.1)
        assert abs(said["bias"].value) < 4 * said["bias"].error

    assert_calibrated()
    rejected(assert_calibrated, spread=0.8)
    rejected(assert_calibrated, bias=0.5)
    rejected(assert_calibrated, correlated=False)


def test_uncorrelated_members_have_the_same_crps_and_another_variogram() -> None:
    one, other = found(*world()), found(*world(correlated=False))
    assert other["CRPS"].value == pytest.approx(one["CRPS"].value, rel=0.05)
    assert other["variogram score"].value > 1.2 * one["variogram score"].value


def test_a_score_stands_beside_the_best_baseline() -> None:
    (y, good), bad = world(), world(bias=1.0)[1]
    beside = compared(y, {"biased": bad, "narrow": world(spread=0.5)[1]}, LAYOUT)
    said = found(y, good, beside=beside)
    values = {name: scores["t", "6 h"]["CRPS"].value for name, scores in beside.items()}
    assert said["CRPS"].reference == min(values.values())
    assert said["CRPS"].reference_name == "narrow"
    assert said["spread / skill"].reference_name == "calibrated"


def test_ones_own_table_marks_the_lowest() -> None:
    (y, good), bad = world(), world(bias=1.0)[1]
    text = table(compared(y, {"ours": good, "biased": bad, "one member": bad[:, :1]}, LAYOUT), LAYOUT)
    lines = text.splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split("|")[3].strip() for line in lines[2:]] == ["ours", "biased", "one member"]
    assert lines[2].startswith("| t (K) | 6 h |")
    assert "**" in lines[2]
    assert "**" not in lines[3] + lines[4]
    assert "±" in lines[4]


def test_events_have_a_brier_score() -> None:
    y, x = world()
    said = found(y, x, events={"t": (0.5,)})
    assert 0 < said["Brier score, > 0.5"].value < 0.25
    assert "Brier score, > 0.5" not in found(y, x, events={"other": (0.5,)})


def test_times_hang_together_as_their_errors_do() -> None:
    rng = np.random.default_rng(0)
    white, step = rng.normal(size=(400, 1, 1, 30)), np.zeros((400, 1, 1, 30))
    for k in range(1, 400):
        step[k] = 0.8 * step[k - 1] + white[k]  # correlated by 0.8 to the lag: below 0.1 from 11 on
    flat = np.zeros((400, 2, 1, 1, 30))
    assert hanging(white, flat) == 1
    assert 8 <= hanging(step, flat) <= 13
    assert hanging(white + 5.0, flat) == 1
    assert hanging(np.cumsum(white, 0), flat) == 40
    constant = np.concatenate([white[:1]] * 5)
    assert hanging(constant, flat[:5]) == 1


def test_errors_over_blocks_are_as_large_as_they_are() -> None:
    y, x = world()
    repeated = y.repeat(3, 0), x.repeat(3, 0)  # three times the cases, no more information
    once, again = judged(y, x, LAYOUT, block=1)[0], judged(*repeated, LAYOUT, block=3)[0]
    assert again.error == pytest.approx(once.error)
    assert judged(*repeated, LAYOUT, block=1)[0].error == pytest.approx(once.error / 3**0.5, rel=0.05)  # type: ignore[operator]


def test_members_are_read_once_some_times_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy:
        """Sliced, not an array."""

        def __init__(self, values: np.ndarray) -> None:
            self.values, self.shape, self.read = values, values.shape, [0] * len(values)

        def __getitem__(self, index: slice) -> np.ndarray:
            for k in range(*index.indices(len(self.values))):
                self.read[k] += 1
            return self.values[index]

    y, x = world()
    at_once = found(y, x)
    monkeypatch.setattr(metrics, "AT_ONCE", 5000)
    lazy: Any = Lazy(x)
    for name, one in found(y, lazy).items():
        assert one.value == pytest.approx(at_once[name].value, rel=1e-9)
        assert [one.error] == [at_once[name].error] or one.error == pytest.approx(at_once[name].error, rel=1e-9)
    assert lazy.read == [1] * 120


def test_stations_and_one_place() -> None:
    rng = np.random.default_rng(1)
    y, x = rng.normal(size=(40, 2, 3, 5)), rng.normal(size=(40, 8, 2, 3, 5))
    y[:20, :, :, 2] = np.nan
    layout = Layout(("t", "u"), ("1", "2", "3"), "stations")
    scores = scored(y, x, layout)
    assert len(scores) == 6
    assert "variogram score" in scores["u", "3"]
    assert not any(name.startswith("power") for name in scores["u", "3"])
    assert scores["u", "3"]["CRPS"].missing == pytest.approx(0.1)
    alone = scored(y[..., :1], x[..., :1], layout)["t", "1"]
    assert "variogram score" not in alone
    assert alone["rank p"].value > 0.001


def test_rows_of_a_grid_and_borders_that_do_not_go_round() -> None:
    rng = np.random.default_rng(2)
    y, x = fields(rng, (30, 1, 1, 16, 16), 2.0), fields(rng, (30, 6, 1, 1, 16, 16), 2.0)
    for cut in (..., (..., 0)):
        scores = scored(y[cut], x[cut], Layout(("t",), ("1",), "grid"))["t", "1"]
        assert scores["power, k 2–3"].value == pytest.approx(1.0, abs=0.3)


def test_samples_are_judged_beside_the_raw_forecast() -> None:
    y, x = world()
    coords = {"y": np.arange(8.0), "x": np.arange(8.0)}
    grid = Grid("grid", ("y", "x"), (8, 8), coords, periodic=(True, True))
    drawn = Drawn(x, y, x[:, 0] + 0.5, None, np.arange(120), np.array([6], "timedelta64[h]"), grid, ("t",), {})
    said = {one.name: one for one in beside_the_forecast(drawn)}
    crps = said["t, 6 h: CRPS"]
    assert crps.reference_name == "raw forecast"
    assert crps.reference is not None
    assert crps.value == found(y, x)["CRPS"].value < 0.7 * crps.reference
    (spread,) = beside_the_forecast(replace(drawn, truths=None))
    assert spread.name == "t, 6 h: spread"
    assert spread.value == pytest.approx(1.0, abs=0.05)


def test_names_of_leads() -> None:
    assert lead_names(np.array([6, 36], "timedelta64[h]")) == ["6 h", "36 h"]
    assert lead_names(np.array([90], "timedelta64[m]")) == ["1.5 h"]
    assert lead_names(np.array([2.0, 0.5])) == ["2", "0.5"]
