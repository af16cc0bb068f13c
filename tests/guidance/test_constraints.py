"""A x = b holds to round-off at every step of every sampler, and what is left follows the exact law."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.denoisers.base import Denoiser
from ornstein.denoisers.oracles import GaussianComponents, Mixture
from ornstein.guidance.constraints import Constraint
from ornstein.guidance.factors import Factor
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Matrix, Operator
from ornstein.guidance.projections import projection
from ornstein.keys import Keys
from ornstein.sampling.grids import log_snr, uniform
from ornstein.sampling.kernels import Heun, Predictor, Restart
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Euclidean
from worlds import MeanOnly, assert_moments, double, rejected

SIZE = 6
ROWS = Keys.of(2, 2).normal(SIZE)
GOAL = double([0.7, -0.4])
TWO = Constraint(Matrix(ROWS), GOAL)


def world(components: int = 1) -> Mixture:
    """Correlated Gaussians in six dimensions."""
    means, roots = Keys.of(4, components).normal(SIZE), Keys.of(5, components).normal(SIZE, SIZE)
    covs = roots @ roots.mT / SIZE + 0.1 * torch.eye(SIZE)
    return Mixture(torch.ones(components).double() / components, GaussianComponents.of(Euclidean((SIZE,)), means, covs))


def law() -> tuple[Tensor, Tensor]:
    """Mean and covariance of the one Gaussian."""
    parts: Any = world().components
    return parts.means[0], parts.axes[0] @ torch.diag(parts.variances[0]) @ parts.axes[0].T


def given() -> tuple[Tensor, Tensor]:
    """Of it, given A x = b, in closed form."""
    center, cov = law()
    gain = cov @ ROWS.T @ (ROWS @ cov @ ROWS.T).inverse()
    return center + gain @ (GOAL - ROWS @ center), cov - gain @ ROWS @ cov


def missed(operator: Operator, x: Tensor, b: Tensor) -> float:
    """|A x − b| over the scale of b and x, the rows of A being of length 1."""
    lengths = projection(operator, x).lengths
    goal = b.double() / lengths
    scale = max(float(goal.abs().max()), float(x.abs().max()))
    return float((operator(x.double()) / lengths - goal).abs().max()) / scale


def assert_held(
    guided: Denoiser, sampler: Sampler, operator: Operator, b: Tensor, like: Tensor, **given: Any
) -> Tensor:
    """At every step, in the mean of the belief and after extrapolation, and in the samples at last."""
    tolerance = 1e-12 if like.dtype == torch.float64 else 1e-5
    state = None
    for state in sampler.steps(guided, Keys.of(0, len(like)), given or None, start=like):
        means = [belief.mean for _, belief in state.past]
        if len(state.past) > 1:
            means.append(state.space.average(state.past, state.past[-1][0], state.t).mean)
        for one in means:
            assert one.dtype == like.dtype
            assert missed(operator, one, b) <= tolerance
    assert state is not None
    assert missed(operator, state.x, b) <= tolerance
    return state.x


SOLVERS = {
    "DDIM": (Predictor(0.0),),
    "2M": (Predictor(0.0, 2),),
    "3M": (Predictor(0.0, 3),),
    "corrected": (Predictor(0.0, 2, correct=True),),
    "Heun": (Heun(),),
    "SDE": (Predictor(1.0),),
    "SDE-2M": (Predictor(1.0, 2),),
    "Restart": (Predictor(0.0), Restart()),
    "particles": (Particles(),),
    "tempered": (Particles(temper=1.0),),
}
WRAPS = {"exact covariance": lambda world: world, "Tweedie": MeanOnly}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", SOLVERS)
def test_equations_hold_at_every_step(name: str, wrap: str, dtype: torch.dtype) -> None:
    guided: Any = WRAPS[wrap](world(2)) & TWO
    like = Keys.of(7, 5).normal(SIZE).to(dtype)
    grid = log_snr(6, guided.space) if name != "Heun" else uniform(5)
    assert_held(guided, Sampler(grid, SOLVERS[name]), Matrix(ROWS), GOAL, like)


def test_the_test_rejects_a_narrow_measurement() -> None:
    near = world(2) & Measurement(GOAL, Matrix(ROWS), 1e-3)
    like = Keys.of(7, 5).normal(SIZE)
    rejected(assert_held, near, Sampler(uniform(5), (Predictor(0.0, 2),)), Matrix(ROWS), GOAL, like)


class Projected(Constraint):
    """A broken twin: the nearest state, without the belief's covariance."""

    def _conditioned(self, belief: Any, place: Any = None) -> Any:
        return self.log_expect(belief), belief

    def log_expect(self, belief: Any) -> Any:
        return torch.zeros(len(belief.mean)).double()


def assert_follows_the_law(factor: Factor, kernel: Any = None) -> None:
    guided = world() & factor
    sampler = Sampler(log_snr(30, guided.space), (kernel or Predictor(0.0, 2),))
    x = sampler.run(guided, Keys.of(0, 3000), start=Keys.of(1, 3000).normal(SIZE))
    assert missed(Matrix(ROWS), x, GOAL) <= 1e-12
    center, cov = given()
    free = torch.linalg.svd(ROWS).Vh[2:]  # along the rows there is nothing left to test
    assert_moments(x @ free.T, free @ center, free @ cov @ free.T)


@pytest.mark.parametrize("kernel", [Predictor(0.0, 2), Particles()], ids=["2M", "particles"])
def test_the_rest_follows_the_law_given_the_equations(kernel: Any) -> None:
    assert_follows_the_law(TWO, kernel)


def test_the_orthogonal_projection_alone_has_another_law() -> None:
    rejected(assert_follows_the_law, Projected(Matrix(ROWS), GOAL))
