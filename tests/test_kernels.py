"""The predictor: what it keeps of the past, how many evaluations it takes, and what its transition says of its move."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ornstein.denoisers import Denoiser
from ornstein.kernels import Predictor, Walk
from ornstein.keys import Keys
from ornstein.schedules import Cosine, RectifiedFlow
from ornstein.spaces.euclidean import ahead_weight, step_coefficients
from ornstein.states import leaves
from worlds import anisotropic, assert_close, coupled, sequences, smooth

KEYS = Keys.of(2, 3)
WORLDS = {"euclidean": anisotropic(), "categorical": sequences("masked"), "product": coupled()}
inside = st.floats(0.05, 0.95)


@pytest.mark.parametrize("order", [1, 2])
def test_the_past_is_as_long_as_the_order(order: int) -> None:
    walk = Walk(anisotropic().space.prior(KEYS), 1.0)
    for k, s in enumerate((0.8, 0.5, 0.2), start=1):
        walk = Predictor(0.0, order)(walk, s, anisotropic(), {}, KEYS)
        assert len(walk.past) == min(k, order)
        assert (walk.t, walk.nfe) == (s, k)
    assert walk.past[-1][0] == 0.5
    assert walk.belief is walk.past[-1][1]


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_the_transition_is_the_law_of_the_move(world: Denoiser) -> None:
    walk = Predictor()(Walk(world.space.prior(KEYS), 1.0), 0.4, world, {}, KEYS)
    assert walk.transition is not None
    assert walk.transition.log_prob(walk.x).shape == (3,)
    assert walk.transition.log_prob(walk.x).isfinite().all()
    again = walk.transition.sample(KEYS)
    assert all(one.equal(other) for one, other in zip(leaves(again), leaves(walk.x), strict=True))


@given(t=inside, ratio=inside)
def test_deterministic_first_order_is_ddim(t: float, ratio: float) -> None:
    s, world, schedule = ratio * t, smooth(), Cosine()
    x = KEYS.normal(2)
    x0 = world(x, t).mean
    noise = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    found = Predictor(0.0)(Walk(x, t), s, world, {}, KEYS).x
    assert_close(found, schedule.alpha(s) * x0 + schedule.sigma(s) * noise, 1e-9)


def test_second_order_is_dpm_solver_2m() -> None:
    """Algorithm 2 of Lu et al. 2022 (DPM-Solver++), written out for one multistep."""
    schedule, x = RectifiedFlow(), KEYS.normal(2)
    world = smooth(schedule)
    r, t, s = 0.8, 0.6, 0.35
    first = Predictor(0.0, 2)(Walk(x, r), t, world, {}, KEYS)
    found = Predictor(0.0, 2)(first, s, world, {}, KEYS).x
    half = [(schedule.alpha(u) / schedule.sigma(u)).log() for u in (r, t, s)]
    h_before, h = half[1] - half[0], half[2] - half[1]
    ratio = h_before / h
    x0_before, x0 = world(x, r).mean, world(first.x, t).mean
    ahead = (1 + 1 / (2 * ratio)) * x0 - 1 / (2 * ratio) * x0_before
    expected = schedule.sigma(s) / schedule.sigma(t) * first.x - schedule.alpha(s) * torch.expm1(-h) * ahead
    assert_close(found, expected, 1e-9)


def test_no_extrapolation_from_pure_noise_or_into_the_data() -> None:
    assert ahead_weight(Cosine(), 1.0, 0.7, 0.4) == 0
    assert ahead_weight(Cosine(), 0.7, 0.4, 0.0) == 0
    assert ahead_weight(Cosine(), 0.8, 0.6, 0.4) > 0


@given(t=inside, ratio=inside, eta=st.floats(0, 1))
def test_planned_and_tensor_coefficients_agree(t: float, ratio: float, eta: float) -> None:
    planned = step_coefficients(Cosine(), t, ratio * t, eta)
    t_tensor, s_tensor = torch.tensor([t, ratio * t], dtype=torch.float64)
    assert all(isinstance(c, float) for c in planned)
    for one, other in zip(planned, step_coefficients(Cosine(), t_tensor, s_tensor, eta), strict=True):
        assert_close(torch.tensor(one, dtype=torch.float64), other, 1e-12)


@pytest.mark.parametrize(("eta", "order"), [(-0.1, 1), (1.1, 1), (1.0, 3), (1.0, 0)])
def test_impossible_predictors_are_refused(eta: float, order: int) -> None:
    with pytest.raises(ValueError, match=f"not order={order}, eta={eta}"):
        Predictor(eta, order)
