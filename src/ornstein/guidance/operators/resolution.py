"""Coarser and finer grids, and grids with more or fewer cells at their edges."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...errors import InputError
from ...spectral.borders import Border, borders_of, each_axis, extended, folded, require_reach
from ...values import Numbers, as_places
from .base import Operator, matched, misfit, once, require_axes, require_inexact


@dataclass(frozen=True, eq=False)
class Downsample(Operator):
    """Means over blocks of cells of the last axes: super-resolution, coarse models, averages over areas.

    Attributes:
        size: cells of a block along each of its axes, the event's last, (2, 3); one number for the last two.
        weights: of the cells in their block's mean, such as their areas, ≥ 0; broadcasts against those axes: (h, 1) is
            one a row. Equal if not given.
    """

    size: int | Sequence[int]
    weights: Numbers | None = None
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        require_sizes("Downsample", self.size)
        if self.weights is None:
            return
        weights = as_places(self.weights, "Downsample: weights")
        if weights.ndim != len(self._sizes) or bool((weights < 0).any()):
            raise InputError(
                f"Downsample: weights have the shape {tuple(weights.shape)} and are {float(weights.min())} at the "
                f"least, expected {len(self._sizes)} axes, as of blocks of {self._sizes}, and numbers ≥ 0"
            )
        object.__setattr__(self, "weights", weights)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        sizes = self._sizes
        require_inexact("Downsample", x)
        if x.ndim <= len(sizes) or any(n % size for n, size in zip(x.shape[-len(sizes) :], sizes, strict=True)):
            who = f"Downsample({self.size}), whose blocks must divide the last {len(sizes)} axes,"
            raise misfit(who, x, f"multiples of {sizes}")
        if self.weights is None:
            return _sums(x, sizes) / torch.Size(sizes).numel()
        return _sums(x * self._shares(x), sizes)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("the adjoint of Downsample", y, ("h",) * len(self._sizes))
        x = _repeated(y, self._sizes)
        return x / torch.Size(self._sizes).numel() if self.weights is None else x * self._shares(x)

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (self.size,) * 2 if isinstance(self.size, int) else tuple(self.size)

    def _shares(self, x: Tensor) -> Tensor:
        """Of each cell in its block's mean."""
        shape, own = x.shape[-len(self._sizes) :], torch.as_tensor(self.weights)

        def make() -> Tensor:
            if any(known not in (1, n) for known, n in zip(own.shape, shape, strict=True)):
                raise misfit("Downsample", x, f"last axes as of its weights, {tuple(own.shape)}")
            weights = own.expand(shape)
            sums = _sums(weights[None], self._sizes)
            if bool((sums == 0).any()):
                place = tuple((sums[0] == 0).nonzero()[0].tolist())
                raise InputError(f"Downsample: the weights of block {place} are all 0, expected a positive sum")
            return matched((weights / _repeated(sums, self._sizes))[0], x)

        return once(self._kept, (shape, x.device, torch.finfo(x.dtype).bits), make, own)


@dataclass(frozen=True)
class Upsample(Operator):
    """Every cell as a block of cells of its value, in the last axes.

    Attributes:
        size: cells of a block along each of its axes, the event's last; one number for the last two.
    """

    size: int | Sequence[int]

    def __post_init__(self) -> None:
        require_sizes("Upsample", self.size)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("Upsample", x, ("h",) * len(self._sizes))
        return _repeated(x, self._sizes)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        sizes = self._sizes
        if y.ndim <= len(sizes) or any(n % size for n, size in zip(y.shape[-len(sizes) :], sizes, strict=True)):
            raise misfit(f"the adjoint of Upsample({self.size})", y, f"multiples of {sizes} as its last axes")
        return _sums(y, sizes)

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (self.size,) * 2 if isinstance(self.size, int) else tuple(self.size)


@dataclass(frozen=True)
class Pad(Operator):
    """A field with more cells before and after it along its last axes.

    Attributes:
        widths: cells (before, after) for each of the last axes, ((1, 1), (0, 2)).
        borders: what they hold: "zero", "periodic", "reflect" or "symmetric"; one word, or one an axis.
    """

    widths: Sequence[tuple[int, int]]
    borders: str | Sequence[str] = "zero"

    def __post_init__(self) -> None:
        require_widths("Pad", self.widths)
        borders_of("Pad", self.borders, len(self.widths))

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_axes("Pad", x, ("h",) * len(self.widths))
        for axis, (before, after), border in self._each:
            require_reach("Pad", x.shape[axis], before, after, border)
            x = extended(x, axis % x.ndim, before, after, border)
        return x

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_wider("the adjoint of Pad", y, self.widths)
        for axis, (before, after), border in self._each:
            require_reach("the adjoint of Pad", y.shape[axis] - before - after, before, after, border)
            y = folded(y, axis % y.ndim, before, after, border)
        return y

    @property
    def _each(self) -> list[tuple[int, tuple[int, int], Border]]:
        count = len(self.widths)
        return list(zip(range(-count, 0), self.widths, borders_of("Pad", self.borders, count), strict=True))


@dataclass(frozen=True)
class Crop(Operator):
    """A field without the cells at the ends of its last axes.

    Attributes:
        widths: cells (before, after) that go from each of the last axes, ((1, 1), (0, 2)).
    """

    widths: Sequence[tuple[int, int]]

    def __post_init__(self) -> None:
        require_widths("Crop", self.widths)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        require_wider("Crop", x, self.widths)
        return Pad(self.widths).adjoint(x)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        return Pad(self.widths)(y)


def require_sizes(who: str, size: Any) -> None:
    """InputError unless it is a number of cells, or one an axis."""
    sizes = each_axis(who, "size", size, len(size) if isinstance(size, Sequence) else 1)
    if not sizes or not all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in sizes):
        raise InputError(
            f"{who}: size is {size}, expected a number of pixels a block's side, 1 or more, or one an axis"
        )


def require_widths(who: str, widths: Any) -> None:
    """InputError unless it says how many cells, before and after, for each of some axes."""
    pairs = isinstance(widths, Sequence) and all(isinstance(pair, Sequence) and len(pair) == 2 for pair in widths)
    if not pairs or not widths or not all(isinstance(w, int) and w >= 0 for pair in widths for w in pair):
        raise InputError(f"{who}: widths is {widths!r}, expected cells (before, after) for each axis: ((1, 1), (0, 2))")


def require_wider(who: str, x: Tensor, widths: Sequence[tuple[int, int]]) -> None:
    """InputError unless something is left of the last axes without so many cells."""
    require_axes(who, x, ("h",) * len(widths))
    if any(n <= sum(pair) for n, pair in zip(x.shape[-len(widths) :], widths, strict=True)):
        raise misfit(f"{who} of {tuple(widths)} cells", x, "last axes that are longer")


def _sums(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Over blocks of the last axes."""
    for axis, size in zip(range(x.ndim - len(sizes), x.ndim), sizes, strict=True):
        x = x.unflatten(axis, (-1, size)).sum(axis + 1) if size > 1 else x
    return x


def _repeated(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Every cell of the last axes so many times."""
    for axis, size in zip(range(x.ndim - len(sizes), x.ndim), sizes, strict=True):
        x = x.repeat_interleave(size, axis) if size > 1 else x
    return x
