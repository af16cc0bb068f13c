"""The equations of a measurement y = A x₀ + noise under x₀ ~ N(m, C), in units of the noise's width.

With r = y − A m and S = 1 + A C Aᵀ, a solve finds

    log N(r; 0, S),      C Aᵀ S⁻¹ r,      C − C Aᵀ S⁻¹ A C

S is formed where that is cheap: once for all samples where C has a root and is theirs together, a product with C for
each measured number where these are few. Elsewhere S⁻¹ is applied by conjugate gradients, a product an iteration, and
log det S is estimated (krylov.py), preconditioned by a covariance that costs nothing (preconditioners.py). Where there
are many numbers and the belief alone counts, C Aᵀ S⁻¹ r is found in the space of states (within_states.py).

How far the estimate is exact: on 32² fields of spectrum k⁻³ whose covariance is known by its products alone, with 4
probes and a space that knows the spectrum, log E is off by less than 0.01 nats where the spectrum is the whole truth.
Where the amplitude varies by 20 % from place to place, at σ/α = 0.05, 0.5 and 5, it is off by 0.03, 0.2 and 1.0 of 300
numbers (stated: 0.07, 1.4, 2.4), and by 0.01, 1.6 and 2.8 of 1,000 (stated: 0.2, 3.1, 4.6). Particles end where σ/α is
small.

Several measurements of one state are stacked into one solve: taken one after the other, each product of the second with
its covariance would be a solve of the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import log, pi, prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Normal
from ..covariances import Covariance, Dense, Rooted, conditioned, written
from ..effort import Effort, Tally
from ..errors import InputError
from ..spectral.roots import Downdated, Spectral
from ..states import per_sample_sum
from ..values import require_whole
from .krylov import (
    Determinant,
    Product,
    Solution,
    conjugate_gradients,
    formed_log_determinant,
    log_determinant,
    signs,
    spectrum,
)
from .operators import Operator, Stack, real_part
from .preconditioners import Factored, Inner, Preconditioner, columns, diagonal, formed, gaussian, shared
from .within_states import Guess, Move, move_of

SHARED = 4096
"""The largest number of measured values for which S is formed where C has a root and is the same for all samples."""
EACH = 256
"""The same where C has a root, and it or A is each sample's own."""

Preconditioning = Any
""" "gaussian", None, or a function of residuals and the time; see Measurement."""


@dataclass(frozen=True)
class Limits:
    """How far a solve goes; see Measurement.

    Attributes:
        direct: the largest number of measured values for which S is formed, where C costs gradients.
        tolerance: of the conjugate gradients, for each sample: |r − S u| ≤ tolerance |r|, or of the estimated error of
            the move, |A e| ≤ tolerance |r|, in the space of states.
        iterations: of the conjugate gradients, at most.
        preconditioner: "gaussian", None, or a function.
        probes: of the estimate of log det S where S is not formed.
    """

    direct: int = 64
    tolerance: float = 1e-4
    iterations: int = 100
    preconditioner: Preconditioning = "gaussian"
    probes: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance is {self.tolerance}, expected a number between 0 and 1")
        require_whole("iterations", self.iterations, 1)
        require_whole("direct", self.direct, 0)
        require_whole("probes", self.probes, 1)
        if not (self.preconditioner in (None, "gaussian") or callable(self.preconditioner)):
            raise InputError(
                f'preconditioner is {self.preconditioner!r}, expected "gaussian", None, or a function of residuals and '
                "the time"
            )

    def with_those_of(self, other: "Limits") -> "Limits":
        """The stricter of both."""
        return Limits(
            max(self.direct, other.direct),
            min(self.tolerance, other.tolerance),
            max(self.iterations, other.iterations),
            self.preconditioner or other.preconditioner,
            max(self.probes, other.probes),
        )


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

    def normal(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        if self.std.numel() > 1:
            return self.adjoint(self(x))
        return real_part(self.operator.normal(x)) / self.std**2


@dataclass(frozen=True)
class Sight:
    """What a measurement says of x₀ at the mean: residual = A (x₀ − m) + noise of width 1.

    Attributes:
        operator: A in units of the noise.
        volume: log of the noise's density at its peak, negated; one number, or one a sample.
        preconditioner: the user's own, in units of the noise; None = there is none.
    """

    operator: Operator
    residual: Float[Tensor, "batch ..."]
    volume: Float[Tensor, "*batch"]
    preconditioner: Product | None = None

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
    own = [sight.preconditioner for sight in sights]
    stacked = None if all(one is None for one in own) else _beside(own, shapes)
    return Sight(Stack(tuple(sight.operator for sight in sights), shapes), residual, volume, stacked)


def _beside(parts: Sequence[Product | None], shapes: Sequence[tuple[int, ...]]) -> Product:
    """Maps of what several operators give, each of its own; None = the identity."""

    sizes = [prod(shape) for shape in shapes]

    def one(part: Product | None, piece: Tensor, shape: tuple[int, ...]) -> Tensor:
        return piece if part is None else part(piece.reshape(len(piece), *shape)).flatten(1)

    def each(u: Float[Tensor, "batch m"]) -> Float[Tensor, "batch m"]:
        pieces = zip(parts, u.split(sizes, 1), shapes, strict=True)
        return torch.cat([one(*piece) for piece in pieces], 1)

    return each


def solved(
    sight: Sight, belief: Normal, limits: Limits, prior: Rooted | None = None
) -> tuple[Float[Tensor, " batch"], Normal]:
    """log E of what was seen, and the belief given it.

    Args:
        sight: the measured directions and the noise.
        belief: about x₀, of covariance C.
        limits: tolerance and number of iterations.
        prior: G, a covariance that is like C and costs nothing, by which an iterated solve is preconditioned.
    """
    m, cov, white = prod(sight.residual.shape[1:]), belief.spread, sight.operator
    rooted = isinstance(cov, Rooted)
    if rooted and cov.batch == 1 and m <= max(SHARED, limits.direct) and shared(white, belief.mean):
        value, moved, cov = _shared(white, sight.residual, cov)
    elif m <= limits.direct or isinstance(cov, Dense) or (rooted and m <= EACH):
        value, moved, cov = _formed(white, sight.residual, cov)
    else:
        remaining = Remaining.of(sight, belief, limits, prior)
        value, moved = remaining.posterior(sight.residual)
        cov = remaining
    return value - sight.volume, Normal(belief.mean.detach() + moved, cov, belief.tally)


def _formed(white: Operator, residual: Tensor, cov: Covariance) -> tuple[Tensor, Tensor, Covariance]:
    """log N(r; 0, S) less its constant, C Aᵀ S⁻¹ r and the covariance left, S = 1 + A C Aᵀ formed column by column."""
    m = residual[0].numel()
    units = torch.eye(m).to(residual).reshape(m, 1, *residual.shape[1:]).expand(m, *residual.shape)
    gain = torch.stack([cov(white.adjoint(unit)) for unit in units], 1)
    columns = torch.stack([white(column).flatten(1) for column in gain.unbind(1)], 2).double()
    values, axes = spectrum(torch.eye(m).to(columns) + (columns + columns.mT) / 2)
    inverse = torch.where(
        values > 1, 1 / values, 0.0
    )  # a network's covariance need not be positive: nothing moves there
    values = values.clamp(min=1.0)
    along = torch.einsum("bji,bj->bi", axes, residual.flatten(1).double())
    value = -0.5 * (along**2 / values + values.log()).sum(1)
    precision = (axes * inverse[:, None] @ axes.mT).to(gain)
    moved = torch.einsum("bmn,bn,bm...->b...", precision, residual.flatten(1), gain)
    return value, moved, conditioned(cov, gain, precision)


# Iterated ---------------------------------------------------------------------------------------------

_STEPS = (5, 60)
"""Of Lanczos, at least and at most: as many as the solve took iterations, which go through the same spaces."""


@dataclass(frozen=True)
class Remaining:
    """C − C Aᵀ S⁻¹ A C, a solve at each product.

    Attributes:
        like: B ≈ S of which everything is cheap; None = the identity.
        own: the user's preconditioner, in units of the noise, which comes before it.
        tally: where a solve that stopped short is reported.
    """

    cov: Covariance
    white: Operator
    limits: Limits
    like: Preconditioner | None = None
    own: Product | None = None
    tally: Tally | None = None

    @classmethod
    def of(cls, sight: Sight, belief: Normal, limits: Limits, prior: Rooted | None) -> "Remaining":
        """Of a belief and what was seen; see `solved`."""
        cov, white = belief.spread, sight.operator
        if isinstance(cov, Rooted):  # its own products cost nothing either
            like = diagonal(white, cov, sight.residual)
        else:
            like = None if prior is None or written(cov) else gaussian(white, prior, belief.mean, sight.residual)
        return cls(cov, white, limits, like, sight.preconditioner, belief.tally)

    def __call__(self, v: Tensor) -> Tensor:
        return _left(self.cov, self.white, lambda y: self._solved(y).x, v)

    def posterior(self, residual: Float[Tensor, "batch ..."]) -> tuple[Float[Tensor, " batch"], Tensor]:
        """log N(r; 0, S) less its constant, and C Aᵀ S⁻¹ r; 0, or without log det S, where no values are asked for.

        r · S⁻¹ r = 2 r · u − u · S u + ρ · S⁻¹ ρ with ρ = r − S u, of which the last is dropped where the solve reached
        its tolerance, and else is at most ρ · ρ.
        """
        if (guess := self._guess) is not None:
            move = move_of(self.cov, guess, residual, self.limits.tolerance, self.limits.iterations)
            self._report(move)
            return residual.new_zeros(len(residual)), move.z
        found = self._solved(residual)
        u, short = found.x, found.residual > self.limits.tolerance
        moved = self.cov(self.white.adjoint(u))
        image = u + self.white(moved)
        square = 2 * residual.double() * u - u.double() * image
        square = per_sample_sum(square) + torch.where(short, per_sample_sum((residual - image).double() ** 2), 0.0)
        if self.tally is not None and not self.tally.valued:
            return -0.5 * square, moved
        determinant = self._determinant(residual, min(max(found.iterations, _STEPS[0]), _STEPS[1]))
        if self.tally is not None:
            self.tally.add(Effort(doubt=determinant.error / 2))
        return -0.5 * (square + determinant.log_det), moved

    def _system(self, u: Tensor) -> Tensor:
        return u + self.white(self.cov(self.white.adjoint(u)))

    def _solved(self, y: Tensor) -> Solution:
        """S⁻¹ y."""
        tolerance = self.limits.tolerance
        found = conjugate_gradients(self._system, y, tolerance, self.limits.iterations, self.own or self.like)
        self._report(found)
        return found

    def _report(self, found: Solution | Move) -> None:
        """What a solve left over, on the tally."""
        if self.tally is not None:
            left_over = torch.where(found.residual > self.limits.tolerance, found.residual, 0.0)
            self.tally.add(Effort(0, left_over, found.capped.long(), found.residual))

    @cached_property
    def _guess(self) -> Guess | None:
        """Where the belief alone counts, and a spectrum is like C, the solve is one in the space of states."""
        like, unvalued = self.like, self.tally is not None and not self.tally.valued
        if not unvalued or self.own is not None or not isinstance(like, Inner) or not isinstance(like.cov, Spectral):
            return None
        return Guess.of(self.white, like.cov, like.event)

    def _determinant(self, residual: Tensor, steps: int) -> Determinant:
        """log det S."""
        if self.limits.probes >= residual[0].numel():
            return formed_log_determinant(self._system, residual)
        like, probes = self.like, max(self.limits.probes, 32 if written(self.cov) else 1)
        if like is None:
            return log_determinant(self._system, signs(residual, probes), residual, steps)
        further = log_determinant(
            lambda u: like.exactly(self._system(u)), like.probes(probes), residual, steps, like.system
        )
        return like.determinant() + further


# One matrix for all samples ---------------------------------------------------------------------------


def _shared(white: Operator, residual: Tensor, cov: Rooted) -> tuple[Tensor, Tensor, Covariance]:
    """The same where C and A are those of every sample: S is one matrix, whose Cholesky root is taken.

    All in double precision: of what is measured far more closely than it is believed, S⁻¹ r and C Aᵀ S⁻¹ r are small
    differences of large numbers.
    """
    exact = residual.double()
    system = Factored(torch.linalg.cholesky(formed(white, cov, exact)), exact)
    weights = system(exact)
    value = -0.5 * (per_sample_sum(exact * weights) + system.determinant().log_det)
    return value, cov(white.adjoint(weights)).to(residual), SharedRemaining(cov, white, system)


class SharedRemaining(Downdated):
    """C − C Aᵀ S⁻¹ A C of a covariance with a root, once S was formed for all samples at once.

    Its products are two of C and a solve; the directions that it needs for its root are found when they are first asked
    for: with A C Aᵀ = V diag(κ) Vᵀ they are Q = κ^(−½) Vᵀ A L, and λ = κ/(1 + κ).
    """

    _white: Operator
    _system: Factored

    def __init__(self, before: Rooted, white: Operator, system: Factored) -> None:
        """Of C, A and S."""
        for name, part in {"before": before, "_white": white, "_system": system}.items():
            object.__setattr__(self, name, part)

    def __call__(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return _left(self.before, self._white, self._system, v.double()).to(v)

    @property
    def batch(self) -> int:
        return 1

    @cached_property
    def _found(self) -> tuple[Tensor, Tensor]:
        root, like = self._system.root, self._system.like
        values, axes = torch.linalg.eigh(root @ root.T)
        gains = (values - 1).clamp(min=0.0)
        rows = columns(like, lambda u: self.before.root_transposed(self._white.adjoint(u))).double()
        along = (axes * gains.clamp(min=1e-14).rsqrt()).T @ rows.flatten(1)
        return along.reshape(1, *rows.shape), (gains / (1 + gains))[None].clamp(max=1 - 1e-12)

    @property
    def directions(self) -> Float[Tensor, "#batch m ..."]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._found[0]

    @property
    def explained(self) -> Float[Tensor, "#batch m"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._found[1]


def _left(cov: Covariance, white: Operator, inverse: Product, v: Tensor) -> Tensor:
    """C v − C Aᵀ S⁻¹ A C v."""
    spread = cov(v)
    return spread - cov(white.adjoint(inverse(white(spread))))
