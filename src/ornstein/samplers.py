"""A sampler is a time grid and the kernels that walk it: a generator, so progress, cancelling and films are one loop.

for walk in Sampler(uniform_grid(50)).steps(denoiser, Keys.of(seed, n)):
    show(walk.t, walk.belief.mean)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .denoisers import Condition, Denoiser
from .kernels import Kernel, Predictor, Walk
from .keys import Keys
from .schedules import Schedule
from .states import State, Time

Grid = Sequence[Time] | Tensor


def uniform_grid(steps: int, start: float = 1.0) -> tuple[float, ...]:
    """`steps` equal intervals of t from `start` down to 0."""
    if steps < 1:
        raise ValueError(f"a sampler needs at least one step, not {steps}")
    return tuple(start * (1 - k / steps) for k in range(steps + 1))


def log_snr_grid(steps: int, schedule: Schedule, low: float = -10.0, high: float = 10.0) -> tuple[float, ...]:
    """t from 1 to 0 with λ(t) uniform between `low` and `high` inside, and one step each to the ends."""
    if steps < 3:
        return uniform_grid(steps)
    inside = schedule.time(torch.linspace(low, high, steps - 1, dtype=torch.float64))
    return (1.0, *inside.tolist(), 0.0)


@dataclass(frozen=True)
class Sampler:
    """Walks a grid of times, all kernels in turn on each interval.

    Attributes:
        grid: descending times, noise first; numbers, or tensors of times per sample or per position.
        kernels: the moves of one interval; the predictor first.
    """

    grid: Grid
    kernels: tuple[Kernel, ...] = (Predictor(),)

    def steps(
        self, denoiser: Denoiser, keys: Keys, condition: Condition | None = None, start: State | None = None
    ) -> Iterator[Walk]:
        """Yields where the samples stand after each interval; the last one is clean data if the grid ends at 0.

        Args:
            keys: one a sample; they decide everything random.
            condition: what each sample is given, (batch, ...) a name.
            start: states at grid[0]; drawn from the prior if not given.
        """
        condition = condition or {}
        space = denoiser.space.where(condition.get("mask"))
        x = space.prior(keys.fold("prior")) if start is None else start
        walk, noise = Walk(x, self.grid[0]), keys.fold("steps")
        for k, (_, s) in enumerate(pairwise(self.grid)):
            for j, kernel in enumerate(self.kernels):
                walk = kernel(walk, s, denoiser, condition, noise.fold(k).fold(j))
            yield walk

    def run(
        self, denoiser: Denoiser, keys: Keys, condition: Condition | None = None, start: State | None = None
    ) -> Any:
        """The final state alone."""
        *_, last = self.steps(denoiser, keys, condition, start)
        return last.x
