"""Linear operators y = A x with their adjoints, sample by sample; solves.py has the equations they lead to.

    (A @ B)(x) = A(B(x)),      ⟨A x, y⟩ = ⟨x, Aᵀ y⟩,      stack(A, B)(x) = (A x, B x)

`linear` makes an operator of any function that is linear, `tangent` of one that is not, at a point. A measurement whose
noise is correlated is whitened: W y = (W A) x + unit noise, with Wᵀ W the inverse of the noise's covariance.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from einops import reduce, repeat
from jaxtyping import Float, Inexact
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from ..deprecation import names
from ..errors import InputError
from .values import Flags, Numbers, as_mask, as_numbers


class Operator(ABC):
    """A linear map from events to measurements, sample by sample."""

    @abstractmethod
    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        """Aᵀ y."""

    def __matmul__(self, inner: "Operator") -> "Operator":
        return Composition(self, inner)


@dataclass(frozen=True)
class Composition(Operator):
    """outer(inner(x))."""

    outer: Operator
    inner: Operator

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.outer(self.inner(x))

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.inner.adjoint(self.outer.adjoint(y))


@dataclass(frozen=True)
class Stack(Operator):
    """Several operators of one event as one, what each gives flattened and joined; see `stack`.

    Attributes:
        shapes: of what each gives, without the batch axis.
    """

    parts: tuple[Operator, ...]
    shapes: tuple[tuple[int, ...], ...]

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch m"]:
        return torch.cat([part(x).flatten(1) for part in self.parts], 1)

    def adjoint(self, y: Float[Tensor, "batch m"]) -> Float[Tensor, "batch ..."]:
        pieces = y.split([prod(shape) for shape in self.shapes], 1)
        each = zip(self.parts, pieces, self.shapes, strict=True)
        return torch.stack([part.adjoint(piece.reshape(len(y), *shape)) for part, piece, shape in each]).sum(0)


def stack(*operators: Operator, shape: Sequence[int]) -> Stack:
    """Several operators of one event as one: y is what each gives, flattened (torch.flatten) and joined in order.

    `denoiser & a & b` stacks its measurements by itself; one `std` for each is then one an element.

    shape: of an event, without the batch axis.
    """
    if not operators:
        raise InputError("nothing to stack: give one operator or more")
    require_event("stack", shape)
    event = torch.zeros(1, *shape)
    return Stack(operators, tuple(tuple(operator(event).shape[1:]) for operator in operators))


@dataclass(frozen=True, eq=False)
class Mask(Operator):
    """Some of the numbers of an event: inpainting, sparse sensors, undersampling.

    Attributes:
        seen: true where the event, without its batch axis, is seen.
    """

    seen: Flags

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", _seen_of(self.seen, "Mask"))

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch m"]:
        if x.shape[1 : 1 + self.seen.ndim] != self.seen.shape:
            raise _misfit(f"a Subset with a mask of shape {tuple(self.seen.shape)}", x)
        return x[:, self.seen.to(x.device)]

    def adjoint(self, y: Float[Tensor, "batch m"]) -> Float[Tensor, "batch ..."]:
        x = y.new_zeros(len(y), *self.seen.shape)
        x[:, self.seen.to(y.device)] = y
        return x


@dataclass(frozen=True, eq=False)
class Centered(Operator):
    """Some points of a cloud about their own centre: what is known of them wherever they lie.

    Attributes:
        seen: (points,), true for those.
    """

    seen: Flags

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", _seen_of(self.seen, "Centered"))

    def __call__(self, x: Float[Tensor, "batch points dim"]) -> Float[Tensor, "batch seen dim"]:
        if x.shape[1:2] != self.seen.shape:
            raise _misfit(f"a Relative of {len(self.seen)} points", x)
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
            raise _misfit(f"a Matrix of {self.matrix.shape[1]} columns", x)
        return x.flatten(1) @ self.matrix.to(x).T

    def adjoint(self, y: Float[Tensor, "batch m"]) -> Float[Tensor, "batch ..."]:
        x = y @ self.matrix.to(y)
        return x if self.shape is None else x.reshape(-1, *self.shape)


@dataclass(frozen=True)
class Downsample(Operator):
    """Means over blocks of size × size in the last two axes: super-resolution."""

    size: int

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise InputError(f"Coarse: size is {self.size}, expected a number of pixels a block's side, 1 or more")

    def __call__(self, x: Float[Tensor, "batch ... h w"]) -> Float[Tensor, "batch ... h2 w2"]:
        if x.ndim < 3 or any(side % self.size for side in x.shape[-2:]):
            raise _misfit(f"Coarse({self.size}), whose blocks must divide the last two axes,", x)
        return reduce(x, "... (h i) (w j) -> ... h w", "mean", i=self.size, j=self.size)

    def adjoint(self, y: Float[Tensor, "batch ... h2 w2"]) -> Float[Tensor, "batch ... h w"]:
        return repeat(y, "... h w -> ... (h i) (w j)", i=self.size, j=self.size) / self.size**2


@dataclass(frozen=True, eq=False)
class Blur(Operator):
    """Convolution of every channel with one kernel of odd sides, (a, b); nothing lies beyond the edges."""

    kernel: Numbers

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", as_numbers(self.kernel, "Blur: kernel"))
        if self.kernel.ndim != 2 or not all(side % 2 for side in self.kernel.shape):
            raise InputError(f"Blur: kernel has the shape {tuple(self.kernel.shape)}, expected two odd sides")

    @classmethod
    def gaussian(cls, std: float, reach: float = 3.0) -> "Blur":
        """A normal kernel of width `std` pixels, cut at `reach` widths, of sum 1."""
        if not std > 0:
            raise InputError(f"Blur.gaussian: std is {std}, expected a positive number of pixels")
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
class LinearFunction(Operator):
    """An operator whose two directions are functions."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.forward(x)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.backward(y)


@dataclass(frozen=True)
class RealParts(Operator):
    """The real and imaginary parts, along a new last axis, of an operator that gives complex numbers."""

    operator: Operator

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ... 2"]:
        return _parts(self.operator(x))

    def adjoint(self, y: Float[Tensor, "batch ... 2"]) -> Float[Tensor, "batch ..."]:
        back = self.operator.adjoint(torch.view_as_complex(y.contiguous()))
        return back.real if back.is_complex() else back


def real_parts(operator: "Operator | Callable[[Tensor], Tensor]") -> Any:
    """An operator, or a function, that gives real and imaginary parts in place of complex numbers."""
    if isinstance(operator, Operator):
        return RealParts(operator)

    @wraps(operator)
    def parts(x: Tensor) -> Tensor:
        return _parts(operator(x))

    return parts


def _parts(seen: Any) -> Tensor:
    if not isinstance(seen, Tensor) or not seen.is_complex():
        found = f"numbers of {seen.dtype}" if isinstance(seen, Tensor) else f"a {type(seen).__name__}"
        raise InputError(f"y is complex, but the operator gives {found}, expected complex numbers")
    return torch.view_as_real(seen.resolve_conj())


def linear(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Operator:
    """The operator of a differentiable function that is linear; its adjoint comes from its gradient.

    shape: of an event, without the batch axis.
    """

    require_event("linear", shape)

    def adjoint(y: Tensor) -> Tensor:
        return torch.func.vjp(function, y.new_zeros(len(y), *shape))[1](y)[0]

    return LinearFunction(function, adjoint)


def tangent(function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch ..."]) -> tuple[Tensor, Operator]:
    """function(x) and the operator that is its derivative there: function(x + v) ≈ function(x) + A v."""
    value, pullback, *_ = torch.func.vjp(function, x)
    return value, LinearFunction(lambda v: torch.func.jvp(function, (x,), (v,))[1], lambda y: pullback(y)[0])


def whitener(covariance: Float[Tensor, "m m"]) -> Matrix:
    """W with Wᵀ W = covariance⁻¹: measure W y through W @ A, with noise of width 1."""
    root = torch.linalg.cholesky(covariance.double())
    return Matrix(torch.linalg.solve_triangular(root, torch.eye(len(root)).to(root), upper=False))


def require_event(who: str, shape: Any) -> None:
    """InputError unless it is the shape of one event."""
    sides = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not sides or not all(isinstance(side, int) and side > 0 for side in shape):
        found = f"a {type(shape).__name__}" if isinstance(shape, Tensor) else repr(shape)
        raise InputError(f"{who}: shape is {found}, expected that of one event, such as (3, 32, 32)")


def _seen_of(value: object, who: str) -> Tensor:
    """A mask that sees something."""
    mask = as_mask(value, f"{who}: seen")
    if not mask.any():
        raise InputError(f"{who}: the mask sees nothing, expected at least one true element")
    return mask


def _misfit(who: str, x: Tensor) -> InputError:
    return InputError(f"{who} does not act on events of shape {tuple(x.shape[1:])}")


if not TYPE_CHECKING:  # old names, for one version
    __getattr__ = names(
        __name__, {"Coarse": "Downsample", "Linear": "LinearFunction", "Relative": "Centered", "Subset": "Mask"}
    )
