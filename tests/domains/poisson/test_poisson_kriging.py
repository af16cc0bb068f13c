"""Posteriors in closed form, against matrices written out."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein import InputError, Keys, Measurement
from ornstein.covariances import matrix_of
from ornstein.domains.poisson import sources
from ornstein.domains.poisson.equations import Boundary, Darcy, Elliptic, Grid, Problem
from ornstein.domains.poisson.factors import solution_sensors, source_sensors
from ornstein.domains.poisson.kriging import Linear, kriging
from ornstein.spectral.roots import Spectral
from worlds import assert_close, rejected

SHAPE = (6, 7)
STD = 0.02
SIDES = Boundary.parse("left=dirichlet:1,right=neumann:0.5,bottom=dirichlet:0,top=neumann:0", 2)
PROBLEM = Problem(Elliptic(Grid(SHAPE, SIDES)), 0.3, 2.0)
COV = sources.gaussian_spectrum((1, *SHAPE))
LIKE = torch.zeros(1, 1, *SHAPE, dtype=torch.float64)


@lru_cache
def sensors() -> tuple[Measurement, Measurement]:
    """Three of the source, eight of the solution."""
    points, values = Keys.of(1, 1).uniform(11, 2)[0], Keys.of(2, 1).normal(11)[0]
    return (
        source_sensors(PROBLEM, (points[:3], values[:3], 10 * STD)),
        solution_sensors(PROBLEM, (points[3:], values[3:], STD)),
    )


def written(known: Any) -> tuple[float, Tensor, Tensor, Tensor]:
    """Evidence, mean and covariance of the state, and the matrix of the equation, by plain algebra."""
    cov = matrix_of(COV, LIKE)[0]
    rows = torch.cat([matrix_of(one.operator, LIKE)[0] for one in known])
    noise = torch.cat([torch.as_tensor(one.std, dtype=torch.float64).expand(one.y.shape[-1]) for one in known]).square()
    y = torch.cat([one.y.double().flatten() for one in known])
    system = rows @ cov @ rows.T + noise.diag()
    law = torch.distributions.MultivariateNormal(torch.zeros_like(y), system)
    gain = cov @ rows.T @ system.inverse()
    assert PROBLEM.linear is not None
    solve = matrix_of(PROBLEM.linear, LIKE)[0]
    return float(law.log_prob(y)), gain @ y, cov - gain @ rows @ cov, solve


def assert_as_written(found: Any, known: Any) -> None:
    evidence, mean, cov, solve = written(known)
    assert found.evidence == pytest.approx(evidence, abs=1e-5)
    assert_close(found.source.flatten(), 0.3 + 2 * mean, 1e-6)
    assert_close(found.source_std.flatten(), 2 * cov.diagonal().sqrt(), 1e-6)
    assert_close(found.solution.flatten(), solve @ mean + PROBLEM.offset.flatten(), 1e-6)
    assert_close(found.solution_std.flatten(), (solve @ cov @ solve.T).diagonal().sqrt(), 1e-6)


def test_kriging_is_the_posterior_of_a_gaussian_source() -> None:
    known = sensors()
    found = kriging(PROBLEM, COV, known)
    assert_as_written(found, known)
    rejected(assert_as_written, found, (known[0], replace(known[1], std=1.1 * STD)))


def test_the_best_linear_estimator_of_gaussian_sources_is_kriging() -> None:
    draws = Spectral(COV.basis, COV.variance).root(Keys.of(3, 4000).normal(1, *SHAPE))
    one = sensors()[1]
    mean = written([one])[1]

    def assert_kriging(believed: Measurement) -> None:
        found = Linear.of(draws, believed)(one.y.double().reshape(1, -1))
        assert float((found.flatten() - mean).norm()) < 0.1 * float(mean.norm())

    assert_kriging(one)
    rejected(assert_kriging, replace(one, std=100 * STD))


def test_what_has_no_closed_form_is_refused() -> None:
    grid = Grid(SHAPE, Boundary.of("dirichlet", 2))
    points = torch.tensor([[0.5, 0.5]])
    problem = Problem(Darcy(grid, torch.ones(SHAPE)))
    with pytest.raises(InputError, match="not linear"):
        kriging(problem, COV, [source_sensors(problem, (points, torch.zeros(1), 0.1))])
    with pytest.raises(InputError, match="more than 4 draws"):
        Linear.of(torch.zeros(4, 1, *SHAPE), sensors()[1])
