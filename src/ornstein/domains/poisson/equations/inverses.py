"""K⁻¹ as operators on the last axes of batches: diagonal in waves, or by a solver of sparse matrices.

Both are symmetric, compute in double precision, and can be differentiated and mapped over (`torch.func`).
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ....guidance.operators import Operator
from ....guidance.operators.base import once, require_axes
from ....spectral.transforms import Separable
from .solvers import Solver


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
class Inverse(Operator):
    """K⁻¹ of a symmetric K by a solver on the CPU.

    Attributes:
        solver: K⁻¹ of rows.
        shape: of the grid.
    """

    solver: Solver
    shape: tuple[int, ...]

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        require_axes("an equation's solution", x, self.shape)
        return _Inverse.apply(x, self)  # pyright: ignore[reportReturnType]

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self(y)


class _Inverse(torch.autograd.Function):
    """K⁻¹ x, whose gradient is K⁻¹ too."""

    @staticmethod
    def forward(x: Tensor, inverse: Inverse) -> Tensor:
        rows = x.detach().double().cpu().reshape(-1, prod(inverse.shape)).numpy()
        return torch.from_numpy(inverse.solver.solve(rows)).reshape(x.shape).to(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.inverse = inputs[1]

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        return _Inverse.apply(slopes[0], ctx.inverse), None

    @staticmethod
    def jvp(ctx: Any, *along: Any) -> Any:
        return _Inverse.apply(along[0], ctx.inverse)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        x, inverse = args
        return _Inverse.apply(x.movedim(in_dims[0], 0), inverse), 0
