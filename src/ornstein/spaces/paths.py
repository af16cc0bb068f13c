"""A path through the times of several parts: where the clock of the sampler stands at u, part k is at its time t_k(u).

    t_k: [0, 1] → [0, 1], piecewise linear between equidistant knots, never falling, t_k(0) = 0

Under one clock t_k(u) = u. A part that is known from the start has t_k = 0; one that is decided last stays at 1 while
the others move. Each part is still noised by its own schedule in its own time, so that every path ends in the same law
of the data; which path errs least with few steps, or where the network is not exact, is a question to the model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..schedules import Schedule
from ..states import Time
from ..values import is_number

KNOTS = 128
"""Intervals in which a curve given as a function is followed."""


@dataclass(frozen=True)
class TimePath:
    """The times of the parts along a sampler's clock.

    Attributes:
        times: by part, its times at equidistant values of the clock from 0 to 1, two or more, never falling, the first
            0; a part that is not named is at the clock's own time.
    """

    times: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.times, Mapping):
            raise InputError(f"a path is a {type(self.times).__name__}, expected a dictionary, part → times")
        object.__setattr__(self, "times", {str(name): _settled(name, own) for name, own in self.times.items()})

    def __hash__(self) -> int:
        return hash(tuple(self.times.items()))

    def __bool__(self) -> bool:
        return bool(self.times)

    @classmethod
    def of(cls, **curves: Callable[[np.ndarray], np.ndarray]) -> Self:
        """Curves, part → function of the clock, followed at equidistant values."""
        u = np.linspace(0, 1, KNOTS + 1)
        return cls({name: tuple(np.asarray(curve(u), float).tolist()) for name, curve in curves.items()})

    @classmethod
    def power(cls, power: float, *parts: str) -> Self:
        """Parts at 1 − (1 − u)^power: above 1 they stay noisy longer, and are decided later, than those at u."""
        if not is_number(power) or power <= 0:
            raise InputError(f"the power of a path is {power!r}, expected a positive number")
        return cls.of(**dict.fromkeys(parts, lambda u: 1 - (1 - u) ** power)) if power != 1 else cls()

    @classmethod
    def known(cls, *parts: str) -> Self:
        """Parts that are clean data from the start."""
        return cls(dict.fromkeys(parts, (0.0, 0.0)))

    @property
    def begun(self) -> tuple[str, ...]:
        """The parts of which something is known from the start, where the clock stands at 1."""
        return tuple(name for name, times in self.times.items() if times[-1] < 1)

    def require_parts(self, names: Sequence[str]) -> None:
        """InputError for a part that there is not."""
        for name in self.times:
            if name not in names:
                raise InputError(f"a path of the part {name!r}, but there are {', '.join(names)}")

    def at(self, clock: Time, name: str) -> Time:
        """The time of a part: a float for a float, of the clock's shape for a tensor, differentiable in it."""
        knots = self.times.get(name)
        if knots is None:
            return clock
        if isinstance(clock, Tensor):
            return _between(clock.double(), knots)
        return _between_floats(float(clock), knots)

    def schedule(self, schedule: Schedule, name: str) -> Schedule:
        """A part's schedule as a function of the clock."""
        return Along(schedule, self.times[name]) if name in self.times else schedule

    def record(self) -> dict[str, list[float]]:
        """In JSON values."""
        return {name: list(times) for name, times in self.times.items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Sequence[float]]) -> Self:
        """What `record` was made of."""
        return cls({name: tuple(times) for name, times in record.items()})


@dataclass(frozen=True)
class Along(Schedule):
    """A part's schedule, followed along the clock of a path.

    Attributes:
        schedule: in the part's own time.
        knots: its times at equidistant values of the clock.
    """

    schedule: Schedule
    knots: tuple[float, ...]

    def _alpha(self, t: Tensor) -> Tensor:
        return self.schedule._alpha(_between(t, self.knots))

    def _sigma(self, t: Tensor) -> Tensor:
        return self.schedule._sigma(_between(t, self.knots))


def _settled(name: Any, own: Any) -> tuple[float, ...]:
    """The knots of one part; InputError unless they start at 0 and never fall."""
    values = tuple(own) if isinstance(own, Sequence | np.ndarray) and not isinstance(own, str) else ()
    if len(values) < 2 or not all(is_number(value) and 0 <= value <= 1 for value in values):
        raise InputError(f"path of {name!r}: expected two or more times in [0, 1], found {own!r}")
    times = tuple(float(value) for value in values)
    if times[0] != 0 or any(later < earlier for earlier, later in pairwise(times)):
        raise InputError(f"path of {name!r}: the times must begin at 0, where data are, and never fall")
    return times


@lru_cache(maxsize=65536)
def _between_floats(clock: float, knots: tuple[float, ...]) -> float:
    return _between(torch.tensor(clock, dtype=torch.float64), knots).item()


def _between(clock: Tensor, knots: tuple[float, ...]) -> Tensor:
    """Linear between the knots; at the ends exactly theirs."""
    table = torch.tensor(knots, dtype=clock.dtype, device=clock.device)
    place = clock * (len(knots) - 1)
    k = place.detach().floor().long().clamp(0, len(knots) - 2)
    share = place - k
    return table[k] * (1 - share) + table[k + 1] * share


ONE_CLOCK = TimePath()
