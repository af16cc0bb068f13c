"""Between which strengths a target lies: populations measured at some γ, and which γ to measure next.

E_γ[w] grows with γ, so each measured population is an end of a bracket. The next strength is Newton's step made whole:
K′(γ) = target is solved with the nearest population reweighted, while a fifth of it still counts, and is replaced by
the middle of the bracket where it would leave it. A population that stems from a handful of first particles has a mean
and an error that mean nothing: it is an end of the bracket, too, and nothing beyond it is tried.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError
from ..sampling.diagnostics import mean_and_error

FAMILIES = 10
"""From how many first particles a population must stem for its mean to be measured."""
CLOSE = 0.1
"""How near to what cannot be measured is near enough, as a share of the strength."""
_LEAST_ESS = 0.2


@dataclass(frozen=True)
class Measured:
    """w of the samples of one population.

    Attributes:
        gamma: their strength.
        genealogy: the first particle each descends from.
    """

    gamma: float
    values: Float[Tensor, " n"]
    genealogy: Int[Tensor, " n"]

    @cached_property
    def _mean_and_error(self) -> tuple[float, float]:
        return mean_and_error(self.values, self.genealogy)

    @property
    def mean(self) -> float:
        return self._mean_and_error[0]

    @property
    def error(self) -> float:
        """Of the mean; infinite of one family."""
        return self._mean_and_error[1]

    @cached_property
    def ess(self) -> float:
        """How many equally large families would scatter as much: 1/Σ s², s the share of each."""
        shares = self.genealogy.unique(return_counts=True)[1].double() / len(self.genealogy)
        return 1 / shares.square().sum().item()

    @property
    def trusted(self) -> bool:
        """Whether its mean and its error mean something."""
        return self.ess >= FAMILIES and 0 < self.error < inf

    def hits(self, target: float) -> bool:
        return self.trusted and abs(self.mean - target) < 2 * self.error

    def __str__(self) -> str:
        return f"at γ = {self.gamma:.3g} the mean is {self.mean:.4g} ± {self.error:.2g}"


@dataclass(frozen=True)
class Bracket:
    """Between which strengths the target lies.

    Attributes:
        short: the strongest population whose mean falls short of the target; the unguided one at first.
        past: the weakest whose mean is past it, if there is one.
        blind: the weakest that is carried by too few particles to be measured, if there is one.
        stuck: pushing harder has led no farther.
    """

    target: float
    short: Measured
    past: Measured | None = None
    blind: Measured | None = None
    stuck: bool = False

    @property
    def nearest(self) -> Measured:
        """The measured population whose mean is nearest to the target."""
        ends = [end for end in (self.short, self.past) if end is not None]
        return min(ends, key=lambda end: abs(end.mean - self.target))

    @property
    def end(self) -> float | None:
        """The strength beyond which nothing is tried."""
        far = [one.gamma for one in (self.past, self.blind) if one is not None]
        return min(far, key=abs, default=None)

    @property
    def closed(self) -> bool:
        """Whether there is nothing left to try."""
        if self.blind is None or self.end != self.blind.gamma:
            return self.stuck
        if self.past is None and not self._farthest()[1]:
            return True  # not even the particles that were pushed too hard came so far
        return self.stuck or abs(self.blind.gamma - self.short.gamma) < CLOSE * abs(self.blind.gamma)

    def proposed(self) -> tuple[float, bool]:
        """The next strength, by reweighting the nearest population, and whether it should reach the target.

        Where that leaves the bracket, its middle. InputError if there is nothing left to try.
        """
        if self.closed:
            raise self.refusal()
        step, reached = solve(self.nearest.values, self.target)
        gamma, end = self.nearest.gamma + step, self.end
        if end is None:
            return gamma, reached
        low, high = sorted((self.short.gamma, end))
        return (gamma, reached) if low < gamma < high else ((low + high) / 2, reached or self.past is not None)

    def narrowed(self, found: Measured, reached: bool) -> "Bracket":
        """The bracket that knows one more population; reached: it was expected to reach the target."""
        sign = 1 if self.target > self.short.mean else -1
        if not found.trusted:
            flat = found.ess >= FAMILIES  # all of one value: it has come to an end of what is drawn
            return replace(self, blind=found, stuck=flat)
        if sign * (found.mean - self.target) >= 0:
            return replace(self, past=found)
        further = sign * (found.mean - self.short.mean) > 3 * found.values.std().item() / len(found.values) ** 0.5
        return replace(self, short=found, stuck=not (further or reached))

    def refusal(self) -> InputError:
        """Why the target was not met."""
        n, far = len(self.short.values), self._farthest()
        if self.past is None and (self.stuck or self.blind is None or not far[1]):
            return InputError(
                f"a mean of {self.target:g} is beyond what this model draws: {self.short}, the farthest of {n} samples "
                f"{far[0]:.4g}"
            )
        if self.blind is None:
            return InputError(f"a mean of {self.target:g} was not met within two errors: {self.short}, {self.past}")
        return InputError(
            f"a mean of {self.target:g} cannot be measured with {n} samples: at γ = {self.blind.gamma:.3g} they stem "
            f"from as few as {self.blind.ess:.1f} of the first particles, expected {FAMILIES} or more; {self.short}; "
            "take more samples (n) or steps, or a target nearer to the model's own mean"
        )

    def _farthest(self) -> tuple[float, bool]:
        """The farthest sample on the way to the target, and whether it is past it."""
        drawn = torch.cat([one.values for one in (self.short, self.past, self.blind) if one is not None])
        upwards = self.target > self.short.mean
        farthest = (drawn.max() if upwards else drawn.min()).item()
        return farthest, farthest > self.target if upwards else farthest < self.target


def tilted_mean(values: Float[Tensor, " n"], gamma: float) -> float:
    """K′(γ) of the samples: their mean, weighted by exp(γ w)."""
    return (values * (gamma * values).softmax(0)).sum().item()


def tilted_ess(values: Float[Tensor, " n"], gamma: float) -> float:
    """The share of samples that still counts at γ."""
    return 1 / ((gamma * values).softmax(0).square().sum().item() * len(values))


def solve(values: Float[Tensor, " n"], target: float) -> tuple[float, bool]:
    """γ with K′(γ) = target, by bisection (K′ grows); or the γ at which too few samples count, and False."""
    sign = 1.0 if target > values.mean() else -1.0
    scale = values.std().item()
    far = 1e-3 / scale
    while tilted_ess(values, sign * far) > _LEAST_ESS and sign * (target - tilted_mean(values, sign * far)) > 0:
        far *= 2
        if far * scale > 1e6:
            return 0.0, False
    low, high = 0.0, far
    for _ in range(60):
        middle = (low + high) / 2
        short = sign * (target - tilted_mean(values, sign * middle)) > 0
        low, high = (middle, high) if short and tilted_ess(values, sign * middle) > _LEAST_ESS else (low, middle)
    return sign * low, abs(tilted_mean(values, sign * low) - target) < 1e-3 * scale
