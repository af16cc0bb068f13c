"""What maps are made of: numbers, tensors that line up with the first axes of a field, what each sample is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ...denoisers.maps import Each, Map
from ...errors import InputError
from ...values import Numbers, as_numbers
from ..operators import Operator

Field = Numbers | str | Each
"""A number, a tensor of one sample, the name of a condition, or what that gave to each sample."""


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """M of an affine map: one and the same wherever it is made of the same tensors, so that what follows from it is
    found once.

    Attributes:
        forward, backward: M x and Mᵀ y.
        of: what it is made of.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]
    of: tuple[Any, ...]

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.forward(x)

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.backward(y)

    def __hash__(self) -> int:
        return hash(tuple(id(one) for one in self.of))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Linear)
            and len(self.of) == len(other.of)
            and all(a is b for a, b in zip(self.of, other.of, strict=True))
        )


def checked(map: Map, name: str, positive: bool = False) -> None:
    """Makes a tensor of an attribute; InputError unless it is a name, or finite numbers, and positive where it must."""
    value, who = getattr(map, name), f"{map.name}: {name}"
    if isinstance(value, str):
        return
    each = isinstance(value, Each)
    who = f"{who}, the condition {value.name!r}" if each else who
    numbers = as_numbers(value.values if each else value, who)
    if each and not numbers.ndim:
        raise InputError(f"{who}: is one number, expected one value for each sample")
    wrong = (~(numbers > 0)).nonzero() if positive else numbers.new_zeros(0)
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise InputError(f"{who}: element {place} is {numbers[place].item()}, expected positive numbers")
    object.__setattr__(map, name, Each(value.name, numbers) if each else numbers)


def lined(map: Map, name: str, x: Tensor) -> Tensor:
    """An attribute with the axes of x; InputError where it does not line up with them."""
    value, who = getattr(map, name), f"{map.name}: {name}"
    if isinstance(value, str):
        raise InputError(
            f"{who} is the condition {value!r}: bind the map to what the samples are given, map.bound(...)"
        )
    numbers = value.values if isinstance(value, Each) else value[None]
    who = f"{who}, the condition {value.name!r}," if isinstance(value, Each) else who
    spread = numbers.reshape(numbers.shape + (1,) * (x.ndim - numbers.ndim)) if numbers.ndim <= x.ndim else numbers
    fits = spread.ndim == x.ndim and all(
        own in (1, whole) for own, whole in zip(spread.shape[1:], x.shape[1:], strict=True)
    )
    if not fits:
        each = ": one a sample is said by the name of a condition" if numbers.ndim > x.ndim else ""
        raise InputError(
            f"{who} has the shape {tuple(numbers.shape[1:])}, which does not line up with fields of shape "
            f"{tuple(x.shape[1:])}{each}"
        )
    if len(spread) not in (1, len(x)) and len(x) != 1:
        raise InputError(f"{who} is of {len(spread)} samples, found {len(x)}")
    return spread.to(x)


def require_tensor(map: Map, x: Any) -> Tensor:
    """The field, in the name of a map; InputError unless it is a tensor of floating-point numbers."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = f"numbers of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise InputError(f"{map.name}: a field is a tensor of floating-point numbers, found {found}")
    return x
