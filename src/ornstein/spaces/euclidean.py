"""Continuous data: x_t = α x₀ + σ L z with z ~ N(0, I), and its centred version, in which translation drops out.

L = 1 is white noise; of fields it may be diagonal in any basis, such as waves (spectral/roots.py).

The move from t to s under x̂ = E[x₀ | x_t] (Song et al. 2021, DDIM):

    x_s = α_s x̂ + √(σ_s² − τ²) (x_t − α_t x̂)/σ_t + τ z,     τ² = η² σ_s² (1 − α_t² σ_s² / α_s² σ_t²)

which is the exact posterior of a Gaussian forward process at η = 1 and the probability flow's exponential Euler step at
η = 0; `average` makes it a step of higher order (see steps.py). Preconditioning (Karras et al. 2022, for any α and σ),
with v = α² σ_d² + σ² the variance of x_t, each coefficient by itself where data or noise have a spectrum:

    x̂ = (α σ_d² x_t + σ σ_d √v F(x_t/√v, t)) / v            v = α² σ_d² + σ² l²,  σ → σ l  with l² the noise's spectrum
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Normal, added
from ..covariances import Dense, Diagonal, Rooted, Tweedie, matrix_of
from ..errors import InputError, RecordError
from ..keys import Keys
from ..schedules import Cosine, Schedule
from ..spectral.roots import Spectral, widened, widens
from ..spectral.transforms import PIXELS, Basis
from ..states import State, Time, as_time, left, per_sample_sum
from .base import Mask, Space, require_shape
from .gaussians import Correlated, Gaussian, Normally, Structured
from .scales import Weighting, require_one_time_a_sample, settle
from .steps import average_weights, levels, step_coefficients


@dataclass(frozen=True)
class Euclidean(Space):
    """Real numbers of a fixed shape under Gaussian noise.

    Attributes:
        shape: of one sample.
        schedule: α(t), σ(t).
        data_std: standard deviation of the clean data, for the preconditioning: a number, one an element, or a
            spectrum, in the basis of the noise where that has one.
        weighting: of the squared error by noise level: "edm" = SNR + 1/σ_d² (unit weight on the network's own output),
            "snr" (on the noise), "min-snr" (SNR capped at 5), "unit" (on x₀).
        mask: of the elements that exist, sample by sample; None = all.
        noise_cov: L Lᵀ, the covariance of the noise at σ = 1; None = white.
        element_weights: of the squared error, an element, such as the area that it stands for, or a coefficient: a
            spectrum in the basis of the noise and of the data's spread; None = 1.
    """

    shape: tuple[int, ...]
    schedule: Schedule = Cosine()
    data_std: float | Tensor | Spectral = 1.0
    weighting: Weighting = "edm"
    mask: Tensor | None = None
    noise_cov: Spectral | None = None
    element_weights: Tensor | Spectral | None = None

    def __post_init__(self) -> None:
        settle(self)

    @property
    def schedule_and_std(self) -> tuple[Schedule, float]:
        return self.schedule, self.scale

    @cached_property
    def scale(self) -> float:
        """The spread of the data in units of the noise: the root mean square over all coefficients."""
        if self.noise_cov is None and isinstance(self.data_std, float | int):
            return float(self.data_std)
        data, noise = self._variances
        return float(torch.as_tensor(data / noise).mean().sqrt())

    def same_noise(self, other: "Euclidean") -> bool:
        """Whether noise means the same in both: its schedule, its covariance, and how the data compare with it."""
        if (self.noise_cov is None) != (other.noise_cov is None):
            return False
        coloured = self.noise_cov is None or self.noise_cov.same(other.noise_cov)
        return self.shape == other.shape and coloured and self.schedule_and_std == other.schedule_and_std

    def with_mask(self, mask: Mask | None) -> Self:
        if mask is None and self.mask is None:
            return self
        return replace(self, mask=mask)

    @cached_property
    def _basis(self) -> Basis:
        """In which both the data's spread and the noise are diagonal."""
        if self.noise_cov is not None:
            return self.noise_cov.basis
        return self.data_std.basis if isinstance(self.data_std, Spectral) else PIXELS

    @cached_property
    def _variances(self) -> tuple[Tensor | float, Tensor | float]:
        """Of the data and of the noise at σ = 1, coefficient by coefficient: (1, *shape), or a number for all."""
        data, noise = self.data_std, self.noise_cov
        if isinstance(data, Spectral):
            variance: Tensor | float = data.variance
        else:
            variance = data.double()[None] ** 2 if isinstance(data, Tensor) else float(data) ** 2
        return variance, 1.0 if noise is None else noise.variance

    def _filtered(self, factor: Tensor | float, x: Tensor) -> Tensor:
        """U diag(factor) Uᵀ x; factor: a number, one a sample, or one a coefficient."""
        if not isinstance(factor, Tensor):
            return factor * x
        if not self._spectral:
            return factor.to(x) * x
        return self._basis.inverse(factor.to(x) * self._basis.forward(x))

    @cached_property
    def _spectral(self) -> bool:
        """Whether what belongs to a coefficient belongs to no single element."""
        return not self._basis.same(PIXELS)

    def root(self, z: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """L z within the degrees of freedom: the noise at σ = 1, of white numbers z."""
        return self.project(z if self.noise_cov is None else self.noise_cov.root(z))

    def whiten(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """L⁻¹ x."""
        return x if self.noise_cov is None else self.noise_cov.whiten(x)

    @property
    def log_root(self) -> float:
        """log det L, nats."""
        return 0.0 if self.noise_cov is None else float(self.noise_cov.log_det) / 2

    def gaussian_cov(self, t: Time, like: Float[Tensor, "batch ..."]) -> Spectral:
        """Cov[x₀ | x_t] if the data were Gaussian with the variance data_std²: what preconditions linear solves.

        Args:
            t: time of the noise level: a number, or one a sample.
            like: states, whose precision and device count.
        """
        variance = self._gaussian_variance(t, like)
        shape = torch.broadcast_shapes(torch.as_tensor(variance).shape, (1, *self.shape))
        return Spectral(self._basis, torch.as_tensor(variance, dtype=torch.float64, device=like.device).expand(shape))

    def project(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The orthogonal projection onto the degrees of freedom: zero where nothing exists."""
        return x if self.mask is None else x * self._existing(x)

    def freedom(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Degrees of freedom an element; sums to the rank of `project`, sample by sample."""
        return torch.ones_like(x) if self.mask is None else self._existing(x).to(x).expand_as(x)

    def _existing(self, x: Tensor) -> Tensor:
        """The mask with the axes of x; InputError where it is larger than x, which would be broadcast."""
        assert self.mask is not None
        exists = left(self.mask, x)
        if any(own not in (1, whole) for own, whole in zip(exists.shape[1:], x.shape[1:], strict=True)):
            raise InputError(f"a mask of shape {tuple(self.mask.shape)} does not fit data of shape {tuple(x.shape)}")
        return exists

    def within(self, cov: Float[Tensor, "batch d d"], like: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch d d"]:
        """P C Pᵀ: a covariance over the flattened event, cut to the degrees of freedom."""
        if self.project(like) is like:
            return cov
        onto = matrix_of(self.project, like.to(cov))
        return onto @ cov @ onto.mT

    def prior(self, keys: Keys) -> Float[Tensor, "batch ..."]:
        noise = keys.normal(*self.shape).to(torch.get_default_dtype())
        return self.root(self.schedule.sigma(1.0).item() * noise)

    def prior_law(self, device: torch.device | str = "cpu") -> Gaussian:
        nothing = torch.zeros(1, *self.shape, dtype=torch.float64, device=device)
        return Gaussian(nothing, self.schedule.sigma(1.0).item(), self)

    def noise(self, x0: State, t: Time, keys: Keys, since: Time = 0.0) -> Float[Tensor, "batch ..."]:
        noising = self.noising(x0, t, since)
        return noising.mean + noising.std * self.root(keys.normal(*noising.mean.shape[1:]).to(noising.mean))

    def noising(self, x0: State, t: Time, since: Time = 0.0) -> Gaussian:
        """q(x_t | x₀), or q(x_t | x_since).

        Args:
            x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for
                a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            since: the earlier time from which noise is added; 0 = clean data.
        """
        assert isinstance(x0, Tensor)
        alpha, sigma = self._levels(t, x0)
        earlier_alpha, earlier_sigma = self._levels(since, x0)
        kept = _share(alpha, earlier_alpha)
        added = torch.as_tensor(sigma**2 - (kept * earlier_sigma) ** 2, dtype=torch.float64).clamp(min=0).sqrt().to(x0)
        return Gaussian(kept * self.project(x0), added, self)

    def average(self, past: Sequence[tuple[Time, Belief]], t: Time, s: Time, eta: float = 0.0) -> Belief:
        if len(past) == 1 or (eta > 0 and self._widens(past[-1][1])):
            return past[-1][1]  # a step that is as wide as x₀ is unsure lacks nothing that looking back would mend
        times, (*earlier, latest) = zip(*past, strict=True)
        *weights, _ = average_weights(self.schedule, self.scale, eta, times, t, s)
        return latest.extrapolate(earlier, [-weight for weight in weights])

    def correct(self, before: State, x: State, past: Sequence[tuple[Time, Belief]], t: Time, s: Time) -> Tensor:
        return self.step(before, self.average(past, t, s), t, s, 0.0).mean

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Normally:
        """Under a belief whose covariance C has a root, a stochastic step is as wide as x₀ is unsure: τ² L Lᵀ + b² C.

        Args:
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            s: the time to go to, at most t.
            eta: share of fresh noise in a step: 0 = deterministic, 1 = ancestral.
        """
        assert isinstance(x_t, Tensor)
        self._require_times(t, s)
        keep, weight, std = step_coefficients(self.schedule, t, s, eta)
        mean = self.project(added(belief.mean * _like(weight, x_t), x_t, keep))
        if eta == 0 or not isinstance(belief, Normal) or not self._widens(belief):
            return Gaussian(mean, std, self)
        if isinstance(belief.cov, Dense):
            return Correlated.of(mean, belief.cov.matrix, weight, std, self)
        assert isinstance(belief.cov, Rooted)
        total = widened(belief.cov, self.noise_cov, std, weight)
        assert total is not None
        return Structured(mean, total)

    def _widens(self, belief: Belief) -> bool:
        """Whether a stochastic step is as wide as the belief about x₀ is unsure."""
        cov = belief.cov if isinstance(belief, Normal) else None
        whole = isinstance(cov, Rooted) and self.project(belief.mean) is belief.mean
        return isinstance(cov, Dense) or (whole and isinstance(cov, Rooted) and widens(cov, self.noise_cov))

    def point_mass(self, x0: State) -> Normal:
        assert isinstance(x0, Tensor)
        return Normal(x0, Diagonal(torch.zeros_like(x0)))

    def apply_score(self, belief: Belief, slope: State, t: Time, most: float = inf) -> Normal:
        assert isinstance(slope, Tensor)
        towards = self._noisy(self.project(slope))
        if most < inf:
            explained = per_sample_sum(self._levels(t, slope)[1] ** 2 * slope * towards).sqrt()
            towards = towards * left((most / explained).clamp(max=1), towards)
        return Normal(belief.mean + self.tweedie(t, slope) * towards, getattr(belief, "cov", None))

    def loss(self, belief: Belief, x0: State, x_t: State, t: Time) -> Float[Tensor, " batch"]:
        assert isinstance(x0, Tensor)
        freedom, weight, each = self.freedom(x0), self._weight(t, x0), self.element_weights
        error = belief.mean - self.project(x0)
        if isinstance(each, Spectral):
            weight = weight * each.variance.to(weight)
        error = self._filtered(weight.sqrt(), error) ** 2 if self._spectral else error**2 * weight
        if isinstance(each, Tensor):
            error = error * each.to(error)
        return per_sample_sum(error * (freedom > 0)) / per_sample_sum(freedom).clamp(min=1)

    def inputs(self, x_t: State, t: Time) -> Float[Tensor, "batch ..."]:
        assert isinstance(x_t, Tensor)
        alpha, sigma = self._levels(t, x_t)
        return self._filtered(self._variance(alpha, sigma) ** -0.5, x_t)

    def belief(self, output: Any, x_t: State, t: Time) -> Normal:
        assert isinstance(x_t, Tensor)
        alpha, sigma = self._levels(t, x_t)
        variance = self._variance(alpha, sigma)
        skip, out = alpha * self._beside(alpha)[0] / variance, sigma * self._deviation(alpha) * variance**-0.5
        mean = self._filtered(skip, x_t) + self._filtered(out, require_shape(output, x_t.shape))
        return Normal(self.project(mean))

    def second_moment(self, belief: Belief, x_t: State, t: Time, reach: float = inf) -> Normal:
        assert isinstance(x_t, Tensor)
        assert isinstance(belief, Normal)
        if belief.cov is not None:
            return belief
        alpha, sigma = (torch.as_tensor(level, dtype=torch.float64) for level in self._levels(t, x_t))
        ratio = sigma / (alpha * self.scale).clamp(min=1e-30)
        doubt = torch.where(alpha == 0, 1.0, 1 / (1 + (reach / ratio) ** 4))
        trusted, gaussian = (1 - doubt) * self.tweedie(t, x_t), doubt * self._gaussian_variance(t, x_t)

        def prior(v: Tensor) -> Tensor:
            return self._filtered(gaussian, v)

        return Normal(belief.mean, Tweedie(belief.mean, x_t, trusted.to(x_t), prior, self.project, self._noisy))

    def _gaussian_variance(self, t: Time, like: Tensor) -> Tensor:
        """Cov[x₀ | x_t] of Gaussian data, coefficient by coefficient."""
        alpha, sigma = (torch.as_tensor(level, dtype=torch.float64) for level in self._levels(t, like))
        data, noise = self._beside(alpha)
        return data * noise * sigma**2 / self._variance(alpha, sigma)

    def _variance(self, alpha: Any, sigma: Any) -> Any:
        """That of x_t, coefficient by coefficient."""
        data, noise = self._beside(alpha)
        return alpha**2 * data + sigma**2 * noise

    def _beside(self, level: Any) -> tuple[Tensor | float, Tensor | float]:
        """The variances of data and noise on the device of a level of the noise."""
        if not isinstance(level, Tensor):
            return self._variances
        data, noise = (one.to(level.device) if isinstance(one, Tensor) else one for one in self._variances)
        return data, noise

    def _deviation(self, level: Any) -> Tensor | float:
        """√(variance of the data · variance of the noise), coefficient by coefficient, where `level` is."""
        if self.noise_cov is None and isinstance(self.data_std, float | int):
            return float(self.data_std)
        data, noise = self._beside(level)
        return torch.as_tensor(data * noise).sqrt()

    def gaussian_law(self, t: Time, like: Float[Tensor, "batch ..."]) -> Gaussian | Structured:
        """The law of x_t for Gaussian data about 0 with the variance data_std².

        Args:
            t: time of the noise level: a number, or one a sample.
            like: states, whose shape and device count.
        """
        nothing = torch.zeros_like(like[:1], dtype=torch.float64)
        variance = self._variance(*self._levels(t, like.double()))
        if not isinstance(variance, Tensor):
            return Gaussian(nothing, variance**0.5, self)
        shape = torch.broadcast_shapes(variance.shape, nothing.shape)
        return Structured(nothing, Spectral(self._basis, variance.to(nothing).expand(shape)))

    def _noisy(self, v: Tensor) -> Tensor:
        """L Lᵀ v."""
        return v if self.noise_cov is None else self.noise_cov(v)

    def _require_times(self, *times: Time) -> None:
        if self.noise_cov is not None or self._spectral:
            require_one_time_a_sample(*times)

    def tweedie(self, t: Time, like: Tensor) -> Tensor:
        """σ²/α, by which a gradient of log p(x_t) moves E[x₀ | x_t]; 0 where α = 0 and x_t says nothing."""
        alpha, sigma = (torch.as_tensor(level, dtype=torch.float64) for level in self._levels(t, like))
        blind = alpha == 0
        return torch.where(blind, 0.0, sigma**2 / torch.where(blind, 1.0, alpha)).to(like)

    def check(self, x0: State, where: str = "data") -> None:
        if not isinstance(x0, Tensor) or x0.shape[1:] != self.shape:
            found = tuple(x0.shape[1:]) if isinstance(x0, Tensor) else type(x0).__name__
            raise InputError(f"{where}: records must have shape {self.shape}, found {found}")
        if not x0.is_floating_point():
            raise InputError(f"{where}: records must be floating point, found {x0.dtype}")
        wrong = (~x0.isfinite()).nonzero()
        if len(wrong):
            record, *element = wrong[0].tolist()
            value = x0[tuple(wrong[0])].item()
            raise RecordError(where, record, f"element {tuple(element)} is {value}, expected a finite number")

    def _levels(self, t: Time, like: Tensor) -> Sequence[Any]:
        """α and σ at t: floats where t is one, else tensors that broadcast against `like`."""
        if not isinstance(t, Tensor):
            return levels(self.schedule, t)
        self._require_times(t)
        return [left(level(as_time(t, like)), like).to(like) for level in (self.schedule.alpha, self.schedule.sigma)]

    def _weight(self, t: Time, like: Tensor) -> Tensor:
        self._require_times(t)
        snr = left(self.schedule.log_snr(as_time(t, like)).exp(), like)
        data, noise = self._beside(snr)
        clean, snr = snr.isinf(), snr / noise
        weights = {
            "edm": snr + 1 / data,
            "unit": torch.ones_like(snr),
            "snr": snr,
            "min-snr": snr.clamp(max=5.0),
        }
        return torch.where(clean, 0.0, weights[self.weighting]).to(like)  # clean data teach nothing


def _like(value: Time, x: Tensor) -> Tensor | float:
    return left(value, x).to(x) if isinstance(value, Tensor) else value


def _share(alpha: Any, earlier: Any) -> Any:
    """α_t / α_since: 1 of pure noise, to which nothing can be added."""
    if not isinstance(alpha, Tensor) and not isinstance(earlier, Tensor):
        return alpha / earlier if earlier else 1.0
    earlier = torch.as_tensor(earlier)
    return torch.where(earlier == 0, 1.0, alpha / torch.where(earlier == 0, 1.0, earlier))
