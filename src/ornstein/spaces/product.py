"""Several kinds of data at once: positions and atoms, a field and a class. Each part has its own rule and schedule.

The parts are noised independently and believed independently given the whole x_t; they inform each other through the
denoiser, which sees all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Joint
from ..errors import InputError
from ..keys import Keys
from ..schedules import Schedule
from ..states import State, Time
from .base import Mask, Space, Transition


@dataclass(frozen=True)
class Independent(Transition):
    """One transition a part, drawn independently."""

    parts: Mapping[str, Transition]

    def sample(self, keys: Keys) -> dict[str, Any]:
        return {name: part.sample(keys.fold(name)) for name, part in self.parts.items()}

    def log_prob(self, x: State) -> Float[Tensor, " batch"]:
        assert isinstance(x, Mapping)
        return torch.stack([part.log_prob(x[name]) for name, part in self.parts.items()]).sum(0)


@dataclass(frozen=True)
class Product(Space):
    """Named spaces side by side.

    Attributes:
        parts: the spaces; states, beliefs and network outputs are dictionaries with the same names.
        weights: of the parts in the loss, 1 where not given.
    """

    parts: Mapping[str, Space]
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def clock(self) -> tuple[Schedule, float] | None:
        return next((part.clock for part in self.parts.values() if part.clock), None)

    def where(self, mask: Mask | None) -> Self:
        return replace(self, parts={name: part.where(mask) for name, part in self.parts.items()})

    def prior(self, keys: Keys) -> dict[str, Any]:
        return {name: part.prior(keys.fold(name)) for name, part in self.parts.items()}

    def noise(self, x0: State, t: Time, keys: Keys) -> dict[str, Any]:
        return {name: part.noise(x0[name], t, keys.fold(name)) for name, part in self._with(x0)}

    def correct(self, before: State, x: State, past: Sequence[tuple[Time, Belief]], t: Time, s: Time) -> dict[str, Any]:
        return {name: part.correct(before[name], x[name], _of(past, name), t, s) for name, part in self._with(x)}

    def average(self, past: Sequence[tuple[Time, Belief]], t: Time, s: Time, eta: float = 0.0) -> Joint:
        return Joint({name: part.average(_of(past, name), t, s, eta) for name, part in self.parts.items()})

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Independent:
        assert isinstance(belief, Joint)
        return Independent({name: part.step(x_t[name], belief[name], t, s, eta) for name, part in self._with(x_t)})

    def loss(self, belief: Belief, x0: State, x_t: State, t: Time) -> Float[Tensor, " batch"]:
        assert isinstance(belief, Joint)
        losses = [
            self.weights.get(name, 1.0) * part.loss(belief[name], x0[name], x_t[name], t)
            for name, part in self._with(x0)
        ]
        return torch.stack(losses).sum(0)

    def inputs(self, x_t: State, t: Time) -> dict[str, Any]:
        return {name: part.inputs(x_t[name], t) for name, part in self._with(x_t)}

    def belief(self, output: Any, x_t: State, t: Time) -> Joint:
        return Joint({name: part.belief(output[name], x_t[name], t) for name, part in self._with(x_t)})

    def second_moment(self, belief: Belief, x_t: State, t: Time) -> Joint:
        assert isinstance(belief, Joint)
        return Joint({name: part.second_moment(belief[name], x_t[name], t) for name, part in self._with(x_t)})

    def check(self, x0: State, where: str = "data") -> None:
        found = sorted(x0) if isinstance(x0, Mapping) else type(x0).__name__
        if found != sorted(self.parts):
            raise InputError(f"{where}: expected the parts {sorted(self.parts)}, found {found}")
        for name, part in self._with(x0):
            part.check(x0[name], f"{where}: {name}")

    def _with(self, state: State) -> Any:
        assert isinstance(state, Mapping), f"a state of this space is a dictionary with the names {list(self.parts)}"
        return self.parts.items()


def _of(past: Sequence[tuple[Time, Belief]], name: str) -> list[tuple[Time, Belief]]:
    """The history of one part."""
    return [(time, belief[name]) for time, belief in past if isinstance(belief, Joint)]
