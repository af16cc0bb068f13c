"""Convolutions of fields."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from ...errors import InputError
from ..values import Numbers, as_numbers
from .base import Operator


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
