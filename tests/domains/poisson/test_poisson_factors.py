"""What is known of sources and solutions: with Gaussian sources the posterior is that of dense linear algebra."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein.domains.poisson import factors
from ornstein.domains.poisson.equations import Boundary, Darcy, Elliptic, Grid, Heat, Problem
from ornstein.errors import InputError
from worlds import rejected

SHAPE = (5, 6)
SIDES = (
    "dirichlet:0.5",
    "left=dirichlet:1,right=neumann:0.5,bottom=periodic,top=periodic",
    "left=neumann:0.1,right=neumann:-0.3,bottom=dirichlet:2,top=neumann:1",
)
SPECTRUM = on.roots.power_law((1, *SHAPE), 2, on.transforms.Separable(("cosine", "cosine")))
WORLD = on.oracles.gaussian_field(SPECTRUM, noise_cov=SPECTRUM)
POINTS = torch.rand(7, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * torch.tensor([2.0, 1.0])


def problems(sides: str) -> list[Problem]:
    grid = Grid(SHAPE, Boundary.parse(sides, 2), (1.0, 2.0))
    a = torch.linspace(0.5, 2.0, 30, dtype=torch.float64).reshape(SHAPE)
    kinds = (Elliptic(grid), Elliptic(grid, 1.3, -2.0), Elliptic(grid, a, 3.0), Heat(grid, 0.3, 0.05))
    return [Problem(one, 0.2, 3.0) for one in kinds]


def dense(function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """A and b of an affine function of one field, y = A x + b, from its values alone."""
    zero = torch.zeros(1, 1, *SHAPE, dtype=torch.float64)
    b = function(zero)[0].flatten()
    units = torch.eye(zero.numel(), dtype=torch.float64).reshape(-1, 1, *SHAPE)
    return (function(units).flatten(1) - b).T, b


def posterior(a: Tensor, b: Tensor, y: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x ~ N(0, C) given y = A x + b + noise, as the textbook has them."""
    prior = dense(lambda x: SPECTRUM(x))[0]
    gain = prior @ a.T @ torch.linalg.inv(a @ prior @ a.T + torch.diag(std**2))
    return gain @ (y - b), prior - gain @ a @ prior


def posterior_of(factor: on.Measurement) -> tuple[Tensor, Tensor]:
    _, found = WORLD.posterior(factor)
    return found.mean.flatten(), dense(found.spread)[0]


@pytest.mark.parametrize("sides", SIDES)
def test_the_posterior_by_sensors_of_the_solution_is_that_of_dense_linear_algebra(sides: str) -> None:
    y, std = torch.linspace(-1, 1, 7, dtype=torch.float64), torch.linspace(0.01, 0.1, 7, dtype=torch.float64)
    for problem in problems(sides):
        grid = problem.equation.grid
        a, b = dense(lambda x: grid.interpolation(POINTS)(grid.whole(problem.solution(x))))  # noqa: B023
        mean, cov = posterior(a, b, y, std)
        found, spread = posterior_of(factors.solution_sensors(problem, (POINTS, y, std)))
        assert (found - mean).abs().max() < 1e-8 * mean.abs().max()
        assert (spread - cov).abs().max() < 1e-8 * cov.abs().max()
        without = posterior(a, 0 * b, y, std)[0]  # of whoever forgets what the boundary says
        rejected(torch.testing.assert_close, found, without)


def test_the_posterior_by_sensors_of_the_source_is_that_of_dense_linear_algebra() -> None:
    y, std = torch.linspace(-1, 1, 7, dtype=torch.float64), torch.full((7,), 0.05, dtype=torch.float64)
    problem = problems(SIDES[1])[0]
    grid = problem.equation.grid
    read = factors.of_unknowns(grid, POINTS)
    mean, cov = posterior(*dense(lambda x: read(problem.unknown(x))), y, std)
    found, spread = posterior_of(factors.source_sensors(problem, (POINTS, y, std)))
    assert (found - mean).abs().max() < 1e-8 * mean.abs().max()
    assert (spread - cov).abs().max() < 1e-8 * cov.abs().max()


def test_sources_are_read_where_they_are() -> None:
    """A plane is read exactly between the unknowns, and goes on flat beyond the outermost ones."""
    grid = Grid(SHAPE, Boundary.parse(SIDES[2], 2), (1.0, 2.0), (-1.0, 3.0))
    y, x = torch.meshgrid(*grid.coordinates, indexing="ij")
    points = torch.tensor([[3.9, -0.4], [3.0, -0.4], [5.0, -0.4]], dtype=torch.float64)
    found = factors.of_unknowns(grid, points)((2 * x - y)[None])[0]
    ends = float(grid.coordinates[1][0]), float(grid.coordinates[1][-1])
    expected = torch.tensor([2 * 3.9 + 0.4, 2 * ends[0] + 0.4, 2 * ends[1] + 0.4], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_what_is_known_holds_in_every_sample() -> None:
    problem = problems(SIDES[0])[0]
    where = torch.zeros(SHAPE, dtype=torch.bool)
    where[:2] = True
    value = torch.linspace(-1, 1, 30, dtype=torch.float64).reshape(SHAPE)
    model = WORLD & factors.known(problem, value, where) & factors.total(problem, 1.7)
    drawn = problem.unknown(on.sample(model, 3, steps=4).x.double())[:, 0]
    assert (drawn[:, :2] - value[:2]).abs().max() < 1e-5
    assert drawn.std(0)[2:].min() > 0.1
    torch.testing.assert_close(
        drawn.sum((1, 2)) * problem.equation.grid.cell, torch.full((3,), 1.7).double(), rtol=1e-5, atol=1e-5
    )


def test_a_known_field_with_noise_is_a_measurement() -> None:
    problem = problems(SIDES[0])[0]
    where = torch.zeros(SHAPE, dtype=torch.bool)
    where[1, 2:4] = True
    value = torch.full(SHAPE, torch.nan).masked_fill(where, 1.5)  # read only where it is known
    factor = factors.known(problem, value, where, std=0.3)
    assert isinstance(factor, on.Measurement)
    mean, _ = posterior(
        *dense(lambda x: problem.unknown(x)[:, 0, 1, 2:4]),
        torch.full((2,), 1.5, dtype=torch.float64),
        torch.full((2,), 0.3, dtype=torch.float64),
    )
    assert (posterior_of(factor)[0] - mean).abs().max() < 1e-8


def test_bounds_are_those_of_the_unknown() -> None:
    problem = problems(SIDES[0])[0]
    drawn = problem.unknown(on.sample(WORLD & factors.bounds(problem, -1.0, 2.0), 16, steps=8).x)
    free = problem.unknown(on.sample(WORLD, 16, steps=8).x)
    assert (drawn > -1.3).all()
    assert (drawn < 2.3).all()
    assert (free < -1.3).any()
    assert (free > 2.3).any()


@dataclass(frozen=True)
class _Line:
    """Darcy's equation in one dimension, of which the flow is known: φ' = q/a for ρ = 0."""

    n: int = 9

    @property
    def problem(self) -> Problem:
        return Problem(Darcy(Grid((self.n,), Boundary.parse("left=dirichlet:0,right=dirichlet:1", 1)), 0.0), 0.3, 0.5)


def test_the_solution_of_darcy_is_measured_by_a_differentiable_function() -> None:
    problem = _Line().problem
    factor = factors.solution_sensors(problem, ([[0.25], [0.8]], [0.3, 0.7], 0.01))
    x = torch.randn(2, 1, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grid, phi = problem.equation.grid, problem.equation.solution(problem.unknown(x))
    expected = grid.interpolation([[0.25], [0.8]])(grid.whole(phi))
    torch.testing.assert_close(factor.operator(x), expected / 0.01)  # in standard deviations
    v = torch.randn(2, 1, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    along = torch.func.jvp(factor.operator, (x,), (v,))[1]
    step = 1e-5
    slope = (factor.operator(x + step * v) - factor.operator(x - step * v)) / (2 * step)
    torch.testing.assert_close(along, slope, rtol=1e-6, atol=1e-8)


def test_sensors_that_say_nothing() -> None:
    problem = problems(SIDES[1])[0]
    on_left = torch.tensor([[0.0, 0.3], [0.0, 0.9]], dtype=torch.float64)
    with pytest.raises(InputError, match=r"all sensors \(2\) lie on Dirichlet sides"):
        factors.solution_sensors(problem, (on_left, [0.0, 0.0], 0.1))
    both = torch.cat([on_left, POINTS])
    factor = factors.solution_sensors(problem, (both, torch.zeros(9), 0.1))
    assert tuple(factor.y.shape) == (1, 7)
    right = torch.tensor([[2.0, 0.3]], dtype=torch.float64)  # a Neumann side has no value of its own
    assert tuple(factors.solution_sensors(problem, (right, [0.0], 0.1)).y.shape) == (1, 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: factors.solution_sensors(p, ([[2.1, 0.5]], [1.0], 0.1)), "sensor 0: x is 2.1, expected 0 to 2"),
        (lambda p: factors.source_sensors(p, ([[0.1, 1.5]], [1.0], 0.1)), "sensor 0: y is 1.5, expected 0 to 1"),
        (lambda p: factors.known(p, torch.zeros(6, 5)), "has the shape (6, 5), expected (5, 6)"),
        (lambda p: factors.known(p, torch.full(SHAPE, torch.nan)), "element (0, 0) is nan"),
        (lambda p: factors.known(p, 1.0, std=-1), "std is -1, expected a number from 0"),
        (lambda p: factors.known(p, 1.0, torch.zeros(SHAPE, dtype=torch.bool)), "holds nowhere"),
        (lambda p: factors.total(p, float("nan")), "total is nan"),
        (lambda p: factors.bounds(p, 2.0, 1.0), "expected low < high"),
        (lambda p: factors.bounds(p), "neither low nor high"),
    ],
)
def test_what_cannot_be_known_is_named(make: Callable[[Problem], object], said: str) -> None:
    with pytest.raises(InputError) as error:
        make(problems(SIDES[0])[0])
    assert said in str(error.value)


def test_readings_that_contradict_the_equation_are_said_to() -> None:
    factor = factors.solution_sensors(_Line().problem, ([[0.25]], [0.3], 0.01))
    with pytest.raises(InputError, match="they may contradict the source"):
        factor.operator(torch.full((1, 1, 9), 1e4, dtype=torch.float64))
