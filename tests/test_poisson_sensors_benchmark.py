"""The benchmark of sensors knows a right posterior from a wrong one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.poisson_sensors import Question, Row, asked, covered, store

from ornstein.denoisers.fields import gaussian_field
from ornstein.domains.poisson import sources
from worlds import rejected

SIDE = 12
SPECTRUM = sources.gaussian_spectrum((1, SIDE, SIDE))


def rows(way: str, model: Any) -> list[Row]:
    return list(asked(Question("", "gaussian", SIDE, way, 10), model, 6, 39, {"steps": 15}))


def assert_right(found: list[Row]) -> None:
    for row in found:
        assert row.ratio == pytest.approx(1.01, abs=0.1)
        assert row.std == pytest.approx(1, abs=0.1)
        assert row.coverage > 0.75  # of a few fields that are correlated over the whole grid


@pytest.mark.slow
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_the_exact_denoiser_is_found_right(way: str) -> None:
    model = gaussian_field(SPECTRUM, noise_cov=SPECTRUM)
    found = rows(way, model)
    assert [row.field for row in found] == ["ρ", "φ"]
    assert_right(found)
    rejected(assert_right, rows(way, gaussian_field(0.5 * SPECTRUM, noise_cov=SPECTRUM)))


def test_an_interval_is_where_a_new_member_lies() -> None:
    members = torch.arange(39.0).reshape(39, 1, 1).expand(39, 1, 4)
    assert covered(members, torch.tensor([[0.5, 1.5, 36.5, 37.5]])) == 0.5


def test_discs_are_compared_with_the_best_linear_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.poisson_sensors.DRAWS", 600)
    found = list(asked(Question("", "discs", SIDE, "inverse", 10), gaussian_field(SPECTRUM), 1, 19, {"steps": 8}))
    assert found[0].std is None
    assert 0 < found[0].beside < 1.5


def test_rows_take_the_place_of_those_of_the_same_question(tmp_path: Path) -> None:
    path, row = tmp_path / "rows.jsonl", Row("one", "ρ", 0.1, 0.1, 1.0, 0.9, None, 1, 19, 20, 40.0, 1.0, {})
    store([row, replace(row, question="another")], path)
    store([replace(row, field="φ")], path)
    text = path.read_text()
    assert text.count("\n") == 2
    assert "ρ" in text
    assert "φ" in text
