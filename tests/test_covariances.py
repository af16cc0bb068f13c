"""Covariances as maps and as matrices are the same; conditioning is Gauss's."""

import pytest
import torch
from torch import Tensor

from ornstein.covariances import Conditioned, Covariance, Dense, Diagonal, Tweedie, Weighted, conditioned, dense
from ornstein.denoisers.oracles import MixtureCovariance
from ornstein.keys import Keys
from worlds import anisotropic, assert_close, double, rejected, single

KEYS = Keys.of(3, 4)
ROOTS = KEYS.normal(6, 6)
C = ROOTS @ ROOTS.mT / 6
V = KEYS.fold(1).normal(2, 3)
A = Keys.of(4, 2).normal(6)
NOISE = torch.diag(double([0.5, 2.0]))


def applied(cov: Covariance, like: Tensor) -> Tensor:
    """The matrix of a map, column by column."""
    basis = torch.eye(like[0].numel(), dtype=like.dtype)
    return torch.stack([cov(e.expand(len(like), -1).reshape(like.shape)).flatten(1) for e in basis], 2)


def assert_conditions(cov: Covariance) -> None:
    """Cov[x | A x + noise] = (C⁻¹ + Aᵀ R⁻¹ A)⁻¹."""
    assert_close(applied(cov, V), (C.inverse() + A.T @ NOISE.inverse() @ A).inverse(), 1e-9)


def gain_and_precision(noise: Tensor = NOISE) -> tuple[Tensor, Tensor]:
    return (A @ C).reshape(4, 2, 2, 3), (noise + A @ C @ A.T).inverse()


@pytest.mark.parametrize("cov", [Dense(C), lambda v: Dense(C)(v)], ids=["matrix", "map"])
def test_conditioning_is_gaussian(cov: Covariance) -> None:
    assert_conditions(conditioned(cov, *gain_and_precision()))
    rejected(assert_conditions, conditioned(cov, *gain_and_precision(0 * NOISE)))


def test_conditioned_matrices_stay_matrices() -> None:
    assert isinstance(conditioned(Dense(C), *gain_and_precision()), Dense)
    assert isinstance(conditioned(lambda v: v, *gain_and_precision()), Conditioned)


def test_dense_writes_a_map_down() -> None:
    assert_close(dense(lambda v: Dense(C)(v), V).matrix, C)
    assert_close(dense(Diagonal(V**2), V).matrix, torch.diag_embed(V.flatten(1) ** 2))


def test_a_weighted_sum_is_the_sum() -> None:
    weights = double([0.3, -1.0, 2.0, 0.0])
    both = Weighted(((weights, Dense(C)), (0.5, Diagonal(V**2))))
    assert_close(both(V), weights[:, None, None] * Dense(C)(V) + 0.5 * V**3)


@pytest.mark.parametrize("t", [0.4, double([0.1, 0.4, 0.7, 1.0])], ids=["a number", "a time a sample"])
def test_the_covariance_of_a_mixture_is_its_matrix(t: float | Tensor) -> None:
    world = anisotropic()
    x = KEYS.normal(2)
    cov = world(x, t).cov  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(cov, MixtureCovariance)
    assert_close(cov.matrix, applied(cov, x))
    assert_close(dense(cov, x).matrix, cov.matrix)


def test_tweedie_is_the_covariance_of_a_mixture() -> None:
    """(σ²/α) ∂x̂/∂x_t against the oracle's own."""
    world, x = anisotropic(), KEYS.normal(2).requires_grad_()
    belief = world(x, 0.3)
    space = world.space
    found = Tweedie(belief.mean, x, space.tweedie(0.3, x))  # pyright: ignore[reportAttributeAccessIssue]
    assert_close(applied(found, x), belief.cov.matrix, 1e-8)  # pyright: ignore[reportAttributeAccessIssue]


def test_tweedie_knows_the_prior_where_nothing_is_seen() -> None:
    """At t = 1 of a variance-preserving schedule the formula is 0/0; the spread of the data stands in."""
    world, x = single(), KEYS.normal(2).requires_grad_()
    belief = world.space.second_moment(type(world(x, 1.0))(world(x, 1.0).mean), x, 1.0)  # pyright: ignore[reportCallIssue]
    assert_close(belief.cov(x.detach()), x.detach())  # pyright: ignore[reportAttributeAccessIssue]
