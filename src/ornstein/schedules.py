"""How much signal and noise there is at time t: x_t = α(t) x₀ + σ(t) ε, with t ∈ [0, 1], 0 = data, 1 = noise.

A schedule knows nothing of the solver's time grid. All of them reach σ(0) = 0 exactly, so the last step of a sampler
lands on the data and not on a small noise level. λ(t) = log α²/σ² is the log signal-to-noise ratio; it falls with t.

References: Ho et al. 2020 (linear), Nichol & Dhariwal 2021 (cosine), Song et al. 2021 (variance exploding),
Karras et al. 2022 (EDM), Liu et al. 2023 (rectified flow), Shi et al. 2024 (of masks), Fritsch & Carlson 1980
(monotone cubics, for tables).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf, pi

import torch
from jaxtyping import Float
from torch import Tensor

from .errors import InputError
from .states import Time


class Schedule(ABC):
    """α(t) and σ(t), evaluated in float64 whatever the dtype of t: 1 − α² must not cancel near t = 0."""

    @abstractmethod
    def _alpha(self, t: Tensor) -> Tensor: ...

    @abstractmethod
    def _sigma(self, t: Tensor) -> Tensor: ...

    def alpha(self, t: Time) -> Float[Tensor, "..."]:
        """Signal level at time t, float64, of t's shape."""
        return self._alpha(torch.as_tensor(t, dtype=torch.float64))

    def sigma(self, t: Time) -> Float[Tensor, "..."]:
        """Noise level (standard deviation) at time t, float64, of t's shape."""
        return self._sigma(torch.as_tensor(t, dtype=torch.float64))

    @cached_property
    def left_over(self) -> float:
        """The signal level at t = 1, α(1)."""
        return self.alpha(1.0).item()

    def log_snr(self, t: Time) -> Float[Tensor, "..."]:
        """λ(t) = 2 log α(t)/σ(t); +∞ at t = 0."""
        return 2 * (self.alpha(t).log() - self.sigma(t).log())

    def time(self, log_snr: Time) -> Float[Tensor, "..."]:
        """The t at which λ(t) = log_snr, by bisection; 0 or 1 where λ does not reach that far."""
        return _bisected(self.log_snr, log_snr)

    def when(self, alpha: Time) -> Float[Tensor, "..."]:
        """The t at which α(t) = alpha, by bisection."""
        return _bisected(self.alpha, alpha)


def _bisected(falling: Callable[[Tensor], Tensor], value: Time) -> Float[Tensor, "..."]:
    """The t in [0, 1] at which a falling function has the value."""
    target = torch.as_tensor(value, dtype=torch.float64)
    low, high = torch.zeros_like(target), torch.ones_like(target)
    for _ in range(60):
        middle = (low + high) / 2
        beyond = falling(middle) < target
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return (low + high) / 2


@dataclass(frozen=True)
class Cosine(Schedule):
    """Variance preserving: α = cos(πt/2), σ = sin(πt/2). Ends in pure noise."""

    def _alpha(self, t: Tensor) -> Tensor:
        return (pi / 2 * (1 - t)).sin()  # exactly 0 at t = 1, where cos(π/2) would leave 6e-17

    def _sigma(self, t: Tensor) -> Tensor:
        return (pi / 2 * t).sin()


@dataclass(frozen=True)
class Linear(Schedule):
    """Variance preserving with a noise rate β(t) that grows linearly (DDPM): log α = −½ ∫₀ᵗ β.

    Attributes:
        beta_min, beta_max: β at t = 0 and 1.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def _log_alpha(self, t: Tensor) -> Tensor:
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def _alpha(self, t: Tensor) -> Tensor:
        return self._log_alpha(t).exp()

    def _sigma(self, t: Tensor) -> Tensor:
        return (-(2 * self._log_alpha(t)).expm1()).sqrt()


@dataclass(frozen=True)
class RectifiedFlow(Schedule):
    """Straight lines from data to noise: α = 1 − t, σ = t."""

    def _alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def _sigma(self, t: Tensor) -> Tensor:
        return t


@dataclass(frozen=True)
class Polynomial(Schedule):
    """Straight lines from data to noise at another pace: α = (1 − t)^power, σ = 1 − α.

    Of categories α is the share that survives. With a power above 1 they are forgotten sooner, and so revealed later,
    than under α = 1 − t: at time t what shares their clock is less noisy when they are decided.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.power < inf:
            raise InputError(f"the power of a polynomial schedule is {self.power}, expected at least 1 and finite")

    def _alpha(self, t: Tensor) -> Tensor:
        return (1 - t) ** self.power

    def _sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(self.power * torch.log1p(-t))


@dataclass(frozen=True)
class VarianceExploding(Schedule):
    """α = 1, σ² = σ̃²(t) − σ̃²(0) with σ̃ geometric in t: the kernel of Song's variance-exploding SDE.

    sigma_max must be large against the spread of the data, since the prior is N(0, σ(1)²).

    Attributes:
        sigma_min, sigma_max: σ̃ at t = 0 and 1, in the units of the data.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def _alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def _sigma(self, t: Tensor) -> Tensor:
        log_ratio = torch.tensor(self.sigma_max / self.sigma_min, dtype=torch.float64).log()
        return self.sigma_min * (2 * t * log_ratio).expm1().sqrt()


@dataclass(frozen=True)
class EDM(Schedule):
    """α = 1, σ² = σ̃²(t) − σ̃²(0) with σ̃^{1/ρ} linear in t: Karras's noise levels, uniform in t.

    Attributes:
        sigma_min, sigma_max: σ̃ at t = 0 and 1, in the units of the data.
        rho: ρ; the larger, the more levels are small.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def _alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def _sigma(self, t: Tensor) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        # σ̃² − σ_min² = σ_min² ((1 + t·(high/low − 1))^{2ρ} − 1), written so that small t keeps its digits.
        return self.sigma_min * (2 * self.rho * (t * (high / low - 1)).log1p()).expm1().sqrt()


@dataclass(frozen=True)
class Scaled(Schedule):
    """Another schedule with its noise in units of `scale`, such as the spread of data that are not of order 1."""

    schedule: Schedule
    scale: float

    def _alpha(self, t: Tensor) -> Tensor:
        return self.schedule._alpha(t)

    def _sigma(self, t: Tensor) -> Tensor:
        return self.scale * self.schedule._sigma(t)


@dataclass(frozen=True)
class Slowed(Schedule):
    """Another schedule at time t^power: with a power above 1 it spends more of its time at low noise.

    For data whose structure is much finer than their spread, such as the bonds of a molecule.
    """

    schedule: Schedule
    power: float = 2.0

    def _alpha(self, t: Tensor) -> Tensor:
        return self.schedule._alpha(t**self.power)

    def _sigma(self, t: Tensor) -> Tensor:
        return self.schedule._sigma(t**self.power)


@dataclass(frozen=True)
class Tabulated(Schedule):
    """Variance preserving, α² given at t = 1/N, 2/N, …, 1, such as the table of a model trained on N noise levels.

    In between it is the cosine schedule at a time u(t), log u a monotone cubic in log t: near the data σ ∝ u is a power
    of t, and below the first level it stays one, down to σ(0) = 0. At the N times the table is exact.

    Attributes:
        kept: α² at each of the N levels, falling; 0 is allowed at the last.
    """

    kept: tuple[float, ...]

    def __post_init__(self) -> None:
        falls = all(a > b for a, b in pairwise((1.0, *self.kept)))
        if len(self.kept) < 2 or not falls or self.kept[-1] < 0:
            raise InputError("the table of a schedule must hold α² of two or more levels, falling, in [0, 1)")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Steps are planned once a schedule, so that every step asks for it."""
        return hash(self.kept)

    @cached_property
    def _knots(self) -> tuple[Tensor, Tensor, Tensor]:
        """log t, log u and the slopes between them."""
        kept = torch.tensor(self.kept, dtype=torch.float64)
        t = torch.arange(1, len(kept) + 1, dtype=torch.float64) / len(kept)
        x, y = t.log(), (2 / pi * torch.atan2((1 - kept).sqrt(), kept.sqrt())).log()
        return x, y, _monotone_slopes(x, y)

    def _angle(self, t: Tensor) -> Tensor:
        """u(t), the time at which the cosine schedule is as noisy."""
        x, y, slope = (knot.to(t.device) for knot in self._knots)
        at = t.log()
        k = (torch.searchsorted(x, at.detach(), right=True) - 1).clamp(0, len(x) - 2)
        width = x[k + 1] - x[k]
        p = (at - x[k]) / width
        rest = 1 - p
        ends = rest**2 * (1 + 2 * p) * y[k] + p**2 * (1 + 2 * rest) * y[k + 1]
        cubic = ends + width * p * rest * (rest * slope[k] - p * slope[k + 1])
        return torch.where(at < x[0], y[0] + slope[0] * (at - x[0]), cubic).exp()

    def _alpha(self, t: Tensor) -> Tensor:
        return Cosine()._alpha(self._angle(t))

    def _sigma(self, t: Tensor) -> Tensor:
        return Cosine()._sigma(self._angle(t))


def _monotone_slopes(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Slopes at the knots with which a cubic through rising values rises: weighted harmonic means of the secants."""
    width, secant = x.diff(), y.diff() / x.diff()
    left, right = width[:-1] + 2 * width[1:], 2 * width[:-1] + width[1:]
    inner = (left + right) / (left / secant[:-1] + right / secant[1:])
    return torch.cat([secant[:1], inner, secant[-1:]])


SCHEDULES: dict[str, type[Schedule]] = {
    "cosine": Cosine,
    "linear": Linear,
    "flow": RectifiedFlow,
    "exploding": VarianceExploding,
    "edm": EDM,
}
