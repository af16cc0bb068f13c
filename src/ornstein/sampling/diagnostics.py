"""How exact samples are: effective sample sizes, evidence and its error."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isnan, log, nan
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..files import number, plain
from ..text import markup


def effective_sample_size(log_weights: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """(Σ w)² / Σ w²: how many equally weighted samples would say as much (Kong 1992)."""
    return (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()


def log_mean_exp(log_weights: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """log of the mean weight."""
    return log_weights.logsumexp(0) - log(len(log_weights))


def systematic(log_weights: Float[Tensor, " n"], u: Tensor, count: int | None = None) -> Int[Tensor, " count"]:
    """Indices of `count` samples drawn in proportion to their weights with one random number u in (0, 1).

    Sample i is drawn ⌊n W_i⌋ or ⌈n W_i⌉ times (Kitagawa 1996).

    Args:
        log_weights: logarithms of the weights, up to a constant, (n).
    """
    count = count or len(log_weights)
    cumulative = log_weights.double().softmax(0).cumsum(0)
    points = (torch.arange(count, device=u.device) + u) / count * cumulative[-1]
    return torch.searchsorted(cumulative, points).clamp(max=len(log_weights) - 1)


def family_shares(log_weights: Float[Tensor, " n"], ancestor: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The share of the weight that each first particle's family ended with; sum 1."""
    return torch.zeros_like(log_weights).index_add(0, ancestor, log_weights.softmax(0))


def genealogy_error(log_weights: Float[Tensor, " n"], ancestor: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """Standard error of log Z from one run: the scatter of the weight that each first particle's family ended with.

    Source: Chan & Lai 2013, as used by Lee & Whiteley 2018. It overstates a little, as systematic resampling scatters
    less than the independent draws it assumes, and says little once few families are left: see `widening`.
    """
    shares = family_shares(log_weights, ancestor)
    return (shares - 1 / len(shares)).square().sum().sqrt()


def widening(deviations: Float[Tensor, "n *event"], shares: Float[Tensor, " n"]) -> Float[Tensor, "*event"]:
    """By how much an error √Σ d² from the deviations d of families is widened, so that ± 1.96 of it hold 95 %.

    Few families, F = 1/Σ s² in effect: t/z of Student's t with ν = F − 1, by the expansion of Cornish & Fisher (2 % too
    low at ν = 4, and less beyond). Heavy tails, where a run that missed the rare heavy ones is too low, and so is its
    error: the heaviest family counts twice, as if one more like it could have been there, √(1 + max d²/Σ d²).

    Args:
        deviations: of the sum over each family from what it would be if all were alike, in any unit.
        shares: of the families, sum 1; at one family the error is infinite.
    """
    z, dof = 1.96, (1 / shares.double().square().sum() - 1).clamp(min=0)
    few = 1 + (z**2 + 1) / (4 * dof) + (5 * z**4 + 16 * z**2 + 3) / (96 * dof**2)
    squares = deviations.double().square()
    heaviest = (squares.amax(0) / squares.sum(0)).nan_to_num(0.0)
    return few * (1 + heaviest).sqrt()


def missing(shares: Float[Tensor, " families"], level: float = 0.05) -> float:
    """The largest share m of the mass that no family has seen, with confidence 1 − level; 1 if that cannot be bounded.

    A family that carries the share W of the mass speaks for 1/W independent draws: had they missed the share m, which
    happens with probability exp(−m/W), then Σ W exp(−m/W) = level. Of n equal families m = 3.0/n, the rule of three.

    Args:
        shares: of the mass, one a family, ≥ 0, sum 1; families without descendants count nothing.
        level: the probability of having missed more.
    """
    alive = shares.double()[shares > 0]
    low, high = 0.0, 1.0
    if not (alive * (-1 / alive).exp()).sum() < level:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        unseen = float((alive * (-middle / alive).exp()).sum())
        low, high = (middle, high) if unseen > level else (low, middle)
    return high


def errors_of_means(values: Float[Tensor, "n *event"], genealogy: Int[Tensor, " n"]) -> Float[Tensor, "*event"]:
    """Standard errors of the means of samples, where those of one family are not independent; ∞ of one family.

    Families are few and may have heavy tails: the error is widened, so that ± 1.96 of it hold 95 %.

    Args:
        values: in any unit, one or an array a sample.
        genealogy: which samples descend from the same first particle, numbers from 0 below n.
    """
    scatter, sums, shares = _scatter(values, genealogy)
    return scatter * widening(sums, shares)


def _scatter(values: Tensor, genealogy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """√Σ d² of the families' sums d; these; and their shares s.

    They scatter about their own mean, too little by √(1 − 1/F), F = 1/Σ s²; one family says nothing.
    """
    each = torch.full((len(values),), 1 / len(values), dtype=torch.float64, device=values.device)
    shares = torch.zeros_like(each).index_add(0, genealogy, each)
    deviations = (values.double() - values.double().mean(0)) / len(values)
    sums = torch.zeros_like(deviations).index_add(0, genealogy, deviations)
    spread = 1 - shares.square().sum()
    scatter = sums.square().sum(0).sqrt() / spread.sqrt()
    return torch.where(spread > 1e-9, scatter, torch.inf), sums, shares


def mean_and_error(values: Float[Tensor, " n"], genealogy: Int[Tensor, " n"]) -> tuple[float, float]:
    """The mean of samples and its standard error, where samples of one family are not independent."""
    return values.mean().item(), errors_of_means(values, genealogy).item()


def interval(
    values: Float[Tensor, "n *event"], genealogy: Int[Tensor, " n"], level: float = 0.9
) -> tuple[Float[Tensor, "*event"], Float[Tensor, "*event"]]:
    """Between which values a further draw falls with probability `level`, both tails alike.

    Of k independent draws that is between the ordered ones of rank p (k + 1) from either end, p = (1 − level)/2. The
    samples are worth k = (their spread / scatter of their mean)² independent ones, which the genealogy decides; where
    k < 1/p − 1 nothing is known of the tails, and the interval reaches to infinity.

    Args:
        values: in any unit, one or an array a sample.
        genealogy: which samples descend from the same first particle, numbers from 0 below n.
        level: in (0, 1).
    """
    n, tail = len(values), (1 - level) / 2
    ordered = values.double().sort(0).values
    worth = ordered.var(0) / _scatter(values, genealogy)[0].square()
    worth = torch.where(ordered[0] == ordered[-1], n, worth).clamp(max=n)
    rank = (n / worth) * (tail * (worth + 1) - 0.5) - 0.5  # from 0, as independent samples have it at k = n
    below = rank.floor().clamp(0, n - 2).long()
    share = (rank - below).clamp(0, 1)
    ends = []
    for sign, order in ((-1, ordered), (1, ordered.flip(0))):
        one, next_one = (order.gather(0, at[None])[0] for at in (below, below + 1))
        ends.append(torch.where(tail * (worth + 1) < 1, sign * torch.inf, one + share * (next_one - one)))
    return ends[0], ends[1]


def with_error(value: float, error: float) -> str:
    """A logarithm of an evidence and its standard error, in words; of a useless one no digits that mean nothing.

    Args:
        value: nats.
        error: nats.
    """
    return f"{value:.0f} ± {error:.1g}" if error >= 1000 else f"{value:.3f} ± {error:.3f}"


@dataclass(frozen=True)
class Exactness:
    """How the samples were made exact, and how well that went.

    Attributes:
        method: "particles".
        particles: the size of the population.
        ess: effective sample size at every step, as a share of the population.
        resampled: how often the population was resampled.
        families: how many of the first particles have descendants among the last.
        log_evidence: log E[g(x₀)] under the prior, nats; for a measurement log p(y).
        error: its standard error by the families, widened where these are few or unlike: ± 1.96 of it hold 95 %. The
            bias of a chain of too few steps is not in it.
        missing: the largest share of the posterior's mass that the families may have missed, at 95 %, of what the model
            itself can draw: nothing searched for what the model lacks. NaN in records that are older than it.
    """

    method: str
    particles: int
    ess: tuple[float, ...]
    resampled: int
    families: int
    log_evidence: float
    error: float
    missing: float = nan

    @property
    def collapsed(self) -> bool:
        """Whether a handful of particles carries the answer, so that neither it nor its error means much."""
        return self.families < 5 or min(self.ess) * self.particles < 3

    @property
    def verdict(self) -> str:
        """How far the samples can be trusted, in words."""
        if self.collapsed:
            return "COLLAPSED, not to be trusted: take more particles or steps"
        if isnan(self.missing):
            return "how much could be missing was not recorded"
        share = f"{100 * self.missing:.{0 if self.missing > 0.1 else 1}f} %"
        return f"of what the model can draw, at most {share} of the mass could be missing (95 %)"

    @property
    def holds(self) -> bool | None:
        """False if the samples are not to be trusted; None where only the model's own reach is known."""
        return False if self.collapsed else None

    def rows(self) -> list[tuple[str, str]]:
        """Names and values of what was measured, in words."""
        missing = [] if isnan(self.missing) else [("mass that could be missing", f"at most {self.missing:.2g} (95 %)")]
        return [
            ("particles", f"{self.particles:,}, resampled {self.resampled} ×"),
            ("effective sample size", f"at least {min(self.ess):.0%} of them"),
            ("families", f"{self.families:,}"),
            ("log evidence", f"{with_error(self.log_evidence, self.error)} nats"),
            *missing,
        ]

    def _repr_html_(self) -> str:
        return markup.boxed(markup.verdict(self.verdict, self.holds), markup.pairs(self.rows()))

    def __str__(self) -> str:
        return (
            f"{self.particles} particles, ESS at least {min(self.ess):.0%}, resampled {self.resampled} ×, "
            f"{self.families} families; log evidence {with_error(self.log_evidence, self.error)}; {self.verdict}"
        )

    def record(self) -> dict[str, Any]:
        """In JSON values, for the manifest."""
        ess = [round(share, 4) for share in self.ess]
        return plain({**asdict(self), "collapsed": self.collapsed, "ess": ess})

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Exactness":
        """What `record` was made of; NaN for what was not finite, or is not there in an older one."""
        values: dict[str, Any] = {one.name: record.get(one.name) for one in fields(cls)}
        numbers = {name: number(values[name]) for name in ("log_evidence", "error", "missing")}
        return cls(**{**values, **numbers, "ess": tuple(map(number, values["ess"]))})
