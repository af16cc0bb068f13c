"""The Markov chains that corrupt categories, on a survival scale α: 1 = untouched, 0 = stationary.

A chain gives the kernel Q_α[i, j] = P(x_t = j | x₀ = i) with Q_α Q_β = Q_{αβ}, through the two products that sampling
needs, so that a large vocabulary never becomes a matrix:

    column(α, x) = Q_α[·, x]     how likely each origin makes what is seen
    push(α, w)   = wᵀ Q_α        what becomes of a distribution over origins
    rates(x)     = R[·, x]       how fast each other state turns into x, a unit of −log α:  Q_α = exp(−log α · R)

References: Austin et al. 2021 (D3PM), Campbell et al. 2022, Sahoo et al. 2024 (MDLM).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError


def codes(x: Int[Tensor, "*shape"], states: int) -> Float[Tensor, "*shape states"]:
    """1 at the state of each x, else 0, float64; what is no state is refused, though nothing waits for an answer.

    Args:
        x: numbers of states.
        states: how many there are.
    """
    return torch.zeros(*x.shape, states, dtype=torch.float64, device=x.device).scatter_(-1, x[..., None], 1.0)


class Markov(ABC):
    """A reversible-in-time-scale family of kernels Q_α over `len(stationary)` states."""

    stationary: Float[Tensor, " states"]

    @cached_property
    def end(self) -> int | None:
        """The state in which everything ends, if it is one alone."""
        alone = (self.stationary == 1).nonzero().flatten().tolist()
        return alone[0] if alone else None

    @abstractmethod
    def column(self, alpha: Tensor, x: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape states"]:
        """Q_α[·, x], float64; alpha broadcasts against x."""

    @abstractmethod
    def push(self, alpha: Tensor, w: Float[Tensor, "*shape states"]) -> Float[Tensor, "*shape states"]:
        """wᵀ Q_α, float64; alpha broadcasts against w less its last axis."""

    @abstractmethod
    def rates(self, x: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape states"]:
        """R[·, x], float64; the entry of x itself does not count."""


@dataclass(frozen=True, eq=False)
class RedrawKernel(Markov):
    """Q_α = α I + (1 − α) 1 πᵀ: a token survives or is redrawn from π (the mask, the uniform, any distribution)."""

    stationary: Float[Tensor, " states"]

    def column(self, alpha: Tensor, x: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape states"]:
        pi, alpha = self.stationary.to(x.device), alpha.to(x.device)[..., None]
        return alpha * codes(x, len(pi)) + (1 - alpha) * pi[x][..., None]

    def push(self, alpha: Tensor, w: Float[Tensor, "*shape states"]) -> Float[Tensor, "*shape states"]:
        pi, alpha = self.stationary.to(w.device), alpha.to(w.device)[..., None]
        return alpha * w + (1 - alpha) * w.sum(-1, keepdim=True) * pi

    def rates(self, x: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape states"]:
        pi = self.stationary.to(x.device)
        return pi[x][..., None].expand(*x.shape, len(pi))


@dataclass(frozen=True, eq=False)
class Substitution(Markov):
    """Q_α = exp(−log α · R) for a rate matrix R (rows sum to 0), scaled to one substitution a unit of −log α.

    InputError if R is not a rate matrix, or does not mix by α = 0 (taken as 1e-16).
    """

    rate: Float[Tensor, "states states"]

    def __post_init__(self) -> None:
        rate = self.rate.double()
        off_diagonal = rate - torch.diag(rate.diagonal())
        if (off_diagonal < 0).any() or (rate.sum(1).abs() > 1e-6 * rate.abs().max()).any():
            raise InputError("a rate matrix has non-negative off-diagonal entries and rows that sum to 0")
        stationary = _stationary(rate)
        object.__setattr__(self, "stationary", stationary)
        object.__setattr__(self, "rate", rate / -(stationary * rate.diagonal()).sum())
        forgotten = self._kernels(torch.zeros(1, dtype=torch.float64))[0]
        if not (forgotten - stationary).abs().max() < 1e-3:
            raise InputError(
                "these rates never forget where they started: some states cannot, or can hardly, be reached from "
                "others, so noise would not be the same for all data"
            )

    def column(self, alpha: Tensor, x: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape states"]:
        kernels = self._kernels(alpha.to(x.device).broadcast_to(x.shape))
        index = x[..., None, None].expand(*x.shape, len(self.rate), 1)
        return kernels.gather(-1, index).squeeze(-1)

    def push(self, alpha: Tensor, w: Float[Tensor, "*shape states"]) -> Float[Tensor, "*shape states"]:
        kernels = self._kernels(alpha.to(w.device).broadcast_to(w.shape[:-1]))
        return torch.einsum("...i,...ij->...j", w, kernels)

    def rates(self, x: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape states"]:
        return self.rate.to(x.device).T[x]

    def _kernels(self, alpha: Tensor) -> Tensor:
        levels, which = alpha.clamp(min=1e-16).unique(return_inverse=True)  # usually one or a few
        exponents = rearrange(-levels.log(), "n -> n 1 1") * self.rate.to(alpha.device)
        return torch.linalg.matrix_exp(exponents)[which]


def _stationary(rate: Tensor) -> Tensor:
    """π with πᵀ R = 0 and Σπ = 1."""
    system = torch.cat([rate.T, torch.ones_like(rate[:1])])
    target = torch.zeros(len(system), 1, dtype=rate.dtype)
    target[-1] = 1.0
    return torch.linalg.lstsq(system, target, driver="gelsd").solution[:, 0].clamp(min=0)
