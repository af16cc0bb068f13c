"""Inequalities, with a stated slack: low ≤ x₀ ≤ high.

    log g(x₀) = Σ_i log Φ((x_i − low_i)/slack) + log Φ((high_i − x_i)/slack)

Φ is the normal distribution function: a wall whose foot is as wide as the slack. At a limit itself g is ½, a slack
beyond it 0.16, three slacks beyond it 0.0013. What must never be beyond is a matter of a transform of the data (a
logarithm, a logit), not of a factor.

Given a belief N(m, C), each element's walls become the measurement that has the same effect on that element's own
marginal (expectation propagation, Minka 2001, one sweep, which is exact for one element). With Z_i = E[g_i] under
N(m_i, v_i)

    a = ∂ log Z_i/∂m_i,    k = −∂a/∂m_i,        y_i = m_i + a/k,    noise variance (1 − v_i k)/k

and all of them are one linear solve. v is the diagonal of C where that is a matrix or small; of a field it is taken to
be the same everywhere, and C stays as it is. An expansion at the mean, as of any smooth factor, would pile samples up
at the walls: it does not see that g keeps the half of a belief that lies within.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import log, pi, sqrt
from typing import Any, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor

from ...beliefs import Belief, Normal
from ...covariances import Covariance, Dense, Diagonal, dense
from ...errors import InputError
from ...spaces import Euclidean, Space
from ...spectral.roots import Spectral
from ...states import State, Time, per_sample_sum
from ...values import Numbers, as_tensor, is_number
from ..factors import Smooth, Updated
from ..operators import Mask, Operator
from ..solves import Limits, Sight, Whitened, solved

_PROBES = 8
"""Products with a field's covariance, by which its mean variance is found."""


@dataclass(frozen=True, eq=False)
class Bounded(Smooth):
    """low ≤ x₀ ≤ high, element by element, to within a slack. Particles weigh it with its own value.

    Attributes:
        low: a number, or a field that broadcasts to an event, in the units of the data; None, or −∞ here and there = no
            limit.
        high: likewise, with +∞.
        slack: the width of the foot of the wall, in the units of the data.
        power: of g.
        map: from the states to the field that is bounded, bound; put there by `through`.
    """

    low: Numbers | None = None
    high: Numbers | None = None
    slack: float = 1e-2
    power: float = 1.0
    map: Any = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not is_number(self.slack) or self.slack <= 0:
            raise InputError(f"Bounded: slack is {self.slack}, expected a positive width in the units of the data")
        limits = {name: _limit(name, getattr(self, name)) for name in ("low", "high")}
        if all(limit is None for limit in limits.values()):
            raise InputError("Bounded: neither low nor high is given, expected one of them at least")
        for name, limit in limits.items():
            object.__setattr__(self, name, limit)
        if self.low is not None and self.high is not None:
            self._require_room(self.low, self.high)

    def _require_room(self, low: Tensor, high: Tensor) -> None:
        try:
            wrong = (low >= high).nonzero()
        except RuntimeError:
            shapes = f"{tuple(low.shape)} and {tuple(high.shape)}"
            raise InputError(f"Bounded: low and high have the shapes {shapes}, expected that of an event") from None
        if len(wrong):
            place = tuple(wrong[0].tolist())
            below, above = (limit[place].item() for limit in torch.broadcast_tensors(low, high))
            raise InputError(f"Bounded: element {place}: low is {below:g} and high {above:g}, expected low < high")

    def require_fit(self, space: Space) -> None:
        if not isinstance(space, Euclidean):
            raise InputError(f"Bounded is of continuous data, not of {type(space).__name__}: see .on(name)")
        for name in ("low", "high"):
            limit = getattr(self, name)
            if limit is None:
                continue
            try:
                fits = torch.broadcast_shapes(limit.shape, space.shape) == space.shape
            except RuntimeError:
                fits = False
            if not fits:
                raise InputError(f"Bounded: {name} has the shape {tuple(limit.shape)}, expected that of {space.shape}")

    def log_g(self, code: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
        x = (code if self.map is None else self.map(code)).double()
        walls = torch.zeros_like(x)
        if self.low is not None:
            walls = walls + _log_phi((x - self.low.to(x)) / self.slack)
        if self.high is not None:
            walls = walls + _log_phi((self.high.to(x) - x) / self.slack)
        return self.power * per_sample_sum(walls)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        if isinstance(belief, Normal) and isinstance(belief.cov, Diagonal) and not belief.cov.variance.any():
            return self.log_g(belief.mean)
        return self._matched(belief)[0] if self._matches(belief) else super().log_expect(belief)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self._matched(belief) if self._matches(belief) else super().update(belief, x_t, t, space)

    def _matches(self, belief: Belief) -> TypeGuard[Normal]:
        """Whether walls can be measurements: of g itself, walls that do not touch, and what is linear in the states."""
        linear = self.map is None or self.map.affine
        return isinstance(belief, Normal) and self.power == 1 and self._wide and linear

    @cached_property
    def _wide(self) -> bool:
        low, high = self.low, self.high
        return low is None or high is None or bool((high - low > 6 * self.slack).all())

    def _matched(self, belief: Normal) -> Updated:
        """log E[g], and the belief given the measurements that stand for the walls."""
        small, event = _small(belief), tuple(belief.mean.shape[1:])
        seen, cov, like = self._field(belief)
        mean, variance = like.double(), _variances(cov, like, small).clamp(min=0).expand_as(like)
        mass, slope, bend = self._moments(mean, variance)
        active = bend * torch.maximum(variance, mean.new_tensor(self.slack**2)) > 1e-12  # elsewhere nothing is said
        bend = torch.where(active, bend, 1.0)
        offset = torch.where(active, slope / bend, 0.0)
        noise = (1 / bend - variance).clamp(min=1e-12 * self.slack**2)
        std = torch.where(active, noise.sqrt(), torch.inf)
        volume = per_sample_sum(torch.where(active, std.log() + log(2 * pi) / 2, 0.0))
        white = Whitened(seen, std.flatten(1).to(like), event, "Bounded")
        sight = Sight(white, (offset / std).flatten(1).to(like), volume)
        if small:
            value, given = solved(sight, belief, Limits(like[0].numel()))
        else:  # as a map alone: what is left of a root would be each sample's own, and is not kept
            value, given = solved(sight, replace(belief, cov=belief.spread.__call__), Limits())
        alone = -0.5 * (offset**2 / (noise + variance) + (2 * pi * (noise + variance)).log())
        value = value + per_sample_sum(mass - torch.where(active, alone, 0.0))
        return value, given if small else replace(belief, mean=given.mean)

    def _field(self, belief: Normal) -> tuple[Operator, Covariance, Tensor]:
        """What leads from the states to the elements that are bounded, and the covariance and the mean of these."""
        mean = belief.mean.detach() if self.map is None else self.map(belief.mean.detach())
        every = Mask(torch.ones(mean.shape[1:], dtype=torch.bool))
        if self.map is None:
            return every, belief.spread, mean
        return every @ self.map.operator, _Seen(belief.spread, self.map.operator), mean

    def _moments(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log Z of every element, its slope in the mean, and its bend, negated."""
        with torch.enable_grad():
            at = mean.clone().requires_grad_()
            mass = self._log_mass(at, (variance + self.slack**2).sqrt())
            (slope,) = torch.autograd.grad(mass.sum(), at, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), at)
        return mass.detach(), slope.detach(), -bend

    def _log_mass(self, mean: Tensor, width: Tensor) -> Tensor:
        """log E[g_i] under a normal distribution; of two walls that do not touch g = Φ_low + Φ_high − 1."""
        low, high = (None if one is None else one.to(mean) for one in (self.low, self.high))
        if low is None:
            assert high is not None
            return _log_phi((high - mean) / width)
        if high is None:
            return _log_phi((mean - low) / width)
        below, above = (((mean - low) / width).clamp(max=1e6), ((high - mean) / width).clamp(max=1e6))
        upper = above < below  # the difference is taken where its terms are small
        near, far = torch.where(upper, above, below), torch.where(upper, below, above)
        first = _log_phi(near)
        return first + torch.log1p(-(_log_phi(-far) - first).exp())

    def through(self, map: Any) -> "Bounded":
        return replace(self, map=map if self.map is None else self.map @ map)

    def violations(self, x: Float[Tensor, "batch ..."], by: float = 0.0) -> Float[Tensor, " batch"]:
        """The share of the elements of each sample that lie beyond a limit.

        Args:
            x: samples, (batch, ...).
            by: how far beyond, in units of the slack.
        """
        beyond, room = torch.zeros_like(x, dtype=torch.bool), by * self.slack
        if self.low is not None:
            beyond = beyond | (x < self.low.to(x) - room)
        if self.high is not None:
            beyond = beyond | (x > self.high.to(x) + room)
        return beyond.flatten(1).double().mean(1)

    def tempered(self, power: float) -> "Bounded":
        return replace(self, power=self.power * power)

    @property
    def provenance(self) -> Mapping[str, Any]:
        limits = {name: _in_short(getattr(self, name)) for name in ("low", "high") if getattr(self, name) is not None}
        return {"factor": "Bounded", **limits, "slack": float(self.slack)}


def _small(belief: Normal) -> bool:
    """Whether the covariance is written out."""
    return isinstance(belief.cov, Dense) or belief.mean[0].numel() <= Limits().direct


@dataclass(frozen=True)
class _Seen:
    """M C Mᵀ, the covariance of M x₀."""

    cov: Covariance
    operator: Operator

    def __call__(self, v: Tensor) -> Tensor:
        return self.operator(self.cov(self.operator.adjoint(v)))


def _variances(cov: Covariance, like: Float[Tensor, "batch ..."], small: bool) -> Float[Tensor, "#batch ..."]:
    """Of each element, float64; of fields the mean over all of them, from random signs where it is not known."""
    ones = [1] * (like.ndim - 1)
    if small:
        matrix = cov if isinstance(cov, Dense) else dense(cov, like)
        return matrix.matrix.detach().double().diagonal(dim1=1, dim2=2).reshape(like.shape)
    if isinstance(cov, Spectral):
        return cov.variance.flatten(1).mean(1).reshape(-1, *ones)
    generator, total = torch.Generator().manual_seed(0), torch.zeros(len(like), dtype=torch.float64, device=like.device)
    for _ in range(_PROBES):
        signs = (torch.randint(0, 2, like.shape[1:], generator=generator) * 2 - 1).to(like).expand_as(like)
        total = total + (signs * cov(signs)).detach().double().flatten(1).mean(1) / _PROBES
    return total.reshape(-1, *ones)


def _log_phi(z: Tensor) -> Tensor:
    """log Φ(z), whose slope and bend are right far out, too: below −12 its asymptotic series.

    There torch's own bend is a difference of large numbers, and of either sign.
    """
    near, far = z.clamp(-12.0, 40.0), -z.clamp(max=-12.0)
    series = torch.log1p(-(far**-2) + 3 * far**-4 - 15 * far**-6 + 105 * far**-8)
    return torch.where(z < -12, -(far**2) / 2 - (far * sqrt(2 * pi)).log() + series, torch.special.log_ndtr(near))


def _limit(name: str, value: Any) -> Tensor | None:
    """A limit as numbers, infinite where there is none; InputError for NaN, or a limit that nothing can meet."""
    if value is None:
        return None
    limit = as_tensor(value, f"Bounded: {name}")
    if limit.is_complex() or limit.dtype == torch.bool:
        raise InputError(f"Bounded: {name} holds {limit.dtype}, expected real numbers")
    limit = limit if limit.is_floating_point() else limit.double()
    wrong = (limit.isnan() | (limit == (torch.inf if name == "low" else -torch.inf))).nonzero()
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise InputError(f"Bounded: {name}: element {place} is {limit[place].item()}, expected a limit that can be met")
    return limit


def _in_short(limit: Tensor) -> float | str:
    return limit.item() if limit.numel() == 1 else "one an element"
