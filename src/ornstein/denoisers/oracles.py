"""Exact denoisers, on which tests, benchmarks and users' own checks stand.

Each is a mixture p(x₀) = Σ_k w_k Π_parts p_k(x₀ part), for which everything has a closed form:

    p(k | x_t) ∝ w_k Π_parts ∫ q(x_t | x₀) p_k(x₀) dx₀,      belief = Σ_k p(k | x_t) p_k(x₀ | x_t)

A Gaussian mixture has Gaussian components, an enumerated distribution one component a sequence, a joint world both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ..beliefs import Joint, Normal, Probs
from ..covariances import Spelled
from ..errors import InputError
from ..keys import Keys
from ..schedules import Cosine, RectifiedFlow, Schedule
from ..spaces import ONE_CLOCK, Categorical, Euclidean, Product, TimePath
from ..states import State, Time, left
from .base import Condition, Denoiser, Traits
from .fields import FieldComponents, GaussianField, field_mixture, gaussian_field, mixture_posterior
from .mixtures import Components, Mixture

__all__ = [
    "Blocks",
    "Components",
    "FieldComponents",
    "GaussianComponents",
    "GaussianField",
    "JointComponents",
    "Mixture",
    "MixtureCovariance",
    "TokenComponents",
    "coupled",
    "enumerated",
    "field_mixture",
    "gaussian_field",
    "gaussian_mixture",
    "joint_mixture",
    "mixture_posterior",
    "ring",
]


@dataclass(frozen=True, eq=False)
class MixtureCovariance(Spelled):
    """Σ_k share_k (C_k + δ_k δ_kᵀ) without forming it: C_k = U_k diag(spread_k) U_kᵀ, δ_k = m_k − m.

    Attributes:
        share: of each component, (batch, k), sum 1.
        spread: variances along the axes, (k, d), or (batch, k, d).
        axes: U_k, (k, d, d).
        offset: δ_k, (batch, k, d).
    """

    share: Float[Tensor, "batch k"]
    spread: Float[Tensor, "... k d"]
    axes: Float[Tensor, "k d d"]
    offset: Float[Tensor, "batch k d"]

    def __call__(self, v: Tensor) -> Tensor:
        flat = v.flatten(1).double()
        along = einsum(self.axes, flat, "k i j, b i -> b k j") * self.spread
        within = einsum(self.axes, along, self.share, "k i j, b k j, b k -> b i")
        between = einsum(self.offset, self.share * einsum(self.offset, flat, "b k d, b d -> b k"), "b k d, b k -> b d")
        return (within + between).reshape(v.shape).to(v)

    @property
    def matrix(self) -> Float[Tensor, "batch d d"]:
        if self.spread.ndim == 2:  # the same for all samples
            within = einsum(self.share, (self.axes * self.spread[:, None]) @ self.axes.mT, "b k, k i j -> b i j")
        else:
            along = self.axes * (self.share[..., None] * self.spread)[:, :, None]
            within = einsum(along, self.axes, "b k i j, k l j -> b i l")
        return within + einsum(self.share[..., None] * self.offset, self.offset, "b k i, b k j -> b i j")


@dataclass(frozen=True, eq=False)
class GaussianComponents(Components):
    """N(means_k, covs_k) over the flattened event, in the eigenbasis of each covariance. Times are per sample.

    Attributes:
        space: of the events.
        means: (k, d), d numbers in an event.
        variances: eigenvalues of the covariances, (k, d).
        axes: their eigenvectors, (k, d, d), in columns.
    """

    space: Euclidean
    means: Float[Tensor, "k d"]
    variances: Float[Tensor, "k d"]
    axes: Float[Tensor, "k d d"]

    @classmethod
    def of(cls, space: Euclidean, means: Float[Tensor, "k d"], covs: Float[Tensor, "k d d"]) -> "GaussianComponents":
        """The components with these means and covariances; InputError unless these are positive."""
        variances, axes = torch.linalg.eigh(covs.double())
        if (variances <= 0).any():
            raise InputError("covariances must be positive definite")
        return cls(space, means.double(), variances, axes)

    def log_likelihood(self, x_t: State, t: Time) -> Float[Tensor, "batch components"]:
        along, variance, _, _ = self._noisy(x_t, t)
        return -0.5 * (along**2 / variance + variance.log()).sum(-1)

    def belief(self, share: Float[Tensor, "batch components"], x_t: State, t: Time) -> Normal:
        assert isinstance(x_t, Tensor)
        along, variance, alpha, sigma = self._noisy(x_t, t)
        means = self.means + einsum(self.axes, alpha * self.variances / variance * along, "k i j, b k j -> b k i")
        mean = einsum(share, means, "b k, b k d -> b d")
        spread = self.variances * sigma**2 / variance
        cov = MixtureCovariance(share, spread, self.axes, means - rearrange(mean, "b d -> b 1 d"))
        return Normal(mean.reshape(x_t.shape).to(x_t), cov)

    def draw(self, component: Int[Tensor, " batch"], keys: Keys) -> Tensor:
        z = keys.normal(self.means.shape[1]) * self.variances[component].sqrt()
        x = self.means[component] + einsum(self.axes[component], z, "b i j, b j -> b i")
        return x.reshape(-1, *self.space.shape).to(torch.get_default_dtype())

    def _noisy(self, x_t: State, t: Time) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The residual in each eigenbasis (batch, k, d), its variance, and α, σ that broadcast against them."""
        assert isinstance(x_t, Tensor)
        if isinstance(t, Tensor) and t.ndim > 1:
            raise InputError("Gaussian oracles take one time a sample")
        levels = [self.space.schedule.alpha(t), self.space.schedule.sigma(t)]
        alpha, sigma = (rearrange(a, "b -> b 1 1") if a.ndim else a for a in levels)
        residual = rearrange(x_t.flatten(1).double(), "b d -> b 1 d") - alpha * self.means
        return (
            einsum(self.axes, residual, "k i j, b k i -> b k j"),
            alpha**2 * self.variances + sigma**2,
            alpha,
            sigma,
        )


@dataclass(frozen=True, eq=False)
class TokenComponents(Components):
    """One fixed sequence a component.

    Attributes:
        space: of the sequences.
        sequences: (k, *positions).
    """

    space: Categorical
    sequences: Int[Tensor, "k *positions"]

    def log_likelihood(self, x_t: State, t: Time) -> Float[Tensor, "batch components"]:
        assert isinstance(x_t, Tensor)
        seen = self.space.chain.column(left(self.space.schedule.alpha(t), x_t), x_t).log()
        index = rearrange(self.sequences.flatten(1), "k n -> 1 k n").expand(len(x_t), -1, -1)
        seen = rearrange(seen.flatten(1, -2), "b n s -> b s n")
        return seen.gather(1, index).sum(-1)

    def belief(self, share: Float[Tensor, "batch components"], x_t: State, t: Time) -> Probs:
        clean = torch.nn.functional.one_hot(self.sequences, self.space.states).double()
        return Probs(torch.einsum("bk,k...->b...", share, clean).log())

    def draw(self, component: Int[Tensor, " batch"], keys: Keys) -> Tensor:
        return self.sequences[component]


@dataclass(frozen=True, eq=False)
class JointComponents(Components):
    """Components over a product space: given the component, the parts are independent.

    Attributes:
        path: the parts' times along the clock.
    """

    parts: Mapping[str, Components]
    path: TimePath = ONE_CLOCK

    def __post_init__(self) -> None:
        space = Product({name: part.space for name, part in self.parts.items()}, path=self.path)
        object.__setattr__(self, "space", space)

    def along(self, path: TimePath) -> "JointComponents":
        return replace(self, path=path)

    def log_likelihood(self, x_t: State, t: Time) -> Float[Tensor, "batch components"]:
        each = [part.log_likelihood(x_t[name], self.space.time_of(t, name)) for name, part in self._with(x_t)]
        return torch.stack(each).sum(0)

    def belief(self, share: Float[Tensor, "batch components"], x_t: State, t: Time) -> Joint:
        time_of = self.space.time_of
        return Joint({name: part.belief(share, x_t[name], time_of(t, name)) for name, part in self._with(x_t)})

    def draw(self, component: Int[Tensor, " batch"], keys: Keys) -> dict[str, Any]:
        return {name: part.draw(component, keys.fold(name)) for name, part in self.parts.items()}

    def _with(self, state: State) -> Any:
        assert isinstance(state, Mapping)
        return self.parts.items()


def gaussian_mixture(
    means: Float[Tensor, "k d"],
    covs: Float[Tensor, "k d d"],
    weights: Float[Tensor, " k"] | None = None,
    schedule: Schedule = Cosine(),
    labels: Int[Tensor, " k"] | None = None,
) -> Mixture:
    """The exact denoiser of a mixture of Gaussians of any covariances.

    Args:
        means: of the components, in the unit of x, (k, d).
        covs: covariance of each component, in the squared unit of x, (k, d, d).
        weights: of the components; equal if not given, (k).
        schedule: α(t) and σ(t) of the noise.
        labels: class of each component, if they have one, (k).
    """
    space = Euclidean((means.shape[1],), schedule)
    return Mixture(_weights(weights, len(means)), GaussianComponents.of(space, means, covs), labels)


def enumerated(space: Categorical, probs: Float[Tensor, "*states"]) -> Mixture:
    """The exact denoiser of a distribution that is given as a table.

    Args:
        space: of the letters.
        probs: an axis a position, probs[a, b, c] = p(abc); it need not be normalised.

    InputError for a table of another shape.
    """
    if probs.shape != (space.size,) * probs.ndim or space.shape != (probs.ndim,):
        raise InputError(f"a table over {space.shape} positions of {space.size} states, not {tuple(probs.shape)}")
    sequences = torch.cartesian_prod(*[torch.arange(space.size)] * probs.ndim).reshape(-1, probs.ndim)
    weights = probs.flatten().double()
    return Mixture(_weights(weights, len(sequences)), TokenComponents(space, sequences))


def joint_mixture(
    means: Float[Tensor, "k d"],
    covs: Float[Tensor, "k d d"],
    tokens: Int[Tensor, "k positions"],
    weights: Float[Tensor, " k"] | None = None,
    schedule: Schedule = Cosine(),
    categories: Categorical | None = None,
) -> Mixture:
    """A continuous × categorical world: component k is N(means_k, covs_k) together with the tokens of row k.

    Its states are {"x": (batch, d), "tokens": (batch, positions)}.

    Args:
        means: of the components, in the unit of x, (k, d).
        covs: covariance of each component, in the squared unit of x, (k, d, d).
        tokens: those of each component, whole numbers from 0, (k, positions).
        weights: of the components; equal if not given, (k).
        schedule: α(t) and σ(t) of the noise.
        categories: the space of the tokens; masked ones if not given.
    """
    size = int(tokens.max()) + 1
    categories = categories or Categorical.masked((tokens.shape[1],), size, RectifiedFlow())
    parts: dict[str, Components] = {
        "x": GaussianComponents.of(Euclidean((means.shape[1],), schedule), means, covs),
        "tokens": TokenComponents(categories, tokens),
    }
    return Mixture(_weights(weights, len(means)), JointComponents(parts))


@dataclass(frozen=True, eq=False, repr=False)
class Blocks(Denoiser):
    """Copies of one small world along a longer sequence, independent of one another: exact, and of any length.

    Attributes:
        traits: of the whole sequence, one axis of positions.
        world: of one block.
        places: the positions of each block.
    """

    traits: Traits
    world: Mixture
    places: Int[Tensor, "blocks positions"]

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Probs:
        assert isinstance(x_t, Tensor)
        x = rearrange(x_t[:, self.places], "b k n -> (b k) n")
        each = torch.as_tensor(t).expand(len(x_t)).repeat_interleave(len(self.places)) if isinstance(t, Tensor) else t
        belief = self.world(x, each)
        assert isinstance(belief, Probs)
        logits = rearrange(belief.logits, "(b k) n s -> b (k n) s", b=len(x_t))
        return Probs(logits[:, self.places.flatten().argsort()])


def coupled(pairs: int, table: Float[Tensor, "size size"], space: Categorical | None = None) -> Blocks:
    """Pairs (i, L − 1 − i) with the joint law of the table: a hairpin of as many base pairs.

    Args:
        pairs: how many; there are twice as many letters.
        table: p(first letter, second letter) of a pair, (size, size), of sum 1.
        space: of the letters; masked ones if not given.
    """
    space = space or Categorical.masked((2 * pairs,), len(table))
    small = enumerated(replace(space, shape=(2,)), table)
    first = torch.arange(pairs)
    return Blocks(
        Traits(space, time_independent=small.time_independent), small, torch.stack([first, 2 * pairs - 1 - first], 1)
    )


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.1, schedule: Schedule = Cosine()) -> Mixture:
    """`modes` equal Gaussians on a circle: the picture everybody draws first.

    Args:
        modes: how many.
        radius: of the ring, in the unit of x.
        std: standard deviation in each degree of freedom, in the unit of x.
        schedule: α(t) and σ(t) of the noise.
    """
    angle = torch.arange(modes, dtype=torch.float64) * (2 * torch.pi / modes)
    means = radius * torch.stack([angle.cos(), angle.sin()], -1)
    return gaussian_mixture(means, (std**2 * torch.eye(2, dtype=torch.float64)).expand(modes, 2, 2), schedule=schedule)


def _weights(weights: Float[Tensor, " k"] | Sequence[float] | None, k: int) -> Tensor:
    weights = torch.ones(k) if weights is None else torch.as_tensor(weights)
    return weights.double() / weights.double().sum()
