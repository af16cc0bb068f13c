"""Factors about what lies within a state, or behind it: one part of a product, the field that a map leads to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Joint
from ..denoisers.base import Condition
from ..denoisers.maps import Map
from ..errors import InputError
from ..states import State, Time
from .factors import Factor, Smooth, Updated
from .maps import Parts


@dataclass(frozen=True)
class OnPart(Factor):
    """A factor about one part of a product space."""

    part: str
    factor: Factor

    @property
    def conjugate(self) -> bool:
        return self.factor.conjugate

    @property
    def first(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.factor.first

    def merged(self, other: Factor) -> "OnPart | None":
        if not isinstance(other, OnPart) or other.part != self.part:
            return None
        both = self.factor.merged(other.factor)
        return None if both is None else OnPart(self.part, both)

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {**self.factor.provenance, "part": self.part}

    @property
    def names(self) -> frozenset[str]:
        return self.factor.names

    def bound(self, condition: Condition | None) -> "OnPart":
        return replace(self, factor=self.factor.bound(condition))

    def held(self, x: Any, space: Any) -> Any:
        return {**x, self.part: self.factor.held(x[self.part], space.parts[self.part])}

    def require_fit(self, space: Any) -> None:
        parts = getattr(space, "parts", {})
        if self.part not in parts:
            name = type(self.factor).__name__
            raise InputError(f"{name}: the model has no part {self.part!r}, only {', '.join(parts) or 'one whole'}")
        self.factor.require_fit(parts[self.part])

    def tempered(self, power: float) -> "OnPart":
        return replace(self, factor=self.factor.tempered(power))

    def through(self, map: Map) -> Factor:
        inner = map.part(self.part) if isinstance(map, Parts) else None
        return self if inner is None else replace(self, factor=self.factor.through(inner))

    def shared(self, x: State) -> bool:
        assert isinstance(x, Mapping)
        return self.factor.shared(x[self.part])

    def known(self, x_t: Any, space: Any) -> Any:
        return {**x_t, self.part: self.factor.known(x_t[self.part], space.parts[self.part])}

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        assert isinstance(belief, Joint)
        return self.factor.log_expect(belief[self.part])

    def update(self, belief: Belief, x_t: State, t: Time, space: Any) -> Updated:
        assert isinstance(belief, Joint)
        assert isinstance(x_t, Mapping)
        time = space.time_of(t, self.part)
        value, part = self.factor.update(belief[self.part], x_t[self.part], time, space.parts[self.part])
        return value, replace(belief, parts={**belief.parts, self.part: part})


@dataclass(frozen=True)
class Pulled(Smooth):
    """A smooth factor about the field, as one about the states that lead to it."""

    factor: Smooth
    map: Map

    @property
    def kind(self) -> str:
        """What errors call it."""
        return type(self.factor).__name__

    def log_g(self, code: Any) -> Float[Tensor, " batch"]:
        return self.factor.log_g(self.map(code))

    def tempered(self, power: float) -> "Pulled":
        return replace(self, factor=self.factor.tempered(power))

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.factor.provenance
