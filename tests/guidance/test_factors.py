"""What a factor says of a belief: exact where log g is linear, or Gaussian on the line; log g itself without doubt."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Belief, Joint, Normal, Probs
from ornstein.covariances import Dense, Diagonal
from ornstein.denoisers.composition import ClassifierFreeGuidance
from ornstein.denoisers.oracles import Mixture, enumerated
from ornstein.errors import InputError
from ornstein.guidance.classifiers import ClassifierGuidance, NoisyClassifierGuidance
from ornstein.guidance.factors import Energy, Factor, Factored, Updated
from ornstein.guidance.interval import Interval
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.guidance.operators import Mask
from ornstein.keys import Keys
from ornstein.spaces import Categorical, Euclidean, Product, Space, TimePath
from ornstein.states import State, Time, leaves, map_state
from worlds import MeanOnly, anisotropic, assert_close, coupled, double, rejected, rotated, sequences, single, table

KEYS = Keys.of(1, 3)
PLANE, TOKENS = Euclidean((2,)), Categorical.uniform((3,), 3)
BOTH = Product({"x": PLANE, "tokens": TOKENS})
NORMAL = Normal(KEYS.normal(2), Dense(torch.stack([rotated(a, (0.9, 0.4)) for a in (0.1, 0.8, 2.0)])))
PROBS = Probs(KEYS.fold(1).normal(3, 3))
JOINT = Joint({"x": NORMAL, "tokens": PROBS})
SLOPE, SCORES = double([0.7, -1.1]), Keys.of(2, 3).normal(3)


def push(x: Tensor) -> Tensor:
    """An energy that is linear in continuous data."""
    return x @ SLOPE


def score(code: Tensor) -> Tensor:
    """An energy that is a sum over positions."""
    return (code * SCORES).sum((1, 2))


def total(code: dict[str, Tensor]) -> Tensor:
    return push(code["x"]) + score(code["tokens"])


def all_tokens() -> Tensor:
    return torch.tensor(list(product(range(3), repeat=3)))


# Without doubt ----------------------------------------------------------------------------------------

CLEAN = {"x": KEYS.fold(2).normal(2), "tokens": torch.tensor([[0, 1, 2], [2, 2, 1], [1, 0, 0]])}
CASES: dict[str, tuple[Space, Any, Callable[[Any], Tensor]]] = {
    "Normal": (PLANE, CLEAN["x"], lambda x: (x**2).sum(1) + x.prod(1).sin()),
    "Probs": (TOKENS, CLEAN["tokens"], lambda code: (code * SCORES).sum((1, 2)) ** 2 + code[:, 0, 0] * code[:, 1, 1]),
    "Joint": (BOTH, CLEAN, lambda code: (code["x"] ** 2).sum(1) * code["tokens"][:, 0, 1] + score(code["tokens"])),
}


@pytest.mark.parametrize("case", CASES)
def test_of_a_belief_without_doubt_it_is_log_g(case: str) -> None:
    space, x0, energy = CASES[case]
    certain = space.point_mass(x0)
    assert_close(Energy(energy, 1.7).log_expect(certain), -1.7 * energy(certain.mean))
    assert_close(ClassifierGuidance(energy, 0.6).log_expect(certain), 0.6 * energy(certain.mean))


# Exponential-linear g ---------------------------------------------------------------------------------


def normal_truth(weight: float) -> tuple[Tensor, Tensor]:
    """log E exp(−w a·x) = −w a·m + w² a·C a / 2, and the mean m − w C a."""
    along = NORMAL.covary(SLOPE.expand(3, 2))
    return -weight * push(NORMAL.mean) + weight**2 * push(along) / 2, NORMAL.mean - weight * along


def probs_truth(weight: float) -> tuple[Tensor, Tensor]:
    """Every sequence written down."""
    code = torch.nn.functional.one_hot(all_tokens(), 3).double()
    log_probs = torch.einsum("bps,nps->bn", PROBS.log_probs, code) - weight * score(code)
    return log_probs.logsumexp(1), torch.einsum("bn,nps->bps", log_probs.softmax(1), code)


def assert_exact_where_linear(make: Callable[..., Factor]) -> None:
    """Value and updated mean in every space."""
    weight = 1.3
    (normal, mean), (probs, shares) = normal_truth(weight), probs_truth(weight)
    worlds: list[tuple[Any, Belief, Space, State, Tensor, Any]] = [
        (push, NORMAL, PLANE, CLEAN["x"], normal, mean),
        (score, PROBS, TOKENS, CLEAN["tokens"], probs, shares),
        (total, JOINT, BOTH, CLEAN, normal + probs, {"x": mean, "tokens": shares}),
    ]
    for energy, belief, space, x_t, value, moved in worlds:
        factor = make(energy, weight)
        found, updated = factor.update(belief, x_t, 0.5, space)
        assert_close(found, value)
        assert_close(factor.log_expect(belief), value)
        map_state(assert_close, updated.mean, moved)


class PlugIn(Energy):
    """A broken twin: g at the mean, as most guidance has it."""

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self.log_g(belief.mean), super().update(belief, x_t, t, space)[1]


def test_a_linear_log_g_is_exact_in_every_space() -> None:
    assert_exact_where_linear(Energy)
    rejected(assert_exact_where_linear, PlugIn)


# Gaussian g on the line -------------------------------------------------------------------------------

CENTRE, WIDTH = 0.4, 0.3


def well(x: Tensor) -> Tensor:
    return 0.5 * ((x[:, 0] - CENTRE) / WIDTH) ** 2


def assert_exact_where_gaussian(make: Callable[..., Factor]) -> None:
    """log g = −(x − c)²/2w² under N(m, v): log N(c; m, v + w²) but for g's own constant, and the Kalman mean."""
    mean, variance = double([[-1.5], [0.1], [2.0]]), double([[0.02], [0.5], [30.0]])
    found, updated = make(well).update(Normal(mean, Diagonal(variance)), mean, 0.5, Euclidean((1,)))
    spread = variance + WIDTH**2
    value = -0.5 * (CENTRE - mean) ** 2 / spread - 0.5 * (spread / WIDTH**2).log()
    assert_close(found, value[:, 0])
    assert_close(updated.mean, mean + variance / spread * (CENTRE - mean))


class Undamped(Energy):
    """A broken twin: takes the slope at the mean for the slope everywhere."""

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        assert isinstance(belief, Normal)
        slope = -(belief.mean - CENTRE) / WIDTH**2
        return self.log_g(belief.mean) + belief.cumulant(slope), belief.tilt(slope)


def test_a_gaussian_log_g_is_exact_on_the_line() -> None:
    assert_exact_where_gaussian(Energy)
    rejected(assert_exact_where_gaussian, Undamped)


def test_an_upward_bend_is_not_damped() -> None:
    """κ > 0 would make the step longer; it stays d, as for a linear log g."""
    mean, variance = double([[0.5]]), double([[0.2]])
    updated = Energy(lambda x: -(x[:, 0] ** 2)).update(Normal(mean, Diagonal(variance)), mean, 0.5, Euclidean((1,)))[1]
    assert_close(updated.mean, mean + variance * 2 * mean)


# What g does not see ----------------------------------------------------------------------------------


def test_what_g_does_not_depend_on_stays() -> None:
    updated = Energy(lambda code: push(code["x"])).update(JOINT, CLEAN, 0.5, BOTH)[1]
    assert_close(updated["tokens"].mean, PROBS.mean)
    assert_close(updated["x"].mean, normal_truth(1.0)[1])
    value, updated = Energy(lambda x: 1 + 0 * x.sum(1)).update(NORMAL, CLEAN["x"], 0.5, PLANE)
    assert_close(value, -torch.ones(3, dtype=torch.float64))
    assert_close(updated.mean, NORMAL.mean)


def test_a_factor_on_a_part_is_the_factor_there() -> None:
    factor = Energy(push, 2.0)
    value, updated = factor.on("x").update(JOINT, CLEAN, 0.5, BOTH)
    alone, belief = factor.update(NORMAL, CLEAN["x"], 0.5, PLANE)
    assert_close(value, alone)
    assert_close(factor.on("x").log_expect(JOINT), alone)
    assert_close(updated["x"].mean, belief.mean)
    assert updated["tokens"] is PROBS


# Noisy classifiers ------------------------------------------------------------------------------------


def log_label(world: Mixture, label: int) -> Callable[[Tensor, Time], Tensor]:
    """log p(label | x_t), exactly."""

    def log_prob(x: Tensor, t: Time) -> Tensor:
        assert world.labels is not None
        shares = (world.weights.log() + world.components.log_likelihood(x, t)).log_softmax(1)
        return shares.masked_fill(world.labels != label, -torch.inf).logsumexp(1)

    return log_prob


def assert_labels(classifier: Callable[..., Tensor], label: int) -> None:
    """x̂ + (σ²/α) ∇ log p(c | x_t) = E[x₀ | x_t, c], Tweedie's formula once more."""
    world, x = anisotropic(), 0.7 * Keys.of(1, 4).normal(2)
    said = {"label": torch.full((4,), label)}
    for t in (0.05, 0.4, 0.9, double([0.1, 0.3, 0.6, 0.95])):
        guided = world & NoisyClassifierGuidance(classifier)
        assert_close(guided(x, t).mean, world(x, t, said).mean, 1e-8)


@pytest.mark.parametrize("label", [0, 1])
def test_the_exact_noisy_classifier_is_the_label(label: int) -> None:
    world = anisotropic()
    assert_labels(log_label(world, label), label)
    rejected(assert_labels, lambda x, t: log_label(world, label)(x, 0.0), label)  # a classifier of clean data


def test_its_value_is_the_share_of_the_label() -> None:
    world, x = anisotropic(), 0.7 * KEYS.normal(2)
    factor = NoisyClassifierGuidance(log_label(world, 1), 0.5)
    value, _ = factor.update(world(x, 0.3), x, 0.3, world.space)
    assert_close(value, 0.5 * log_label(world, 1)(x, 0.3))
    assert_close(factor.log_expect(world.space.point_mass(x)), 0.5 * log_label(world, 1)(x, 0.0))


def assert_told(space: Product) -> None:
    """A classifier on a path is told the time of each part, not where the clock of the sampler stands."""
    asked: list[Any] = []

    def log_prob(code: Any, t: Any) -> Tensor:
        asked.append(t)
        return code["x"].sum(1) + code["tokens"].sum((1, 2))

    x = {"x": KEYS.normal(2), "tokens": torch.zeros(3, 3).long()}
    NoisyClassifierGuidance(log_prob).update(JOINT, x, 0.5, space)
    assert isinstance(asked[0], dict)
    assert_close(double([asked[0]["x"], asked[0]["tokens"]]), double([0.5, 1 - 0.5**3]))


def test_a_classifier_is_told_the_times_of_the_parts() -> None:
    assert_told(BOTH.along(TimePath.power(3.0, "tokens")))
    rejected(assert_told, BOTH)


STEEP = {"x": double([[30.0, -40.0]] * 3), "tokens": 30 * KEYS.fold(2).normal(3, 3, 3)}


def assert_held_back(belief: Any, space: Product, trust: float = 1.5, t: float = 0.4) -> None:
    """c explains at most so much of the noise, along the slope, and of the odds of each category."""
    found: Any = space.apply_score(belief, STEEP, t, trust)
    moved = found["x"].mean - belief["x"].mean
    sigma, alpha = (float(level(double(t))) for level in (PLANE.schedule.sigma, PLANE.schedule.alpha))
    assert_close(moved * alpha / sigma, trust * double([[0.6, -0.8]] * 3), 1e-6)
    odds = found["tokens"].logits - belief["tokens"].logits
    assert trust - 1e-9 <= odds.abs().max() <= trust + 1e-9
    assert (
        odds.sign() == (STEEP["tokens"] - (belief["tokens"].mean * STEEP["tokens"]).sum(-1, keepdim=True)).sign()
    ).all()


def test_what_a_classifier_asks_too_much_of_is_held_back() -> None:
    assert_held_back(JOINT, BOTH)
    rejected(assert_held_back, JOINT, BOTH, inf)
    gentle = map_state(lambda slope: slope / 1000, STEEP)
    free, held = (BOTH.apply_score(JOINT, gentle, 0.4, most) for most in (inf, 1.5))
    for one, other in zip(leaves(held.mean), leaves(free.mean), strict=True):
        assert_close(one, other)


def test_a_trust_radius_is_positive_and_recorded() -> None:
    with pytest.raises(InputError, match="NoisyClassifierGuidance: trust is 0, expected a positive number"):
        NoisyClassifierGuidance(lambda code, t: code["x"].sum(1), 1.0, 0)
    assert NoisyClassifierGuidance(lambda code, t: code["x"].sum(1), 1.0, 2.0).provenance["trust"] == 2.0


def multilinear(values: Tensor, code: Tensor) -> Tensor:
    """A table over pairs of states, continued linearly in the code of each position."""
    return torch.einsum("ij,bi,bj->b", values, code[:, 0], code[:, 1])


def test_a_classifier_of_masked_tokens_is_exact_a_position() -> None:
    """Revealing one token is a change of one code: p(x₀ᵖ | x_t, c) ∝ p(x₀ᵖ | x_t) p(c | x_t with token p), exactly."""
    prior, chance = table(3, 2), double([[0.9, 0.2, 0.4], [0.1, 0.6, 0.3], [0.5, 0.05, 0.7]])
    world = enumerated(Categorical.masked((2,), 3), prior)
    given = torch.zeros(4, 4, dtype=torch.float64)  # p(c | x_t), state 3 = masked
    given[:3, :3] = chance
    given[3, :3] = (prior * chance).sum(0) / prior.sum(0)
    given[:3, 3] = (prior * chance).sum(1) / prior.sum(1)
    given[3, 3] = (prior * chance).sum()
    guided = world & NoisyClassifierGuidance(lambda code, t: multilinear(given.log(), code))
    exact = enumerated(Categorical.masked((2,), 3), prior * chance)
    x = torch.tensor([[3, 3], [0, 3], [3, 2], [1, 1]])
    assert_close(guided(x, 0.4).mean, exact(x, 0.4).mean)


# Guided denoisers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told(Factor):
    """Notes when it is asked."""

    name: str
    asked: list[str]
    conjugate: bool = False  # pyright: ignore[reportIncompatibleMethodOverride]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        self.asked.append(self.name)
        return self.log_expect(belief), belief

    def log_expect(self, belief: Belief) -> Tensor:
        return torch.zeros(len(belief.mean), dtype=torch.float64)

    def tempered(self, power: float) -> "Told":
        return self


def test_conjugate_factors_come_first_and_in_order() -> None:
    asked: list[str] = []
    guided = single() & Told("a", asked) & Told("b", asked, True) & Told("c", asked) & Told("d", asked, True)
    guided(KEYS.normal(2), 0.5)
    assert asked == ["b", "d", "a", "c"]


@pytest.mark.parametrize("wrap", [lambda world: world, MeanOnly], ids=["exact covariance", "Tweedie"])
def test_guiding_is_updating_the_belief(wrap: Any) -> None:
    world, x, factor = single(), KEYS.normal(2), Energy(lambda x: (x**2).sum(1) + push(x), 0.8)
    guided = wrap(world) & factor
    assert isinstance(guided, Factored)
    assert_close(guided(x, 0.6).mean, factor.update(world(x, 0.6), x, 0.6, world.space)[1].mean, 1e-9)


def test_two_linear_factors_are_their_sum() -> None:
    world, x = sequences("uniform", 3, 2), torch.tensor([[0, 1], [2, 2], [1, 0]])

    def first(code: Tensor) -> Tensor:
        return (code * SCORES[:2]).sum((1, 2))

    def second(code: Tensor) -> Tensor:
        return (code * SCORES[1:]).sum((1, 2))

    both = world & Energy(lambda code: first(code) + second(code))
    assert_close((world & Energy(first) & Energy(second))(x, 0.5).mean, both(x, 0.5).mean)


# Powers and records -----------------------------------------------------------------------------------

FACTORS: dict[str, Factor] = {
    "energy": Energy(push, 2.0),
    "probability": ClassifierGuidance(push, 2.0),
    "measurement": Measurement(double([0.3]), Mask(torch.tensor([True, False])), 0.2),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_tempered_factor_is_g_to_the_power_up_to_a_constant(name: str) -> None:
    certain, factor = PLANE.point_mass(CLEAN["x"]), FACTORS[name]
    whole, weak = factor.log_expect(certain), factor.tempered(0.3).log_expect(certain)
    assert_close(weak - weak[0], 0.3 * (whole - whole[0]))


def test_records_are_json() -> None:
    fixed = Fixed(torch.zeros(2), torch.tensor([True, False]))
    world = coupled()
    guided = (
        world
        & Energy(total)
        & ClassifierGuidance(total)
        & NoisyClassifierGuidance(lambda code, t: total(code))
        & fixed.on("x")
    )
    guided = guided & replace(FACTORS["measurement"], std=double([0.2])).on("x")  # pyright: ignore[reportArgumentType]
    records = json.loads(json.dumps(list(guided.provenance)))
    assert [record["factor"] for record in records][:2] == ["Fixed", "Measurement"]
    assert records[1] == {"factor": "Measurement", "of": "Mask", "numbers": 1, "std": "one an element", "part": "x"}
    assert {"factor": "Energy", "of": "total", "weight": 1.0} in records


def test_a_prompt_changes_the_prior_and_the_factors_stay_outside() -> None:
    world, x = anisotropic(), 0.7 * KEYS.normal(2)
    one, other = (
        world & ClassifierFreeGuidance({"label": 1}, 2.0) & FACTORS["energy"],
        world & FACTORS["energy"] & ClassifierFreeGuidance({"label": 1}, 2.0),
    )
    assert isinstance(other, Factored)
    assert_close(one(x, 0.5).mean, other(x, 0.5).mean)
    assert other.fixed_condition["label"].item() == 1
    assert other.calls == 2


def test_a_late_factor_waits_for_its_time() -> None:
    wish = Energy(push)
    late, x = Interval(wish, 0.4), KEYS.normal(2)
    value, belief = late.update(NORMAL, x, 0.5, PLANE)
    assert (value == 0).all()
    assert belief is NORMAL
    found, expected = (factor.update(NORMAL, x, 0.4, PLANE) for factor in (late, wish))
    assert_close(found[0], expected[0])
    assert_close(found[1].mean, expected[1].mean)
    assert_close(late.log_expect(NORMAL), wish.log_expect(NORMAL))  # particles weigh it in full
