"""Denoisers of denoisers: prompts and weaker models extrapolate, products and mixtures are what enumeration says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.denoisers.base import Condition, Denoiser, Guided
from ornstein.denoisers.composition import (
    Autoguidance,
    ClassifierFreeGuidance,
    Composed,
    GuidanceInterval,
    mixture,
    negation,
    product,
)
from ornstein.denoisers.oracles import GaussianComponents, Mixture, enumerated, gaussian_mixture
from ornstein.guidance.factors import Energy, Factored
from ornstein.keys import Keys
from ornstein.sampling.grids import log_snr, uniform
from ornstein.sampling.kernels import Kernel, Predictor
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Categorical, Euclidean
from ornstein.states import State, Time
from ornstein.tasks.drawing import sample
from populations import Unweighted, assert_unbiased, pairs
from worlds import (
    MeanOnly,
    anisotropic,
    assert_close,
    assert_moments,
    coupled,
    double,
    rejected,
    rotated,
    sequences,
    single,
    smooth,
    table,
)

KEYS = Keys.of(1, 4)
WORLD = anisotropic()
X = 0.7 * KEYS.normal(2)
ONE = {"label": torch.ones(4, dtype=torch.int64)}


# Classifier-free guidance -----------------------------------------------------------------------------


def test_scale_one_is_the_labelled_oracle() -> None:
    assert (WORLD & ClassifierFreeGuidance({"label": 1}))(X, 0.5).mean.equal(WORLD(X, 0.5, ONE).mean)


def test_scale_zero_is_the_unlabelled_oracle() -> None:
    assert (WORLD & ClassifierFreeGuidance({"label": 1}, 0.0))(X, 0.5).mean.equal(WORLD(X, 0.5).mean)
    assert (WORLD & ClassifierFreeGuidance({"label": 1}, 0.0))(X, 0.5, {"label": torch.zeros(4)}).mean.equal(
        WORLD(X, 0.5).mean
    )


@given(st.floats(-2, 8))
def test_other_scales_extrapolate(scale: float) -> None:
    said, unsaid = WORLD(X, 0.5, ONE).mean, WORLD(X, 0.5).mean
    assert_close((WORLD & ClassifierFreeGuidance({"label": 1}, scale))(X, 0.5).mean, unsaid + scale * (said - unsaid))


def test_a_label_may_differ_by_sample() -> None:
    labels = {"label": torch.tensor([0, 1, 1, 0])}
    found = (WORLD & ClassifierFreeGuidance({"label": None}, 2.0))(X, 0.5, labels).mean
    for i, label in enumerate([0, 1, 1, 0]):
        assert_close(found[i], (WORLD & ClassifierFreeGuidance({"label": label}, 2.0))(X, 0.5).mean[i])


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_a_missing_label_is_a_clear_error(scale: float) -> None:
    with pytest.raises(ValueError, match="leaves 'label' to each sample: pass condition="):
        (WORLD & ClassifierFreeGuidance({"label": None}, scale))(X, 0.5)


@dataclass(frozen=True)
class Shifted(Guided):
    """A denoiser with a second condition, which shifts its mean."""

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        mean = self.denoiser(x_t, t, condition).mean
        return Normal(mean + (condition or {}).get("shift", torch.zeros(len(mean)))[:, None])


def test_prompts_nest() -> None:
    """Guidance by two conditions is linear in both: each prompt extrapolates what is inside of it."""
    world = Shifted(WORLD)
    found = (world & ClassifierFreeGuidance({"label": 1}, 2.0) & ClassifierFreeGuidance({"shift": 0.3}, 4.0))(
        X, 0.5
    ).mean
    said, unsaid = WORLD(X, 0.5, ONE).mean, WORLD(X, 0.5).mean
    assert_close(found, unsaid + 2 * (said - unsaid) + 4 * 0.3, 1e-6)
    swapped = (world & ClassifierFreeGuidance({"shift": 0.3}, 4.0) & ClassifierFreeGuidance({"label": 1}, 2.0))(
        X, 0.5
    ).mean
    assert_close(found, swapped, 1e-6)


def test_an_outer_prompt_answers_what_an_inner_one_leaves_open() -> None:
    nested = WORLD & ClassifierFreeGuidance({"label": None}, 2.0) & ClassifierFreeGuidance({"label": 1})
    assert_close(nested(X, 0.5).mean, (WORLD & ClassifierFreeGuidance({"label": 1}, 2.0))(X, 0.5).mean)


def test_prompted_samples_keep_to_their_label() -> None:
    sampler = Sampler(log_snr(30, WORLD.space), (Predictor(0.0, 2),))
    found = sampler.run(WORLD & ClassifierFreeGuidance({"label": 0}), Keys.of(0, 200))
    parts: Any = WORLD.components
    only = sampler.run(Mixture(double([1.0, 0, 0]), parts), Keys.of(0, 200))
    assert_close(found, only, 1e-5)


def test_evaluations_are_counted() -> None:
    for scale, calls in ((0.0, 3), (1.0, 3), (2.0, 6)):
        *_, last = Sampler(uniform(3)).steps(WORLD & ClassifierFreeGuidance({"label": 1}, scale), Keys.of(0, 2))
        assert last.nfe == calls


def test_a_guided_denoiser_says_what_it_was_told() -> None:
    guided = WORLD & ClassifierFreeGuidance({"label": 1}, 2.0)
    assert guided.fixed_condition["label"].item() == 1
    assert guided.provenance == ({"prompt": {"label": 1}, "scale": 2.0},)
    drawn = sample(guided, n=3, steps=4)
    assert drawn.condition["label"].tolist() == [1, 1, 1]
    assert drawn.settings["guides"] == [{"prompt": {"label": 1}, "scale": 2.0}]
    with pytest.raises(ValueError, match="'label' is said already"):
        _ = guided & ClassifierFreeGuidance({"label": 0})


# Intervals and weaker models --------------------------------------------------------------------------

NARROW = (0.3, 0.6)


@pytest.mark.parametrize("t", [0.2, 0.3, 0.45, 0.6, 0.7])
def test_a_prompt_counts_with_its_scale_within_its_interval_and_plainly_outside(t: float) -> None:
    inside = NARROW[0] <= t <= NARROW[1]
    expected = WORLD & ClassifierFreeGuidance({"label": 1}, 3.0 if inside else 1.0)
    assert_close((WORLD & ClassifierFreeGuidance({"label": 1}, 3.0, NARROW))(X, t).mean, expected(X, t).mean)
    weak = WORLD & Autoguidance(single(), 3.0, NARROW)
    strong, poor = WORLD(X, t).mean, single()(X, t).mean
    assert_close(weak(X, t).mean, poor + 3 * (strong - poor) if inside else strong)


def test_intervals_take_a_time_a_sample() -> None:
    t = double([0.2, 0.3, 0.5, 0.7])
    assert GuidanceInterval(3.0, NARROW).at(t).tolist() == [1, 3, 3, 1]  # pyright: ignore[reportAttributeAccessIssue]
    for guided in (
        WORLD & ClassifierFreeGuidance({"label": 1}, 3.0, NARROW),
        WORLD & Autoguidance(single(), 3.0, NARROW),
    ):
        together = guided(X, t).mean
        for i in range(4):
            assert_close(together[i], guided(X, t[i].item()).mean[i])


def test_guides_go_inside_of_factors() -> None:
    energy = Energy(lambda x: x[:, 0])
    for guide in (ClassifierFreeGuidance({"label": 1}, 2.0), Autoguidance(single(), 2.0)):
        outer, inner = WORLD & energy & guide, WORLD & guide & energy
        assert isinstance(outer, Factored)
        assert_close(outer(X, 0.5).mean, inner(X, 0.5).mean)


# Products ---------------------------------------------------------------------------------------------


def gaussian(mean: list[float], cov: Tensor) -> Mixture:
    return gaussian_mixture(double([mean]), cov[None])


A, B = gaussian([0.4, -0.2], rotated(0.3, (0.5, 0.9))), gaussian([-0.3, 0.5], rotated(1.1, (0.6, 0.8)))
BASE = gaussian([0.0, 0.1], rotated(0.7, (1.2, 1.4)))


def natural(*terms: tuple[float, Mixture]) -> tuple[Tensor, Tensor]:
    """Mean and covariance of Π N_k^{w_k}: precisions add with their weights."""
    precision, shift = torch.zeros(2, 2).double(), torch.zeros(2).double()
    for weight, world in terms:
        parts: Any = world.components
        inverse = (parts.axes[0] @ torch.diag(parts.variances[0]) @ parts.axes[0].T).inverse()
        precision, shift = precision + weight * inverse, shift + weight * inverse @ parts.means[0]
    return precision.inverse() @ shift, precision.inverse()


COMPOSED = {
    "product": (product(A, B, BASE), natural((1, A), (1, B), (-1, BASE))),
    "negation": (negation(A, BASE, 0.5), natural((1.5, A), (-0.5, BASE))),
    "powers": (Composed(((0.6, A), (0.4, B))), natural((0.6, A), (0.4, B))),
    "weaker": (A & Autoguidance(BASE, 1.4), natural((1.4, A), (-0.4, BASE))),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_a_belief_of_a_product_has_the_weighted_mean_and_covariance(name: str) -> None:
    """A Normal's natural parameter is its mean here; its covariance is that of the mean's slope."""
    composed, _ = COMPOSED[name]
    belief: Any = composed(X, 0.4)
    terms: Any = composed.terms(X, 0.4)
    assert sum(weight for weight, _ in terms) == pytest.approx(1)
    assert_close(belief.mean, sum(weight * term.mean for weight, term in terms))
    assert_close(belief.covary(X), sum(weight * term.covary(X) for weight, term in terms))
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(composed(x, 0.4).mean, x, X)
    scale = composed.space.tweedie(0.4, X)  # pyright: ignore[reportAttributeAccessIssue]
    assert_close(scale * slope, belief.covary(X), 1e-8)


def assert_product(composed: Denoiser, mean: Tensor, cov: Tensor, kernel: Any) -> None:
    """Samples of a product of Gaussians; particles of one population are nearly independent while ESS is high."""
    with torch.no_grad():
        state = Sampler(log_snr(120, composed.space), (kernel,)).end(composed, Keys.of(0, 2000))
    assert_moments(state.x, mean, cov, sigmas=6.0)


@pytest.mark.parametrize("name", ["product", "negation"])
def test_a_product_of_gaussians_is_exact_with_particles(name: str) -> None:
    composed, (mean, cov) = COMPOSED[name]
    assert_product(composed, mean, cov, Particles())
    rejected(assert_product, composed, mean, cov, Predictor(1.0))


# Products of enumerated worlds ------------------------------------------------------------------------

SECOND = (1.5 * torch.cos(1.7 * torch.arange(9.0).double())).exp().reshape(3, 3)
KINDS = {"masked": Categorical.masked((2,), 3), "uniform": Categorical.uniform((2,), 3)}
Terms = tuple[tuple[float, Tensor], ...]


def law(*terms: tuple[float, Tensor]) -> Tensor:
    """Π_k p_k^{w_k}, normalised."""
    log = torch.stack([weight * (p / p.sum()).log() for weight, p in terms]).sum(0)
    return log.flatten().softmax(0).reshape(3, 3)


def path_law(kind: str, terms: Terms, grid: Sequence[float]) -> tuple[Tensor, float]:
    """What Π_k p_k(x_s | x_t)^{w_k} leaves on the pairs after all steps, summed over paths; and log of its sum."""
    space, worlds = KINDS[kind], [(weight, enumerated(KINDS[kind], p)) for weight, p in terms]
    x = pairs(space.states)
    total = space.chain.stationary[x].prod(1)
    for t, s in pairwise(grid):
        moves = [(weight, space.step(x, world(x, t), t, s)) for weight, world in worlds]
        columns = [sum(weight * move.log_prob(y.expand(len(x), 2)) for weight, move in moves) for y in x]
        total = total @ torch.stack(columns, 1).exp().nan_to_num(0.0)  # pyright: ignore[reportArgumentType]
    table = total.reshape(space.states, space.states)[:3, :3]
    return table / table.sum(), table.sum().log().item()


def margins(x: Tensor) -> Tensor:
    """Both tokens, and whether they agree."""
    return torch.stack([x[:, 0] == 0, x[:, 0] == 1, x[:, 1] == 0, x[:, 1] == 1, x[:, 0] == x[:, 1]], 1)


FLAT, FIRST = torch.ones(3, 3).double(), table(3, 2)
PRODUCTS: dict[str, Terms] = {
    "product": ((1.0, FIRST), (1.0, SECOND), (-1.0, FLAT)),
    "negation": ((1.5, FIRST), (-0.5, SECOND)),
}


def assert_paths(denoiser: Denoiser, kind: str, terms: Terms, kernel: Kernel) -> None:
    """Samples and evidence of a five-step chain, exactly."""
    expected, log_z = path_law(kind, terms, uniform(5))
    with torch.no_grad():
        assert_unbiased(
            denoiser, margins, expected.flatten() @ margins(pairs(3)).double(), log_z, uniform(5), kernel, runs=60
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_particles_follow_the_paths_of_a_product(name: str, kind: str) -> None:
    denoiser = Composed(tuple((weight, enumerated(KINDS[kind], p)) for weight, p in PRODUCTS[name]))
    assert_paths(denoiser, kind, PRODUCTS[name], Particles())


@pytest.mark.parametrize("kind", KINDS)
def test_the_product_test_rejects_no_weights_and_wrong_ones(kind: str) -> None:
    first, second, flat = (enumerated(KINDS[kind], p) for _, p in PRODUCTS["product"])
    rejected(assert_paths, product(first, second, flat), kind, PRODUCTS["product"], Unweighted())
    other = Composed(((0.6, first), (1.4, second), (-1.0, flat)))
    rejected(assert_paths, other, kind, PRODUCTS["product"], Particles())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_the_paths_of_a_product_lead_to_the_product(name: str, kind: str) -> None:
    """With the number of steps, as 1/steps."""
    exact = law(*PRODUCTS[name])
    few, many = ((path_law(kind, PRODUCTS[name], uniform(n))[0] - exact).abs().max().item() for n in (25, 100))
    assert many < few / 3
    assert many < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_factor_of_a_product_rules_out_is_ruled_out(kind: str) -> None:
    """With and without particles: the second world has no sequence that starts with 2."""
    holes = SECOND.clone()
    holes[2] = 0.0
    first, second = enumerated(KINDS[kind], table(3, 2)), enumerated(KINDS[kind], holes)
    composed = product(first, second, enumerated(KINDS[kind], torch.ones(3, 3).double()))
    for kernel in (Predictor(), Particles()):
        x = Sampler(uniform(10), (kernel,)).run(composed, Keys.of(0, 500))
        assert (x[:, 0] != 2).all()
        assert x[:, 0].unique().tolist() == [0, 1]


# Log-densities ----------------------------------------------------------------------------------------
# that their slopes are the scores is in test_energetic.py


def test_log_densities_add_up_with_their_weights() -> None:
    a, b, base = (world.log_density(X, 0.4) for world in (A, B, BASE))
    assert_close(product(A, B, BASE).log_density(X, 0.4), a + b - base)
    assert_close(negation(A, B, 0.5).log_density(X, 0.4), 1.5 * a - 0.5 * b)
    assert_close((A & Autoguidance(B, 2.0, NARROW)).log_density(X, 0.2), A.log_density(X, 0.2))


def test_the_log_density_under_a_prompt_extrapolates() -> None:
    said, unsaid = WORLD.log_density(X, 0.5, ONE), WORLD.log_density(X, 0.5)
    assert_close(
        (WORLD & ClassifierFreeGuidance({"label": 1}, 2.5)).log_density(X, 0.5), unsaid + 2.5 * (said - unsaid)
    )
    t = double([0.2, 0.3, 0.5, 0.7])
    together = (WORLD & ClassifierFreeGuidance({"label": 1}, 2.5, NARROW)).log_density(X, t)
    for i in range(4):
        alone = (WORLD & ClassifierFreeGuidance({"label": 1}, 2.5, NARROW)).log_density(X[i : i + 1], t[i].item())
        assert_close(together[i], alone[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_density_of_a_product_of_enumerated_worlds(kind: str) -> None:
    """At t = 0 that of the product itself; what one part rules out is out, whatever the others say."""
    holes = FIRST.clone()
    holes[2] = 0.0
    first, second = enumerated(KINDS[kind], holes), enumerated(KINDS[kind], SECOND)
    x = pairs(3)
    found = product(first, second, first).log_density(x, 0.0).exp()
    assert_close(found, torch.where(x[:, 0] == 2, 0.0, SECOND.flatten() / SECOND.sum()))
    t = torch.full((9,), 0.2).double()
    outside = Composed(((1.0, second), (1.0, first), (-1.0, first)), NARROW).log_density(x, t)
    assert_close(outside, second.log_density(x, t))


# Mixtures ---------------------------------------------------------------------------------------------


def assert_mixes(mixed: Denoiser, shares: list[float], n: int = 4000) -> None:
    """Far-apart Gaussians occur as often as their weights say."""
    x = sample(mixed, n, 8).x[:, 0]
    found = torch.stack([((x - place).abs() < 2).double().mean() for place in (-5.0, 5.0)])
    expected = double(shares)
    assert ((found - expected).abs() < 4 * (expected * (1 - expected) / n).sqrt()).all(), f"shares {found.tolist()}"


def test_a_mixture_has_its_shares() -> None:
    left, right = (gaussian([place, 0.0], 0.1 * torch.eye(2).double()) for place in (-5.0, 5.0))
    assert_mixes(mixture([left, right]), [0.5, 0.5])
    assert_mixes(mixture([left, right], [3.0, 1.0]), [0.75, 0.25])
    assert_mixes(mixture([MeanOnly(left), right], [1.0, 3.0]), [0.25, 0.75])
    rejected(assert_mixes, mixture([left, right], [3.0, 1.0]), [0.7, 0.3])


def test_each_sample_of_a_mixture_is_one_of_its_components() -> None:
    mixed, component = mixture([WORLD, smooth()]), torch.tensor([0, 1, 1, 0])
    belief: Any = mixed(X, 0.5, {"component": component})
    for i, k in enumerate(component.tolist()):
        alone: Any = (WORLD, smooth())[k](X, 0.5)
        assert_close(belief.mean[i], alone.mean[i])
        assert_close(belief.covary(X)[i], alone.covary(X)[i])
    drawn = sample(mixed, 50, 4)
    again = sample(mixed, 50, 4, batch_size=7)
    assert_close(drawn.x, again.x, 1e-5)


def test_a_mixture_of_tokens_and_of_joint_worlds() -> None:
    tokens = torch.tensor([[3, 3], [0, 3]])
    other = enumerated(KINDS["masked"], SECOND)
    component = {"component": torch.tensor([0, 1])}
    found = mixture([sequences("masked"), other])(tokens, 0.5, component).mean
    assert_close(found[0], sequences("masked")(tokens, 0.5).mean[0])
    assert_close(found[1], other(tokens, 0.5).mean[1])
    x = coupled().space.prior(Keys.of(0, 2))
    joint = mixture([coupled(), coupled()])(x, 0.5, component).mean
    assert_close(joint["x"], coupled()(x, 0.5).mean["x"])


def test_factors_choose_between_the_components_of_a_mixture() -> None:
    """The particles of the component that fits better multiply: w_k E_k[g]."""
    left, right = (gaussian([place, 0.0], 0.1 * torch.eye(2).double()) for place in (-1.0, 1.0))
    drawn = sample(mixture([left, right]) & Energy(lambda x: x[:, 0]), 2000, 20, exact="particles")
    share = (1 / (1 + double(2.0).exp())).item()  # E[exp(−x)] is e^{±1} but for a common factor
    assert (drawn.condition["component"] == 1).double().mean().item() == pytest.approx(share, abs=0.03)
    assert ((drawn.x[:, 0] > 0).long() == drawn.condition["component"]).double().mean() > 0.99


# What is refused, and what is said ---------------------------------------------------------------------


def test_what_does_not_compose() -> None:
    with pytest.raises(ValueError, match="the weights of a product sum to 1, not 2: divide by what"):
        Composed(((1.0, A), (1.0, B)))
    with pytest.raises(ValueError, match="denoisers compose in one space"):
        product(A, sequences("masked"), A)
    for others in (Categorical.uniform((2,), 4), Categorical.masked((3,), 3)):
        other = enumerated(others, torch.ones((others.size,) * others.shape[0]))
        with pytest.raises(ValueError, match="denoisers compose in one space"):
            product(sequences("masked"), other, sequences("masked"))
    flat = Mixture(double([1.0]), GaussianComponents.of(Euclidean((1,)), double([[0.0]]), double([[[1.0]]])))
    with pytest.raises(ValueError, match="denoisers compose in one space"):
        product(A, flat, A)
    with pytest.raises(ValueError, match="the weights of a mixture are not negative"):
        mixture([A, B], [2.0, -1.0])
    with pytest.raises(ValueError, match="belongs to a component: pass condition="):
        mixture([A, B])(X, 0.5)


def test_compositions_say_what_they_are_and_count_their_calls() -> None:
    composed = product(A & ClassifierFreeGuidance({"label": 1}), B, BASE)
    assert composed.calls == 3
    said = json.loads(json.dumps(list(composed.provenance)))
    assert said[0]["product"][0] == {"weight": 1.0, "of": [{"prompt": {"label": 1}, "scale": 1.0}]}
    assert json.loads(json.dumps(list(mixture([A, B]).provenance)))[0]["mixture"][1]["weight"] == 0.5
