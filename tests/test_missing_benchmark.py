"""The summaries and the page of benchmarks/missing.py, from made-up runs."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bounds import Trial

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
RIGHT = Trial(-0.02, 0.0, 0.02, 0.008, 0.0, 0.1, 0.1, 400.0, True, True, 1000, 0.5)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("missing")


def _row(missing: Any, trials: list[Trial], kind: str = "good", method: str = "ours") -> dict[str, Any]:
    about = {"case": "pair-2, good", "kind": kind, "part": 0.1, "method": method, "n": 400, "total": 60.0}
    return missing.rounded(about | missing.summary(trials))


def test_what_holds_is_counted(missing: Any) -> None:
    off = Trial(0.01, 0.03, 0.05, 0.008, 0.1, 0.0, 0.1, 400.0, True, True)
    refused = Trial(0.01, 0.03, 0.05, 0.008, 0.1, 0.0, 0.1, 400.0, False, False)
    row = missing.summary([RIGHT, off, refused])
    assert [row[f"{name} held"] for name in ("log Z", "missing", "share")] == [2, 2, 2]
    assert row["log Z missed"] == row["share missed"] == [1]
    assert row["passed"] == row["exact"] == 2
    assert row["unseen_most"] == 0.1


def test_goals_that_are_missed_are_named(missing: Any) -> None:
    page = missing.reporting.page
    fine = page([_row(missing, [RIGHT] * 20), _row(missing, [RIGHT] * 20, method="weights alone")])
    assert fine.split("## Goals missed")[1].strip().endswith("- None.")
    assert "weights alone: 0 of 1 (good)" in fine
    wrong = [Trial(0.01, 0.03, 0.05, 0.2, 0.1, 0.1, 0.1, 400.0, True, False)] * 20
    text = page([_row(missing, wrong), _row(missing, wrong, method="weights alone")])
    assert "the bound of log Z held in 0 of 20" in text
    assert "20.0% could be missing by the median" in text
    assert "weights alone: 1 of 1 (good)" in text
    refused = [Trial(0.01, 0.03, 0.05, 0.01, 0.1, 0.1, 0.1, 400.0, False, False)] * 20
    assert "20 of 20 runs are not to be trusted" in page([_row(missing, refused)])


def test_results_that_are_run_again_are_replaced(missing: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(missing, "RESULTS", tmp_path / "missing.jsonl")
    first, again = _row(missing, [RIGHT] * 5), _row(missing, [RIGHT] * 9)
    twin = _row(missing, [RIGHT] * 5, method="weights alone")
    assert missing.written([first, twin]) == [first, twin]
    assert missing.written([again]) == [twin, again]
    assert missing.stored() == [twin, again]
