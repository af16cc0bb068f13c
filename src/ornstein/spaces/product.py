"""Several kinds of data at once: positions and atoms, a field and a class. Each part has its own rule and schedule.

The parts are noised independently and believed independently given the whole x_t; they inform each other through the
denoiser, which sees all of them. A mask is for all parts, or a dictionary with one a part. A time is where the clock
stands, from which `path` tells the time of each part (paths.py), or a dictionary with the parts' own times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Joint
from ..errors import InputError
from ..keys import Keys
from ..schedules import Schedule
from ..states import State, Time, as_time
from ..values import is_number
from .base import Mask, Space, Transition
from .paths import ONE_CLOCK, TimePath

Times = Time | Mapping[str, Time]


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
        path: the parts' times along the clock; one clock for all where it says nothing.
    """

    parts: Mapping[str, Space]
    weights: Mapping[str, float] = field(default_factory=dict)
    path: TimePath = ONE_CLOCK

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Mapping) or not self.parts:
            raise InputError(f"the parts of a product are {self.parts!r}, expected a dictionary, name → space")
        for name, part in self.parts.items():
            if not isinstance(part, Space):
                raise InputError(f"part {name!r} of a product is a {type(part).__name__}, expected a space")
        for name, weight in self.weights.items():
            if name not in self.parts:
                raise InputError(f"weights: the product has no part {name!r}, only {', '.join(self.parts)}")
            if not is_number(weight) or weight < 0:
                raise InputError(f"weights: that of {name!r} is {weight!r}, expected a number of at least 0")
        self.path.require_parts(list(self.parts))

    @property
    def schedule_and_std(self) -> tuple[Schedule, float] | None:
        """Of the first part that has a flow, as a function of the clock."""
        for name, part in self.parts.items():
            if part.schedule_and_std:
                schedule, std = part.schedule_and_std
                return self.path.schedule(schedule, name), std
        return None

    @property
    def paced(self) -> bool:
        return self._lead in self.path.times

    @property
    def _lead(self) -> str:
        """The part by whose noise levels grids are laid: the first that has a flow, if there is one."""
        return next((name for name, part in self.parts.items() if part.schedule_and_std), next(iter(self.parts)))

    def along(self, path: TimePath) -> Self:
        """The same parts under another path."""
        return replace(self, path=path)

    def own_times(self, t: Times) -> Times:
        return {name: self.time_of(t, name) for name in self.parts} if self.path or isinstance(t, Mapping) else t

    def time_of(self, t: Times, name: str) -> Time:
        """The own time of one part.

        Args:
            t: where the clock stands: a number, (batch,), or (batch, positions); or the parts' own times by name.
            name: of the part.

        InputError for own times without that of the part.
        """
        if not isinstance(t, Mapping):
            return self.path.at(t, name)
        if name not in t:
            raise InputError(f"there is no time of the part {name!r}, only of {', '.join(map(str, t))}")
        return t[name]

    def apart(self, t: Tensor, share: float, keys: Keys) -> dict[str, Tensor]:
        """Times to train with: a share of the samples off the path, each part at a time of its own, uniform in [0, 1].

        Args:
            t: where the clock stands, (batch,); the part whose flow it measures keeps it, on the path or off.
            share: of the samples off the path, in [0, 1].
            keys: random keys, one a sample; they decide everything random.
        """
        off = keys.fold("apart").uniform() < share
        own = {name: keys.fold(f"time of {name}").uniform() for name in self.parts} | {self._lead: t.double()}
        return {name: torch.where(off, own[name], as_time(self.time_of(t, name), t)).to(t) for name in self.parts}

    def with_mask(self, mask: Mask | Mapping[str, Mask] | None) -> Self:
        if mask is None:
            return self
        own = mask if isinstance(mask, Mapping) else dict.fromkeys(self.parts, mask)
        for name in own:
            if name not in self.parts:
                raise InputError(f"a mask of the part {name!r}, but the product has {', '.join(self.parts)}")
        return replace(self, parts={name: part.with_mask(own.get(name)) for name, part in self.parts.items()})

    def prior(self, keys: Keys) -> dict[str, Any]:
        return {name: part.prior(keys.fold(name)) for name, part in self.parts.items()}

    def prior_law(self, device: torch.device | str = "cpu") -> Independent:
        return Independent({name: part.prior_law(device) for name, part in self.parts.items()})

    def noising(self, x0: State, t: Times, since: Times = 0.0) -> Independent:
        return Independent({name: part.noising(x, at, begun) for name, part, x, at, begun in self._each(x0, t, since)})

    def noise(self, x0: State, t: Times, keys: Keys, since: Times = 0.0) -> dict[str, Any]:
        each = self._each(x0, t, since)
        return {name: part.noise(x, at, keys.fold(name), begun) for name, part, x, at, begun in each}

    def average(self, past: Sequence[tuple[Times, Belief]], t: Times, s: Times, eta: float = 0.0) -> Joint:
        return Joint(
            {
                name: part.average(self._of(past, name), self.time_of(t, name), self.time_of(s, name), eta)
                for name, part in self.parts.items()
            }
        )

    def correct(
        self, before: State, x: State, past: Sequence[tuple[Times, Belief]], t: Times, s: Times
    ) -> dict[str, Any]:
        each = self._each(x, t, s)
        return {name: part.correct(before[name], y, self._of(past, name), at, to) for name, part, y, at, to in each}

    def step(self, x_t: State, belief: Belief, t: Times, s: Times, eta: float = 1.0) -> Independent:
        assert isinstance(belief, Joint)
        each = self._each(x_t, t, s)
        return Independent({name: part.step(x, belief[name], at, to, eta) for name, part, x, at, to in each})

    def loss(self, belief: Belief, x0: State, x_t: State, t: Times) -> Float[Tensor, " batch"]:
        assert isinstance(belief, Joint)
        losses = [
            self.weights.get(name, 1.0) * part.loss(belief[name], x, x_t[name], at)
            for name, part, x, at in self._each(x0, t)
        ]
        return torch.stack(losses).sum(0)

    def inputs(self, x_t: State, t: Times) -> dict[str, Any]:
        return {name: part.inputs(x, at) for name, part, x, at in self._each(x_t, t)}

    def belief(self, output: Any, x_t: State, t: Times) -> Joint:
        found = sorted(output) if isinstance(output, Mapping) else type(output).__name__
        if not isinstance(output, Mapping) or not self.parts.keys() <= output.keys():
            raise InputError(f"the network returned {found}, expected the parts {sorted(self.parts)}")
        return Joint({name: part.belief(output[name], x, at) for name, part, x, at in self._each(x_t, t)})

    def second_moment(self, belief: Belief, x_t: State, t: Times, reach: float = inf) -> Joint:
        assert isinstance(belief, Joint)
        each = self._each(x_t, t)
        return Joint({name: part.second_moment(belief[name], x, at, reach) for name, part, x, at in each})

    def point_mass(self, x0: State) -> Joint:
        assert isinstance(x0, Mapping)
        return Joint({name: part.point_mass(x0[name]) for name, part in self.parts.items()})

    def apply_score(self, belief: Belief, slope: State, t: Times, most: float = inf) -> Joint:
        assert isinstance(belief, Joint)
        each = self._each(slope, t)
        return Joint({name: part.apply_score(belief[name], own, at, most) for name, part, own, at in each})

    def check(self, x0: State, where: str = "data") -> None:
        found = sorted(x0) if isinstance(x0, Mapping) else type(x0).__name__
        if found != sorted(self.parts):
            raise InputError(f"{where}: expected the parts {sorted(self.parts)}, found {found}")
        for name, part, x in self._each(x0):
            part.check(x, f"{where}: {name}")

    def _each(self, state: State, *times: Times) -> list[Any]:
        """(name, space, state, times …) of every part."""
        if not isinstance(state, Mapping):
            raise InputError(
                f"a state of this space is a dictionary with the names {list(self.parts)}, found a "
                f"{type(state).__name__}"
            )
        for name in self.parts:
            if name not in state:
                raise InputError(f"the state lacks the part {name!r}, it has {', '.join(map(str, state))}")
        return [
            (name, part, state[name], *(self.time_of(time, name) for time in times))
            for name, part in self.parts.items()
        ]

    def _of(self, past: Sequence[tuple[Times, Belief]], name: str) -> list[tuple[Time, Belief]]:
        """The history of one part."""
        return [(self.time_of(time, name), belief[name]) for time, belief in past if isinstance(belief, Joint)]
