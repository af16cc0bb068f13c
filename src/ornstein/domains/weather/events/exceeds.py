"""That an event of a threshold happens, as a factor: 1 or 0, foreseen by the law of a statistic under a belief.

With the statistic s(u) ~ N(m, v) of a belief, m = s(mean), v = ∇s C ∇s,

    log E[1(s > c)] = L = log Φ(z),      z = (m − c)/√v,      mean += C d,      cov −= δ/λ² C d d C

with d = ∇L, λ = φ(z)/Φ(z), δ = λ (λ + z): both moments of the truncated normal law, exact where s is linear and the
belief normal. Of several places or leads, at any of which it may happen, L is that of independent ones, which all vary
as the likeliest does. At last the event itself decides, so that what a foresight misses costs particles and no bias.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import pi, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ....beliefs import Belief, Normal
from ....covariances import conditioned
from ....denoisers.maps import Map
from ....errors import InputError
from ....guidance.factors import Factor, Updated
from ....guidance.functions import After
from ....guidance.slopes import gradient
from ....spaces import Space
from ....states import State, Time, left, per_sample_sum
from ..roots import to_u


@dataclass(frozen=True, eq=False)
class Level:
    """Any of some statistics is above a threshold.

    Attributes:
        statistic: (batch, ...) → (batch, any), differentiable.
        threshold: of all of them.
    """

    statistic: Callable[[Any], Tensor]
    threshold: float

    def at(self, mean: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The statistics less the threshold, in float64, and the slope of a weighted sum of them."""
        with torch.enable_grad():
            point = mean.detach().requires_grad_()
            value = self.statistic(point)

        def slope(weights: Tensor) -> Tensor:
            with torch.enable_grad():
                total = (value * weights.to(value)).sum()
            found = gradient(total, point, create_graph=True)  # as it may be asked for twice
            return torch.zeros_like(point) if found is None else found.detach()

        return value.detach().double() - self.threshold, slope


@dataclass(frozen=True, eq=False)
class Exceeds(Factor):
    """1 where an event happens, else 0.

    Attributes:
        level: of u: what is foreseen of the event.
        happened: of physical fields, (batch, ...) → (batch,): the event itself.
        name: for manifests.
        start: one that is linear and says nearly the same: the slope is then taken where that reaches its threshold, as
            the first-order reliability method does (Hasofer & Lind 1974), not at the mean, where it may be 0.
        power: of what is foreseen.
    """

    level: Level
    happened: Callable[[Any], Tensor]
    name: str = "event"
    start: Level | None = None
    power: float = 1.0

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "Exceeds", "of": self.name}

    def tempered(self, power: float) -> "Exceeds":
        return replace(self, power=self.power * power)

    def through(self, map: Map) -> "Exceeds":
        found, of_u = replace(self, happened=After(self.happened, map)), to_u(map)
        if of_u is None:
            return found
        levels = {name: one for name in ("level", "start") if (one := getattr(self, name)) is not None}
        moved = {name: replace(one, statistic=After(one.statistic, of_u)) for name, one in levels.items()}
        return replace(found, **moved)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._foreseen(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        value, towards, less = self._foreseen(belief, moved=True)
        assert isinstance(belief, Normal)
        cov = conditioned(belief.spread, towards[:, None], less[:, None, None].to(towards))
        return value, replace(belief, mean=belief.mean + self.power * towards, cov=cov)

    def _foreseen(self, belief: Belief, moved: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """L, and where the belief is to move: C d and δ/λ²."""
        if not isinstance(belief, Normal):
            raise InputError(f"{self.name}: an event is of continuous fields")
        mean = belief.mean.detach()
        at = mean if self.start is None else _first_reached(self.start, belief)
        value, slope_of = self.level.at(at)
        best = torch.nn.functional.one_hot(value.argmax(1), value.shape[1]).double()
        slope = slope_of(best)
        towards = belief.covary(slope).detach()
        std = per_sample_sum(slope.double() * towards.double()).clamp(min=0).sqrt()
        value = value + per_sample_sum(slope.double() * (mean - at).double())[:, None]
        certain = std <= 0
        z = value / torch.where(certain, 1.0, std)[:, None]
        log_share, weights = _any(z)
        if bool(certain.any()):  # a belief without doubt: the event itself
            decided = torch.where(self.happened(mean), 0.0, -torch.inf).to(log_share)
            log_share = torch.where(certain, decided, self.power * log_share)
        else:
            log_share = self.power * log_share
        if not moved:
            return log_share, towards, std
        weights = torch.where(certain[:, None], 0.0, weights / std.clamp(min=1e-30)[:, None])
        if value.shape[1] > 1:
            towards = belief.covary(slope_of(weights)).detach()
        else:
            towards = (left(weights[:, 0], towards) * towards.double()).to(towards)
        return log_share, towards, _narrowed(z, weights)


def _any(z: Float[Tensor, "batch any"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch any"]]:
    """log(1 − Π Φ(−z)), and its slope."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        none = torch.special.log_ndtr(-z).sum(1)
        rare = torch.special.log_ndtr(z).logsumexp(1)
        found = torch.where(none > -1e-4, rare, (-torch.expm1(none.clamp(max=-1e-5))).log())
        found = torch.special.log_ndtr(z[:, 0]) if z.shape[1] == 1 else found
        (slope,) = torch.autograd.grad(found.sum(), z)
    return found.detach(), slope.nan_to_num()


def _narrowed(z: Float[Tensor, "batch any"], weights: Float[Tensor, "batch any"]) -> Float[Tensor, " batch"]:
    """δ/λ² of the likeliest, as far as it is the only one that counts."""
    best = z.amax(1)
    share = (-(best**2) / 2 - torch.special.log_ndtr(best)).exp() / sqrt(2 * pi)
    explained = (share * (share + best)).clamp(0, 1 - 1e-6) * weights.amax(1) / weights.sum(1).clamp(min=1e-30)
    return torch.where(share > 1e-9, explained / share.clamp(min=1e-9) ** 2, 0.0)


def _first_reached(level: Level, belief: Normal) -> Tensor:
    """Where a linear statistic first reaches its threshold: the likeliest of such fields."""
    value, slope_of = level.at(belief.mean)
    best = value.argmax(1)
    slope = slope_of(torch.nn.functional.one_hot(best, value.shape[1]).double())
    towards = belief.covary(slope).detach()
    variance = per_sample_sum(slope.double() * towards.double())
    gap = (-value.amax(1)).clamp(min=0)
    share = torch.where(variance > 0, gap / variance.clamp(min=1e-30), 0.0)
    return (belief.mean + left(share, towards) * towards).detach().to(belief.mean)
