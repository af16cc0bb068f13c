"""Samples of a mapped model are physical fields, given what is known of these: by every way to draw."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nets import Net
from ornstein.denoisers.base import Denoiser, NeuralDenoiser, Traits
from ornstein.denoisers.composition import Autoguidance, ClassifierFreeGuidance, mixture, negation
from ornstein.denoisers.fields import gaussian_field
from ornstein.denoisers.mapped import mapped, physical
from ornstein.denoisers.maps import Map
from ornstein.denoisers.oracles import Mixture, gaussian_mixture
from ornstein.errors import InputError
from ornstein.guidance.constraints import Constraint
from ornstein.guidance.factors import Energy, Factor
from ornstein.guidance.maps import Lifted, Log, Parts, Residual, Standardised, Whitened
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.guidance.operators import Mask, Matrix
from ornstein.keys import Keys
from ornstein.mcmc.targets import Boltzmann, target_of
from ornstein.sampling.flows import draw_with_log_prob
from ornstein.sampling.likelihood import log_prob
from ornstein.spaces import Euclidean
from ornstein.spectral.roots import Spectral
from ornstein.spectral.transforms import periodic
from ornstein.tasks.drawing import draws, sample
from ornstein.tasks.engines import Independent
from ornstein.tasks.strength import ExponentialTilt
from ornstein.testing import check_factor
from worlds import MeanOnly, anisotropic, assert_close, assert_moments, coupled, double, rejected, single, smooth

SCALE = double([2.0, 0.5])
ROWS, STD = double([[1.0, 0.6]]), 0.3
BASES = double([[10.0, -5.0], [0.0, 3.0], [-7.0, -7.0]])
A = Matrix(ROWS)


def coarse(n: int, base: int = 0) -> dict[str, Tensor]:
    return {"coarse": BASES[base].expand(n, 2)}


def lifted_to(world: Mixture, base: Tensor) -> Mixture:
    """The law of the physical field, base + SCALE · x."""
    parts: Any = world.components
    covs = (parts.axes * parts.variances[:, None]) @ parts.axes.mT
    return gaussian_mixture(base + parts.means * SCALE, SCALE[:, None] * covs * SCALE, world.weights)


def posterior(law: Mixture, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p(y), and the mean and the covariance given y = A f + noise of width STD."""
    parts: Any = law.components
    covs = (parts.axes * parts.variances[:, None]) @ parts.axes.mT
    spread = ROWS @ covs @ ROWS.T + STD**2
    gain = covs @ ROWS.T / spread
    seen = torch.distributions.Normal((parts.means @ ROWS.T)[:, 0], spread[:, 0, 0].sqrt())
    log_each = seen.log_prob(y) + law.weights.log()
    share, means = log_each.softmax(0), parts.means + (gain * (y - parts.means @ ROWS.T)[..., None])[..., 0]
    mean = share @ means
    within = (share[:, None, None] * (covs - gain @ ROWS @ covs)).sum(0)
    return log_each.logsumexp(0), mean, within + torch.einsum("k,ki,kj->ij", share, means - mean, means - mean)


@pytest.fixture(autouse=True)
def doubles() -> Any:
    """Whose rounding is no part of what is compared."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# The same posterior, said twice -----------------------------------------------------------------------

PLACES = torch.tensor([[0, 1], [2, 3], [3, 0]])
SEEN = torch.zeros(4, 4, dtype=torch.bool).index_put((PLACES[:, 0], PLACES[:, 1]), torch.tensor(True))
NOISE = Spectral.of(1 / (0.1 + periodic(2).frequencies((4, 4))) ** 3, periodic(2))
DATA = Spectral.of(2 / (0.3 + periodic(2).frequencies((4, 4))) ** 2, periodic(2))
LEVEL = torch.linspace(-3, 3, 16, dtype=torch.float64).reshape(4, 4)
WHITE = Spectral(NOISE.basis, DATA.variance / NOISE.variance)


def known(factor: str) -> Factor:
    y = double([3.0, -2.0, 1.0])
    return {
        "measured": Measurement(y, Mask(SEEN), 0.2),
        "fixed": Fixed(torch.zeros(4, 4).index_put((PLACES[:, 0], PLACES[:, 1]), y), SEEN),
        "a sum": Constraint(Matrix(torch.ones(1, 16), (4, 4)), 5.0),
        "an energy": Energy(lambda f: (f - 1).square().flatten(1).sum(1) / 8),
    }[factor]


def assert_same_samples(map: Map, factor: str) -> None:
    """As those of the field itself under noise of the map's spectrum, which is one and the same process."""
    guides = known(factor)
    direct = sample(gaussian_field(DATA, LEVEL, noise_cov=NOISE) & guides, 3, 6)
    behind = sample(mapped(gaussian_field(WHITE), map) & guides, 3, 6)
    torch.testing.assert_close(behind.x, direct.x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("factor", ["measured", "an energy"])
def test_a_whitened_model_draws_what_noise_of_that_spectrum_draws(factor: str) -> None:
    assert_same_samples(Whitened(NOISE, LEVEL), factor)
    rejected(assert_same_samples, Whitened(NOISE), factor)


@pytest.mark.parametrize("factor", ["fixed", "a sum"])
def test_what_holds_exactly_of_the_field_holds_in_every_sample(factor: str) -> None:
    drawn = sample(mapped(gaussian_field(WHITE), Whitened(NOISE, LEVEL)) & known(factor), 5, 6)
    if factor == "fixed":
        assert_close(drawn.x[:, PLACES[:, 0], PLACES[:, 1]], double([3.0, -2.0, 1.0]).expand(5, 3), 1e-12)
    else:
        assert_close(drawn.x.flatten(1).sum(1), torch.full((5,), 5.0), 1e-12)


def test_a_measurement_of_the_field_is_one_of_the_states_less_the_base() -> None:
    """Sample by sample, each with its own base."""
    condition = {"coarse": BASES}
    model = mapped(anisotropic(), Residual("coarse", SCALE))
    behind = sample(model & Measurement([2.0], A, STD), 3, 8, condition=condition)
    by_hand = Measurement(2.0 - BASES @ ROWS.T, Matrix(ROWS * SCALE), STD)
    x = sample(anisotropic() & by_hand, 3, 8).x
    assert_close(behind.x, BASES + SCALE * x, 1e-9)
    assert_close(sample(model & Measurement([2.0], A, STD), 3, 8, condition=condition, batch_size=2).x, behind.x, 1e-9)


# Closed forms, sample by sample -----------------------------------------------------------------------


def assert_posteriors(map: Map, n: int = 500) -> None:
    """Of three bases in one batch, each has the posterior of its own."""
    given = {"coarse": BASES.repeat_interleave(n, 0)}
    model = mapped(single(), map) & Measurement([2.0], A, STD)
    drawn = sample(model, 3 * n, 30, condition=given, eta=1.0).x
    for k, base in enumerate(BASES):
        assert_moments(drawn[k * n :][:n], *posterior(lifted_to(single(), base), double(2.0))[1:])


def test_each_sample_has_the_posterior_of_its_own_base() -> None:
    assert_posteriors(Residual("coarse", SCALE))


def test_a_base_that_is_ignored_is_another_posterior() -> None:
    rejected(assert_posteriors, Residual(BASES[0], SCALE))


def assert_evidence(map: Map, base: int, world: Mixture | None = None) -> None:
    """By particles, log p(y) and the posterior of the physical field."""
    world = world or anisotropic()
    model = mapped(world, map) & Measurement(double([2.0]), A, STD)
    drawn = sample(model, 800, 30, exact="particles", particles=800, condition=coarse(800, base))
    log_evidence, mean, _ = posterior(lifted_to(world, BASES[base]), double(2.0))
    off = abs(drawn.exactness.log_evidence - float(log_evidence))
    assert off < 4 * drawn.exactness.error + 0.02, f"log evidence off by {off}"
    found, error = drawn.mean_and_error(drawn.x)
    assert bool(((found - mean).abs() < 4 * error + 0.03).all()), f"mean {found}, expected {mean} ± {error}"


def test_particles_know_the_evidence_of_the_field() -> None:
    assert_evidence(Residual("coarse", SCALE), 1)


def test_particles_reject_a_base_that_is_ignored() -> None:
    rejected(assert_evidence, Residual(BASES[0], SCALE), 1)


def test_particles_weigh_what_they_are_given() -> None:
    """Of samples with different bases, each has the share of its evidence, and the map of the one it descends from."""
    bases = double([[1.0, 0.5], [0.0, 0.0]])
    law = [posterior(lifted_to(single(), base), double(2.0))[0] for base in bases]
    model = mapped(single(), Residual("coarse", SCALE)) & Measurement(double([2.0]), A, STD)
    given = {"coarse": bases.repeat_interleave(500, 0)}
    drawn = sample(model, 1000, 12, exact="particles", particles=1000, condition=given)
    first = (drawn.condition["coarse"] == bases[0]).all(1)
    share = torch.stack(law).softmax(0)[0]
    assert abs(float(first.double().mean() - share)) < 0.05
    assert abs(drawn.exactness.log_evidence - float(torch.stack(law).logsumexp(0) - double(2.0).log())) < 0.1
    means = torch.stack([posterior(lifted_to(single(), base), double(2.0))[1] for base in bases])
    assert (drawn.x[first].mean(0) - means[0]).abs().max() < 0.2


def test_particles_behind_a_logarithm_know_the_evidence_of_what_is_measured() -> None:
    """y = f + noise of a log-normal f, by quadrature; what is measured of f is linearised on the way, and weighed."""
    world = gaussian_mixture(double([[0.2]]), double([[[0.25]]]))
    model = mapped(world, Log()) & Measurement([2.0], Mask([True]), 0.2)
    drawn = sample(model, 600, 24, exact="particles", particles=600)
    x = torch.linspace(-4, 5, 20001)
    prior, seen = torch.distributions.Normal(0.2, 0.5), torch.distributions.Normal(x.exp(), 0.2)
    log_p = prior.log_prob(x) + seen.log_prob(double(2.0))
    weights = log_p.softmax(0)
    found, error = drawn.mean_and_error(drawn.x)
    assert drawn.x.min() > 0
    log_evidence = float(log_p.logsumexp(0) + (x[1] - x[0]).log())
    assert abs(drawn.exactness.log_evidence - log_evidence) < 4 * drawn.exactness.error + 0.02
    assert abs(float(found - (weights * x.exp()).sum())) < 4 * float(error) + 0.01


def test_what_is_fixed_of_a_positive_field_is_its_density_there() -> None:
    """log p(f = 1.5), not that of its logarithm."""
    world = gaussian_mixture(double([[0.2, 0.0]]), double([[[0.25, 0.1], [0.1, 0.5]]]))
    drawn = sample(mapped(world, Log()) & Fixed([1.5, 0.0], [True, False]), 64, 10, exact="particles", particles=64)
    at = torch.distributions.LogNormal(0.2, 0.5).log_prob(double(1.5))
    assert_close(drawn.x[:, 0], torch.full((64,), 1.5), 1e-12)
    assert abs(drawn.exactness.log_evidence - float(at)) < 1e-3


# Densities --------------------------------------------------------------------------------------------


def test_densities_are_those_of_the_field() -> None:
    model, law = mapped(smooth(), Residual("coarse", SCALE)), lifted_to(smooth(), BASES[0])
    field = law.draw(Keys.of(3, 6))
    found = log_prob(model, field, 40, condition=coarse(6))
    constant = double(2 * torch.pi).log()  # which the oracle leaves out
    assert_close(found, law.log_density(field, 0.0) - constant, 2e-2)
    x, log_q = draw_with_log_prob(model, Keys.of(4, 6), 20, condition=coarse(6))
    assert_close(log_q, law.log_density(x, 0.0) - constant, 5e-2)


def quadratic(f: Tensor) -> Tensor:
    return 0.5 * ((f - double([9.0, -5.0])) / double([1.0, 0.3])).square().sum(1)


@pytest.mark.slow
def test_a_boltzmann_distribution_is_one_of_the_field() -> None:
    """Moments and log ∫ exp(−E) df, whatever the model."""
    model = mapped(single(), Residual("coarse", SCALE)) & Boltzmann(quadratic)
    found = sample(model, 400, exact="mcmc", check=0, condition=coarse(400))
    assert_moments(found.x, double([9.0, -5.0]), torch.diag(double([1.0, 0.09])), 5.0)
    expected = float(double(2 * torch.pi * 0.3).log())
    assert abs(found.exactness.log_evidence - expected) < 4 * found.exactness.error + 0.02


class NoJacobian(Log):
    """A broken twin, whose fields would follow another law than exp(−E)."""

    def log_det(self, x: Tensor, reach: Any = None) -> Tensor:
        return torch.zeros(len(x))


def assert_gamma(map: Map) -> None:
    """f exp(−f): of mean and variance 2 and log Z = 0."""
    model = mapped(gaussian_mixture(double([[0.0]]), double([[[0.5]]])), map)
    found = sample(model & Boltzmann(lambda f: f.sum(1) - f.log().sum(1)), 150, exact="mcmc", check=0, moves=10)
    assert abs(float(found.x.mean()) - 2.0) < 5 * (2 / 150) ** 0.5
    assert abs(found.exactness.log_evidence) < 4 * found.exactness.error + 0.02


def assert_density_of_states(map: Map) -> None:
    x = Keys.of(2, 5).normal(2)
    density, _ = target_of(mapped(single(), map) & Boltzmann(quadratic), {})
    assert_close(density.log_p(density.at(x, with_gradients=False)), x.sum(1) - quadratic(x.exp()))


def test_a_boltzmann_distribution_of_the_field_is_one_of_the_states_with_the_jacobian() -> None:
    assert_density_of_states(Log())
    rejected(assert_density_of_states, NoJacobian())
    density, _ = target_of(mapped(single(), Log()) & Boltzmann(lambda f: f), {})
    with pytest.raises(InputError, match=r"energy of \(5, 2\) must be of shape \(5,\), found \(5, 2\)"):
        density.at(Keys.of(2, 5).normal(2))


@pytest.mark.slow
def test_boltzmann_weights_of_positive_fields_count_the_jacobian() -> None:
    assert_gamma(Log())
    rejected(assert_gamma, NoJacobian())


@pytest.mark.slow
def test_a_density_times_a_factor_of_the_field_is_corrected() -> None:
    model = mapped(single(), Residual("coarse", SCALE)) & Energy(lambda f: (f[:, 0] - 10) ** 2 / 2)
    found = sample(model, 300, exact="mcmc", check=0, condition=coarse(300))
    law = lifted_to(single(), BASES[0])
    parts: Any = law.components
    cov = ((parts.axes * parts.variances[:, None]) @ parts.axes.mT)[0]
    gain = cov[:, :1] / (cov[0, 0] + 1)
    assert_moments(found.x, parts.means[0] + gain[:, 0] * (10 - parts.means[0, 0]), cov - gain @ cov[:1], 5.0)


def test_what_mcmc_cannot_correct_to_is_named_as_its_user_knows_it() -> None:
    with pytest.raises(InputError, match="smooth log g, not Measurement"):
        sample(mapped(single(), Standardised(0.0, 2.0)) & Measurement([1.0], A, STD), 20, exact="mcmc")


# Nesting ----------------------------------------------------------------------------------------------


def labelled(map: Map) -> Denoiser:
    return mapped(anisotropic(), map)


def test_what_is_said_in_any_order_is_the_same() -> None:
    """Prompts and other guides of the prior go within; what is known of the field goes through the map."""
    model, prompt = labelled(Residual("coarse", SCALE)), ClassifierFreeGuidance({"label": 1}, scale=1.5)
    a, b = Measurement([2.0], A, STD), Energy(lambda f: (f[:, 1] + 4) ** 2)
    condition = coarse(2)
    orders: list[Denoiser] = [model & a & prompt & b, model & prompt & b & a, (model & prompt) & a & b]
    x = [sample(order, 2, 5, condition=condition).x for order in orders]
    assert_close(x[1], x[0], 1e-9)
    assert_close(x[2], x[0], 1e-9)
    other = sample(model & prompt & a, 2, 5, condition=condition).x
    assert (other - x[0]).abs().max() > 1e-3


def test_a_prompt_can_be_what_the_map_is_made_of() -> None:
    model = (
        labelled(Residual("coarse", SCALE)) & ClassifierFreeGuidance({"coarse": BASES[1]}) & Measurement([2.0], A, STD)
    )
    expected = sample(labelled(Residual(BASES[1], SCALE)) & Measurement([2.0], A, STD), 3, 5)
    assert_close(sample(model, 3, 5).x, expected.x, 1e-9)
    x_t = Keys.of(1, 3).normal(2)
    assert_close(
        model(x_t, 0.5).mean, (labelled(Residual(BASES[1], SCALE)) & Measurement([2.0], A, STD))(x_t, 0.5).mean
    )


def test_models_compose_where_one_map_leads_to_the_field() -> None:
    one, same = (labelled(Standardised(BASES[0], SCALE)) for _ in range(2))
    for whole in (mixture([one, same]), negation(one, same, 0.5), one & Autoguidance(same, 2.0)):
        drawn = sample(whole & Measurement([2.0], A, STD), 2, 4)
        assert drawn.settings["map"]["map"] == "Standardised"
        assert (drawn.x - BASES[0]).abs().max() < 12
    for other in (anisotropic(), labelled(Standardised(BASES[0], 2 * SCALE)), labelled(Residual(BASES[0], SCALE))):
        with pytest.raises(InputError, match="denoisers compose where one map leads to the field"):
            mixture([one, other])


def test_factors_within_a_mixture_are_about_the_field() -> None:
    one, other = (labelled(Residual("coarse", SCALE)) & Measurement([y], A, 0.05) for y in (2.0, 12.0))
    drawn = sample(mixture([one, other]), 40, 20, condition=coarse(40))
    seen = (drawn.x @ ROWS.T)[:, 0]
    assert bool((((seen - 2).abs() < 0.6) | ((seen - 12).abs() < 0.6)).all())


def test_a_map_on_a_map_comes_after_it() -> None:
    twice = mapped(mapped(anisotropic(), Residual("coarse", SCALE)), Standardised(1.0, 3.0))
    x = Keys.of(2, 4).normal(2)
    assert_close(physical(twice, x, coarse(4)), 1 + 3 * (BASES[0] + SCALE * x))
    within = mapped(MeanOnly(anisotropic()), Standardised(1.0, 3.0))
    assert isinstance(within, MeanOnly)
    assert_close(physical(within, x), 1 + 3 * x)


def test_a_tilt_along_a_direction_of_the_field() -> None:
    direction = double([0.5, 2.0])
    behind = labelled(Residual("coarse", SCALE)) & ExponentialTilt(direction, 0.7)
    x_t = Keys.of(1, 4).normal(2)
    expected = (anisotropic() & ExponentialTilt(SCALE * direction, 0.7))(x_t, 0.5)
    assert_close(behind(x_t, 0.5, coarse(4)).mean, expected.mean)
    with pytest.raises(InputError, match=r"a tilt along a direction .* behind Log"):
        (labelled(Log()) & ExponentialTilt(direction, 0.7))(x_t, 0.5)


def test_a_part_of_a_product_has_a_map_of_its_own() -> None:
    model = mapped(coupled(), Parts({"x": Residual("coarse", SCALE)}))
    guided = model & Measurement([2.0], A, STD).on("x") & Fixed([0, 1], [True, False]).on("tokens")
    drawn = sample(guided, 3, 6, condition=coarse(3))
    by_hand = Measurement(2.0 - ROWS @ BASES[0], Matrix(ROWS * SCALE), STD).on("x")
    inside = sample(coupled() & by_hand & Fixed([0, 1], [True, False]).on("tokens"), 3, 6)
    assert_close(drawn.x["x"], BASES[0] + SCALE * inside.x["x"], 1e-9)
    assert drawn.x["tokens"].equal(inside.x["tokens"])


# Starts, trajectories, manifests ----------------------------------------------------------------------


def test_a_start_is_a_field() -> None:
    model, start = labelled(Residual("coarse", SCALE)), BASES + 0.3
    kept = sample(model, 3, 4, start=start, strength=1e-3, condition={"coarse": BASES})
    inside = sample(anisotropic(), 3, 4, start=0.3 / SCALE.expand(3, 2), strength=1e-3)
    assert_close(kept.x, BASES + SCALE * inside.x, 1e-9)
    with pytest.raises(InputError, match="start has 2 states"):
        sample(model, 3, 4, start=start[:2], condition={"coarse": BASES})
    with pytest.raises(InputError, match=r"Log: element \(0, 1\) of the field is -5, expected a number above 0"):
        sample(labelled(Log()), 3, 4, start=BASES)


@pytest.mark.parametrize("exact", ["off", "particles", "mcmc"])
def test_events_and_trajectories_are_fields_and_the_map_is_on_record(exact: Any) -> None:
    model = labelled(Residual("coarse", SCALE)) & (
        Boltzmann(quadratic) if exact == "mcmc" else Measurement([7.0], A, STD)
    )
    options: Any = {"off": {"batch_size": 15}, "particles": {"particles": 40}, "mcmc": {"check": 0, "moves": 2}}[exact]
    states: list[Any] = []
    drawn = sample(
        model,
        30,
        6,
        exact=exact,
        condition=coarse(30),
        trajectory=True,
        callback=lambda event: states.append(event.state),
        **options,
    )
    assert drawn.settings["map"] == {"map": "Residual", "base": "coarse", "scale": [2.0, 0.5]}
    last: Any = drawn.trajectory[-1]
    assert_close(last.double() if exact != "mcmc" else drawn.x, drawn.x)
    frames: list[Any] = [*drawn.trajectory, *(state for state in states if state is not None)]
    for frame in frames:
        assert (frame.mean(0) - BASES[0]).abs().max() < 4
    assert drawn.settings["guides"][-1].get("factor", "Boltzmann") in ("Measurement", "Boltzmann")


def test_a_map_of_large_fields_is_on_record_by_what_it_holds() -> None:
    model = mapped(gaussian_field(WHITE), Whitened(NOISE, LEVEL) @ Residual(LEVEL))
    record = json.loads(json.dumps(sample(model, 1, 2).settings["map"]))
    assert record["outer"]["map"] == "Whitened"
    assert record["inner"]["scale"] == 1.0
    other = mapped(gaussian_field(WHITE), Whitened(NOISE, LEVEL) @ Residual(LEVEL + 1))
    found = json.loads(json.dumps(sample(other, 1, 2).settings["map"]))
    assert found["outer"] == record["outer"]
    assert found["inner"] != record["inner"]


# What cannot be asked ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({}, "Residual: base is the condition 'coarse', which the samples are not given"),
        ({"coarse": torch.zeros(2, 3)}, r"base, the condition 'coarse', has the shape \(3,\), which does not line up"),
        ({"coarse": torch.tensor([[0.0, torch.nan]] * 2)}, "base, the condition 'coarse': element .* is nan"),
        ({"coarse": torch.zeros(3, 2)}, "condition 'coarse' has 3 values, expected one for each of 2 samples"),
        ({"coarse": torch.tensor(1.0)}, "condition 'coarse' is one value, expected one for each of 2 samples"),
    ],
)
def test_what_the_map_is_made_of_is_asked_for_before_anything_is_drawn(condition: Any, message: str) -> None:
    stream = draws(labelled(Residual("coarse", SCALE)), 2, Independent(steps=3), condition=condition)
    with pytest.raises(InputError, match=message):
        next(stream)


def test_a_map_goes_on_the_model_itself() -> None:
    with pytest.raises(InputError, match="is guided already: put the map on the model itself"):
        mapped(anisotropic() & Measurement([2.0], A, STD), Standardised(0.0, 1.0))
    with pytest.raises(InputError, match=r"a model is mapped by a map, .*, not by a Tensor"):
        mapped(anisotropic(), SCALE)
    with pytest.raises(InputError, match=r"Standardised: std has the shape \(3,\)"):
        mapped(anisotropic(), Standardised(0.0, torch.ones(3)))


# Networks and domains ---------------------------------------------------------------------------------


class Told(nn.Module):
    """A network that is told a label, and sees whatever reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net(2)
        self.seen: list[set[str]] = []

    def forward(self, x: Tensor, t: Tensor, condition: Any) -> Tensor:
        self.seen.append(set(condition))
        return self.net(x, t, condition)


def test_what_is_the_map_s_alone_does_not_reach_the_network() -> None:
    network = Told().float()
    model = mapped(
        NeuralDenoiser(network, Traits(Euclidean((2,))), {"label": torch.tensor(0)}), Residual("coarse", SCALE)
    )
    assert isinstance(model, NeuralDenoiser)
    torch.set_default_dtype(torch.float32)
    drawn = sample(
        model & Measurement([2.0], A, STD), 2, 3, condition={"coarse": BASES[:2].float(), "label": torch.ones(2).long()}
    )
    assert network.seen[0] == {"label"}
    assert drawn.x.dtype == torch.float32
    with pytest.raises(InputError, match="this model knows no condition 'fine'"):
        sample(model, 2, 3, condition={"coarse": BASES[:2].float(), "fine": BASES[:2].float()})


def test_a_lifted_model_is_measured_on_the_whole_field() -> None:
    """Each sample with boundary values of its own, which hold to the last bit."""
    interior = torch.zeros(3, 4, dtype=torch.bool)
    interior[1, 1:3] = True
    edges = Keys.of(7, 3).normal(3, 4)
    model = mapped(single(), Lifted(interior, "edges"))
    corner = torch.zeros(3, 4, dtype=torch.bool)
    corner[1, 2] = corner[0, 0] = True
    drawn = sample(model & Measurement([5.0, 0.7], Mask(corner), 1e-3), 3, 8, condition={"edges": edges})
    assert drawn.x.shape == (3, 3, 4)
    assert drawn.x[:, ~interior].equal(edges[:, ~interior])
    assert_close(drawn.x[:, 1, 2], torch.full((3,), 0.7), 1e-2)
    held = sample(model & Constraint(Matrix(torch.ones(1, 12), (3, 4)), 2.0), 3, 8, condition={"edges": edges})
    assert_close(held.x.flatten(1).sum(1), torch.full((3,), 2.0), 1e-12)


def test_a_domain_says_its_map_from_the_statistics_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its samples are written as fields."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "third_party" / "rings"))
    module: Any = import_module("ornstein_rings.task")
    Rings, RingsConfig = module.Rings, module.RingsConfig

    class InUnits(Rings):
        def map(self, config: Any, metadata: Any) -> Standardised:
            return Standardised(torch.tensor(metadata["mean"]), metadata["scale"])

    metadata = {"std": 1.0, "mean": [100.0, 50.0], "scale": 2.0, "radius": 2.0}
    torch.set_default_dtype(torch.float32)
    assert Rings().denoiser(RingsConfig(), metadata).map is None
    model = InUnits().denoiser(RingsConfig(), metadata)
    drawn = sample(model & Measurement([150.0], Matrix([[1.0, 1.0]]), 1.0), 3, 4)
    assert drawn.settings["map"] == {"map": "Standardised", "mean": [100.0, 50.0], "std": 2.0}
    assert (drawn.x - torch.tensor([100.0, 50.0])).abs().max() < 15
    with pytest.raises(InputError, match=r"Standardised: mean has the shape \(3,\)"):
        InUnits().denoiser(RingsConfig(), metadata | {"mean": [1.0, 2.0, 3.0]})


def test_a_factor_is_checked_on_what_it_says_of_the_states() -> None:
    model = mapped(anisotropic(), Residual("coarse", SCALE))
    factor = Measurement(double([2.0]), Matrix(ROWS), STD)
    given = {"coarse": BASES}
    assert check_factor(factor, model, condition=given) == check_factor(factor, anisotropic(), condition=given)
