"""Orthonormal bases of fields: stationary noise and constant coefficients are diagonal in them.

    c = Uᵀ x,      x = U c,      |c| = |x|

All are real. A word an axis says what lies beyond its borders:

    fourier   itself again: cas 2πkj/n, cas = cos + sin (Hartley 1942), over all such axes jointly
    sine      0, one grid point further: sin π(k + 1)(j + 1)/(n + 1) (DST-I)
    cosine    its mirror image, half a step further: cos πk(2j + 1)/2n (DCT-II)
    sine-cosine   0 a step below the first, a mirror half a step above the last: sin π(2k + 1)(j + 1)/(2n + 1) (DST-VII)
    cosine-sine   the other way round: a mirror below, 0 above
    pixels    nothing is asked: the values themselves
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from math import pi, prod
from numbers import Integral
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..values import Numbers, as_constants, is_number, require_whole

Axis = Literal["fourier", "sine", "cosine", "sine-cosine", "cosine-sine", "pixels"]
AXES: tuple[str, ...] = get_args(Axis)


class Basis(ABC):
    """An orthonormal basis of events, sample by sample."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The coefficients of x, of its shape."""

    @abstractmethod
    def inverse(self, coefficients: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The field with these coefficients."""

    @abstractmethod
    def require_fit(self, shape: Sequence[int]) -> None:
        """InputError if events of this shape have no such basis."""

    @abstractmethod
    def same(self, other: "Basis") -> bool:
        """Whether what is diagonal in one is diagonal in the other."""


@dataclass(frozen=True)
class Separable(Basis):
    """Waves along the last axes of an event, one word an axis; axes before them (channels) stay as they are.

    Attributes:
        axes: words of `AXES`, the last one for the last axis; none = the values themselves.
    """

    axes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.axes, str) or not isinstance(self.axes, Sequence):
            raise InputError(f"basis: axes are {self.axes!r}, expected a word an axis, such as ('fourier', 'fourier')")
        object.__setattr__(self, "axes", tuple(self.axes))
        for word in self.axes:
            if word not in AXES:
                raise InputError(f"basis: axis {word!r} is unknown, expected one of {', '.join(AXES)}")

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self._turned(x, transpose=False)

    def inverse(self, coefficients: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self._turned(coefficients, transpose=True)

    def require_fit(self, shape: Sequence[int]) -> None:
        require_sizes(shape)
        if len(shape) < len(self.axes):
            raise InputError(f"a basis of the axes {self.axes} does not fit events of shape {tuple(shape)}")

    def same(self, other: Basis) -> bool:
        return isinstance(other, Separable) and self._waves() == other._waves()

    def frequencies(self, shape: Sequence[int]) -> Float[Tensor, "..."]:
        """|k| of each coefficient in cycles a grid step, float64, of the event's shape; pixels and channels count as 0.

        Args:
            shape: of one event.
        """
        self.require_fit(shape)
        square = torch.zeros(tuple(shape), dtype=torch.float64)
        for place, word in enumerate(self.axes, start=-len(self.axes)):
            k = _frequencies(word, shape[place])
            square = square + (k**2).reshape(-1, *[1] * (-1 - place))
        return square.sqrt()

    def _turned(self, x: Tensor, transpose: bool) -> Tensor:
        if x.ndim <= len(self.axes):
            raise InputError(f"a basis of the axes {self.axes} does not fit events of shape {tuple(x.shape[1:])}")
        if x.dtype in (torch.half, torch.bfloat16):  # which have no Fourier transform
            return self._turned(x.float(), transpose).to(x.dtype)
        places = list(enumerate(self.axes, start=-len(self.axes)))
        periodic = [place for place, word in places if word == "fourier"]
        if periodic:
            waves = torch.fft.fftn(x, dim=periodic, norm="ortho")
            x = waves.real - waves.imag
        for place, word in places:
            if word not in ("fourier", "pixels"):
                matrix = _matrix(word, x.shape[place], x.dtype, x.device)
                x = _along(matrix.T if transpose else matrix, x, place)
        return x

    def _waves(self) -> tuple[str, ...]:
        """The words without leading pixels, which change nothing."""
        first = next((k for k, word in enumerate(self.axes) if word != "pixels"), len(self.axes))
        return self.axes[first:]


@dataclass(frozen=True, eq=False)
class Orthogonal(Basis):
    """Any orthonormal basis over the flattened event, such as the empirical orthogonal functions of data.

    Attributes:
        matrix: a basis vector a column, (d, d).
    """

    matrix: Numbers

    def __post_init__(self) -> None:
        matrix = as_constants(self.matrix, "basis: matrix").double()
        object.__setattr__(self, "matrix", matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
            raise InputError(f"basis: the matrix has the shape {tuple(matrix.shape)}, expected d columns of d")
        off = float((matrix.double().T @ matrix.double() - torch.eye(len(matrix)).double()).abs().max())
        if off > 1e-4:
            raise InputError(f"basis: the columns of the matrix are not orthonormal: UᵀU − 1 is up to {off:.1e}")

    def __repr__(self) -> str:
        return f"Orthogonal({len(self.matrix)} vectors)"

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        self.require_fit(x.shape[1:])
        return _product(x.flatten(1), self.matrix.to(x)).reshape(x.shape)

    def inverse(self, coefficients: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        self.require_fit(coefficients.shape[1:])
        return _product(coefficients.flatten(1), self.matrix.to(coefficients).T).reshape(coefficients.shape)

    def require_fit(self, shape: Sequence[int]) -> None:
        require_sizes(shape)
        if prod(shape) != len(self.matrix):
            raise InputError(f"a basis of {len(self.matrix)} vectors does not fit events of shape {tuple(shape)}")

    def same(self, other: Basis) -> bool:
        return isinstance(other, Orthogonal) and self.matrix.equal(other.matrix)


PIXELS = Separable()
"""The values themselves."""


def periodic(axes: int = 2) -> Separable:
    """Waves along so many last axes, each of them periodic."""
    require_whole("periodic: axes", axes, 1)
    return Separable(("fourier",) * axes)


def require_basis(basis: Any) -> None:
    """InputError unless it is one.

    Args:
        basis: what should be a `Basis`.
    """
    if not isinstance(basis, Basis):
        raise InputError(f"basis is a {type(basis).__name__}, expected Separable(axes) or Orthogonal(matrix)")


def require_sizes(shape: Any) -> None:
    """InputError unless it is the shape of an event: whole positive numbers."""
    sizes = shape if isinstance(shape, Sequence) and not isinstance(shape, str) else [None]
    if not all(is_number(n) and isinstance(n, Integral) and int(n) > 0 for n in sizes):
        raise InputError(f"the shape of an event is {shape!r}, expected whole positive numbers, one an axis")


def _along(matrix: Float[Tensor, "n n"], x: Tensor, place: int) -> Tensor:
    """The matrix times x along one axis."""
    return _product(x.transpose(place, -1), matrix.T).transpose(place, -1)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a b in their own precision, also where a network's products may be coarse: spectra span many orders."""
    kind = a.device.type
    with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
        return a @ b


def _frequencies(word: str, n: int) -> Float[Tensor, " n"]:
    k = torch.arange(n, dtype=torch.float64)
    match word:
        case "fourier":
            return torch.fft.fftfreq(n, dtype=torch.float64)
        case "sine":
            return (k + 1) / (2 * (n + 1))
        case "cosine":
            return k / (2 * n)
        case "sine-cosine" | "cosine-sine":
            return (2 * k + 1) / (2 * (2 * n + 1))
        case _:
            return 0 * k


@lru_cache(maxsize=64)
def _matrix(word: str, n: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "n n"]:
    """Waves of an axis, a row a frequency."""
    k, j = (torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None])
    match word:
        case "sine":
            waves = (2 / (n + 1)) ** 0.5 * (pi * (k + 1) * (j + 1) / (n + 1)).sin()
        case "cosine":
            waves = (2 / n) ** 0.5 * (pi * k * (2 * j + 1) / (2 * n)).cos()
            waves[0] *= 0.5**0.5
        case _:
            step = j + 1 if word == "sine-cosine" else n - j  # from the border where it is 0
            waves = 2 / (2 * n + 1) ** 0.5 * (pi * (2 * k + 1) * step / (2 * n + 1)).sin()
    return waves.to(dtype).to(device)
