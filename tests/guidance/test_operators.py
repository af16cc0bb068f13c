"""Operators have their adjoints; whitening makes noise white; every sample's equations are solved on their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.errors import InputError
from ornstein.guidance.krylov import conjugate_gradients
from ornstein.guidance.operators import (
    Blur,
    Centered,
    Downsample,
    Fourier,
    Mask,
    Matrix,
    Operator,
    linear,
    stack,
    tangent,
    whitener,
)
from ornstein.keys import Keys
from ornstein.states import per_sample_sum
from worlds import assert_close, double, rejected, rotated

KEYS = Keys.of(2, 3)
SHAPE = (4, 6)
X, V = KEYS.normal(*SHAPE), KEYS.fold(1).normal(*SHAPE)
ROWS = Keys.of(3, 5).normal(24)
SEEN = Keys.of(4, 4).uniform(6) < 0.4
KERNEL = Keys.of(5, 3).normal(5)  # asymmetric, so that correlation and convolution differ


def bent(x: Tensor) -> Tensor:
    """A nonlinear function."""
    return x.sin() * x.roll(1, -1)


OPERATORS: dict[str, Operator] = {
    "relative": Centered(torch.tensor([True, False, True, True])),
    "subset": Mask(SEEN),
    "matrix": Matrix(ROWS, SHAPE),
    "coarse": Downsample(2),
    "blur": Blur(KERNEL),
    "normal blur": Blur.gaussian(0.7),
    "fourier": Fourier(),
    "composition": Matrix(ROWS[:, :6], (2, 3)) @ Downsample(2) @ Blur(KERNEL),
    "seen frequencies": Mask(SEEN[..., None].expand(4, 6, 2)) @ Fourier(),
    "linear": linear(lambda x: 2 * x.cumsum(-1)[..., 1:, ::2], SHAPE),
    "stack": stack(Downsample(2), Mask(SEEN), Fourier(), shape=SHAPE),
    "tangent": tangent(bent, X)[1],
}


def assert_adjoint(operator: Operator) -> None:
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩, sample by sample."""
    seen = operator(X)
    y = KEYS.fold(2).normal(*seen.shape[1:])
    assert_close(per_sample_sum(seen * y), per_sample_sum(X * operator.adjoint(y)))


@pytest.mark.parametrize("name", OPERATORS)
def test_adjoints_belong_to_their_operators(name: str) -> None:
    assert_adjoint(OPERATORS[name])


@dataclass(frozen=True, eq=False)
class Mirrored(Blur):
    """A broken twin: its adjoint blurs with the kernel as it is, not with the mirrored one."""

    def adjoint(self, y: Tensor) -> Tensor:
        return self(y)


def test_adjoint_test_rejects_a_kernel_that_is_not_mirrored() -> None:
    rejected(assert_adjoint, Mirrored(KERNEL))


# What each one does -----------------------------------------------------------------------------------


def test_subset_and_matrix_are_what_they_say() -> None:
    assert Mask(SEEN)(X).equal(X[:, SEEN])
    assert_close(Matrix(ROWS, SHAPE)(X), X.flatten(1) @ ROWS.T)
    with pytest.raises(ValueError, match=r"does not act on events of shape \(5, 5\)"):
        Matrix(ROWS, (5, 5))


def test_a_stack_is_its_parts_flattened_and_joined() -> None:
    found = stack(Downsample(2), Mask(SEEN), shape=SHAPE)(X)
    assert found.equal(torch.cat([Downsample(2)(X).flatten(1), Mask(SEEN)(X).flatten(1)], 1))
    with pytest.raises(InputError, match="nothing to stack"):
        stack(shape=SHAPE)


@pytest.mark.parametrize("mask", [SEEN.numpy(), SEEN.long(), SEEN.double(), SEEN.tolist()], ids=lambda m: str(type(m)))
def test_masks_may_be_arrays_and_numbers_0_and_1(mask: Any) -> None:
    assert Mask(mask)(X).equal(X[:, SEEN])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Mask(2 * SEEN.long()), "Mask: seen holds other values than 0 and 1"),
        (lambda: Mask(SEEN & ~SEEN), "Mask: the mask sees nothing"),
        (lambda: Centered(torch.zeros(4)), "Centered: the mask sees nothing"),
        (lambda: Mask("seen"), "Mask: seen is a str, expected numbers"),
        (lambda: Mask(SEEN[:2])(X), r"a mask of shape \(2, 6\) does not act on events of shape \(4, 6\)"),
        (lambda: Centered(torch.ones(3))(X), r"a Centered of 3 points does not act on events of shape \(4, 6\)"),
        (lambda: Matrix(ROWS)(X[:, :2]), r"a Matrix of 24 columns does not act on events of shape \(2, 6\)"),
        (lambda: Matrix(ROWS[0]), r"matrix has the shape \(24,\), expected rows and columns"),
        (lambda: Downsample(4)(X), r"Downsample\(4\), whose blocks must divide .* events of shape \(4, 6\)"),
        (lambda: Downsample(0), "size is 0, expected a number of pixels"),
        (lambda: Blur(KERNEL[:2]), r"kernel has the shape \(2, 5\), expected two odd sides"),
        (lambda: Blur(KERNEL * torch.nan), r"kernel: element \(0, 0\) is nan, expected finite numbers"),
        (lambda: Blur.gaussian(0.0), "std is 0.0, expected a positive number of pixels"),
    ],
)
def test_what_does_not_fit_is_said(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()


def test_coarse_takes_means_over_blocks() -> None:
    assert_close(Downsample(2)(X)[:, 1, 2], X[:, 2:4, 4:6].mean((1, 2)))
    assert_close(Downsample(1)(X), X)


def test_a_blur_of_a_point_is_its_kernel_and_a_normal_one_keeps_the_sum() -> None:
    point = torch.zeros(1, 9, 9, dtype=torch.float64)
    point[0, 4, 4] = 1.0
    assert_close(Blur(KERNEL)(point)[0, 3:6, 2:7], KERNEL.flip(0, 1))
    assert_close(Blur.gaussian(0.7)(point).sum(), double(1.0))
    channels = torch.stack([point, 2 * point], 1)
    assert_close(Blur(KERNEL)(channels)[:, 1], 2 * Blur(KERNEL)(point))


def test_the_fourier_transform_is_a_rotation() -> None:
    assert_close(per_sample_sum(Fourier()(X) ** 2), per_sample_sum(X**2))
    assert_close(Fourier().adjoint(Fourier()(X)), X)


def test_the_tangent_is_the_derivative() -> None:
    value, derivative = tangent(bent, X)
    assert_close(value, bent(X))
    step = 1e-5
    assert_close(derivative(V), (bent(X + step * V) - bent(X - step * V)) / (2 * step), 1e-8)


COVARIANCE = rotated(0.5, (0.3, 2.0))


def assert_whitens(whiten: Operator) -> None:
    """Wᵀ W = R⁻¹, so W (y − A x) has unit covariance."""
    rows = whiten(torch.eye(2, dtype=torch.float64)).T
    assert_close(rows @ COVARIANCE @ rows.T, torch.eye(2, dtype=torch.float64))
    assert_close(rows.T @ rows, COVARIANCE.inverse())


def test_the_whitener_whitens() -> None:
    assert_whitens(whitener(COVARIANCE))
    rejected(assert_whitens, Matrix(torch.linalg.cholesky(COVARIANCE).inverse().T))


# Conjugate gradients ----------------------------------------------------------------------------------

ROOTS = Keys.of(6, 3).normal(8, 8)
SYSTEMS = ROOTS @ ROOTS.mT + double([1e-3, 0.1, 10.0])[:, None, None] * torch.eye(8)  # one easy, one hard
RIGHT = Keys.of(7, 3).normal(2, 4) * double([1.0, 1e6, 1e-6])[:, None, None]


def system(matrices: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda v: torch.einsum("bij,bj->bi", matrices, v.flatten(1)).reshape(v.shape)


def solve_by_the_batch(of: Callable[[Tensor], Tensor], right: Tensor, tolerance: float = 1e-6) -> Tensor:
    """A broken twin: one step length, and one idea of being done, for all samples."""
    x, residual, direction = torch.zeros_like(right), right, right
    while (power := (residual**2).sum()) > tolerance**2 * (right**2).sum():
        image = of(direction)
        length = power / (direction * image).sum()
        x, residual = x + length * direction, residual - length * image
        direction = residual + (residual**2).sum() / power * direction
    return x


def solve(of: Callable[[Tensor], Tensor], right: Tensor, tolerance: float = 1e-6) -> Tensor:
    return conjugate_gradients(of, right, tolerance).x


def assert_solves(solve: Callable[..., Tensor]) -> None:
    """Each sample's residual is as small as promised, whatever the size of the others."""
    for tolerance in (1e-2, 1e-5, 1e-9):
        x = solve(system(SYSTEMS), RIGHT, tolerance)
        left_over = per_sample_sum((system(SYSTEMS)(x) - RIGHT) ** 2).sqrt()
        assert (left_over <= 2 * tolerance * per_sample_sum(RIGHT**2).sqrt()).all()


def test_conjugate_gradients_solve_each_sample_to_the_tolerance() -> None:
    assert_solves(solve)
    rejected(assert_solves, solve_by_the_batch)


def assert_alone(solve: Callable[..., Tensor]) -> None:
    """A sample's solution is the same in any batch, to rounding: it stops by itself."""
    together = solve(system(SYSTEMS), RIGHT, 1e-2)
    for i in range(3):
        alone = solve(system(SYSTEMS[i : i + 1]), RIGHT[i : i + 1], 1e-2)
        assert_close(together[i] / RIGHT[i].norm(), alone[0] / RIGHT[i].norm(), 1e-9)


def test_a_solution_does_not_depend_on_the_batch() -> None:
    assert_alone(solve)
    rejected(assert_alone, solve_by_the_batch)


def test_a_cap_that_was_hit_is_said() -> None:
    hard = conjugate_gradients(system(SYSTEMS), RIGHT, 1e-9, iterations=3)
    left_over = per_sample_sum((system(SYSTEMS)(hard.x) - RIGHT) ** 2).sqrt() / per_sample_sum(RIGHT**2).sqrt()
    assert_close(hard.residual, left_over, 1e-8)
    assert hard.capped.all()
    assert hard.iterations == 3
    enough = conjugate_gradients(system(SYSTEMS), RIGHT, 1e-9)
    assert not enough.capped.any()
    assert (enough.residual <= 1e-9).all()
    assert 3 < enough.iterations < 100


def test_nothing_is_the_solution_for_nothing() -> None:
    assert (solve(system(SYSTEMS), 0 * RIGHT) == 0).all()


def test_negative_curvature_stops_a_sample_and_no_other() -> None:
    bad = SYSTEMS.clone()
    bad[1] = torch.diag(double([5.0, 4, 3, 2, 1, 1, -0.5, -0.1]))
    found = solve(system(bad), RIGHT, 1e-9)
    exact = torch.linalg.solve(SYSTEMS, RIGHT.flatten(1)).reshape(RIGHT.shape)
    assert found.isfinite().all()
    assert found[1].norm() < 100 * RIGHT[1].norm()
    for i in (0, 2):
        assert_close(found[i] / exact[i].norm(), exact[i] / exact[i].norm(), 1e-6)
