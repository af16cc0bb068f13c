"""Categorical moves are Bayes' rule for their Markov chain, their probabilities sum to 1, and draws follow them."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein.beliefs import Belief, Probs
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.schedules import Cosine, Linear, Polynomial, RectifiedFlow, VarianceExploding
from ornstein.spaces import Categorical, Choice, RedrawKernel, Substitution
from ornstein.spaces.categorical import draw
from worlds import RATES, assert_close, assert_frequencies, double, rejected

RATE = RATES - torch.diag(RATES.sum(1))
PI = double([0.5, 0.2, 0.3])
SPACES = {
    "masked": Categorical.masked((2,), 3),
    "uniform": Categorical.uniform((2,), 3, Cosine()),
    "substitution": Categorical.substitution((2,), RATE),
    "resample": Categorical((2,), 3, RedrawKernel(PI)),
}
CHAINS = {name: space.chain for name, space in SPACES.items()}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
levels = st.floats(0.01, 0.99)
N = 8000


def matrix(chain: Any, alpha: Any) -> Tensor:
    """Q_α, written out."""
    states = len(chain.stationary)
    return chain.push(double(alpha).expand(states), torch.eye(states, dtype=torch.float64))


# Chains -----------------------------------------------------------------------------------------------


@every_chain
@given(alpha=levels, beta=levels)
def test_chains_compose(chain: Any, alpha: float, beta: float) -> None:
    assert_close(matrix(chain, alpha) @ matrix(chain, beta), matrix(chain, alpha * beta))


@every_chain
@given(alpha=levels)
def test_kernels_are_stochastic_and_keep_the_stationary_law(chain: Any, alpha: float) -> None:
    q = matrix(chain, alpha)
    assert (q >= -1e-12).all()
    assert_close(q.sum(1), torch.ones_like(q[0]))
    assert_close(chain.stationary @ q, chain.stationary)


@every_chain
@given(alpha=levels)
def test_columns_are_columns(chain: Any, alpha: float) -> None:
    x = torch.arange(len(chain.stationary))
    assert_close(chain.column(double(alpha), x), matrix(chain, alpha).T)


@every_chain
def test_chains_run_from_identity_to_forgetting(chain: Any) -> None:
    eye = torch.eye(len(chain.stationary), dtype=torch.float64)
    assert_close(matrix(chain, 1.0), eye)
    assert_close(matrix(chain, 0.0), chain.stationary.expand_as(eye), 1e-9)


def test_substitution_is_scaled_to_one_change_a_unit() -> None:
    chain = Substitution(17 * RATE)
    changes = 1 - (chain.stationary * matrix(chain, 1 - 1e-6).diagonal()).sum()
    assert changes.item() == pytest.approx(1e-6, rel=1e-4)
    assert_close(matrix(chain, 0.3), matrix(Substitution(RATE), 0.3))


def test_a_rate_matrix_must_be_one() -> None:
    with pytest.raises(ValueError, match="rows that sum to 0"):
        Substitution(RATES)
    with pytest.raises(ValueError, match="non-negative off-diagonal"):
        Substitution(-RATE)


# Draws ------------------------------------------------------------------------------------------------


def test_draws_follow_their_probabilities() -> None:
    assert_frequencies(draw(PI.expand(N, 1, 3), Keys.of(0, N)), PI)


def test_frequency_test_rejects_a_lowered_temperature() -> None:
    sharper = (PI**1.15 / (PI**1.15).sum()).expand(N, 1, 3)
    rejected(assert_frequencies, draw(sharper, Keys.of(0, N)), PI)


@given(st.integers(0, 2**60), st.integers(0, 3))
def test_what_has_no_probability_is_never_drawn(seed: int, hole: int) -> None:
    probs = torch.ones(64, 4, dtype=torch.float64)
    probs[:, hole] = 0
    assert (draw(probs, Keys.of(seed, 64)) != hole).all()


@every_space
def test_noise_has_the_rows_of_the_kernel(space: Categorical) -> None:
    x0 = torch.tensor([[0, 2]]).expand(N, 2)
    q = matrix(space.chain, space.schedule.alpha(0.4))
    expected = q[0][:, None] * q[2][None, :]
    found = space.noise(x0, 0.4, Keys.of(3, N))
    possible = expected.flatten() > 0
    counts = torch.bincount(found[:, 0] * space.states + found[:, 1], minlength=space.states**2)
    assert counts[~possible].sum() == 0
    error = (counts[possible] - N * expected.flatten()[possible]) / (N * expected.flatten()[possible]).sqrt()
    assert (error.abs() < 4.5).all()


# Steps ------------------------------------------------------------------------------------------------


def posterior(space: Categorical, belief: Tensor, x_t: int, t: float, s: float) -> Tensor:
    """Σ_i p(i | x_t) q(x_s | x_t, x₀ = i) from the matrices of the chain."""
    a_t, a_s = space.schedule.alpha(t), space.schedule.alpha(s)
    q_s, q_t, q_ts = (matrix(space.chain, a) for a in (a_s, a_t, a_t / a_s))
    bridges = q_s * q_ts[:, x_t] / q_t[:, [x_t]].clamp(min=1e-300)
    return torch.where(belief > 0, belief, 0.0) @ bridges


Step = Callable[[Categorical, Tensor, Belief, float, float], Choice]


def forgetful(space: Categorical, x_t: Tensor, belief: Belief, t: float, s: float) -> Choice:
    """A broken twin: forgets the column Q_{t|s}[·, x_t]."""
    pushed = space.chain.push(space.schedule.alpha(s), belief.mean)
    return Choice(pushed.log(), x_t)


def assert_bayes(space: Categorical, step: Step) -> None:
    """The move equals the posterior of the chain from every state that is possible."""
    t, s = 0.7, 0.4
    output = double([[[0.3, -1.0, 0.5]] * 2])
    for state in range(space.states):
        x_t = torch.full((1, 2), state)
        belief = space.belief(output, x_t, t)
        found = step(space, x_t, belief, t, s).log_probs.exp()[0, 0]
        assert_close(found, posterior(space, belief.mean[0, 0], state, t, s), 1e-9)


@every_space
def test_step_is_bayes_rule(space: Categorical) -> None:
    assert_bayes(space, lambda *args: args[0].step(*args[1:]))


@every_space
def test_bayes_test_rejects_a_step_that_forgets_what_is_seen(space: Categorical) -> None:
    rejected(assert_bayes, space, forgetful)


def assert_undoes_noise(space: Categorical, step: Step) -> None:
    """x₀ noised to t and moved to s under certainty is distributed as x₀ noised to s, on all pairs of states."""
    x0 = torch.tensor([[0, 2]]).expand(N, 2)
    x_t = space.noise(x0, 0.7, Keys.of(4, N))
    x_s = step(space, x_t, space.point_mass(x0), 0.7, 0.4).sample(Keys.of(5, N))
    q = matrix(space.chain, space.schedule.alpha(0.4))
    expected = q[0][:, None] * q[2][None, :]
    floor = torch.where(expected > 0, 0.0, 1e-9)  # what is impossible must not occur: any count there is infinite
    assert_frequencies(x_s, expected + floor)


@every_space
def test_step_undoes_noise(space: Categorical) -> None:
    assert_undoes_noise(space, lambda *args: args[0].step(*args[1:]))


@every_space
def test_marginal_test_rejects_a_step_that_forgets_what_is_seen(space: Categorical) -> None:
    def smoothed(space: Categorical, x_t: Tensor, belief: Belief, t: float, s: float) -> Choice:
        """A second broken twin: an unconditional draw with the wrong survival."""
        pushed = space.chain.push(space.schedule.alpha((s + t) / 2), belief.mean)
        return Choice(pushed.log(), x_t)

    rejected(assert_undoes_noise, space, smoothed)


@every_space
def test_last_step_draws_from_the_belief(space: Categorical) -> None:
    output, x_t = double([[[0.3, -1.0, 0.5]] * 2]), space.prior(Keys.of(1, 1))
    belief = space.belief(output, x_t, 0.6)
    assert_close(space.step(x_t, belief, 0.6, 0.0).log_probs.exp(), belief.mean)


@every_space
def test_times_per_position_are_positions_moved_on_their_own(space: Categorical) -> None:
    keys = Keys.of(2, 3)
    x0 = torch.tensor([[0, 1], [2, 2], [1, 0]])
    t, s = keys.uniform(2), 0.5 * keys.uniform(2)
    x_t = space.noise(x0, t, keys)
    belief = space.belief(keys.normal(2, 3), x_t, t)
    found = space.step(x_t, belief, t, s).log_probs.exp()
    for i, p in product(range(3), range(2)):
        alone = space.step(x_t, belief, t[i, p].item(), s[i, p].item()).log_probs.exp()
        assert_close(found[i, p], alone[i, p])


@every_space
def test_probabilities_of_all_states_sum_to_one(space: Categorical) -> None:
    every = torch.cartesian_prod(torch.arange(space.states), torch.arange(space.states))
    x_t = space.prior(Keys.of(1, 1)).expand(len(every), 2)
    belief = space.belief(double([[[0.3, -1.0, 0.5], [1.0, 0.2, 0.0]]]).expand(len(every), 2, 3), x_t, 0.6)
    total = space.step(x_t, belief, 0.6, 0.3).log_prob(every).exp().sum()
    assert_close(total, double(1.0))


def test_masked_positions_stay_and_do_not_count() -> None:
    mask = torch.tensor([[True, False]])
    space = Categorical.uniform((2,), 3).with_mask(mask)
    every = torch.tensor([[0, 0], [1, 0], [2, 0]])
    x_t = torch.tensor([[1, 0]])
    wide = Categorical.uniform((2,), 3).with_mask(mask.expand(3, 2))
    belief = Probs(torch.zeros(3, 2, 3, dtype=torch.float64))
    move = wide.step(x_t.expand(3, 2), belief, 0.6, 0.3)
    assert_close(move.log_prob(every).exp().sum(), double(1.0))
    assert (move.sample(Keys.of(0, 3))[:, 1] == 0).all()
    assert space.noise(torch.tensor([[2, 2]]), 0.9, Keys.of(0, 1))[0, 1] == 0


# Masked diffusion -------------------------------------------------------------------------------------


def test_kept_tokens_are_certain() -> None:
    space, x_t = SPACES["masked"], torch.tensor([[1, 3]])
    belief = space.belief(torch.zeros(1, 2, 3), x_t, 0.5)
    assert_close(belief.mean[0, 0].double(), double([0, 1, 0, 0]))
    assert belief.mean[0, 1, 3] == 0
    assert_close(space.step(x_t, belief, 0.5, 0.2).log_probs.exp()[0, 0], double([0, 1, 0, 0]))


def test_elbo_weighted_loss_bounds_the_likelihood() -> None:
    """The loss of the true belief about one independent token, integrated over time, is its entropy."""
    space, probs, n = Categorical.masked((1,), 3), PI, 20000
    keys = Keys.of(6, n)
    x0, t = draw(probs.expand(n, 1, 3), keys), keys.fold("t").uniform()
    x_t = space.noise(x0, t, keys.fold("noise"))
    belief = space.belief(probs.log().expand(n, 1, 3), x_t, t)
    t_weighted = space.loss(belief, x0, x_t, t) * (t > 1e-3)
    entropy = -(probs * probs.log()).sum().item()
    assert t_weighted.mean().item() == pytest.approx(entropy, abs=0.1)


@pytest.mark.parametrize("weighting", ["elbo", "counted"])
@pytest.mark.parametrize("power", [1.0, 3.0])
def test_losses_of_masks_bound_the_likelihood_at_any_pace(weighting: Any, power: float) -> None:
    """Of the true belief about independent tokens the loss is their entropy, whenever they are forgotten."""
    space = replace(Categorical.masked((4,), 3, Polynomial(power)), weighting=weighting)
    _require_entropy(space)
    slowed = replace(space, schedule=Polynomial(1.5 * power))  # noised by one clock, weighed by another
    rejected(lambda noised: _require_entropy(space, noised), slowed)


def _require_entropy(space: Categorical, noised: Categorical | None = None) -> None:
    n, keys = 4000, Keys.of(7, 4000)
    t = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    x0 = draw(PI.expand(n, 4, 3), keys)
    x_t = (noised or space).noise(x0, t, keys.fold("noise"))
    loss = space.loss(space.belief(PI.log().expand(n, 4, 3), x_t, t), x0, x_t, t)
    assert loss.mean().item() == pytest.approx(-(PI * PI.log()).sum().item(), abs=0.05)


def test_masks_are_counted_where_they_are_all_that_is_left() -> None:
    for space in (Categorical.uniform((2,), 3), Categorical.masked((2,), 3, Linear())):
        with pytest.raises(InputError, match="ends in masks alone"):
            replace(space, weighting="counted")


def test_loss_is_proper() -> None:
    space = Categorical.uniform((1,), 3)
    x0, weights = torch.arange(3)[:, None], PI

    def expected(logits: Tensor) -> float:
        loss = space.loss(Probs(logits.expand(3, 1, 3)), x0, x0, 0.5)
        return (weights * loss).sum().item()

    best = expected(PI.log())
    assert all(expected(PI.log() + 0.1 * Keys.of(i, 1).normal(3)[0]) > best for i in range(20))


def test_schedules_that_never_forget_are_refused() -> None:
    with pytest.raises(ValueError, match="would never be forgotten"):
        Categorical.masked((2,), 3, VarianceExploding())
    assert Categorical.masked((2,), 3, RectifiedFlow()).states == 4


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.int64), r"records must have shape \(2,\), found \(3,\)"),
        (torch.zeros(2, 2), "categories must be int64, found torch.float32"),
        (torch.tensor([[0, 1], [2, 3]]), r"record 1, position \(1,\) is category 3, expected 0 to 2"),
        (torch.tensor([[-1, 1]]), r"record 0, position \(0,\) is category -1"),
    ],
)
def test_check_names_what_is_wrong(x0: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=f"proteins.fasta: .*{message}"):
        SPACES["masked"].check(x0, "proteins.fasta")


@pytest.mark.parametrize(
    "rate",
    [
        [[-1.0, 1.0], [0.0, 0.0]],
        [[-1.0, 1.0, 0.0, 0.0], [1.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0], [0.0, 0.0, 1.0, -1.0]],
        [[-1.0, 1.0, 0.0], [1.0, -1.001, 0.001], [0.0, 0.001, -0.001]],
    ],
    ids=["absorbing", "two islands", "hardly connected"],
)
def test_rates_that_never_forget_are_refused(rate: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="never forget where they started"):
        Categorical.substitution((1,), torch.tensor(rate))


def test_clean_tokens_do_not_count_in_the_loss() -> None:
    space, x0 = Categorical.masked((2,), 3), torch.zeros(1, 2, dtype=torch.int64)
    x_t = torch.tensor([[0, 3]])
    belief = space.belief(torch.zeros(1, 2, 3), x_t, torch.tensor([[0.0, 0.5]]))
    assert space.loss(belief, x0, x_t, torch.tensor([[0.0, 0.5]])).item() > 0
    assert space.loss(belief, x0, x_t, torch.tensor([[0.0, 0.0]])).item() == 0


def test_only_masks_absorb() -> None:
    assert [name for name, space in SPACES.items() if space.absorbing] == ["masked"]
    assert not Categorical.hybrid((2,), 3).absorbing


@pytest.mark.parametrize("wrong", [-1, 7])
def test_a_category_that_is_no_state_is_refused(wrong: int) -> None:
    for space in SPACES.values():
        with pytest.raises((IndexError, RuntimeError)):
            space.noise(torch.tensor([[0, wrong]]), 0.5, Keys.of(0, 1))
    for chain in (SPACES["masked"].chain, SPACES["uniform"].chain):
        with pytest.raises((IndexError, RuntimeError)):
            chain.column(double(0.5), torch.tensor([[0, wrong]]))
