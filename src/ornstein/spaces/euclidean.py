"""Continuous data: x_t = α x₀ + σ ε with ε ~ N(0, I), and its centred version, in which translation drops out.

The move from t to s under x̂ = E[x₀ | x_t] (Song et al. 2021, DDIM):

    x_s = α_s x̂ + √(σ_s² − τ²) (x_t − α_t x̂)/σ_t + τ z,     τ² = η² σ_s² (1 − α_t² σ_s² / α_s² σ_t²)

which is the exact posterior of a Gaussian forward process at η = 1 and the probability flow's exponential Euler step at
η = 0; `average` makes it a step of higher order (see steps.py). Preconditioning (Karras et al. 2022, for any α and σ),
with v = α² σ_d² + σ² the variance of x_t:

    x̂ = (α σ_d² x_t + σ σ_d √v F(x_t/√v, t)) / v
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Normal, added
from ..covariances import Dense, Diagonal, Tweedie
from ..errors import InputError, RecordError
from ..keys import Keys
from ..schedules import Cosine, Schedule
from ..states import State, Time, as_time, left, per_sample_sum
from .base import Mask, Space, require_shape
from .gaussians import Correlated, Gaussian
from .steps import average_weights, levels, step_coefficients

Weighting = Literal["edm", "unit", "snr", "min-snr"]


@dataclass(frozen=True)
class Euclidean(Space):
    """Real numbers of a fixed shape under Gaussian noise.

    Attributes:
        shape: of one sample.
        schedule: α(t), σ(t).
        data_std: standard deviation of the clean data, for the preconditioning.
        weighting: of the squared error by noise level: "edm" = SNR + 1/σ_d² (unit weight on the network's own output),
            "snr" (on the noise), "min-snr" (SNR capped at 5), "unit" (on x₀).
    """

    shape: tuple[int, ...]
    schedule: Schedule = Cosine()
    data_std: float = 1.0
    weighting: Weighting = "edm"
    mask: Tensor | None = None

    @property
    def schedule_and_std(self) -> tuple[Schedule, float]:
        return self.schedule, self.data_std

    def with_mask(self, mask: Mask | None) -> Self:
        return self if mask is None and self.mask is None else replace(self, mask=mask)

    def project(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The orthogonal projection onto the degrees of freedom: zero where nothing exists."""
        return x if self.mask is None else x * left(self.mask, x)

    def freedom(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Degrees of freedom an element; sums to the rank of `project`, sample by sample."""
        return torch.ones_like(x) if self.mask is None else left(self.mask, x).to(x).expand_as(x)

    def within(self, cov: Float[Tensor, "batch d d"], like: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch d d"]:
        """P C Pᵀ: a covariance over the flattened event, cut to the degrees of freedom."""
        if self.project(like) is like:
            return cov
        basis = torch.eye(cov.shape[-1]).to(cov)
        columns = [self.project(e.expand(len(like), -1).reshape(like.shape)).flatten(1) for e in basis]
        onto = torch.stack(columns, 2)
        return onto @ cov @ onto.mT

    def prior(self, keys: Keys) -> Float[Tensor, "batch ..."]:
        noise = keys.normal(*self.shape).to(torch.get_default_dtype())
        return self.project(self.schedule.sigma(1.0).item() * noise)

    def prior_law(self, device: torch.device | str = "cpu") -> Gaussian:
        nothing = torch.zeros(1, *self.shape, dtype=torch.float64, device=device)
        return Gaussian(nothing, self.schedule.sigma(1.0).item(), self)

    def noise(self, x0: State, t: Time, keys: Keys, since: Time = 0.0) -> Float[Tensor, "batch ..."]:
        noising = self.noising(x0, t, since)
        return noising.mean + noising.std * self.project(keys.normal(*noising.mean.shape[1:]).to(noising.mean))

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
        kept = alpha / earlier_alpha
        added = torch.as_tensor(sigma**2 - (kept * earlier_sigma) ** 2, dtype=torch.float64).clamp(min=0).sqrt().to(x0)
        return Gaussian(kept * self.project(x0), added, self)

    def average(self, past: Sequence[tuple[Time, Belief]], t: Time, s: Time, eta: float = 0.0) -> Belief:
        if len(past) == 1:
            return past[0][1]
        times, (*earlier, latest) = zip(*past, strict=True)
        *weights, _ = average_weights(self.schedule, self.data_std, eta, times, t, s)
        return latest.extrapolate(earlier, [-weight for weight in weights])

    def correct(self, before: State, x: State, past: Sequence[tuple[Time, Belief]], t: Time, s: Time) -> Tensor:
        return self.step(before, self.average(past, t, s), t, s, 0.0).mean

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Gaussian | Correlated:
        """Under a belief whose covariance C is a matrix, a stochastic step is as wide as x₀ is unsure: τ² I + b² C.

        Args:
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            s: the time to go to, at most t.
            eta: share of fresh noise in a step: 0 = deterministic, 1 = ancestral.
        """
        assert isinstance(x_t, Tensor)
        keep, weight, std = step_coefficients(self.schedule, t, s, eta)
        mean = self.project(added(belief.mean * _like(weight, x_t), x_t, keep))
        if eta > 0 and isinstance(belief, Normal) and isinstance(belief.cov, Dense):
            return Correlated.of(mean, belief.cov.matrix, weight, std, self)
        return Gaussian(mean, std, self)

    def point_mass(self, x0: State) -> Normal:
        assert isinstance(x0, Tensor)
        return Normal(x0, Diagonal(torch.zeros_like(x0)))

    def apply_score(self, belief: Belief, slope: State, t: Time) -> Normal:
        assert isinstance(slope, Tensor)
        return Normal(belief.mean + self.tweedie(t, slope) * self.project(slope), getattr(belief, "cov", None))

    def loss(self, belief: Belief, x0: State, x_t: State, t: Time) -> Float[Tensor, " batch"]:
        assert isinstance(x0, Tensor)
        freedom = self.freedom(x0)
        error = (belief.mean - self.project(x0)) ** 2 * self._weight(t, x0)
        return per_sample_sum(error * (freedom > 0)) / per_sample_sum(freedom).clamp(min=1)

    def inputs(self, x_t: State, t: Time) -> Float[Tensor, "batch ..."]:
        assert isinstance(x_t, Tensor)
        alpha, sigma = self._levels(t, x_t)
        return x_t * (alpha**2 * self.data_std**2 + sigma**2) ** -0.5

    def belief(self, output: Any, x_t: State, t: Time) -> Normal:
        assert isinstance(x_t, Tensor)
        alpha, sigma = self._levels(t, x_t)
        variance = alpha**2 * self.data_std**2 + sigma**2
        skip = alpha * self.data_std**2 / variance
        out = sigma * self.data_std * variance**-0.5
        return Normal(self.project(skip * x_t + out * require_shape(output, x_t.shape)))

    def second_moment(self, belief: Belief, x_t: State, t: Time, reach: float = inf) -> Normal:
        assert isinstance(x_t, Tensor)
        assert isinstance(belief, Normal)
        if belief.cov is not None:
            return belief
        alpha, sigma = (torch.as_tensor(level, dtype=torch.float64) for level in self._levels(t, x_t))
        spread = self.data_std**2
        ratio = sigma / (alpha * self.data_std).clamp(min=1e-30)
        doubt = torch.where(alpha == 0, 1.0, 1 / (1 + (reach / ratio) ** 4))
        gaussian = spread * sigma**2 / (alpha**2 * spread + sigma**2)
        trusted, prior = ((1 - doubt) * self.tweedie(t, x_t)).to(x_t), (doubt * gaussian).to(x_t)
        return Normal(belief.mean, Tweedie(belief.mean, x_t, trusted, prior, self.project))

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
        return [left(level(as_time(t, like)), like).to(like) for level in (self.schedule.alpha, self.schedule.sigma)]

    def _weight(self, t: Time, like: Tensor) -> Tensor:
        snr = left(self.schedule.log_snr(as_time(t, like)).exp(), like)
        weights = {
            "edm": snr + self.data_std**-2,
            "unit": torch.ones_like(snr),
            "snr": snr,
            "min-snr": snr.clamp(max=5.0),
        }
        return torch.where(snr.isinf(), 0.0, weights[self.weighting]).to(like)  # clean data teach nothing


@dataclass(frozen=True)
class Centered(Euclidean):
    """Point clouds (points, dimension) with zero centre of mass (Hoogeboom et al. 2022).

    The projector takes each sample's mean over its existing points, so densities live on (points − 1)·dimension degrees
    of freedom. Centring couples the points, hence one time a sample, not a point.
    """

    def project(self, x: Float[Tensor, "batch points dim"]) -> Float[Tensor, "batch points dim"]:
        if self.mask is None:
            return x - x.mean(1, keepdim=True)
        exists = left(self.mask, x).to(x)
        return (x - (x * exists).sum(1, keepdim=True) / self._points(x)) * exists

    def freedom(self, x: Float[Tensor, "batch points dim"]) -> Float[Tensor, "batch points dim"]:
        points = self._points(x)
        return super().freedom(x) * (points - 1) / points

    def noising(self, x0: State, t: Time, since: Time = 0.0) -> Gaussian:
        _one_time_a_sample(t, since)
        return super().noising(x0, t, since)

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Gaussian | Correlated:
        _one_time_a_sample(t, s)
        return super().step(x_t, belief, t, s, eta)

    def _points(self, x: Tensor) -> Tensor:
        if self.mask is None:
            return torch.full((len(x), 1, 1), x.shape[1]).to(x)
        return left(self.mask.sum(1), x).to(x)


def _one_time_a_sample(*times: Time) -> None:
    for time in times:
        if isinstance(time, Tensor) and time.ndim > 1:
            raise InputError(f"centred points share one time a sample; got times of shape {tuple(time.shape)}")


def _like(value: Time, x: Tensor) -> Tensor | float:
    return left(value, x).to(x) if isinstance(value, Tensor) else value
