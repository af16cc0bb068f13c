"""An operator is a linear map y = A x with its adjoint, sample by sample, of real or complex fields:

    (A @ B)(x) = A(B(x)),    (A + B)(x) = A x + B x,    (c A)(x) = c A x,    Re⟨A x, y⟩ = Re⟨x, Aᵀ y⟩

With ⟨a, b⟩ = Σ conj(a) b that is the real inner product of all real and imaginary parts, and the adjoint of a complex
matrix its conjugate transpose. Operators take real and complex fields alike: where x is real and what the adjoint gives
is complex, the real part is meant (`real_part`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Number
from typing import Any, TypeVar

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...errors import InputError

Made = TypeVar("Made")


class Operator(ABC):
    """A linear map from events to measurements, sample by sample."""

    @abstractmethod
    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        """Aᵀ y."""

    def normal(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        """Aᵀ A x; an operator that can do it for less than both directions says how."""
        return self.adjoint(self(x))

    @property
    def samples(self) -> int | None:
        """How many samples it has a version of its own for; None = one for all."""
        return None

    def take(self, index: Any) -> "Operator":
        """The operator of the samples `index`, a slice or integers, of a batch; itself where it is one for all."""
        return self if self.samples in (None, 1) else self._taken(index)

    @property
    def T(self) -> "Operator":
        """The adjoint as an operator."""
        return Adjoint(self)

    def __matmul__(self, inner: "Operator") -> "Operator":
        return Composition(self, inner) if isinstance(inner, Operator) else NotImplemented

    def __add__(self, other: "Operator") -> "Operator":
        return Sum(self, other) if isinstance(other, Operator) else NotImplemented

    def __sub__(self, other: "Operator") -> "Operator":
        return Sum(self, -other) if isinstance(other, Operator) else NotImplemented

    def __neg__(self) -> "Operator":
        return Scaled(-1.0, self)

    def __mul__(self, number: Any) -> "Operator":
        _require_number(number, self)
        return Scaled(number, self)

    __rmul__ = __mul__

    def _taken(self, index: Any) -> "Operator":
        raise NotImplementedError(f"{type(self).__name__} has samples, but does not say how to take some of them")


@dataclass(frozen=True)
class Composition(Operator):
    """outer(inner(x))."""

    outer: Operator
    inner: Operator

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.outer(self.inner(x))

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.inner.adjoint(self.outer.adjoint(y))

    def normal(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.inner.adjoint(self.outer.normal(self.inner(x)))

    @property
    def samples(self) -> int | None:
        return samples_of(self.outer, self.inner)

    def _taken(self, index: Any) -> Operator:
        return Composition(self.outer.take(index), self.inner.take(index))


@dataclass(frozen=True, init=False)
class Sum(Operator):
    """The sum of what several operators give of one event, all of one shape.

    Attributes:
        parts: the operators.
    """

    parts: tuple[Operator, ...]

    def __init__(self, *parts: Operator) -> None:
        if not parts or not all(isinstance(part, Operator) for part in parts):
            found = ", ".join(type(part).__name__ for part in parts) or "nothing"
            raise InputError(f"Sum: of {found}, expected operators")
        object.__setattr__(self, "parts", parts)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self._summed([part(x) for part in self.parts], "give")

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self._summed([part.adjoint(y) for part in self.parts], "have adjoints that give")

    @property
    def samples(self) -> int | None:
        return samples_of(*self.parts)

    def _taken(self, index: Any) -> Operator:
        return Sum(*(part.take(index) for part in self.parts))

    def _summed(self, each: list[Tensor], verb: str) -> Tensor:
        shapes = {tuple(one.shape[1:]): type(part).__name__ for one, part in zip(each, self.parts, strict=True)}
        if len(shapes) > 1:
            found = " and ".join(f"{shape} ({name})" for shape, name in shapes.items())
            raise InputError(f"Sum: its parts {verb} the shapes {found}, expected one shape")
        return sum(each[1:], each[0])


@dataclass(frozen=True)
class Scaled(Operator):
    """factor · A, of a real or complex number.

    Attributes:
        factor: the number.
        operator: A.
    """

    factor: float | complex
    operator: Operator

    def __post_init__(self) -> None:
        _require_number(self.factor, self.operator)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.factor * self.operator(x)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.operator.adjoint(self.factor.conjugate() * y)

    def normal(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return abs(self.factor) ** 2 * self.operator.normal(x)

    @property
    def samples(self) -> int | None:
        return self.operator.samples

    def _taken(self, index: Any) -> Operator:
        return replace(self, operator=self.operator.take(index))


@dataclass(frozen=True)
class Adjoint(Operator):
    """Aᵀ as an operator, whose adjoint is A."""

    operator: Operator

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.operator.adjoint(x)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self.operator(y)

    @property
    def samples(self) -> int | None:
        return self.operator.samples

    @property
    def T(self) -> Operator:
        return self.operator

    def _taken(self, index: Any) -> Operator:
        return Adjoint(self.operator.take(index))


# What operators share ---------------------------------------------------------------------------------


def samples_of(*operators: Operator) -> int | None:
    """How many samples several operators together have versions for."""
    return max((operator.samples for operator in operators if operator.samples is not None), default=None)


def real_part(x: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
    """x, or its real part: what an adjoint means where events are real."""
    return x.real if x.is_complex() else x


def matched(field: Tensor, like: Tensor) -> Tensor:
    """A field, real or complex as it is, on the device and in the precision of another."""
    precision = like.dtype.to_real() if like.is_complex() else like.dtype
    return field.to(like.device, precision.to_complex() if field.is_complex() else precision)


def once(kept: dict[Hashable, Made], key: Hashable, make: Callable[[], Made], source: Tensor | None = None) -> Made:
    """What was made for this key, such as a device and a precision.

    Args:
        source: of what is made; where it wants gradients it may be learnt, and nothing of it is kept.
    """
    if source is not None and source.requires_grad:
        return make()
    if key not in kept:
        with torch.inference_mode(False):  # what is kept may meet gradients later
            kept[key] = make()
    return kept[key]


def axis_of(who: str, axis: int, ndim: int) -> int:
    """The axis of a batch for one of an event, counted from its first (0, …) or its last (−1, …)."""
    place = axis + 1 if axis >= 0 else ndim + axis
    if not 1 <= place < ndim:
        raise InputError(f"{who}: axis is {axis}, but events have {ndim - 1} axes")
    return place


def _require_number(number: Any, operator: Operator) -> None:
    """InputError unless it is a finite number."""
    if not isinstance(number, Number) or not isfinite(abs(number)):  # pyright: ignore[reportArgumentType]
        found = number if isinstance(number, Number) else f"a {type(number).__name__} (a field multiplies by Multiply)"
        raise InputError(f"{found} times {type(operator).__name__}: expected a finite number")


# Checks -----------------------------------------------------------------------------------------------


def require_event(who: str, shape: Any) -> None:
    """InputError unless it is the shape of one event.

    Args:
        who: the operator, for the message.
        shape: what should be a shape, such as (3, 32, 32).
    """
    sides = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not sides or not all(isinstance(side, int) and side > 0 for side in shape):
        found = f"a {type(shape).__name__}" if isinstance(shape, Tensor) else repr(shape)
        raise InputError(f"{who}: shape is {found}, expected that of one event, such as (3, 32, 32)")


def require_axes(who: str, x: Tensor, shape: Sequence[int | str]) -> None:
    """InputError unless the last axes of a batch are these.

    Args:
        who: the operator, or "the adjoint of" it.
        shape: of the last axes: a length, or a name where any length will do.
    """
    require_inexact(who, x)
    found = tuple(x.shape[1:])
    last = found[len(found) - len(shape) :] if len(found) >= len(shape) else None
    if last is None or any(isinstance(a, int) and a != b for a, b in zip(shape, last, strict=True)):
        expected = ", ".join(map(str, shape))
        raise misfit(who, x, f"(..., {expected})")


def require_inexact(who: str, x: Any) -> None:
    """InputError unless it is a tensor of real or complex floating-point numbers."""
    if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
        found = f"numbers of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise InputError(f"{who} acts on tensors of real or complex numbers, found {found}")


def require_samples(who: str, samples: int | None, x: Tensor) -> None:
    """InputError where an operator that differs from sample to sample has too few or too many of them."""
    if samples not in (None, 1, len(x)):
        raise InputError(f"{who} is of {samples} samples, found a batch of {len(x)}")


def require_real(who: str, x: Tensor, instead: str) -> None:
    """InputError if it is complex, saying what to use."""
    if x.is_complex():
        raise InputError(f"{who} acts on real fields, found numbers of {x.dtype}: use {instead}")


def require_flag(who: str, **flags: Any) -> None:
    """InputError unless they are true or false."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise InputError(f"{who}: {name} is {value!r:.80}, expected True or False")


def misfit(who: str, x: Tensor, expected: str) -> InputError:
    """That x is not what an operator, or its adjoint, acts on."""
    return InputError(f"{who} does not act on events of shape {tuple(x.shape[1:])}: expected {expected}")


def as_complex(x: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
    """x as complex numbers."""
    return x if x.is_complex() else torch.complex(x, torch.zeros_like(x))
