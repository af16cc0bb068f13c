"""Inverse problems whose posterior is known: the Gaussian mixture of MCGdiff (Cardoso et al. 2023, arXiv 2308.07983).

25 unit Gaussians at (8i, 8j, 8i, …), i, j ∈ {−2 … 2}, with weights ∝ randn², measured through

    y = A x₀ + σ n,    A = U diag(s) Vᵀ of a random matrix, s ~ U(0, 1) sorted,    σ ~ U(0, 1) · max s

so that given y component k has weight ∝ w_k N(y; A m_k, S), mean m_k + Aᵀ S⁻¹ (y − A m_k) and covariance I − Aᵀ S⁻¹ A,
with S = A Aᵀ + σ². Everything in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.denoisers.base import Condition, Denoiser, Traits, carry
from ornstein.denoisers.oracles import Mixture, gaussian_mixture
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Matrix
from ornstein.keys import Keys
from ornstein.schedules import Cosine
from ornstein.spaces import Euclidean
from ornstein.states import State, Time

F64 = torch.float64
SETTINGS = ((8, 1), (8, 2), (8, 4), (80, 1), (80, 2), (80, 4))
"""(d, m): the numbers of x₀, and how many are measured."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One mixture and one measurement of a draw from it.

    Attributes:
        means, weights: of the components, (25, d) and (25,).
        matrix: A, (m, d).
        std: σ.
        y: (m,).
    """

    means: Tensor
    weights: Tensor
    matrix: Tensor
    std: float
    y: Tensor

    @property
    def d(self) -> int:
        return self.means.shape[1]

    @property
    def measurement(self) -> Measurement:
        return Measurement(self.y, Matrix(self.matrix), self.std)

    @property
    def space(self) -> Euclidean:
        """Knows how widely the data spread, from which time grids are laid out."""
        offset = self.means - self.weights @ self.means
        spread = 1 + (self.weights @ offset.square()).mean().item()
        return Euclidean((self.d,), Cosine(), data_std=spread**0.5)

    def denoise(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """E[x₀ | x = α x₀ + σ ε], differentiable: what every method is given, and all it is given."""
        fit = alpha * (x @ self.means.T) - alpha**2 * self.means.square().sum(1) / 2
        share = (self.weights.log() + fit / (alpha**2 + sigma**2)).softmax(-1)
        return (alpha * x + sigma**2 * (share @ self.means)) / (alpha**2 + sigma**2)

    def draw(self, keys: Keys) -> Tensor:
        """Exact samples of the posterior."""
        means, cov = self._given()
        covs = cov.expand(len(means), -1, -1)
        return gaussian_mixture(means, covs, self._log_joint.softmax(0)).draw(keys)

    def along(self, directions: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The posterior's mean along each of (d, k) directions, and its distribution function, (k) values → (k)."""
        means, cov = self._given()
        shares, centres = self._log_joint.softmax(0), means @ directions
        widths = (directions * (cov @ directions)).sum(0).sqrt()

        def below(values: Tensor) -> Tensor:
            return shares @ torch.special.ndtr((values - centres) / widths)

        return shares @ centres, below

    def _given(self) -> tuple[Tensor, Tensor]:
        """Means of the components given y, and the covariance that they share."""
        residual = self.y - self.means @ self.matrix.T
        gain = torch.linalg.solve(self._seen, self.matrix).T
        return self.means + residual @ gain.T, self._unit[0] - gain @ self.matrix

    @property
    def prior(self) -> Mixture:
        return gaussian_mixture(self.means, self._unit, self.weights)

    @property
    def log_evidence(self) -> float:
        """log p(y), nats."""
        return self._log_joint.logsumexp(0).item()

    @property
    def _unit(self) -> Tensor:
        return torch.eye(self.d, dtype=F64).expand(len(self.means), -1, -1)

    @property
    def _seen(self) -> Tensor:
        """S, the covariance of y given a component."""
        return self.matrix @ self.matrix.T + self.std**2 * torch.eye(len(self.y), dtype=F64)

    @property
    def _log_joint(self) -> Tensor:
        """log w_k N(y; A m_k, S)."""
        seen = torch.distributions.MultivariateNormal(self.means @ self.matrix.T, self._seen)
        return self.weights.log() + seen.log_prob(self.y)


@dataclass(frozen=True)
class Outcome:
    """What a method drew, and evaluations of the denoiser a sample."""

    x: Tensor
    nfe: float


@dataclass(frozen=True)
class Method:
    """One configuration of one library; run: (problem, n, seed) -> n samples."""

    library: str
    name: str
    run: Callable[[Problem, int, int], Outcome]


@dataclass(frozen=True, eq=False)
class Exact(Denoiser):
    """The exact denoiser of a problem's prior, for the package: a mean, as a network has it, and nothing more."""

    problem: Problem

    def __post_init__(self) -> None:
        carry(self, Traits(self.problem.space))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        alpha, sigma = (level(t) for level in (self.problem.space.schedule.alpha, self.problem.space.schedule.sigma))
        return Normal(self.problem.denoise(x_t, alpha, sigma))


def problem(d: int, m: int, seed: int) -> Problem:
    """The problem of that size and number."""
    generator = torch.Generator().manual_seed(1_000_000 * m + 10_000 * d + seed)

    def random(law: Callable[..., Tensor], *shape: int) -> Tensor:
        return law(*shape, generator=generator, dtype=F64)

    centres = [[8.0 * (i, j)[axis % 2] for axis in range(d)] for i, j in product(range(-2, 3), repeat=2)]
    means, weights = torch.tensor(centres, dtype=F64), random(torch.randn, 25).square()
    left, _, right = torch.linalg.svd(random(torch.randn, m, d), full_matrices=False)
    scales = random(torch.rand, m).sort(descending=True).values
    std = (random(torch.rand, 1) * scales.max()).item()
    matrix, weights = left @ scales.diag() @ right, weights / weights.sum()
    x = means[torch.multinomial(weights, 1, generator=generator)[0]] + random(torch.randn, d)
    return Problem(means, weights, matrix, std, matrix @ x + std * random(torch.randn, m))


def wasserstein(x: Tensor, y: Tensor, directions: int = 100) -> float:
    """Mean over random directions of the Wasserstein-1 distance between the projections of equally many samples."""
    u = torch.randn(x.shape[1], directions, dtype=F64, generator=torch.Generator().manual_seed(0))
    u = u / u.norm(dim=0)
    return ((x.double() @ u).sort(0).values - (y.double() @ u).sort(0).values).abs().mean().item()
