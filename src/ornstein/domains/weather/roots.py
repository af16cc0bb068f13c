"""From u to what is measured: u², or u, and 0 where u is below 0, of what is never negative."""

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
    """field = max(u, 0)² of some channels, max(u, 0) of some, u of the others.

    Values of u below 0 have the same field, 0: `inverse` gives 0 of them, and densities are of fields above 0.

    Attributes:
        positive: of each channel, whether it is the square.
        bounded: of each channel, whether it is u, but not below 0; none, if not said.
    """

    positive: tuple[bool, ...]
    bounded: tuple[bool, ...] = ()

    def __call__(self, x: Float[Tensor, "batch c *grid"]) -> Float[Tensor, "batch c *grid"]:
        squared, bounded = self._which(x)
        above = torch.where(squared | bounded, x.clamp(min=0), x)
        return torch.where(squared, above**2, above)

    def inverse(self, field: Any) -> Float[Tensor, "batch c *grid"]:
        squared, bounded = self._which(field)
        below = (field < 0) & (squared | bounded)
        if bool(below.any()):
            raise InputError(f"Roots: a field is {field[below][0].item():g}, expected 0 or more")
        return torch.where(squared, field.clamp(min=0).sqrt(), field)

    def log_slope(self, x: Float[Tensor, "batch c *grid"]) -> Float[Tensor, "..."]:
        squared, bounded = self._which(x)
        slope = torch.where(squared, 2 * x.clamp(min=0), torch.ones_like(x))
        return torch.where(bounded & (x < 0), torch.zeros_like(x), slope).log()

    def _which(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The attributes with the axes of x."""
        flags = (self.positive, self.bounded or (False,) * len(self.positive))
        if any(len(one) != x.shape[1] for one in flags):
            raise InputError(f"Roots: of {len(self.positive)} channels, found {x.shape[1]}")
        squared, bounded = (torch.tensor(one, device=x.device).reshape(-1, *(1,) * (x.ndim - 2)) for one in flags)
        return squared, bounded


def to_u(map: Map) -> Map | None:
    """A map to u: without the squares that it ends in, if it does; None where nothing is left.

    Args:
        map: of a model.
    """
    if isinstance(map, Roots):
        return None
    return map.inner if isinstance(map, Composed) and isinstance(map.outer, Roots) else map
