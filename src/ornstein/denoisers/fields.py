"""Gaussian random fields: exact denoisers of any size, on which everything about fields is measured.

Where data and noise are diagonal in one basis, with variances s² and l² of a coefficient,

    x̂ = μ + α s²/v (x_t − α μ),      Cov[x₀ | x_t] = s² σ² l²/v,      v = α² s² + σ² l²

coefficient by coefficient: the preconditioning of the space with nothing added.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Normal
from ..errors import InputError
from ..keys import Keys
from ..roots import Spectral
from ..schedules import Cosine, Schedule
from ..spaces import Euclidean
from ..states import State, Time, left
from .base import Condition, Denoiser, Traits, carry


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
        residual = x_t - self._noisy_mean(x_t, t)
        belief = self.field.belief(torch.zeros_like(residual), residual, t)
        return replace(belief, mean=belief.mean + self.mean.to(x_t), cov=self.field.gaussian_cov(t, x_t))

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        """log p(x_t), normalised, nats."""
        assert isinstance(x_t, Tensor)
        return self.field.gaussian_law(t, x_t).log_prob(x_t - self._noisy_mean(x_t, t))

    def draw(self, keys: Keys) -> Float[Tensor, "batch ..."]:
        """Exact samples of the field."""
        z = keys.fold("draw").normal(*self.field.shape)
        return (self.mean + self.cov.root(z)).to(torch.get_default_dtype())

    def prior(self, n: int = 1) -> Normal:
        """The field itself as a belief, of which factors can be asked: `factor.update(prior, ...)` is exact."""
        return Normal(self.mean.double().expand(n, *self.field.shape), self.cov)

    def _noisy_mean(self, x_t: Tensor, t: Time) -> Tensor:
        alpha = left(self.field.schedule.alpha(t), x_t)
        return (alpha * self.mean.double()).to(x_t)


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
    space = Euclidean(cov.shape, schedule, cov, noise_cov=noise_cov)
    return GaussianField(space, torch.zeros(cov.shape, dtype=torch.float64) if mean is None else mean)
