"""Cov[x₀ | x_t] as a linear map, sample by sample: what guidance multiplies its gradients with.

Of a network it is Tweedie's second-order formula, (σ²/α) ∂x̂₀/∂x_t, applied by vector–Jacobian products and never formed
unless it is small. Conditioning on m numbers A x₀ seen with noise R takes away what they explain:

    C ↦ C − G S⁻¹ Gᵀ,     G = C Aᵀ,     S = R + A C Aᵀ

The covariances of fields are in spectral/roots.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from .effort import Effort, Tally
from .states import Time, left


@runtime_checkable
class Covariance(Protocol):
    """A symmetric linear map on tensors shaped like the mean, sample by sample."""

    def __call__(self, v: Tensor) -> Tensor: ...


class Spelled(ABC):
    """A covariance that can write itself down."""

    @property
    @abstractmethod
    def matrix(self) -> Float[Tensor, "batch d d"]:
        """All of it over the flattened event; for small d."""

    @abstractmethod
    def __call__(self, v: Tensor) -> Tensor:
        """C v."""


class Rooted(ABC):
    """A covariance C = L Lᵀ whose root is at hand: it can be drawn from, and has a density. See spectral/roots.py."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """How many samples it is of; 1 = it is the same for all."""

    @property
    @abstractmethod
    def log_det(self) -> Float[Tensor, " #batch"]:
        """log det C, nats: one number for all samples, or one a sample."""

    @abstractmethod
    def __call__(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """C v."""

    @abstractmethod
    def root(self, z: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """L z, which has the covariance C where z is white."""

    @abstractmethod
    def root_transposed(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Lᵀ v."""

    @abstractmethod
    def whiten(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """L⁻¹ x, which is white where x has the covariance C."""

    @abstractmethod
    def less(self, gain: Float[Tensor, "#batch m ..."], precision: Float[Tensor, "#batch m m"]) -> "Rooted":
        """C − G S⁻¹ Gᵀ with G = C Aᵀ: what is left once m numbers were seen.

        Args:
            gain: G, a field a number.
            precision: S⁻¹, positive definite.
        """


@dataclass(frozen=True)
class Diagonal:
    """Independent coordinates with the given variance, which broadcasts against the mean."""

    variance: Tensor

    def __call__(self, v: Tensor) -> Tensor:
        return self.variance * v


@dataclass(frozen=True)
class Dense:
    """A matrix a sample over the flattened event."""

    matrix: Float[Tensor, "batch d d"]

    def __call__(self, v: Tensor) -> Tensor:
        return torch.einsum("bij,bj->bi", self.matrix, v.flatten(1)).reshape(v.shape)


@dataclass(frozen=True)
class Tweedie:
    """Cov[x₀ | x_t] = (σ²/α) Σ (∂x̂₀/∂x_t)ᵀ, applied by a vector–Jacobian product; Σ: of the noise, 1 where it is white.

    x_t must have been the input of a differentiable computation of mean. Where α = 0 the formula is 0/0 and x_t says
    nothing: there scale is 0 and `prior`, the covariance of the data as a map, takes its place. `project` is the
    space's projector onto its degrees of freedom. A loss on a product reaches v, where v wants a gradient.
    Source: Tweedie's second-order formula, e.g. Boys et al. 2023 (arXiv 2310.06721).
    """

    mean: Tensor
    x_t: Tensor
    scale: Tensor
    prior: Callable[[Tensor], Tensor] = torch.zeros_like
    project: Callable[[Tensor], Tensor] = lambda v: v
    noise: Callable[[Tensor], Tensor] = lambda v: v

    def __call__(self, v: Tensor) -> Tensor:
        v, kept = self.project(v), v.requires_grad and torch.is_grad_enabled()
        (product,) = torch.autograd.grad(
            self.mean, self.x_t, v, retain_graph=True, create_graph=kept, materialize_grads=True
        )
        return self.project(self.scale * self.noise(product) + self.prior(v))


@dataclass(frozen=True)
class Conditioned:
    """A covariance after m numbers were seen: C − G S⁻¹ Gᵀ.

    Attributes:
        gain: G = C Aᵀ, (batch, m, *event).
        precision: S⁻¹.
    """

    cov: Covariance
    gain: Float[Tensor, "batch m ..."]
    precision: Float[Tensor, "batch m m"]

    def __call__(self, v: Tensor) -> Tensor:
        gain = self.gain.flatten(2)
        explained = torch.einsum("bmn,bnd,bd->bm", self.precision, gain, v.flatten(1))
        return self.cov(v) - torch.einsum("bm,bmd->bd", explained, gain).reshape(v.shape)


@dataclass(frozen=True)
class Weighted:
    """Σ_k w_k C_k; weights are numbers or (batch,)."""

    covs: Sequence[tuple[Time, Covariance]]

    def __call__(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return torch.stack([left(weight, v).to(v) * cov(v) for weight, cov in self.covs]).sum(0)


@dataclass(frozen=True)
class Counted:
    """A covariance whose products count as so many gradients each."""

    cov: Covariance
    tally: Tally
    gradients: int

    def __call__(self, v: Tensor) -> Tensor:
        self.tally.add(Effort(self.gradients))
        return self.cov(v)


def written(cov: Covariance) -> bool:
    """Whether a covariance stands in numbers, so that its products ask no network."""
    if isinstance(cov, Conditioned):
        return written(cov.cov)
    if isinstance(cov, Weighted):
        return all(written(one) for _, one in cov.covs)
    return isinstance(cov, Dense | Diagonal | Spelled | Rooted)


def conditioned(
    cov: Covariance, gain: Float[Tensor, "batch m ..."], precision: Float[Tensor, "batch m m"]
) -> Covariance:
    """C − G S⁻¹ Gᵀ: a matrix again where C is one, with a root where C has one, else a map.

    Args:
        cov: C.
        gain: G = C Aᵀ, a field for each number seen, (batch, m, *event).
        precision: S⁻¹, (batch, m, m).
    """
    if isinstance(cov, Rooted):
        return cov.less(gain, precision)
    if not isinstance(cov, Dense):
        return Conditioned(cov, gain, precision)
    flat = gain.flatten(2)
    return Dense(torch.baddbmm(cov.matrix, flat.mT, precision @ flat, alpha=-1.0))


def dense(cov: Covariance, like: Float[Tensor, "batch ..."]) -> Dense:
    """A covariance as a matrix a sample: its own, or by d products with the basis vectors, d the size of `like`.

    Args:
        cov: C.
        like: events, (batch, *event), whose shape, precision and device count.
    """
    if isinstance(cov, Spelled):
        return Dense(cov.matrix.to(like))
    matrix = matrix_of(cov, like)
    return Dense((matrix + matrix.mT) / 2)


def matrix_of(function: Callable[[Tensor], Tensor], like: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch m d"]:
    """A linear map written out, sample by sample, over flattened events: a call for each column.

    Args:
        function: the map.
        like: what it acts on, whose shape, precision and device count.
    """
    units = torch.eye(like[0].numel()).to(like).reshape(-1, 1, *like.shape[1:])
    return torch.stack([function(unit.expand_as(like)).flatten(1) for unit in units], 2)
