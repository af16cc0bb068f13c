"""The knob of guidance: predicted by cumulants, exact for a linear property, measured, refused beyond the support."""

import re
from dataclasses import replace
from math import inf
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein import InputError
from ornstein.denoisers.fields import gaussian_field
from ornstein.denoisers.oracles import Mixture, gaussian_mixture
from ornstein.keys import Keys
from ornstein.report.posteriors import exact_mean, three_modes
from ornstein.sampling.diagnostics import mean_and_error
from ornstein.spectral.roots import power_law
from ornstein.spectral.transforms import periodic
from ornstein.tasks.brackets import FAMILIES, Bracket, Measured, solve, tilted_ess, tilted_mean
from ornstein.tasks.drawing import sample
from ornstein.tasks.strength import (
    ExponentialTilt,
    GuidanceStrength,
    Law,
    MomentConstraint,
    StrengthSearch,
    guidance_strength,
)
from worlds import MeanOnly, anisotropic, assert_close, assert_same_law, double, rejected, sequences

VALUES = Keys.of(0, 20_000).normal() * 2 + 1


def first(x: Tensor) -> Tensor:
    return x[:, 0]


def tilted(world: Mixture, direction: Tensor, gamma: float) -> Mixture:
    """p(x) exp(γ a·x) of a mixture of Gaussians: the same covariances, moved means, other weights."""
    parts: Any = world.components
    covs = parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT
    along = covs @ direction
    log_weights = world.weights.log() + gamma * parts.means @ direction + gamma**2 / 2 * along @ direction
    return gaussian_mixture(parts.means + gamma * along, covs, log_weights.softmax(0))


# The law ----------------------------------------------------------------------------------------------


@given(st.floats(-1.5, 1.5))
def test_of_gaussian_values_the_line_is_the_reweighted_mean(gamma: float) -> None:
    law = Law(1.0, 4.0, 0.0)
    assert law.trusted == float("inf")
    share = tilted_ess(VALUES, gamma)
    assert tilted_mean(VALUES, gamma) == pytest.approx(law(gamma), abs=6 * 2 / (share * len(VALUES)) ** 0.5 + 0.02)


def test_cumulants_of_an_exponential_distribution() -> None:
    law = Law.of(-Keys.of(1, 400_000).uniform().log())
    assert (law.mean, law.variance, law.third) == pytest.approx((1.0, 1.0, 2.0), rel=0.05)


def test_the_line_is_five_percent_off_where_trust_ends() -> None:
    law = Law(1.0, 1.0, 2.0)  # of an exponential distribution
    exact = 1 / (1 - law.trusted)  # K′(γ)
    assert (exact - law(law.trusted)) / (exact - 1) == pytest.approx(0.05, abs=0.003)


@given(st.floats(-2.5, 4.5))
def test_solving_inverts_the_reweighted_mean(target: float) -> None:
    gamma, reached = solve(VALUES, target)
    if reached:
        assert tilted_mean(VALUES, gamma) == pytest.approx(target, abs=3e-3)
    else:
        assert tilted_ess(VALUES, gamma) == pytest.approx(0.2, abs=0.01)


# The exact shift --------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0.05, 0.5, 0.9])
def test_the_shifted_belief_is_that_of_the_tilted_mixture(t: float) -> None:
    direction, x_t = double([0.6, -0.8]), Keys.of(2, 5).normal(2)
    for world in (anisotropic(), MeanOnly(anisotropic())):
        found = (world & ExponentialTilt(direction, 1.3))(x_t, t).mean
        assert_close(found, tilted(anisotropic(), direction, 1.3)(x_t, t).mean, 1e-9)


def test_shifted_samples_follow_the_tilted_mixture() -> None:
    direction = double([0.6, -0.8])
    x = sample(anisotropic() & ExponentialTilt(direction, 1.0), 4000, 40).x
    assert_same_law(x, tilted(anisotropic(), direction, 1.0))
    rejected(assert_same_law, x, tilted(anisotropic(), direction, 1.3))


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_shifted_belief_under_noise_with_a_spectrum(t: float) -> None:
    """A Gaussian field keeps its covariance C, and its mean moves by γ C a."""
    shape, waves = (3, 4), periodic()
    cov, noise = power_law(shape, 3.0, waves), power_law(shape, 1.0, waves, std=0.5)
    direction, x_t = Keys.of(1, 1).normal(*shape)[0].double(), Keys.of(2, 5).normal(*shape).double()
    moved = gaussian_field(cov, 1.3 * cov(direction[None])[0], noise_cov=noise)
    found = (gaussian_field(cov, noise_cov=noise) & ExponentialTilt(direction, 1.3))(x_t, t).mean
    assert_close(found, moved(x_t, t).mean, 1e-9)


def test_what_is_no_tilt_is_named() -> None:
    for direction, gamma, message in (
        (double([1.0, torch.nan]), 1.0, r"direction: element \(1,\) is nan"),
        (double([1.0, 0.0, 0.0]), 1.0, r"direction has the shape \(3,\), expected that of a state, \(2,\)"),
        (double([1.0, 0.0]), torch.inf, "gamma is inf"),
    ):
        with pytest.raises(InputError, match=message):
            _ = anisotropic() & ExponentialTilt(direction, gamma)


def test_categories_cannot_be_shifted() -> None:
    with pytest.raises(InputError, match="only Gaussian noise can be shifted, not that of Categorical"):
        _ = sequences("masked") & ExponentialTilt(double([1.0]), 1.0)


# Calibration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("w", [first, double([1.0])], ids=["particles", "shift"])
def test_a_target_is_hit_and_the_interval_is_honest(w: Any) -> None:
    found = guidance_strength(three_modes(), w, 3.0, n=4000, steps=60)
    assert exact_mean(three_modes(), found.gamma) == pytest.approx(3.0, abs=0.1)
    assert found.error < 0.03
    assert abs(found.measured - exact_mean(three_modes(), found.gamma)) < 4 * found.error
    assert "beyond its range" in str(found)


def test_a_far_target_takes_a_ladder() -> None:
    found = guidance_strength(three_modes(), first, 3.7, n=2000)
    assert "ladder" in found.method
    assert exact_mean(three_modes(), found.gamma) == pytest.approx(3.7, abs=0.1)


def test_the_plug_in_would_miss() -> None:
    """Guidance without particles at the calibrated strength is farther off than the calibration's error."""
    found = guidance_strength(three_modes(), first, 3.0, n=4000)
    plain = sample(three_modes() & found.guide, 4000, 50).x.mean().item()
    assert abs(plain - 3.0) > 5 * found.error


@pytest.mark.parametrize("target", [1.2, -1.2])
def test_a_target_outside_of_the_support_is_refused(target: float) -> None:
    with pytest.raises(InputError, match="beyond what this model draws"):
        guidance_strength(three_modes(), lambda x: x[:, 0].tanh(), target, n=200, steps=8)


@pytest.mark.parametrize("target", [float("nan"), float("inf")])
def test_a_target_is_a_number(target: float) -> None:
    with pytest.raises(InputError, match=r"target is (nan|inf), expected a finite number"):
        guidance_strength(three_modes(), first, target, n=40)


# Populations that say nothing -------------------------------------------------------------------------


def mean_at(gamma: float, w: Any) -> float:
    """E_γ[w] of the three modes, by quadrature."""
    x = torch.linspace(-8, 14, 40_001, dtype=torch.float64)
    parts: Any = three_modes().components
    spread = (x[:, None] - parts.means[:, 0]) ** 2 / parts.variances[:, 0]
    log_p = (three_modes().weights.log() - parts.variances[:, 0].log() / 2 - spread / 2).logsumexp(1)
    return ((log_p + gamma * w(x[:, None])).softmax(0) * w(x[:, None])).sum().item()


def assert_honest(found: GuidanceStrength, w: Any) -> None:
    """What was measured is what there is, and its interval has a width."""
    exact = mean_at(found.gamma, w)
    assert 0 < found.error < inf
    assert abs(found.measured - exact) < 4 * found.error, f"measured {found.measured} ± {found.error}, exact {exact}"
    assert abs(found.target - found.measured) < 2 * found.error


def attempted(*args: Any, **options: Any) -> Any:
    """The strength, or the error that refuses it."""
    try:
        return guidance_strength(*args, **options)
    except InputError as error:
        return error


def upper(x: Tensor) -> Tensor:
    return x[:, 0].tanh()


@pytest.mark.parametrize(
    ("w", "target"), [(upper, 0.95), (upper, 0.97), (upper, -0.97), (first, 5.0), (first, 6.0), (first, 2.5)]
)
def test_a_strength_is_right_or_refused(w: Any, target: float) -> None:
    """Newton's steps by the variance of a collapsed population once led to γ = −45,260."""
    found = attempted(three_modes(), w, target, n=256, steps=10, rungs=6)
    if isinstance(found, InputError):
        assert target != 2.5
        assert re.search("cannot be measured|beyond what this model draws", str(found))
        return
    assert_honest(found, w)
    rejected(assert_honest, replace(found, error=0.0), w)
    rejected(assert_honest, replace(found, gamma=-734.0), w)


def test_the_effective_size_is_reported() -> None:
    found = guidance_strength(three_modes(), first, 2.5, n=256, steps=10)
    assert FAMILIES <= found.ess <= 256
    assert f"ESS {found.ess:.0f}" in str(found)


def test_one_family_has_no_error() -> None:
    """Its members scatter about their own mean: the error of families alone would be 0."""
    values, alone = Keys.of(4, 100).normal().double(), torch.zeros(100, dtype=torch.long)
    assert mean_and_error(values, alone)[1] == inf
    collapsed = Measured(1.0, values, alone)
    assert (collapsed.error, collapsed.trusted, collapsed.hits(collapsed.mean)) == (inf, False, False)
    free = Measured(1.0, values, torch.arange(100))
    assert (free.ess, free.trusted, free.hits(free.mean)) == (pytest.approx(100), True, True)


def test_nothing_is_tried_beyond_what_cannot_be_measured() -> None:
    values, ours = Keys.of(5, 400).normal().double(), torch.arange(400)
    start = Bracket(1.5, Measured(0.0, values, ours))
    assert start.proposed()[0] > 1.0
    dark = start.narrowed(Measured(1.2, values + 1.4, ours * 0), reached=True)
    assert dark.short is start.short
    assert 0 < dark.proposed()[0] < 1.2
    past = dark.narrowed(Measured(0.8, values + 1.8, ours), reached=True)
    assert 0 < past.proposed()[0] < 0.8
    closed = dark.narrowed(Measured(1.15, values + 1.1, ours), reached=True)
    with pytest.raises(
        InputError, match=r"cannot be measured with 400 samples: at γ = 1.2 they stem .* 1.0 of the first"
    ):
        closed.proposed()


def test_a_constant_cannot_be_calibrated() -> None:
    with pytest.raises(InputError, match="the property is 0 for all samples"):
        guidance_strength(three_modes(), lambda x: 0 * x[:, 0], 1.0, n=40)


def test_categories_are_calibrated_by_their_codes() -> None:
    """The expected number of positions in state 0."""
    world = sequences("masked")
    found = guidance_strength(world, lambda code: code[..., 0].sum(1), 1.2, n=2000, steps=30)
    probs = world.weights.reshape(3, 3)
    counts = double([[(a == 0) + (b == 0) for b in range(3)] for a in range(3)])
    exact = (probs.log() + found.gamma * counts).flatten().softmax(0) @ counts.flatten()
    assert exact.item() == pytest.approx(1.2, abs=0.06)


def test_a_target_as_a_guide() -> None:
    guided = three_modes() & MomentConstraint(double([1.0]), 2.0, n=2000)
    assert sample(guided, 4000).x.mean().item() == pytest.approx(2.0, abs=0.15)


def test_knobs_draw_independent_samples_where_no_particles_are_needed() -> None:
    knob = StrengthSearch(three_modes(), double([1.0]), 100)
    assert knob.draw(0.5, 0)[1].tolist() == list(range(100))
    assert len(replace(knob, w=first).draw(1.0, 0)[1].unique()) < 100


def test_the_error_of_a_mean_counts_families() -> None:
    values = Keys.of(3, 400).normal()
    alone = mean_and_error(values, torch.arange(400))[1]
    assert alone == pytest.approx(0.05, rel=0.1)
    assert mean_and_error(values.repeat(2), torch.arange(400).repeat(2))[1] == pytest.approx(alone)
