"""A sampler is a time grid and the kernels that walk it: a generator, so progress, cancelling and trajectories are one
loop.

for walk in Sampler(grids.uniform(50)).steps(denoiser, Keys.of(seed, n)):
    show(walk.t, walk.belief.mean)

Where a grid rises, noise is added up to the later time, and the walk goes down again from there: Restart (Xu et al.
2023). Data that are noised and drawn anew have the law that they had; what a coarse walk or a network's error left in
them is forgotten as far up as the noise goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..denoisers.base import Condition, Denoiser
from ..errors import InputError
from ..keys import Keys
from ..states import State, Time
from .kernels import Kernel, Predictor, SamplerState

Grid = Sequence[Time] | Tensor


@dataclass(frozen=True)
class Sampler:
    """Walks a grid of times, all kernels in turn on each interval.

    Attributes:
        grid: descending times, noise first; numbers, or tensors of times per sample or per position. Numbers may rise
            again, no higher than the first: there noise is added, at no call.
        kernels: the moves of one interval; the predictor first.
        checkpoint: keep for the gradient only where each move starts, and take the move again on the way back.
    """

    grid: Grid
    kernels: tuple[Kernel, ...] = (Predictor(),)
    checkpoint: bool = False

    def __post_init__(self) -> None:
        if not self.kernels:
            raise InputError("a sampler has one kernel or more, the predictor first")
        if len(self.grid) < 2:
            raise InputError(f"a grid needs at least two times, not {len(self.grid)}")
        for t, s in pairwise(self.grid):
            rising = _rises(t, s)
            if rising and isinstance(self.grid[0], Tensor):
                raise InputError("only a grid of numbers may rise, not one whose first time is a tensor")
            if not all(0 <= time <= 1 for time in (t, s) if not isinstance(time, Tensor)) or (
                rising and s > self.grid[0]
            ):
                raise InputError(f"times fall from noise (1) to data (0); this grid goes from {t} to {s}")
        if _rises(*self.grid[-2:]):
            raise InputError(f"times fall from noise (1) to data (0); this grid ends with a rise to {self.grid[-1]}")

    @property
    def intervals(self) -> int:
        """How many steps are walked: those on which the time does not rise."""
        return sum(not _rises(t, s) for t, s in pairwise(self.grid))

    @property
    def descent(self) -> int:
        """In how many steps the time first falls to its end: those of the grid without its restarts and sweeps."""
        return descent(self.grid)

    def steps(
        self, denoiser: Denoiser, keys: Keys, condition: Condition | None = None, start: State | None = None
    ) -> Iterator[SamplerState]:
        """Yields where the samples stand after each interval; the last one is clean data if the grid ends at 0.

        Args:
            keys: one a sample; they decide everything random.
            condition: what each sample is given, (batch, ...) a name.
            start: states at grid[0]; drawn from the prior if not given.
            denoiser: the model, (x_t, t, condition) → belief.
        """
        condition = {**denoiser.latent(keys.fold("latent")), **(condition or {})}
        space = denoiser.space.with_mask(condition.get("mask"))
        x = space.prior(keys.fold("prior")) if start is None else start
        state = SamplerState(x, self.grid[0], space)
        streams = iter(keys.fold("steps").streams(len(self.kernels) * (len(self.grid) - 1)))
        for t, s in pairwise(self.grid):
            if _rises(t, s):
                x = space.noise(state.x, s, next(streams), since=t)
                state = replace(state, x=x, t=s, past=(), before=None, transition=None)
                continue
            for kernel in self.kernels:
                state = self._move(kernel, state, s, denoiser, condition, next(streams))
            yield state

    def _move(self, kernel: Kernel, state: SamplerState, *arguments: Any) -> SamplerState:
        if not self.checkpoint or not torch.is_grad_enabled():
            return kernel(state, *arguments)
        # Moves are pure, so the state of torch's own generators need not be kept.
        return checkpoint(kernel, state, *arguments, use_reentrant=False, preserve_rng_state=False)

    def run(
        self, denoiser: Denoiser, keys: Keys, condition: Condition | None = None, start: State | None = None
    ) -> Any:
        """The final state alone.

        Args:
            denoiser: the model, (x_t, t, condition) → belief.
            keys: random keys, one a sample; they decide everything random.
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
            start: states at grid[0], one a sample; drawn from the prior if not given.
        """
        return self.end(denoiser, keys, condition, start).x

    def end(
        self, denoiser: Denoiser, keys: Keys, condition: Condition | None = None, start: State | None = None
    ) -> SamplerState:
        """Where the samples stand at last.

        Args:
            denoiser: the model, (x_t, t, condition) → belief.
            keys: random keys, one a sample; they decide everything random.
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
            start: states at grid[0], one a sample; drawn from the prior if not given.
        """
        state = None
        for state in self.steps(denoiser, keys, condition, start):  # noqa: B007 — one at a time: walks hold beliefs
            pass
        assert state is not None
        return state


def descent(times: Grid) -> int:
    """On how many intervals these times fall before they first rise, if they do; those on which they stand still do not
    count.

    Args:
        times: from noise (1) to data (0), in [0, 1].
    """
    first = takewhile(lambda pair: not _rises(*pair), pairwise(times))
    return sum(isinstance(t, Tensor) or isinstance(s, Tensor) or s < t for t, s in first)


def _rises(t: Time, s: Time) -> bool:
    return not isinstance(t, Tensor) and not isinstance(s, Tensor) and s > t
