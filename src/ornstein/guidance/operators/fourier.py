"""Orthonormal Fourier transforms F, with F⁻¹ = Fᴴ.

The adjoint of the half of a spectrum that a real field needs is not its inverse: with R the choice of that half,
(R F)ᵀ y = Re(Fᴴ Rᵀ y), in which the frequencies that stand for two count once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from ...errors import InputError
from .base import (
    Operator,
    as_complex,
    axis_of,
    once,
    real_part,
    require_axes,
    require_event,
    require_flag,
    require_inexact,
    require_real,
)


@dataclass(frozen=True)
class Fourier(Operator):
    """The orthonormal Fourier transform of some axes.

    Attributes:
        axes: of the event that are transformed, counted from its first (0, …) or its last (−1, …).
        complex: fields and spectra are complex numbers. If not, fields are real, and the real and imaginary parts of
            their spectra stand along a new last axis.
        centered: the origin of fields and spectra is their middle, element n // 2, not their first element.
    """

    axes: int | Sequence[int] = (-2, -1)
    complex: bool = False
    centered: bool = False

    def __post_init__(self) -> None:
        axes = self._axes
        if not axes or not all(isinstance(axis, int) for axis in axes) or len(set(axes)) < len(axes):
            raise InputError(f"Fourier: axes is {self.axes!r}, expected axes of an event, each once, such as (-2, -1)")
        require_flag("Fourier", complex=self.complex, centered=self.centered)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        if self.complex:
            return self._transformed(torch.fft.fftn, x)
        require_real("Fourier()", x, "Fourier(complex=True)")
        return torch.view_as_real(self._transformed(torch.fft.fftn, x))

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        if self.complex:
            return self._transformed(torch.fft.ifftn, y)
        require_axes("the adjoint of Fourier()", y, (2,))
        return self._transformed(torch.fft.ifftn, torch.view_as_complex(real_part(y).contiguous())).real

    def normal(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return as_complex(x) if self.complex else x

    @property
    def _axes(self) -> tuple[int, ...]:
        return (self.axes,) if isinstance(self.axes, int) else tuple(self.axes)

    def _transformed(self, transform: Any, x: Tensor) -> Tensor:
        require_inexact("Fourier", x)
        axes = [axis_of("Fourier", axis, x.ndim) for axis in self._axes]
        if len(set(axes)) < len(axes):
            raise InputError(f"Fourier: axes {self.axes} of events of shape {tuple(x.shape[1:])} are one axis twice")
        if not self.centered:
            return transform(x, dim=axes, norm="ortho")
        return torch.fft.fftshift(transform(torch.fft.ifftshift(x, axes), dim=axes, norm="ortho"), axes)


@dataclass(frozen=True)
class RealFourier(Operator):
    """The half of the orthonormal Fourier transform that a real field needs, of its last axes, as complex numbers.

    Attributes:
        shape: of the axes that are transformed; the last has n // 2 + 1 frequencies in place of n.
    """

    shape: Sequence[int]
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_event("RealFourier", self.shape)
        if not self.shape:
            raise InputError("RealFourier: shape is (), expected that of one axis or more")
        object.__setattr__(self, "shape", tuple(self.shape))

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_real("RealFourier", x, "Fourier(complex=True)")
        require_axes("RealFourier", x, self.shape)
        return torch.fft.rfftn(x, dim=self._axes, norm="ortho")

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        half = (*self.shape[:-1], self.shape[-1] // 2 + 1)
        require_axes("the adjoint of RealFourier", y, half)
        y = as_complex(y)
        if len(half) > 1:
            y = torch.fft.ifftn(y, dim=self._axes[:-1], norm="ortho")
        parts = torch.view_as_real(y.resolve_conj())
        weights = once(self._kept, (parts.dtype, parts.device), lambda: self._weights().to(parts))
        return torch.fft.irfft(torch.view_as_complex(parts * weights), self.shape[-1], norm="ortho")

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.shape), 0))

    def _weights(self) -> Tensor:
        """Of the real and imaginary parts: those of a frequency that is its own mirror image are its real part."""
        size = self.shape[-1]
        weights = torch.full((size // 2 + 1, 2), 0.5)
        weights[[0, size // 2] if size % 2 == 0 else [0]] = torch.tensor([1.0, 0.0])
        return weights
