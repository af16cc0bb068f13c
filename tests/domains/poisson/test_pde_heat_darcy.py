"""Heat against the decay of its modes, Darcy's law against closed forms and finite differences."""

from math import exp, nan, pi
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor

from ornstein.domains.poisson.equations import Boundary, Darcy, Elliptic, Grid, Heat, Problem, Side
from ornstein.errors import InputError
from ornstein.testing import check_operator


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mixed() -> Boundary:
    values = torch.linspace(-1, 1, 5)
    sides = {"left": Side("dirichlet", 1.0), "right": Side("neumann", 0.3), "bottom": "neumann"}
    return Boundary.of({**sides, "top": Side("dirichlet", values)}, 2)


def test_modes_of_heat_decay_at_their_rates() -> None:
    grid = Grid((15, 20), Boundary.of("dirichlet", 2), lengths=(1.0, 2.0))
    y, x = torch.meshgrid(*grid.coordinates, indexing="ij")
    mode = (pi * y).sin() * (3 * pi * x / 2).sin()
    h, w = grid.spacing
    rate = (2 - 2 * np.cos(pi * h)) / h**2 + (2 - 2 * np.cos(1.5 * pi * w)) / w**2
    heat = Heat(grid, diffusivity=0.4, time=0.05)
    assert (heat.solution(mode) - exp(-0.4 * 0.05 * rate) * mode).abs().max() < 1e-13
    assert rate == pytest.approx(pi**2 * 3.25, rel=0.02)
    assert check_operator(heat.linear, (1, 15, 20)) == 12


@pytest.mark.parametrize("boundary", [mixed(), Boundary.of(Side("neumann", 0.7), 2)], ids=["mixed", "heated"])
def test_heat_with_sides_that_are_held_or_heated_is_the_matrix_exponential(boundary: Boundary) -> None:
    """With ∂u/∂t = K u + b one matrix more: exp(T [[K, b], [0, 0]])."""
    grid = Grid((4, 5), boundary, lengths=(1.0, 1.5))
    steady = Elliptic(grid, 0.3)
    matrix = np.zeros((21, 21))
    matrix[:20, :20], matrix[:20, 20] = steady.matrix.toarray(), steady.boundary.flatten().numpy()
    start, heat = normal(4, 5), Heat(grid, diffusivity=0.3, time=0.2)
    expected = expm(0.2 * matrix) @ np.append(start.flatten().numpy(), 1.0)
    assert np.abs(heat.solution(start).flatten().numpy() - expected[:20]).max() < 1e-12
    assert torch.allclose(heat.linear(start[None])[0] + heat.offset, heat.solution(start))
    assert heat.residual(start, heat.solution(start) + 1.0).allclose(torch.ones(4, 5).double())
    assert heat.error_bound(torch.ones(1, 4, 5)).item() == pytest.approx(20**0.5)


def test_heat_for_long_is_the_steady_state() -> None:
    grid = Grid((4, 5), mixed())
    late = Heat(grid, 1.0, 100.0).solution(normal(4, 5))
    assert (late - Elliptic(grid).solution(torch.zeros(4, 5).double())).abs().max() < 1e-12


@pytest.mark.parametrize("options", [{"diffusivity": 0.0}, {"diffusivity": nan}, {"time": -1.0}], ids=str)
def test_heat_that_flows_backwards_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected a positive number"):
        Heat(Grid((4, 5), mixed()), **options)


# Darcy -------------------------------------------------------------------------------------------------


def test_darcy_of_one_number_is_poisson() -> None:
    grid, source = Grid((4, 5), mixed()), normal(4, 5)
    darcy = Darcy(grid, source)
    phi = darcy.solution(torch.full((2, 4, 5), 0.7, dtype=torch.float64))
    assert torch.allclose(phi[1], Elliptic(grid, exp(0.7)).solution(source), rtol=0, atol=1e-12)
    assert darcy.linear is None
    with pytest.raises(InputError, match="not linear in its unknown"):
        _ = Problem(darcy).offset


def test_darcy_solves_each_sample_with_its_own_coefficient() -> None:
    darcy, u = Darcy(Grid((4, 5), mixed()), 2.0), normal(3, 1, 4, 5)
    phi = darcy.solution(u)
    assert darcy.residual(u, phi).abs().max() < 1e-12
    for k in range(3):
        assert torch.allclose(
            phi[k, 0], darcy.at(u[k, 0]).solution(torch.full((4, 5), 2.0).double()), rtol=0, atol=1e-12
        )
    assert darcy.error_bound(phi[:, 0]).isnan().all()
    bound = darcy.certified(u[:, 0], phi[:, 0] + 0.1)
    assert (bound >= 0.1 * 20**0.5).all()


@pytest.mark.parametrize("boundary", [mixed(), Boundary.of("periodic", 2)], ids=["mixed", "periodic"])
def test_derivatives_of_darcy_are_those_of_finite_differences(boundary: Boundary) -> None:
    grid, source = Grid((2, 5), boundary, lengths=(1.0, 2.0)), normal(2, 5)
    darcy, u = Darcy(grid, source - source.mean()), normal(1, 2, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(darcy.solution, (u,), check_forward_ad=True, atol=1e-7)
    direction = normal(2, 5, seed=2)
    slope = torch.func.jvp(darcy.solution, (u[0].detach(),), (direction,))[1]
    ends = [darcy.solution(u[0].detach() + step * direction) for step in (1e-5, -1e-5)]
    assert (slope - (ends[0] - ends[1]) / 2e-5).abs().max() < 1e-8 * slope.abs().max().clamp(min=1.0)


def test_second_derivatives_of_darcy_and_samples_apart() -> None:
    darcy, u = Darcy(Grid((2, 3), Boundary.of("dirichlet", 2)), 1.0), normal(2, 2, 3, seed=1)
    assert torch.autograd.gradgradcheck(darcy.solution, (u.clone().requires_grad_(),), atol=1e-7)
    each = torch.func.vmap(torch.func.grad(lambda v: darcy.solution(v).square().sum()))(u)
    whole = u.clone().requires_grad_()
    (expected,) = torch.autograd.grad(darcy.solution(whole).square().sum(), whole)
    assert torch.allclose(each, expected, rtol=0, atol=1e-13)


def test_wrong_grounds_are_named() -> None:
    grid = Grid((4, 5), mixed())
    with pytest.raises(InputError, match=r"source has the shape \(5, 4\)"):
        Darcy(grid, torch.ones(5, 4))
    with pytest.raises(InputError, match="integrates to 1, the flux through the boundary is 0"):
        Darcy(Grid((4, 5), Boundary.of("neumann", 2)), 1.0)
    for value in (nan, 400.0):
        with pytest.raises(InputError, match=r"at \(0, 1, 2\), expected at most ±300"):
            Darcy(grid).solution(
                torch.zeros(1, 4, 5).index_put([torch.tensor(k) for k in (0, 1, 2)], torch.tensor(value))
            )
