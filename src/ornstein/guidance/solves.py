"""The equations of a measurement y = A x₀ + noise under x₀ ~ N(m, C), in units of the noise's width.

With r = y − A m and S = 1 + A C Aᵀ, a solve finds

    log N(r; 0, S),      C Aᵀ S⁻¹ r,      C − C Aᵀ S⁻¹ A C

Either S is formed, a product with C for each measured number, or S⁻¹ is applied by conjugate gradients (Hestenes &
Stiefel 1952), a product an iteration. Several measurements of one state are stacked into one solve: taken one after the
other, each product of the second with its covariance would be a solve of the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import log, pi, prod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..beliefs import Normal
from ..covariances import Covariance, Dense, conditioned
from ..effort import Effort, Tally
from ..errors import InputError
from ..states import left, per_sample_sum
from .operators import Operator, Stack


@dataclass(frozen=True)
class Limits:
    """How far a solve goes.

    Attributes:
        direct: the largest number of measured values for which S is formed.
        tolerance: of the conjugate gradients: |r − S u| ≤ tolerance |r|, for each sample.
        iterations: of the conjugate gradients, at most.
    """

    direct: int = 64
    tolerance: float = 1e-4
    iterations: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance is {self.tolerance}, expected a number between 0 and 1")
        if self.iterations < 1 or self.direct < 0:
            raise InputError(
                f"iterations is {self.iterations} and direct is {self.direct}, expected at least 1 and at least 0"
            )

    def with_those_of(self, other: "Limits") -> "Limits":
        """The stricter of both."""
        tolerance = min(self.tolerance, other.tolerance)
        return Limits(max(self.direct, other.direct), tolerance, max(self.iterations, other.iterations))


@dataclass(frozen=True)
class Whitened(Operator):
    """A / std: a measurement in units of its noise.

    Attributes:
        event: the shape of a state, without the batch axis.
        name: of the operator, for errors.
    """

    operator: Operator
    std: Tensor
    event: tuple[int, ...]
    name: str

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.operator(x) / self.std

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        back: Any = self.operator.adjoint(y / self.std)
        back = back.real if isinstance(back, Tensor) and back.is_complex() else back  # states are real
        if not isinstance(back, Tensor) or tuple(back.shape) != (len(y), *self.event):
            found = f"the shape {tuple(back.shape[1:])}" if isinstance(back, Tensor) else f"a {type(back).__name__}"
            raise InputError(
                f"the adjoint of {self.name} gives {found}, expected that of the state, {self.event}: see "
                "ornstein.testing.check_operator"
            )
        return back


@dataclass(frozen=True)
class Sight:
    """What a measurement says of x₀ at the mean: residual = A (x₀ − m) + noise of width 1.

    Attributes:
        operator: A in units of the noise.
        volume: log of the noise's density at its peak, negated; one number, or one a sample.
    """

    operator: Operator
    residual: Float[Tensor, "batch ..."]
    volume: Float[Tensor, "*batch"]

    @classmethod
    def of(
        cls, operator: Operator, residual: Tensor, std: Tensor, mean: Float[Tensor, "batch ..."], name: str
    ) -> "Sight":
        """Of the difference between what was measured, NaN where nothing was, and what the mean would give."""
        missing = residual.isnan()
        volume = std.log().expand_as(residual[0]).sum() + residual[0].numel() / 2 * log(2 * pi)
        if missing.any():  # as if its noise were infinite
            measured = (std.log() + log(2 * pi) / 2).expand_as(residual).masked_fill(missing, 0.0)
            volume, residual = per_sample_sum(measured), residual.masked_fill(missing, 0.0)
            std = std.expand_as(residual).masked_fill(missing, torch.inf)
        return cls(Whitened(operator, std, tuple(mean.shape[1:]), name), residual / std, volume)


def together(sights: Sequence[Sight]) -> Sight:
    """Several sights of one state as one."""
    if len(sights) == 1:
        return sights[0]
    shapes = tuple(tuple(sight.residual.shape[1:]) for sight in sights)
    residual = torch.cat([sight.residual.flatten(1) for sight in sights], 1)
    volume = reduce(torch.add, [sight.volume for sight in sights])
    return Sight(Stack(tuple(sight.operator for sight in sights), shapes), residual, volume)


def solved(sight: Sight, belief: Normal, limits: Limits) -> tuple[Float[Tensor, " batch"], Normal]:
    """log E of what was seen, and the belief given it.

    Args:
        sight: the measured directions and the noise.
        limits: tolerance and number of iterations.
    """
    formed = prod(sight.residual.shape[1:]) <= limits.direct or isinstance(belief.cov, Dense)
    if formed:
        value, moved, cov = _formed(sight.operator, sight.residual, belief.spread)
    else:
        value, moved, cov = _iterated(Remaining(belief.spread, sight.operator, limits, belief.tally), sight.residual)
    return value - sight.volume, Normal(belief.mean.detach() + moved, cov, belief.tally)


def _formed(white: Operator, residual: Tensor, cov: Covariance) -> tuple[Tensor, Tensor, Covariance]:
    """log N(r; 0, S) less its constant, C Aᵀ S⁻¹ r and the covariance left, S = 1 + A C Aᵀ formed column by column."""
    m = residual[0].numel()
    units = torch.eye(m).to(residual).reshape(m, 1, *residual.shape[1:]).expand(m, *residual.shape)
    gain = torch.stack([cov(white.adjoint(unit)) for unit in units], 1)
    columns = torch.stack([white(column).flatten(1) for column in gain.unbind(1)], 2).double()
    values, axes = torch.linalg.eigh(torch.eye(m).to(columns) + (columns + columns.mT) / 2)
    values = values.clamp(min=1.0)  # a network's covariance need not be positive
    along = torch.einsum("bji,bj->bi", axes, residual.flatten(1).double())
    value = -0.5 * (along**2 / values + values.log()).sum(1)
    precision = (axes / values[:, None] @ axes.mT).to(gain)
    moved = torch.einsum("bmn,bn,bm...->b...", precision, residual.flatten(1), gain)
    return value, moved, conditioned(cov, gain, precision)


@dataclass(frozen=True)
class Remaining:
    """C − C Aᵀ S⁻¹ A C, a solve at each product.

    Attributes:
        tally: where a solve that stopped short is reported.
    """

    cov: Covariance
    white: Operator
    limits: Limits
    tally: Tally | None = None

    def __call__(self, v: Tensor) -> Tensor:
        spread = self.cov(v)
        return spread - self.explained(self.white(spread))

    def explained(self, y: Tensor) -> Tensor:
        """C Aᵀ S⁻¹ y."""
        found = conjugate_gradients(
            lambda u: u + self.white(self.cov(self.white.adjoint(u))), y, self.limits.tolerance, self.limits.iterations
        )
        if self.tally is not None:
            left_over = torch.where(found.residual > self.limits.tolerance, found.residual, 0.0)
            self.tally.add(Effort(0, left_over, found.capped.long()))
        return self.cov(self.white.adjoint(found.x))


def _iterated(remaining: Remaining, residual: Tensor) -> tuple[Tensor, Tensor, Covariance]:
    """The same by conjugate gradients, without log det S."""
    moved = remaining.explained(residual)
    value = -0.5 * per_sample_sum(residual * (residual - remaining.white(moved)))  # as S⁻¹r = r − A C Aᵀ S⁻¹ r
    return value, moved, remaining


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found.

    Attributes:
        x: the iterate with the smallest residual.
        residual: |right − system(x)| / |right|, a sample.
        capped: the samples that were still on their way when the iterations ran out.
        iterations: taken, by the slowest sample.
    """

    x: Float[Tensor, "batch ..."]
    residual: Float[Tensor, " batch"]
    capped: Bool[Tensor, " batch"]
    iterations: int


def conjugate_gradients(
    system: Callable[[Tensor], Tensor],
    right: Float[Tensor, "batch ..."],
    tolerance: float = 1e-6,
    iterations: int = 100,
) -> Solution:
    """Solves system(x) = right for symmetric positive definite systems, each sample to its own relative tolerance.

    A sample whose residual has shrunk by `tolerance`, or in which a direction of negative curvature shows up, stays as
    it is; the iterate with the smallest residual counts. (The covariance of a network need not be positive, nor quite
    symmetric.)

    Args:
        iterations: the largest number of iterations.
    """
    x, residual, direction = torch.zeros_like(right), right, right
    power = whole = per_sample_sum(right**2)
    enough = tolerance**2 * power
    best, least = x, power
    going = power > enough
    taken = 0
    while taken < iterations and going.any():
        taken += 1
        image = system(direction)
        curvature = per_sample_sum(direction * image)
        going = going & (curvature > 0)
        length = left(torch.where(going, power / torch.where(going, curvature, 1.0), 0.0), x)
        x, residual = x + length * direction, residual - length * image
        before, power = power, per_sample_sum(residual**2)
        direction = residual + left(power / before.clamp(min=torch.finfo(before.dtype).tiny), x) * direction
        going = going & (power > enough)
        better = power < least
        best, least = torch.where(left(better, x), x, best), torch.where(better, power, least)
    share = least / whole.clamp(min=torch.finfo(whole.dtype).tiny)
    return Solution(best, share.sqrt(), going, taken)
