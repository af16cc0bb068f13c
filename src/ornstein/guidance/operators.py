"""Linear operators y = A x with their adjoints, sample by sample, and the equations they lead to.

    (A @ B)(x) = A(B(x)),      ⟨A x, y⟩ = ⟨x, Aᵀ y⟩

`linear` makes an operator of any function that is linear, `tangent` of one that is not, at a point. A measurement whose
noise is correlated is whitened: W y = (W A) x + unit noise, with Wᵀ W the inverse of the noise's covariance.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from einops import reduce, repeat
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from ..errors import InputError
from ..states import left, per_sample_sum


class Operator(ABC):
    """A linear map from events to measurements, sample by sample."""

    @abstractmethod
    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Aᵀ y."""

    def __matmul__(self, inner: "Operator") -> "Operator":
        return Composition(self, inner)


@dataclass(frozen=True)
class Composition(Operator):
    """outer(inner(x))."""

    outer: Operator
    inner: Operator

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.outer(self.inner(x))

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.inner.adjoint(self.outer.adjoint(y))


@dataclass(frozen=True, eq=False)
class Subset(Operator):
    """Some of the numbers of an event: inpainting, sparse sensors, undersampling.

    Attributes:
        seen: true where the event, without its batch axis, is seen.
    """

    seen: Bool[Tensor, "..."]

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch m"]:
        return x[:, self.seen.to(x.device)]

    def adjoint(self, y: Float[Tensor, "batch m"]) -> Float[Tensor, "batch ..."]:
        x = y.new_zeros(len(y), *self.seen.shape)
        x[:, self.seen.to(y.device)] = y
        return x


@dataclass(frozen=True, eq=False)
class Relative(Operator):
    """Some points of a cloud about their own centre: what is known of them wherever they lie.

    Attributes:
        seen: (points,), true for those.
    """

    seen: Bool[Tensor, " points"]

    def __call__(self, x: Float[Tensor, "batch points dim"]) -> Float[Tensor, "batch seen dim"]:
        seen = x[:, self.seen.to(x.device)]
        return seen - seen.mean(1, keepdim=True)

    def adjoint(self, y: Float[Tensor, "batch seen dim"]) -> Float[Tensor, "batch points dim"]:
        x = y.new_zeros(len(y), len(self.seen), y.shape[-1])
        x[:, self.seen.to(y.device)] = y - y.mean(1, keepdim=True)
        return x


@dataclass(frozen=True, eq=False)
class Matrix(Operator):
    """A matrix over the flattened event.

    Attributes:
        matrix: (m, d).
        shape: of the event; (d,) if not given.
    """

    matrix: Float[Tensor, "m d"]
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.shape is not None and prod(self.shape) != self.matrix.shape[1]:
            raise InputError(f"a matrix of {tuple(self.matrix.shape)} does not act on events of shape {self.shape}")

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch m"]:
        return x.flatten(1) @ self.matrix.to(x).T

    def adjoint(self, y: Float[Tensor, "batch m"]) -> Float[Tensor, "batch ..."]:
        x = y @ self.matrix.to(y)
        return x if self.shape is None else x.reshape(-1, *self.shape)


@dataclass(frozen=True)
class Coarse(Operator):
    """Means over blocks of size × size in the last two axes: super-resolution."""

    size: int

    def __call__(self, x: Float[Tensor, "batch ... h w"]) -> Float[Tensor, "batch ... h2 w2"]:
        return reduce(x, "... (h i) (w j) -> ... h w", "mean", i=self.size, j=self.size)

    def adjoint(self, y: Float[Tensor, "batch ... h2 w2"]) -> Float[Tensor, "batch ... h w"]:
        return repeat(y, "... h w -> ... (h i) (w j)", i=self.size, j=self.size) / self.size**2


@dataclass(frozen=True, eq=False)
class Blur(Operator):
    """Convolution of every channel with one kernel of odd sides; nothing lies beyond the edges."""

    kernel: Float[Tensor, "a b"]

    @classmethod
    def gaussian(cls, std: float, reach: float = 3.0) -> "Blur":
        """A normal kernel of width `std` pixels, cut at `reach` widths, of sum 1."""
        radius = max(1, round(reach * std))
        line = torch.arange(-radius, radius + 1, dtype=torch.float64)
        kernel = torch.outer(*[(-0.5 * (line / std) ** 2).exp()] * 2)
        return cls(kernel / kernel.sum())

    def __call__(self, x: Float[Tensor, "batch ... h w"]) -> Float[Tensor, "batch ... h w"]:
        planes = x.reshape(-1, 1, *x.shape[-2:])
        return conv2d(planes, *self._options(x)).reshape(x.shape)

    def adjoint(self, y: Float[Tensor, "batch ... h w"]) -> Float[Tensor, "batch ... h w"]:
        planes = y.reshape(-1, 1, *y.shape[-2:])
        return conv_transpose2d(planes, *self._options(y)).reshape(y.shape)

    def _options(self, like: Tensor) -> tuple[Tensor, None, int, tuple[int, ...]]:
        return self.kernel.to(like)[None, None], None, 1, tuple(side // 2 for side in self.kernel.shape)


@dataclass(frozen=True)
class Fourier(Operator):
    """The orthonormal Fourier transform of the last two axes, its real and imaginary parts along a new last axis."""

    def __call__(self, x: Float[Tensor, "batch ... h w"]) -> Float[Tensor, "batch ... h w 2"]:
        return torch.view_as_real(torch.fft.fft2(x, norm="ortho"))

    def adjoint(self, y: Float[Tensor, "batch ... h w 2"]) -> Float[Tensor, "batch ... h w"]:
        return torch.fft.ifft2(torch.view_as_complex(y.contiguous()), norm="ortho").real


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """An operator whose two directions are functions."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.forward(x)

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.backward(y)


def linear(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Operator:
    """The operator of a differentiable function that is linear; its adjoint comes from its gradient.

    shape: of an event, without the batch axis.
    """

    def adjoint(y: Tensor) -> Tensor:
        return torch.func.vjp(function, y.new_zeros(len(y), *shape))[1](y)[0]

    return Linear(function, adjoint)


def tangent(function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch ..."]) -> tuple[Tensor, Operator]:
    """function(x) and the operator that is its derivative there: function(x + v) ≈ function(x) + A v."""
    value, pullback, *_ = torch.func.vjp(function, x)
    return value, Linear(lambda v: torch.func.jvp(function, (x,), (v,))[1], lambda y: pullback(y)[0])


def whitener(covariance: Float[Tensor, "m m"]) -> Matrix:
    """W with Wᵀ W = covariance⁻¹: measure W y through W @ A, with noise of width 1."""
    root = torch.linalg.cholesky(covariance.double())
    return Matrix(torch.linalg.solve_triangular(root, torch.eye(len(root)).to(root), upper=False))


def conjugate_gradients(
    system: Callable[[Tensor], Tensor],
    right: Float[Tensor, "batch ..."],
    tolerance: float = 1e-6,
    most: int = 100,
) -> Float[Tensor, "batch ..."]:
    """Solves system(x) = right for symmetric positive definite systems, each sample to its own relative tolerance.

    A sample whose residual has shrunk by `tolerance`, or in which a direction of negative curvature shows up, stays as
    it is; the iterate with the smallest residual counts. (The covariance of a network need not be positive, nor quite
    symmetric.)
    """
    x, residual, direction = torch.zeros_like(right), right, right
    power = per_sample_sum(right**2)
    enough = tolerance**2 * power
    best, least = x, power
    going = power > enough
    for _ in range(most):
        if not going.any():
            break
        image = system(direction)
        curvature = per_sample_sum(direction * image)
        going = going & (curvature > 0)
        length = left(torch.where(going, power / torch.where(going, curvature, 1.0), 0.0), x)
        x, residual = x + length * direction, residual - length * image
        before, power = power, per_sample_sum(residual**2)
        direction = residual + left(power / before.clamp(min=torch.finfo(before.dtype).tiny), x) * direction
        going = going & (power > enough)
        better = power < least
        best, least = torch.where(left(better, x), x, best), torch.where(better, power, least)
    return best
