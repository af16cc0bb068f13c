"""Moves in turn, each of which leaves the density as it is, and so they do together."""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import InputError
from ..keys import Keys
from ..sampling.kernels import SamplerState
from .densities import Density, MCMCState
from .moves import HMC, Move, TransitionInfo


@dataclass(frozen=True, kw_only=True)
class InTurn(Move):
    """Several moves, one after another: one move of this is one of each.

    Attributes:
        moves: acceptance is the mean over those that learn a step; the first's is learnt, and the others' follow in
            proportion.
    """

    moves: tuple[Move, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.moves:
            raise InputError("moves in turn are one or more, not none")

    @property
    def target_accept(self) -> float:
        return self.moves[0].target_accept

    @property
    def needs_gradients(self) -> bool:
        return any(move.needs_gradients for move in self.moves)

    @property
    def tuned_step(self) -> Tensor | None:
        return self.moves[0].tuned_step

    def with_step(self, step: Tensor) -> Self:
        """The same move with this step."""
        first, steps = self.tuned_step, [move.tuned_step for move in self.moves]
        assert first is not None, "there is no step to learn"
        moves = zip(self.moves, steps, strict=True)
        return replace(self, moves=tuple(m if own is None else m.with_step(step * own / first) for m, own in moves))

    def scaled(self, state: SamplerState) -> Self:
        return replace(self, moves=tuple(move.scaled(state) for move in self.moves))

    def in_units_of(self, x: Any, share: float = 1.0) -> Self:
        return replace(self, moves=tuple(move.in_units_of(x, share) for move in self.moves))

    def evaluations(self, density: Density) -> int:
        return sum(move.evaluations(density) for move in self.moves)

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        made = []
        for k, move in enumerate(self.moves):
            made.append(move.move(point, density, keys.fold(k)))
            point = made[-1].point
        learning = [info.acceptance for info, move in zip(made, self.moves, strict=True) if move.tuned_step is not None]
        acceptance = torch.stack(learning or [info.acceptance for info in made]).mean(0)
        return replace(made[0], point=point, acceptance=acceptance, divergences=sum(info.divergences for info in made))


LEAPFROGS = (1, 2, 4)
"""Of the moves at each temperature. After half a period the energy is what it was, and trajectories of one length can
all be as long: of two far Gaussians in 32 dimensions, three times five steps leave a quarter of the families."""


def trajectories(step_size: float = 0.5) -> InTurn:
    """Hamiltonian moves of 1, 2 and 4 leapfrog steps, one after another.

    Args:
        step_size: the first, in units of the base's spread.
    """
    return InTurn(moves=tuple(HMC(step_size=step_size, num_steps=leapfrogs) for leapfrogs in LEAPFROGS))
