"""Refining a guess: the residual asked for, a bound that holds, iterations that are counted."""

from math import nan

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein.domains.poisson.equations import Boundary, Darcy, Elliptic, Grid, Side, refine
from ornstein.domains.poisson.equations.inverses import Inverse
from ornstein.domains.poisson.equations.solvers import FACTORED, Multigrid
from ornstein.errors import InputError
from ornstein.testing import check_operator

KINDS = ["dirichlet", "neumann"]


def random_equation(seed: int) -> tuple[Elliptic, Tensor]:
    """An equation on a random grid with random sides, coefficients and sources, and the solution, of a dense matrix."""
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(2, 5, ndim))
    pairs = []
    for _ in range(ndim):
        low, high = (Side(KINDS[k], rng.normal()) for k in rng.integers(0, 2, 2))
        pairs.append((Side("periodic"), Side("periodic")) if rng.random() < 0.25 else (low, high))
    grid = Grid(shape, Boundary(tuple(pairs)), tuple(rng.uniform(0.3, 3, ndim).tolist()))
    a = float(rng.uniform(0.2, 2)) if rng.random() < 0.5 else torch.from_numpy(rng.uniform(0.2, 2, shape))
    return Elliptic(grid, a, -float(rng.random() < 0.4)), torch.from_numpy(rng.normal(size=(2, *shape)))


def violations(seed: int, factor: float) -> int:
    """How often an error is larger than the bound with so many times the eigenvalue that it rests on."""
    equation, rho = random_equation(seed)
    if equation.singular:
        rho = rho - rho.flatten(1).mean(1).reshape(2, *[1] * equation.grid.ndim) + equation.boundary.mean()
    matrix = equation.matrix.toarray()
    true = np.linalg.lstsq(matrix, (rho - equation.boundary).flatten(1).numpy().T, rcond=1e-12)[0].T
    assert np.abs(true - equation.solution(rho).flatten(1).numpy()).max() < 1e-10
    values, modes = np.linalg.eigh(matrix)
    slowest = modes[:, np.argmin(np.where(np.abs(values) > 1e-9, np.abs(values), np.inf))]
    errors = torch.from_numpy(np.stack([slowest, modes @ np.random.default_rng(seed).normal(size=len(modes))]))
    if equation.singular:
        errors = errors - errors.mean(1, keepdim=True)
    phi = equation.solution(rho) + errors.reshape(rho.shape)
    bound = equation.error_bound(equation.residual(rho, phi)) / factor
    return int((errors.norm(dim=1) > bound * (1 + 1e-9)).sum())


def test_the_bound_holds_and_is_no_larger_than_it_must_be() -> None:
    """With twice the eigenvalue, a factor that is easily lost, errors along the slowest wave are beyond it."""
    assert sum(violations(seed, 1.0) for seed in range(25)) == 0
    assert sum(violations(seed, 2.0) for seed in range(25)) > 5


def test_direct_solutions_are_certified_down_to_rounding() -> None:
    """Against solutions in extended precision."""
    grid = Grid((40,), Boundary.of("dirichlet", 1), lengths=(3.0,))
    equation, rho = Elliptic(grid, 0.7), torch.randn(5, 40).double()
    phi = equation.solution(rho)
    matrix = equation.matrix.toarray().astype(np.longdouble)
    error = phi.numpy().astype(np.longdouble)
    for _ in range(3):  # iterative refinement with residuals in extended precision
        missed = rho.numpy() - error @ matrix
        error = error + np.linalg.solve(matrix.astype(float), missed.astype(float).T).T
    off = np.linalg.norm((error - phi.numpy()).astype(float), axis=1)
    bound = equation.certified(rho, phi)
    assert (off > 0).all()
    assert (torch.from_numpy(off) <= bound).all()
    assert bound.max() < 1e-10


def test_what_single_precision_leaves_of_the_flux_is_no_error() -> None:
    """A singular equation is solved, and certified, for the source less its part that no φ can have."""
    equation = Elliptic(Grid((6, 5), Boundary.of("neumann", 2)), 1 + torch.rand(6, 5))
    rho = torch.randn(2, 6, 5).double()
    rho = (rho - rho.mean((1, 2), keepdim=True)).float()
    assert rho.double().mean((1, 2)).abs().max() > 1e-11
    found = refine(equation, torch.zeros(2, 6, 5), rho)
    assert found.converged.all()
    assert (found.error_bound < 1e-9).all()
    assert ((found.phi - equation.solution(rho.double())).flatten(1).norm(dim=1) <= found.error_bound).all()


@pytest.mark.parametrize("seed", range(6))
def test_any_guess_becomes_the_solution(seed: int) -> None:
    equation, rho = random_equation(seed + 100)
    if equation.singular:
        rho = rho - rho.flatten(1).mean(1).reshape(2, *[1] * equation.grid.ndim) + equation.boundary.mean()
    true = equation.solution(rho)
    found = refine(equation, true + 0.1 * torch.randn_like(true), rho)
    assert found.converged.all()
    assert (found.relative <= 1e-10).all()
    assert found.residual.allclose(equation.residual(rho, found.phi).flatten(1).norm(dim=1), rtol=1e-2, atol=1e-11)
    assert ((found.phi - true).flatten(1).norm(dim=1) <= found.error_bound).all()
    assert (found.error_bound < 1e-8 * (1 + true.flatten(1).norm(dim=1))).all()
    assert found.saved.equal(found.iterations_from_zero - found.iterations)


def test_a_good_guess_saves_iterations_and_noise_may_not() -> None:
    grid = Grid((24, 24), Boundary.of("dirichlet", 2))
    equation = Elliptic(grid, 0.1 + torch.rand(24, 24, generator=torch.Generator().manual_seed(0)))
    rho = torch.ones(1, 24, 24)
    true = equation.solution(rho.double())
    exact = refine(equation, true, rho)
    assert exact.iterations.item() == 0
    assert exact.saved.item() == exact.iterations_from_zero.item() > 3
    assert exact.seconds.item() < exact.seconds_from_zero.item()
    rough = refine(equation, true + 0.1 * true.abs().max() * torch.randn(1, 24, 24).double(), rho)
    assert rough.saved.item() <= 0
    assert rough.converged.item()


@pytest.mark.parametrize("word", ["dirichlet", "neumann"])
def test_beyond_a_size_multigrid_takes_over(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grid, side = Grid((6, 5), Boundary.of(Side(word, 0.5), 2)), torch.rand(6, 5).double()
    rho = torch.randn(2, 6, 5).double()
    rho = rho - rho.mean((1, 2), keepdim=True) + Elliptic(grid).boundary.mean()
    expected = Elliptic(grid, 0.5 + side).solution(rho), Darcy(grid, rho[0]).solution(side)
    monkeypatch.setitem(FACTORED, 2, 10)
    equation = Elliptic(grid, 0.5 + side)
    assert isinstance(equation.linear, Inverse)
    assert isinstance(equation.linear.solver, Multigrid)
    assert (equation.solution(rho) - expected[0]).abs().max() < 1e-10
    assert (Darcy(grid, rho[0]).solution(side) - expected[1]).abs().max() < 1e-10
    assert check_operator(equation.linear, (1, 6, 5), tolerance=1e-9) == 12


def test_what_cannot_be_reached_is_said() -> None:
    grid = Grid((16, 16), Boundary.of("dirichlet", 2))
    rho = torch.ones(1, 16, 16).double()
    beyond = refine(Elliptic(grid), torch.zeros(1, 16, 16), rho, tol=1e-19)
    assert not beyond.converged.item()
    assert beyond.error_bound.item() >= (beyond.phi - Elliptic(grid).solution(rho)).norm().item()
    assert not refine(Elliptic(grid), torch.zeros(1, 16, 16), rho, most=2).converged.item()
    nothing = refine(Elliptic(grid), rho, 0 * rho)
    assert nothing.converged.item()
    assert nothing.phi.abs().max() < 1e-9


def test_wrong_calls_are_named() -> None:
    equation, rho = Elliptic(Grid((4, 5), Boundary.of("neumann", 2))), torch.zeros(2, 4, 5)
    for guess, source, tol, message in [
        (rho, rho, 0.0, "tol is 0.0"),
        (rho, rho, nan, "tol is nan"),
        (rho * nan, rho, 1e-9, r"guess: element \(0, 0, 0\) is nan"),
        (rho, rho + 1, 1e-9, "integrates to 1"),
        (torch.zeros(2, 5, 4), torch.zeros(2, 5, 4), 1e-9, "the guess has the shape"),
    ]:
        with pytest.raises(InputError, match=message):
            refine(equation, guess, source, tol)
    helmholtz = Elliptic(Grid((4, 5), Boundary.of("dirichlet", 2)), c=30.0)
    with pytest.raises(InputError, match="definite matrix"):
        refine(helmholtz, rho, rho)
