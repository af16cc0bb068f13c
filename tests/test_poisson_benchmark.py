"""The arithmetic of the benchmark of Poisson's equation: what it measures, and the table it makes."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent
SIDE = 12


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def cases() -> Any:
    return import_module("benchmarks.poisson_cases")


@pytest.fixture
def main() -> Any:
    return import_module("benchmarks.poisson")


@pytest.mark.parametrize("kind", ["gaussian", "discs", "points"])
def test_the_exact_solution_has_no_error_no_violation_and_no_residual(cases: Any, kind: str) -> None:
    rho, exact = cases.drawn(kind, 3, SIDE, 0)
    found = cases.measured(cases.whole(exact), rho, exact)
    assert found["boundary"] == 0
    assert found["error"] == 0
    assert found["residual"] < 1e-12


def test_each_number_sees_its_own_fault(cases: Any) -> None:
    rho, exact = cases.drawn("gaussian", 3, SIDE, 0)
    assert cases.measured(cases.whole(1.1 * exact), rho, exact)["error"] == pytest.approx(0.1)
    assert cases.measured(torch.zeros(3, SIDE + 2, SIDE + 2), rho, exact)["residual"] == pytest.approx(1.0)
    lifted = cases.whole(exact)
    lifted[:, 0, 1:-1] = exact.square().mean((1, 2)).sqrt()[:, None]  # one side of four as high as the solution
    assert cases.measured(lifted, rho, exact)["boundary"] == pytest.approx(0.5)
    assert cases.measured(lifted, rho, exact)["error"] == 0


def test_the_solvers_agree_and_are_rows(cases: Any) -> None:
    peers = import_module("benchmarks.poisson_peers")
    rows = list(peers.rows("discs", SIDE, 2))
    assert [row.method for row in rows] == list(peers.METHODS)
    assert all(row.error < 1e-9 and row.boundary == 0 and row.one > 0 and row.batched > 0 for row in rows)


def test_iterations_are_saved_by_the_answer_and_not_by_a_rough_guess(cases: Any) -> None:
    peers = import_module("benchmarks.poisson_peers")
    rho, exact = cases.drawn("gaussian", 2, SIDE, 0)
    best = peers.guess(SIDE, rho, exact)
    assert best["cg"] == best["amg_cg"] == 0
    assert best["cg_from_zero"] > 5
    noise = torch.randn(exact.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rough = peers.guess(SIDE, rho, exact + 0.1 * exact.std() * noise)
    assert rough["cg"] > 0.7 * rough["cg_from_zero"]


@pytest.fixture
def ours() -> Any:
    return import_module("benchmarks.poisson_ours")


@pytest.mark.parametrize(("what", "better"), [("source", "error_source"), ("solution", "error")])
def test_kriging_is_near_and_its_intervals_hold(ours: Any, what: str, better: str) -> None:
    cases = ours.Cases.of("gaussian", 40, SIDE, 8, what)
    row = ours.gaussian(cases, "block")
    worse = ours.gaussian(ours.Cases.of("gaussian", 40, SIDE, 2, what), "block")
    assert getattr(row, better) < getattr(worse, better) < 1
    assert row.boundary == 0
    assert row.residual < 1e-9
    assert row.coverage == pytest.approx(0.9, abs=0.06)
    assert row.coverage_source == pytest.approx(0.9, abs=0.06)


def test_the_best_linear_estimator_of_gaussian_sources_is_kriging(ours: Any) -> None:
    cases = ours.Cases.of("gaussian", 20, SIDE, 8, "source")
    found, exact = ours.linear(cases, "gaussian", "block"), ours.gaussian(cases, "block")
    assert found.error_source == pytest.approx(exact.error_source, rel=0.03)
    assert found.error >= 0.97 * exact.error


def test_our_samples_of_a_known_law_are_as_good_as_kriging_says(ours: Any) -> None:
    gaussian_field = import_module("ornstein.denoisers.fields").gaussian_field
    cov = import_module("ornstein.domains.poisson.sources").gaussian_spectrum((1, SIDE, SIDE))
    cases = ours.Cases.of("gaussian", 12, SIDE, 8, "source")
    exact = ours.gaussian(cases, "block")
    row = ours.ours(gaussian_field(cov, noise_cov=cov), "gaussian", cases, "gaussian", "block", 8)
    assert row.error_source == pytest.approx(exact.error_source, rel=0.1)
    assert row.coverage_source == pytest.approx(0.9, abs=0.06)
    assert row.one > 0 < row.batched
    assert ours._held(torch.full((12, 39, SIDE, SIDE), 9.0), cases.rho) == 0


def test_a_row_is_stored_and_comes_back_with_its_zeros(cases: Any, main: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    old = [cases.Row("kept", "a", "discs", 0.5), cases.Row("run again", "a", "discs", 0.5)]
    new = [cases.Row("run again", "b", "gaussian", 0.012, boundary=0.0, coverage=0.9)]
    main.store(old, 1, path)
    main.store(new, 1, path)
    assert main.stored(path) == [old[0], *new]
    assert "threads" in json.loads(path.read_text().splitlines()[-1])


def test_the_table_says_what_is_not_known_and_what_is_not_ours(cases: Any) -> None:
    rows = [
        cases.Row("one", "DST", "gaussian", 1e-15, boundary=0.0, one=0.123, batched=0.05),
        cases.Row("two", "FunDPS", "gaussian", 0.0199, published=True),
    ]
    text = cases.table(rows)
    assert text.count("**") == 4
    assert "| DST | – | gaussian | 1e-15 | 0 % | 0.123 | 0.05 |" in text
    assert "| FunDPS (published) | – | gaussian | 1.99 % |" in text


def test_a_neural_operator_learns_and_is_a_row(cases: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("neuralop", reason="a peer, in .bench-env alone")
    fno, path = import_module("benchmarks.poisson_fno"), tmp_path / "lines.jsonl"
    monkeypatch.setitem(fno.SIZES, "small", fno.Size(modes=4, width=8, layers=1, batch=2))
    command = ["fno", "--kind", "mixed", "--side", str(SIDE), "--minutes", "0.01", "--test", "2", "--out", str(path)]
    monkeypatch.setattr("sys.argv", command)
    fno.main()
    line = json.loads(path.read_text())
    assert line["seen"] == 2 * line["steps"] > 2
    (row,) = fno.rows("discs", SIDE, 2, "block", path)
    assert (row.learnt, row.sources, row.error) == ("mixed", "discs", line["discs"]["error"])
    assert row.boundary > 0 < row.one  # nothing holds its boundary
    assert "iterations" in row.note


def test_the_rate_rises_and_falls(cases: Any) -> None:
    fno = import_module("benchmarks.poisson_fno")
    assert fno.cycle(0) == 0
    assert fno.cycle(fno.WARM) == pytest.approx(1)
    assert fno.cycle(1) == pytest.approx(0)
