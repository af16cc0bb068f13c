"""A guided denoiser is a denoiser: classifier-free guidance extrapolates, and a tilt by a likelihood is conjugate."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein.beliefs import Belief, Normal
from ornstein.composition import Prompt
from ornstein.denoisers import Condition, Denoiser, Guide, Guided, with_covariance
from ornstein.grids import log_snr, uniform
from ornstein.kernels import Predictor
from ornstein.keys import Keys
from ornstein.oracles import Mixture
from ornstein.samplers import Sampler
from ornstein.samples import sample
from ornstein.spaces import Space
from ornstein.states import State, Time
from worlds import MeanOnly, anisotropic, assert_close, double, rejected, single

KEYS = Keys.of(1, 4)
WORLD = anisotropic()
X = 0.7 * KEYS.normal(2)
ONE = {"label": torch.ones(4, dtype=torch.int64)}


# Classifier-free guidance -----------------------------------------------------------------------------


def test_scale_one_is_the_labelled_oracle() -> None:
    assert (WORLD & Prompt({"label": 1}))(X, 0.5).mean.equal(WORLD(X, 0.5, ONE).mean)


def test_scale_zero_is_the_unlabelled_oracle() -> None:
    assert (WORLD & Prompt({"label": 1}, 0.0))(X, 0.5).mean.equal(WORLD(X, 0.5).mean)
    assert (WORLD & Prompt({"label": 1}, 0.0))(X, 0.5, {"label": torch.zeros(4)}).mean.equal(WORLD(X, 0.5).mean)


@given(st.floats(-2, 8))
def test_other_scales_extrapolate(scale: float) -> None:
    said, unsaid = WORLD(X, 0.5, ONE).mean, WORLD(X, 0.5).mean
    assert_close((WORLD & Prompt({"label": 1}, scale))(X, 0.5).mean, unsaid + scale * (said - unsaid))


def test_a_label_may_differ_by_sample() -> None:
    labels = {"label": torch.tensor([0, 1, 1, 0])}
    found = (WORLD & Prompt({"label": None}, 2.0))(X, 0.5, labels).mean
    for i, label in enumerate([0, 1, 1, 0]):
        assert_close(found[i], (WORLD & Prompt({"label": label}, 2.0))(X, 0.5).mean[i])


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_a_missing_label_is_a_clear_error(scale: float) -> None:
    with pytest.raises(ValueError, match="leaves 'label' to each sample: pass condition="):
        (WORLD & Prompt({"label": None}, scale))(X, 0.5)


@dataclass(frozen=True)
class Shifted(Guided):
    """A denoiser with a second condition, which shifts its mean."""

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        mean = self.denoiser(x_t, t, condition).mean
        return Normal(mean + (condition or {}).get("shift", torch.zeros(len(mean)))[:, None])


def test_prompts_nest() -> None:
    """Guidance by two conditions is linear in both: each prompt extrapolates what is inside of it."""
    world = Shifted(WORLD)
    found = (world & Prompt({"label": 1}, 2.0) & Prompt({"shift": 0.3}, 4.0))(X, 0.5).mean
    said, unsaid = WORLD(X, 0.5, ONE).mean, WORLD(X, 0.5).mean
    assert_close(found, unsaid + 2 * (said - unsaid) + 4 * 0.3, 1e-6)
    swapped = (world & Prompt({"shift": 0.3}, 4.0) & Prompt({"label": 1}, 2.0))(X, 0.5).mean
    assert_close(found, swapped, 1e-6)


def test_an_outer_prompt_answers_what_an_inner_one_leaves_open() -> None:
    nested = WORLD & Prompt({"label": None}, 2.0) & Prompt({"label": 1})
    assert_close(nested(X, 0.5).mean, (WORLD & Prompt({"label": 1}, 2.0))(X, 0.5).mean)


def test_prompted_samples_keep_to_their_label() -> None:
    sampler = Sampler(log_snr(30, WORLD.space), (Predictor(0.0, 2),))
    found = sampler.run(WORLD & Prompt({"label": 0}), Keys.of(0, 200))
    parts: Any = WORLD.components
    only = sampler.run(Mixture(double([1.0, 0, 0]), parts), Keys.of(0, 200))
    assert_close(found, only, 1e-5)


def test_evaluations_are_counted() -> None:
    for scale, calls in ((0.0, 3), (1.0, 3), (2.0, 6)):
        *_, last = Sampler(uniform(3)).steps(WORLD & Prompt({"label": 1}, scale), Keys.of(0, 2))
        assert last.nfe == calls


# Tilting by a likelihood ------------------------------------------------------------------------------

OPERATOR, NOISE, SEEN = double([[1.0, 0.6]]), 0.09, double([0.4])


@dataclass(frozen=True)
class Measured(Guide):
    """y = A x₀ + noise; its likelihood is averaged over the belief with the belief's covariance, or not."""

    marginal: bool = True

    def guide(self, denoiser: Denoiser) -> "Tilted":
        return Tilted(denoiser, self)

    def gradient(self, belief: Normal) -> Tensor:
        """∇ log N(y; A m, A C Aᵀ + R) at the mean m."""
        rows = OPERATOR.expand_as(belief.mean)
        assert belief.cov is not None
        spread = (rows * belief.cov(rows)).sum(1, keepdim=True) if self.marginal else 0.0
        return rows * (SEEN - belief.mean @ OPERATOR.T) / (spread + NOISE)


@dataclass(frozen=True)
class Tilted(Denoiser):
    denoiser: Denoiser
    measured: Measured

    @property
    def space(self) -> Space:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.denoiser.space

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        belief = with_covariance(self.denoiser, x_t, t, condition)
        assert isinstance(belief, Normal)
        return belief.tilt(self.measured.gradient(belief))


def conjugate(mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """The Gaussian posterior given y."""
    gain = cov @ OPERATOR.T / (OPERATOR @ cov @ OPERATOR.T + NOISE)
    return mean + gain @ (SEEN - OPERATOR @ mean), cov - gain @ OPERATOR @ cov


def assert_conjugate(guided: Denoiser, world: Mixture) -> None:
    """The tilted belief's mean is that of p(x₀ | x_t, y)."""
    for t in (0.05, 0.5, 0.95):
        belief, found = world(X, t), guided(X, t)
        assert isinstance(belief, Normal)
        assert belief.cov is not None
        columns = [belief.cov(e.expand_as(X)) for e in torch.eye(2, dtype=torch.float64)]
        for i in range(4):
            exact, _ = conjugate(belief.mean[i], torch.stack([column[i] for column in columns]))
            assert_close(found.mean[i], exact, 1e-9)


@pytest.mark.parametrize("wrap", [lambda world: world, MeanOnly], ids=["exact covariance", "Tweedie"])
def test_tilting_by_the_marginal_likelihood_is_conjugate(wrap: Any) -> None:
    assert_conjugate(wrap(single()) & Measured(), single())


def test_conjugacy_rejects_the_plug_in_likelihood() -> None:
    rejected(assert_conjugate, single() & Measured(marginal=False), single())


def assert_samples_the_posterior(guided: Denoiser, n: int = 4000) -> None:
    """Sampling through the guided denoiser gives the mean and the covariance of p(x₀ | y)."""
    sampler, start = Sampler(log_snr(60, guided.space), (Predictor(0.0, 2),)), Keys.of(0, n).normal(2)
    x = sampler.run(guided, Keys.of(0, n), start=start)
    parts: Any = single().components
    mean, cov = conjugate(parts.means[0], parts.axes[0] @ torch.diag(parts.variances[0]) @ parts.axes[0].T)
    assert ((x.mean(0) - mean).abs() < 4 * (cov.diagonal() / n).sqrt()).all()
    assert_close(torch.cov(x.T), cov, 5 * cov.diagonal().max().item() * (2 / n) ** 0.5)


@pytest.mark.parametrize("wrap", [lambda world: world, MeanOnly], ids=["exact covariance", "Tweedie"])
def test_samples_of_a_guided_denoiser_follow_the_posterior(wrap: Any) -> None:
    assert_samples_the_posterior(wrap(single()) & Measured())


def test_posterior_test_rejects_the_plug_in_likelihood_and_no_guidance() -> None:
    rejected(assert_samples_the_posterior, single())
    rejected(assert_samples_the_posterior, MeanOnly(single()) & Measured(marginal=False))


def test_a_guided_denoiser_says_what_it_was_told() -> None:
    guided = WORLD & Prompt({"label": 1}, 2.0)
    assert guided.given["label"].item() == 1
    assert guided.record == ({"prompt": {"label": 1}, "scale": 2.0},)
    drawn = sample(guided, n=3, steps=4)
    assert drawn.condition["label"].tolist() == [1, 1, 1]
    assert drawn.settings["guides"] == [{"prompt": {"label": 1}, "scale": 2.0}]
    with pytest.raises(ValueError, match="'label' is said already"):
        _ = guided & Prompt({"label": 0})
