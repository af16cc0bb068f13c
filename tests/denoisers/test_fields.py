"""Random fields: noise with a spectrum through every solver, and posteriors against dense linear algebra."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import Euclidean, InputError, Keys, Normal
from ornstein.denoisers.fields import GaussianField, gaussian_field
from ornstein.spaces import Gaussian
from ornstein.spectral.roots import Spectral, power_law
from ornstein.spectral.transforms import PIXELS, Separable, periodic
from ornstein.testing import check_denoiser, check_space
from worlds import rejected

SHAPE = (8, 6)
SIZE = 48
EYE = torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)
STEEP = power_law(SHAPE, 3, periodic())
NOISES = {"white": None, "like the data": STEEP, "in between": STEEP.power(0.5)}
SOLVERS = {
    "ODE": {},
    "ODE, order 1": {"order": 1, "steps": 200},
    "SDE": {"eta": 1.0, "order": 1},
    "half noise": {"eta": 0.5, "order": 1},
}


def matrix(cov) -> Tensor:
    return cov(EYE).reshape(SIZE, SIZE)


def field(noise: str) -> GaussianField:
    mean = torch.linspace(-1, 1, SIZE, dtype=torch.float64).reshape(SHAPE)
    return gaussian_field(STEEP, mean, noise_cov=NOISES[noise])


def assert_of_the_field(x: Tensor, world: GaussianField, cov: Spectral = STEEP) -> None:
    """The coefficients are those of independent normal numbers: mean 0 and the variances of the spectrum, by χ²."""
    white = cov.whiten(x.double() - world.mean).flatten(1)
    n = white.numel()
    assert abs(float(white.square().sum()) - n) < 4.5 * (2 * n) ** 0.5
    assert float(white.mean(0).square().sum() * len(white)) < SIZE + 4.5 * (2 * SIZE) ** 0.5


@pytest.mark.parametrize("noise", NOISES)
def test_noise_with_a_spectrum_keeps_every_promise_of_a_space(noise: str) -> None:
    x0 = field(noise).draw(Keys.of(1, 4))
    space = field(noise).space
    assert check_space(space, x0, tolerance=1e-4) > 10
    assert check_denoiser(field(noise)) > 3


@pytest.mark.parametrize("noise", NOISES)
def test_noised_data_have_the_law_that_is_stated(noise: str) -> None:
    world = field(noise)
    space, keys = world.space, Keys.of(3, 4000)
    assert isinstance(space, Euclidean)
    x = space.noise(torch.zeros(4000, *SHAPE), 0.6, keys).double()
    sigma = space.schedule.sigma(0.6).item()
    cov = Spectral.of(torch.ones(SHAPE)) if space.noise_cov is None else space.noise_cov
    assert_of_the_field(x, replace(world, mean=torch.zeros(SHAPE).double()), cov * sigma**2)
    law = space.noising(torch.zeros(2, *SHAPE).double(), 0.6)
    expected = torch.distributions.MultivariateNormal(torch.zeros(SIZE).double(), sigma**2 * matrix(cov))
    assert torch.allclose(law.log_prob(x[:2]), expected.log_prob(x[:2].flatten(1)))


def test_white_noise_is_not_taken_for_noise_like_the_data() -> None:
    space = field("white").space
    x = space.noise(torch.zeros(400, *SHAPE), 0.6, Keys.of(3, 400)).double()
    world = replace(field("white"), mean=torch.zeros(SHAPE).double())
    rejected(assert_of_the_field, x, world, STEEP * space.schedule.sigma(0.6).item() ** 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_draws_the_field(noise: str, solver: str) -> None:
    world = field(noise)
    assert_of_the_field(on.sample(world, 400, **{"steps": 40, **SOLVERS[solver]}).x, world)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("corrector", [on.Restart(), on.MALA(step_size=0.3, count=3), on.HMC(step_size=0.15)], ids=str)
def test_correctors_leave_the_noisy_field_as_it_is(noise: str, corrector) -> None:
    world, t, keys = field(noise), 0.4, Keys.of(12, 300)
    space = world.field
    x = space.noise(world.draw(keys).double(), t, keys.fold("noise"))
    state = on.SamplerState(x, t, space, past=((0.5, world(x, t)),))
    for k in range(3):
        state = corrector(state, t, world, {}, keys.fold(k))
    assert not state.x.equal(x)
    law = space.gaussian_law(t, x)
    alpha = space.schedule.alpha(t).item()
    white = law.cov.whiten(state.x - alpha * world.mean).flatten(1)  # type: ignore[union-attr]
    n = white.numel()
    assert abs(float(white.square().sum()) - n) < 4.5 * (2 * n) ** 0.5
    if state.acceptance is not None:
        assert float(state.acceptance.mean()) > 0.5


@pytest.mark.parametrize("noise", NOISES)
def test_the_belief_is_that_of_dense_algebra(noise: str) -> None:
    world, t = field(noise), 0.4
    space = world.field
    alpha, sigma = space.schedule.alpha(t).item(), space.schedule.sigma(t).item()
    l2 = torch.eye(SIZE).double() if space.noise_cov is None else matrix(space.noise_cov)
    x = world.space.noise(world.draw(Keys.of(5, 3)).double(), t, Keys.of(4, 3))
    gain = alpha * matrix(STEEP) @ (alpha**2 * matrix(STEEP) + sigma**2 * l2).inverse()
    belief = world(x, t)
    expected = world.mean.flatten() + (x.flatten(1) - alpha * world.mean.flatten()) @ gain.T
    assert torch.allclose(belief.mean.flatten(1), expected)
    assert belief.cov is not None
    assert torch.allclose(matrix(belief.cov), matrix(STEEP) - alpha * gain @ matrix(STEEP))
    law = torch.distributions.MultivariateNormal(alpha * world.mean.flatten(), alpha**2 * matrix(STEEP) + sigma**2 * l2)
    assert torch.allclose(world.log_density(x, t), law.log_prob(x.flatten(1)))


@pytest.mark.parametrize("noise", NOISES)
def test_tweedies_covariance_knows_the_colour_of_the_noise(noise: str) -> None:
    world, t = field(noise), 0.4
    x = world.space.noise(world.draw(Keys.of(5, 1)).double(), t, Keys.of(4, 1)).requires_grad_()
    exact = world(x, t)
    assert exact.cov is not None
    found = world.space.second_moment(Normal(exact.mean), x, t)
    assert isinstance(found, Normal)
    assert found.cov is not None
    columns = torch.cat([found.cov(e[None]) for e in EYE])
    assert torch.allclose(columns.reshape(SIZE, SIZE), matrix(exact.cov), atol=1e-10)
    slope = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0)).double()
    moved = world.space.apply_score(exact, slope, t)
    step = world.field.tweedie(t, x) * (slope if world.field.noise_cov is None else world.field.noise_cov(slope))
    assert torch.allclose(moved.mean, exact.mean + step)


@pytest.mark.parametrize("noise", NOISES)
def test_the_loss_is_smallest_for_the_true_belief(noise: str) -> None:
    world, t, keys = field(noise), torch.full((2000,), 0.3), Keys.of(6, 2000)
    space = world.space
    x0 = world.draw(keys)
    x_t = space.noise(x0, t, keys.fold("noise"))
    belief = world(x_t, t)
    losses = [space.loss(replace(belief, mean=belief.mean * shrink), x0, x_t, t).mean() for shrink in (0.97, 1, 1.03)]
    assert losses[1] < min(losses[0], losses[2])


def test_weights_of_elements_count_in_the_loss() -> None:
    weights = torch.tensor([0.0, 2.0, 1.0])
    space = Euclidean((3,), element_weights=weights)
    x0, belief = torch.zeros(1, 3), Normal(torch.tensor([[5.0, 1.0, 1.0]]))
    plain = Euclidean((3,))
    t = torch.tensor([0.5])
    one = plain.loss(Normal(torch.tensor([[0.0, 0.0, 1.0]])), x0, x0, t)
    assert torch.allclose(space.loss(belief, x0, x0, t), 3 * one)


@pytest.mark.parametrize("noise", NOISES)
def test_the_densities_of_moves_are_normalised_alike(noise: str) -> None:
    """A step that knows the covariance is the exact reverse kernel: Bayes' rule for x_s, x_t holds in its density."""
    world, t, s = field(noise), 0.7, 0.4
    space = world.space
    x_t = space.noise(world.draw(Keys.of(7, 3)).double(), t, Keys.of(8, 3))
    step = space.step(x_t, world(x_t, t), t, s)
    assert not isinstance(step, Gaussian)
    x_s = step.sample(Keys.of(9, 3))
    forward = space.noising(x_s, t, since=s).log_prob(x_t)
    expected = forward + world.log_density(x_s, s) - world.log_density(x_t, t)
    assert torch.allclose(step.log_prob(x_s), expected, atol=1e-8)


@pytest.mark.parametrize("noise", NOISES)
def test_the_flows_density_is_that_of_the_field(noise: str) -> None:
    world = gaussian_field(
        power_law((3, 4), 2, periodic()),
        noise_cov=None if noise == "white" else power_law((3, 4), 2 if noise == "like the data" else 1, periodic()),
    )
    x0 = world.draw(Keys.of(1, 4))
    exact = world.field.gaussian_law(0.0, x0).log_prob(x0)
    assert torch.allclose(on.log_prob(world, x0, steps=80), exact, atol=0.02)


@pytest.mark.parametrize("noise", NOISES)
def test_particles_draw_the_posterior_of_sparse_sensors(noise: str) -> None:
    world = field(noise)
    seen = torch.zeros(SHAPE, dtype=torch.bool)
    seen.view(-1)[::7] = True
    truth = world.draw(Keys.of(11, 1))[0]
    factor = on.Measurement(truth[seen], on.operators.Mask(seen), 0.2)
    columns = seen.flatten().nonzero()[:, 0]
    prior = matrix(STEEP)
    system = prior[columns][:, columns] + 0.04 * torch.eye(len(columns)).double()
    law = torch.distributions.MultivariateNormal(world.mean[seen], system)
    gain = prior[:, columns] @ system.inverse()
    mean = world.mean.flatten() + gain @ (truth[seen].double() - world.mean[seen])
    cov = prior - gain @ prior[columns]
    samples = on.sample(world & factor, 300, steps=12, exact="particles", particles=300)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(cov), (samples.x.double().flatten(1) - mean).T, upper=False
    )
    n = white.numel()
    assert abs(float(white.square().sum()) - n) < 4.5 * (2 * n) ** 0.5
    evidence = law.log_prob(truth[seen].double()).item()
    assert abs(samples.exactness.log_evidence - evidence) < 4 * samples.exactness.error + 2e-3


def test_a_spectrum_a_step_of_another_basis_takes_the_plain_step() -> None:
    world = field("white")
    other = Euclidean(SHAPE, noise_cov=power_law(SHAPE, 3, Separable(("sine", "sine"))))
    x = other.noise(world.draw(Keys.of(5, 2)), 0.5, Keys.of(4, 2))
    assert isinstance(other.step(x, Normal(x, STEEP), 0.5, 0.4), Gaussian)


def test_fields_of_one_precision_stay_so() -> None:
    for dtype in (torch.float32, torch.float64):
        x = field("like the data").draw(Keys.of(1, 2)).to(dtype)
        space = field("like the data").space
        x_t = space.noise(x, 0.3, Keys.of(0, 2))
        belief = field("like the data")(x_t, 0.3)
        assert {x_t.dtype, belief.mean.dtype, space.step(x_t, belief, 0.3, 0.2).sample(Keys.of(1, 2)).dtype} == {dtype}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"noise_cov": power_law((4, 4), 3, periodic())},
            r"noise_cov: a spectrum over 4×4, expected one over \(8, 6\)",
        ),
        ({"data_std": torch.ones(3)}, r"data_std has the shape \(3,\), expected \(8, 6\)"),
        ({"data_std": torch.zeros(SHAPE)}, r"element \(0, 0\) is 0.0, expected a positive number"),
        ({"data_std": torch.full(SHAPE, torch.nan)}, "is nan"),
        ({"data_std": -1.0}, "data_std is -1.0"),
        ({"data_std": STEEP, "noise_cov": power_law(SHAPE, 3, Separable(("sine", "sine")))}, "expected one basis"),
        ({"data_std": torch.ones(SHAPE), "noise_cov": STEEP}, "say both in one basis"),
        ({"element_weights": -torch.ones(SHAPE)}, "element_weights: element"),
    ],
)
def test_wrong_spreads_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Euclidean(SHAPE, **options)


def test_what_noise_with_a_spectrum_cannot_do_is_refused() -> None:
    space = field("like the data").space
    with pytest.raises(InputError, match="under a mask the noise must be white"):
        space.with_mask(torch.ones(2, 8, dtype=torch.bool))
    with pytest.raises(InputError, match="share one time a sample"):
        space.noise(torch.zeros(2, *SHAPE), torch.full((2, 8), 0.5), Keys.of(0, 2))
    with pytest.raises(InputError, match="centred points have white noise"):
        on.Centered(SHAPE, noise_cov=STEEP)


def test_a_field_of_spreads_is_a_spectrum_of_the_values() -> None:
    spread = torch.linspace(0.5, 2, SIZE).reshape(SHAPE)
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    a, b = Euclidean(SHAPE, data_std=spread), Euclidean(SHAPE, data_std=Spectral.of(spread.double() ** 2, PIXELS))
    assert torch.allclose(a.inputs(x, 0.4), b.inputs(x, 0.4))
    assert torch.allclose(a.belief(x, x, 0.4).mean, b.belief(x, x, 0.4).mean)


@pytest.mark.parametrize("noise", [None, STEEP], ids=["white", "coloured"])
@pytest.mark.parametrize(("eta", "order"), [(1.0, 2), (1.0, 3), (0.5, 2)])
def test_steps_as_wide_as_the_field_is_unsure_do_not_look_back(noise: Spectral | None, eta: float, order: int) -> None:
    """Either mends the variance that plain steps lack; both together drew twice the variance in ten steps."""
    world = gaussian_field(STEEP, noise_cov=noise)
    x = on.sample(world, 400, steps=10, eta=eta, order=order).x.double()
    share = STEEP.basis.forward(x).square().mean(0) / STEEP.variance[0]
    assert abs(share.mean() - 1) < 0.08
    if order == 2 and eta == 1:
        assert on.sample(world, 400, steps=10, eta=1.0).x.equal(x.to(torch.get_default_dtype()))
