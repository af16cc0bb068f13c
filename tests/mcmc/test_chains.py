"""Chains: steps that learn their acceptance and then stand still, diagnostics that see what is stuck, temperatures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import isnan
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.keys import Keys
from ornstein.mcmc.chains import Chains, levels_of, run
from ornstein.mcmc.densities import Density, MCMCState
from ornstein.mcmc.moves import HMC, MALA, Gibbs, IndependentMetropolis, LocallyInformed, Move, TransitionInfo, warmed
from ornstein.mcmc.proposals import wide
from ornstein.mcmc.step_size import DualAveraging
from ornstein.mcmc.tempering import ParallelTempering
from ornstein.spaces import Categorical, Euclidean, Gaussian
from worlds import anisotropic, assert_close, double, rejected

PLANE, LINE = Euclidean((2,)), Euclidean((1,))
ABOUT = Gaussian(double([[0.5, -1.5]]), 1.6, PLANE)
CORRELATED = torch.linalg.inv(double([[1.0, 0.8], [0.8, 1.0]]))


def correlated(x: Tensor) -> Tensor:
    """−log of a Gaussian about (1, −2) with unit variances and correlation .8."""
    off = x - double([1.0, -2.0])
    return ((off @ CORRELATED) * off).sum(1) / 2


def start(n: int, d: int = 2) -> Tensor:
    return 3 * Keys.of(9, n).normal(d)


# Steps ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Deaf(HMC):
    """A broken twin: keeps the step it was given."""

    def with_step(self, step: Tensor) -> "Deaf":
        return self


def assert_learns(move: HMC, goal: float) -> None:
    found = run(move, Density.of_energy(correlated, PLANE), start(50), Keys.of(0, 50), draws=60, warmup=150)
    assert found.acceptance.item() == pytest.approx(goal, abs=0.06)


@pytest.mark.parametrize("first", [1e-3, 0.3, 30.0])
def test_warm_ups_reach_the_acceptance_asked_for(first: float) -> None:
    for move in (MALA(step_size=first), MALA(step_size=first, target_accept=0.75), HMC(step_size=first, num_steps=3)):
        assert_learns(move, move.target_accept)
    rejected(assert_learns, Deaf(step_size=first, num_steps=1, target_accept=0.574), 0.574)


def test_the_step_is_frozen_at_its_average() -> None:
    density, keys = Density.of_energy(correlated, PLANE), Keys.of(0, 20)
    found = run(HMC(), density, start(20), keys, draws=3, warmup=40)
    move, point = warmed(HMC(), density, density.at(start(20)), keys.fold("warmup"), 40)
    assert_close(found.move.tuned_step, move.tuned_step)
    again = run(move, density, point.x, keys, draws=3)
    assert_close(again.move.tuned_step, move.tuned_step)
    assert again.x.equal(found.x)  # the draws are those of the frozen step, from where the warm-up ended


def test_dual_averaging_is_hoffman_and_gelmans() -> None:
    """Three updates by their formulas, for two groups of chains."""
    state, goal = DualAveraging.start(double([0.5, 2.0]), 0.8), 0.8
    log, mean, surplus = state.now, state.now, torch.zeros(2).double()
    centre = double([5.0, 20.0]).log()
    for k, rates in enumerate(double([[0.1, 0.3, 0.9, 1.0], [0.5, 0.5, 1.0, 1.0], [0.9, 0.8, 0.6, 0.2]]), start=1):
        surplus = (1 - 1 / (k + 10)) * surplus + (goal - rates.reshape(2, 2).mean(1)) / (k + 10)
        log = centre - k**0.5 / 0.05 * surplus
        mean = k**-0.75 * log + (1 - k**-0.75) * mean
        state = state.learn(rates)
    assert_close(state.now, log, 1e-2)  # it starts at log 10 rounded to 2.3
    assert_close(state.mean, mean, 1e-2)


def test_moves_without_a_step_have_no_warm_up() -> None:
    move = Gibbs()
    density = Density.of_energy(lambda code: code[:, 0, 1], Categorical.uniform((1,), 3))
    point = density.at(torch.zeros(4, 1, dtype=torch.int64), with_gradients=False)
    found, same = warmed(move, density, point, Keys.of(0, 4), 10)
    assert found is move
    assert same is point


# Diagnostics ------------------------------------------------------------------------------------------


def chains_of(x: Tensor) -> Chains:
    return Chains(x, -(x**2).sum(2) / 2, double(0.7), None, MALA(), 0)


def test_independent_draws_are_worth_their_number() -> None:
    found = chains_of(Keys.of(1, 500).normal(4, 2))
    assert found.r_hat < 1.01
    assert 1600 < found.ess < 2400


def test_chains_that_disagree_are_not_worth_much() -> None:
    x = Keys.of(1, 500).normal(4, 2)
    apart = x + double([[0.0], [0.0], [0.0], [3.0]])
    assert chains_of(apart).r_hat > 1.2
    assert chains_of(apart).ess < 40
    wandering = Keys.of(1, 500).normal(4, 2).cumsum(0)
    assert chains_of(wandering).r_hat > 1.1
    narrow = torch.cat([x[:, :3], 0.1 * x[:, 3:]], 1)  # the same mean, another width
    assert chains_of(narrow).r_hat > 1.1


def test_chains_that_are_stuck_say_so() -> None:
    still = Keys.of(1, 4).normal(2).expand(100, 4, 2)
    assert chains_of(still).r_hat > 100
    assert chains_of(still).ess < 5
    one = torch.zeros(100, 4, 2)
    assert isnan(chains_of(one).r_hat)
    assert isnan(chains_of(one).ess)
    half = torch.cat([Keys.of(1, 500).normal(4, 1), torch.ones(500, 4, 1).double()], 2)  # a coordinate that is fixed
    assert chains_of(half).r_hat < 1.01


# Long chains ------------------------------------------------------------------------------------------


def assert_correlated(found: Chains) -> None:
    """Mean and covariance within five standard errors, by the effective sample size."""
    x, cov = found.x.flatten(0, 1), torch.linalg.inv(CORRELATED)
    error = 1 / found.ess**0.5
    assert ((x.mean(0) - double([1.0, -2.0])).abs() < 5 * error).all()
    assert ((torch.cov(x.T) - cov).abs() < 5 * 2**0.5 * error).all()


@pytest.mark.parametrize(
    "move", [HMC(num_steps=4), MALA(), IndependentMetropolis(proposal=ABOUT)], ids=["hmc", "mala", "indep"]
)
def test_long_chains_forget_their_start(move: Move) -> None:
    found = run(move, Density.of_energy(correlated, PLANE), start(20), Keys.of(0, 20), draws=200, warmup=100, thin=3)
    assert found.r_hat < 1.03
    assert found.ess > 300
    assert_correlated(found)
    rejected(assert_correlated, replace(found, x=1.1 * found.x))
    assert_close(found.log_p, -correlated(found.x.flatten(0, 1)).reshape(200, 20))


def test_chains_of_tokens() -> None:
    costs = double([0.3, -0.5, 1.0])
    density = Density.of_energy(lambda code: (code @ costs).sum(1), Categorical.uniform((3,), 3))
    found = run(LocallyInformed(), density, torch.zeros(20, 3, dtype=torch.int64), Keys.of(0, 20), draws=300, thin=2)
    shares = torch.bincount(found.x[50:].flatten()).double() / found.x[50:].numel()
    assert_close(shares, (-costs).softmax(0), 0.02)
    assert found.r_hat < 1.03


def test_the_same_seed_gives_the_same_chain_whatever_the_batch() -> None:
    density = Density.of_energy(correlated, PLANE)
    both = [run(HMC(), density, start(6), Keys.of(3, 6), draws=5, thin=2) for _ in range(2)]
    assert both[0].x.equal(both[1].x)
    alone = run(HMC(), density, start(6)[4:5], Keys.of(3, range(4, 5)), draws=5, thin=2)
    assert_close(alone.x, both[0].x[:, 4:5], 1e-12)
    assert not run(HMC(), density, start(6), Keys.of(4, 6), draws=5, thin=2).x.equal(both[0].x)


def counted(energy: Callable[[Tensor], Tensor]) -> tuple[Callable[[Tensor], Tensor], list[int]]:
    """The energy, and the sizes of the batches it was asked for."""
    seen: list[int] = []

    def asked(x: Tensor) -> Tensor:
        seen.append(len(x))
        return energy(x)

    return asked, seen


@pytest.mark.parametrize(
    "move", [HMC(num_steps=3), MALA(), ParallelTempering(inverse_temperatures=(1.0, 0.5, 0.2), inner=HMC(num_steps=2))]
)
def test_gradients_are_counted_one_by_one(move: Move) -> None:
    energy, seen = counted(correlated)
    density = Density.of_energy(energy, PLANE)
    found = run(move, density, start(12), Keys.of(0, 12), draws=4, warmup=5, thin=2)
    num_steps = move.inner.num_steps if isinstance(move, ParallelTempering) else move.num_steps  # pyright: ignore[reportAttributeAccessIssue]
    assert found.gradients == sum(seen) == 12 * (1 + (5 + 4 * 2) * num_steps)
    again = run(move, density, start(12), Keys.of(0, 12), draws=1)
    assert again.gradients == 12 * (1 + num_steps)  # those of one run alone
    assert density.tally.values == 0


def test_values_are_counted_where_no_gradient_is_taken() -> None:
    energy, seen = counted(lambda code: code[:, 0, 0] - code[:, 1, 2])
    density = Density.of_energy(energy, Categorical.uniform((2,), 3))
    found = run(Gibbs(), density, torch.zeros(5, 2, dtype=torch.int64), Keys.of(0, 5), draws=4)
    assert found.gradients == density.tally.values == sum(seen) == 5 * (1 + 4 * 3)


@pytest.mark.parametrize("options", [{"draws": 0}, {"draws": 3, "thin": 0}])
def test_chains_without_draws_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="draws and thin are 1 or more"):
        run(MALA(), Density.of_energy(correlated, PLANE), start(4), Keys.of(0, 4), **options)
    with pytest.raises(ValueError, match="2 levels"):
        run(
            ParallelTempering(inverse_temperatures=(1.0, 0.5)),
            Density.of_energy(correlated, PLANE),
            start(3),
            Keys.of(0, 3),
            draws=1,
        )


# Temperatures -----------------------------------------------------------------------------------------


def two_wells(x: Tensor) -> Tensor:
    """−log of .3 N(−3, .4²) + .7 N(3, .8²), which has Z = 1."""
    means, stds, weights = double([-3.0, 3.0]), double([0.4, 0.8]), double([0.3, 0.7])
    log_p = -((x - means) ** 2) / (2 * stds**2) - stds.log() + weights.log()
    return -log_p.logsumexp(1)


def two_wells_draws(n: int) -> Tensor:
    keys = Keys.of(11, n)
    left = keys.fold("well").uniform(1) < 0.3
    return torch.where(left, -3 + 0.4 * keys.normal(1), 3 + 0.8 * keys.normal(1))


@dataclass(frozen=True, kw_only=True)
class Apart(ParallelTempering):
    """A broken twin: its temperatures do not exchange."""

    def _exchange(self, gain: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
        order, swap_acceptance = super()._exchange(gain, keys)
        return torch.arange(len(order)), swap_acceptance


@dataclass(frozen=True, kw_only=True)
class Eager(ParallelTempering):
    """A broken twin: always exchanges."""

    def _exchange(self, gain: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
        return super()._exchange(torch.zeros_like(gain), keys)


@dataclass(frozen=True, kw_only=True)
class WrongWay(ParallelTempering):
    """A broken twin: the sign of the exchange."""

    def _exchange(self, gain: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
        return super()._exchange(-gain, keys)


LADDER = (1.0, 0.5, 0.25, 0.12, 0.06)
WITH_BASE = (1.0, 0.5, 0.2, 0.06, 0.0)


@cache
def tempered(kind: type[ParallelTempering], based: bool, n: int = 100) -> Chains:
    density = Density.of_energy(two_wells, LINE)
    density = density.from_base(wide(LINE, 4.0).log_prob) if based else density
    move = kind(inverse_temperatures=WITH_BASE if based else LADDER, inner=HMC(step_size=0.2, num_steps=4))
    x = levels_of(double([[-3.0]]).expand(n, 1), move.inverse_temperatures)
    return run(move, density, x, Keys.of(0, len(x)), draws=40, warmup=60, thin=2)


def assert_wells(found: Chains) -> None:
    """All chains started in the lesser well; the later half of each counts once."""
    x = found.x[20:, :, 0]
    features = torch.stack([(x > 0).double(), x, x**2, two_wells(x.reshape(-1, 1)).reshape(x.shape)], 2).mean(0)
    exact = two_wells_draws(200_000)
    expected = torch.cat([double([0.7, 1.2, 9 + 0.3 * 0.16 + 0.7 * 0.64]), two_wells(exact).mean()[None]])
    errors = (features.mean(0) - expected) / (features.std(0).clamp(min=0.1) / len(features) ** 0.5)
    assert errors.abs().max() < 4, errors.tolist()


@pytest.mark.parametrize("based", [True, False], ids=["with a base", "without"])
def test_tempering_finds_the_weights_of_modes(based: bool) -> None:
    found = tempered(ParallelTempering, based)
    assert_wells(found)
    assert found.x.shape == (40, 100, 1)
    for twin in (Apart, Eager, WrongWay):
        rejected(assert_wells, tempered(twin, based))
    stuck = tempered(Apart, based)
    assert (stuck.x > 0).double().mean() < 0.05
    assert stuck.r_hat < 1.05  # chains that have all missed a mode agree: R̂ alone is no proof


def test_every_temperature_learns_its_own_step() -> None:
    found = tempered(ParallelTempering, True)
    assert found.acceptance.shape == (5,)
    assert (found.acceptance - 0.8).abs().max() < 0.06
    steps = found.move.tuned_step
    assert steps is not None
    assert (steps.diff() > 0).all()  # the hotter, the wider
    assert found.swap_acceptance is not None
    assert found.swap_acceptance.shape == (4,)
    assert ((found.swap_acceptance > 0.1) & (found.swap_acceptance < 1)).all()
    assert tempered(Apart, True).swap_acceptance is not None
    assert (
        run(MALA(), Density.of_energy(two_wells, LINE), double([[3.0]]), Keys.of(0, 1), draws=2).swap_acceptance is None
    )


def test_the_cold_level_alone_is_kept() -> None:
    found = tempered(ParallelTempering, True)
    assert_close(found.log_p, -two_wells(found.x.flatten(0, 1)).reshape(40, 100))
    x = levels_of(torch.arange(3.0)[:, None], LADDER)
    assert x.shape == (15, 1)
    assert x.reshape(5, 3).eq(torch.arange(3)).all()


def test_a_point_that_is_moved_keeps_its_values() -> None:
    """What a chain carries on from draw to draw is what its density says there."""
    density = Density.of_energy(correlated, PLANE).from_base(wide(PLANE, 3.0).log_prob).at_weights(0.4, 0.6)
    point = density.at(start(30))
    moved: TransitionInfo = HMC(step_size=0.5).move(point, density, Keys.of(0, 30))
    fresh: MCMCState = density.at(moved.point.x)
    assert_close(moved.point.values, fresh.values)
    assert moved.point.gradients is not None
    assert fresh.gradients is not None
    assert_close(moved.point.gradients, fresh.gradients)
    assert_close(density.log_p(fresh), 0.4 * fresh.values[0] + 0.6 * fresh.values[1])


def test_a_weight_of_nothing_leaves_out_what_is_infinite() -> None:
    density = Density.of_energy(lambda x: torch.full_like(x[:, 0], torch.inf), PLANE).from_base(
        wide(PLANE, 1.0).log_prob
    )
    point = density.at(start(3))
    assert density.log_p(point).isfinite().all()
    assert density.at_weights(0.9, 0.1).log_p(point).eq(-torch.inf).all()
    chosen = density.at_weights(double([1.0, 0.5, 1.0]), double([0.0, 0.5, 0.0])).log_p(point)
    assert chosen.isfinite().tolist() == [True, False, True]


def test_the_mixture_of_the_worlds_by_tempering() -> None:
    """Three thin modes in the plane, all chains from one of them."""
    world = anisotropic()
    density = Density.marginal(world, 0.0).from_base(wide(PLANE, 1.6).log_prob)
    move = ParallelTempering(inverse_temperatures=(1.0, 0.45, 0.18, 0.06, 0.0), inner=HMC(step_size=0.1, num_steps=4))
    x = levels_of(double([[-1.5, 0.0]]).expand(150, 2), move.inverse_temperatures)
    found = run(move, density, x, Keys.of(0, len(x)), draws=1, warmup=50, thin=100)
    shares = (world.weights.log() + world.components.log_likelihood(found.x[-1], 0.0)).softmax(1)
    errors = (shares.mean(0) - world.weights) / (shares.std(0) / 150**0.5)
    assert errors.abs().max() < 4
