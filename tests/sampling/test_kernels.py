"""The predictor: what it keeps of the past, how many evaluations it takes, and what its transition says of its move."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from ornstein.denoisers.base import Denoiser
from ornstein.denoisers.oracles import enumerated
from ornstein.keys import Keys
from ornstein.sampling.grids import uniform
from ornstein.sampling.kernels import Kernel, Predictor, Restart, SamplerState
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import Cosine
from ornstein.spaces import Categorical
from ornstein.spaces.steps import average_weights, step_coefficients
from ornstein.states import leaves
from worlds import anisotropic, assert_close, coupled, rejected, sequences, sliced_wasserstein, smooth

KEYS = Keys.of(2, 3)
WORLDS = {"euclidean": anisotropic(), "categorical": sequences("masked"), "product": coupled()}
inside = st.floats(0.05, 0.95)


def start(world: Denoiser) -> SamplerState:
    return SamplerState(world.space.prior(KEYS), 1.0, world.space)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_past_is_as_long_as_the_order(order: int) -> None:
    state = start(anisotropic())
    for k, s in enumerate((0.8, 0.5, 0.2), start=1):
        state = Predictor(0.0, order)(state, s, anisotropic(), {}, KEYS)
        assert len(state.past) == min(k, order)
        assert (state.t, state.nfe) == (s, k)
    assert state.past[-1][0] == 0.5
    assert state.belief is state.past[-1][1]


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_the_transition_is_the_law_of_the_move(world: Denoiser) -> None:
    state = Predictor()(start(world), 0.4, world, {}, KEYS)
    assert state.transition is not None
    assert state.transition.log_prob(state.x).shape == (3,)
    assert state.transition.log_prob(state.x).isfinite().all()
    again = state.transition.sample(KEYS)
    assert all(one.equal(other) for one, other in zip(leaves(again), leaves(state.x), strict=True))


@given(t=inside, ratio=inside)
def test_deterministic_first_order_is_ddim(t: float, ratio: float) -> None:
    s, world, schedule = ratio * t, smooth(), Cosine()
    x = KEYS.normal(2)
    x0 = world(x, t).mean
    noise = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    found = Predictor(0.0)(SamplerState(x, t, world.space), s, world, {}, KEYS).x
    assert_close(found, schedule.alpha(s) * x0 + schedule.sigma(s) * noise, 1e-9)


def test_the_average_is_exact_for_beliefs_that_are_polynomials() -> None:
    """M = ∫ x̂ e^{(1 + η²)ℓ} dℓ / ∫ e^{(1 + η²)ℓ} dℓ for x̂ a polynomial in z, against a fine sum."""
    schedule, nodes, t, s = Cosine(), (0.8, 0.7, 0.6), 0.6, 0.45
    first, last = (schedule.log_snr(u).item() / 2 for u in (t, s))
    ell = torch.linspace(first, last, 20_001, dtype=torch.float64)

    def z(ell: Tensor) -> Tensor:
        return torch.asinh(1 / (ell.exp() + 1 / 40))

    for order, eta in product((1, 2, 3), (0.0, 0.5, 1.0)):
        measure = ((1 + eta**2) * ell).exp()
        measure[[0, -1]] /= 2
        exact = (measure * z(ell) ** (order - 1)).sum() / measure.sum()
        weights = average_weights(schedule, 1.0, eta, nodes[-order:], t, s)
        at_nodes = [z(schedule.log_snr(u) / 2) ** (order - 1) for u in nodes[-order:]]
        found = sum(weight * value for weight, value in zip(weights, at_nodes, strict=True))
        assert_close(torch.as_tensor(found), exact, 1e-8)
        assert sum(weights) == pytest.approx(1)


def test_the_step_into_the_data_does_not_extrapolate() -> None:
    assert average_weights(Cosine(), 1.0, 0.0, (0.7, 0.4), 0.4, 0.0) == (0.0, 1.0)
    assert average_weights(Cosine(), 1.0, 0.0, (0.8, 0.6), 0.6, 0.4)[1] > 1


def test_planned_and_tensor_averages_agree() -> None:
    times = torch.tensor([0.9, 0.8, 0.6, 0.3], dtype=torch.float64)
    planned = average_weights(Cosine(), 0.7, 0.5, (0.9, 0.8, 0.6), 0.6, 0.3)
    tensors = average_weights(Cosine(), 0.7, 0.5, list(times[:3]), times[2], times[3])
    for one, other in zip(planned, tensors, strict=True):
        assert_close(torch.as_tensor(one, dtype=torch.float64), torch.as_tensor(other), 1e-12)


@given(t=inside, ratio=inside, eta=st.floats(0, 1))
def test_planned_and_tensor_coefficients_agree(t: float, ratio: float, eta: float) -> None:
    planned = step_coefficients(Cosine(), t, ratio * t, eta)
    t_tensor, s_tensor = torch.tensor([t, ratio * t], dtype=torch.float64)
    assert all(isinstance(c, float) for c in planned)
    for one, other in zip(planned, step_coefficients(Cosine(), t_tensor, s_tensor, eta), strict=True):
        assert_close(torch.tensor(one, dtype=torch.float64), torch.as_tensor(other, dtype=torch.float64), 1e-12)


@pytest.mark.parametrize(("eta", "order"), [(-0.1, 1), (1.1, 1), (1.0, 4), (1.0, 0)])
def test_impossible_predictors_are_refused(eta: float, order: int) -> None:
    with pytest.raises(ValueError, match=f"order is {order}, expected 1, 2 or 3|eta is {eta}, expected a number in"):
        Predictor(eta, order)
    with pytest.raises(ValueError, match="only a deterministic step can be corrected"):
        Predictor(0.5, 2, correct=True)


def assert_leaves_the_law(world: Any, kernel: Kernel, s: float = 0.3, n: int = 4000) -> None:
    """Exact states at time s, moved by the kernel, are again exact states at time s."""
    keys = Keys.of(3, n)
    clean = world.draw(keys)
    x = world.space.noise(clean, s, keys.fold("noise"))
    state = SamplerState(x, s, world.space, past=((s + 0.02, world(x, s)),))
    for k in range(5):
        state = kernel(state, s, world, {}, keys.fold(k))
    again = world.space.noise(world.draw(keys.fold("other")), s, keys.fold("fresh"))
    if isinstance(world.space, Categorical):
        observed = torch.stack(
            [(row[:, 0] * world.space.states + row[:, 1]).bincount(minlength=16) for row in (state.x, again)]
        )
        seen = observed.sum(0) > 0
        result: Any = stats.chi2_contingency(observed[:, seen].numpy())
        assert result.pvalue > 1e-3
    else:
        assert sliced_wasserstein(state.x, again) < 1.5 * sliced_wasserstein(x, again)


@dataclass(frozen=True)
class OnlyBack:
    """A broken twin: noise is added and never removed."""

    def __call__(self, state: SamplerState, s: Any, denoiser: Any, condition: Any, keys: Keys) -> SamplerState:
        back = state.past[-1][0]
        return replace(state, x=state.space.noise(state.x, back, keys, since=s))


@pytest.mark.parametrize(
    "world", [anisotropic(), sequences("masked"), sequences("uniform")], ids=["normal", "masked", "uniform"]
)
def test_renoising_leaves_the_law(world: Any) -> None:
    assert_leaves_the_law(world, Restart())
    rejected(assert_leaves_the_law, world, OnlyBack())


def test_renoising_mends_parallel_draws() -> None:
    """Two letters that determine each other, revealed together in one of four steps: a second look repairs pairs."""
    table = torch.eye(4, dtype=torch.float64) / 4
    world = enumerated(Categorical.masked((2,), 4), table)

    def valid(*kernels: Kernel) -> float:
        x = Sampler(uniform(4), kernels).run(world, Keys.of(0, 4000))
        return (x[:, 0] == x[:, 1]).double().mean().item()

    alone = valid(Predictor())
    assert alone == pytest.approx(1 - 0.75 / 4, abs=0.03)  # the law of masked ancestral sampling
    assert valid(Predictor(), Restart()) > alone + 0.005
