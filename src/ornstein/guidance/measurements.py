"""Conjugate factors: what was measured, and what is fixed. Their answers are exact wherever the belief is.

With x₀ ~ N(m, C), a measurement y = A x₀ + noise of covariance R, r = y − A m and S = R + A C Aᵀ:

    log E[g] = log N(r; 0, S),        mean += C Aᵀ S⁻¹ r,        cov −= C Aᵀ S⁻¹ A C

C is the belief's covariance, by Tweedie's formula where the denoiser is a network (moment matching: Boys et al. 2023,
Rozet et al. 2024). A fixed value is the limit R → 0, and for categories a mask on the logits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import log, pi
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..beliefs import Belief, Normal, Probs
from ..covariances import Covariance, Dense, conditioned
from ..errors import InputError
from ..spaces import Categorical, Space
from ..states import State, Time, per_sample_sum
from .factors import Factor, Updated
from .functions import name_of
from .operators import Operator, Relative, Subset, conjugate_gradients, tangent


@dataclass(frozen=True, eq=False)
class Measurement(Factor):
    """y = A x₀ + noise, for continuous data.

    A function that is not an Operator is linearised at m in every step. Up to `direct` numbers, or where C is a matrix,
    S is formed and solved exactly; beyond, S⁻¹ is applied by conjugate gradients, and log_expect leaves out the part of
    log det S that comes from C: evidence is then log p(y) only up to what C still is at the last noisy time.

    Attributes:
        y: what was measured, of the shape of A x₀ without the batch axis (or with it: one measurement a sample, which
            cannot be one population of particles).
        operator: an Operator, or any differentiable function of a batch of events.
        std: of the noise, in the units of y: a number, or one an element (correlated noise: operators.whitener).
        direct: the largest number of measured values for which S is formed.
        tolerance: of the conjugate gradients, relative, for each sample.
    """

    y: Float[Tensor, "..."]
    operator: Operator | Callable[[Tensor], Tensor]
    std: float | Float[Tensor, "..."]
    direct: int = 64
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if not bool((torch.as_tensor(self.std) > 0).all()):
            raise InputError("a measurement without noise is a constraint: use Fixed")

    @property
    def conjugate(self) -> bool:
        return isinstance(self.operator, Operator)

    @property
    def record(self) -> Mapping[str, Any]:
        std = self.std if isinstance(self.std, float | int) else "one an element"
        return {"factor": "Measurement", "of": name_of(self.operator), "numbers": self.y.numel(), "std": std}

    def tempered(self, power: float) -> "Measurement":
        return replace(self, std=self.std * power**-0.5)

    def shared(self, x: State) -> bool:
        assert isinstance(x, Tensor)
        return self.y.ndim < self._linear(x)[0].ndim or len(self.y) == 1

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._posterior(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self._posterior(belief)

    def _posterior(self, belief: Belief) -> Updated:
        if not isinstance(belief, Normal):
            raise InputError("a measurement is of continuous data: measure a part of a product with .on(name)")
        mean = belief.mean.detach()
        seen, operator = self._linear(mean)
        if self.y.shape not in (seen.shape[1:], seen.shape, (1, *seen.shape[1:])):
            raise InputError(f"y has the shape {tuple(self.y.shape)}, its operator gives {tuple(seen.shape[1:])}")
        std = torch.as_tensor(self.std, dtype=mean.dtype, device=mean.device)
        white = _Whitened(operator, std)
        residual = (self.y.to(mean) - seen) / std
        formed = residual[0].numel() <= self.direct or isinstance(belief.cov, Dense)
        solve = _direct if formed else self._iterative
        value, moved, cov = solve(white, residual, belief.spread)
        volume = std.log().expand_as(residual[0]).sum() + residual[0].numel() / 2 * log(2 * pi)
        return value - volume, Normal(mean + moved, cov)

    def _linear(self, mean: Tensor) -> tuple[Tensor, Operator]:
        if isinstance(self.operator, Operator):
            return self.operator(mean), self.operator
        return tangent(self.operator, mean)

    def _iterative(self, white: "_Whitened", residual: Tensor, cov: Covariance) -> tuple[Tensor, Tensor, Covariance]:
        def explained(y: Tensor) -> Tensor:
            """C Aᵀ S⁻¹ y."""
            weights = conjugate_gradients(lambda u: u + white(cov(white.adjoint(u))), y, self.tolerance)
            return cov(white.adjoint(weights))

        moved = explained(residual)
        value = -0.5 * per_sample_sum(residual * (residual - white(moved)))  # r·S⁻¹r, as S⁻¹r = r − A C Aᵀ S⁻¹ r
        return value, moved, lambda v: cov(v) - explained(white(cov(v)))


@dataclass(frozen=True)
class _Whitened:
    """A / std: the measurement in units of its noise."""

    operator: Operator
    std: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.operator(x) / self.std

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(y / self.std)


def _direct(white: _Whitened, residual: Tensor, cov: Covariance) -> tuple[Tensor, Tensor, Covariance]:
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


@dataclass(frozen=True, eq=False)
class Fixed(Factor):
    """Some elements or positions are known and hold exactly: boundary values, fixed atoms, fixed residues.

    Attributes:
        value: of one sample's shape; read only where `where` holds.
        where: which elements (or positions of categories) are fixed.
        slack: with which continuous values are weighed while they are still noisy, in the units of the data.
    """

    value: Tensor
    where: Bool[Tensor, "..."]
    slack: float = 1e-3

    def __post_init__(self) -> None:
        if not self.where.any():
            raise InputError("nothing is fixed: `where` holds nowhere")

    @property
    def conjugate(self) -> bool:
        return True

    @property
    def record(self) -> Mapping[str, Any]:
        return {"factor": "Fixed", "elements": int(self.where.sum())}

    def tempered(self, power: float) -> "Fixed":
        return self

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._posterior(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self._posterior(belief)

    def known(self, x_t: Any, space: Space) -> Any:
        """Under masks a token that is known is as good as one that was revealed: the belief about the rest is exact."""
        if not isinstance(space, Categorical) or not space.absorbing:
            return x_t
        return torch.where(self.where.to(x_t.device), self.value.to(x_t.device), x_t)

    def _posterior(self, belief: Belief) -> Updated:
        if isinstance(belief, Probs):
            return self._chosen(belief)
        if isinstance(belief, Normal):
            return self._pinned(belief)
        raise InputError("fix a part of a product with .on(name)")

    def _chosen(self, belief: Probs) -> Updated:
        where, value = self.where.to(belief.logits.device), self.value.to(belief.logits.device)
        states = torch.nn.functional.one_hot(torch.where(where, value, 0), belief.logits.shape[-1]).bool()
        known = belief.log_probs.masked_fill(~states, 0.0).sum(-1)
        logits = torch.where(where[..., None], torch.where(states, 0.0, -torch.inf).to(belief.logits), belief.logits)
        return per_sample_sum(torch.where(where, known, 0.0)), replace(belief, logits=logits)

    def _pinned(self, belief: Normal) -> Updated:
        where, value = self.where.to(belief.mean.device), self.value.to(belief.mean)
        seen = Measurement(value[where], Subset(where), self.slack)
        log_prob, posterior = seen._posterior(belief)
        mean = torch.where(where, value, posterior.mean)
        return log_prob, Normal(mean, _within(posterior.spread, ~where))


def _within(cov: Covariance, free: Tensor) -> Covariance:
    """The covariance of the free elements, 0 elsewhere: a matrix again where it is one."""
    if not isinstance(cov, Dense):
        return _Free(cov, free)
    flat = free.flatten().to(cov.matrix)
    return Dense(cov.matrix * flat[:, None] * flat)


@dataclass(frozen=True)
class _Free:
    """A covariance within the elements that are free."""

    cov: Covariance
    free: Tensor

    def __call__(self, v: Tensor) -> Tensor:
        return self.cov(v * self.free) * self.free


@dataclass(frozen=True, eq=False)
class Rigid(Fixed):
    """Some points of a cloud are known about their own centre and hold exactly, wherever in the cloud they lie.

    For centred clouds, in which positions mean nothing but relative to one another: scaffolds, linkers, fixed atoms.

    Attributes:
        value: (points, dim); read only where `where` holds, and only up to translation.
        where: (points,), which are fixed.
        slack: with which they are weighed while they are still noisy, in the units of the data.
    """

    slack: float = 1e-2

    @property
    def record(self) -> Mapping[str, Any]:
        return {"factor": "Rigid", "points": int(self.where.sum())}

    def update(self, belief: Belief, x_t: State, t: Time, space: Any) -> Updated:
        value, given = self._posterior(belief)
        return value, replace(given, mean=space.project(given.mean))

    def _posterior(self, belief: Belief) -> Updated:
        if not isinstance(belief, Normal):
            raise InputError("fix the points of a part with .on(name)")
        relative = Relative(self.where)
        shape = relative(self.value.to(belief.mean)[None])[0]
        log_prob, posterior = Measurement(shape, relative, self.slack, direct=12)._posterior(belief)
        mean, here = posterior.mean.clone(), self.where.to(belief.mean.device)
        mean[:, here] = mean[:, here].mean(1, keepdim=True) + shape
        return log_prob, Normal(mean, _Together(posterior.spread, relative))


@dataclass(frozen=True)
class _Together:
    """A covariance in which some points move only together."""

    cov: Covariance
    apart: Relative

    def __call__(self, v: Tensor) -> Tensor:
        return self._whole(self.cov(self._whole(v)))

    def _whole(self, v: Tensor) -> Tensor:
        return v - self.apart.adjoint(self.apart(v))
