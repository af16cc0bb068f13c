"""What a population believes at one time, as it is kept from step to step: looks, and means of the look before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Joint, Normal
from ..covariances import Dense, Rooted, Spelled
from ..effort import Effort
from ..spaces import Space
from ..states import State, Time, concatenate


@dataclass(frozen=True)
class Look:
    """What is believed at one time; settled, so that a population never holds the graph of a past call.

    Attributes:
        terms: of the prior, with their weights.
        prior: the terms combined.
        values: log ψ, (factors, batch), of the tempered factors, conjugate ones first.
        posterior: the belief given the tempered factors.
        certainties: log E of the conjugate factors, not tempered, (conjugate factors, batch): of the last step.
        given: the belief given these.
        effort: what it took.
    """

    terms: Sequence[tuple[Time, Belief]]
    prior: Belief
    values: Float[Tensor, "factors batch"]
    posterior: Belief
    certainties: Float[Tensor, "conjugate batch"]
    given: Belief
    effort: Effort


@dataclass(frozen=True)
class Past:
    """Means of x₀ that were believed at the time before, which the chain's next step looks back to.

    Only of continuous parts without a matrix: {} or no name where there is none.

    Attributes:
        t: the time.
        terms: of the prior.
        posterior: of the belief given the factors.
    """

    t: Time
    terms: tuple[State, ...]
    posterior: State

    @classmethod
    def of(cls, looks: Sequence[Look], t: Time) -> "Past":
        """Of all chunks of particles together."""
        each = [cls(t, tuple(_bare_means(term) for _, term in one.terms), _bare_means(one.posterior)) for one in looks]
        return each[0].having(concatenate([past.means for past in each]))

    @property
    def means(self) -> Mapping[str, State]:
        """The means as one state."""
        return {**{str(k): mean for k, mean in enumerate(self.terms)}, "posterior": self.posterior}

    def having(self, means: Mapping[str, State]) -> "Past":
        """The same of other particles, whose `means` these are."""
        return Past(self.t, tuple(means[str(k)] for k in range(len(self.terms))), means["posterior"])


def averaged(look: Look, past: Past | None, space: Space, t: Time, s: Time) -> Look:
    """The beliefs averaged over the step from t to s, by what was believed before; those with a matrix as they are."""
    if past is None:
        return look

    def average(belief: Belief, mean: State) -> Belief:
        return space.average([(past.t, _with_mean(belief, mean)), (t, belief)], t, s, 1.0)

    terms = [(weight, average(term, mean)) for (weight, term), mean in zip(look.terms, past.terms, strict=True)]
    return replace(look, terms=terms, posterior=average(look.posterior, past.posterior))


def plain(belief: Any) -> Any:
    """The belief by its means alone: several terms are one chain of plain steps, as their combination has no root."""
    if isinstance(belief, Joint):
        return replace(belief, parts={name: plain(part) for name, part in belief.parts.items()})
    return replace(belief, cov=None) if isinstance(belief, Normal) else belief


def spelled(belief: Any, most: int) -> Any:
    """The belief with its covariance as a matrix, where that is at hand or small."""
    if isinstance(belief, Joint):
        return Joint({name: spelled(part, most) for name, part in belief.parts.items()})
    if not isinstance(belief, Normal) or belief.cov is None or isinstance(belief.cov, Dense):
        return belief
    small = belief.mean[0].numel() <= most
    return belief.spelled_out() if small or isinstance(belief.cov, Spelled) else belief


def _bare(belief: Belief) -> bool:
    """Whether a step by the belief knows its mean alone."""
    return isinstance(belief, Normal) and not isinstance(belief.cov, Dense | Rooted)


def _bare_means(belief: Belief) -> State:
    """The means that the belief is known by; no name where there is more to know."""
    if isinstance(belief, Joint):
        return {name: part.mean for name, part in belief.parts.items() if _bare(part)}
    return belief.mean if _bare(belief) else {}


def _with_mean(belief: Belief, mean: State) -> Belief:
    """The belief with these means; unchanged where there are none."""
    if isinstance(mean, Tensor):
        return Normal(mean)
    if not isinstance(belief, Joint):
        return belief
    return Joint({name: _with_mean(part, mean.get(name, {})) for name, part in belief.parts.items()})
