"""Coarser and finer grids."""

from dataclasses import dataclass

from einops import reduce, repeat
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from .base import Operator, misfit


@dataclass(frozen=True)
class Downsample(Operator):
    """Means over blocks of size × size in the last two axes: super-resolution."""

    size: int

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise InputError(f"Coarse: size is {self.size}, expected a number of pixels a block's side, 1 or more")

    def __call__(self, x: Float[Tensor, "batch ... h w"]) -> Float[Tensor, "batch ... h2 w2"]:
        if x.ndim < 3 or any(side % self.size for side in x.shape[-2:]):
            raise misfit(f"Coarse({self.size}), whose blocks must divide the last two axes,", x)
        return reduce(x, "... (h i) (w j) -> ... h w", "mean", i=self.size, j=self.size)

    def adjoint(self, y: Float[Tensor, "batch ... h2 w2"]) -> Float[Tensor, "batch ... h w"]:
        return repeat(y, "... h w -> ... (h i) (w j)", i=self.size, j=self.size) / self.size**2
