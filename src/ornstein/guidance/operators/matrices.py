"""Matrices over the flattened event, and the one that makes correlated noise white."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...errors import InputError
from ...values import Numbers, as_field, as_numbers
from .base import Operator, matched, misfit, once, require_flag, require_inexact, require_samples


@dataclass(frozen=True, eq=False)
class Matrix(Operator):
    """A real or complex matrix over the flattened event; its adjoint is the conjugate transpose.

    Attributes:
        matrix: (m, d).
        shape: of the event; (d,) if not given.
        per_sample: `matrix` has a batch axis before all others, a matrix for each sample.
    """

    matrix: Numbers
    shape: tuple[int, ...] | None = None
    per_sample: bool = False
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        require_flag("Matrix", per_sample=self.per_sample)
        object.__setattr__(self, "matrix", as_field(self.matrix, "Matrix: matrix"))
        if self.matrix.ndim != 2 + self.per_sample or not self.matrix.numel():
            samples = "samples, " if self.per_sample else ""
            found = tuple(self.matrix.shape)
            raise InputError(f"Matrix: matrix has the shape {found}, expected {samples}rows and columns")
        if self.shape is not None and prod(self.shape) != self.matrix.shape[-1]:
            raise InputError(f"a matrix of {tuple(self.matrix.shape)} does not act on events of shape {self.shape}")

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch m"]:
        columns = self.matrix.shape[-1]
        who = f"a Matrix of {columns} columns"
        require_inexact(who, x)
        require_samples(who, self.samples, x)
        if x.shape[1:].numel() != columns:
            raise misfit(who, x, f"{self.shape or (columns,)}")
        return self._product(x.flatten(1), self._as(x).mT)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        rows = self.matrix.shape[-2]
        who = f"the adjoint of a Matrix of {rows} rows"
        require_samples(who, self.samples, y)
        if y.shape[1:] != (rows,):
            raise misfit(who, y, f"({rows},)")
        x = self._product(y, self._as(y).conj())
        return x if self.shape is None else x.reshape(-1, *self.shape)

    @property
    def samples(self) -> int | None:
        return len(self.matrix) if self.per_sample else None

    def _taken(self, index: Any) -> Operator:
        return replace(self, matrix=self.matrix[index])

    def _as(self, like: Tensor) -> Tensor:
        key = (like.device, torch.finfo(like.dtype).bits)
        return once(self._kept, key, lambda: matched(self.matrix, like), self.matrix)

    def _product(self, x: Tensor, matrix: Tensor) -> Tensor:
        common = torch.promote_types(x.dtype, matrix.dtype)
        x, matrix = x.to(common), matrix.to(common)
        return (x[:, None] @ matrix)[:, 0] if self.per_sample else x @ matrix


def whitener(covariance: Numbers) -> Matrix:
    """W with Wᵀ W = covariance⁻¹: measure W y through W @ A, with noise of width 1.

    Args:
        covariance: of the noise, real, symmetric and positive, (m, m), in the squared units of y.

    InputError if it is not.
    """
    known = as_numbers(covariance, "whitener: covariance").double()
    if known.ndim != 2 or known.shape[0] != known.shape[1] or not known.numel():
        raise InputError(f"whitener: covariance has the shape {tuple(known.shape)}, expected (m, m)")
    root, wrong = torch.linalg.cholesky_ex(known)
    if bool(wrong) or not known.allclose(known.T):
        raise InputError("whitener: covariance is not symmetric and positive, expected that of some noise")
    return Matrix(torch.linalg.solve_triangular(root, torch.eye(len(root)).to(root), upper=False))
