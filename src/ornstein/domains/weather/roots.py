"""From u to what is measured: a variable that is never negative is the square of u, and 0 where u is below 0."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...denoisers.maps import Composed, Map
from ...errors import InputError
from ...guidance.maps import Elementwise


@dataclass(frozen=True, eq=False)
class Roots(Elementwise):
    """field = max(u, 0)² of some channels, u of the others.

    Values of u below 0 have the same field, 0: `inverse` gives 0 of them, and densities are of fields above 0.

    Attributes:
        positive: of each channel, whether it is never negative.
    """

    positive: tuple[bool, ...]

    def __call__(self, x: Float[Tensor, "batch c *grid"]) -> Float[Tensor, "batch c *grid"]:
        return torch.where(self._which(x), x.clamp(min=0) ** 2, x)

    def inverse(self, field: Any) -> Float[Tensor, "batch c *grid"]:
        which = self._which(field)
        if bool(((field < 0) & which).any()):
            raise InputError(f"Roots: a field is {field[(field < 0) & which][0].item():g}, expected 0 or more")
        return torch.where(which, field.clamp(min=0).sqrt(), field)

    def log_slope(self, x: Float[Tensor, "batch c *grid"]) -> Float[Tensor, "..."]:
        return torch.where(self._which(x), (2 * x.clamp(min=0)).log(), torch.zeros_like(x))

    def _which(self, x: Tensor) -> Tensor:
        if len(self.positive) != x.shape[1]:
            raise InputError(f"Roots: of {len(self.positive)} channels, found {x.shape[1]}")
        return torch.tensor(self.positive, device=x.device).reshape(-1, *(1,) * (x.ndim - 2))


def to_u(map: Map) -> Map | None:
    """A map to u: without the squares that it ends in, if it does; None where nothing is left.

    Args:
        map: of a model.
    """
    if isinstance(map, Roots):
        return None
    return map.inner if isinstance(map, Composed) and isinstance(map.outer, Roots) else map
