"""Sparse matrices over the last axes of fields, kept with their transpose for each device and precision."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor

from .base import once


@dataclass(frozen=True, eq=False)
class Sparse:
    """A real sparse matrix M and its products M x and Mᵀ y, of columns of real or complex numbers.

    Attributes:
        make: the matrix, a scipy.sparse.csr_matrix in float64; called once.
    """

    make: Callable[[], Any]
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: Inexact[Tensor, "columns k"]) -> Inexact[Tensor, "rows k"]:
        return _applied(x, self, False)

    def adjoint(self, y: Inexact[Tensor, "rows k"]) -> Inexact[Tensor, "columns k"]:
        return _applied(y, self, True)

    def as_tensor(self, like: Tensor, transposed: bool) -> Tensor:
        """M or Mᵀ on the device and in the precision of a tensor."""

        def make() -> Tensor:
            matrix = once(self._kept, "matrix", self.make)
            return _torch_of(matrix.T.tocsr() if transposed else matrix, like)

        return once(self._kept, (like.device, like.dtype, transposed), make)


def _applied(x: Tensor, matrix: Sparse, transposed: bool) -> Tensor:
    if x.is_complex():
        return torch.complex(_applied(x.real, matrix, transposed), _applied(x.imag, matrix, transposed))
    return _Product.apply(x, matrix, transposed)  # pyright: ignore[reportReturnType]


class _Product(torch.autograd.Function):
    """M x, whose gradient takes the transpose that is there, not one made anew."""

    @staticmethod
    def forward(x: Tensor, matrix: Sparse, transposed: bool) -> Tensor:
        return matrix.as_tensor(x, transposed) @ x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, ctx.matrix, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        return _applied(slopes[0], ctx.matrix, not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, *along: Any) -> Any:
        return _applied(along[0], ctx.matrix, ctx.transposed)


def _torch_of(matrix: Any, like: Tensor) -> Tensor:
    parts = [torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data)]
    with warnings.catch_warnings():  # that compressed sparse rows are new in torch
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        made = torch.sparse_csr_tensor(*parts, size=matrix.shape, check_invariants=True)  # pyright: ignore[reportCallIssue]
        return made.to(like.device, like.dtype)
