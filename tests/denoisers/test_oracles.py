"""Oracles are exact: their means and covariances equal brute force, and their draws follow their own density."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal, Probs
from ornstein.denoisers.oracles import Mixture, enumerated, gaussian_mixture, joint_mixture, ring
from ornstein.keys import Keys
from ornstein.schedules import EDM, Cosine, RectifiedFlow, Schedule
from ornstein.spaces import Categorical
from worlds import (
    JOINT_WEIGHTS,
    anisotropic,
    assert_close,
    assert_frequencies,
    coupled,
    double,
    line,
    rejected,
    rotated,
    sequences,
    smooth,
    table,
)

SCHEDULES = pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=lambda s: type(s).__name__)


def grid(dimensions: int) -> Tensor:
    axis = torch.linspace(-6, 6, 481, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * dimensions).reshape(-1, dimensions)


def log_density(world: Mixture, x: Tensor) -> Tensor:
    """log p(x₀) of a Gaussian mixture, written out."""
    parts: Any = world.components
    covs = parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT
    normals = [torch.distributions.MultivariateNormal(m, c).log_prob(x) for m, c in zip(parts.means, covs, strict=True)]
    return (torch.stack(normals, -1) + world.weights.log()).logsumexp(-1)


def brute_force(world: Mixture, x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Mean and covariance of p(x₀ | x_t) ∝ p(x₀) N(x_t; α x₀, σ²), summed over a grid; x_t is one state (d,)."""
    space: Any = world.space
    x0 = grid(len(x_t))
    error = (x_t - space.schedule.alpha(t) * x0) / space.schedule.sigma(t)
    share = (log_density(world, x0) - 0.5 * (error**2).sum(-1)).softmax(0)
    mean = share @ x0
    return mean, (x0 - mean).T @ (share[:, None] * (x0 - mean))


def assert_exact_moments(world: Mixture, oracle: Any, t: float, tolerance: float = 1e-8) -> None:
    """The belief of `oracle` has the brute-force mean and covariance of `world`."""
    keys = Keys.of(1, 3)
    x_t = world.space.noise(world.draw(keys).double(), t, keys)
    belief = oracle(x_t, t)
    for i in range(3):
        mean, cov = brute_force(world, x_t[i], t)
        assert_close(belief.mean[i], mean, tolerance)
        for axis in torch.eye(len(mean), dtype=torch.float64):
            assert_close(belief.cov(axis.expand_as(x_t))[i], cov @ axis, tolerance)


@SCHEDULES
@pytest.mark.parametrize("t", [0.3, 0.6])
def test_moments_on_the_line_equal_brute_force(schedule: Schedule, t: float) -> None:
    world = line(schedule)
    assert_exact_moments(world, world, t)


@SCHEDULES
def test_moments_in_the_plane_equal_brute_force(schedule: Schedule) -> None:
    world = smooth(schedule)
    assert_exact_moments(world, world, 0.4)


def test_brute_force_rejects_a_wrong_weight_and_a_missing_between_component_spread() -> None:
    world = smooth()
    rejected(assert_exact_moments, world, Mixture(world.weights.flip(0), world.components), 0.4)

    def within(x_t: Tensor, t: float) -> Normal:
        belief: Any = world(x_t, t)
        object.__setattr__(belief.cov, "offset", 0 * belief.cov.offset)
        return belief

    rejected(assert_exact_moments, world, within, 0.4)


@SCHEDULES
def test_times_per_sample_are_separate_calls(schedule: Schedule) -> None:
    world, keys = smooth(schedule), Keys.of(1, 3)
    t = double([0.2, 0.5, 0.9])
    x_t = world.space.noise(world.draw(keys).double(), t, keys)
    together = world(x_t, t)
    for i in range(3):
        alone = world(x_t[i : i + 1], t[i].item())
        assert_close(together.mean[i], alone.mean[0])
        assert isinstance(together, Normal)
        assert isinstance(alone, Normal)
        assert together.cov is not None
        assert alone.cov is not None
        assert_close(together.cov(x_t)[i], alone.cov(x_t[i : i + 1])[0])


@SCHEDULES
def test_log_densities_are_those_of_the_noisy_mixture(schedule: Schedule) -> None:
    """α means, α² covs + σ² I; up to (2π)^{d/2}, of a label too."""
    world: Any = anisotropic(schedule)
    parts, t = world.components, double([0.2, 0.5, 0.9])
    alpha, sigma = schedule.alpha(t)[:, None, None], schedule.sigma(t)[:, None, None]
    x = sigma[:, 0] * Keys.of(1, 3).normal(2) + 0.3
    covs = parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT
    noisy = alpha[..., None] ** 2 * covs + sigma[..., None] ** 2 * torch.eye(2).double()
    normals = torch.distributions.MultivariateNormal(alpha * parts.means, noisy).log_prob(x[:, None])
    constant = torch.log(2 * torch.pi * torch.ones(1).double())
    assert_close(world.log_density(x, t), (normals + world.weights.log()).logsumexp(1) + constant)
    labelled = (normals[:, 1:] + (world.weights[1:] / world.weights[1:].sum()).log()).logsumexp(1)
    assert_close(world.log_density(x, t, {"label": torch.ones(3, dtype=torch.int64)}), labelled + constant)


@pytest.mark.parametrize("kind", ["masked", "uniform", "substitution"])
def test_log_densities_of_tokens_are_log_probabilities(kind: str) -> None:
    """p(x_t) = Σ p(x₀) q(x_t | x₀), over all noisy sequences, which sum to 1."""
    world: Any = sequences(kind)
    x = torch.cartesian_prod(*[torch.arange(world.space.states)] * 2)
    found = world.log_density(x, 0.4).exp()
    clean = torch.cartesian_prod(*[torch.arange(3)] * 2)
    columns = world.space.chain.column(world.space.schedule.alpha(0.4), x)
    moved = torch.stack([columns[:, 0, i] * columns[:, 1, j] for i, j in clean], 1)
    assert_close(found, moved @ table(3, 2).flatten())
    assert_close(found.sum().item(), 1.0)


def test_what_cannot_be_has_no_density() -> None:
    world = enumerated(Categorical.masked((2,), 2), double([[0.5, 0.0], [0.0, 0.5]]))
    assert world.log_density(torch.tensor([[0, 1], [0, 2]]), 0.5).isneginf().tolist() == [True, False]


def test_log_densities_of_joint_worlds() -> None:
    """A clean token says which component it is."""
    world: Any = coupled()
    x_t = {"x": double([[0.2, 0.1]]), "tokens": torch.tensor([[1, 0]])}
    alone = world.components.parts["x"].log_likelihood(x_t["x"], 0.6)[:, 2]
    seen = world.components.parts["tokens"].log_likelihood(x_t["tokens"], 0.6)[:, 2]
    assert_close(world.log_density(x_t, 0.6), alone + seen + JOINT_WEIGHTS[2].log())


def test_times_per_position_are_refused() -> None:
    with pytest.raises(ValueError, match="one time a sample"):
        smooth()(torch.ones(3, 2), torch.full((3, 2), 0.5))


def test_ends_of_time() -> None:
    """At t = 0 the belief is certain of x_t; at t = 1 it is the prior."""
    world, x = smooth(), double([[0.3, -0.5]])
    assert_close(world(x, 0.0).mean, x)
    parts: Any = world.components
    assert_close(world(x, 1.0).mean[0], world.weights @ parts.means)


def test_draws_have_the_moments_of_the_mixture() -> None:
    world, n = anisotropic(), 20000
    parts: Any = world.components
    x = world.draw(Keys.of(0, n)).double()
    mean = world.weights @ parts.means
    assert ((x.mean(0) - mean).abs() < 4.5 * x.std(0) / n**0.5).all()
    covs = parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT
    offset = parts.means - mean
    cov = torch.einsum("k,kij->ij", world.weights, covs + offset[:, :, None] * offset[:, None, :])
    assert_close(torch.cov(x.T), cov, 0.03)


# Sequences --------------------------------------------------------------------------------------------


def bayes(space: Categorical, probs: Tensor, x_t: Tensor, t: float) -> Tensor:
    """The per-position marginals of p(x₀ | x_t) by enumeration; x_t is one state (positions,)."""
    seen = space.chain.column(space.schedule.alpha(t), x_t)
    marginals = torch.zeros(len(x_t), space.states, dtype=torch.float64)
    for cell in product(range(space.size), repeat=len(x_t)):
        weight = probs[cell] * torch.stack([seen[p, i] for p, i in enumerate(cell)]).prod()
        for p, i in enumerate(cell):
            marginals[p, i] += weight
    return marginals / marginals.sum(-1, keepdim=True)


def assert_exact_marginals(world: Mixture, oracle: Any) -> None:
    keys, space = Keys.of(2, 5), world.space
    assert isinstance(space, Categorical)
    for t in (0.2, 0.7):
        x_t = space.noise(world.draw(keys), t, keys)
        found = oracle(x_t, t).mean
        for i in range(5):
            assert_close(found[i], bayes(space, table(3, 2), x_t[i], t))


@pytest.mark.parametrize("kind", ["masked", "uniform", "substitution"])
def test_enumerated_marginals_are_bayes_rule(kind: str) -> None:
    assert_exact_marginals(sequences(kind), sequences(kind))


def test_bayes_rule_rejects_a_transposed_table() -> None:
    world = sequences("uniform")
    assert isinstance(world.space, Categorical)
    rejected(assert_exact_marginals, world, enumerated(world.space, table(3, 2).T))


@pytest.mark.parametrize("kind", ["masked", "uniform"])
def test_draws_follow_the_table(kind: str) -> None:
    world = sequences(kind)
    assert_frequencies(world.draw(Keys.of(0, 8000)), table(3, 2))
    rejected(assert_frequencies, world.draw(Keys.of(0, 8000)), table(3, 2).T)


def test_a_table_must_fit_its_space() -> None:
    with pytest.raises(ValueError, match=r"a table over \(3,\) positions of 3 states, not \(3, 3\)"):
        enumerated(Categorical.masked((3,), 3), table(3, 2))


# Joint worlds and labels ------------------------------------------------------------------------------


def test_joint_belief_is_bayes_rule_over_components() -> None:
    """A clean token says which component it is; the position's belief is then that component's alone."""
    world = coupled()
    parts: Any = world.components.parts  # pyright: ignore[reportAttributeAccessIssue]
    x_t = {"x": double([[0.2, 0.1]]), "tokens": torch.tensor([[1, 0]])}
    found = world(x_t, 0.6)
    alone = Mixture(double([0, 0, 1, 0]), parts["x"])(x_t["x"], 0.6)
    assert_close(found.mean["x"], alone.mean)
    hidden = world({"x": x_t["x"], "tokens": torch.tensor([[2, 2]])}, 0.6)
    share = (JOINT_WEIGHTS.log() + parts["x"].log_likelihood(x_t["x"], 0.6)).softmax(-1)[0]
    assert_close(hidden.mean["tokens"][0, 0], torch.stack([share[0] + share[1], share[2] + share[3], double(0.0)]))


def test_a_label_keeps_its_components() -> None:
    world, x_t = anisotropic(), double([[0.1, 0.2]]).expand(2, 2)
    parts: Any = world.components
    found = world(x_t, 0.8, {"label": torch.tensor([0, 1])}).mean
    for label, keep in enumerate(([1, 0, 0], [0, 1, 1])):
        expected = Mixture(world.weights * double(keep), parts)(x_t, 0.8).mean
        assert_close(found[label], expected[label])


def test_ring_is_on_its_circle() -> None:
    x = ring(modes=8, radius=2.0, std=0.01).draw(Keys.of(0, 4000))
    assert_close(x.norm(dim=1).mean().item(), 2.0, 1e-3)
    counts = torch.bincount(((torch.atan2(x[:, 1], x[:, 0]) / (torch.pi / 4)).round().long()) % 8)
    assert ((counts - 500).abs() < 4.5 * (500 * 7 / 8) ** 0.5).all()


def test_covariances_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive definite"):
        gaussian_mixture(torch.zeros(1, 2), rotated(0.0, (1.0, 0.0))[None])


def test_beliefs_about_sequences_are_probabilities() -> None:
    world = sequences("masked")
    belief = world(torch.tensor([[3, 3], [0, 3]]), 0.5)
    assert isinstance(belief, Probs)
    assert_close(belief.mean[0, 0, :3], table(3, 2).sum(1))
    assert_close(belief.mean[1, 1, :3], table(3, 2)[0] / table(3, 2)[0].sum())


def test_an_impossible_state_leaves_the_belief_finite() -> None:
    """Parallel draws may reveal tokens that occur together in no component; what is revealed then stays."""
    identity = torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
    world = joint_mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), identity, torch.tensor([[0, 0], [1, 1]]))
    x_t = {"x": torch.zeros(1, 2), "tokens": torch.tensor([[0, 1]])}
    belief = world(x_t, 0.5)
    assert belief.mean["x"].isfinite().all()
    moved = world.space.step(x_t, belief, 0.5, 0.2).sample(Keys.of(0, 1))
    assert moved["tokens"].tolist() == [[0, 1]]
