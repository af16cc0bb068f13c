"""How exact samples are: effective sample sizes, evidence and its error."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import log
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..files import number, plain


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


def genealogy_error(log_weights: Float[Tensor, " n"], ancestor: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """Standard error of log Z from one run: the scatter of the weight that each first particle's family ended with.

    Source: Chan & Lai 2013, as used by Lee & Whiteley 2018. It overstates a little, as systematic resampling scatters
    less than the independent draws it assumes, and says little once few families are left.
    """
    shares = torch.zeros_like(log_weights).index_add(0, ancestor, log_weights.softmax(0))
    return (shares - 1 / len(shares)).square().sum().sqrt()


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


def mean_and_error(values: Float[Tensor, " n"], genealogy: Int[Tensor, " n"]) -> tuple[float, float]:
    """The mean of samples and its standard error, where samples of one family are not independent."""
    mean = values.mean()
    shares = torch.zeros_like(values).index_add(0, genealogy, (values - mean) / len(values))
    return mean.item(), shares.square().sum().sqrt().item()


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
        error: its standard error.
    """

    method: str
    particles: int
    ess: tuple[float, ...]
    resampled: int
    families: int
    log_evidence: float
    error: float

    @property
    def collapsed(self) -> bool:
        """Whether a handful of particles carries the answer, so that neither it nor its error means much."""
        return self.families < 5 or min(self.ess) * self.particles < 3

    def __str__(self) -> str:
        warning = "; COLLAPSED: take more particles or steps" if self.collapsed else ""
        return (
            f"{self.particles} particles, ESS at least {min(self.ess):.0%}, resampled {self.resampled} ×, "
            f"{self.families} families; log evidence {self.log_evidence:.3f} ± {self.error:.3f}{warning}"
        )

    def record(self) -> dict[str, Any]:
        """In JSON values, for the manifest."""
        ess = [round(share, 4) for share in self.ess]
        return plain({**asdict(self), "collapsed": self.collapsed, "ess": ess})

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Exactness":
        """What `record` was made of; NaN for what was not finite."""
        values = {one.name: record[one.name] for one in fields(cls)}
        numbers = {name: number(values[name]) for name in ("log_evidence", "error")}
        return cls(**{**values, **numbers, "ess": tuple(map(number, values["ess"]))})
