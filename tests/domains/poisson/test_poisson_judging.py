"""Sources and solutions are judged part by part, with the scores of all of them together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ornstein import calibration, states
from ornstein.denoisers.base import Origin
from ornstein.domains.poisson.asked.flags import PoissonRequest
from ornstein.domains.poisson.asked.requests import request
from ornstein.domains.poisson.data import spectrum
from ornstein.domains.poisson.results import drawn
from ornstein.domains.poisson.results.solutions import solved_in, truths_of
from ornstein.domains.poisson.task import Poisson
from ornstein.tasks.figures import Metric
from ornstein.tasks.samples import Samples

SHAPE, N = (8, 6), 40
FACTS = {"learns": "sources", "shape": [1, *SHAPE], "mean": 0.5, "std": 2.0, "spectrum": {"alpha": 2.0, "tau": 3.0}}


def asked_of(folder: Path) -> dict[str, PoissonRequest]:
    rng = np.random.default_rng(0)
    np.savez(folder / "truth.npz", source=rng.normal(size=SHAPE))
    np.savetxt(
        folder / "s.csv",
        [[0.5, 0.4, 0.1, 0.05], [0.2, 0.7, 0.0, 0.1]],
        delimiter=",",
        header="x,y,value,std",
        comments="",
    )
    truth = folder / "truth.npz"
    return {
        "truth": PoissonRequest(solution_sensors=folder / "s.csv", truth=truth),
        "bounds": PoissonRequest(bounds=(-1.0, 1.5), truth=truth),
        "nothing": PoissonRequest(),
    }


def samples(asked: PoissonRequest) -> Samples:
    x = 0.5 + 2.0 * spectrum(FACTS).root(torch.randn(N, 1, *SHAPE, generator=torch.Generator().manual_seed(0)))
    found = request(asked, range(N), FACTS)
    said = {name: value for name, value in vars(asked).items() if value not in (None, ())}
    settings = {
        **{name: str(value) if isinstance(value, Path) else value for name, value in said.items()},
        **found.record,
    }
    return Samples(x, dict(found.beside), Origin("poisson", "test", {}, FACTS, ""), settings=settings)


def judged(of: Samples, size: int) -> list[Metric]:
    judge = Poisson().judge(of)
    judge.begin(len(of))
    for first in range(0, len(of), size):
        judge.add(of[first : first + size])
    return judge.metrics()


@pytest.mark.parametrize("name", ["truth", "bounds", "nothing"])
def test_parts_of_any_cut_have_the_scores_of_all(name: str, tmp_path: Path) -> None:
    of = samples(asked_of(tmp_path)[name])
    wanted = judged(of, N)
    numbers = np.array([[one.value, one.reference, one.error] for one in wanted], float)
    for size in (1, 7):
        found = judged(of, size)
        assert [one.name for one in found] == [one.name for one in wanted]
        several = np.array([[one.value, one.reference, one.error] for one in found], float)
        assert several == pytest.approx(numbers, rel=1e-6, abs=1e-12, nan_ok=True), name
    forgotten = np.array([one.value for one in judged(of[: N - 3], 7)])
    assert (np.abs(forgotten - numbers[:, 0]) > 1e-3 * np.abs(numbers[:, 0])).sum() > 2


def test_the_scores_are_those_of_all_fields_at_once(tmp_path: Path) -> None:
    of = samples(asked_of(tmp_path)["bounds"])
    found = solved_in(of)
    assert found is not None
    values = {one.name: one.value for one in judged(of, 7)}
    for name, field in {"source": found.unknown, "solution": found.solution}.items():
        truth = truths_of(of, found)[name]
        y, x = truth.numpy()[None], field.numpy()[None]
        assert values[f"{name}: CRPS"] == pytest.approx(calibration.crps(y, x).value, rel=1e-6)
        assert values[f"{name}: spread / skill"] == pytest.approx(calibration.spread_skill(y, x).ratio.value, rel=1e-6)
        coverage = calibration.Ranks.of(y, x).coverage().near(0.9)
        assert values[f"{name}: {coverage.name}"] == coverage.value
        error = float((field.mean(0) - truth).norm() / truth.norm())
        assert values[f"{name}: relative error of the mean"] == pytest.approx(error, rel=1e-9)
    out = (-1.0 - found.unknown).clamp(min=0) + (found.unknown - 1.5).clamp(min=0)
    assert values["share out of bounds"] == pytest.approx(float((out > 0.01 * found.unknown.std()).double().mean()))
    assert values["spread of the solution"] == pytest.approx(
        float(found.solution.std(0).norm() / found.solution.mean(0).norm())
    )


def test_the_file_is_read_part_by_part(tmp_path: Path) -> None:
    of = samples(asked_of(tmp_path)["truth"])
    (tmp_path / "out").mkdir()
    drawn.write(of, tmp_path / "out")
    manifest = {"files": {drawn.NPZ: ""}, "n": N, "model": {"facts": FACTS}, "settings": of.settings}
    whole, parts = drawn.read(tmp_path / "out", manifest), [*drawn.parts(tmp_path / "out", manifest, 7)]
    assert [len(x) for x, _ in parts] == [7] * 5 + [5]
    assert states.concatenate([x for x, _ in parts]).equal(of.x)
    assert torch.as_tensor(whole[0]).equal(of.x)
    again = [replace(of, x=x, condition=condition) for x, condition in parts]
    judge = Poisson().judge(again[0])
    for part in again:
        judge.add(part)
    assert [one.value for one in judge.metrics()] == pytest.approx([one.value for one in judged(of, N)], rel=1e-6)
