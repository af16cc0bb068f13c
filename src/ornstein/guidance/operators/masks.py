"""Some of the numbers of an event."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...errors import InputError
from ...values import Flags, as_mask
from .base import Operator, misfit, once, require_axes, require_flag, require_samples


@dataclass(frozen=True, eq=False)
class Mask(Operator):
    """Some of the numbers of an event: inpainting, sparse sensors, undersampling.

    They stand in one axis, in the order of torch.flatten, where the axes of the mask were. `Multiply(seen)` keeps the
    shape instead.

    Attributes:
        seen: true where the event, without its batch axis, is seen; of the event's first axes, or of all.
        last: it is of the last axes: one mask (h, w) for all channels or coils of (coils, h, w).
        per_sample: `seen` has a batch axis before all others, a mask for each sample, all of which see as many.
    """

    seen: Flags
    last: bool = False
    per_sample: bool = False
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        require_flag("Mask", last=self.last, per_sample=self.per_sample)
        object.__setattr__(self, "seen", _seen_of(self.seen, "Mask"))
        if self.seen.ndim <= self.per_sample:
            raise InputError(
                f"Mask: seen has the shape {tuple(self.seen.shape)}, expected one axis of an event or more"
            )
        if self.per_sample and len(set(counts := self._flat.sum(1).tolist())) > 1:
            raise InputError(
                f"Mask: the masks of the samples see {counts} numbers, expected as many for each; Multiply(seen, "
                "per_sample=True) keeps the shape, with NaN in y where nothing was measured"
            )

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        self._require(x)
        start = x.ndim - len(self._event) if self.last else 1
        flat, index = x.flatten(start, start + len(self._event) - 1), self._index(x)
        if len(index) == 1:
            return flat.index_select(start, index[0])
        return flat.gather(start, self._everywhere(index, flat, start))

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        index = self._index(y)
        start = y.ndim - 1 if self.last else 1
        if y.ndim < 2 or y.shape[start] != index.shape[1]:
            where = "the last axis" if self.last else "the first axis"
            raise misfit(f"the adjoint of {self._who}", y, f"{index.shape[1]} along {where}")
        require_samples(f"the adjoint of {self._who}", self.samples, y)
        shape = (*y.shape[:start], self._event.numel(), *y.shape[start + 1 :])
        if len(index) == 1:
            x = y.new_zeros(shape).index_copy(start, index[0], y)
        else:
            x = y.new_zeros(shape).scatter(start, self._everywhere(index, y, start), y)
        return x.unflatten(start, self._event)

    def normal(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        self._require(x)
        seen = once(self._kept, (x.device, x.dtype.to_real()), lambda: self.seen.to(x.device, x.dtype.to_real()))
        own = seen.unsqueeze(0) if not self.per_sample else seen
        between = x.ndim - 1 - len(self._event)
        shape = (len(own), *(1,) * between, *self._event) if self.last else (*own.shape, *(1,) * between)
        return x * own.reshape(shape)

    @property
    def samples(self) -> int | None:
        return len(self.seen) if self.per_sample else None

    def _taken(self, index: Any) -> Operator:
        return replace(self, seen=self.seen[index])

    @property
    def _who(self) -> str:
        return f"a Mask with a mask of shape {tuple(self.seen.shape)}"

    @property
    def _event(self) -> torch.Size:
        """The shape of the mask of one sample."""
        return self.seen.shape[int(self.per_sample) :]

    @property
    def _flat(self) -> Tensor:
        """One mask a row."""
        return self.seen.flatten(1) if self.per_sample else self.seen.reshape(1, -1)

    def _index(self, like: Tensor) -> Tensor:
        """The places of what is seen, one row for all samples or one each."""

        def make() -> Tensor:
            flat = self._flat
            return flat.nonzero()[:, 1].reshape(len(flat), -1).to(like.device)

        return once(self._kept, like.device, make)

    def _everywhere(self, index: Tensor, like: Tensor, axis: int) -> Tensor:
        """The places of each sample along an axis, for all elements of the others."""
        index = index.reshape(len(index), *(1,) * (axis - 1), -1, *(1,) * (like.ndim - axis - 1))
        return index.expand(*like.shape[:axis], -1, *like.shape[axis + 1 :])

    def _require(self, x: Tensor) -> None:
        require_samples(self._who, self.samples, x)
        own, found = tuple(self._event), tuple(x.shape[1:])
        if self.last:
            require_axes(self._who, x, own)
        elif found[: len(own)] != own:
            raise misfit(self._who, x, f"({', '.join(map(str, own))}, ...)")


@dataclass(frozen=True, eq=False)
class Centered(Operator):
    """Some points of a cloud about their own centre: what is known of them wherever they lie.

    Attributes:
        seen: (points,), true for those.
    """

    seen: Flags

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", _seen_of(self.seen, "Centered"))
        if self.seen.ndim != 1:
            raise InputError(f"Centered: seen has the shape {tuple(self.seen.shape)}, expected (points,)")

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch seen dim"]:
        require_axes(f"a Centered of {len(self.seen)} points", x, (len(self.seen), "dim"))
        seen = x[:, self.seen.to(x.device)]
        return seen - seen.mean(1, keepdim=True)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch points dim"]:
        require_axes("the adjoint of Centered", y, (int(self.seen.sum()), "dim"))
        x = y.new_zeros(len(y), len(self.seen), y.shape[-1])
        x[:, self.seen.to(y.device)] = y - y.mean(1, keepdim=True)
        return x


def _seen_of(value: object, who: str) -> Tensor:
    """A mask that sees something."""
    mask = as_mask(value, f"{who}: seen")
    if not mask.any():
        raise InputError(f"{who}: the mask sees nothing, expected at least one true element")
    return mask
