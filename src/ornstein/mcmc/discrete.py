"""Moves of categories and of products, and which moves a density gets by default.

DiscreteLangevin  all positions at once, y_i ~ exp(∇_i log p(x)·(y_i − x_i)/2 − [y_i ≠ x_i]/step), then Metropolis's
                  rule with the true ratio: Langevin moves of letters (Zhang, Liu & Liu 2022, DMALA)
Substitutions     by values alone: k positions get other letters, k independent of where they stand, so that
                  q(y | x) = q(x | y). Half of the proposals change one position, the others each other one with a
                  probability, too, which a warm-up learns
Alternating       the parts of a product in turn, each given the others, which leaves their joint density as it is
                  (Metropolis within Gibbs, Müller 1991)
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError
from ..keys import Keys
from ..spaces import Categorical, Euclidean, Product
from .densities import Density, MCMCState, encoded
from .moves import HMC, Move, TransitionInfo, metropolis
from .proposals import Kernels
from .turns import InTurn, trajectories

LEAST_RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class _OfLetters(Move):
    """Several proposals a move, in one after the other."""

    repeats: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats is not None and self.repeats < 1:
            raise InputError(f"repeats is {self.repeats}, expected 1 or more")

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        rates = []
        for k in range(self.evaluations(density)):
            made = self._once(point, density, keys.fold(k))
            point = made.point
            rates.append(made.acceptance)
        return TransitionInfo(point, torch.stack(rates).mean(0))

    @abstractmethod
    def _once(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        """One proposal, accepted or not."""


@dataclass(frozen=True, kw_only=True)
class DiscreteLangevin(_OfLetters):
    """All positions draw their letters at once, as the gradient says, and the whole is accepted or not.

    Attributes:
        step_size: how easily letters change: a change without slope has the odds e^(−1/step).
        repeats: proposals a move, one gradient each; 5 if not given.
        target_accept: the acceptance that a warm-up aims at.
    """

    step_size: float | Tensor = 1.0
    target_accept: float = 0.574

    healthy = (0.1, inf)  # letters that are independent are drawn from their law itself

    def evaluations(self, density: Density) -> int:
        return self.repeats or 5

    def _once(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        forward = self._log_proposal(point, density)
        noise = -(-keys.fold("letter").uniform(*forward.shape[1:]).log()).log()
        proposed = density.at((forward + noise).argmax(-1).reshape(point.x.shape))
        there = forward.gather(2, proposed.x.flatten(1)[..., None])[..., 0]
        back = self._log_proposal(proposed, density).gather(2, point.x.flatten(1)[..., None])[..., 0]
        gain = density.log_p(proposed) - density.log_p(point)
        return metropolis(point, proposed, gain + (back - there).sum(1), keys)

    def _log_proposal(self, point: MCMCState, density: Density) -> Float[Tensor, "batch positions categories"]:
        """log q of every letter at every position; where nothing exists what is there stays."""
        slope = density.gradient(point).double().flatten(1, -2)
        here = torch.nn.functional.one_hot(point.x.flatten(1), density.states).bool()
        logits = slope / 2 - torch.where(here, 0.0, 1 / torch.as_tensor(self.step_size, device=slope.device))
        stays = torch.where(here, 0.0, -torch.inf).to(logits)
        return logits.where(_existing(point.x, density)[..., None], stays).log_softmax(-1)

    @property
    def tuned_step(self) -> Tensor:
        return torch.as_tensor(self.step_size, dtype=torch.float64)

    def with_step(self, step: Tensor) -> Self:
        """The same move with this step."""
        return replace(self, step_size=step)


@dataclass(frozen=True, kw_only=True)
class Substitutions(_OfLetters):
    """Some positions get other letters, accepted or not by the values of the density.

    Attributes:
        rate: of the positions beyond the first that change in every second proposal, a number in (0, 1].
        repeats: proposals a move, one value each; a quarter of the positions, 4 at least, if not given.
        target_accept: the acceptance that a warm-up aims at.
    """

    rate: float | Tensor = 0.1
    target_accept: float = 0.3

    needs_gradients = False
    healthy = (0.005, inf)

    def evaluations(self, density: Density) -> int:
        return self.repeats or max(4, _positions(density) // 4)

    def _once(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        chosen, size = self._chosen(point.x, density, keys), density.states
        other = 1 + (keys.fold("letter").uniform(*point.x.shape[1:]) * (size - 1)).long()
        proposed = density.at(torch.where(chosen, (point.x + other) % size, point.x), with_gradients=False)
        return metropolis(point, proposed, density.log_p(proposed) - density.log_p(point), keys)

    def _chosen(self, x: Tensor, density: Density, keys: Keys) -> Bool[Tensor, "batch *positions"]:
        """The positions that change: one, and in every second sample each other one with the rate."""
        exists = _existing(x, density)
        first = keys.fold("first").uniform(exists.shape[1]).masked_fill(~exists, -1.0).argmax(1, keepdim=True)
        several = keys.fold("several").uniform()[:, None] < 0.5
        rate = torch.as_tensor(self.rate, device=x.device)
        more = several & (keys.fold("more").uniform(exists.shape[1]) < rate) & exists
        return more.scatter(1, first, True).reshape(x.shape)

    @property
    def tuned_step(self) -> Tensor:
        return torch.as_tensor(self.rate, dtype=torch.float64)

    def with_step(self, step: Tensor) -> Self:
        """The same move with this step."""
        return replace(self, rate=step.clamp(LEAST_RATE, 1.0))


@dataclass(frozen=True, kw_only=True)
class Alternating(Move):
    """The parts of a product in turn, each moved given the others.

    Attributes:
        moves: of each part, by its name; parts without a move stay. The first of numbers, else the first, has the step
            that is tuned and the acceptance that is told.
    """

    moves: Mapping[str, Move]

    needs_gradients = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.moves:
            raise InputError("no part of the product is moved, expected a move for one or more")

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        made: dict[str, TransitionInfo] = {}
        x: Any = point.x
        for name, move in self.moves.items():
            own = _given_others(density, name, x)
            start = own.at(x[name]) if move.needs_gradients else MCMCState(x[name], point.values)
            made[name] = move.move(start, own, keys.fold(name))
            x = {**x, name: made[name].point.x}
            point = MCMCState(x, made[name].point.values)
        divergences = sum(one.divergences for one in made.values())
        return TransitionInfo(point, made[self._leader].acceptance, divergences=divergences)

    @property
    def _leader(self) -> str:
        return next(
            (name for name, move in self.moves.items() if isinstance(move, HMC | InTurn)), next(iter(self.moves))
        )

    def evaluations(self, density: Density) -> int:
        parts: Any = density.space
        each = [(move, replace(density, space=parts.parts[name])) for name, move in self.moves.items()]
        return sum(move.evaluations(own) + move.needs_gradients for move, own in each)

    @property
    def healthy(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.moves[self._leader].healthy

    @property
    def target_accept(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.moves[self._leader].target_accept

    @property
    def tuned_step(self) -> Tensor | None:
        return self.moves[self._leader].tuned_step

    def with_step(self, step: Tensor) -> Self:
        """The same move with this step."""
        return replace(self, moves={**self.moves, self._leader: self.moves[self._leader].with_step(step)})

    def in_units_of(self, x: Any, share: float = 1.0) -> Self:
        return replace(self, moves={name: move.in_units_of(x[name], share) for name, move in self.moves.items()})


def moves_for(density: Density, numbers: Move | None = None) -> Move:
    """The local move that a density gets by default: HMC for numbers, letters by gradients or by values, or by turns.

    Args:
        density: the unnormalised density.
        numbers: the move of these; trajectories of several lengths if not given.
    """
    space, numbers = density.space, numbers or trajectories()
    if isinstance(space, Product):
        own = {name: moves_for(replace(density, space=part), numbers) for name, part in space.parts.items()}
        return Alternating(moves=own)
    if isinstance(space, Categorical):
        return DiscreteLangevin() if density.smooth else Substitutions()
    if isinstance(space, Euclidean):
        return numbers
    raise InputError(f"no moves are known of {type(space).__name__}")


def moves_about(density: Density, kernels: Kernels) -> Move:
    """The default move, with steps for numbers as long as the kernels are wide, in units of the spread of their points.

    Args:
        density: the unnormalised density.
        kernels: about points, from which a population starts.
    """
    move = moves_for(density)
    if isinstance(move, Alternating):
        own = {name: moves_about(replace(density, space=part.space), part) for name, part in kernels.parts.items()}
        return Alternating(moves=own)
    if not isinstance(density.space, Euclidean) or move.tuned_step is None:
        return move
    return move.with_step(move.tuned_step * kernels.width / kernels.points.std())


def _given_others(density: Density, name: str, x: Any) -> Density:
    """The density of one part, the others where they stand."""
    space: Any = density.space
    others = encoded(space, x, density.noisy)

    def given(term: Any) -> Any:
        return lambda code: term({**others, name: code})

    return replace(density, space=space.parts[name], terms=tuple(given(term) for term in density.terms))


def _existing(x: Tensor, density: Density) -> Bool[Tensor, "batch positions"]:
    """Which of the flattened positions exist."""
    assert isinstance(density.space, Categorical), "letters are of categories"
    return density.space.existing(x).flatten(1)


def _positions(density: Density) -> int:
    """How many positions exist."""
    space = density.space
    assert isinstance(space, Categorical), "letters are of categories"
    return int(space.existing(torch.zeros(1, *space.shape, dtype=torch.int64))[:1].sum())
