"""Matrices over the flattened event, and the one that makes correlated noise white."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from ...errors import InputError
from ..values import Numbers, as_field
from .base import Operator, matched, misfit, once, require_inexact


@dataclass(frozen=True, eq=False)
class Matrix(Operator):
    """A real or complex matrix over the flattened event; its adjoint is the conjugate transpose.

    Attributes:
        matrix: (m, d).
        shape: of the event; (d,) if not given.
    """

    matrix: Numbers
    shape: tuple[int, ...] | None = None
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", as_field(self.matrix, "Matrix: matrix"))
        if self.matrix.ndim != 2:
            raise InputError(f"Matrix: matrix has the shape {tuple(self.matrix.shape)}, expected rows and columns")
        if self.shape is not None and prod(self.shape) != self.matrix.shape[1]:
            raise InputError(f"a matrix of {tuple(self.matrix.shape)} does not act on events of shape {self.shape}")

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch m"]:
        require_inexact("Matrix", x)
        if x.shape[1:].numel() != self.matrix.shape[1]:
            raise misfit(f"a Matrix of {self.matrix.shape[1]} columns", x, f"{self.shape or self.matrix.shape[1:]}")
        return self._product(x.flatten(1), self._as(x).T)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        if y.shape[1:] != self.matrix.shape[:1]:
            raise misfit(f"the adjoint of a Matrix of {len(self.matrix)} rows", y, f"({len(self.matrix)},)")
        x = self._product(y, self._as(y).conj())
        return x if self.shape is None else x.reshape(-1, *self.shape)

    def _as(self, like: Tensor) -> Tensor:
        precision = like.dtype.to_real() if like.is_complex() else like.dtype
        return once(self._kept, (like.device, precision), lambda: matched(self.matrix, like), self.matrix)

    def _product(self, x: Tensor, matrix: Tensor) -> Tensor:
        common = torch.promote_types(x.dtype, matrix.dtype)
        return x.to(common) @ matrix.to(common)


def whitener(covariance: Float[Tensor, "m m"]) -> Matrix:
    """W with Wᵀ W = covariance⁻¹: measure W y through W @ A, with noise of width 1."""
    root = torch.linalg.cholesky(covariance.double())
    return Matrix(torch.linalg.solve_triangular(root, torch.eye(len(root)).to(root), upper=False))
