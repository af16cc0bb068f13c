"""K⁻¹ as operators on the last axes of batches: diagonal in waves, or by a sparse factorisation.

Both are symmetric, compute in double precision, and can be differentiated and mapped over (`torch.func`).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....deferred import deferred
from ....errors import InputError
from ....guidance.operators import Operator
from ....guidance.operators.base import once, require_axes
from ....transforms import Separable

linalg: Any = deferred("scipy.sparse.linalg")


@dataclass(frozen=True, eq=False)
class Waves(Operator):
    """A symmetric matrix that is diagonal in waves: U diag(gain) Uᵀ.

    Attributes:
        basis: U.
        gain: of each coefficient, float64, of the shape of the grid.
    """

    basis: Separable
    gain: Float[Tensor, "*grid"]
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        require_axes("an equation's solution", x, tuple(self.gain.shape))
        gain = once(self._kept, x.device, lambda: self.gain.to(x.device))
        return self.basis.inverse(gain * self.basis.forward(x.double())).to(x.dtype)

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self(y)


@dataclass(frozen=True, eq=False)
class Factorised(Operator):
    """K⁻¹ of a sparse symmetric matrix by its LU factorisation, on the CPU.

    Of a singular K whose null space are the constants it is the pseudo-inverse: P K_pinned⁻¹ P, with P x = x − mean x.

    Attributes:
        matrix: K, a scipy.sparse matrix.
        shape: of the grid.
        singular: whether constants are its null space.
    """

    matrix: Any
    shape: tuple[int, ...]
    singular: bool = False
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        require_axes("an equation's solution", x, self.shape)
        return _Solved.apply(x, self)  # pyright: ignore[reportReturnType]

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self(y)

    def solve(self, rows: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
        """K⁻¹ of each row, float64."""
        factors = once(self._kept, "factors", self._factors)
        if not self.singular:
            return factors.solve(rows.T).T
        solved = factors.solve((rows - rows.mean(1, keepdims=True)).T).T
        return solved - solved.mean(1, keepdims=True)

    def _factors(self) -> Any:
        matrix = self.matrix.tocsc(copy=True)
        if self.singular:  # one cell is pinned, which changes nothing for sources of no mean
            matrix[0, 0] *= 2
        try:
            return linalg.splu(
                matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0
            )
        except RuntimeError as error:
            raise InputError(f"the equation has no unique solution: its matrix is singular ({error})") from None


class _Solved(torch.autograd.Function):
    """K⁻¹ x, whose gradient is K⁻¹ too."""

    @staticmethod
    def forward(x: Tensor, inverse: Factorised) -> Tensor:
        n = int(np.prod(inverse.shape))
        rows = x.detach().double().cpu().reshape(-1, n).numpy()
        return torch.from_numpy(inverse.solve(rows)).reshape(x.shape).to(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.inverse = inputs[1]

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        return _Solved.apply(slopes[0], ctx.inverse), None

    @staticmethod
    def jvp(ctx: Any, *along: Any) -> Any:
        return _Solved.apply(along[0], ctx.inverse)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        x, inverse = args
        return _Solved.apply(x.movedim(in_dims[0], 0), inverse), 0
