"""Under every kind of operator, the posterior of a Gaussian world is the one of its dense matrices.

With x₀ ~ N(μ, C), x_t = α x₀ + σ ε and y = A x₀ + s n, all are jointly normal: x₀ given both has precision
C⁻¹ + α²/σ² + Aᵀ A / s², of complex A and y by their real and imaginary parts.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein.beliefs import Normal
from ornstein.covariances import Dense
from ornstein.denoisers.base import Condition, Denoiser, Traits, carry
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import (
    Complex,
    Convolution,
    Crop,
    Divergence,
    Downsample,
    Fourier,
    Gradient,
    Interpolation,
    Laplacian,
    Mask,
    Multiply,
    Operator,
    Pad,
    Radon,
    RealFourier,
    Upsample,
    stack,
)
from ornstein.keys import Keys
from ornstein.schedules import Cosine
from ornstein.spaces import Euclidean
from ornstein.states import State, Time
from worlds import assert_close, rejected

SHAPE = (2, 3, 4)
KEYS = Keys.of(1, 3)
ROOTS = Keys.of(2, 24).normal(24) / 5
COV, MEAN = ROOTS @ ROOTS.T + 0.1 * torch.eye(24), Keys.of(3, 1).normal(24)
WORLD = on.oracles.gaussian_mixture(MEAN, COV[None])
T, STD = 0.4, 0.3
SEEN = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]]) > 0
MAPS = torch.view_as_complex(Keys.of(4, 2).normal(3, 4, 2))
POINTS = Keys.of(5, 5).uniform(2) * torch.tensor([2.0, 3.0])
KERNEL = Keys.of(6, 3).normal(3)

OPERATORS: dict[str, Operator] = {
    "coils": Mask(SEEN, last=True) @ Fourier(complex=True) @ Multiply(MAPS, new_axis=True) @ Complex(),
    "coils of a real field": Mask(SEEN, last=True) @ Fourier(complex=True) @ Multiply(MAPS[:, None], new_axis=True),
    "real fourier": RealFourier((3, 4)),
    "fourier": Fourier(),
    "masks": Mask(torch.stack([SEEN, SEEN.flip(0), SEEN.flip(1)])[:, None].expand(3, 2, 3, 4), per_sample=True),
    "weights": Multiply(KEYS.normal(*SHAPE), per_sample=True),
    "convolution": Convolution(KERNEL, ("reflect", "periodic")),
    "sensors": Interpolation(POINTS, (3, 4)),
    "sensors each": Interpolation(torch.stack([POINTS, POINTS / 2, POINTS / 3]), (3, 4), per_sample=True),
    "areas": Downsample((3, 2), torch.tensor([[1.0], [2.0], [3.0]])),
    "grids": Crop(((1, 0), (0, 1))) @ Upsample((1, 2)) @ Pad(((1, 1), (0, 2)), "symmetric"),
    "differences": stack(Gradient(), Divergence(borders="periodic"), shape=SHAPE) + stack(
        Gradient(), Laplacian() @ Divergence(), shape=SHAPE
    ),
    "rays": Radon([0.0, 40.0, 110.0], 4) @ Pad(((0, 1), (0, 0))),
    "stack": stack(Mask(SEEN, last=True), 0.5 * Fourier(complex=True), shape=SHAPE),
}  # fmt: skip


class Shaped(Denoiser):
    """The world over events of SHAPE, whose covariance is written or a map."""

    def __init__(self, lazy: bool) -> None:
        self.lazy = lazy
        carry(self, Traits(Euclidean(SHAPE)))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        belief: Any = WORLD(x_t.flatten(1), t)
        matrix = belief.cov.matrix
        cov: Any = lambda v: torch.einsum("bij,bj->bi", matrix, v.flatten(1)).reshape(v.shape)  # noqa: E731
        return Normal(belief.mean.reshape(x_t.shape), cov if self.lazy else Dense(matrix))


def rows(operator: Operator) -> Tensor:
    """Its matrix over the real and imaginary parts, of each sample, (batch, m, d)."""
    units = torch.eye(24, dtype=torch.float64).reshape(24, 1, *SHAPE).expand(24, 3, *SHAPE)
    seen = [operator(unit) for unit in units]
    seen = [torch.view_as_real(one) if one.is_complex() else one for one in seen]
    return torch.stack([one.flatten(1) for one in seen], 2)


def exact(x_t: Tensor, y: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and covariance of x₀ given x_t and y."""
    alpha, sigma = (float(level(T)) for level in (Cosine().alpha, Cosine().sigma))
    precision = COV.inverse() + (alpha / sigma) ** 2 * torch.eye(24) + matrix.mT @ matrix / STD**2
    pull = COV.inverse() @ MEAN[0] + alpha / sigma**2 * x_t.flatten(1) + torch.einsum("bmd,bm->bd", matrix, y) / STD**2
    return torch.linalg.solve(precision, pull), precision.inverse()


def assert_posterior(operator: Operator, seen_by: Operator, lazy: bool, **settings: Any) -> None:
    """What `operator` makes of a belief is what a measurement through `seen_by` says."""
    x_t, truth = KEYS.normal(*SHAPE), KEYS.fold(1).normal(*SHAPE)
    y = seen_by(truth)
    measured = Measurement(y, operator, STD, **settings)
    found = (Shaped(lazy) & measured)(x_t, T)
    parts = torch.view_as_real(y) if y.is_complex() else y
    mean, cov = exact(x_t, parts.flatten(1), rows(seen_by))
    assert isinstance(found, Normal)
    assert_close(found.mean.flatten(1), mean, 1e-7)
    assert_close(found.spread(truth).flatten(1), torch.einsum("bij,bj->bi", cov, truth.flatten(1)), 1e-7)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_posterior_is_the_dense_one(name: str) -> None:
    assert_posterior(OPERATORS[name], OPERATORS[name], lazy=False)


@pytest.mark.parametrize("name", ["coils", "sensors each", "stack"])
def test_so_it_is_by_conjugate_gradients(name: str) -> None:
    assert_posterior(OPERATORS[name], OPERATORS[name], lazy=True, direct=0, tolerance=1e-12, iterations=200)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("coils", Mask(SEEN, last=True) @ Fourier(complex=True) @ Multiply(MAPS.conj(), new_axis=True) @ Complex()),
        ("convolution", Convolution(KERNEL, ("zero", "periodic"))),
        ("sensors", Interpolation(POINTS, (3, 4), method="nearest")),
    ],
)
def test_the_comparison_rejects_another_operator(name: str, twin: Operator) -> None:
    rejected(assert_posterior, twin, OPERATORS[name], lazy=False)


def test_samples_of_their_own_are_drawn_one_by_one_and_are_no_population() -> None:
    world, sensors = on.oracles.gaussian_mixture(MEAN[:, :6], COV[None, :6, :6]), Keys.of(7, 3).uniform(1, 1) * 5
    each = Measurement([0.5], Interpolation(sensors, (6,), per_sample=True), 0.05)
    drawn = on.sample(world & each, n=3, steps=3, seed=0)
    alone = Measurement([0.5], Interpolation(sensors[1], (6,)), 0.05)
    assert_close(drawn.x[1], on.sample(world & alone, n=1, steps=3, seed=0, first=1).x[0], 1e-4)
    with pytest.raises(on.InputError, match="Measurement is of one sample each; ask for one posterior a call"):
        on.sample(world & each, n=3, steps=2, exact="particles")
    with pytest.raises(on.InputError, match="Interpolation is of 3 samples, found a batch of 2"):
        on.sample(world & each, n=2, steps=2)


def test_what_is_measured_a_million_times_more_closely_than_believed_is_kept_in_single_precision() -> None:
    """Strongly correlated readings, whose S in single precision is no positive matrix any more."""
    spectrum = on.roots.power_law((16, 16), 6, on.transforms.Separable(("cosine", "cosine")))
    world = on.oracles.gaussian_field(spectrum, noise_cov=spectrum)
    truth, places = world.draw(on.Keys.of(0, 1)), 14 * torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    read = on.operators.Interpolation(places, (16, 16))
    std = 1e-6 * float(truth.std())
    found = on.sample(world & on.Measurement(read(truth)[0], read, std), 4, steps=4).x
    assert (read(found) - read(truth)).abs().max() < 1e-6 * truth.abs().max()  # of single precision
    assert found.std(0).max() > 0.1 * truth.std()
