"""The benchmark of weather: held-out times, members that were written, and rows that take each other's place."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xarray")
import xarray as xr
from benchmarks import weather
from benchmarks.weather import Row, members_of, parts, store, stored

from ornstein import InputError
from ornstein.domains.weather.files.opened import opened

N, MEMBERS = 40, 6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a forecast, a truth half of which it explains, and members of the right law."""
    folder, rng = tmp_path_factory.mktemp("weather"), np.random.default_rng(0)
    coords = {"time": np.arange(N), "step": [2.0], "y": np.arange(8.0), "x": np.arange(8.0)}
    f = rng.normal(size=(N, 1, 8, 8))
    dims = ("time", "step", "y", "x")
    members = f[:, None] + rng.normal(size=(N, MEMBERS, 1, 8, 8))
    for name, data, axes in (
        ("forecast", f, dims),
        ("truth", f + rng.normal(size=f.shape), dims),
        ("ens", members[30:], ("time", "number", "step", "y", "x")),
    ):
        at = {**coords, "time": coords["time"][N - len(data) :], "number": np.arange(MEMBERS)}
        xr.Dataset({"t": (axes, data.astype(np.float32))}, {dim: at[dim] for dim in axes}).to_zarr(
            folder / f"{name}.zarr"
        )
    return folder


def asked(world: Path, **changes: Any) -> Namespace:
    plain = {
        "forecast": str(world / "forecast.zarr"), "truth": str(world / "truth.zarr"), "times": "30:", "world": "",
        "model": "", "drawn": world, "name": "ours", "members": 8, "baselines": ["raw", "EMOS"], "quick": False,
    }  # fmt: skip
    return Namespace(**{**plain, **changes})


def test_ours_stands_beside_the_baselines(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weather, "store", lambda rows: store(rows, tmp_path / "rows.jsonl"))
    found, _ = weather.run(asked(world))
    assert list(found) == ["ours", "raw", "EMOS"]
    scores = {method: cells["t", "2"]["CRPS"].value for method, cells in found.items()}
    assert scores["ours"] == pytest.approx(scores["EMOS"], rel=0.1)
    assert scores["raw"] > 1.2 * scores["ours"]
    rows = stored(tmp_path / "rows.jsonl")
    assert [row.method for row in rows] == ["ours", "raw", "EMOS"]
    assert rows[0].scores["CRPS"][0] == pytest.approx(scores["ours"], rel=1e-3)
    assert (rows[0].times, rows[0].members, rows[0].world) == (10, 8, world.name)


def test_members_of_other_times_are_refused(world: Path) -> None:
    pairs = opened(str(world / "forecast.zarr"), str(world / "truth.zarr"))
    assert members_of(world, pairs.part(slice(30, 40))).shape == (10, MEMBERS, 1, 1, 8, 8)
    with pytest.raises(InputError, match="5 of 10 times"):
        members_of(world, pairs.part(slice(25, 35)))
    train, test = parts(pairs, "30:")
    assert (len(train.times), len(test.times)) == (30, 10)
    with pytest.raises(InputError, match="before it"):
        parts(pairs, "0:")


def test_rows_take_the_place_of_those_of_the_same_world_and_method(tmp_path: Path) -> None:
    path, row = tmp_path / "rows.jsonl", Row("qg", "EMOS", "t", "2", {"CRPS": (0.1, None)}, 10, 5)
    store([row, replace(row, method="ours")], path)
    store([replace(row, scores={"CRPS": (0.2, 0.01)})], path)
    assert [(one.method, one.scores["CRPS"]) for one in stored(path)] == [("ours", [0.1, None]), ("EMOS", [0.2, 0.01])]
