"""One move of a sampler: a function from where the samples stand to where they stand next, without hidden state.

The predictor walks from time t to s. It is DDIM on an extrapolated belief: with the change of the belief since the last
step carried forward, DDIM becomes the second-order multistep solver DPM-Solver++(2M) (Lu et al. 2022), in every space.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from .beliefs import Belief
from .denoisers import Condition, Denoiser
from .keys import Keys
from .spaces import Transition
from .states import State, Time


@dataclass(frozen=True)
class Walk:
    """Where a batch of samples stands.

    Attributes:
        x: the state at time t.
        t: the time, 1 = noise, 0 = data.
        past: the (time, belief) pairs of the moves so far, latest last, as many as the kernels keep.
        nfe: network evaluations a sample so far.
        transition: the distribution x was drawn from; None at the start.
    """

    x: Any
    t: Time
    past: tuple[tuple[Time, Belief], ...] = ()
    nfe: int = 0
    transition: Transition | None = None

    @property
    def belief(self) -> Belief:
        """The latest belief about the clean data."""
        return self.past[-1][1]


@runtime_checkable
@runtime_checkable
class Kernel(Protocol):
    """A move. Correctors leave t at s; the predictor is what brings it there."""

    def __call__(self, walk: Walk, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys) -> Walk: ...


@dataclass(frozen=True)
class Predictor:
    """Denoise, then step to s.

    Attributes:
        eta: fresh noise, 0 = deterministic (DDIM), 1 = ancestral; categories are always ancestral.
        order: 1, or 2 to extrapolate the belief from the previous step.
    """

    eta: float = 1.0
    order: int = 1

    def __post_init__(self) -> None:
        if self.order not in (1, 2) or not 0 <= self.eta <= 1:
            raise ValueError(f"order must be 1 or 2 and eta in [0, 1], not order={self.order}, eta={self.eta}")

    def __call__(self, walk: Walk, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys) -> Walk:
        space = denoiser.space.where(condition.get("mask"))
        belief = denoiser(walk.x, walk.t, condition)
        past = (*walk.past, (walk.t, belief))[-self.order :]
        ahead = space.ahead(past, s)
        transition = space.step(walk.x, ahead, walk.t, s, self.eta)
        x: State = transition.sample(keys)
        return Walk(x, s, past, walk.nfe + denoiser.calls, transition)
