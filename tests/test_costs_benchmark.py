"""The cost model of benchmarks/costs.py on draws whose costs are known, its cases, and its page from made-up rows."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
START, WRITE, CALL, WORK, EXPONENT = 0.2, 0.003, 0.01, 0.002, 1.7


@pytest.fixture
def of(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def _world(draw: Any) -> float:
    """Seconds of a draw in a world whose costs are known, of samples of 10 letters or more."""
    grown = 1.0 if draw.size is None else (draw.size / 10) ** EXPONENT
    calls = 2 + 3 * draw.steps
    return START + WRITE * draw.n + calls * (CALL * draw.blocks + WORK * draw.drawn * grown)


def _draws(of: Any, sizes: tuple[int, ...] = ()) -> list[Any]:
    """Draws of other numbers, steps and batches, of every size if there are some."""
    draw = of("costs_model").Draw
    plain = [(8, 1, 8, 5), (8, 1, 8, 20), (16, 2, 16, 5), (64, 8, 64, 5), (6, 3, 6, 10), (6, 1, 8, 10)]
    each = [(*one, size) for one in plain for size in (sizes or (None,))]
    return [draw(n, blocks, drawn, steps, size, 2.0 + 3 * steps) for n, blocks, drawn, steps, size in each]


@pytest.mark.parametrize("sizes", [(), (10, 20, 40)])
def test_costs_that_are_known_are_found(of: Any, sizes: tuple[int, ...]) -> None:
    draws = _draws(of, sizes)
    model = of("costs_model").fit(draws, [_world(draw) for draw in draws])
    found = (model.start, model.write, model.call, model.work, *model.calls)
    assert found == pytest.approx((START, WRITE, CALL, WORK, 2, 3), rel=1e-4)
    assert model.exponent == (pytest.approx(EXPONENT) if sizes else None)
    assert model.error < 1e-6


def test_draws_that_were_not_fitted_are_predicted_under_noise(of: Any) -> None:
    draws, noise = _draws(of, (10, 20, 40)), np.random.default_rng(0)
    model = of("costs_model").fit(draws, [_world(draw) * noise.uniform(0.95, 1.05) for draw in draws])
    for size, n in ((80, 8), (30, 800)):
        asked = of("costs_model").Draw(n, n // 8, n, 40, size)
        assert model.seconds(asked) == pytest.approx(_world(asked), rel=0.15)


def test_a_wrong_exponent_is_seen(of: Any) -> None:
    """The broken twin takes every sample to cost the same, whatever its size: held-out sizes tell it."""
    draws = _draws(of, (10, 20, 40))
    right = of("costs_model").fit(draws, [_world(draw) for draw in draws])
    wrong = of("costs_model").CostModel(**{**vars(right), "exponent": 0.0})
    asked = of("costs_model").Draw(8, 1, 8, 40, 80, None)
    rows = [{"cpu_seconds": _world(asked)}]
    summary = of("costs_report").summary
    assert "1 of 1 predictions" in summary([(rows[0], right.seconds(asked))])
    assert "0 of 1 predictions" in summary([(rows[0], wrong.seconds(asked))])


def test_costs_are_never_negative_and_the_least_squares_of_all_that_are_not(of: Any) -> None:
    matrix = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    found = of("costs_model").nonnegative(matrix, np.array([3.0, 2.0, 1.0]))
    assert found == pytest.approx([2.0, 0.0])  # the mean: a line would fall
    assert of("costs_model").nonnegative(matrix, np.array([1.0, 3.0, 5.0])) == pytest.approx([0.0, 11 / 7])


def test_every_shipped_model_is_measured_and_two_of_its_draws_are_held_out(of: Any) -> None:
    folders = (BENCHMARKS.parent / "src" / "ornstein" / "domains").glob("*/models/*/model.safetensors")
    cases = list(of("costs_cases").cases())
    assert {case.model for case in cases} == {f"{path.parts[-4]}/{path.parts[-2]}" for path in folders}
    for model in {case.model for case in cases}:
        held = [case for case in cases if case.model == model and case.series == "draws" and case.role == "held out"]
        assert len(held) == 2
    ids = [json.dumps(case.id) for case in cases]
    assert len(set(ids)) == len(ids)


def test_no_draw_is_both_fitted_and_held_out(of: Any) -> None:
    cases = list(of("costs_cases").cases())
    fitted, held_out = (
        {json.dumps({**case.id, "batch_size": 0}) for case in cases if case.role == role}
        for role in ("fit", "held out")
    )
    assert len(held_out) > 50
    assert not fitted & held_out


def test_whole_blocks_are_counted(of: Any) -> None:
    case = of("costs_cases").Case("images/digits", "draws", "fit", 9, 5)
    assert (case.draw(5, 8).blocks, case.draw(5, 8).drawn) == (2, 16)
    crowd = of("costs_cases").Case("images/digits", "particles", "fit", 9, 5, particles=40)
    assert (crowd.draw(5, 8).blocks, crowd.draw(5, 8).drawn) == (1, 40)


def _rows(of: Any) -> list[dict[str, Any]]:
    """Lines of one model in the known world."""
    rows = []
    for case in of("costs_cases").draws("images/digits"):
        steps = case.steps or 20
        draw = case.draw(steps, case.batch_size or 8)
        about = {"role": case.role, "steps": steps, "batch": case.batch_size or 8, "nfe": 2 + 3 * steps, "gradients": 0}
        cost = {
            "cpu_seconds": _world(draw),
            "seconds": _world(draw),
            "start": 1.5,
            "peak_mb": 300,
            "bytes": 5000 + 70 * case.n,
        }
        told = {"repeats": 3, "scatter": 0.02, "cores": 2, "engine": "abc", "date": "2026-11-28", "load": 0.1}
        rows.append({"case": case.id, **about, **cost, **told})
    return rows


def test_the_page_predicts_what_was_held_out(of: Any, tmp_path: Path) -> None:
    text = of("costs_report").page(_rows(of), tmp_path)
    assert "2 of 2 predictions are within a factor of 1.25" in text
    assert "| `images/digits` | 62 | 0 |" in text
    assert "| 0.07 | 5 |" in text  # kB a sample, and beside


def test_the_page_tells_what_workers_are_worth(of: Any, tmp_path: Path) -> None:
    common = {"model": "images/digits", "n": 64, "cores": 2, "command": 9.0, "same": True}
    rows = [{**common, "workers": k, "seconds": 8 / max(1, k)} for k in (0, 1, 2)]
    rows[2]["same"] = False
    (tmp_path / "workers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    killed = {"kills": {"worker": 12, "command": 8}, "lost": 0, "same": True, "model": "images/digits", "n": 64}
    (tmp_path / "workers_killed.jsonl").write_text(json.dumps(killed) + "\n")
    text = of("costs_report").page(_rows(of), tmp_path)
    assert "| `images/digits` | 64 | none, one process | 2 | 8 | 9 | – | yes |" in text
    assert "| `images/digits` | 64 | 2 | 2 | 4 | 9 | 2.00 | NO |" in text
    assert "20 kills at random moments (12 of the workers and 8 of the commands)" in text
    assert "0 shards lost, the same bytes as without" in text


def test_a_run_that_was_cut_off_goes_on_with_what_is_missing(of: Any) -> None:
    rows = _rows(of)
    left = of("costs").missing("images/digits", rows[:3])
    assert [case.id for case in left[: len(rows) - 3]] == [row["case"] for row in rows[3:]]
    assert not [case for case in of("costs").missing("images/digits", rows) if case.series == "draws"]


def test_a_draw_is_measured(of: Any, tmp_path: Path) -> None:
    case = of("costs_cases").Case("images/digits", "draws", "fit", 2, 2, 2)
    row = of("costs").repeated(of("costs").command(case, tmp_path), 2)
    assert (row["nfe"], row["gradients"], row["steps"], row["batch"]) == (2, 0, 2, 2)
    assert row["bytes"] > 1000
    assert row["cpu_seconds"] > 0
    assert 1 <= row["repeats"] <= 2
    assert list(tmp_path.iterdir()) == []


def test_samples_of_another_size_are_drawn(of: Any) -> None:
    case = of("costs_cases").Case("sequences/start-sites", "size", "fit", 2, 2, 2, size=7)
    assert of("costs").network(case)()["nfe"] == 2


def test_what_a_gpu_does_follows_from_its_share_of_the_peak(of: Any, tmp_path: Path) -> None:
    """A network of twice the operations draws half as many; without a draw on a GPU nothing is said."""
    flops, peak = of("costs_flops"), of("costs_flops").PEAK
    rows = [{"model": flops.DRAWN, "flops": 1e6}, {"model": "a/b", "flops": 2e6}]
    (tmp_path / "costs_flops.jsonl").write_text("\n".join(map(json.dumps, rows)))
    defaults = {flops.DRAWN: (10.0, 1e-3), "a/b": (10.0, 1e-3)}
    assert flops.flops_section(tmp_path, defaults) == of("costs_tables").NOWHERE
    drawn = {"what": f"{flops.DRAWN}: some", "count": 100, "calls": 10, "seconds": 1e9 / (peak / 4)}
    (tmp_path / "costs_gpu.jsonl").write_text(json.dumps(drawn))
    assert flops.gpu_share({flops.DRAWN: 1e6}, [drawn]) == pytest.approx(0.25)
    page = flops.flops_section(tmp_path, defaults)
    assert f"reached 25% of the {peak / 1e12:.0f} TFLOP/s" in page
    assert "| `a/b` | 2 | 2 | 0.02 | 840,000 |" in page
    assert f"| `{flops.DRAWN}` | 1 | 1 | 0.01 | 1,700,000 |" in page
