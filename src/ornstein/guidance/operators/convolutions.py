"""Convolutions by Fourier transforms, (k ∗ x)ᵢ = Σⱼ kⱼ xᵢ₋ⱼ, j = 0 at the middle of the kernel.

With E what lies beyond the edges (spectral/borders.py), C the circular convolution of the longer axes and P the choice
of what belongs to the field, A = P C E and Aᵀ = Eᵀ Cᴴ Pᵀ to rounding. Transforms cost the same whatever the kernel's
size, and on processors are faster than sums even for kernels of 3 × 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...deferred import deferred
from ...errors import InputError
from ...spectral.borders import Border, borders_of, extended, folded, require_reach
from ...values import Numbers, as_field, as_numbers
from .base import Operator, matched, once, require_axes, require_flag, require_samples

scipy_fft: Any = deferred("scipy.fft")

_MIRRORED = ("reflect", "symmetric")


@dataclass(frozen=True, eq=False)
class Convolution(Operator):
    """The convolution of the last axes of a field with a kernel, a point of which becomes the kernel.

    Attributes:
        kernel: real or complex numbers, of odd sides; as many axes as are convolved.
        borders: what lies beyond the edges: "zero", "periodic", "reflect" or "symmetric"; one word, or one an axis.
        per_sample: `kernel` has a batch axis before all others, a kernel for each sample.
    """

    kernel: Numbers
    borders: str | Sequence[str] = "zero"
    per_sample: bool = False
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)

    name: ClassVar[str] = "Convolution"

    def __post_init__(self) -> None:
        require_flag("Convolution", per_sample=self.per_sample)
        object.__setattr__(self, "kernel", as_field(self.kernel, "Convolution: kernel"))
        sides = self._sides
        if not sides or not all(side % 2 for side in sides):
            raise InputError(f"Convolution: kernel has the shape {tuple(self.kernel.shape)}, expected odd sides")
        self._words()

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        self._require(self.name, x)
        shape = x.shape[x.ndim - len(self._sides) :]
        for axis, reach, border in self._mirrored(x):
            x = extended(x, axis, reach, reach, border)
        return self._chosen(self._circular(x, shape, conjugate=False), shape, outer=False)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        self._require(f"the adjoint of {self.name}", y)
        shape = y.shape[y.ndim - len(self._sides) :]
        for axis, reach, _ in self._mirrored(y):
            y = extended(y, axis, reach, reach, "zero")
        x = self._chosen(self._circular(y, shape, conjugate=True), shape, outer=True)
        for axis, reach, border in self._mirrored(x):
            x = folded(x, axis, reach, reach, border)
        return x

    @property
    def samples(self) -> int | None:
        return len(self.kernel) if self.per_sample else None

    def _taken(self, index: Any) -> Operator:
        return replace(self, kernel=self.kernel[index])

    @property
    def _sides(self) -> tuple[int, ...]:
        return tuple(self.kernel.shape[int(self.per_sample) :])

    def _mirrored(self, x: Tensor) -> list[tuple[int, int, Border]]:
        """The axes of a batch that are mirrored at their ends, how far, and how."""
        each = zip(range(x.ndim - len(self._sides), x.ndim), self._sides, self._words(), strict=True)
        return [(axis, side // 2, border) for axis, side, border in each if border in _MIRRORED]

    def _words(self) -> tuple[Border, ...]:
        return borders_of(self.name, self.borders, len(self._sides))

    def _chosen(self, x: Tensor, shape: torch.Size, outer: bool) -> Tensor:
        """What belongs to the field, or to the field with its mirrored ends."""
        for axis, size in zip(range(x.ndim - len(shape), x.ndim), shape, strict=True):
            reach = next((reach for place, reach, _ in self._mirrored(x) if place == axis), 0)
            x = x.narrow(axis, 0, size + 2 * reach) if outer else x.narrow(axis, reach, size)
        return x

    def _circular(self, x: Tensor, shape: torch.Size, conjugate: bool) -> Tensor:
        """The circular convolution with the kernel, or its adjoint, of axes made long enough by zeros."""
        axes = tuple(range(-len(shape), 0))
        sizes = [self._length(*of) for of in zip(shape, self._sides, self._words(), strict=True)]
        real = not x.is_complex() and not self.kernel.is_complex()
        forward, backward = (torch.fft.rfftn, torch.fft.irfftn) if real else (torch.fft.fftn, torch.fft.ifftn)
        waves = forward(x, s=sizes, dim=axes)
        spectrum = self._spectrum(sizes, real, conjugate, x)
        spectrum = spectrum.reshape(len(spectrum), *(1,) * (x.ndim - spectrum.ndim), *spectrum.shape[1:])
        return backward(waves.mul_(spectrum), s=sizes, dim=axes)

    def _length(self, size: int, side: int, border: str) -> int:
        """Of the transforms: where nothing wraps around that should not."""
        if border == "periodic":
            return size
        reach = side // 2
        return int(scipy_fft.next_fast_len(size + (reach if border == "zero" else 2 * reach), real=True) or 0)

    def _spectrum(self, sizes: list[int], real: bool, conjugate: bool, like: Tensor) -> Tensor:
        """The transform of the kernel, its middle at the origin, or the conjugate: one for all samples or one each."""

        def make() -> Tensor:
            kernel = self.kernel if self.per_sample else self.kernel[None]
            placed = _wrapped(kernel.to(torch.complex128 if kernel.is_complex() else torch.float64), sizes)
            axes = tuple(range(1, placed.ndim))
            spectrum = torch.fft.rfftn(placed, dim=axes) if real else torch.fft.fftn(placed, dim=axes)
            return matched(spectrum.conj().resolve_conj() if conjugate else spectrum, like)

        return once(self._kept, (*sizes, real, conjugate, like.device, torch.finfo(like.dtype).bits), make, self.kernel)

    def _require(self, who: str, x: Tensor) -> None:
        require_samples(who, self.samples, x)
        require_axes(f"{who} with a kernel of shape {self._sides}", x, tuple("dhw"[-len(self._sides) :]))
        for axis, reach, border in self._mirrored(x):
            require_reach(who, x.shape[axis], reach, reach, border)


def _wrapped(kernel: Tensor, sizes: list[int]) -> Tensor:
    """The kernel around the origin of circular axes, which may be shorter than it."""
    for axis, size in enumerate(sizes, 1):
        side = kernel.shape[axis]
        places = (torch.arange(side, device=kernel.device) - side // 2) % size
        shape = (*kernel.shape[:axis], size, *kernel.shape[axis + 1 :])
        kernel = kernel.new_zeros(shape).index_add(axis, places, kernel)
    return kernel


class _Window(Convolution):
    name: ClassVar[str] = "Blur"


@dataclass(frozen=True, eq=False)
class Blur(Operator):
    """Every channel seen through a window of odd sides, (a, b); nothing lies beyond the edges.

    yᵢ = Σⱼ kernelⱼ xᵢ₊ⱼ, the convolution with the kernel turned by half a turn (the same for symmetric kernels).
    """

    kernel: Numbers
    _turned: Convolution = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", as_numbers(self.kernel, "Blur: kernel"))
        if self.kernel.ndim != 2 or not all(side % 2 for side in self.kernel.shape):
            raise InputError(f"Blur: kernel has the shape {tuple(self.kernel.shape)}, expected two odd sides")
        object.__setattr__(self, "_turned", _Window(self.kernel.flip(0, 1)))

    @classmethod
    def gaussian(cls, std: float, reach: float = 3.0) -> "Blur":
        """A normal kernel of width `std` pixels, cut at `reach` widths, of sum 1."""
        if not std > 0:
            raise InputError(f"Blur.gaussian: std is {std}, expected a positive number of pixels")
        radius = max(1, round(reach * std))
        line = torch.arange(-radius, radius + 1, dtype=torch.float64)
        kernel = torch.outer(*[(-0.5 * (line / std) ** 2).exp()] * 2)
        return cls(kernel / kernel.sum())

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self._turned(x)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return self._turned.adjoint(y)
