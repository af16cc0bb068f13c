"""The moves of continuous data: normal noise of one width, or as wide as the belief about x₀ is unsure.

Given x₀ the next state is x_s = a x_t + b x₀ + τ L z. Under x₀ ~ N(x̂, C) that is N(a x_t + b x̂, τ² L Lᵀ + b² C): the
reverse move with both moments right, where the plain one, N(a x_t + b x̂, τ² L Lᵀ), has only the mean, and needs smaller
steps. L = 1 where the noise is white.
"""

from dataclasses import dataclass
from math import log, pi
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..beliefs import added
from ..covariances import Rooted, dense
from ..keys import Keys
from ..spectral.roots import Spectral
from ..states import State, Time, left, per_sample_sum
from .base import Transition


@runtime_checkable
class Freedom(Protocol):
    """The directions in which a space moves, and its noise; see Euclidean."""

    @property
    def noise_cov(self) -> Spectral | None: ...

    @property
    def log_root(self) -> float: ...

    def root(self, z: Tensor) -> Tensor: ...

    def whiten(self, x: Tensor) -> Tensor: ...

    def project(self, x: Tensor) -> Tensor: ...

    def freedom(self, x: Tensor) -> Tensor: ...

    def within(self, cov: Tensor, like: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Gaussian(Transition):
    """A space's own normal noise, std times as wide, in its degrees of freedom."""

    mean: Float[Tensor, "batch ..."]
    std: Time
    space: Freedom

    def sample(self, keys: Keys) -> Float[Tensor, "batch ..."]:
        if isinstance(self.std, float) and self.std == 0:
            return self.mean
        z = keys.normal(*self.mean.shape[1:]).to(self.mean)
        if isinstance(self.std, Tensor):
            return self.mean + self.space.root(left(self.std, z).to(z) * z)
        return added(self.mean, self.space.root(z), self.std)

    def log_prob(self, x: State) -> Float[Tensor, " batch"]:
        assert isinstance(x, Tensor)
        residual = self.space.whiten((x - self.mean).double())
        residual = residual * (self.space.freedom(residual) > 0)  # what does not exist is not counted
        std = left(self.std, residual).double().expand_as(residual)
        fixed = std == 0
        std = torch.where(fixed, 1.0, std)
        inside = torch.where(fixed & (residual != 0), -torch.inf, -0.5 * (residual / std) ** 2)
        volume = torch.where(fixed, 0.0, std.log() + 0.5 * log(2 * pi))
        return per_sample_sum(inside - self.space.freedom(residual) * volume) - self.space.log_root


@dataclass(frozen=True)
class Correlated(Transition):
    """Normal noise of any covariance Σ = L Lᵀ in the degrees of freedom of a space.

    Attributes:
        root: L over the flattened event, float64.
        outside: log of the width that Σ was given in the directions that are not degrees of freedom.
        moving: false for elements about which there is no doubt, which stay at the mean to the last bit.
    """

    mean: Float[Tensor, "batch ..."]
    root: Float[Tensor, "batch d d"]
    outside: Float[Tensor, " batch"]
    moving: Bool[Tensor, "batch d"]
    space: Freedom

    @classmethod
    def of(cls, mean: Tensor, cov: Tensor, weight: Time, std: Time, space: Freedom) -> "Correlated":
        """The covariance std² I + weight² cov, with a floor: a millionth of its typical width.

        Args:
            mean: of the distribution, in the unit of x.
            weight: of x₀ in the next state's mean.
            std: standard deviation in each degree of freedom, in the unit of x.
            space: the kind of data and its noise.
        """
        weight, std = (left(torch.as_tensor(a, dtype=torch.float64), cov) for a in (weight, std))
        cov = weight**2 * space.within(cov.double(), mean)
        diagonal = cov.diagonal(dim1=1, dim2=2)
        moving = (diagonal > 0) | (std.flatten()[:, None] > 0)
        floor = 1e-12 * diagonal.mean(1).clamp(min=0) + 1e-24
        if space.noise_cov is None:
            floor = floor + std.flatten() ** 2
        else:
            cov = cov + std**2 * dense(space.noise_cov, mean[:1].double()).matrix
        cov.diagonal(dim1=1, dim2=2).add_(floor[:, None])
        return cls(mean, _root(cov), floor.log() / 2, moving, space)

    def sample(self, keys: Keys) -> Float[Tensor, "batch ..."]:
        z = torch.einsum("bij,bj->bi", self.root, keys.normal(self.root.shape[-1])) * self.moving
        return self.mean + self.space.project(z.reshape(self.mean.shape).to(self.mean))

    def log_prob(self, x: State) -> Float[Tensor, " batch"]:
        assert isinstance(x, Tensor)
        residual = (x - self.mean).double()
        freedom = self.space.freedom(residual)
        residual = (residual * (freedom > 0)).flatten(1)[..., None]
        white = torch.linalg.solve_triangular(self.root, residual, upper=False)[..., 0]
        rank = per_sample_sum(freedom)
        volume = self.root.diagonal(dim1=1, dim2=2).log().sum(1) - (self.root.shape[-1] - rank) * self.outside
        return -0.5 * white.square().sum(1) - volume - rank / 2 * log(2 * pi)


@dataclass(frozen=True)
class Structured(Transition):
    """Normal noise of a covariance with a root, over whole fields.

    Attributes:
        mean: (batch, ...).
        cov: its covariance, which has a root.
    """

    mean: Float[Tensor, "batch ..."]
    cov: Rooted

    def sample(self, keys: Keys) -> Float[Tensor, "batch ..."]:
        z = keys.normal(*self.mean.shape[1:])
        return self.mean + self.cov.root(z).to(self.mean)

    def log_prob(self, x: State) -> Float[Tensor, " batch"]:
        assert isinstance(x, Tensor)
        white = self.cov.whiten((x - self.mean).double()).flatten(1)
        return -0.5 * (white.square().sum(1) + self.cov.log_det + white.shape[1] * log(2 * pi))


Normally = Gaussian | Correlated | Structured
"""A move with normal noise."""


def _root(cov: Float[Tensor, "batch d d"]) -> Float[Tensor, "batch d d"]:
    """A Cholesky root; of a network's covariance, which need not be positive, that of the nearest positive one."""
    root, failed = torch.linalg.cholesky_ex(cov)
    if not failed.any():
        return root
    values, axes = torch.linalg.eigh(cov)
    values = torch.maximum(values, 1e-12 * values[..., -1:].clamp(min=1e-12))
    positive = torch.where((failed > 0)[:, None, None], axes * values[:, None] @ axes.mT, cov)
    return torch.linalg.cholesky(positive)
