"""Moves leave their density as it is: exact draws, moved, are again exact draws, which closed forms judge.

Of any density with slope s, E[x · s] = −d (by parts) and E[p(k | x)] = w_k: together with the moments these see wrong
drifts, missing ratios and lost modes. Every check is shown to fail on moves that are broken on purpose.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.denoisers.oracles import Mixture
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.mcmc.chains import run
from ornstein.mcmc.densities import Density, MCMCState
from ornstein.mcmc.moves import (
    HMC,
    MALA,
    Gibbs,
    IndependentMetropolis,
    LocallyInformed,
    Move,
    TransitionInfo,
    metropolis,
    repeated,
)
from ornstein.mcmc.proposals import wide
from ornstein.mcmc.tempering import ParallelTempering
from ornstein.sampling.grids import log_snr
from ornstein.sampling.kernels import Predictor, SamplerState
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Categorical, Centered, Euclidean, Gaussian
from ornstein.states import per_sample_sum
from ornstein.testing import check_kernel
from worlds import (
    F64,
    anisotropic,
    assert_close,
    assert_moments,
    assert_same_law,
    chi_square,
    convergence_order,
    double,
    rejected,
    sequences,
    single,
    sliced_wasserstein,
    smooth,
)

N = 4000
KEYS = Keys.of(1, N)


def moved(move: Move, density: Density, x: Tensor, count: int) -> TransitionInfo:
    return repeated(move, density.at(x, move.needs_gradients), density, Keys.of(1, len(x)), count)


def assert_means(features: Tensor, expected: Tensor, sigmas: float = 4.0) -> None:
    """The means of independent rows, within their standard errors."""
    errors = (features.mean(0) - expected) / (features.std(0) / len(features) ** 0.5)
    assert errors.abs().max() < sigmas, f"off by {[round(error, 1) for error in errors.tolist()]} standard errors"


# Broken twins -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AlwaysAccepted(HMC):
    """A broken twin: no Metropolis rule."""

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        momentum = keys.fold("momentum").normal(*point.x.shape[1:]).to(point.x)
        end, _ = self._leapfrog(point, momentum, self._step(point.x, keys), density)
        return TransitionInfo(end, torch.ones_like(end.values[0]))


@dataclass(frozen=True, kw_only=True)
class HalfKick(HMC):
    """A broken twin: the last half of the leapfrog's last step is left out, so that the way back is another."""

    def _leapfrog(self, point: MCMCState, momentum: Tensor, step: Tensor, density: Density) -> tuple[MCMCState, Tensor]:
        end, last = super()._leapfrog(point, momentum, step, density)
        return end, last - step / 2 * self.scale * density.gradient(end)


@dataclass(frozen=True, kw_only=True)
class Peeking(HMC):
    """A broken twin: how long the steps are depends on where they start, and the way back is not asked for."""

    def _step(self, x: Tensor, keys: Keys) -> Tensor:
        return super()._step(x, keys) * (0.2 + x[:, :1].abs())


@dataclass(frozen=True, kw_only=True)
class Uphill(HMC):
    """A broken twin: a drift of the wrong sign."""

    def _leapfrog(self, point: MCMCState, momentum: Tensor, step: Tensor, density: Density) -> tuple[MCMCState, Tensor]:
        return super()._leapfrog(point, momentum, step, density.at_weights(-1.0))


@dataclass(frozen=True, kw_only=True)
class Trusting(HMC):
    """A broken twin: rejects what is less probable, and so not what is not a number."""

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        momentum = keys.fold("momentum").normal(*point.x.shape[1:]).to(point.x)
        end, last = self._leapfrog(point, momentum, self._step(point.x, keys), density)
        gain = (end.values - point.values)[0] + per_sample_sum(momentum**2 - last**2) / 2
        refused = keys.fold("accept").uniform() > gain.clamp(max=0).exp()
        return TransitionInfo(point.where(refused, end), gain)


@dataclass(frozen=True, kw_only=True)
class Unweighed(IndependentMetropolis):
    """A broken twin: accepts by p alone, as if its proposals were uniform."""

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        proposed = density.at(self.proposal.sample(keys.fold("proposal")))
        return metropolis(point, proposed, density.log_p(proposed) - density.log_p(point), keys)


@dataclass(frozen=True, kw_only=True)
class OneWay(LocallyInformed):
    """A broken twin: the proposal's way back does not count."""

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        forward = self._log_proposal(point, density)
        change = (forward - (-keys.fold("change").uniform(forward.shape[1]).log()).log()).argmax(1)
        place, category = change // density.states, change % density.states
        proposed = density.at(point.x.scatter(1, place[:, None], category[:, None]))
        return metropolis(point, proposed, density.log_p(proposed) - density.log_p(point), keys)


@dataclass(frozen=True, kw_only=True)
class Blind(Gibbs):
    """A broken twin: a position is drawn given another sample's rest."""

    def _with(self, x: Tensor, place: Tensor, category: int, density: Density) -> Tensor:
        return super()._with(x.roll(1, 0), place, category, density)


@dataclass(frozen=True, kw_only=True)
class WrongWay(ParallelTempering):
    """A broken twin: the sign of the exchange."""

    def _exchange(self, gain: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
        return super()._exchange(-gain, keys)


# Mixtures in the plane, at every noise level ----------------------------------------------------------


def responsibilities(world: Mixture, x: Tensor, t: float) -> Tensor:
    return (world.weights.log() + world.components.log_likelihood(x, t)).softmax(1)


def mixture_means(world: Mixture, t: float) -> Tensor:
    """E of the features below: first and second moments, −2 and the weights."""
    parts, schedule = world.components, world.space.schedule  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(parts.means, Tensor)  # pyright: ignore[reportAttributeAccessIssue]
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    covs = parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT  # pyright: ignore[reportAttributeAccessIssue]
    means = alpha * parts.means  # pyright: ignore[reportAttributeAccessIssue]
    squares = alpha**2 * covs + sigma**2 * torch.eye(2) + means[:, :, None] * means[:, None]
    second = (world.weights[:, None, None] * squares).sum(0)
    return torch.cat([world.weights @ means, second[[0, 0, 1], [0, 1, 1]], double([-2.0]), world.weights[:-1]])


def mixture_features(world: Mixture, x: Tensor, t: float) -> Tensor:
    point = (density := Density.marginal(world, t)).at(x)
    virial = per_sample_sum(x * density.gradient(point))
    moments = torch.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2, virial], 1)
    return torch.cat([x, moments, responsibilities(world, x, t)[:, :-1]], 1)


def assert_keeps_the_mixture(move: Move, t: float, count: int = 10) -> None:
    world = anisotropic()
    x = world.space.noise(world.draw(KEYS), t, KEYS.fold("noise")).double()
    after = moved(move, Density.marginal(world, t), x, count).point.x
    assert (after != x).any(1).double().mean() > 0.5  # it does move
    assert_means(mixture_features(world, after, t), mixture_means(world, t))


PROPOSAL = Gaussian(double([[0.0, 0.0]]), 1.5, Euclidean((2,)))
CONTINUOUS = {
    "small mala": MALA(step_size=0.15),
    "large mala": MALA(step_size=0.35),
    "hmc": HMC(step_size=0.2, num_steps=5),
    "short and long hmc": HMC(step_size=0.3, num_steps=3, smallest=0.05),
    "scaled hmc": HMC(step_size=0.25, num_steps=4, scale=double([1.0, 0.4])),
    "independence": IndependentMetropolis(proposal=PROPOSAL),
}
BROKEN = {
    "no rule, Langevin": AlwaysAccepted(step_size=0.5, num_steps=1, jitter=0.0),
    "no rule, leapfrog": AlwaysAccepted(step_size=0.5, num_steps=3),
    "steps as the place suggests": Peeking(step_size=0.15, num_steps=3, smallest=0.5),
    "no last kick": HalfKick(step_size=0.15, num_steps=1),
    "no weight of the proposal": Unweighed(proposal=PROPOSAL),
}


@pytest.mark.parametrize("t", [0.0, 0.3])
@pytest.mark.parametrize("move", CONTINUOUS.values(), ids=CONTINUOUS)
def test_moves_keep_an_uneven_mixture(move: Move, t: float) -> None:
    assert_keeps_the_mixture(move, t)


@pytest.mark.parametrize("move", BROKEN.values(), ids=BROKEN)
def test_the_mixture_rejects_broken_moves(move: Move) -> None:
    for t in (0.0, 0.3):
        rejected(assert_keeps_the_mixture, move, t)


def test_the_features_see_a_mode_or_a_width_a_few_percent_off() -> None:
    world, x = anisotropic(), anisotropic().draw(KEYS).double()
    assert_means(mixture_features(world, x, 0.0), mixture_means(world, 0.0))
    heavier = torch.cat([x, x[x[:, 0] < 0][: N // 12]])
    for wrong in (heavier, 1.05 * x):
        rejected(assert_means, mixture_features(world, wrong, 0.0), mixture_means(world, 0.0))


def test_independent_proposals_mix_modes() -> None:
    """All start in one mode, of which local moves never find the way out."""
    world = anisotropic()
    density, x = Density.marginal(world, 0.0), double([[-1.5, 0.0]]).expand(1000, 2)
    jumped = moved(IndependentMetropolis(proposal=PROPOSAL), density, x, 200).point.x
    assert_means(mixture_features(world, jumped, 0.0), mixture_means(world, 0.0))
    assert responsibilities(world, moved(MALA(step_size=0.15), density, x, 100).point.x, 0.0)[:, 0].min() > 0.9


# A skewed density, constrained spaces, forbidden regions ------------------------------------------------


def gumbel(x: Tensor) -> Tensor:
    return (x + (-x).exp()).sum(1)


def assert_keeps_gumbel(move: Move) -> None:
    """E[x] = γ, E[x²] = γ² + π²/6, E[e^{−x}] = 1."""
    x = -(-KEYS.uniform(1).log()).log()
    after = moved(move, Density.of_energy(gumbel, Euclidean((1,))), x, 10).point.x
    euler = 0.5772156649015329
    assert_means(torch.cat([after, after**2, (-after).exp()], 1), double([euler, euler**2 + torch.pi**2 / 6, 1.0]))


def test_moves_keep_a_skewed_density() -> None:
    for move in (MALA(step_size=0.8), HMC(step_size=0.5, num_steps=6)):
        assert_keeps_gumbel(move)
    for twin in (AlwaysAccepted(step_size=0.8, num_steps=1), HalfKick(step_size=0.8, num_steps=2)):
        rejected(assert_keeps_gumbel, twin)


def test_centred_points_stay_centred() -> None:
    """Springs to the middle: E[x²] = (1 − 1/3) σ² a coordinate, whatever the scales of the momenta."""
    space, sigma = Centered((3, 2)), 0.7
    density = Density.of_energy(lambda x: x.square().sum((1, 2)) / (2 * sigma**2), space)
    x = space.project(sigma * KEYS.normal(3, 2))
    scale = double([[1.0, 0.5], [0.3, 1.0], [0.8, 0.6]])
    after = moved(HMC(step_size=0.6, num_steps=3, scale=scale), density, x, 10)
    assert after.acceptance.mean() < 0.99  # there is something to reject
    assert_close(after.point.x.mean(1), torch.zeros(N, 2, dtype=F64), 1e-12)
    assert_means(after.point.x.flatten(1) ** 2, torch.full((6,), sigma**2 * 2 / 3, dtype=F64))


def test_points_that_do_not_exist_do_not_move() -> None:
    space = Euclidean((3,)).with_mask(torch.tensor([[True, False, True]]).expand(50, 3))
    x = space.project(KEYS[:50].normal(3))
    after = moved(HMC(), Density.of_energy(lambda x: x.square().sum(1) / 2, space), x, 3).point.x
    assert not after[:, 1].any()
    assert (after[:, [0, 2]] != x[:, [0, 2]]).any(0).all()


def gamma(x: Tensor) -> Tensor:
    """−log of the gamma density of shape 3: not a number where x < 0."""
    return (x - 2 * x.log()).sum(1)


def walled(x: Tensor) -> Tensor:
    """−log of the exponential density, the gamma density of shape 1: infinite where x < 0."""
    return torch.where(x < 0, torch.inf, x).sum(1)


def assert_stays_inside(move: Move, energy: Callable[[Tensor], Tensor], shape: int) -> None:
    x = -KEYS.uniform(shape).log().sum(1, keepdim=True)  # the sum of exponential numbers
    after = moved(move, Density.of_energy(energy, Euclidean((1,))), x, 10).point.x
    assert (after > 0).all()
    assert_means(torch.cat([after, after**2], 1), double([shape, shape * (shape + 1)]))


def test_what_is_not_finite_is_rejected() -> None:
    for move in (MALA(step_size=1.0), HMC(step_size=0.8, num_steps=5)):
        assert_stays_inside(move, gamma, 3)
        assert_stays_inside(move, walled, 1)
    rejected(assert_stays_inside, Trusting(step_size=0.8, num_steps=5), gamma, 3)


def test_a_leapfrog_that_diverges_is_rejected() -> None:
    density = Density.of_energy(lambda x: (x**4).sum(1), Euclidean((2,)))
    x = KEYS[:20].normal(2)
    after = moved(HMC(step_size=1e3, num_steps=20), density, x, 3)
    assert after.point.x.equal(x)
    assert after.acceptance.eq(0).all()
    assert after.point.values.isfinite().all()


def test_a_chain_leaves_what_is_forbidden() -> None:
    """From where the energy is infinite, the first finite proposal is taken."""
    density = Density.of_energy(walled, Euclidean((1,)))
    after = moved(HMC(step_size=0.3, num_steps=3), density, torch.full((200, 1), -0.5, dtype=F64), 20)
    assert (after.point.x > 0).all()
    assert density.log_p(density.at(double([[-1.0], [2.0]]))).tolist() == [-torch.inf, -2.0]


# Energy is conserved, to second order ---------------------------------------------------------------------


def assert_conserves(kind: type[HMC]) -> None:
    world = smooth()
    density = Density.marginal(world, 0.0)
    start, momentum = density.at(world.draw(KEYS[:200]).double()), KEYS[:200].fold("momentum").normal(2)
    errors = []
    for num_steps in (counts := (4, 8, 16, 32)):
        end, last = kind(num_steps=num_steps)._leapfrog(start, momentum, double(0.6 / num_steps), density)
        change = density.log_p(end) - density.log_p(start) + per_sample_sum(momentum**2 - last**2) / 2
        errors.append(change.abs().mean().item())
    assert 1.9 < convergence_order(counts, errors) < 2.1, errors


def test_the_leapfrogs_error_falls_as_the_square_of_its_step() -> None:
    assert_conserves(HMC)
    rejected(assert_conserves, Uphill)
    rejected(assert_conserves, HalfKick)


def test_mala_is_the_langevin_proposal() -> None:
    """x + step²/2 ∇ log p + step z, accepted by p(y) q(x | y) / p(x) q(y | x) as it is written in textbooks."""
    density, step = Density.marginal(smooth(), 0.0), 0.4
    x = smooth().draw(KEYS[:500]).double()
    here, z = density.at(x), KEYS[:500].fold("momentum").normal(2)
    y = x + step**2 / 2 * density.gradient(here) + step * z
    there = density.at(y)

    def log_q(to: Tensor, point: MCMCState) -> Tensor:
        return -per_sample_sum((to - point.x - step**2 / 2 * density.gradient(point)) ** 2) / (2 * step**2)

    ratio = density.log_p(there) - density.log_p(here) + log_q(x, there) - log_q(y, here)
    found = MALA(step_size=step).move(here, density, KEYS[:500])
    assert_close(found.acceptance, ratio.clamp(max=0).exp(), 1e-9)
    stays = (found.point.x == x).all(1)
    assert_close(found.point.x[~stays], y[~stays], 1e-12)
    assert 0.05 < stays.double().mean() < 0.8


# Trajectories that go astray ------------------------------------------------------------------------------


def stiff(x: Tensor) -> Tensor:
    """Its trajectories are stable for steps below 2/√2000 = .045."""
    return 1000 * x.square().sum(1)


def test_divergences_are_counted() -> None:
    x = 0.02 * Keys.of(0, 50).normal(2)
    density = Density.of_energy(stiff, Euclidean((2,)))
    calm, wild = (HMC(step_size=step, num_steps=20, jitter=0.0) for step in (0.01, 0.08))
    assert int(moved(calm, density, x, 3).divergences) == 0
    assert int(moved(wild, density, x, 3).divergences) == 150
    assert run(wild, density, x, Keys.of(1, 50), draws=2, thin=2).divergences == 200
    assert run(calm, density, x, Keys.of(1, 50), draws=2, thin=2).divergences == 0


def test_a_trajectory_to_no_number_has_diverged() -> None:
    """A wall is one, too, as in Stan."""
    density = Density.of_energy(lambda x: torch.where(x[:, 0] > 0, x.sum(1), torch.inf), Euclidean((2,)))
    found = moved(HMC(step_size=5.0, num_steps=1), density, Keys.of(0, 50).normal(2).abs(), 1)
    assert 0 < int(found.divergences) == int((found.acceptance == 0).sum())


# Tables over sequences ----------------------------------------------------------------------------------


def cells(world: Mixture, t: float) -> tuple[Tensor, Tensor]:
    """All pairs of states with their probabilities at time t."""
    states = torch.arange(world.space.states)  # pyright: ignore[reportAttributeAccessIssue]
    pairs = torch.cartesian_prod(states, states)
    return pairs, world.log_density(pairs, t).exp()


def assert_keeps_the_table(kind: str, move: Move, t: float, count: int = 8) -> None:
    world = sequences(kind)
    x = world.space.noise(world.draw(KEYS), t, KEYS.fold("noise"))
    after = moved(move, Density.marginal(world, t), x, count).point.x
    pairs, law = cells(world, t)
    counts = (after[:, None] == pairs).all(2).sum(0)
    possible = law > 1e-12
    assert not counts[~possible].any()
    assert (after != x).any(1).double().mean() > 0.3
    statistic, p = chi_square(counts[possible], law[possible] / law.sum())
    assert p > 0.01, f"chi-square {statistic:.1f}, p = {p:.2g}"


@pytest.mark.parametrize("t", [0.0, 0.4])
@pytest.mark.parametrize("kind", ["masked", "uniform", "substitution"])
@pytest.mark.parametrize("move", [Gibbs(), LocallyInformed()], ids=["gibbs", "informed"])
def test_tokens_keep_their_table(kind: str, move: Move, t: float) -> None:
    assert_keeps_the_table(kind, move, t)


def test_the_table_rejects_blind_draws() -> None:
    for t in (0.0, 0.4):
        rejected(assert_keeps_the_table, "masked", Blind(), t)


COSTS = double([[0.9, -0.5, 0.3], [-1.2, 0.1, 0.8], [0.4, 1.1, -0.7]])


def coupled_energy(code: Tensor) -> Tensor:
    """Two tokens with costs of their own and together; 0 of a mask."""
    return 2 * torch.einsum("ij,bi,bj->b", COSTS, code[:, 0, :3], code[:, 1, :3]) + code[:, 0, :3] @ COSTS[0]


def assert_finds_the_energy(move: Move, space: Categorical) -> None:
    """From one sequence to exp(−E), which says nothing of masks."""
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    law = (-coupled_energy(torch.nn.functional.one_hot(pairs, 3).double())).softmax(0)
    after = moved(move, Density.of_energy(coupled_energy, space), torch.zeros(N, 2, dtype=torch.int64), 60).point.x
    statistic, p = chi_square((after[:, None] == pairs).all(2).sum(0), law)
    assert p > 0.01, f"chi-square {statistic:.1f}, p = {p:.2g}"


@pytest.mark.parametrize("move", [Gibbs(), LocallyInformed()], ids=["gibbs", "informed"])
def test_tokens_find_an_energy(move: Move) -> None:
    for space in (Categorical.masked((2,), 3), Categorical.uniform((2,), 3)):
        assert_finds_the_energy(move, space)


def test_the_energy_rejects_a_proposal_without_its_way_back() -> None:
    rejected(assert_finds_the_energy, OneWay(), Categorical.uniform((2,), 3))
    rejected(assert_finds_the_energy, Blind(), Categorical.uniform((2,), 3))


@pytest.mark.parametrize("move", [Gibbs(), LocallyInformed()], ids=["gibbs", "informed"])
def test_tokens_that_do_not_exist_do_not_move(move: Move) -> None:
    mask = torch.tensor([[True, False, True]]).expand(200, 3)
    space = Categorical.uniform((3,), 4).with_mask(mask)
    x = space.noise(torch.ones(200, 3, dtype=torch.int64), 0.5, KEYS[:200])
    weights = double([0.0, 1.0, -1.0, 0.5])
    after = moved(move, Density.of_energy(lambda code: (code @ weights).sum(1), space), x, 20).point.x
    assert not after[:, 1].any()
    assert len(after[:, [0, 2]].unique()) == 4


# Temperatures -------------------------------------------------------------------------------------------

LADDER = (1.0, 0.6, 0.25, 0.0)


def level(beta: float, target: Mixture, spread: float | None) -> tuple[Tensor, Tensor]:
    """Mean and covariance of base^{1 − β} target^β, both Gaussian, the base about 0; without a base if it is None."""
    parts: Any = target.components
    precision = beta * torch.linalg.inv((parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT)[0])
    pull = precision @ parts.means[0]
    cov = torch.linalg.inv(precision + (0.0 if spread is None else (1 - beta) / spread**2) * torch.eye(2))
    return cov @ pull, cov


def assert_keeps_every_level(move: ParallelTempering, spread: float | None) -> None:
    """Exact draws of all levels stay exact draws of all levels."""
    target, n = single(), N // 2
    laws = [level(beta, target, spread) for beta in move.inverse_temperatures]
    z = Keys.of(5, n * len(laws)).normal(2).split(n)
    x = torch.cat([mean + part @ torch.linalg.cholesky(cov).T for (mean, cov), part in zip(laws, z, strict=True)])
    density = Density.marginal(target, 0.0)
    if spread is not None:
        density = density.from_base(wide(Euclidean((2,)), spread).log_prob)
    after = moved(move, density, x, 8).point.x
    for part, (mean, cov) in zip(after.split(n), laws, strict=True):
        assert_moments(part, mean, cov)


@pytest.mark.parametrize(("ladder", "spread"), [(LADDER, 2.0), (LADDER[:3], None)], ids=["with a base", "without"])
def test_tempering_keeps_every_level(ladder: tuple[float, ...], spread: float | None) -> None:
    inner = HMC(step_size=0.3, num_steps=4)
    assert_keeps_every_level(ParallelTempering(inverse_temperatures=ladder, inner=inner), spread)
    rejected(assert_keeps_every_level, WrongWay(inverse_temperatures=ladder, inner=inner), spread)
    rejected(
        assert_keeps_every_level,
        ParallelTempering(inverse_temperatures=ladder, inner=AlwaysAccepted(step_size=0.6, num_steps=2)),
        spread,
    )


def test_an_exchange_is_one_permutation_of_neighbours() -> None:
    gain = KEYS[:40].normal(5).T
    order, swap_acceptance = ParallelTempering(inverse_temperatures=(1.0, 0.8, 0.5, 0.2, 0.0))._exchange(
        gain, Keys.of(3, 200)
    )
    assert order.sort().values.equal(torch.arange(200))
    assert ((order.reshape(5, 40) % 40) == torch.arange(40)).all()  # a chain exchanges with itself, at the next level
    way = order.reshape(5, 40) // 40 - torch.arange(5)[:, None]
    assert way.abs().max() == 1
    tried = ~swap_acceptance.isnan()
    assert tried.tolist() in ([True, False, True, False], [False, True, False, True])


@pytest.mark.parametrize("ladder", [(), (0.9, 0.5), (1.0, 1.0), (1.0, 0.5, 0.7), (1.0, -0.1)])
def test_ladders_that_do_not_fall_from_one_are_refused(ladder: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="inverse temperatures fall from 1"):
        ParallelTempering(inverse_temperatures=ladder)


# As kernels of a sampler ----------------------------------------------------------------------------------


def walk(move: Any, steps: int, n: int = 2000) -> SamplerState:
    world = anisotropic()
    kernels = (Predictor(),) if move is None else (Predictor(), move)
    return Sampler(log_snr(steps, world.space), kernels).end(world, Keys.of(2, n))


def test_between_the_steps_of_a_sampler_moves_keep_the_law() -> None:
    found = walk(MALA(count=2), 24)
    assert_same_law(found.x, anisotropic())
    rejected(assert_same_law, walk(AlwaysAccepted(step_size=2.0, num_steps=1, jitter=0.0), 24).x, anisotropic())


def test_moves_mend_what_few_steps_leave() -> None:
    """Deterministic steps, too few of them, and Langevin moves at each noise level."""
    world, exact = anisotropic(), anisotropic().draw(Keys.of(8, 2000))

    def off(*kernels: Any) -> float:
        return sliced_wasserstein(Sampler(log_snr(8, world.space), kernels).run(world, Keys.of(2, 2000)), exact)

    assert off(Predictor(0.0), HMC(count=4, step_size=0.4, num_steps=4)) < 0.6 * off(Predictor(0.0))


@pytest.mark.parametrize("t", [0.5, torch.tensor([0.5, 0.3, 0.7], dtype=F64)], ids=["one time", "a time a sample"])
def test_a_move_says_what_it_did_to_the_walk(t: Any) -> None:
    world, keys = anisotropic(), Keys.of(0, 3)
    before = Predictor()(SamplerState(world.space.prior(keys), 1.0, world.space), t, world, {}, keys)
    after = HMC(count=2, num_steps=3, warmup=4)(before, t, world, {}, keys.fold("move"))
    assert after.acceptance is not None
    assert after.acceptance.shape == (3,)
    assert after.t is t
    assert after.x.dtype == before.x.dtype
    assert after.nfe - before.nfe == 1 + (4 + 2) * 3
    assert after.transition is None  # it was not drawn from the predictor's any more
    assert after.belief is before.belief


def test_a_time_a_sample_is_as_good_as_one_time() -> None:
    world, keys, t = anisotropic(), Keys.of(0, 3), double([0.2, 0.5, 0.0])
    x = world.space.noise(world.draw(keys), t, keys.fold("noise"))
    together = MALA()(SamplerState(x, t, world.space), t, world, {}, keys).x
    for i, time in enumerate(t.tolist()):
        alone = MALA()(SamplerState(x[i : i + 1], time, world.space), time, world, {}, keys[i : i + 1]).x
        assert_close(alone, together[i : i + 1], 1e-6)


def test_conditions_reach_the_density() -> None:
    """Labelled exact draws stay within their label's modes."""
    world = anisotropic()
    labels = torch.arange(N) % 2
    shares = torch.where(labels[:, None] == double([0.0, 1, 1]), world.weights, 0.0)
    x = world.components.draw(torch.multinomial(shares, 1, generator=torch.Generator().manual_seed(0))[:, 0], KEYS)
    after = HMC(step_size=8.0, num_steps=30, count=3)(
        SamplerState(x, 0.0, world.space), 0.0, world, {"label": labels}, KEYS
    ).x
    of_first = responsibilities(world, after.double(), 0.0)[:, 0]
    assert of_first[labels == 0].mean() > 0.99
    assert of_first[labels == 1].mean() < 0.01


@pytest.mark.parametrize(
    "move", [MALA(), HMC(), IndependentMetropolis(proposal=PROPOSAL)], ids=lambda move: type(move).__name__
)
def test_continuous_moves_conform(move: Move) -> None:
    energy = Density.of_energy(lambda x: x.square().sum(1) / 2, Euclidean((2,)))
    assert check_kernel(replace(move, density=energy, count=3), anisotropic()) == 8


@pytest.mark.parametrize("move", [Gibbs(), LocallyInformed()], ids=lambda move: type(move).__name__)
def test_moves_of_tokens_conform(move: Move) -> None:
    world = sequences("uniform")
    assert check_kernel(replace(move, density=Density.of_energy(coupled_energy, world.space)), world) == 8


@pytest.mark.parametrize("move", [MALA(), HMC(), Gibbs(), LocallyInformed()], ids=lambda move: type(move).__name__)
def test_a_chain_does_not_depend_on_its_batch(move: Move) -> None:
    world = sequences("uniform") if isinstance(move, Gibbs | LocallyInformed) else anisotropic()
    density, x = Density.marginal(world, 0.2), world.draw(KEYS[:6])
    together = moved(move, density, x, 5).point.x
    for i in range(6):
        alone = repeated(move, density.at(x[i : i + 1]), density, KEYS[i : i + 1], 5).point.x
        assert_close(alone, together[i : i + 1], 1e-6)


# What is wrong is said ----------------------------------------------------------------------------------


def test_settings_without_a_meaning_are_refused() -> None:
    for name, value in (("count", 0), ("warmup", -1), ("num_steps", 0), ("jitter", 1.0), ("smallest", 0.0)):
        options: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=f"{name}={value}"):
            HMC(**options)


def test_an_energy_must_be_one_number_a_sample() -> None:
    for energy, found in ((lambda x: x, r"\(3, 2\)"), (lambda x: x.sum(), r"\(\)"), (lambda x: 1.0, "float")):
        for slopes in (True, False):
            with pytest.raises(InputError, match=rf"must be of shape \(3,\), found {found}"):
                Density.of_energy(energy, Euclidean((2,))).at(torch.zeros(3, 2), slopes)  # pyright: ignore[reportArgumentType]


def test_states_of_several_parts_are_refused() -> None:
    with pytest.raises(InputError, match="move one tensor of numbers or categories, not dict"):
        Density.of_energy(lambda x: x, Euclidean((2,))).at({"x": torch.zeros(3, 2)})
