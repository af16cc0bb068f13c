"""The regression that a model begins with, against least squares, likelihoods and laws in closed form."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import optimize, stats
from torch import Tensor

from ornstein import Keys
from ornstein.domains.weather.base import Base, Chunk, _expected, drawn_below, fitted, hidden
from worlds import rejected

N, GRID = 300, 4


def features(n: int = N, grid: int = GRID, seed: int = 0) -> Tensor:
    """1 and two predictors, of one step: (n, 1, 3, grid)."""
    said = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 1, 3, grid))).float()
    said[:, :, 0] = 1
    return said


def noise(n: int = N, grid: int = GRID, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 1, 1, grid))).float()


def regression(u: Tensor, phi: Tensor, squared: Tensor | None = None, **options: object) -> Base:
    """Of records in three chunks."""
    squared = torch.zeros(len(u), 1, 1, 1) if squared is None else squared

    def chunks() -> Iterator[Chunk]:
        yield from zip(phi.split(128), u.split(128), squared.split(128), strict=True)

    return fitted(chunks, **{"censored": [False], "by_point": False, **options})  # pyright: ignore[reportArgumentType]


def least_squares(u: Tensor, phi: Tensor) -> Tensor:
    """Of records without gaps, of all points together."""
    there = ~u.flatten().isnan()
    rows = phi[:, 0].movedim(1, -1).reshape(-1, 3)[there]
    return torch.linalg.lstsq(rows.double(), u.flatten()[there].double()[:, None]).solution[:, 0].float()


def made(phi: Tensor, weights: tuple[float, ...] = (0.5, 1.0, -2.0), std: float = 0.3) -> Tensor:
    """u = w · φ + ε, (n, 1, 1, grid)."""
    return torch.einsum("f,nsfg->nsg", torch.tensor(weights), phi)[:, None] + std * noise(len(phi), phi.shape[-1])


def test_it_is_least_squares_of_what_is_not_missing() -> None:
    phi = features()
    u = made(phi)
    u[::3, 0, 0, 1] = torch.nan
    base = regression(u, phi)
    assert torch.allclose(base.weights[0, 0], least_squares(u, phi), atol=1e-3)
    mean, std = base(phi, torch.zeros(N, 1, 1, 1))
    assert mean.shape == std.shape == u.shape
    assert torch.allclose(std[0, 0, 0, 0], (u - mean)[~u.isnan()].square().mean().sqrt(), rtol=1e-4)


def test_it_is_the_same_in_every_unit() -> None:
    phi = features()
    u = made(phi)
    plain, shifted = regression(u, phi), regression(u + 1e4, phi)
    scaled = regression(100 * u, phi)
    assert torch.allclose(shifted.weights - plain.weights, torch.tensor([1e4, 0, 0]), atol=2e-2)
    assert torch.allclose(shifted.constant, plain.constant, rtol=0.02)
    assert torch.allclose(scaled.weights, 100 * plain.weights, rtol=1e-4)
    assert torch.allclose(scaled.constant, 1e4 * plain.constant, rtol=1e-4)


def test_predictors_that_repeat_each_other_or_say_nothing_share_a_weight() -> None:
    phi = features()
    phi[:, :, 2] = phi[:, :, 1]
    u = made(phi, (0.0, 1.0, 1.0), 0.1)
    assert torch.allclose(regression(u, phi).weights[0, 0, 1:], torch.ones(2), atol=0.02)
    phi[:, :, 2] = 0  # of a constant predictor
    assert regression(u, phi).weights[0, 0, 2] == 0


def test_the_variance_is_a_line_of_the_squared_spread() -> None:
    phi, squared = features(4000), torch.from_numpy(np.random.default_rng(3).gamma(2.0, 1.0, (4000, 1, 1, GRID)))
    squared = squared.float()
    u = made(phi, std=0.0) + (0.3 + 0.5 * squared).sqrt() * noise(4000)
    base = regression(u, phi, squared)
    assert torch.allclose(base.constant, torch.tensor(0.3), atol=0.05)
    assert torch.allclose(base.slope, torch.tensor(0.5), atol=0.05)


def test_a_variance_is_never_negative_nor_nothing() -> None:
    phi = features()
    for law in (lambda s: 1 / (0.1 + s), lambda s: s**2, lambda s: 0 * s + 1, lambda s: 0 * s):
        squared = torch.from_numpy(np.random.default_rng(3).gamma(1.0, 1.0, (N, 1, 1, GRID))).float()
        u = made(phi, std=0.0) + law(squared).sqrt() * noise()
        base = regression(u, phi, squared)
        mean, std = base(phi, squared)
        _, alone = base(phi, 0 * squared)
        assert base.constant.min() >= 0
        assert base.slope.min() >= 0
        assert alone.min() >= 0.09 * (u - mean).square().mean().sqrt()
        assert bool(std.isfinite().all())


# Stations -----------------------------------------------------------------------------------------


def test_each_station_has_its_own_and_one_without_records_that_of_all() -> None:
    phi = features(grid=3)
    u = made(phi)
    u[..., 0] = u[..., 0] + 5
    u[..., 2] = torch.nan
    base = regression(u, phi, by_point=True)
    assert base.weights.shape == (1, 1, 3, 3)
    for station in (0, 1):
        own = least_squares(u[..., station : station + 1], phi[..., station : station + 1])
        assert torch.allclose(base.weights[0, 0, :, station], own, atol=0.02)
    assert torch.allclose(base.weights[0, 0, :, 2], least_squares(u, phi), atol=0.2)
    mean, std = base(phi, torch.zeros(N, 1, 1, 1))
    assert torch.allclose(std, torch.tensor(0.3), rtol=0.1)  # about its own regression, and as others are about theirs
    assert bool(mean.isfinite().all())


def test_one_station_alone_shares_with_itself() -> None:
    phi = features(grid=1)
    u = made(phi)
    own, pooled = regression(u, phi, by_point=True), regression(u, phi)
    assert torch.allclose(own.weights[..., 0], pooled.weights, atol=1e-4)
    assert torch.allclose(own.constant[..., 0], pooled.constant, rtol=1e-4)


def test_one_record_is_enough() -> None:
    phi = features(1, 1)
    base = regression(torch.full((1, 1, 1, 1), 280.0), phi, by_point=True)
    mean, std = base(phi, torch.zeros(1, 1, 1, 1))
    assert torch.allclose(mean, torch.tensor(280.0), atol=0.1)
    assert bool((std > 0).all())


def test_a_regression_is_read_from_its_record() -> None:
    base = regression(made(features()), features(), by_point=True)
    again = Base.from_record(base.record())
    assert torch.equal(again.weights, base.weights)
    assert again.record() == base.record()


# Zeros ----------------------------------------------------------------------------------------------


def assert_tobit(base: Base, u: Tensor, phi: Tensor) -> None:
    """It has the largest likelihood of what was seen: N(u; w · φ, v) above 0, Φ(−w · φ/√v) at 0."""
    rows, seen = phi[:, 0].movedim(1, -1).reshape(-1, 3).double().numpy(), u.flatten().double().numpy()

    def surprise(theta: np.ndarray) -> float:
        mean, std = rows @ theta[:3], np.exp(theta[3])
        zero = seen <= 0
        above = stats.norm.logpdf(seen[~zero], mean[~zero], std).sum()
        return float(-above - stats.norm.logcdf(-mean[zero] / std).sum())

    best = optimize.minimize(surprise, np.zeros(4)).x
    assert np.allclose(base.weights[0, 0].numpy(), best[:3], atol=0.02), (base.weights, best)
    assert np.isclose(base.constant.sqrt().item(), np.exp(best[3]), rtol=0.02), (base.constant.sqrt(), np.exp(best[3]))


def test_zeros_are_values_that_are_not_seen() -> None:
    phi = features(1000, 1)
    u = made(phi, (-0.5, 1.0, -0.5), 0.6).clamp(min=0)
    assert (u == 0).float().mean() > 0.5
    assert_tobit(regression(u, phi, censored=[True]), u, phi)
    rejected(assert_tobit, regression(u, phi, censored=[False]), u, phi)
    rejected(assert_tobit, regression(u, phi, censored=[True], rounds=1), u, phi)


def test_zeros_that_are_missing_count_for_nothing() -> None:
    phi = features(200, 1)
    u = made(phi, (-0.5, 1.0, -0.5), 0.6).clamp(min=0)
    more = torch.cat([u, torch.full_like(u, torch.nan)])
    gaps = regression(more, torch.cat([phi, features(200, 1, 9)]), censored=[True])
    assert torch.allclose(gaps.weights, regression(u, phi, censored=[True]).weights, atol=1e-4)


def test_what_is_expected_of_a_zero() -> None:
    means = torch.tensor([-300.0, -3.0, 0.0, 2.0, 9.0, 200.0])
    base = Base(torch.tensor([[[1.0]]]), torch.tensor([[4.0]]), torch.zeros(1, 1))
    phi = means.reshape(-1, 1, 1, 1)
    zero = torch.zeros(len(means), 1, 1, 1)
    _, expected, variance = _expected(phi, zero, zero, base, torch.tensor([True]))
    law = stats.truncnorm(-np.inf, -means.double().numpy() / 2, loc=means.numpy(), scale=2)
    assert np.allclose(expected.flatten()[:5], law.mean()[:5], rtol=1e-3)
    assert np.allclose(variance.flatten()[:5], law.var()[:5], rtol=1e-3)
    assert abs(expected[5].item() + 4 / 200) < 1e-3  # −v/mean, far above 0


def test_only_zeros_of_what_is_censored_are_hidden() -> None:
    u = torch.tensor([[[0.0, 1.0], [0.0, torch.nan]]])
    assert hidden(u, torch.tensor([True, False])).tolist() == [[[True, False], [False, False]]]
    assert hidden(u, torch.tensor([False, True])).tolist() == [[[False, False], [True, False]]]


def assert_below(u: Tensor, mean: Tensor, std: Tensor) -> None:
    """u is of N(mean, std²) given u ≤ 0."""
    assert u.max() <= 0
    z, edge = ((u - mean) / std).double().numpy(), (-mean / std).double().numpy()
    uniform = np.exp(stats.norm.logcdf(z) - stats.norm.logcdf(edge))
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 1e-3


def test_draws_below_zero_have_the_law() -> None:
    keys = Keys.of(0, 500)
    mean, std = torch.tensor([-4.0, -1.0, 0.5, 3.0, 12.0]).expand(500, 5), torch.tensor(0.5).expand(500, 5)
    u = drawn_below(mean, std, keys)
    assert_below(u, mean, std)
    for case in range(5):
        one = mean[:, case : case + 1], std[:, case : case + 1]
        assert_below(u[:, case : case + 1], *one)
        rejected(assert_below, -(one[1] * keys.normal(1)).abs(), *one)  # whatever the mean is
        rejected(assert_below, drawn_below(one[0] + 0.1, 1.3 * one[1], keys), *one)


def test_draws_are_functions_of_the_keys() -> None:
    mean, std = torch.zeros(3, 2), torch.ones(3, 2)
    whole = drawn_below(mean, std, Keys.of(4, [7, 8, 9]))
    assert torch.equal(drawn_below(mean[:1], std[:1], Keys.of(4, [8])), whole[1:2])
