"""Problems to try a model on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ornstein.domains.poisson import data, examples
from ornstein.domains.poisson.asked.flags import PoissonRequest
from ornstein.domains.poisson.asked.requests import request
from ornstein.domains.poisson.asked.sensors import read_sensors
from ornstein.domains.poisson.equations import Boundary, Elliptic, Grid
from ornstein.domains.poisson.task import Poisson


@pytest.mark.parametrize("shape", [(40,), (10, 12), (4, 5, 6)])
@pytest.mark.parametrize("name", data.MADE)
def test_a_problem_is_read_as_it_was_written(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """Sensors are where the file says, of a source that was not seen, and of its solution."""
    examples.write(name, tmp_path / "a", shape)
    truth = np.load(tmp_path / "a" / examples.TRUTH)
    grid = Grid(shape, Boundary.of("dirichlet", len(shape)))
    assert np.allclose(Elliptic(grid).solution(torch.from_numpy(truth["source"])[None])[0].numpy(), truth["solution"])
    for key, file in examples.SENSORS.items():
        field = torch.from_numpy(truth[key])
        read = read_sensors(tmp_path / "a" / file, len(shape))
        seen = grid.interpolation(read.points)(grid.whole(field)[None])[0]
        std = torch.as_tensor(read.std)
        assert len(seen) == max(1, round(0.03 * field.numel()))
        assert float(((seen - torch.as_tensor(read.values)) / std).abs().max()) < 4
        assert torch.allclose(std, 1e-3 * field.square().mean().sqrt(), rtol=1e-4)
    again, other = (examples.write(name, tmp_path / str(k), shape, k) for k in (0, 1))
    assert (again / "source.csv").read_bytes() == (tmp_path / "a" / "source.csv").read_bytes()
    assert (other / "source.csv").read_bytes() != (again / "source.csv").read_bytes()


def test_models_are_judged_on_them() -> None:
    task, told = Poisson(), {"shape": [1, 6, 8], "mean": 0.0, "std": 1.0, "learns": "sources"}
    asked = [one for one, _ in task.judged_on({**told, "data": "discs"})]
    assert asked[0] == PoissonRequest()
    assert [len(request(one, range(2), told).guides) for one in asked] == [0, 1, 1]
    assert task.judged_files({**told, "data": "discs"}).endswith("examples discs . 6 8")
    assert task.judged_on({**told, "data": "file"}) == [(PoissonRequest(), task.n_evaluate)]
    ((solved, _),) = task.judged_on({**told, "data": "mixed", "learns": "solutions"})
    assert solved.source == solved.truth
