"""Elliptic equations against closed forms: waves, manufactured solutions, pseudo-inverses, and what has no solution."""

from collections.abc import Callable
from itertools import product
from math import nan, pi
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein.domains.poisson.equations import Boundary, Elliptic, Grid, Problem, Side
from ornstein.domains.poisson.equations.solvers import in_waves
from ornstein.errors import InputError
from ornstein.guidance.grams import gram
from ornstein.testing import check_operator

PAIRS = [
    ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("dirichlet", "neumann"), ("neumann", "dirichlet"),
    ("periodic", "periodic"),
]  # fmt: skip


def grid_of(shape: tuple[int, ...], *pairs: tuple[str, str], lengths: tuple[float, ...] | None = None) -> Grid:
    return Grid(shape, Boundary(tuple((Side(low), Side(high)) for low, high in pairs)), lengths)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def wave(kinds: tuple[str, str], at: Tensor, length: float, k: int) -> Tensor:
    """The k-th continuous eigenfunction of the second derivative with these sides, at coordinates from the low end."""
    match kinds:
        case ("dirichlet", "dirichlet"):
            return (pi * (k + 1) * at / length).sin()
        case ("neumann", "neumann"):
            return (pi * k * at / length).cos()
        case ("dirichlet", "neumann"):
            return (pi * (k + 0.5) * at / length).sin()
        case ("neumann", "dirichlet"):
            return (pi * (k + 0.5) * at / length).cos()
        case _:
            return (2 * pi * k * at / length).cos() + (2 * pi * k * at / length).sin()


@pytest.mark.parametrize("kinds", list(product(PAIRS, PAIRS)), ids=str)
def test_waves_are_solved_exactly(kinds: tuple[tuple[str, str], ...]) -> None:
    """The continuous eigenfunctions at the unknowns are eigenvectors of the matrix, with eigenvalues in closed form."""
    shape, lengths, modes = (6, 7), (1.5, 0.8), (2, 1)
    grid = grid_of(shape, *kinds, lengths=lengths)
    phi, value = torch.ones(shape, dtype=torch.float64), 0.0
    for axis in range(2):
        at, length, k, h = grid.coordinates[axis], lengths[axis], modes[axis], grid.spacing[axis]
        phi = phi * wave(kinds[axis], at, length, k).reshape(-1, *[1] * (1 - axis))
        rate = {("dirichlet", "dirichlet"): k + 1, ("neumann", "neumann"): k, ("periodic", "periodic"): 2 * k}
        value -= (2 - 2 * np.cos(pi * rate.get(kinds[axis], k + 0.5) * h / length)) / h**2
    equation = Elliptic(grid, a=1.7, c=-0.4)
    rho = (1.7 * value - 0.4) * phi
    assert (equation.solution(rho) - phi).abs().max() < 1e-12
    assert np.abs(equation.matrix @ phi.flatten().numpy() - rho.flatten().numpy()).max() < 1e-11
    assert equation.residual(rho, phi).abs().max() < 1e-11
    assert equation.certificate.least == pytest.approx(
        float(np.abs(np.linalg.eigvalsh(equation.matrix.toarray())).min())
    )
    assert check_operator(equation.linear, (1, *shape)) == 12


@pytest.mark.parametrize("shape", [(9,), (4, 5), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("word", ["dirichlet", "neumann", "periodic"])
@pytest.mark.parametrize("varies", [False, True])
def test_all_solvers_agree(shape: tuple[int, ...], word: str, varies: bool) -> None:
    grid = Grid(shape, Boundary.of(word, len(shape)), tuple(np.linspace(1.0, 2.0, len(shape)).tolist()))
    a = 0.3 + torch.rand(shape, generator=torch.Generator().manual_seed(1)) if varies else 0.6
    equation = Elliptic(grid, a)
    rho = normal(2, 3, *shape)
    rho = rho - rho.flatten(2).mean(2).reshape(2, 3, *[1] * len(shape))
    phi = equation.solution(rho)
    assert equation.residual(rho, phi).abs().max() < 1e-11
    for method in ("auto", "sparse", "amg", *([] if varies else ["spectral"])):
        assert np.abs(equation.solve(rho.numpy(), method) - phi.numpy()).max() < 1e-10, method
    if equation.singular:
        assert phi.flatten(2).mean(2).abs().max() < 1e-14


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_fast_waves_are_those_of_the_basis(kinds: tuple[str, str]) -> None:
    grid, x, gain = grid_of((3, 8), kinds, PAIRS[4]), normal(2, 3, 8), normal(3, 1).expand(3, 8)
    expected = grid.basis.inverse(gain * grid.basis.forward(x))
    if kinds != PAIRS[4]:  # a gain along a periodic axis is the same for k and −k
        assert np.abs(in_waves(grid.basis.axes, gain.numpy(), x.numpy()) - expected.numpy()).max() < 1e-13


# Accuracy ----------------------------------------------------------------------------------------------

Fields = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]


def manufactured(n: int, varies: bool, kinds: dict[str, str], c: float = 0.0) -> float:
    """The largest error on a grid of n by 3n/2 unknowns of a problem whose solution is known."""

    def exact(y: Tensor, x: Tensor) -> Tensor:
        return (1.3 * x + 0.4).sin() * (0.7 * y).exp() + 0.2 * x * y

    def coefficient(y: Tensor, x: Tensor) -> Tensor:
        return 1 + 0.3 * (2 * x).sin() * y.cos() + 0.2 * y if varies else 1.4 + 0 * x

    def slopes(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fluxes a ∂φ/∂y, a ∂φ/∂x and the source."""
        y, x = (part.clone().requires_grad_() for part in torch.broadcast_tensors(y, x))
        first = torch.autograd.grad(exact(y, x).sum(), (y, x), create_graph=True)
        fluxes = [coefficient(y, x) * slope for slope in first]
        rho = sum(torch.autograd.grad(f.sum(), of, retain_graph=True)[0] for f, of in zip(fluxes, (y, x), strict=True))
        return fluxes[0].detach(), fluxes[1].detach(), (rho + c * exact(y, x)).detach()

    shape, lengths, origin = (n, 3 * n // 2), (0.9, 1.6), (0.2, -0.5)
    ends = {"bottom": 0.2, "top": 1.1, "left": -0.5, "right": 1.1}
    y, x = Grid(shape, Boundary.of(kinds, 2), lengths, origin).coordinates

    def side(name: str) -> Side:
        end = torch.tensor(ends[name], dtype=torch.float64)
        at = (end, x) if name in ("bottom", "top") else (y, end)
        if kinds[name] == "dirichlet":
            return Side("dirichlet", exact(*at))
        outwards = -1 if name in ("bottom", "left") else 1
        return Side("neumann", outwards * slopes(*at)[0 if name in ("bottom", "top") else 1])

    grid = Grid(shape, Boundary.of({name: side(name) for name in kinds}, 2), lengths, origin)
    y, x = torch.meshgrid(y, x, indexing="ij")
    equation = Elliptic(grid, coefficient(y, x), c)
    return float((equation.solution(slopes(y, x)[2]) - exact(y, x)).abs().max())


@pytest.mark.parametrize("c", [0.0, -3.0, 2.0])
@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("neumann", [(), ("right", "bottom"), ("left", "top", "bottom")], ids=str)
def test_errors_fall_with_the_square_of_the_spacing(neumann: tuple[str, ...], varies: bool, c: float) -> None:
    kinds = {name: "neumann" if name in neumann else "dirichlet" for name in ("left", "right", "bottom", "top")}
    coarse, fine = (manufactured(n, varies, kinds, c) for n in (16, 64))
    assert fine < 1e-3
    assert np.log(coarse / fine) / np.log(4) > 1.85


def test_a_jump_of_the_coefficient_keeps_the_flux() -> None:
    """1-D, no source: the flux is one number, φ is linear on either side, exactly."""
    a = torch.tensor([1.0] * 5 + [100.0] * 5)
    grid = Grid((10,), Boundary.of({"left": Side("neumann", 2.0), "right": Side("dirichlet", 3.0)}, 1))
    phi, h = Elliptic(grid, a).solution(torch.zeros(10).double()), grid.spacing[0]
    assert (phi[:5].diff() + 2.0 * h).abs().max() < 1e-13
    assert (phi[5:].diff() + 0.02 * h).abs().max() < 1e-13
    assert (phi[4] - phi[5]).item() == pytest.approx(2.0 * h * (0.5 + 0.005), rel=1e-12)


# What has no solution ----------------------------------------------------------------------------------


def test_a_source_must_be_what_flows_out() -> None:
    sides = {
        "left": Side("neumann", 1.5),
        "right": Side("neumann", -0.5),
        "bottom": "neumann",
        "top": Side("neumann", 0.25),
    }
    grid = Grid((6, 8), Boundary.of(sides, 2), lengths=(2.0, 4.0))
    equation = Elliptic(grid, 0.5 + torch.rand(6, 8))
    assert equation.singular
    assert equation.flux == pytest.approx(1.5 * 2 - 0.5 * 2 + 0.25 * 4)
    rho = normal(6, 8)
    rho = rho - rho.mean() + equation.flux / 8.0
    for dtype in (torch.float64, torch.float32):
        equation.require_compatible(rho.to(dtype))
    phi = equation.solution(rho)
    assert equation.residual(rho, phi).abs().max() < 1e-11
    assert phi.mean().abs() < 1e-13
    for wrong in (rho + 1e-3, rho.float() + 1e-3, torch.stack([rho, rho - 0.1])):
        with pytest.raises(InputError, match=r"integrates to .*, the flux through the boundary is 3"):
            equation.require_compatible(wrong)
    with pytest.raises(InputError, match="integrates to"):
        equation.solve((rho + 1).numpy())
    Elliptic(grid, c=-1.0).require_compatible(rho + 1)
    Elliptic(grid_of((4, 4), PAIRS[1], PAIRS[2])).require_compatible(torch.ones(4, 4))


def test_resonances_are_named() -> None:
    grid = grid_of((8, 8), PAIRS[0], PAIRS[0])
    values = grid.laplacian
    with pytest.raises(InputError, match=r"in resonance .*|mode \(1, 2\)"):
        Elliptic(grid, 2.0, 2.0 * values[1, 2].item())
    between = Elliptic(grid, 1.0, (values[0, 0].item() + values[0, 1].item()) / 2)
    assert between.certificate.least == pytest.approx((values[0, 1] - values[0, 0]).item() / 2)
    rho = normal(8, 8)
    assert np.abs(between.solve(rho.numpy(), "sparse") - between.solution(rho).numpy()).max() < 1e-10
    with pytest.raises(InputError, match="definite"):
        between.solve(rho.numpy(), "amg")
    a = 1 + torch.rand(8, 8, generator=torch.Generator().manual_seed(2)).double()
    resonant = -np.linalg.eigvalsh(Elliptic(grid, a).matrix.toarray())[40]
    with pytest.raises(InputError, match="resonance"):
        Elliptic(grid, a, float(resonant))
    beside = Elliptic(grid, a, float(resonant) + 1e-3)
    assert beside.residual(rho, beside.solution(rho)).abs().max() < 1e-8
    assert beside.certificate.least is None
    assert beside.error_bound(rho[None]).isnan().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": 0.0}, "coefficient a is 0 "),
        ({"a": -1.0}, "coefficient a is -1 "),
        ({"a": nan}, "is nan"),
        ({"a": torch.ones(4, 5).index_fill(0, torch.tensor(2), -3.0)}, r"a is -3 at \(2, 0\)"),
        ({"a": torch.full((4, 5), nan)}, "is nan"),
        ({"a": torch.ones(5, 4)}, r"shape \(5, 4\), expected a number or \(4, 5\)"),
        ({"a": torch.ones(1, 4, 5)}, r"shape \(1, 4, 5\)"),
        ({"c": nan}, "coefficient c is nan"),
    ],
    ids=str,
)
def test_wrong_coefficients_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Elliptic(Grid((4, 5), Boundary.of("dirichlet", 2)), **options)


def test_wrong_sources_are_named() -> None:
    equation = Elliptic(Grid((4, 5), Boundary.of("dirichlet", 2)), 1 + torch.rand(4, 5))
    with pytest.raises(InputError, match=r"the source has the shape \(5, 4\), expected \(..., 4, 5\)"):
        equation.solution(torch.ones(5, 4))
    with pytest.raises(InputError, match=r"element \(1, 2\) is nan"):
        equation.solve(torch.ones(4, 5).index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(nan)).numpy())
    with pytest.raises(InputError, match="did you mean 'sparse'"):
        equation.solve(np.ones((4, 5)), "sparce")
    with pytest.raises(InputError, match="known in waves only"):
        equation.solve(np.ones((4, 5)), "spectral")
    with pytest.raises(InputError, match="two unknowns"):
        Elliptic(Grid((1,), Boundary.of("neumann", 1)))


# As a part of models -----------------------------------------------------------------------------------


@pytest.mark.parametrize("varies", [False, True])
def test_solutions_have_derivatives_of_all_kinds(varies: bool) -> None:
    grid = grid_of((3, 4), PAIRS[2], PAIRS[0])
    equation = Elliptic(grid, 1 + torch.rand(3, 4) if varies else 1.0, c=-0.2)
    rho = normal(2, 3, 4)
    inverse = torch.linalg.inv(torch.from_numpy(equation.matrix.toarray()))
    jacobian = torch.func.jacrev(equation.solution)(rho[0]).reshape(12, 12)
    assert torch.allclose(jacobian, inverse, rtol=0, atol=1e-13)
    assert torch.allclose(torch.func.jacfwd(equation.solution)(rho[0]).reshape(12, 12), inverse, rtol=0, atol=1e-13)
    each = torch.func.vmap(torch.func.grad(lambda r: equation.solution(r).square().sum()))(rho)
    assert torch.allclose(each.flatten(1), 2 * equation.solution(rho).flatten(1) @ inverse, rtol=0, atol=1e-12)
    with torch.inference_mode():
        made = Elliptic(grid, 1 + torch.rand(3, 4) if varies else 1.0)
    assert made.solution(rho.requires_grad_()).sum().requires_grad


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_known_solutions_are_projected_onto_in_waves(kinds: tuple[str, str]) -> None:
    """K⁻¹ K⁻¹ᵀ of any sides is diagonal in waves that `gram` tries: a solution that is known costs no iteration."""
    equation = Elliptic(grid_of((6, 40), PAIRS[0], kinds))
    x = normal(1, 6, 40)
    found = gram(equation.linear, x, shared=True)
    assert type(found.inverse).__name__ == "_InWaves"
    image = equation.linear(equation.linear(x)) / found.lengths
    assert torch.allclose(found.inverse(image, 0.0) / found.lengths, x, rtol=0, atol=1e-7)


def test_a_problem_is_linear_in_a_models_state() -> None:
    sides = Boundary.of({"left": Side("dirichlet", 1.0), "right": Side("neumann", 0.3)}, 1)
    problem = Problem(Elliptic(Grid((12,), sides)), mean=0.5, scale=2.0)
    x = normal(3, 1, 12)
    assert problem.linear is not None
    assert torch.allclose(problem.solution(x), problem.linear(x) + problem.offset, rtol=0, atol=1e-14)
    assert torch.allclose(problem.state(problem.unknown(x)), x)
    assert problem.equation.residual(problem.unknown(x), problem.solution(x)).abs().max() < 1e-12
    assert problem.solution(x.float()).dtype == torch.float32
    for scale in (0.0, nan):
        with pytest.raises(InputError, match="scale > 0"):
            Problem(problem.equation, 0.0, scale)
