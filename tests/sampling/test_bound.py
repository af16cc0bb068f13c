"""The likelihood bound of every chain is the entropy of the data where the belief is right, more by the KL if not."""

from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein.denoisers.oracles import Mixture, enumerated
from ornstein.keys import Keys
from ornstein.schedules import Cosine
from ornstein.spaces import Categorical
from ornstein.testing import check_space
from worlds import RATES, assert_close, rejected

RATE = RATES - torch.diag(RATES.sum(1))
SPACES = {
    "masked": Categorical.masked((3,), 3),
    "masked, cosine": Categorical.masked((3,), 3, Cosine()),
    "counted": replace(Categorical.masked((3,), 3), weighting="counted"),
    "uniform": replace(Categorical.uniform((3,), 3), weighting="elbo"),
    "uniform, cosine": replace(Categorical.uniform((3,), 3, Cosine()), weighting="elbo"),
    "hybrid": replace(Categorical.hybrid((3,), 3, 0.3), weighting="elbo"),
    "substitution": replace(Categorical.substitution((3,), RATE), weighting="elbo"),
}
CHAINS = {name: SPACES[name].chain for name in ("masked", "uniform", "hybrid", "substitution")}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
N = 20_000


def random_table(seed: int) -> Tensor:
    return Keys.of(seed, 1).normal(27)[0].softmax(0).reshape(3, 3, 3)


TABLE, OTHER = random_table(1), random_table(2)
ENTROPY = -(TABLE * TABLE.log()).sum().item()
CROSS_ENTROPY = -(TABLE * OTHER.log()).sum().item()


def bounds(space: Categorical, believed: Tensor, n: int = N, power: int = 3) -> Tensor:
    """L times the loss of data from TABLE, weighted by dt, under the exact beliefs of a table.

    At times t = u^power, u spread evenly: near the data few are hidden, and count 1/t, so that even times have no
    third moment.
    """
    keys = Keys.of(5, n)
    x0 = enumerated(space, TABLE).draw(keys)
    u = (torch.arange(n, dtype=torch.float64) + keys.fold("t").uniform()) / n
    t = u**power
    x_t = space.noise(x0, t, keys.fold("noise"))
    return power * u ** (power - 1) * 3 * space.loss(enumerated(space, believed)(x_t, t), x0, x_t, t)


def assert_mean(values: Tensor, expected: float) -> None:
    error = (values.mean().item() - expected) / (values.std().item() / sqrt(len(values)))
    assert abs(error) < 4, f"{values.mean():.4f}, not {expected:.4f}: off by {error:.1f} standard errors"


@every_space
def test_the_bound_of_the_truth_is_its_entropy(space: Categorical) -> None:
    assert_mean(bounds(space, TABLE), ENTROPY)


@every_space
def test_another_belief_costs_the_divergence_more(space: Categorical) -> None:
    """The reverse chains of two laws differ by as much as the laws: the noise is the same."""
    found = bounds(space, OTHER)
    assert CROSS_ENTROPY > ENTROPY + 0.3
    assert_mean(found, CROSS_ENTROPY)
    rejected(assert_mean, found, ENTROPY)


@pytest.mark.parametrize("kind", ["uniform", "hybrid", "substitution"])
def test_the_cross_entropy_at_all_times_alike_is_no_bound(kind: str) -> None:
    rejected(assert_mean, bounds(replace(SPACES[kind], weighting="unit"), TABLE), ENTROPY)


def test_counted_masks_have_the_same_mean_and_less_noise() -> None:
    """At even times, as in training."""
    timed, counted = (bounds(SPACES[name], TABLE, power=1) for name in ("masked", "counted"))
    assert_mean(timed - counted, 0.0)
    assert_mean(counted, ENTROPY)
    assert counted.var() < 0.7 * timed.var()


def test_masks_are_counted_among_the_positions_that_exist() -> None:
    """Of one letter alone (L + 1)/n is 2 where it is hidden."""
    space = SPACES["counted"].with_mask(torch.tensor([[True, False, False]]).expand(N, 3))
    keys = Keys.of(6, N)
    x0 = torch.zeros(N, 3, dtype=torch.int64)
    x_t = space.noise(x0, keys.fold("t").uniform(), keys)
    belief = space.belief(torch.zeros(N, 3, 3, dtype=torch.float64), x_t, 0.5)
    found = space.loss(belief, x0, x_t, 0.5)
    assert_close(found, torch.where(x_t[:, 0] == 3, 2 * torch.tensor(3.0).double().log(), 0.0))


def test_counted_weights_belong_to_masks() -> None:
    for space in (SPACES["uniform"], SPACES["hybrid"]):
        with pytest.raises(ValueError, match="under masked noise"):
            replace(space, weighting="counted")


@given(t=st.floats(0.02, 0.98))
def test_the_bound_of_any_chain_is_that_of_masks(t: float) -> None:
    """The ratios of masked noise, written out, are the weighted cross-entropy."""
    space, world = SPACES["masked"], enumerated(SPACES["masked"], TABLE)
    x0 = world.draw(Keys.of(7, 64))
    x_t = space.noise(x0, t, Keys.of(8, 64))
    belief: Any = world(x_t, t)
    assert_close(space.mean(space._rate_loss(belief, x0, x_t, t)), space.loss(belief, x0, x_t, t), 1e-9)


@pytest.mark.parametrize("kind", ["uniform", "hybrid", "substitution"])
def test_a_step_of_gradient_leads_to_the_truth(kind: str) -> None:
    """The bound is proper: its gradient vanishes on average at the exact belief and nowhere near it."""
    space, n = replace(SPACES[kind], shape=(1,)), N
    probs = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    world: Mixture = enumerated(space, probs)
    x0 = world.draw(Keys.of(3, n))
    x_t = space.noise(x0, 0.5, Keys.of(4, n))

    def slope(tilt: float) -> Tensor:
        gradient = torch.tensor([1.0, 0.0, -1.0] + [0.0] * (space.states - 3)).double()
        size = torch.tensor(tilt, dtype=torch.float64, requires_grad=True)
        sizes = size.expand(n).clone()
        loss = space.loss(world(x_t, 0.5).tilt(sizes[:, None, None] * gradient), x0, x_t, 0.5)
        return torch.autograd.grad(loss.sum(), sizes)[0]

    assert_mean(slope(0.0), 0.0)
    rejected(assert_mean, slope(0.5), 0.0)


# Rates ---------------------------------------------------------------------------------------------------


def assert_generates(chain: Any, rates: Tensor) -> None:
    """(Q_{1 − ε} − 1)/ε away from the diagonal."""
    states, epsilon = len(chain.stationary), 1e-6
    eye = torch.eye(states, dtype=torch.float64)
    slope = chain.push(torch.tensor(1 - epsilon, dtype=torch.float64).expand(states), eye) / epsilon
    assert_close(rates * (1 - eye), slope * (1 - eye), 1e-4)


@every_chain
def test_rates_are_the_slope_of_the_chain(chain: Any) -> None:
    found = chain.rates(torch.arange(len(chain.stationary))).T
    assert_generates(chain, found)
    rejected(assert_generates, chain, 1.1 * found)


@pytest.mark.parametrize("kind", ["masked", "hybrid", "substitution"])
def test_the_test_of_rates_rejects_their_transpose(kind: str) -> None:
    chain = CHAINS[kind]
    rejected(assert_generates, chain, chain.rates(torch.arange(len(chain.stationary))))


@every_chain
def test_rates_make_the_kernels(chain: Any) -> None:
    """Q_α = exp(−log α · R), R with rows that sum to 0."""
    states = len(chain.stationary)
    eye = torch.eye(states, dtype=torch.float64)
    rate = chain.rates(torch.arange(states)).T * (1 - eye)
    rate = rate - torch.diag(rate.sum(1))
    alpha = torch.tensor(0.4, dtype=torch.float64)
    assert_close(torch.linalg.matrix_exp(-alpha.log() * rate), chain.push(alpha.expand(states), eye), 1e-9)


# Hybrid noise --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uniform", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("weighting", ["unit", "elbo"])
def test_hybrid_noise_is_a_space(uniform: float, weighting: Any) -> None:
    space = replace(Categorical.hybrid((3,), 3, uniform), weighting=weighting)
    mask = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    x0 = torch.tensor([[0, 1, 2], [2, 0, 0], [1, 0, 0]])
    assert check_space(space, x0, positions=(3,)) > 20
    assert check_space(space, x0, mask=mask, positions=(3,)) > 20
    assert not space.absorbing


def test_hybrid_noise_without_redrawing_is_masks() -> None:
    space, masks = Categorical.hybrid((3,), 3, 0.0), Categorical.masked((3,), 3)
    assert space.absorbing
    x0 = torch.tensor([[0, 1, 2]]).expand(64, 3)
    assert space.noise(x0, 0.5, Keys.of(0, 64)).equal(masks.noise(x0, 0.5, Keys.of(0, 64)))
