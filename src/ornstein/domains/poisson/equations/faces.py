"""Whole fields with their values on Neumann sides, half a step outside of the unknowns, for sensors near such sides."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ....guidance.operators import Operator


@dataclass(frozen=True)
class Faces(Operator):
    """One more value at some ends of the last axes, on the line through the two that come first there:

        φ_face = φ_0 + (φ_0 − φ_1)/2,    of a single unknown φ_0

    Attributes:
        ends: whether there is one (before, after) each of the last axes.
    """

    ends: tuple[tuple[bool, ...], ...]

    @property
    def any(self) -> bool:
        """Whether there is one at all."""
        return any(map(any, self.ends))

    def coordinates(
        self, known: Sequence[Float[Tensor, " _"]], borders: Sequence[tuple[float, float]]
    ) -> tuple[Float[Tensor, " _"], ...]:
        """Those along each axis, of the nodes and of the borders."""
        found = []
        for at, (low, high), border in zip(known, self.ends, borders, strict=True):
            ends = at.new_tensor(border)
            found.append(torch.cat([ends[: int(low)], at, ends[2 - int(high) :]]))
        return tuple(found)

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        for axis, ends in enumerate(self.ends, start=-len(self.ends)):
            x = _extended(x, axis, *ends)
        return x

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        for axis, ends in enumerate(self.ends, start=-len(self.ends)):
            y = _folded(y, axis, *ends)
        return y


def _extended(x: Tensor, axis: int, low: bool, high: bool) -> Tensor:
    x = x.movedim(axis, -1)
    second = 1 if x.shape[-1] > 1 else 0
    parts = [x]
    if low:
        parts.insert(0, 1.5 * x[..., :1] - 0.5 * x[..., second : second + 1])
    if high:
        end = x.shape[-1] - 1 - second
        parts.append(1.5 * x[..., -1:] - 0.5 * x[..., end : end + 1])
    return torch.cat(parts, -1).movedim(-1, axis)


def _folded(y: Tensor, axis: int, low: bool, high: bool) -> Tensor:
    y = y.movedim(axis, -1)
    x = y[..., int(low) : y.shape[-1] - int(high)].clone()
    second = 1 if x.shape[-1] > 1 else 0
    if low:
        x[..., 0] += 1.5 * y[..., 0]
        x[..., second] -= 0.5 * y[..., 0]
    if high:
        x[..., -1] += 1.5 * y[..., -1]
        x[..., -1 - second] -= 0.5 * y[..., -1]
    return x.movedim(-1, axis)
