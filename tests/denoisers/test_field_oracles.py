"""Oracles of fields: mixtures, exact posteriors, and long chains where there is no closed form."""

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import InputError, Keys
from ornstein.denoisers.fields import draw_normal, field_mixture, gaussian_field, mixture_posterior
from ornstein.mcmc import chains
from ornstein.mcmc.densities import Density
from ornstein.mcmc.elliptical import EllipticalSlice
from ornstein.spectral.roots import Downdated, Spectral, power_law, widened
from ornstein.spectral.transforms import Separable, periodic
from worlds import rejected

SHAPE, SIZE = (6, 5), 30
EYE = torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)
SMOOTH, ROUGH = power_law(SHAPE, 4, periodic()), power_law(SHAPE, 1, periodic(), std=0.5)
MEAN = torch.linspace(-1, 1, SIZE, dtype=torch.float64).reshape(SHAPE)


def matrix(cov) -> Tensor:
    return cov(EYE).reshape(SIZE, SIZE)


def mixture(noise: Spectral | None = None):
    return field_mixture(
        [gaussian_field(SMOOTH, MEAN, noise_cov=noise), gaussian_field(ROUGH, noise_cov=noise)],
        torch.tensor([0.3, 0.7]),
    )


def laws(alpha: float, sigma: float, noise: Spectral | None) -> list[torch.distributions.MultivariateNormal]:
    """Of x_t, of each field, by dense algebra."""
    l2 = torch.eye(SIZE).double() if noise is None else matrix(noise)
    means = alpha * MEAN.flatten(), torch.zeros(SIZE).double()
    covs = [alpha**2 * matrix(cov) + sigma**2 * l2 for cov in (SMOOTH, ROUGH)]
    return [torch.distributions.MultivariateNormal(m, c) for m, c in zip(means, covs, strict=True)]


@pytest.mark.parametrize("noise", [None, SMOOTH], ids=["white", "smooth"])
def test_a_mixture_of_fields_is_that_of_dense_algebra(noise: Spectral | None) -> None:
    world, t = mixture(noise), 0.5
    schedule = world.space.schedule  # type: ignore[attr-defined]
    alpha, sigma = schedule.alpha(t).item(), schedule.sigma(t).item()
    x = world.space.noise(world.draw(Keys.of(1, 5)).double(), t, Keys.of(2, 5)).requires_grad_()
    each = torch.stack([law.log_prob(x.flatten(1)) for law in laws(alpha, sigma, noise)], 1)
    log_p = (each + torch.tensor([0.3, 0.7]).double().log()).logsumexp(1)
    assert torch.allclose(world.log_density(x, t), log_p)
    (score,) = torch.autograd.grad(log_p.sum(), x)
    belief = world(x, t)
    towards = score if noise is None else noise(score)
    assert torch.allclose(belief.mean, (x + sigma**2 * towards) / alpha)  # Tweedie
    columns = [torch.autograd.grad(belief.mean.flatten(1)[:, k].sum(), x, retain_graph=True)[0] for k in range(SIZE)]
    second = torch.stack([c if noise is None else noise(c) for c in columns], 1) * sigma**2 / alpha
    found = torch.stack([belief.cov(e.expand(5, *SHAPE)) for e in EYE], 1)  # type: ignore[attr-defined]
    assert torch.allclose(found, second, atol=1e-8)


def test_directions_more_have_the_root_and_the_determinant_of_their_matrix() -> None:
    fields = torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(0)).double()
    cov = Downdated.raised(SMOOTH, fields)
    expected = matrix(SMOOTH) + torch.einsum("bki,bkj->ij", fields.flatten(2), fields.flatten(2))
    root = cov.root(EYE).reshape(SIZE, SIZE).T
    assert torch.allclose(matrix(cov), expected)
    assert torch.allclose(root @ root.T, expected)
    assert torch.allclose(cov.log_det[0], torch.linalg.slogdet(expected).logabsdet)
    total = widened(cov, None, 0.3, 0.5)
    assert total is not None
    assert torch.allclose(matrix(total), 0.09 * torch.eye(SIZE).double() + 0.25 * expected)
    seen = torch.randn(4, SIZE, generator=torch.Generator().manual_seed(1)).double()
    system = 0.1 * torch.eye(4).double() + seen @ expected @ seen.T
    left = cov.less((seen @ expected).reshape(1, 4, *SHAPE), system.inverse()[None])
    assert torch.allclose(matrix(left), expected - expected @ seen.T @ system.inverse() @ seen @ expected)


def test_particles_know_the_mixture_given_sensors() -> None:
    world, keys = mixture(), Keys.of(3, 400)
    seen = torch.zeros(SHAPE, dtype=torch.bool)
    seen.view(-1)[::6] = True
    y = 0.3 * torch.randn(int(seen.sum()), generator=torch.Generator().manual_seed(2))
    factor = on.Measurement(y, on.operators.Mask(seen), 0.3)
    evidence, weights, each = mixture_posterior(world, factor)
    exact = torch.cat([draw_normal(law, keys) for law in each])
    shares = weights.repeat_interleave(400) / 400
    found = on.sample(world & factor, 400, steps=16, exact="particles", particles=400)
    assert abs(found.exactness.log_evidence - float(evidence)) < 4 * found.exactness.error + 0.02
    mean = (shares[:, None] * exact.flatten(1)).sum(0)
    spread = (shares[:, None] * (exact.flatten(1) - mean) ** 2).sum(0).sqrt()
    off = (found.x.double().flatten(1).mean(0) - mean) / spread
    assert off.square().mean().sqrt() < 0.2
    ratio = found.x.double().flatten(1).std(0) / spread
    assert 0.9 < float(ratio.mean()) < 1.1


def test_a_measurement_that_is_diagonal_needs_no_matrix() -> None:
    world = gaussian_field(SMOOTH, MEAN)
    gain = torch.rand(SHAPE, generator=torch.Generator().manual_seed(3)).double()
    blur = Spectral.of(gain + 1e-6, periodic())  # as an operator
    y = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4)).double()
    evidence, given = world.filtered(gain + 1e-6, y, 0.2)
    dense = on.operators.Matrix(matrix(blur), SHAPE)
    expected, law = world.posterior(on.Measurement(y.flatten(), dense, 0.2))
    assert torch.allclose(evidence, expected)
    assert torch.allclose(given.mean, law.mean)
    assert torch.allclose(matrix(given.cov), matrix(law.cov))


def log_normal_density(y: Tensor, seen: Tensor, std: float) -> Density:
    """Of a field z that is seen as e^z at some places."""
    prior = gaussian_field(SMOOTH).field.gaussian_law(0.0, torch.zeros(1, *SHAPE))

    def energy(z: Tensor) -> Tensor:
        misfit = ((z[:, seen].double().exp() - y) / std).square().sum(1) / 2
        return misfit - prior.log_prob(z)

    return Density.of_energy(energy, gaussian_field(SMOOTH).space)


def assert_invariant(move: chains.Move, moves: int = 6) -> None:
    """A posterior sample of a drawn field's own data stays one under the moves: nothing drifts."""
    truths = 400
    keys = Keys.of(5, truths)
    fields = gaussian_field(SMOOTH).draw(keys).double()
    seen = torch.zeros(SHAPE, dtype=torch.bool)
    seen.view(-1)[::4] = True
    y = fields[:, seen].exp() + 0.3 * keys.fold("noise").normal(int(seen.sum()))
    moved = chains.run(move, log_normal_density(y, seen, 0.3), fields, keys, draws=1, thin=moves)
    functionals = {
        "mean": lambda z: z.flatten(1).mean(1),
        "square": lambda z: z.flatten(1).square().mean(1),
        "misfit": lambda z: (z[:, seen].exp() - y).square().sum(1),
    }
    for name, functional in functionals.items():
        change = functional(moved.x[-1]) - functional(fields)
        z = float(change.mean() / change.std()) * truths**0.5
        assert abs(z) < 4, f"{name} drifts by {z:.1f} standard errors"


def test_elliptical_slices_leave_a_log_normal_posterior_as_it_is() -> None:
    assert_invariant(EllipticalSlice(gaussian=gaussian_field(SMOOTH).prior()))


def test_slices_of_another_level_are_rejected() -> None:
    class Greedy(EllipticalSlice):
        """A broken twin: the level is the likelihood itself, so that it only climbs."""

        def _likelihood(self, point, density):  # type: ignore[override]
            return 3 * super()._likelihood(point, density)

    rejected(assert_invariant, Greedy(gaussian=gaussian_field(SMOOTH).prior()))


def test_elliptical_slices_draw_a_gaussian_posterior() -> None:
    world = gaussian_field(SMOOTH, MEAN)
    seen = torch.zeros(SHAPE, dtype=torch.bool)
    seen.view(-1)[::4] = True
    y = torch.ones(int(seen.sum()))
    _, exact = world.posterior(on.Measurement(y, on.operators.Mask(seen), 2.0))
    prior = world.field.gaussian_law(0.0, torch.zeros(1, *SHAPE))

    def energy(x: Tensor) -> Tensor:
        return ((x[:, seen] - 1) / 2.0).square().sum(1) / 2 - prior.log_prob(x - MEAN)

    density = Density.of_energy(energy, world.space)
    start, keys = world.draw(Keys.of(1, 200)).double(), Keys.of(2, 200)
    found = chains.run(EllipticalSlice(gaussian=world.prior()), density, start, keys, draws=20, warmup=15)
    assert found.r_hat < 1.15
    x = found.x.flatten(0, 1).flatten(1)
    spread = torch.stack([exact.cov(e[None])[0].flatten()[k] for k, e in enumerate(EYE)]).sqrt()  # type: ignore[misc]
    assert ((x.mean(0) - exact.mean.flatten()) / spread).abs().max() < 0.15
    assert ((x.std(0) / spread).log().abs() < 0.1).all()


def test_a_level_set_has_the_law_that_weighed_draws_have() -> None:
    """Only whether the field is above 0 is seen, here and there wrongly; no gradient says anything of it."""
    world = gaussian_field(SMOOTH)
    above = world.draw(Keys.of(9, 1))[0] > 0
    prior = world.field.gaussian_law(0.0, torch.zeros(1, *SHAPE))

    def wrong(x: Tensor) -> Tensor:
        return ((x > 0) != above).flatten(1).double().sum(1)

    density = Density.of_energy(lambda x: 0.2 * wrong(x) - prior.log_prob(x), world.space)
    start, keys = world.draw(Keys.of(1, 200)).double(), Keys.of(2, 200)
    found = chains.run(EllipticalSlice(gaussian=world.prior()), density, start, keys, draws=10, warmup=20)
    weighed = world.draw(Keys.of(3, 20_000))
    weights = (-0.2 * wrong(weighed)).softmax(0)
    expected = (weights * wrong(weighed)).sum()
    each = wrong(found.x.flatten(0, 1)).reshape(10, 200).mean(0)
    assert abs(float(each.mean() - expected)) < 4 * float(each.std()) / 200**0.5 + 0.1
    assert expected < wrong(weighed).mean() - 1


def test_wrong_mixtures_are_named() -> None:
    other = gaussian_field(power_law(SHAPE, 3, Separable(("sine", "sine"))))
    with pytest.raises(InputError, match="expected one basis"):
        field_mixture([gaussian_field(SMOOTH), other])
    with pytest.raises(InputError, match="share one noise"):
        field_mixture([gaussian_field(SMOOTH), gaussian_field(SMOOTH, noise_cov=SMOOTH)])
    with pytest.raises(InputError, match="expected 1 that are not negative"):
        field_mixture([gaussian_field(SMOOTH)], torch.tensor([-1.0]))
    with pytest.raises(InputError, match="covariance has a root"):
        EllipticalSlice(gaussian=on.Normal(torch.zeros(1, *SHAPE)))
