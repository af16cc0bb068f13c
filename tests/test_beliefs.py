"""Tilting is multiplying by exp(g·x₀) and renormalising; extrapolating is linear in the natural parameters."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein.beliefs import Joint, Normal, Probs
from ornstein.covariances import Dense, Diagonal, Tweedie
from ornstein.keys import Keys
from worlds import assert_close, double, rejected, rotated

KEYS = Keys.of(0, 3)
MEAN, GRADIENT = KEYS.normal(2), KEYS.fold(1).normal(2)
COV = torch.stack([rotated(a, (0.9, 0.4)) for a in (0.1, 0.8, 2.0)])
LOGITS = KEYS.fold(2).normal(4, 3)
numbers = st.floats(-3, 3)


def tilted_by_quadrature(mean: Tensor, cov: Tensor, gradient: Tensor) -> Tensor:
    """E[x exp(g·x)] / E[exp(g·x)] under N(mean, cov), on a grid."""
    axis = torch.linspace(-8, 8, 321, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis) + mean
    delta = x - mean
    log = -0.5 * (delta @ cov.inverse() * delta).sum(-1) + x @ gradient
    return log.softmax(0) @ x


def test_normal_tilt_is_exact() -> None:
    found = Normal(MEAN, Dense(COV)).tilt(GRADIENT).mean
    for i in range(3):
        assert_close(found[i], tilted_by_quadrature(MEAN[i], COV[i], GRADIENT[i]), 1e-8)


def test_probs_tilt_is_exact() -> None:
    gradient = KEYS.fold(3).normal(4, 3)
    expected = LOGITS.softmax(-1) * gradient.exp()
    assert_close(Probs(LOGITS).tilt(gradient).mean, expected / expected.sum(-1, keepdim=True))


def test_tilts_add_up() -> None:
    normal = Normal(MEAN, Diagonal(double([0.5, 2.0])))
    assert_close(normal.tilt(GRADIENT).tilt(-GRADIENT).mean, MEAN)
    assert_close(Probs(LOGITS).tilt(LOGITS).tilt(-LOGITS).mean, LOGITS.softmax(-1))


def test_tilting_a_mean_alone_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="needs its covariance: see ornstein"):
        Normal(MEAN).tilt(GRADIENT)


@given(numbers)
def test_normal_extrapolation_is_linear(weight: float) -> None:
    other = Normal(MEAN + GRADIENT)
    assert_close(Normal(MEAN).extrapolate([other], [weight]).mean, MEAN - weight * GRADIENT)


@given(numbers)
def test_probs_extrapolation_multiplies_powers(weight: float) -> None:
    other = KEYS.fold(4).normal(4, 3)
    expected = LOGITS.softmax(-1) ** (1 + weight) / other.softmax(-1) ** weight
    found = Probs(LOGITS).extrapolate([Probs(other)], [weight]).mean
    assert_close(found, expected / expected.sum(-1, keepdim=True), 1e-9)


def test_extrapolation_by_minus_one_returns_the_other() -> None:
    other = KEYS.fold(4).normal(4, 3)
    assert_close(Probs(LOGITS).extrapolate([Probs(other)], [-1]).mean, other.softmax(-1))
    assert_close(Normal(MEAN).extrapolate([Normal(GRADIENT)], [-1]).mean, GRADIENT)


def test_weights_may_differ_by_sample_and_others_add_up() -> None:
    weights = double([0.0, 1.0, -0.5])
    found = Normal(MEAN).extrapolate([Normal(GRADIENT), Normal(2 * MEAN)], [weights, 0.5]).mean
    assert_close(found, MEAN + weights[:, None] * (MEAN - GRADIENT) - 0.5 * MEAN)


def assert_agreed_elements_stay(mean: Callable[[Tensor, list[Tensor], list[float]], Tensor]) -> None:
    """Where all beliefs agree the extrapolated one is the same to the last bit, whatever the weights."""
    agreed, weights = Keys.of(1, 500).normal(3), [0.7312, -0.1931]
    others = [torch.cat([agreed[:, :2], agreed[:, 2:] + shift], 1) for shift in (0.3, -0.5)]
    assert mean(agreed, others, weights)[:, :2].equal(agreed[:, :2])


def test_what_beliefs_agree_on_stays_to_the_last_bit() -> None:
    def found(mean: Tensor, others: list[Tensor], weights: list[float]) -> Tensor:
        return Normal(mean).extrapolate([Normal(other) for other in others], weights).mean

    def expanded(mean: Tensor, others: list[Tensor], weights: list[float]) -> Tensor:
        return mean * (1 + sum(weights)) - sum(w * other for w, other in zip(weights, others, strict=True))

    assert_agreed_elements_stay(found)
    rejected(assert_agreed_elements_stay, expanded)


def test_what_is_ruled_out_stays_ruled_out() -> None:
    ruled = LOGITS.clone()
    ruled[..., 0] = -torch.inf
    other = KEYS.fold(4).normal(4, 3)
    other[..., 0] = -torch.inf
    found = Probs(ruled).extrapolate([Probs(other)], [2.0]).tilt(LOGITS).mean
    assert (found[..., 0] == 0).all()
    assert found.isfinite().all()
    assert_close(found.sum(-1), torch.ones(3, 4, dtype=torch.float64))


def test_joint_beliefs_act_part_by_part() -> None:
    joint = Joint({"x": Normal(MEAN, Dense(COV)), "tokens": Probs(LOGITS)})
    tilted = joint.tilt({"x": GRADIENT})
    assert_close(tilted.mean["x"], joint["x"].tilt(GRADIENT).mean)
    assert_close(tilted.mean["tokens"], joint.mean["tokens"])
    assert_close(tilted.extrapolate([joint], [-1]).mean["x"], MEAN)


def test_covariances_agree_on_a_linear_belief() -> None:
    """For a Gaussian the mean is linear in x_t, so Tweedie's covariance is its slope times the scale."""
    x = MEAN.clone().requires_grad_()
    tweedie = Tweedie(torch.einsum("bij,bj->bi", COV, x), x, double(0.7))
    assert_close(tweedie(GRADIENT), Dense(0.7 * COV)(GRADIENT))
    assert_close(Dense(torch.diag_embed(MEAN))(GRADIENT), Diagonal(MEAN)(GRADIENT))


def test_dense_acts_on_flattened_events() -> None:
    v = KEYS.normal(2, 2)
    matrix = torch.einsum("bi,bj->bij", v.flatten(1), v.flatten(1))
    assert_close(Dense(matrix)(v), v * (v**2).sum((1, 2), keepdim=True))


def test_positions_that_do_not_exist_have_no_category() -> None:
    exists = torch.ones(LOGITS.shape[:-1], dtype=torch.bool)
    exists[:, -1] = False
    belief, g = Probs(LOGITS, exists), 0.1 * LOGITS.flip(-1)
    rest = Probs(LOGITS[:, :-1])
    assert (belief.mean[:, -1] == 0).all()
    assert_close(belief.mean[:, :-1], rest.mean)
    assert_close(belief.cumulant(g), rest.cumulant(g[:, :-1]))
    assert_close(belief.tilt(g).mean[:, :-1], rest.tilt(g[:, :-1]).mean)
    assert (belief.covary(g)[:, -1] == 0).all()
    nowhere = LOGITS.masked_fill(~exists[..., None], -torch.inf)  # pure noise rules out every state of the padding
    assert_close(Probs(nowhere, exists).mean, belief.mean)
    assert_close(Probs(nowhere, exists).tilt(g).cumulant(g), rest.tilt(g[:, :-1]).cumulant(g[:, :-1]))
