"""A sampler is a time grid and the kernels that walk it: a generator, so progress, cancelling and trajectories are one
loop.

for walk in Sampler(grids.uniform(50)).steps(denoiser, Keys.of(seed, n)):
    show(walk.t, walk.belief.mean)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
        grid: descending times, noise first; numbers, or tensors of times per sample or per position.
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
            if not isinstance(t, Tensor) and not isinstance(s, Tensor) and not 1 >= t >= s >= 0:
                raise InputError(f"times fall from noise (1) to data (0); this grid goes from {t} to {s}")

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
        for _, s in pairwise(self.grid):
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
