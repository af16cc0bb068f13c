"""Measurements of Gaussian beliefs are Gauss's posterior; what is fixed holds exactly, through every sampler."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Joint, Normal, Probs
from ornstein.covariances import Covariance, Dense
from ornstein.denoisers.base import Denoiser
from ornstein.denoisers.oracles import GaussianComponents, Mixture
from ornstein.guidance.factors import Energy, Factor
from ornstein.guidance.measurements import Fixed, Measurement, RigidMotif
from ornstein.guidance.operators import Centered as CenteredOperator
from ornstein.guidance.operators import Mask, Matrix, Operator, whitener
from ornstein.keys import Keys
from ornstein.sampling.grids import log_snr, uniform
from ornstein.sampling.kernels import Predictor
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Centered, Euclidean
from worlds import MeanOnly, assert_close, assert_moments, coupled, double, rejected, sequences, single

KEYS = Keys.of(1, 4)
ROOTS = KEYS.normal(6, 6)
MEAN, COV = KEYS.fold(1).normal(2, 3), ROOTS @ ROOTS.mT / 6
ROWS, STD = Keys.of(2, 4).normal(6), double([0.2, 0.5, 1.0, 0.1])
A, SEEN = Matrix(ROWS, (2, 3)), Keys.of(3, 1).normal(4)[0]
SPACE = Euclidean((2, 3))


def gauss(y: Tensor = SEEN, std: Tensor = STD) -> tuple[Tensor, Tensor, Tensor]:
    """log N(y; A m, S), S = R + A C Aᵀ, and the posterior's mean and covariance."""
    noise, seen = torch.diag(std**2), ROWS @ MEAN.flatten(1)[..., None]
    spread = noise + ROWS @ COV @ ROWS.T
    gain = COV @ ROWS.T @ spread.inverse()
    residual = y.expand(4, 4) - seen[..., 0]
    log_prob = torch.distributions.MultivariateNormal(torch.zeros_like(residual), spread).log_prob(residual)
    mean = MEAN.flatten(1) + torch.einsum("bij,bj->bi", gain, residual)
    return log_prob, mean.reshape(MEAN.shape), COV - gain @ ROWS @ COV


def applied(cov: Covariance | None) -> Tensor:
    assert cov is not None
    basis = torch.eye(6, dtype=torch.float64)
    return torch.stack([cov(e.expand(4, -1).reshape(MEAN.shape)).flatten(1) for e in basis], 2)


SPREAD = Dense(COV)


def assert_gauss(factor: Factor, cov: Covariance = SPREAD, y: Tensor = SEEN, tolerance: float = 1e-8) -> None:
    """Value, mean and covariance."""
    value, mean, covariance = gauss(y)
    found, updated = factor.update(Normal(MEAN, cov), MEAN, 0.5, SPACE)
    assert_close(found, value, tolerance)
    assert_close(factor.log_expect(Normal(MEAN, cov)), value, tolerance)
    assert_close(updated.mean, mean, tolerance)
    assert_close(applied(updated.cov), covariance, tolerance)


@pytest.mark.parametrize("cov", [SPREAD, lambda v: SPREAD(v)], ids=["matrix", "map"])
def test_a_measurement_is_gauss(cov: Covariance) -> None:
    assert_gauss(Measurement(SEEN, A, STD), cov)


def test_gauss_rejects_a_wrong_width_and_the_plug_in() -> None:
    rejected(assert_gauss, Measurement(SEEN, A, 1.01 * STD))
    rejected(assert_gauss, Energy(lambda x: (((A(x) - SEEN) / STD) ** 2).sum(1) / 2))


def test_conjugate_gradients_give_the_same_posterior() -> None:
    """And the same value: of no more numbers than there are probes the log-determinant is exact."""
    whole, iterated = Measurement(SEEN, A, STD), Measurement(SEEN, A, STD, direct=0, tolerance=1e-12, probes=4)
    normal = Normal(MEAN, lambda v: SPREAD(v))
    (value, belief), (other, same) = (one.update(normal, MEAN, 0.5, SPACE) for one in (whole, iterated))
    assert_close(same.mean, belief.mean, 1e-7)
    assert_close(applied(same.cov), applied(belief.cov), 1e-7)
    assert_close(other, value, 1e-7)


def test_a_matrix_is_never_iterated() -> None:
    assert_gauss(Measurement(SEEN, A, STD, direct=0))


def test_without_doubt_both_are_the_likelihood() -> None:
    certain = SPACE.point_mass(MEAN)
    expected = torch.distributions.Normal(A(MEAN), STD).log_prob(SEEN).sum(1)
    for direct in (32, 0):
        assert_close(Measurement(SEEN, A, STD, direct).log_expect(certain), expected)


def test_each_sample_may_have_its_own_measurement() -> None:
    y = Keys.of(3, 4).normal(4)
    assert_gauss(Measurement(y, A, STD), y=y)
    rejected(assert_gauss, Measurement(y, A, STD), y=y.roll(1, 0))


@pytest.mark.parametrize("direct", [32, 0])
def test_a_function_that_is_linear_is_the_operator(direct: int) -> None:
    found = Measurement(SEEN, lambda x: A(x), STD, direct, 1e-12)
    exact = Measurement(SEEN, A, STD, direct, 1e-12)
    assert exact.conjugate
    assert not found.conjugate
    belief = Normal(MEAN, lambda v: SPREAD(v))
    (value, one), (other, two) = (factor.update(belief, MEAN, 0.5, SPACE) for factor in (exact, found))
    assert_close(value, other)
    assert_close(one.mean, two.mean)
    assert_close(applied(one.cov), applied(two.cov))


def test_a_bent_function_is_linearised_at_the_mean() -> None:
    def bent(x: Tensor) -> Tensor:
        return A(x).sinh()

    slope = ROWS * A(MEAN)[..., None].cosh()  # (batch, m, d)
    found = Measurement(SEEN, bent, STD).update(Normal(MEAN, SPREAD), MEAN, 0.5, SPACE)[1]
    gain = COV @ slope.mT @ (torch.diag(STD**2) + slope @ COV @ slope.mT).inverse()
    assert_close(found.mean, MEAN + torch.einsum("bij,bj->bi", gain, SEEN - bent(MEAN)).reshape(MEAN.shape))


def test_whitened_noise_is_correlated_noise() -> None:
    root = torch.eye(4, dtype=torch.float64).cumsum(0) * STD
    white = whitener(root @ root.T)
    belief = Normal(MEAN, SPREAD)
    found = Measurement(white(SEEN[None])[0], white @ A, 1.0).update(belief, MEAN, 0.5, SPACE)[1]
    gain = COV @ ROWS.T @ (root @ root.T + ROWS @ COV @ ROWS.T).inverse()
    assert_close(found.mean, MEAN + torch.einsum("bij,bj->bi", gain, SEEN - A(MEAN)).reshape(MEAN.shape), 1e-8)


def test_two_measurements_are_one_of_both() -> None:
    first, second = (Measurement(SEEN[i : i + 2], Matrix(ROWS[i : i + 2], (2, 3)), STD[i : i + 2]) for i in (0, 2))
    value, belief = first.update(Normal(MEAN, SPREAD), MEAN, 0.5, SPACE)
    further, belief = second.update(belief, MEAN, 0.5, SPACE)
    expected, mean, cov = gauss()
    assert_close(value + further, expected)
    assert_close(belief.mean, mean)
    assert_close(applied(belief.cov), cov)


@pytest.mark.parametrize(("direct", "variance"), [(32, 1e-9 - 1), (32, -1.5), (0, -1.5)])
def test_a_covariance_with_a_negative_direction_does_not_blow_up(direct: int, variance: float) -> None:
    """S = 1 + variance may come near to 0 or below for a network; the move stays within |C Aᵀ r|."""
    mean = double([[2.0], [-1.0]])
    factor = Measurement(double([0.0]), Matrix(double([[1.0]])), 1.0, direct)
    value, belief = factor.update(Normal(mean, lambda v: variance * v), mean, 0.5, Euclidean((1,)))
    assert value.isfinite().all()
    assert ((belief.mean - mean).abs() <= abs(variance) * mean.abs()).all()


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="without noise is a constraint: use Fixed"):
        Measurement(SEEN, A, 0.0)
    joint = Joint({"x": Normal(MEAN, SPREAD)})
    for factor in (Measurement(SEEN, A, 1.0), Fixed(MEAN[0], MEAN[0] > 0)):
        with pytest.raises(ValueError, match=r"a part of a product with .on\(name\)"):
            factor.log_expect(joint)
    with pytest.raises(ValueError, match="of continuous data"):
        Measurement(SEEN, A, 1.0).log_expect(Probs(torch.zeros(1, 2, 3)))


# Through the sampler ----------------------------------------------------------------------------------

LINE, NOISE = Matrix(double([[1.0, 0.6]])), 0.3


def posterior() -> tuple[Tensor, Tensor]:
    """Of the world `single`, seen once."""
    parts: Any = single().components
    mean, cov = parts.means[0], parts.axes[0] @ torch.diag(parts.variances[0]) @ parts.axes[0].T
    gain = cov @ LINE.matrix.T / (LINE.matrix @ cov @ LINE.matrix.T + NOISE**2)
    return mean + gain @ (double([0.4]) - LINE.matrix @ mean), cov - gain @ LINE.matrix @ cov


def assert_samples_the_posterior(guided: Denoiser, n: int = 4000) -> None:
    """Sampling through the guided denoiser gives the mean and the covariance of p(x₀ | y)."""
    sampler, start = Sampler(log_snr(60, guided.space), (Predictor(0.0, 2),)), Keys.of(0, n).normal(2)
    x = sampler.run(guided, Keys.of(0, n), start=start)
    assert_moments(x, *posterior())


@pytest.mark.parametrize("wrap", [lambda world: world, MeanOnly], ids=["exact covariance", "Tweedie"])
def test_samples_of_a_guided_denoiser_follow_the_posterior(wrap: Any) -> None:
    assert_samples_the_posterior(wrap(single()) & Measurement(double([0.4]), LINE, NOISE))


def test_posterior_test_rejects_the_plug_in_likelihood_and_no_guidance() -> None:
    rejected(assert_samples_the_posterior, single())
    rejected(assert_samples_the_posterior, single() & PlugIn(double([0.4]), LINE, NOISE))


class PlugIn(Measurement):
    """A broken twin: moves by the slope of the likelihood at the mean, as if x₀ were certain."""

    def update(self, belief: Any, x_t: Any, t: Any, space: Any) -> Any:
        assert isinstance(self.operator, Operator)
        slope = self.operator.adjoint((self.y - self.operator(belief.mean)) / self.std**2)
        return self.log_expect(belief), belief.tilt(slope)


# Fixed ------------------------------------------------------------------------------------------------

VALUES = Keys.of(9, 1).normal(6)[0].float()
SOME = torch.tensor([True, False, True, True, False, False])


def many(n: int = 6) -> Mixture:
    """Two correlated Gaussians in six dimensions."""
    means, roots = Keys.of(4, 2).normal(n), Keys.of(5, 2).normal(n, n)
    return Mixture(
        double([0.4, 0.6]), GaussianComponents.of(Euclidean((n,)), means, roots @ roots.mT / n + 0.1 * torch.eye(n))
    )


def assert_fixed(guided: Denoiser, sampler: Sampler) -> None:
    """Bit for bit."""
    x = sampler.run(guided, Keys.of(0, 40))
    assert (x[:, SOME] == VALUES[SOME]).all(), f"off by {(x[:, SOME] - VALUES[SOME]).abs().max():.1e}"
    assert x[:, ~SOME].std(0).min() > 0.1


DETERMINISTIC = [(order, correct) for order in (1, 2, 3) for correct in (False, True)]


@pytest.mark.parametrize("wrap", [lambda world: world, MeanOnly], ids=["exact covariance", "Tweedie"])
@pytest.mark.parametrize(("order", "correct"), DETERMINISTIC)
def test_what_is_fixed_holds_exactly_through_solvers(order: int, correct: bool, wrap: Any) -> None:
    guided = wrap(many()) & Fixed(VALUES, SOME)
    for grid in (uniform(7), log_snr(12, guided.space)):
        assert_fixed(guided, Sampler(grid, (Predictor(0.0, order, correct),)))


@pytest.mark.parametrize("wrap", [lambda world: world, MeanOnly], ids=["exact covariance", "Tweedie"])
def test_what_is_fixed_holds_exactly_through_particles_and_ancestral_steps(wrap: Any) -> None:
    guided = wrap(many()) & Fixed(VALUES, SOME)
    assert_fixed(guided, Sampler(log_snr(12, guided.space), (Particles(),)))
    assert_fixed(guided, Sampler(uniform(7), (Predictor(1.0, 2),)))
    near = wrap(many()) & Measurement(VALUES[SOME].double(), Mask(SOME), 1e-3)
    rejected(assert_fixed, near, Sampler(uniform(7), (Predictor(1.0, 2),)))


def test_the_rest_is_conditioned_on_what_is_fixed() -> None:
    """x | x_fixed of a Gaussian: mean and covariance by the Schur complement, in a few steps as in many."""
    whole = many()
    parts: Any = whole.components
    world = Mixture(
        double([1.0]), GaussianComponents(parts.space, *(a[:1] for a in (parts.means, parts.variances, parts.axes)))
    )
    mean, cov = parts.means[0], parts.axes[0] @ torch.diag(parts.variances[0]) @ parts.axes[0].T
    gain = cov[~SOME][:, SOME] @ cov[SOME][:, SOME].inverse()
    expected = mean[~SOME] + gain @ (VALUES[SOME] - mean[SOME])
    spread = cov[~SOME][:, ~SOME] - gain @ cov[SOME][:, ~SOME]
    n = 4000
    for grid in ((1.0, 0.5, 0.0), log_snr(20, world.space)):
        x = Sampler(grid, (Particles(),)).run(world & Fixed(VALUES, SOME), Keys.of(0, n))[:, ~SOME].double()
        assert_moments(x, expected, spread)


@pytest.mark.parametrize("kind", ["masked", "uniform", "substitution"])
def test_fixed_tokens_hold_in_every_sample(kind: str) -> None:
    guided = sequences(kind) & Fixed(torch.tensor([2, 0]), torch.tensor([True, False]))
    for kernel in (Predictor(), Particles()):
        x = Sampler(uniform(6), (kernel,)).run(guided, Keys.of(0, 500))
        assert (x[:, 0] == 2).all()
        assert len(x[:, 1].unique()) == 3


def test_fixed_parts_of_a_product_hold() -> None:
    tokens = Fixed(torch.tensor([0, 1]), torch.tensor([False, True])).on("tokens")
    place = Fixed(torch.tensor([0.25, 0.0]), torch.tensor([True, False])).on("x")
    for kernel in (Predictor(), Predictor(0.0, 2), Particles()):
        x = Sampler(uniform(8), (kernel,)).run(coupled() & tokens & place, Keys.of(0, 200))
        assert (x["tokens"][:, 1] == 1).all()
        assert (x["x"][:, 0] == 0.25).all()
        assert x["x"][:, 1].std() > 0.1


def test_the_value_of_fixing_is_the_probability() -> None:
    """Categories: Π p(token). Numbers: the density, but for the slack."""
    logits = KEYS.normal(5, 3)
    chosen, where = torch.tensor([0, 2, 1, 1, 0]), torch.tensor([True, False, True, True, False])
    log_probs = logits.log_softmax(-1)[:, torch.arange(5), chosen]
    assert_close(Fixed(chosen, where).log_expect(Probs(logits)), log_probs[:, where].sum(1))
    found = Fixed(VALUES, SOME).log_expect(Normal(MEAN.flatten(1), SPREAD))
    marginal = torch.distributions.MultivariateNormal(MEAN.flatten(1)[:, SOME], COV[:, SOME][:, :, SOME])
    assert_close(found, marginal.log_prob(VALUES[SOME].double()), 1e-3)


def test_a_fixed_token_that_cannot_be_is_impossible() -> None:
    certain = sequences("uniform").space.point_mass(torch.tensor([[2, 0], [1, 0]]))
    found = Fixed(torch.tensor([2, 0]), torch.tensor([True, False])).log_expect(certain)
    assert found.tolist() == [0.0, -torch.inf]


# Points known relative to one another --------------------------------------------------------------


CLOUD = Centered((5, 3))
HELD = torch.tensor([True, True, False, True, False])


def _cloud_belief() -> Normal:
    """A Gaussian belief about centred points whose covariance is a matrix."""
    keys = Keys.of(11, 2)
    root = keys.fold("root").normal(15, 15)
    cov = CLOUD.within(root @ root.mT / 15, keys.normal(5, 3))
    return Normal(CLOUD.project(keys.normal(5, 3)), Dense(cov))


def test_points_known_about_their_centre_hold_exactly_wherever_they_lie() -> None:
    shape = Keys.of(12, 1).normal(5, 3)[0]
    value, posterior = RigidMotif(shape, HELD, slack=1e-3).update(
        _cloud_belief(), CLOUD.prior(Keys.of(0, 2)), 0.5, CLOUD
    )
    mean = posterior.mean
    about = mean[:, HELD] - mean[:, HELD].mean(1, keepdim=True)
    assert_close(about, (shape[HELD] - shape[HELD].mean(0)).expand_as(about), 1e-9)
    assert mean.sum(1).abs().max() < 1e-9
    assert value.shape == (2,)
    push = posterior.covary(Keys.of(13, 2).normal(5, 3))  # what comes later moves them only together
    assert (push[:, HELD] - push[:, HELD].mean(1, keepdim=True)).abs().max() < 1e-9
    assert push.abs().max() > 1e-3


def test_the_rest_follows_what_is_held() -> None:
    """The free points move as the Gaussian conditional says, not as if they were independent."""
    belief, shape = _cloud_belief(), Keys.of(12, 1).normal(5, 3)[0]
    relative = CenteredOperator(HELD)
    seen = Measurement(relative(shape[None])[0], relative, 1e-3)
    expected = seen.update(belief, belief.mean, 0.5, CLOUD)[1].mean
    found = RigidMotif(shape, HELD, slack=1e-3).update(belief, belief.mean, 0.5, CLOUD)[1].mean
    assert_close(found, expected, 1e-2)
    assert (belief.mean - expected)[:, ~HELD].abs().max() > 0.1  # so that doing nothing would be seen


def test_only_what_is_continuous_has_a_shape() -> None:
    with pytest.raises(ValueError, match="nothing is fixed"):
        RigidMotif(torch.zeros(5, 3), torch.zeros(5, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\.on\(name\)"):
        RigidMotif(torch.zeros(5, 3), HELD).log_expect(Probs(torch.zeros(1, 5, 3)))
