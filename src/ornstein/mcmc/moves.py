"""Moves that leave a density exactly as it is: Hamiltonian and Langevin, independence, Gibbs, locally informed.

Metropolis and Hastings: propose y ~ q(y | x), accept with probability min(1, p(y) q(x | y) / p(x) q(y | x)).

    HMC                    momentum v ~ N(0, I), leapfrog steps, q cancels: accept by the change of H = −log p(x) + v²/2
    MALA                   the same with one leapfrog step (Roberts & Tweedie 1996; Neal 2011, section 5.2)
    IndependentMetropolis  q(y | x) = q(y), any distribution that can be drawn and weighed: mode weights mix at once
    Gibbs                  a position at random, drawn from its law given the rest: always accepted
    LocallyInformed        a position and a category in proportion to √(p(y)/p(x)), p(y) to first order (Zanella 2020,
                           Grathwohl et al. 2021), then Metropolis's rule with the true ratio

Each is a `Kernel`: between a sampler's steps it moves by the marginal density of the denoiser at that noise, or by a
density of its own.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..denoisers.base import Condition, Denoiser
from ..deprecation import members, renamed
from ..errors import InputError
from ..events import Event, Stream, streamed
from ..keys import Keys
from ..sampling.kernels import SamplerState
from ..spaces import Categorical, Euclidean, Transition
from ..spaces.categorical import draw
from ..states import Time, left, per_sample_sum
from .densities import Density, MCMCState
from .step_size import DualAveraging


@members(swaps="swap_acceptance")
@dataclass(frozen=True)
class TransitionInfo:
    """What a move led to.

    Attributes:
        acceptance: the probability with which each sample's proposal was accepted.
        swap_acceptance: the mean probability of exchange of each pair of neighbouring temperatures, NaN where none was
            tried; None without temperatures.
        divergences: proposals whose energy, kinetic included, changed by more than 1,000, or to no number; 0 for moves
            that follow no trajectory.
    """

    point: MCMCState
    acceptance: Float[Tensor, " batch"]
    swap_acceptance: Float[Tensor, " pairs"] | None = None
    divergences: Int[Tensor, ""] | int = 0


@dataclass(frozen=True, kw_only=True)
class Move(ABC):
    """A kernel that leaves a density invariant.

    Attributes:
        density: what it leaves invariant; the denoiser's marginal at the time of the walk if not given.
        count: moves a call as a kernel.
        warmup: moves before these in which the step size is learnt, and then frozen.
    """

    density: Density | None = None
    count: int = 1
    warmup: int = 0

    target_accept = 1.0
    needs_gradients = True
    healthy = (0.1, 0.99)
    """Between what rates of acceptance it does its work."""

    def evaluations(self, density: Density) -> int:
        """Of the density, a sample, in one move."""
        return 1

    def __post_init__(self) -> None:
        if self.count < 1 or self.warmup < 0:
            raise InputError(f"a kernel takes 1 move or more, not count={self.count}, warmup={self.warmup}")

    @abstractmethod
    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        """One move of every sample.

        Args:
            point: where the samples stand, with the values and gradients of the density's terms.
            density: the unnormalised density.
            keys: random keys, one a sample; they decide everything random.
        """

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        density = self.density or Density.marginal(denoiser, state.t, condition)
        with torch.no_grad():
            point = density.at(state.x, self.needs_gradients)
            scaled = self.scaled(state) if self.density is None else self
            move, point = warmed(scaled, density, point, keys.fold("warmup"), self.warmup)
            moved = repeated(move, point, density, keys.fold("moves"), self.count)
        calls = 0 if self.density else density.tally.evaluations // len(state.x) * denoiser.calls
        return replace(state, x=moved.point.x, nfe=state.nfe + calls, transition=None, acceptance=moved.acceptance)

    @property
    def tuned_step(self) -> Tensor | None:
        """What a warm-up learns, a number or one a group of samples; None where there is nothing to learn."""
        return None

    def with_step(self, step: Tensor) -> Self:
        """The same move with this step."""
        return self

    def scaled(self, state: SamplerState) -> Self:
        """The move with its step in units of what noise leaves undecided."""
        return self

    def in_units_of(self, x: Any, share: float = 1.0) -> Self:
        """The move with its step in units of so much of the spread of the states x; itself where steps have no unit."""
        return self


DIVERGENT = 1000.0
"""The change of energy above which a trajectory has diverged, as in Stan and blackjax."""


@renamed(step="step_size", leaps="num_steps", goal="target_accept")
@members(step="step_size", leaps="num_steps", goal="target_accept")
@dataclass(frozen=True, kw_only=True)
class HMC(Move):
    """Hamiltonian Monte Carlo; where the space's noise has a spectrum, in coordinates in which it is white.

    Attributes:
        step_size: of the leapfrog, in units of `scale`: a number, or one for each of equally large groups of samples.
            As a kernel without a density of its own, in units of the noise level, σ, which is far below the local width
            where noise is low: let a warm-up find it.
        num_steps: leapfrog steps a move, one gradient each.
        jitter: the step of each move is drawn within this share of `step_size`, which breaks periods.
        smallest: then it is made shorter by a factor between this and 1, drawn evenly in its logarithm for each sample:
            short steps enter places that are much narrower than others. 1: all are long.
        scale: typical widths, a number or of one sample's shape.
        target_accept: the acceptance that a warm-up aims at.
    """

    step_size: float | Tensor = 0.3
    num_steps: int = 10
    jitter: float = 0.3
    smallest: float = 1.0
    scale: float | Tensor = 1.0
    target_accept: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_steps < 1 or not 0 <= self.jitter < 1:
            raise InputError(
                f"num_steps is 1 or more and jitter in [0, 1), not num_steps={self.num_steps}, jitter={self.jitter}"
            )
        if not 0 < self.smallest <= 1:
            raise InputError(f"the smallest factor of the step is in (0, 1], not smallest={self.smallest}")

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        step = self._step(point.x, keys)
        momentum = self._project(density, keys.fold("momentum").normal(*point.x.shape[1:]).to(point.x))
        end, last = self._leapfrog(point, momentum, step, density)
        gain = density.log_p(end) - density.log_p(point) + _kinetic(momentum) - _kinetic(last)
        divergences = (~(gain.abs() <= DIVERGENT)).sum()
        return replace(metropolis(point, end, gain, keys), divergences=divergences)

    def evaluations(self, density: Density) -> int:
        return self.num_steps

    @property
    def tuned_step(self) -> Tensor:
        return torch.as_tensor(self.step_size, dtype=torch.float64)

    def with_step(self, step: Tensor) -> Self:
        """The same move with this step."""
        return replace(self, step_size=step)

    def in_units_of(self, x: Any, share: float = 1.0) -> Self:
        return self.with_step(self.tuned_step * share * x.std())

    def _leapfrog(self, point: MCMCState, momentum: Tensor, step: Tensor, density: Density) -> tuple[MCMCState, Tensor]:
        for _ in range(self.num_steps):
            momentum = momentum + step / 2 * self._force(density, point)
            x = point.x + step * self._velocity(density, momentum)
            point = density.at(x)
            momentum = momentum + step / 2 * self._force(density, point)
        return point, momentum

    def _step(self, x: Tensor, keys: Keys) -> Tensor:
        shake = 1 + self.jitter * (2 * keys.fold("jitter").uniform() - 1)
        if self.smallest < 1:
            shake = shake * self.smallest ** keys.fold("shorter").uniform()
        step = self.tuned_step.to(x.device)
        each = step.repeat_interleave(len(x) // len(step)) if step.ndim else step
        return left(shake * each, x).to(x)

    def _force(self, density: Density, point: MCMCState) -> Tensor:
        """Lᵀ ∇ log p: in the coordinates in which the space's noise is white."""
        gradient, noise = density.gradient(point), getattr(density.space, "noise_cov", None)
        return self._project(density, self.scale * (gradient if noise is None else noise.root_transposed(gradient)))

    def _velocity(self, density: Density, momentum: Tensor) -> Tensor:
        """L p."""
        moved, noise = self.scale * momentum, getattr(density.space, "noise_cov", None)
        return self._project(density, moved if noise is None else noise.root(moved))

    def _project(self, density: Density, v: Tensor) -> Tensor:
        assert isinstance(density.space, Euclidean), "Hamiltonian moves are of continuous data"
        return density.space.project(v)

    def scaled(self, state: SamplerState) -> Self:
        clock = state.space.schedule_and_std
        assert clock is not None
        schedule, spread = clock
        alpha, sigma = schedule.alpha(state.t), schedule.sigma(state.t)
        width = (sigma**2 + (0.01 * spread * alpha) ** 2).sqrt()  # some width is left without noise
        return replace(self, step_size=self.step_size * width)


@renamed(step="step_size", leaps="num_steps", goal="target_accept")
@dataclass(frozen=True, kw_only=True)
class MALA(HMC):
    """The Metropolis-adjusted Langevin algorithm: drift step²/2 · ∇ log p, noise of width step; one gradient."""

    step_size: float | Tensor = 0.5
    num_steps: int = 1
    jitter: float = 0.0
    target_accept: float = 0.574


@dataclass(frozen=True, kw_only=True)
class IndependentMetropolis(Move):
    """Metropolis's rule with proposals that do not look at x.

    Attributes:
        proposal: what is drawn, one a sample: any transition, such as a normal distribution.
    """

    proposal: Transition

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        drawn = self.proposal.sample(keys.fold("proposal")).to(point.x)
        proposed = density.at(drawn, point.gradients is not None)
        gain = density.log_p(proposed) - self.proposal.log_prob(proposed.x)
        return metropolis(point, proposed, gain - (density.log_p(point) - self.proposal.log_prob(point.x)), keys)


@dataclass(frozen=True, kw_only=True)
class Gibbs(Move):
    """One position of each sequence, chosen at random, is drawn anew given all others: one value a state."""

    needs_gradients = False

    def evaluations(self, density: Density) -> int:
        return density.states

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        place = draw(_existing(point.x, density).double(), keys.fold("place"))
        values = torch.stack([self._with(point.x, place, c, density) for c in range(density.states)])  # (c, terms, n)
        log_p = torch.stack([density.log_p(MCMCState(point.x, value)) for value in values], 1)
        noise = -(-keys.fold("category").uniform(density.states).log()).log()
        chosen = (log_p + noise.to(log_p)).argmax(1)
        x = _replaced(point.x, place, chosen)
        moved = MCMCState(x, values[chosen, :, torch.arange(len(x), device=x.device)].T)
        return TransitionInfo(moved, torch.ones_like(log_p[:, 0]))

    def _with(self, x: Tensor, place: Tensor, category: int, density: Density) -> Tensor:
        return density.at(_replaced(x, place, torch.full_like(place, category)), with_gradients=False).values


@dataclass(frozen=True, kw_only=True)
class LocallyInformed(Move):
    """One position and its new category, chosen by what the gradient says of every change, then accepted or not."""

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        forward = self._log_proposal(point, density)
        noise = -(-keys.fold("change").uniform(forward.shape[1]).log()).log()
        change = (forward + noise).argmax(1)
        place, category = change // density.states, change % density.states
        proposed = density.at(_replaced(point.x, place, category))
        backward = self._log_proposal(proposed, density)
        undone = place * density.states + point.x.flatten(1).gather(1, place[:, None])[:, 0]
        ratio = backward.gather(1, undone[:, None]) - forward.gather(1, change[:, None])
        return metropolis(point, proposed, density.log_p(proposed) - density.log_p(point) + ratio[:, 0], keys)

    def _log_proposal(self, point: MCMCState, density: Density) -> Float[Tensor, "batch changes"]:
        slope = density.gradient(point).double().flatten(1, -2)[..., : density.states]
        here = point.x.flatten(1)[..., None]
        logits = ((slope - slope.gather(2, here)) / 2).scatter(2, here, -torch.inf)
        return logits.where(_existing(point.x, density)[..., None], -torch.inf).flatten(1).log_softmax(1)


@streamed
def repeated(move: Move, point: MCMCState, density: Density, keys: Keys, count: int) -> Stream[TransitionInfo]:
    """`count` moves; acceptance and swaps are their means, divergences their sum.

    Args:
        move: a move that leaves the density invariant.
        point: where the samples stand, with the values and gradients of the density's terms.
        density: the unnormalised density.
        keys: random keys, one a sample; they decide everything random.
    """
    made = []
    for k in range(count):
        made.append(move.move(point, density, keys.fold(k)))
        point = made[-1].point
        yield Event(k + 1, count, "moves", point.x)
    swap_acceptance = [moved.swap_acceptance for moved in made if moved.swap_acceptance is not None]
    acceptance = torch.stack([moved.acceptance for moved in made]).mean(0)
    swaps = torch.stack(swap_acceptance).nanmean(0) if swap_acceptance else None
    return TransitionInfo(point, acceptance, swaps, sum(moved.divergences for moved in made))


def metropolis(point: MCMCState, proposed: MCMCState, gain: Float[Tensor, " batch"], keys: Keys) -> TransitionInfo:
    """The proposals with probability min(1, exp gain); one whose gain is not a number never.

    Args:
        point: where the samples stand, with the values and gradients of the density's terms.
        proposed: where the proposals stand.
        keys: random keys, one a sample; they decide everything random.
    """
    gain = torch.where(gain.isnan(), -torch.inf, gain)
    acceptance = gain.clamp(max=0).exp()
    accepted = keys.fold("accept").uniform() < acceptance
    return TransitionInfo(proposed.where(accepted, point), acceptance)


def _kinetic(momentum: Tensor) -> Float[Tensor, " batch"]:
    return per_sample_sum(momentum.double().square()) / 2


def _existing(x: Tensor, density: Density) -> Bool[Tensor, "batch positions"]:
    """Which of the flattened positions exist."""
    assert isinstance(density.space, Categorical), "Gibbs and informed moves are of categories"
    return density.space.existing(x).flatten(1)


def _replaced(x: Tensor, place: Tensor, category: Tensor) -> Any:
    """x with the category of one flattened position a sample changed."""
    return x.flatten(1).scatter(1, place[:, None], category[:, None]).reshape(x.shape)


@streamed
def warmed(move: Move, density: Density, point: MCMCState, keys: Keys, rounds: int) -> Stream[tuple[Any, MCMCState]]:
    """The move with the step that `rounds` moves have taught it, and where they led.

    Args:
        density: the unnormalised density.
        point: where the samples stand, with the values and gradients of the density's terms.
        keys: random keys, one a sample; they decide everything random.
    """
    if move.tuned_step is None or not rounds:
        return move, point
    state = DualAveraging.start(move.tuned_step, move.target_accept)
    for k in range(rounds):
        moved = move.with_step(state.now.exp()).move(point, density, keys.fold(k))
        point, state = moved.point, state.learn(moved.acceptance)
        yield Event(k + 1, rounds, "learning the step", point.x)
    return move.with_step(state.mean.exp()), point
