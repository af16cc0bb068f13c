"""Gaussian moves of continuous spaces: exact moments, normalised densities, a centre of mass that stays put."""

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.denoisers.oracles import GaussianComponents, Mixture
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.sampling.grids import uniform
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import EDM, Cosine, RectifiedFlow, Schedule
from ornstein.spaces import Centered, Euclidean, Gaussian
from ornstein.spaces.euclidean import Weighting
from ornstein.spectral import roots, transforms
from ornstein.states import left
from worlds import assert_close, double, rejected

KEYS = Keys.of(1, 3)
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
times = st.floats(0.05, 0.95)


def cloud(space: Euclidean, keys: Keys = KEYS) -> Tensor:
    """Clean data, float64."""
    return space.project(keys.normal(*space.shape))


# Noise and step ---------------------------------------------------------------------------------------


@given(t=times)
def test_noise_is_signal_plus_noise(t: float) -> None:
    space, x0 = Euclidean((4,)), KEYS.normal(4)
    expected = space.schedule.alpha(t) * x0 + space.schedule.sigma(t) * KEYS.fold("n").normal(4)
    assert_close(space.noise(x0, t, KEYS.fold("n")), expected)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=lambda s: type(s).__name__)
@given(t=times, ratio=st.floats(0.1, 0.95), eta=st.floats(0, 1))
def test_step_undoes_noise_for_every_eta(schedule: Schedule, t: float, ratio: float, eta: float) -> None:
    """x_s keeps the marginal N(α_s x₀, σ_s²): the mean and the variance of noise at t, moved to s, are those at s."""
    s, x0, one = ratio * t, double([[0.7]]), double([[1.0]])
    space, n = Euclidean((1,), schedule), Normal(x0)
    at_zero: Any = space.step(0 * one, n, t, s, eta)
    slope = space.step(one, n, t, s, eta).mean - at_zero.mean
    mean = slope * schedule.alpha(t) * x0 + at_zero.mean
    variance = slope**2 * schedule.sigma(t) ** 2 + at_zero.std**2
    assert_close(mean / schedule.alpha(s), x0, 1e-9)
    assert_close(variance.squeeze() / schedule.sigma(s) ** 2, double(1.0), 1e-9)


@given(t=times, ratio=st.floats(0.1, 0.95))
def test_ancestral_step_is_the_gaussian_posterior(t: float, ratio: float) -> None:
    """Bayes' rule for x_s given x₀ and x_t = (α_t/α_s) x_s + noise."""
    s, schedule = ratio * t, Cosine()
    x0, x_t = double([[0.7]]), double([[-0.4]])
    keep = schedule.alpha(t) / schedule.alpha(s)
    fresh = schedule.sigma(t) ** 2 - keep**2 * schedule.sigma(s) ** 2
    precision = schedule.sigma(s) ** -2 + keep**2 / fresh
    mean = (schedule.alpha(s) * x0 / schedule.sigma(s) ** 2 + keep * x_t / fresh) / precision
    found: Any = Euclidean((1,)).step(x_t, Normal(x0), t, s, 1.0)
    assert_close(found.mean, mean, 1e-9)
    assert found.std == pytest.approx(precision.rsqrt().item(), rel=1e-9)


def test_times_per_position_are_positions_moved_on_their_own() -> None:
    space, x_t, belief = Euclidean((3, 2)), KEYS.normal(3, 2), Normal(KEYS.fold(1).normal(3, 2))
    t, s = KEYS.fold(2).uniform(3), 0.5 * KEYS.fold(2).uniform(3)
    found: Any = space.step(x_t, belief, t, s, 0.7)
    for i in range(3):
        for p in range(3):
            alone: Any = space.step(x_t, belief, t[i, p].item(), s[i, p].item(), 0.7)
            assert_close(found.mean[i, p], alone.mean[i, p], 1e-12)
            assert_close(left(found.std, x_t)[i, p, 0], double(alone.std), 1e-12)


def test_positions_already_clean_stay() -> None:
    space, x = Euclidean((3, 2)), KEYS.normal(3, 2)
    t = double([1.0, 0.0, 0.0]).expand(3, 3)
    moved = space.step(x, Normal(0 * x), t, torch.zeros_like(t)).sample(KEYS)
    assert moved[:, 1:].equal(x[:, 1:])
    assert (moved[:, 0] == 0).all()


# Densities --------------------------------------------------------------------------------------------


def assert_integrates_to_one(log_prob: Callable[[Tensor], Tensor], dimensions: int) -> None:
    """The density summed over a grid of the unit cube of width 12."""
    axis = torch.linspace(-6, 6, 241, dtype=torch.float64)
    x = torch.cartesian_prod(*[axis] * dimensions).reshape(-1, dimensions)
    total = log_prob(x).exp().sum() * (12 / 240) ** dimensions
    assert abs(total.item() - 1) < 1e-6, f"integrates to {total:.4f}"


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("std", [0.3, 0.8])
def test_euclidean_density_integrates_to_one(dimensions: int, std: float) -> None:
    space = Euclidean((dimensions,))

    def log_prob(x: Tensor) -> Tensor:
        return Gaussian(torch.full_like(x, 0.3), std, space).log_prob(x)

    assert_integrates_to_one(log_prob, dimensions)


def centered_log_prob(transition: Callable[[Tensor], Gaussian], x: Tensor) -> Tensor:
    """The density over an orthonormal basis of two or three points on a line without their centre of mass."""
    basis = double([[1, -1, 0], [1, 1, -2]])[: x.shape[1]]
    basis = basis / basis.norm(dim=1, keepdim=True)
    points = (x @ basis).reshape(-1, 3, 1)
    return transition(points).log_prob(points)


@pytest.mark.parametrize("points", [2, 3])
def test_centered_density_integrates_to_one_over_its_degrees_of_freedom(points: int) -> None:
    """n points on a line have n − 1; with a mask, those of the points that exist."""

    def transition(x: Tensor) -> Gaussian:
        mask = torch.arange(3).expand(len(x), 3) < points
        return Gaussian(torch.zeros_like(x), 0.6, Centered((3, 1)).with_mask(mask))

    assert_integrates_to_one(lambda x: centered_log_prob(transition, x), points - 1)


class Unnormalised(Gaussian):
    """A broken twin: forgets the width of the noise."""

    def log_prob(self, x: Any) -> Tensor:
        residual = (x - self.mean) / self.std
        return (-0.5 * residual**2 - 0.5 * torch.tensor(2 * pi).log()).flatten(1).sum(1)


def test_integration_rejects_a_density_without_its_width() -> None:
    rejected(assert_integrates_to_one, lambda x: Unnormalised(0 * x, 0.3, Euclidean((1,))).log_prob(x), 1)


def test_integration_rejects_points_counted_as_free() -> None:
    """A broken twin: n · d degrees of freedom."""
    rejected(
        assert_integrates_to_one,
        lambda x: centered_log_prob(lambda p: Gaussian(0 * p, 0.6, Euclidean((3, 1))), x),
        2,
    )


def test_deterministic_moves_are_point_masses() -> None:
    space, x = Euclidean((4,)), KEYS.normal(4)
    move = space.step(x, Normal(x), 0.5, 0.2, eta=0.0)
    assert move.log_prob(move.mean).tolist() == [0, 0, 0]
    assert (move.log_prob(move.mean + 1e-3) == -torch.inf).all()


# Centred ----------------------------------------------------------------------------------------------


def centre(x: Tensor) -> float:
    return x.double().sum(1).abs().max().item() / x.shape[1]


def spherical(space: Euclidean) -> Mixture:
    """Standard normal clean data in every degree of freedom, on which the centred oracle is the plain one."""
    d = space.shape[0] * space.shape[1]
    eye = torch.eye(d, dtype=torch.float64)[None]
    return Mixture(double([1.0]), GaussianComponents.of(space, torch.zeros(1, d, dtype=torch.float64), eye))


def assert_stays_centred(space: Euclidean, mask: Tensor | None) -> None:
    """Prior, noise, and samples with and without fresh noise have a centre of mass below 1e-6."""
    bound, condition = space.with_mask(mask), {} if mask is None else {"mask": mask}
    prior = bound.prior(KEYS)
    assert centre(prior) < 1e-6
    assert centre(bound.noise(bound.project(KEYS.normal(*space.shape).float()), 0.6, KEYS)) < 1e-6
    world = spherical(space)
    assert centre(Sampler(uniform(25)).run(world, KEYS, condition)) < 1e-6
    uncentred = Normal(prior + 1.0)
    assert centre(bound.step(prior, uncentred, 0.5, 0.3).sample(KEYS)) < 1e-6


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_centre_of_mass_stays_at_zero(mask: Tensor | None) -> None:
    assert_stays_centred(Centered((4, 3)), mask)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_centre_test_rejects_a_space_without_its_projection(mask: Tensor | None) -> None:
    rejected(assert_stays_centred, Euclidean((4, 3)), mask)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("space", [Centered((4, 3)), Euclidean((4, 3))], ids=["centered", "euclidean"])
def test_projection_is_one_and_its_rank_is_the_freedom(space: Euclidean, mask: Tensor | None) -> None:
    bound = space.with_mask(mask)
    one, two = KEYS.normal(4, 3), KEYS.fold(1).normal(4, 3)
    projected = bound.project(one)
    assert_close(bound.project(projected), projected)
    assert_close((projected * two).sum((1, 2)), (one * bound.project(two)).sum((1, 2)))
    columns = [bound.project(e.reshape(1, 4, 3).expand(3, 4, 3)) for e in torch.eye(12, dtype=torch.float64)]
    trace = torch.stack([column.reshape(3, 12)[:, k] for k, column in enumerate(columns)]).sum(0)
    assert_close(bound.freedom(one).sum((1, 2)), trace)


def test_translation_drops_out() -> None:
    space, x0 = Centered((4, 3)), KEYS.normal(4, 3)
    shifted = x0 + KEYS.fold(1).normal(1, 3)
    assert_close(space.noise(shifted, 0.4, KEYS), space.noise(x0, 0.4, KEYS))
    belief = Normal(space.project(KEYS.fold(2).normal(4, 3)))
    assert_close(space.loss(belief, shifted, x0, 0.4), space.loss(belief, x0, x0, 0.4))


def test_centred_noise_has_unit_variance_in_every_freedom() -> None:
    noise = Centered((4, 1)).prior(Keys.of(0, 20000)).double()
    variance = (noise**2).sum((1, 2)).mean().item()
    assert variance == pytest.approx(3.0, abs=4 * sqrt(6 / 20000))


def test_centred_points_share_one_time() -> None:
    x = KEYS.normal(4, 3)
    with pytest.raises(ValueError, match=r"share one time a sample; got times of shape \(3, 4\)"):
        Centered((4, 3)).step(x, Normal(x), torch.full((3, 4), 0.5), 0.1)


# Loss, network, data ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", ["edm", "unit", "snr", "min-snr"])
def test_loss_is_smallest_at_the_conditional_mean(weighting: Any) -> None:
    space, x0 = Euclidean((1,), weighting=weighting), double([[-1.0], [0.5], [2.0]])
    grid = torch.linspace(-2, 3, 501, dtype=torch.float64)
    losses = [space.loss(Normal(torch.full_like(x0, m.item())), x0, x0, 0.5).mean() for m in grid]
    assert grid[torch.stack(losses).argmin()].item() == pytest.approx(0.5, abs=1e-9)


def test_loss_counts_only_what_exists() -> None:
    space = Euclidean((4, 3), weighting="unit")
    x0 = cloud(space.with_mask(MASK))
    error = torch.ones_like(x0) * MASK[..., None]
    assert_close(space.with_mask(MASK).loss(Normal(x0 + error), x0, x0, 0.5), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=lambda s: type(s).__name__)
def test_preconditioning_is_exact_for_gaussian_data(schedule: Schedule) -> None:
    """With data N(0, σ_d²) the network has nothing to add, its inputs have unit variance, and so has its target."""
    space = Euclidean((1,), schedule, data_std=0.5)
    keys = Keys.of(2, 20000)
    x0 = 0.5 * keys.normal(1)
    for t in (0.1, 0.5, 0.9):
        x_t = space.noise(x0, t, keys.fold("n"))
        assert space.inputs(x_t, t).var().item() == pytest.approx(1, abs=0.05)
        mean = space.belief(torch.zeros_like(x_t), x_t, t).mean
        slope = (space.belief(torch.ones_like(x_t), x_t, t).mean - mean)[0]
        assert ((x0 - mean) / slope).var().item() == pytest.approx(1, abs=0.05)
        assert abs(torch.corrcoef(torch.cat([x0 - mean, x_t], 1).T)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        (torch.ones(2, 5), r"records must have shape \(4, 3\), found \(5,\)"),
        (torch.ones(2, 4, 3, dtype=torch.int64), "must be floating point, found torch.int64"),
        ({"x": torch.ones(2, 4, 3)}, "found dict"),
    ],
)
def test_check_names_what_is_wrong(x0: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"file.npz: .*{message}"):
        Euclidean((4, 3)).check(x0, "file.npz")


def test_check_names_the_record_and_the_element() -> None:
    x0 = torch.ones(3, 4, 3)
    x0[1, 2, 0] = torch.nan
    with pytest.raises(InputError, match=r"record 1, element \(2, 0\) is nan, expected a finite number"):
        Euclidean((4, 3)).check(x0)


# Edges ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=repr)
def test_a_step_to_where_one_is_stays(schedule: Schedule, eta: float) -> None:
    """Also at t = 1, where α may be 0: positions revealed one at a time wait there."""
    space, x = Euclidean((3,), schedule), Keys.of(0, 2).normal(3)
    wait = torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 0.2]], dtype=torch.float64)
    stayed = space.step(x, Normal(0 * x), wait, wait, eta).sample(Keys.of(1, 2))
    assert stayed.equal(x)
    assert space.step(x, Normal(0 * x), 1.0, 1.0, eta).sample(Keys.of(1, 2)).equal(x)


@pytest.mark.parametrize("weighting", ["edm", "unit", "snr", "min-snr"])
def test_clean_positions_do_not_count_in_the_loss(weighting: Weighting) -> None:
    space, x = Euclidean((2,), weighting=weighting), torch.zeros(1, 2)
    times = torch.tensor([[0.0, 0.5]])
    assert space.loss(Normal(x + torch.tensor([5.0, 0.0])), x, x, times).item() == 0
    assert space.loss(Normal(x + torch.tensor([0.0, 5.0])), x, x, times).item() > 0


@pytest.mark.parametrize(
    ("weighting", "expected"), [("edm", 3.0 + 1 / 0.25), ("unit", 1.0), ("snr", 3.0), ("min-snr", 3.0)]
)
def test_weightings_by_hand(weighting: Weighting, expected: float) -> None:
    """At t with α²/σ² = 3 and data of spread ½, on an error of 1."""
    space, x = Euclidean((1,), Cosine(), 0.5, weighting), torch.zeros(1, 1)
    t = space.schedule.time(torch.tensor(3.0).log()).item()
    assert space.loss(Normal(x + 1), x, x, t).item() == pytest.approx(expected, rel=1e-5)
    near = space.schedule.time(torch.tensor(50.0).log()).item()
    if weighting == "min-snr":
        assert space.loss(Normal(x + 1), x, x, near).item() == pytest.approx(5.0, rel=1e-5)


def test_a_lone_point_has_no_freedom_and_no_loss() -> None:
    space = Centered((3, 2)).with_mask(torch.tensor([[True, False, False]]))
    assert space.loss(Normal(torch.zeros(1, 3, 2)), torch.ones(1, 3, 2), torch.zeros(1, 3, 2), 0.5).item() == 0


def test_centred_points_share_a_time() -> None:
    for call in (Centered((3, 2)).noise, lambda x, t, k: Centered((3, 2)).step(x, Normal(x), t, 0.5 * t)):
        with pytest.raises(ValueError, match="one time a sample"):
            call(torch.ones(1, 3, 2), torch.full((1, 3), 0.5), Keys.of(0, 1))


def test_tweedie_stays_in_the_space() -> None:
    """Whatever the network does, the covariance maps into the centred, existing points."""
    space = Centered((4, 2)).with_mask(torch.tensor([[True, True, True, False]]))
    x = space.prior(Keys.of(0, 1)).double().requires_grad_()
    mean = space.project(x + 0.3 * x.sin().cumsum(1).roll(1, 2))
    belief = space.second_moment(Normal(mean), x, 0.5)
    assert belief.cov is not None
    moved = belief.cov(torch.rand(1, 4, 2, dtype=torch.float64))
    assert_close(moved, space.project(moved), 1e-12)
    assert moved.abs().max() > 0.01


@pytest.mark.parametrize("coloured", [False, True])
def test_a_spectrum_goes_where_the_states_are(coloured: bool) -> None:
    """Numbers of the space are on the CPU, states on a GPU; the device "meta" refuses to mix them just as well."""
    spectrum = roots.power_law((1, 6, 8), 3, transforms.periodic())
    space = Euclidean((1, 6, 8), data_std=spectrum, noise_cov=spectrum if coloured else None)
    x, moments = torch.zeros(2, 1, 6, 8, device="meta"), torch.zeros(2, device="meta")
    with pytest.raises(RuntimeError, match="device"):
        _ = x.double() * spectrum.variance
    for t in (moments, 0.5):
        belief = space.belief(space.inputs(x, t), x, t)
        for found in (space.loss(belief, x, x, t), space.gaussian_cov(t, x)(x), space.step(x, belief, t, t).mean):
            assert found.device == x.device
