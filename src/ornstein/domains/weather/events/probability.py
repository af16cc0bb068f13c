"""How probable an event is.

Of members the probability is their share. What is too rare for that is weighed by particles, see exceeds.py: the
evidence of their population is log P(event).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, nan, sqrt
from typing import TYPE_CHECKING, Any

from jaxtyping import Bool
from torch import Tensor

from ....deferred import deferred
from ....denoisers.base import Condition, Denoiser
from ....guidance.factors import Factor
from ....sampling.diagnostics import Exactness
from .event import Event

if TYPE_CHECKING:
    from scipy import stats
else:
    stats = deferred("scipy.stats")


@dataclass(frozen=True)
class Probability:
    """How probable an event is.

    Attributes:
        event: in words.
        value: the probability.
        error: its standard error.
        low, high: within which it is at 95 %.
        method: "members" or "particles".
        n: how many of these.
        trusted: whether it can be; not where a handful of particles carries the answer.
    """

    event: str
    value: float
    error: float
    low: float
    high: float
    method: str
    n: int
    trusted: bool = True

    @classmethod
    def of_members(cls, event: str, happened: Bool[Tensor, " n"]) -> "Probability":
        """The share of members, with Jeffreys's interval.

        Args:
            event: in words.
            happened: in which members.
        """
        n, k = len(happened), int(happened.sum())
        low, high = stats.beta.ppf([0.025, 0.975], k + 0.5, n - k + 0.5)
        p = (k + 0.5) / (n + 1)
        ends = (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))
        return cls(event, k / n, sqrt(p * (1 - p) / n), *ends, "members", n)

    @classmethod
    def of_particles(cls, event: str, exactness: Exactness, given: Exactness | None = None) -> "Probability":
        """By the evidence of a population, P = exp(log E[g]).

        Args:
            event: in words.
            exactness: of samples of the model with the event.
            given: of samples of the same model without it, where something was observed.
        """
        log_p = exactness.log_evidence - (given.log_evidence if given else 0.0)
        error = sqrt(exactness.error**2 + (given.error**2 if given else 0.0))
        p = exp(min(log_p, 0.0)) if log_p > -700 else 0.0
        low, high = (exp(min(max(log_p + side * 1.96 * error, -700), 0.0)) for side in (-1, 1))
        trusted = isfinite(error) and not exactness.collapsed and not (given is not None and given.collapsed)
        return cls(
            event, p, p * error if isfinite(error) else nan, low, high, "particles", exactness.particles, trusted
        )

    def record(self) -> dict[str, Any]:
        """In JSON values."""
        return dict(vars(self))

    def __str__(self) -> str:
        doubt = "" if self.trusted else "; not to be trusted: take more particles"
        return (
            f"P({self.event}) = {self.value:.3g} ± {self.error:.2g} ({self.low:.3g} to {self.high:.3g} at 95 %, by "
            f"{self.n} {self.method}{doubt})"
        )


def probability(
    model: Denoiser,
    event: Event,
    condition: Condition | None = None,
    given: Sequence[Factor] = (),
    *,
    particles: int = 512,
    steps: int = 60,
    seed: int = 0,
) -> Probability:
    """Of an event of one forecast, however rare, by particles.

    Args:
        model: a denoiser, with its map.
        event: what may happen.
        condition: what the one sample is told, name → (1, ...).
        given: what was observed, such as `Observed.of_record`.
        particles: of a population.
        steps: of its time grid.
        seed: of all random numbers.
    """
    from ....tasks.drawing import sample

    told = {name: value.expand(particles, *value.shape[1:]) for name, value in (condition or {}).items()}
    how = {"condition": told, "exact": "particles", "particles": particles, "steps": steps, "seed": seed}
    for factor in given:
        model = model & factor
    happens = sample(model & event.factor, particles, **how).exactness  # pyright: ignore[reportArgumentType]
    without = sample(model, particles, **how).exactness if given else None  # pyright: ignore[reportArgumentType]
    assert happens is not None
    return Probability.of_particles(event.text, happens, without)
