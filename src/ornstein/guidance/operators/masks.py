"""Some of the numbers of an event."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ..values import Flags, as_mask
from .base import Operator, misfit


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
            raise misfit(f"a Subset with a mask of shape {tuple(self.seen.shape)}", x)
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
            raise misfit(f"a Relative of {len(self.seen)} points", x)
        seen = x[:, self.seen.to(x.device)]
        return seen - seen.mean(1, keepdim=True)

    def adjoint(self, y: Float[Tensor, "batch seen dim"]) -> Float[Tensor, "batch points dim"]:
        x = y.new_zeros(len(y), len(self.seen), y.shape[-1])
        x[:, self.seen.to(y.device)] = y - y.mean(1, keepdim=True)
        return x


def _seen_of(value: object, who: str) -> Tensor:
    """A mask that sees something."""
    mask = as_mask(value, f"{who}: seen")
    if not mask.any():
        raise InputError(f"{who}: the mask sees nothing, expected at least one true element")
    return mask
