"""Every element of a field times a number of its own."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...errors import InputError
from ...values import Numbers, as_field
from .base import Operator, matched, misfit, once, require_flag, require_inexact, require_samples


@dataclass(frozen=True, eq=False)
class Multiply(Operator):
    """A field times given values, element by element: weights, coil maps, a mask of 0 and 1 that keeps the shape.

    A mask that keeps the shape goes with a y that is NaN where nothing was measured; `Mask` leaves those numbers out.

    Attributes:
        values: real or complex numbers, or true and false, that broadcast against the last axes of an event.
        new_axis: the first axis of `values` is one that the event lacks: maps of (coils, h, w) make (coils, h, w) of
            (h, w), and (channels, coils, h, w) of (channels, h, w). The adjoint sums over it.
        per_sample: `values` has a batch axis before all others: those of each sample.
    """

    values: Numbers
    new_axis: bool = False
    per_sample: bool = False
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        require_flag("Multiply", new_axis=self.new_axis, per_sample=self.per_sample)
        object.__setattr__(self, "values", as_field(self.values, "Multiply: values"))
        if self.values.ndim < self.new_axis + self.per_sample or not self.values.numel():
            what = [name for name in ("per_sample", "new_axis") if getattr(self, name)]
            raise InputError(
                f"Multiply: values has the shape {tuple(self.values.shape)}, expected an axis for each of {what}, and "
                "numbers in it"
            )

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        self._require(self._who, x, self._event[int(self.new_axis) :])
        x = x.unsqueeze(-len(self._event)) if self.new_axis else x
        return x * self._aligned(x, conjugate=False)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch ..."]:
        self._require(f"the adjoint of {self._who}", y, self._event, exact=int(self.new_axis))
        x = y * self._aligned(y, conjugate=True)
        return x.sum(-len(self._event)) if self.new_axis else x

    @property
    def samples(self) -> int | None:
        return len(self.values) if self.per_sample else None

    def _taken(self, index: Any) -> Operator:
        return replace(self, values=self.values[index])

    @property
    def _who(self) -> str:
        return f"Multiply by values of shape {tuple(self.values.shape)}"

    @property
    def _event(self) -> tuple[int, ...]:
        """The shape of the values for one sample."""
        return tuple(self.values.shape[int(self.per_sample) :])

    def _require(self, who: str, x: Tensor, last: tuple[int, ...], exact: int = 0) -> None:
        """InputError unless the values broadcast against the last axes of x, the first `exact` of them as they are."""
        require_inexact(who, x)
        require_samples(who, self.samples, x)
        found = tuple(x.shape[1:])[x.ndim - 1 - len(last) :] if x.ndim > len(last) else None
        fits = found is not None and all(
            own == size or (own == 1 and i >= exact) for i, (own, size) in enumerate(zip(last, found, strict=True))
        )
        if not fits:
            expected = ", ".join("any" if own == 1 and i >= exact else str(own) for i, own in enumerate(last))
            raise misfit(who, x, f"(..., {expected})")

    def _aligned(self, like: Tensor, conjugate: bool) -> Tensor:
        """The values, or their conjugates, with as many axes as what they multiply."""

        def make() -> Tensor:
            own = matched(self.values, like)
            return own.conj().resolve_conj() if conjugate else own

        conjugate = conjugate and self.values.is_complex()
        key = (like.device, torch.finfo(like.dtype).bits, conjugate)
        own = once(self._kept, key, make, self.values)
        if not self.per_sample:
            return own
        return own.reshape(len(own), *(1,) * (like.ndim - own.ndim), *own.shape[1:])
