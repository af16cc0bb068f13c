"""Worlds with exact denoisers and exact ends of the probability flow: what every solver is judged on.

All solvers start from one state x = 80 z, 80 being σ/α, and end at the data. Here states are written with α = 1
(variance exploding); a solver of another convention scales them itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import atan, log, pi
from typing import Any

import torch
from torch import Tensor

from ornstein.denoisers.oracles import Mixture, gaussian_mixture
from ornstein.keys import Keys
from ornstein.schedules import Cosine

Denoise = Callable[[Tensor, Tensor | float], Tensor]
"""(x with α = 1, σ) -> E[x₀ | x]."""

FAR = 80.0
SCHEDULE = Cosine()
SAMPLES = {2: 2048, 16: 1024, 64: 256}


@dataclass(frozen=True, eq=False)
class World:
    """A Gaussian mixture in d dimensions of overall standard deviation 1.

    Attributes:
        d: 2 (8 modes on a ring), or more (10 anisotropic modes).
        seed: of the mixture and of the starts.
    """

    d: int
    seed: int

    @cached_property
    def mixture(self) -> Mixture:
        generator = torch.Generator().manual_seed(1000 * self.d + self.seed)
        means, covs = (_ring if self.d == 2 else _ellipsoids)(self.d, generator)
        return gaussian_mixture(*_standardised(means, covs), schedule=SCHEDULE)

    @cached_property
    def start(self) -> Tensor:
        """80 z, (samples, d)."""
        return FAR * Keys.of(self.seed, SAMPLES[self.d]).fold("start").normal(self.d)

    @cached_property
    def end(self) -> Tensor:
        """Where the probability flow takes `start`."""
        return flow(self.denoise, self.start)

    @cached_property
    def _modes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each mode the log-weight, the variances, and the mean along its axes; the axes of all side by side."""
        parts: Any = self.mixture.components
        along = torch.einsum("kij,ki->kj", parts.axes, parts.means)
        return self.mixture.weights.log(), parts.variances, along, parts.axes.permute(1, 0, 2).flatten(1)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """`mixture` without its covariances: E[x₀ | x] = Σ_k p(k | x) E[x₀ | x, k], in one product with all axes."""
        sigma = sigma.flatten()[0].double() if isinstance(sigma, Tensor) else sigma
        log_weights, variances, means, axes = self._modes
        residual = (x.double() @ axes).unflatten(1, means.shape) - means
        total = variances + sigma**2
        share = (log_weights - 0.5 * (residual**2 / total + total.log()).sum(-1)).softmax(-1)
        belief = means + variances / total * residual
        return ((share[..., None] * belief).flatten(1) @ axes.mT).to(x)

    def errors(self, x: Tensor) -> Tensor:
        """The error of each sample at the end of the flow, root mean square over its coordinates."""
        return (x.double() - self.end).square().mean(-1).sqrt()


def time_of(sigma: float) -> float:
    """The time of the cosine schedule at which σ/α is `sigma`."""
    return 2 / pi * atan(sigma)


def flow(denoise: Denoise, x: Tensor, steps: int = 300, least: float = 1e-4) -> Tensor:
    """dx / d log σ = x − x̂₀ from σ = 80 to `least` by the classical Runge–Kutta method, then the denoiser's step."""
    h = (log(least) - log(FAR)) / steps
    for k in range(steps):
        level = [FAR * torch.tensor(h * (k + part), dtype=torch.float64).exp().item() for part in (0, 0.5, 1)]
        a = x - denoise(x, level[0])
        b = (y := x + h / 2 * a) - denoise(y, level[1])
        c = (y := x + h / 2 * b) - denoise(y, level[1])
        d = (y := x + h * c) - denoise(y, level[2])
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
    return denoise(x, least)


def sliced_wasserstein(x: Tensor, y: Tensor, directions: int = 128) -> float:
    """Sliced Wasserstein-2 distance of two sets of equally many samples."""
    z = torch.randn(x.shape[1], directions, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = z / z.norm(dim=0)
    difference = (x.double() @ z).sort(0).values - (y.double() @ z).sort(0).values
    return difference.square().mean().sqrt().item()


def _ring(d: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """8 modes on a ring, turned and of a width between 0.05 and 0.2 of its radius."""
    turn, width = torch.rand(2, dtype=torch.float64, generator=generator).tolist()
    angle = 2 * pi * (torch.arange(8, dtype=torch.float64) / 8 + turn)
    variance = (0.05 * 4**width) ** 2
    return torch.stack([angle.cos(), angle.sin()], -1), variance * torch.eye(2).double().expand(8, 2, 2)


def _ellipsoids(d: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """10 modes at random places, each with its own axes and widths between 0.1 and 1."""
    means = torch.randn(10, d, dtype=torch.float64, generator=generator)
    axes = torch.linalg.qr(torch.randn(10, d, d, dtype=torch.float64, generator=generator)).Q
    widths = 10 ** -torch.rand(10, d, dtype=torch.float64, generator=generator)
    return means, axes @ torch.diag_embed(widths**2) @ axes.mT


def _standardised(means: Tensor, covs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean 0 and, over all coordinates, variance 1."""
    means = means - means.mean(0)
    variance = means.square().mean() + covs.diagonal(dim1=-2, dim2=-1).mean()
    return means / variance.sqrt(), covs / variance
