"""A factor that counts only from a time down."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief
from ..denoisers.base import Condition
from ..denoisers.maps import Map
from ..errors import InputError
from ..spaces import Space
from ..states import State, Time, leaves
from ..values import is_number
from .factors import Factor, Updated


@dataclass(frozen=True)
class Interval(Factor):
    """A factor that counts only from a time down: beliefs about noise are too broad for an expansion at their mean.

    Particles weigh it in full all the same, when its time has come.

    Attributes:
        until: the time above which it is 1: of the sampler's clock, or, where the interval is of a factor on one part
            of a product (`OnPart`), of the part itself.
    """

    factor: Factor
    until: float

    time_independent = False

    def __post_init__(self) -> None:
        if not isinstance(self.factor, Factor):
            raise InputError(
                f"Interval is of a factor, not of {type(self.factor).__name__}; what is made for a model counts late "
                "by .then(lambda factor: Interval(factor, until))"
            )
        if not is_number(self.until) or not 0 <= self.until <= 1:
            raise InputError(f"Interval: until is {self.until!r}, expected a time in [0, 1]")

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {**self.factor.provenance, "until": self.until}

    def require_fit(self, space: Space) -> None:
        self.factor.require_fit(space)

    def tempered(self, power: float) -> "Interval":
        return replace(self, factor=self.factor.tempered(power))

    @property
    def names(self) -> frozenset[str]:
        return self.factor.names

    def bound(self, condition: Condition | None) -> "Interval":
        return replace(self, factor=self.factor.bound(condition))

    def through(self, map: Map) -> "Interval":
        return replace(self, factor=self.factor.through(map))

    def shared(self, x: State) -> bool:
        return self.factor.shared(x)

    def held(self, x: Any, space: Space) -> Any:
        return self.factor.held(x, space)  # of samples, whose time has come

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self.factor.log_expect(belief)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        if float(torch.as_tensor(t, dtype=torch.float64).max()) <= self.until:
            return self.factor.update(belief, x_t, t, space)
        x = leaves(x_t)[0]
        return torch.zeros(len(x), dtype=torch.float64, device=x.device), belief
