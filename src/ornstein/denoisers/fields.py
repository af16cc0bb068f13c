"""Gaussian random fields: exact denoisers of any size, on which everything about fields is measured.

Where data and noise are diagonal in one basis, with variances s² and l² of a coefficient,

    x̂ = μ + α s²/v (x_t − α μ),      Cov[x₀ | x_t] = s² σ² l²/v,      v = α² s² + σ² l²

coefficient by coefficient: the preconditioning of the space with nothing added. What is known of a field by a linear
measurement leaves a Gaussian again (`posterior`, `filtered`), and of a mixture of fields a mixture, whose weights go
with the evidence:

    p(x) = Σ_k w_k N(μ_k, C_k),      p(k | y) ∝ w_k N(y; A μ_k, R + A C_k Aᵀ)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..beliefs import Normal
from ..covariances import Rooted
from ..errors import InputError
from ..keys import Keys
from ..schedules import Cosine, Schedule
from ..spaces import Euclidean, Structured
from ..spectral.roots import Downdated, Spectral
from ..states import State, Time, left
from ..values import as_constants, as_numbers, require_positive
from .base import Condition, Denoiser, Traits, carry
from .mixtures import Components, Mixture


@dataclass(frozen=True, eq=False, repr=False)
class GaussianField(Denoiser):
    """The exact denoiser of N(mean, C), C diagonal in the basis of the noise: see `gaussian_field`.

    Attributes:
        field: the space of whole fields, whose data_std is C.
        mean: of the field, of its shape.
    """

    field: Euclidean
    mean: Float[Tensor, "..."]

    def __post_init__(self) -> None:
        if not isinstance(self.field.data_std, Spectral):
            raise InputError("a Gaussian field has a spectrum: its space's data_std must be a Spectral")
        object.__setattr__(self, "mean", as_constants(self.mean, "mean"))
        if self.mean.shape != self.field.shape:
            raise InputError(f"mean has the shape {tuple(self.mean.shape)}, expected {self.field.shape}")
        carry(self, Traits(self.field))

    @property
    def cov(self) -> Spectral:
        """C."""
        assert isinstance(self.field.data_std, Spectral)
        return self.field.data_std

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        residual = self._residual(x_t, t)
        belief = self.field.belief(torch.zeros_like(residual), residual, t)
        return replace(belief, mean=belief.mean + self.mean.to(x_t), cov=self.field.gaussian_cov(t, x_t))

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        """log p(x_t), normalised, nats."""
        residual = self._residual(x_t, t)
        return self.field.gaussian_law(t, residual).log_prob(residual)

    def draw(self, keys: Keys) -> Float[Tensor, "batch ..."]:
        """Exact samples of the field."""
        z = keys.fold("draw").normal(*self.field.shape)
        return (self.mean + self.cov.root(z)).to(torch.get_default_dtype())

    def prior(self, n: int = 1) -> Normal:
        """The field itself as a belief, of which factors can be asked: `factor.update(prior, ...)` is exact."""
        return Normal(self.mean.double().expand(n, *self.field.shape), self.cov)

    def posterior(self, factor: Any) -> tuple[Float[Tensor, ""], Normal]:
        """log p(y), nats, and the field given a linear measurement or constraint: exact.

        Args:
            factor: conjugate, such as a Measurement through an Operator.
        """
        if not getattr(factor, "conjugate", False):
            raise InputError(
                f"the posterior of a field is Gaussian under what was measured, or holds exactly, not under a "
                f"{type(factor).__name__}: sample it with exact='particles'"
            )
        values, given = factor.update(self.prior(), self.mean[None], 0.0, self.field)
        return values[0], given

    def filtered(
        self, gain: Float[Tensor, "..."], y: Float[Tensor, "..."], std: float
    ) -> tuple[Float[Tensor, ""], Normal]:
        """The same for y = U diag(gain) Uᵀ x + noise, in the field's own basis, of any size.

        Args:
            gain: of each coefficient, such as the transfer function of a blur.
            y: of the field's shape.
            std: of white noise, in the unit of y.

        InputError unless both are finite numbers of the field's shape, and the noise has a width.
        """
        require_positive("filtered: std", std)
        gain, y = (self._of_shape(name, value) for name, value in (("gain", gain), ("y", y)))
        c, gain = self.cov.variance, gain.double()[None]
        seen = Spectral(self.cov.basis, gain**2 * c + std**2)
        residual = y.double()[None] - self.cov.basis.inverse(gain * self.cov.basis.forward(self.mean.double()[None]))
        along = self.cov.basis.forward(residual)
        moved = self.cov.basis.inverse(gain * c / seen.variance * along)
        evidence = Structured(torch.zeros_like(residual), seen).log_prob(residual)[0]
        left_over = Spectral(self.cov.basis, c * std**2 / seen.variance)
        return evidence, Normal(self.mean.double()[None] + moved, left_over)

    def _of_shape(self, name: str, value: Any) -> Tensor:
        numbers = as_numbers(value, f"filtered: {name}")
        if numbers.shape != self.field.shape:
            raise InputError(f"filtered: {name} has the shape {tuple(numbers.shape)}, expected {self.field.shape}")
        return numbers

    def _residual(self, x_t: State, t: Time) -> Float[Tensor, "batch ..."]:
        """x_t without the noisy mean; InputError for states of another shape, of which nothing is broadcast."""
        if not isinstance(x_t, Tensor) or x_t.shape[1:] != self.field.shape or not x_t.is_floating_point():
            found = f"{x_t.dtype} {tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
            raise InputError(f"a field's states are {found}, expected real numbers (batch, *{self.field.shape})")
        alpha = left(self.field.schedule.alpha(t), x_t)
        return x_t - (alpha * self.mean.double()).to(x_t)


@dataclass(frozen=True, eq=False)
class FieldComponents(Components):
    """Gaussian fields of one shape under one noise.

    Attributes:
        fields: at least one, all diagonal in the basis of the first.
    """

    fields: tuple[GaussianField, ...]

    def __post_init__(self) -> None:
        for one in self.fields:
            if not isinstance(one, GaussianField):
                raise InputError(f"a mixture of fields is of GaussianField, found a {type(one).__name__}")
        first, *others = self.fields
        for other in others:
            first.cov.require_same_basis(other.cov)
            if first.field.schedule != other.field.schedule or not _same(first.field.noise_cov, other.field.noise_cov):
                raise InputError("the fields of a mixture share one noise: give all the same schedule and noise_cov")
        object.__setattr__(self, "space", first.field)

    def log_likelihood(self, x_t: State, t: Time) -> Float[Tensor, "batch components"]:
        return torch.stack([field.log_density(x_t, t) for field in self.fields], 1)

    def belief(self, share: Float[Tensor, "batch components"], x_t: State, t: Time) -> Normal:
        assert isinstance(x_t, Tensor)
        beliefs = [field(x_t, t) for field in self.fields]
        return matched(share, torch.stack([one.mean.double() for one in beliefs], 1), [_cov(one) for one in beliefs])

    def draw(self, component: Int[Tensor, " batch"], keys: Keys) -> Tensor:
        return torch.stack([field.draw(keys) for field in self.fields])[component, torch.arange(len(component))]


def matched(
    share: Float[Tensor, "batch components"], means: Float[Tensor, "batch components ..."], covs: Sequence[Spectral]
) -> Normal:
    """The normal law with both moments of a mixture, Σ share C + Σ share (μ − mean)(μ − mean)ᵀ, with its root.

    Args:
        share: of each component, sample by sample.
        means: of each, in the unit of x.
        covs: of each, diagonal in one basis.
    """
    share = share.double()
    weights = share.reshape(*share.shape, *[1] * (means.ndim - 2))
    mean = (weights * means).sum(1)
    within = torch.stack([cov.variance.expand(len(share), *cov.shape) for cov in covs], 1)
    average = Spectral(covs[0].basis, (weights * within).sum(1))
    return Normal(mean, Downdated.raised(average, weights.sqrt() * (means - mean[:, None])))


def field_mixture(fields: Sequence[GaussianField], weights: Float[Tensor, " k"] | None = None) -> Mixture:
    """The exact denoiser of Σ_k weights_k N(μ_k, C_k).

    Args:
        fields: of one shape, basis and noise.
        weights: of the fields; equal if not given.
    """
    if not fields:
        raise InputError("a mixture has one field or more")
    shares = torch.ones(len(fields)) if weights is None else as_constants(weights, "weights")
    if shares.shape != (len(fields),) or not bool((shares >= 0).all()) or not float(shares.sum()) > 0:
        raise InputError(f"weights are {shares.tolist()}, expected {len(fields)} that are not negative, nor all 0")
    return Mixture(shares.double() / shares.double().sum(), FieldComponents(tuple(fields)))


def mixture_posterior(mixture: Mixture, factor: Any) -> tuple[Float[Tensor, ""], Float[Tensor, " k"], list[Normal]]:
    """log p(y), nats, the weights of the fields given y, and each of them given y: exact.

    Args:
        mixture: of `field_mixture`.
        factor: conjugate, such as a Measurement through an Operator.
    """
    assert isinstance(mixture.components, FieldComponents)
    each = [field.posterior(factor) for field in mixture.components.fields]
    log_weights = mixture.weights.log() + torch.stack([evidence for evidence, _ in each])
    return log_weights.logsumexp(0), log_weights.softmax(0), [given for _, given in each]


def draw_normal(law: Normal, keys: Keys) -> Float[Tensor, "batch ..."]:
    """Samples of a normal law whose covariance has a root.

    Args:
        law: of one event, or one a key.
        keys: one a sample.
    """
    assert isinstance(law.cov, Rooted)
    return Structured(law.mean.expand(len(keys), *law.mean.shape[1:]), law.cov).sample(keys)


def _cov(belief: Normal) -> Spectral:
    assert isinstance(belief.cov, Spectral)
    return belief.cov


def _same(a: Spectral | None, b: Spectral | None) -> bool:
    return a is b or (a is not None and b is not None and a.same(b))


def gaussian_field(
    cov: Spectral,
    mean: Float[Tensor, "..."] | None = None,
    schedule: Schedule = Cosine(),
    noise_cov: Spectral | None = None,
) -> GaussianField:
    """The exact denoiser of a Gaussian random field.

    Args:
        cov: of the field, in squared units of x.
        mean: of the field; 0 if not given.
        schedule: α(t) and σ(t) of the noise.
        noise_cov: of the noise at σ = 1, in the basis of `cov`; None = white.
    """
    if not isinstance(cov, Spectral):
        raise InputError(f"gaussian_field: cov is a {type(cov).__name__}, expected a spectrum: Spectral.of(...)")
    space = Euclidean(cov.shape, schedule, cov, noise_cov=noise_cov)
    return GaussianField(space, torch.zeros(cov.shape, dtype=torch.float64) if mean is None else mean)
