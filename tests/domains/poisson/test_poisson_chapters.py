"""What the tour shows of the models of equations, made with fresh networks on a small grid."""

from typing import Any

import pytest
import torch

from ornstein.denoisers.base import NeuralDenoiser, Origin
from ornstein.domains.poisson import chapters
from ornstein.domains.poisson.equations import Boundary, Elliptic, Grid, Problem
from ornstein.domains.poisson.task import Poisson, PoissonConfig
from ornstein.events import finished
from ornstein.networks import UNetConfig

SHAPE = (16, 16)


def fresh(data: str, learns: Any = "sources", shape: tuple[int, ...] = SHAPE, said: str = "") -> NeuralDenoiser:
    config = PoissonConfig(learns, data, shape, coloured=data != "discs", network=UNetConfig(8, (1, 2), 1, ()))
    metadata = Poisson().data(config)[0].metadata
    metadata = {**metadata, "data": said or metadata["data"]}
    return Poisson().denoiser(config, metadata, Origin("poisson", "poisson/test", {}, metadata, "0"))


def test_what_cannot_be_shown_in_seconds_has_no_stop() -> None:
    assert not chapters.stops(fresh("gaussian", shape=(128, 128)), False)
    assert not chapters.stops(fresh("gaussian", shape=(64,)), False)
    assert not chapters.stops(fresh("gaussian", said="file"), False)


@pytest.mark.slow
@pytest.mark.parametrize(("data", "of"), [("gaussian", "source"), ("discs", "solution")])
def test_a_source_from_sensors(data: str, of: str) -> None:
    (stop,) = chapters.stops(fresh(data), False)
    chapter = finished(stop.make(0))
    assert chapter.title == stop.title == f"8 sensors of a {of}: {data}"
    assert f"Only 8 readings of the {of}" in chapter.text
    assert [figure.caption.split("(")[1].split(")")[0] for figure in chapter.figures] == ["source", "solution"]
    values = {metric.name: metric.value for metric in chapter.metrics}
    assert 0 < values[f"{of}: relative error of the mean"] < 1  # better than what is known without any sensor
    assert chapter.cover in chapter.figures


def test_readings_are_the_field_with_a_little_noise() -> None:
    problem = Problem(Elliptic(Grid(SHAPE, Boundary.of("dirichlet", 2))))
    truth = chapters.held_out("gaussian", 1, SHAPE, 0)
    points = torch.tensor([[0.5, 0.5], [0.3, 0.8]], dtype=torch.float64)
    for of in ("solution", "source"):
        factor = chapters.sensed(problem, truth, points, 0, of)
        left = (factor.operator(truth) - factor.y) / factor.std
        assert 0 < float(left.abs().max()) < 5
        other = chapters.held_out("gaussian", 2, SHAPE, 0)[1:]  # another source has other readings
        assert float(((factor.operator(other) - factor.y) / factor.std).abs().max()) > 20


@pytest.mark.slow
def test_a_learned_solver_beside_the_exact_one() -> None:
    (stop,) = chapters.stops(fresh("mixed", "solutions"), False)
    chapter = finished(stop.make(0))
    assert chapter.title == chapters.SOLVED
    assert "iterations, from zero in" in chapter.text
    assert [metric.name for metric in chapter.metrics] == ["error, gaussian", "error, discs", "spread"]
    assert all(0 < metric.value < 10 for metric in chapter.metrics)
    assert len(chapter.figures) == 2
