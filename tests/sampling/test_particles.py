"""Particles are exact: Ẑ is unbiased, and weighted by it so is every mean, however few the steps of an exact chain.

A run gives an estimate Ẑ of Z = E[g] and samples x; then E[Ẑ f(x)] = Z E[f | g] for every f, whatever the size of the
population. `assert_unbiased` tests just that over independent runs. Categories are held to the law of their own chain,
which is pushed through the few steps exactly; a single Gaussian's chain is exact in any number of steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from ornstein.denoisers.base import Denoiser
from ornstein.denoisers.oracles import GaussianComponents, Mixture
from ornstein.guidance.classifiers import NoisyClassifierGuidance
from ornstein.guidance.factors import Energy, Factor
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.guidance.operators import Mask, Matrix
from ornstein.keys import Keys
from ornstein.sampling.diagnostics import effective_sample_size, mean_and_error
from ornstein.sampling.grids import CLOSE, log_snr, uniform
from ornstein.sampling.kernels import Kernel, Predictor, SamplerState
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Euclidean
from ornstein.tasks.drawing import sample
from populations import EXACT, Unweighted, assert_unbiased, of, pairs, population
from worlds import (
    MeanOnly,
    anisotropic,
    assert_close,
    assert_moments,
    coupled,
    double,
    line,
    rejected,
    sequences,
    single,
    smooth,
)

ROWS, SEEN, NOISE = double([[1.0, 0.6]]), double([0.4]), 0.3
MEASURED = Measurement(SEEN, Matrix(ROWS), NOISE)


@pytest.fixture(autouse=True)
def no_gradients() -> Any:
    """As `sample` runs them."""
    with torch.no_grad():
        yield


# What is unbiased -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Twice(Particles):
    """A broken twin: multiplies by ψ_s at each step, but forgets to divide by ψ_t."""

    threshold: float = 0.0

    def __call__(self, state: SamplerState, *rest: Any) -> SamplerState:
        if state.population is not None and state.population.looks is not None:
            weights = state.population.log_weights + state.population.looks[0].values.sum(0)
            state = replace(state, population=replace(state.population, log_weights=weights))
        return super().__call__(state, *rest)


class Careless(Particles):
    """A broken twin: drops the last weight, with which ψ gives way to g."""

    def _finish(self, *args: Any) -> tuple[Any, Tensor, Any]:
        x0, gained, look = super()._finish(*args)
        return x0, 0 * gained, look


# Categories -------------------------------------------------------------------------------------------

FEW = uniform(5)
TABLE = double([[0.9, -0.5, 0.3], [-1.2, 0.1, 0.8], [0.4, 1.1, -0.7]])


def coded(code: Tensor) -> Tensor:
    """An energy that couples two tokens."""
    return 1.5 * torch.einsum("ij,bi,bj->b", TABLE, code[:, 0, :3], code[:, 1, :3])


def chain_law(world: Mixture, grid: Sequence[float]) -> Tensor:
    """The (3, 3) table of two tokens that walked the grid without any factor, summed over all paths."""
    space: Any = world.space
    x = pairs(space.states)
    law = space.chain.stationary[x].prod(1)
    for t, s in pairwise(grid):
        move = space.step(x, world(x, t), t, s)
        law = law @ torch.stack([move.log_prob(y.expand(len(x), 2)).exp() for y in x], 1)
    return law.reshape(space.states, space.states)[:3, :3]


def cells(x: Tensor) -> Tensor:
    """One-hot codes of the first eight pairs."""
    return torch.nn.functional.one_hot(3 * x[:, 0] + x[:, 1], 9)[:, :8]


def assert_tokens(kind: str, factor: Factor, g: Tensor, kernel: Kernel = EXACT, grid: Any = FEW) -> None:
    """Samples and evidence follow the chain's law times g."""
    tilted = chain_law(sequences(kind), grid) * g
    law, log_z = (tilted / tilted.sum()).flatten()[:8], tilted.sum().log().item()
    assert_unbiased(sequences(kind) & factor, cells, law, log_z, grid, kernel, runs=60)


@pytest.mark.parametrize("kind", ["masked", "uniform", "substitution"])
def test_tilted_tokens_follow_their_chain_exactly(kind: str) -> None:
    assert_tokens(kind, Energy(coded), (-1.5 * TABLE).exp())


@pytest.mark.parametrize("kernel", [Twice(), Careless(), Unweighted()], ids=lambda kernel: type(kernel).__name__)
def test_the_token_test_rejects_wrong_weights(kernel: Kernel) -> None:
    rejected(assert_tokens, "masked", Energy(coded), (-1.5 * TABLE).exp(), kernel)


@pytest.mark.parametrize("kind", ["masked", "uniform"])
def test_fixed_tokens_condition_the_chain(kind: str) -> None:
    row = double([[0.0, 0, 0], [1, 1, 1], [0, 0, 0]])
    tilted = chain_law(sequences(kind), FEW) * row
    guided = sequences(kind) & Fixed(torch.tensor([1, 0]), torch.tensor([True, False]))

    def second(x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(x[:, 1], 3)[:, :2]

    law = (tilted[1] / tilted.sum())[:2]
    assert_unbiased(guided, second, law, tilted.sum().log().item(), FEW)
    rejected(assert_unbiased, guided, second, law, tilted.sum().log().item(), FEW, Twice())


def test_with_many_steps_tokens_follow_the_data() -> None:
    world = sequences("masked")
    law = chain_law(world, uniform(200))
    assert_close(law, world.weights.reshape(3, 3), 5e-3)
    tilted = world.weights.reshape(3, 3) * (-1.5 * TABLE).exp()
    tilted = (tilted / tilted.sum()).flatten()
    x = population(world & Energy(coded), uniform(100), 4000, 1).x
    assert (cells(x).double().mean(0) - tilted[:8]).abs().max() < 0.03


# One Gaussian, whose chain is exact -------------------------------------------------------------------

COARSE = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)


def wavy(x: Tensor) -> Tensor:
    return (2 * x[:, 0]).sin() + 0.5 * (x[:, 1] + 0.3) ** 2 - 0.4 * x[:, 0]


def bent(x: Tensor) -> Tensor:
    return x[:, 0] + 0.3 * x[:, 1] ** 2


def plane() -> Tensor:
    axis = torch.linspace(-5, 5, 501, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def log_density(world: Mixture, x: Tensor) -> Tensor:
    parts: Any = world.components
    covs = parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT
    normals = [torch.distributions.MultivariateNormal(m, c).log_prob(x) for m, c in zip(parts.means, covs, strict=True)]
    return (torch.stack(normals, -1) + world.weights.log()).logsumexp(-1)


def moments(x: Tensor) -> Tensor:
    return torch.stack([x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], 1)


def quadrature(world: Mixture, log_g: Callable[[Tensor], Tensor]) -> tuple[Tensor, float]:
    """E[moments | g] and log E[g], on a grid."""
    x = plane()
    log = log_density(world, x) + log_g(x)
    return log.softmax(0) @ moments(x), (log.logsumexp(0) + 2 * double(0.02).log()).item()


def log_likelihood(x: Tensor) -> Tensor:
    return torch.distributions.Normal(x @ ROWS[0], NOISE).log_prob(SEEN[0])


TILTS: dict[str, tuple[tuple[Factor, ...], Callable[[Tensor], Tensor]]] = {
    "energy": ((Energy(wavy),), lambda x: -wavy(x)),
    "both": ((Energy(wavy), MEASURED), lambda x: log_likelihood(x) - wavy(x)),
    "bent": (
        (Measurement(double([0.5]), lambda x: bent(x)[:, None], 0.5),),
        lambda x: torch.distributions.Normal(bent(x), 0.5).log_prob(double(0.5)),
    ),
}


def assert_gaussian(tilt: str, kernel: Kernel = EXACT, wrap: Any = lambda world: world, **options: Any) -> None:
    factors, log_g = TILTS[tilt]
    guided = wrap(single())
    for factor in factors:
        guided = guided & factor
    assert_unbiased(guided, moments, *quadrature(single(), log_g), COARSE, kernel, **options)


@pytest.mark.parametrize("wrap", [lambda world: world, MeanOnly], ids=["exact covariance", "Tweedie"])
@pytest.mark.parametrize("tilt", TILTS)
def test_a_tilted_gaussian_is_exact_in_five_steps(tilt: str, wrap: Any) -> None:
    assert_gaussian(tilt, wrap=wrap)


@pytest.mark.parametrize(("tilt", "temper"), [("both", 2.0), ("bent", 0.5)])
def test_tempering_gives_the_same_posterior(tilt: str, temper: float) -> None:
    assert_gaussian(tilt, Particles(temper=temper))


@pytest.mark.parametrize("kernel", [Twice(), Careless(), Unweighted()], ids=lambda kernel: type(kernel).__name__)
def test_the_gaussian_test_rejects_wrong_weights(kernel: Kernel) -> None:
    rejected(assert_gaussian, "energy", kernel)


def test_the_tempering_test_rejects_factors_that_stay_weak() -> None:
    rejected(assert_gaussian, "both", Careless(temper=2.0))


@pytest.mark.parametrize(
    ("wrap", "slack"), [(lambda world: world, 1e-5), (MeanOnly, 2e-3)], ids=["exact covariance", "Tweedie"]
)
def test_where_everything_is_exact_all_weights_are_equal(wrap: Any, slack: float) -> None:
    """A measured Gaussian: no particle is lost, the evidence has no scatter, and samples are independent.

    Tweedie's formula is 0/0 at t = 1, where the data's spread has to stand in for their covariance.
    """
    state = population(wrap(single()) & MEASURED, COARSE, 4000, 0)
    found, (expected, log_z) = of(state).exactness(), quadrature(single(), log_likelihood)
    assert min(found.ess) > 1 - slack
    assert found.resampled == 1
    assert found.families > 4000 * (1 - 10 * slack)
    assert found.error < slack
    assert found.log_evidence == pytest.approx(log_z, abs=slack)
    mean, second = expected[:2], expected[[2, 3, 3, 4]].reshape(2, 2)
    assert_moments(state.x, mean, second - mean[:, None] * mean)


def test_many_numbers_measured_of_a_world_with_a_matrix_are_exact_too() -> None:
    """Forty numbers, more than are solved directly by default."""
    roots = Keys.of(5, 1).normal(40, 40)
    world = Mixture(
        double([1.0]), GaussianComponents.of(Euclidean((40,)), 0 * roots[0, :1], roots @ roots.mT / 40 + torch.eye(40))
    )
    measured = Measurement(Keys.of(6, 1).normal(40)[0], Mask(torch.ones(40) > 0), 0.5)
    found = of(population(world & measured, COARSE, 50, 0)).exactness()
    cov = roots[0] @ roots[0].T / 40 + 1.25 * torch.eye(40)
    exact = torch.distributions.MultivariateNormal(torch.zeros(40).double(), cov).log_prob(measured.y)
    assert min(found.ess) > 1 - 1e-4
    assert found.log_evidence == pytest.approx(exact.item(), abs=1e-2)


# Mixtures ---------------------------------------------------------------------------------------------


def sides(x: Tensor) -> Tensor:
    """The means, and which mode."""
    return torch.stack([x[:, 0], x[:, 1], (x[:, 0] > 0).double()], 1)


def assert_measured_mixture(denoiser: Denoiser, kernel: Kernel = EXACT) -> None:
    """Means, the weight of a mode and the evidence."""
    x, world = plane(), smooth()
    log = log_density(world, x) + torch.distributions.Normal(x @ ROWS[0], NOISE).log_prob(SEEN)
    expected, log_z = log.softmax(0) @ sides(x), (log.logsumexp(0) + 2 * double(0.02).log()).item()
    assert_unbiased(denoiser, sides, expected, log_z, log_snr(25, world.space), kernel, runs=16)


@pytest.mark.parametrize("wrap", [lambda world: world, MeanOnly], ids=["exact covariance", "Tweedie"])
def test_a_measured_mixture_has_the_right_modes_and_evidence(wrap: Any) -> None:
    assert_measured_mixture(wrap(smooth()) & MEASURED)


def test_the_mixture_test_rejects_what_is_wrong() -> None:
    rejected(assert_measured_mixture, smooth() & MEASURED, Unweighted())


def test_an_exact_noisy_classifier_costs_nothing() -> None:
    """Its twist is exact, so the population keeps its size; the evidence is the share of the label."""
    world = smooth()

    def log_second(x: Tensor, t: Any) -> Tensor:
        return (world.weights.log() + world.components.log_likelihood(x, t)).log_softmax(1)[:, 1]

    found = of(population(world & NoisyClassifierGuidance(log_second), log_snr(60, world.space), 500, 0)).exactness()
    assert min(found.ess) > 0.9
    assert found.log_evidence == pytest.approx(world.weights[1].log().item(), abs=0.05)


def pair_features(x: Any) -> Tensor:
    tokens = torch.nn.functional.one_hot(2 * x["tokens"][:, 0] + x["tokens"][:, 1], 4)[:, :3]
    return torch.cat([tokens, x["x"]], 1)


def assert_joint(kernel: Kernel) -> None:
    """Measured positions and an energy of tokens: each component's weight, and where it is, in closed form."""
    costs, width = double([0.3, 1.4, -0.4, 0.2]), 0.5
    world, seen = coupled(), Measurement(double([0.2]), Matrix(ROWS), width)
    means, axes = world.components.parts["x"].means, world.components.parts["x"].axes  # pyright: ignore[reportAttributeAccessIssue]
    covs = axes @ torch.diag_embed(world.components.parts["x"].variances) @ axes.mT  # pyright: ignore[reportAttributeAccessIssue]
    spread = ((ROWS @ covs) @ ROWS.T)[:, 0, 0] + width**2
    residual = 0.2 - means @ ROWS[0]
    log = world.weights.log() - costs - 0.5 * (residual**2 / spread + (2 * torch.pi * spread).log())
    shares, gain = log.softmax(0), (covs @ ROWS[0]) / spread[:, None]
    expected = torch.cat([shares[:3], shares @ (means + gain * residual[:, None])])

    def cost(code: Tensor) -> Tensor:
        return torch.einsum("ij,bi,bj->b", costs.reshape(2, 2), code[:, 0, :2], code[:, 1, :2])

    guided = world & seen.on("x") & Energy(cost).on("tokens")
    assert_unbiased(guided, pair_features, expected, log.logsumexp(0).item(), uniform(40), kernel, runs=16, n=64)


def test_a_joint_world_is_tilted_in_both_parts() -> None:
    assert_joint(Particles())
    rejected(assert_joint, Unweighted())


# Beliefs without a matrix -----------------------------------------------------------------------------


def assert_wide(order: int) -> None:
    """The chain's own variance, of the mean alone, in sixty steps."""
    world = single()
    kernel = Particles(dense=0, order=order)
    x = population(MeanOnly(world), log_snr(60, world.space, CLOSE), 6000, 3, kernel).x.double()
    exact = world.components.variances.sum().item()  # pyright: ignore[reportAttributeAccessIssue]
    share = (x.var(0).sum() / exact).item()
    assert 0.94 < share < 1.06, f"{share:.3f} of the variance"


def test_the_chain_of_a_mean_looks_back_and_keeps_its_variance() -> None:
    assert_wide(2)
    rejected(assert_wide, 1)


def test_a_chain_that_looks_back_is_weighed_as_it_is_taken() -> None:
    """A measured Gaussian: means, covariance and evidence, with particles that are resampled on the way."""
    world, kernel = single(), Particles(threshold=0.95, dense=0)
    state = population(MeanOnly(world) & MEASURED, log_snr(100, world.space, CLOSE), 4000, 4, kernel)
    (expected, log_z), found = quadrature(world, log_likelihood), of(state).exactness()
    assert found.resampled > 1
    assert found.log_evidence == pytest.approx(log_z, abs=4 * found.error + 0.02)
    mean, second = expected[:2], expected[[2, 3, 3, 4]].reshape(2, 2)
    cov = second - mean[:, None] * mean
    assert ((state.x.double().mean(0) - mean) / cov.diagonal().sqrt()).abs().max() < 0.1
    assert (torch.cov(state.x.T) - cov).norm() < 0.1 * cov.norm()


# Honesty ----------------------------------------------------------------------------------------------


@lru_cache
def repeated(threshold: float, runs: int = 60) -> tuple[list[Any], list[Tensor], float]:
    """Runs of the same problem: their populations, their samples of x₁, and the exact log Z."""
    (factors, log_g), guided = TILTS["energy"], single()
    for factor in factors:
        guided = guided & factor
    walks = [population(guided, COARSE, 64, 500 + seed, Particles(threshold)) for seed in range(runs)]
    return [of(walk) for walk in walks], [walk.x[:, 0].double() for walk in walks], quadrature(single(), log_g)[1]


def assert_honest(threshold: float, boast: float = 1.0) -> None:
    """Repeated runs scatter as each of them states."""
    populations, _, log_z = repeated(threshold)
    off = torch.stack([boast * (one.log_evidence - log_z) / one.error for one in populations])
    rms = off.square().mean().sqrt().item()
    assert 0.6 < rms < 1.5, f"the evidence is off by {rms:.2f} stated errors"


@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_the_error_of_the_evidence_is_honest(threshold: float) -> None:
    assert_honest(threshold)
    rejected(assert_honest, threshold, boast=2.0)
    rejected(assert_honest, threshold, boast=1 / 3)


def assert_mean(genealogy: Callable[[Any], Tensor]) -> None:
    """Means of repeated runs scatter as the families of each of them say."""
    (_, log_g), (populations, samples, _) = TILTS["energy"], repeated(0.7)
    exact, off = quadrature(single(), log_g)[0][0], []
    for one, x in zip(populations, samples, strict=True):
        mean, error = mean_and_error(x, genealogy(one))
        off.append((mean - exact.item()) / error)
    rms = double(off).square().mean().sqrt().item()
    assert 0.7 < rms < 1.3, f"the mean is off by {rms:.2f} stated errors"


def test_the_error_of_a_mean_is_honest_and_one_that_counts_particles_is_not() -> None:
    assert_mean(lambda one: one.ancestor)
    rejected(assert_mean, lambda one: torch.arange(len(one.ancestor)))


def assert_size(claimed: Callable[[Any], float]) -> None:
    """A weighted mean scatters as that of as many independent samples as ESS says."""
    populations, samples, _ = repeated(0.0)
    scatter, variance = torch.stack([x.mean() for x in samples]).var(), torch.stack([x.var() for x in samples]).mean()
    ratio = (scatter * double([claimed(one) for one in populations]).mean() / variance).item()
    assert 0.6 < ratio < 1.4, f"the scatter is {ratio:.2f} times as large as claimed"


def test_the_effective_size_is_honest() -> None:
    assert_size(lambda one: 64 * one.ess[-1].item())
    rejected(assert_size, lambda one: 64.0)


def uniform_ranks(ranks: Tensor) -> None:
    """The share of the posterior below the truth is uniform (Talts et al. 2018), and so is its distance from ½."""
    p = min(float(stats.kstest(u.numpy(), "uniform").pvalue) for u in (ranks, (2 * ranks - 1).abs()))
    assert p > 0.005, f"p = {p:.1g}"


def test_ranks_are_uniform_for_particles_and_not_for_the_plug_in() -> None:
    n, width, one, world, keys = 90, 0.25, Matrix(double([[1.0]])), line(), Keys.of(70, 90)
    truth = world.draw(keys)
    seen = truth.double() + width * keys.fold("seen").normal(1)
    jitter = keys.fold("jitter").uniform()

    def ranks(x: Tensor) -> Tensor:
        return ((x[..., 0] < truth).sum(1) + jitter) / 65

    grid = log_snr(12, world.space)
    drawn = [population(world & Measurement(y, one, width), grid, 64, 100 + k).x for k, y in enumerate(seen)]
    uniform_ranks(ranks(torch.stack(drawn)))

    every = seen.repeat_interleave(64, 0)
    plugged = world & PlugIn(every, one, width)
    x = Sampler(log_snr(40, world.space), (Predictor(1.0),)).run(plugged, Keys.of(3, len(every)))
    rejected(uniform_ranks, ranks(x.reshape(n, 64, 1)))


class PlugIn(Measurement):
    """What most guidance does: the slope of the likelihood at the mean, as if x₀ were certain."""

    def update(self, belief: Any, x_t: Any, t: Any, space: Any) -> Any:
        return self.log_expect(belief), belief.tilt((self.y - belief.mean) / self.std**2)


# Runs -------------------------------------------------------------------------------------------------


def test_a_run_is_a_function_of_its_seed() -> None:
    guided = anisotropic() & MEASURED & Energy(wavy)
    first, again, other = (population(guided, log_snr(8, guided.space), 50, seed) for seed in (1, 1, 2))
    assert first.x.equal(again.x)
    assert of(first).exactness() == of(again).exactness()
    assert not first.x.equal(other.x)


def test_conditions_travel_with_their_particles() -> None:
    """Each particle is given a label; the evidence of each label decides how many are left of it."""
    world, n = anisotropic(), 2000
    labels = torch.arange(n) % 2
    drawn = sample(world & MEASURED, n, 40, exact="particles", condition={"label": labels})
    given, x = drawn.condition["label"], plane()
    means = []
    for label in (0, 1):
        alone = torch.where(world.labels == label, world.weights, 0.0)  # pyright: ignore[reportArgumentType, reportCallIssue]
        part = Mixture(alone / alone.sum(), world.components)
        log = log_density(part, x) + log_likelihood(x)
        means.append((log.logsumexp(0), log.softmax(0) @ x))
        assert (drawn.x[given == label].double().mean(0) - means[-1][1]).abs().max() < 0.06
    evidence = torch.stack([log for log, _ in means])
    assert given.double().mean().item() == pytest.approx(evidence.softmax(0)[1].item(), abs=0.04)
    assert drawn.exactness is not None
    log_z = (evidence.logsumexp(0) - double(2.0).log() + 2 * double(0.02).log()).item()
    assert drawn.exactness.log_evidence == pytest.approx(log_z, abs=4 * drawn.exactness.error)


def test_evaluations_are_counted_again_after_resampling() -> None:
    guided = single() & Energy(lambda x: 3 * wavy(x))
    state = population(guided, COARSE, 64, 0, Particles(threshold=1.0))
    assert of(state).resampled == 5
    assert state.nfe == 5 + 4  # at each time on arrival, and after each resampling but the last
    assert population(guided, COARSE, 64, 0, Particles(threshold=0.0)).nfe == 5


def test_the_effective_size_of_the_last_weights_is_the_last_of_its_list() -> None:
    guided = single() & Energy(wavy)
    *_, before, last = Sampler(COARSE, (Particles(threshold=0.0),)).steps(guided, Keys.of(0, 64))
    assert len(of(last).ess) == 5
    assert_close(of(before).ess[-1], effective_sample_size(of(before).log_weights) / 64)
