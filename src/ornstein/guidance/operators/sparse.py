"""Sparse matrices over the last axes of fields, kept with their transpose for each device and precision."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Inexact
from scipy.sparse import csr_matrix
from torch import Tensor

from .base import once


@dataclass(frozen=True, eq=False)
class Sparse:
    """A real sparse matrix M and its products M x and Mᵀ y, of columns of real or complex numbers.

    Attributes:
        make: the matrix, in float64; called once.
    """

    make: Callable[[], csr_matrix]
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: Inexact[Tensor, "columns k"]) -> Inexact[Tensor, "rows k"]:
        return self._product(x, transposed=False)

    def adjoint(self, y: Inexact[Tensor, "rows k"]) -> Inexact[Tensor, "columns k"]:
        return self._product(y, transposed=True)

    def _product(self, x: Tensor, transposed: bool) -> Tensor:
        if x.is_complex():
            return torch.complex(self._product(x.real, transposed), self._product(x.imag, transposed))
        one, other = (self._as(x, way) for way in (transposed, not transposed))
        return _Product.apply(x, one, other)  # pyright: ignore[reportReturnType]

    def _as(self, like: Tensor, transposed: bool) -> Tensor:
        def make() -> Tensor:
            matrix = once(self._kept, "matrix", self.make)
            return _torch_of(matrix.T.tocsr() if transposed else matrix, like)

        return once(self._kept, (like.device, like.dtype, transposed), make)


class _Product(torch.autograd.Function):
    """M x, whose gradient takes the transpose that is there, not one made anew."""

    @staticmethod
    def forward(x: Tensor, matrix: Tensor, transpose: Tensor) -> Tensor:
        return matrix @ x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.matrices = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        matrix, transpose = ctx.matrices
        return _Product.apply(slopes[0], transpose, matrix), None, None

    @staticmethod
    def jvp(ctx: Any, *along: Any) -> Any:
        matrix, transpose = ctx.matrices
        return _Product.apply(along[0], matrix, transpose)


def _torch_of(matrix: csr_matrix, like: Tensor) -> Tensor:
    parts = [torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data)]
    with warnings.catch_warnings():  # that compressed sparse rows are new in torch
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        made = torch.sparse_csr_tensor(*parts, size=matrix.shape, check_invariants=True)  # pyright: ignore[reportCallIssue]
        return made.to(like.device, like.dtype)
