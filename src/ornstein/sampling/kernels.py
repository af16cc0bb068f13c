"""One move of a sampler: a function from where the samples stand to where they stand next, without hidden state.

The predictor walks from time t to s: DDIM on the belief averaged over the step (spaces/steps.py), which is a multistep
solver of any order in every space that has a flow. Its corrector repeats the step that led here with the belief found
here, at no further call (UniPC, Zhao et al. 2023).
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..beliefs import Belief, tallied
from ..denoisers.base import Condition, Denoiser
from ..denoisers.recall import recalling
from ..effort import Effort
from ..errors import InputError
from ..keys import Keys
from ..spaces import Space, Transition
from ..states import Time, take
from ..values import is_number


@dataclass(frozen=True)
class SamplerState:
    """Where a batch of samples stands.

    Attributes:
        x: the state at time t.
        t: the time, 1 = noise, 0 = data.
        space: the denoiser's space, bound to this batch.
        past: the (time, belief) pairs of the moves so far, latest last, as many as the kernels keep; settled, so that
            no graph of a network outlives its step (Belief.settled).
        nfe: network evaluations so far, of each sample; (batch,) where some were spared.
        before: the state of the latest belief, which the last step started from; None at the start.
        transition: the distribution x was drawn from, if it was drawn.
        population: the weights of the samples, where they are particles of one population (particles.py); else None.
        acceptance: of the last Metropolis moves, a sample (moves.py); None if there were none.
        effort: gradients of the network so far, and what linear solves left unsolved; None if there was none.
    """

    x: Any
    t: Time
    space: Space
    past: tuple[tuple[Time, Belief], ...] = ()
    nfe: int | Tensor = 0
    before: Any = None
    transition: Transition | None = None
    population: Any = None
    acceptance: Tensor | None = None
    effort: Effort | None = None

    @property
    def gradients(self) -> int | Tensor:
        """Vector–Jacobian products of the network so far, of each sample: the cost that nfe does not count."""
        return self.effort.gradients if self.effort else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should be told: the linear solves that ended at their cap."""
        return self.effort.notes if self.effort else ()

    @property
    def belief(self) -> Belief:
        """The latest belief about the clean data."""
        return self.past[-1][1]


@runtime_checkable
class Kernel(Protocol):
    """A move. Correctors leave t at s; the predictor is what brings it there."""

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState: ...


def look(state: SamplerState, denoiser: Denoiser, condition: Condition) -> tuple[Any, int | Tensor]:
    """The settled belief where the samples stand, and the calls it cost: none where a look at another time is as good.

    That is so for samples that have not moved since the latest belief, under a denoiser that does not see the time.

    Args:
        state: where the samples stand, with the latest beliefs.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    if denoiser.recalls and state.past:
        condition = recalling(state.space, condition, state.belief)
    if not denoiser.time_independent or not state.past or not isinstance(state.x, Tensor):
        return denoiser(state.x, state.t, condition).settled(), denoiser.calls
    return look_again(state, (state.x != state.before).flatten(1).any(1), denoiser, condition)


def look_again(state: SamplerState, moved: Tensor, denoiser: Denoiser, condition: Condition) -> tuple[Any, Tensor]:
    """The latest belief, renewed for the samples that have moved; what a factor says of one sample must be shared.

    Args:
        state: where the samples stand, with the latest beliefs.
        denoiser: the model, (x_t, t, condition) → belief.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    if moved.all() or not all(factor.shared(state.x[:1]) for factor in getattr(denoiser, "factors", ())):
        return denoiser(state.x, state.t, condition).settled(), torch.full_like(
            moved, denoiser.calls, dtype=torch.int64
        )
    belief: Any = tallied(state.belief, None)  # its effort is counted already
    if moved.any():
        t = state.t[moved] if isinstance(state.t, Tensor) and state.t.ndim else state.t
        fresh: Any = denoiser(state.x[moved], t, take(condition, moved)).settled()
        logits = belief.logits.clone()
        logits[moved] = fresh.logits.to(logits)
        belief = replace(belief, logits=logits)
    return belief, denoiser.calls * moved.long()


def spent(state: SamplerState, belief: Belief) -> Effort | None:
    """The effort of the walk with that of one more belief."""
    if belief.tally is None or state.effort is None:
        return state.effort if belief.tally is None else belief.tally.effort
    return state.effort + belief.tally.effort


def require_order(order: Any) -> None:
    """InputError unless it is 1, 2 or 3."""
    if not is_number(order) or not isinstance(order, int) or order not in (1, 2, 3):
        raise InputError(f"order is {order!r}, expected 1, 2 or 3")


def require_eta(eta: Any) -> None:
    """InputError unless it is a number in [0, 1]."""
    if not (is_number(eta) and 0 <= eta <= 1):
        raise InputError(f"eta is {eta!r}, expected a number in [0, 1]")


@dataclass(frozen=True)
class Predictor:
    """Denoise, then step to s: one call a step.

    Attributes:
        eta: fresh noise, 0 = deterministic, 1 = ancestral; categories are always ancestral.
        order: how many beliefs the average over the step is made from.
        correct: repeat the previous step with the new belief before taking the next; deterministic only.
    """

    eta: float = 1.0
    order: int = 1
    correct: bool = False

    def __post_init__(self) -> None:
        require_order(self.order)
        require_eta(self.eta)
        if self.correct and self.eta > 0:
            raise InputError(f"only a deterministic step can be corrected, not eta={self.eta}")

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        t, space = state.t, state.space
        belief, calls = look(state, denoiser, condition)
        past = (*state.past, (t, belief))
        x = state.x
        if self.correct and state.past:
            x = space.correct(state.before, x, past[-max(self.order, 2) :], past[-2][0], t)
        past = past[-self.order :]
        transition = space.step(x, space.average(past, t, s, self.eta), t, s, self.eta)
        effort, drawn = spent(state, belief), transition.sample(keys)
        if not isinstance(s, Tensor) and s == 0:
            drawn = denoiser.held(drawn, condition)
        return SamplerState(drawn, s, space, past, state.nfe + calls, x, transition, effort=effort)


@dataclass(frozen=True)
class Restart:
    """A corrector for every space: add noise back, and step down again from there with a fresh belief; one call.

    If belief and step were exact it would leave the law at s as it is; with parallel draws of categories it is a second
    look at what was revealed too soon (remasking; cf. ReMDM, Wang et al. 2025, and Restart, Xu et al. 2023).

    Attributes:
        depth: how far back towards the previous time, 1 = all the way.
        eta: fresh noise of the step down.
    """

    depth: float = 1.0
    eta: float = 1.0

    def __post_init__(self) -> None:
        require_eta(self.eta)
        if not (is_number(self.depth) and 0 < self.depth <= 1):
            raise InputError(f"depth is {self.depth!r}, expected a share of the way back, in (0, 1]")

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        if not state.past or (not isinstance(s, Tensor) and s == 0):
            return state  # data stay as they are
        back = s + self.depth * (state.past[-1][0] - s)
        x = state.space.noise(state.x, back, keys.fold("back"), since=s)
        belief = denoiser(x, back, condition).settled()
        transition, nfe = state.space.step(x, belief, back, s, self.eta), state.nfe + denoiser.calls
        return replace(state, x=transition.sample(keys), nfe=nfe, transition=transition, effort=spent(state, belief))


@dataclass(frozen=True)
class Heun:
    """Heun's method in exponential form (cf. Karras et al. 2022): order 2 in two calls a step, for reference."""

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        state = Predictor(eta=0.0)(replace(state, past=()), s, denoiser, condition, keys)
        if not isinstance(s, Tensor) and s == 0:
            return state
        (t, _), end = state.past[0], denoiser(state.x, s, condition).settled()
        x = state.space.correct(state.before, state.x, (*state.past, (s, end)), t, s)
        return replace(state, x=x, nfe=state.nfe + denoiser.calls, transition=None, effort=spent(state, end))
