"""Windows that cover a field and overlap, and weights of them that sum to 1 everywhere: a partition of unity.

Along each axis windows are spread evenly, and the weight of each rises from its edges over the width of the overlap

    b(j) = sin² (π/2) min(1, (j + ½)/overlap),      weight_w(j) = b_w(j) / Σ_v b_v(j)

a raised cosine. An axis that ends has windows flush with its ends, where nothing rises; one that is periodic has
windows that go over its end, for which the field is unrolled by as much. Weights of several axes multiply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil, pi

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Tiles:
    """The windows along one axis.

    Attributes:
        length: of the axis.
        window: length of a window, at most that of the axis.
        overlap: of neighbouring windows, at least; less than a window.
        wraps: whether windows go over the end of the axis, which is periodic.
    """

    length: int
    window: int
    overlap: int
    wraps: bool = False

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Of the windows."""
        stride = self.window - self.overlap
        if self.wraps:
            count = ceil(self.length / stride)
            return tuple(k * self.length // count for k in range(count))
        count = 1 + ceil((self.length - self.window) / stride)
        return tuple(round(k * (self.length - self.window) / max(count - 1, 1)) for k in range(count))

    @property
    def cut(self) -> bool:
        """Whether there is more than one window."""
        return len(self.starts) > 1

    @property
    def extent(self) -> int:
        """Length of the axis with what windows see of it a second time beyond its end."""
        return max(self.length, self.starts[-1] + self.window)

    @cached_property
    def weights(self) -> Float[Tensor, "windows window"]:
        """Of each element of each window, float64."""
        place = torch.arange(self.window, dtype=torch.float64)
        rise, index = self._risen(place + 0.5), torch.tensor(self.starts)[:, None] + place.long()
        bumps = (rise * rise.flip(0)).repeat(len(self.starts), 1)
        if not self.wraps:
            bumps[0], bumps[-1] = rise.flip(0), rise
        bumps = bumps if self.cut else torch.ones_like(bumps)
        total = torch.zeros(self.length, dtype=torch.float64)
        total.index_add_(0, (index % self.length).flatten(), bumps.flatten())
        return bumps / total[index % self.length]

    def _risen(self, distance: Tensor) -> Tensor:
        """How far the weight has risen at a distance from an edge."""
        if not self.overlap:
            return torch.ones_like(distance)
        return (pi / 2 * (distance / self.overlap).clamp(max=1)).sin() ** 2

    @property
    def jumps(self) -> tuple[Bool[Tensor, " length"], Bool[Tensor, " length"]]:
        """The elements before which a window starts or one has ended, and all others that have one before them."""
        edges = set(self.starts) | {start + self.window for start in self.starts}
        at_edge = torch.zeros(self.length, dtype=torch.bool)
        at_edge[[edge % self.length for edge in edges]] = True
        if self.wraps:
            return at_edge, ~at_edge
        at_edge[0] = False
        others = ~at_edge
        others[0] = False
        return at_edge, others


@dataclass(frozen=True)
class Tiling:
    """The windows of an event: one of each axis.

    All that is cut lines up with the event from the left, (batch, *event): what has fewer axes, or is 1 long on one,
    is the same there for all windows.

    Attributes:
        axes: of the event, channels included, which have one window.
    """

    axes: tuple[Tiles, ...]

    @cached_property
    def windows(self) -> tuple[tuple[int, ...], ...]:
        """Which window of each axis."""
        return tuple(product(*(range(len(axis.starts)) for axis in self.axes)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the event."""
        return tuple(axis.length for axis in self.axes)

    @property
    def window(self) -> tuple[int, ...]:
        """Shape of a window."""
        return tuple(axis.window for axis in self.axes)

    @property
    def cut(self) -> list[int]:
        """Axes along which there is more than one window."""
        return [place for place, axis in enumerate(self.axes) if axis.cut]

    def unrolled(self, x: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "batch ..."]:
        """With the beginning once more beyond the end of axes where windows go over it."""
        for place, axis in enumerate(self.axes, 1):
            if axis.extent > axis.length and x.ndim > place and x.shape[place] == axis.length:
                x = torch.cat([x, x.narrow(place, 0, axis.extent - axis.length)], place)
        return x

    def folded(self, total: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The adjoint of `unrolled`."""
        for place, axis in enumerate(self.axes, 1):
            beyond = axis.extent - axis.length
            if beyond:
                again = total.narrow(place, 0, beyond) + total.narrow(place, axis.length, beyond)
                total = torch.cat([again, total.narrow(place, beyond, axis.length - beyond)], place)
        return total

    def taken(self, unrolled: Shaped[Tensor, "batch ..."], window: Sequence[int]) -> Shaped[Tensor, "batch ..."]:
        """What a window sees, a view."""
        for place, (axis, k) in enumerate(zip(self.axes, window, strict=True), 1):
            if axis.cut and unrolled.ndim > place and unrolled.shape[place] == axis.extent:
                unrolled = unrolled.narrow(place, axis.starts[k], axis.window)
        return unrolled

    def weighted(
        self, x: Float[Tensor, "batch ..."], window: Sequence[int], power: float = 1.0
    ) -> Float[Tensor, "batch ..."]:
        """Values in a window times its weights to a power."""
        for place, (axis, k) in enumerate(zip(self.axes, window, strict=True), 1):
            if axis.cut:
                x = x * (axis.weights[k] ** power).to(x).reshape(-1, *[1] * (x.ndim - 1 - place))
        return x

    def nothing(self, like: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Zeros for the unrolled event; like: values in a window, which may have axes after those of the event."""
        return like.new_zeros(len(like), *(axis.extent for axis in self.axes), *like.shape[1 + len(self.axes) :])
