"""Fourier transforms."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .base import Operator


@dataclass(frozen=True)
class Fourier(Operator):
    """The orthonormal Fourier transform of the last two axes, its real and imaginary parts along a new last axis."""

    def __call__(self, x: Float[Tensor, "batch ... h w"]) -> Float[Tensor, "batch ... h w 2"]:
        return torch.view_as_real(torch.fft.fft2(x, norm="ortho"))

    def adjoint(self, y: Float[Tensor, "batch ... h w 2"]) -> Float[Tensor, "batch ... h w"]:
        return torch.fft.ifft2(torch.view_as_complex(y.contiguous()), norm="ortho").real
