"""Matrices over the flattened event, and the one that makes correlated noise white."""

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ..values import Numbers, as_numbers
from .base import Operator, misfit


@dataclass(frozen=True, eq=False)
class Matrix(Operator):
    """A matrix over the flattened event.

    Attributes:
        matrix: (m, d).
        shape: of the event; (d,) if not given.
    """

    matrix: Numbers
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", as_numbers(self.matrix, "Matrix: matrix"))
        if self.matrix.ndim != 2:
            raise InputError(f"Matrix: matrix has the shape {tuple(self.matrix.shape)}, expected rows and columns")
        if self.shape is not None and prod(self.shape) != self.matrix.shape[1]:
            raise InputError(f"a matrix of {tuple(self.matrix.shape)} does not act on events of shape {self.shape}")

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch m"]:
        if x[0].numel() != self.matrix.shape[1]:
            raise misfit(f"a Matrix of {self.matrix.shape[1]} columns", x)
        return x.flatten(1) @ self.matrix.to(x).T

    def adjoint(self, y: Float[Tensor, "batch m"]) -> Float[Tensor, "batch ..."]:
        x = y @ self.matrix.to(y)
        return x if self.shape is None else x.reshape(-1, *self.shape)


def whitener(covariance: Float[Tensor, "m m"]) -> Matrix:
    """W with Wᵀ W = covariance⁻¹: measure W y through W @ A, with noise of width 1."""
    root = torch.linalg.cholesky(covariance.double())
    return Matrix(torch.linalg.solve_triangular(root, torch.eye(len(root)).to(root), upper=False))
