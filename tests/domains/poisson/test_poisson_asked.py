"""From a request to a folder and back, through the engine, with a fresh network."""

from pathlib import Path

import numpy as np
import pytest
import torch

import ornstein as on
from ornstein.config import TrainConfig, to_dict
from ornstein.denoisers.base import NeuralDenoiser, Origin
from ornstein.domains.poisson.asked.flags import PoissonRequest
from ornstein.domains.poisson.data import made
from ornstein.domains.poisson.learned import surrogate
from ornstein.domains.poisson.task import Poisson, PoissonConfig
from ornstein.errors import InputError
from ornstein.networks.unet import UNetConfig
from ornstein.tasks.requests import draw
from ornstein.tasks.samples import read_samples

LINES = "x,y,value,std\n0.5,0.5,0.01,0.001\n0.2,0.7,0.02,0.001\n\n0.0,0.5,0.3,0.1\n"


@pytest.fixture(scope="module")
def model() -> NeuralDenoiser:
    config = PoissonConfig(network=UNetConfig(8, (1, 1), 1, ()), train=TrainConfig())
    metadata = made("gaussian", (8, 8), 8)[0].metadata
    return Poisson().denoiser(config, metadata, Origin("poisson", "fresh", to_dict(config), metadata, "0" * 64))


def test_from_sensors_to_a_folder_that_is_judged_without_them(model: NeuralDenoiser, tmp_path: Path) -> None:
    (tmp_path / "phi.csv").write_text(LINES)
    asked = PoissonRequest(solution_sensors=tmp_path / "phi.csv", boundary="left=dirichlet:0.3,right=dirichlet:0.1,"
                           "bottom=neumann:0,top=neumann:0", total=0.1)  # fmt: skip
    drawn = draw(model, asked, 3, steps=2, out=tmp_path / "out", seed=1)
    assert sum("left out" in note for note in drawn.notes) == 2  # a blank line; a sensor on a Dirichlet side
    (tmp_path / "phi.csv").unlink()
    read = read_samples(tmp_path / "out")
    assert read.x.equal(drawn.x)
    assert Poisson().evaluate(read) == Poisson().evaluate(drawn)
    assert {metric.name for metric in Poisson().evaluate(read)} >= {
        "misfit of the solution sensors",
        "largest PDE residual",
    }
    assert "misfit" in str([metric.name for metric in Poisson().retest(read)])


def test_guides_of_python_are_put_on_the_model(model: NeuralDenoiser) -> None:
    poisson = on.poisson
    problem = poisson.Problem(poisson.Elliptic(poisson.Grid((8, 8), poisson.Boundary.of("dirichlet", 2))), scale=2.0)
    guided = model & poisson.solution_sensors(problem, ([[0.5, 0.5]], [0.2], 1e-3)) & poisson.total(problem, 1.0)
    found = poisson.solved(problem, on.sample(guided, 2, steps=2).x)
    assert found.residual.max() < 1e-12
    torch.testing.assert_close(found.unknown.sum((1, 2)) / 81, torch.ones(2).double(), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_asked_leaves_nothing(model: NeuralDenoiser, tmp_path: Path) -> None:
    for asked in (PoissonRequest(lengths=(1.0,)), PoissonRequest(source=tmp_path), PoissonRequest(refine=0.1)):
        with pytest.raises(InputError):
            draw(model, asked, 1, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_learned_solver_is_asked_and_corrected(tmp_path: Path) -> None:
    config = PoissonConfig(
        learns="solutions", data="gaussian", shape=(8, 8), records=16, network=UNetConfig(8, (1,), 1, ())
    )
    metadata = Poisson().data(config)[0].metadata
    model = Poisson().denoiser(config, metadata, Origin("poisson", "fresh", to_dict(config), metadata, "0" * 64))
    np.save(tmp_path / "rho.npy", np.random.default_rng(0).normal(size=(8, 8)))
    asked = PoissonRequest(source=tmp_path / "rho.npy", boundary="dirichlet:0.1", lengths=(2.0, 2.0), refine=1e-9)
    drawn = draw(model, asked, 2, out=tmp_path / "out")
    assert drawn.nfe == surrogate.DEFAULTS["steps"]
    (tmp_path / "rho.npy").unlink()
    scores = {metric.name: metric.value for metric in Poisson().evaluate(read_samples(tmp_path / "out"))}
    assert scores["largest residual, refined"] <= 1e-9 < scores["largest PDE residual"]
    assert scores["largest boundary violation"] == 0
