"""Maps of each element by itself: standardised and residual ones are affine, those of bounded values are not."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...denoisers.maps import Map, Placed
from ...errors import InputError
from ...states import per_sample_sum
from ..operators import Operator
from .attributes import Field, Linear, checked, lined, require_tensor


@dataclass(frozen=True, eq=False)
class Elementwise(Map):
    """A map of each element by itself."""

    @abstractmethod
    def log_slope(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "..."]:
        """log ∂field/∂x, element by element; it broadcasts against x."""

    def log_det(self, x: Float[Tensor, "batch ..."], reach: Any = None) -> Float[Tensor, " batch"]:
        slopes = self.log_slope(x).double().broadcast_to(x.shape)
        return per_sample_sum(slopes if reach is None else slopes * reach.to(slopes))

    def placed(self, value: Tensor, std: Tensor, where: Tensor) -> Placed:
        inside = self(torch.zeros_like(value))  # any field there is, where none is known
        x = self.inverse(torch.where(where, value, inside))
        return x, std * (-self.log_slope(x)).exp(), where


@dataclass(frozen=True, eq=False)
class Scaled(Elementwise):
    """shift + scale · x, by the attributes that `_names` names."""

    @property
    @abstractmethod
    def _names(self) -> tuple[str, str]: ...

    def __post_init__(self) -> None:
        shift, scale = self._names
        checked(self, shift)
        checked(self, scale, positive=True)

    @property
    def affine(self) -> bool:
        return True

    @property
    def operator(self) -> Operator:
        def scaled(x: Tensor) -> Tensor:
            return lined(self, self._names[1], x) * x

        return Linear(scaled, scaled, (getattr(self, self._names[1]),))

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        x = require_tensor(self, x)
        shift, scale = (lined(self, name, x) for name in self._names)
        return torch.addcmul(shift, scale, x)

    def inverse(self, field: Any) -> Float[Tensor, "batch ..."]:
        field = require_tensor(self, field)
        shift, scale = (lined(self, name, field) for name in self._names)
        return (field - shift) / scale

    def log_slope(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "..."]:
        return lined(self, self._names[1], x).log()


@dataclass(frozen=True, eq=False)
class Standardised(Scaled):
    """field = mean + std · x: a model of standardised data.

    Attributes:
        mean: in the unit of the field; a number, or (variables,), (variables, levels), ... up to the field's own shape.
        std: likewise, positive.
    """

    mean: Field
    std: Field

    @property
    def _names(self) -> tuple[str, str]:
        return "mean", "std"

    @property
    def base(self) -> Any:
        """The field of x = 0."""
        return self.mean


@dataclass(frozen=True, eq=False)
class Residual(Scaled):
    """field = base + scale · x: a model of what is missing in a coarse or an earlier field.

    Attributes:
        base: in the unit of the field; a tensor of its shape, or the name of the condition that each sample's is.
        scale: the unit in which the model has the residual; a number or a field, positive.
    """

    base: Field
    scale: Field = 1.0

    @property
    def _names(self) -> tuple[str, str]:
        return "base", "scale"


@dataclass(frozen=True, eq=False)
class _Above(Elementwise):
    """Values above a bound."""

    low: Field = 0.0

    def __post_init__(self) -> None:
        checked(self, "low")


@dataclass(frozen=True, eq=False)
class Log(_Above):
    """field = low + exp x: values above a bound, of a model of their logarithms.

    Attributes:
        low: in the unit of the field.
    """

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return lined(self, "low", require_tensor(self, x)) + x.exp()

    def inverse(self, field: Any) -> Float[Tensor, "batch ..."]:
        return _above(self, field).log()

    def log_slope(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "..."]:
        return x


@dataclass(frozen=True, eq=False)
class Softplus(_Above):
    """field = low + log(1 + exp x): values above a bound, as they are where they lie far above it.

    Attributes:
        low: in the unit of the field.
    """

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return lined(self, "low", require_tensor(self, x)) - torch.nn.functional.logsigmoid(-x)

    def inverse(self, field: Any) -> Float[Tensor, "batch ..."]:
        above = _above(self, field)
        return above + (-(-above).expm1()).log()

    def log_slope(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "..."]:
        return torch.nn.functional.logsigmoid(x)


@dataclass(frozen=True, eq=False)
class Logit(Elementwise):
    """field = low + (high − low)/(1 + exp(−x)): values between two bounds.

    Attributes:
        low, high: in the unit of the field, low < high everywhere.
    """

    low: Field = 0.0
    high: Field = 1.0

    def __post_init__(self) -> None:
        checked(self, "low")
        checked(self, "high")

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return lined(self, "low", require_tensor(self, x)) + self._width(x) * x.sigmoid()

    def inverse(self, field: Any) -> Float[Tensor, "batch ..."]:
        width = self._width(require_tensor(self, field))
        above, below = _above(self, field), lined(self, "high", field) - field
        _require_inside(self, field, below > 0, "below", "high")
        return (above / width).log() - (below / width).log()

    def log_slope(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "..."]:
        sigmoid = torch.nn.functional.logsigmoid
        return self._width(x).log() + sigmoid(x) + sigmoid(-x)

    def _width(self, x: Tensor) -> Tensor:
        width = lined(self, "high", x) - lined(self, "low", x)
        if not bool((width > 0).all()):
            raise InputError(f"Logit: high must lie above low everywhere, found a difference of {width.min().item():g}")
        return width


def _above(map: Map, field: Any) -> Tensor:
    """How far a field lies above the lower bound."""
    above = require_tensor(map, field) - lined(map, "low", field)
    _require_inside(map, field, above > 0, "above", "low")
    return above


def _require_inside(map: Map, field: Tensor, inside: Tensor, side: str, bound: str) -> None:
    wrong = (~inside).nonzero()
    if len(wrong):
        place = tuple(wrong[0].tolist())
        least = lined(map, bound, field).broadcast_to(field.shape)[place].item()
        raise InputError(
            f"{map.name}: element {place} of the field is {field[place].item():g}, expected a number {side} {least:g}"
        )
