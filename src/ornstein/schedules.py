"""How much signal and noise there is at time t: x_t = α(t) x₀ + σ(t) ε, with t ∈ [0, 1], 0 = data, 1 = noise.

A schedule knows nothing of the solver's time grid. All of them reach σ(0) = 0 exactly, so the last step of a sampler
lands on the data and not on a small noise level. λ(t) = log α²/σ² is the log signal-to-noise ratio; it falls with t.

References: Ho et al. 2020 (linear), Nichol & Dhariwal 2021 (cosine), Song et al. 2021 (variance exploding),
Karras et al. 2022 (EDM), Liu et al. 2023 (rectified flow).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

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
    """Variance preserving with a noise rate β(t) that grows linearly (DDPM): log α = −½ ∫₀ᵗ β."""

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
class VarianceExploding(Schedule):
    """α = 1, σ² = σ̃²(t) − σ̃²(0) with σ̃ geometric in t: the kernel of Song's variance-exploding SDE.

    sigma_max must be large against the spread of the data, since the prior is N(0, σ(1)²).
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
    """α = 1, σ² = σ̃²(t) − σ̃²(0) with σ̃^{1/ρ} linear in t: Karras's noise levels, uniform in t."""

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


SCHEDULES: dict[str, type[Schedule]] = {
    "cosine": Cosine,
    "linear": Linear,
    "flow": RectifiedFlow,
    "exploding": VarianceExploding,
    "edm": EDM,
}
