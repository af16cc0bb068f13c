"""Conjugate factors: what was measured, and what is fixed. Their answers are exact wherever the belief is.

With x₀ ~ N(m, C), a measurement y = A x₀ + noise of covariance R, r = y − A m and S = R + A C Aᵀ:

    log E[g] = log N(r; 0, S),        mean += C Aᵀ S⁻¹ r,        cov −= C Aᵀ S⁻¹ A C

C is the belief's covariance, by Tweedie's formula where the denoiser is a network (moment matching: Boys et al. 2023,
Rozet et al. 2024). A fixed value is the limit R → 0, and for categories a mask on the logits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Normal, Probs
from ..denoisers.maps import Map
from ..errors import InputError
from ..spaces import Categorical, Space
from ..states import State, Time, left, per_sample_sum
from ..values import Flags, Numbers, as_mask, as_measured, as_numbers, as_tensor, require_finite
from .exactly import Behind, Elements, Exact, Place, Seen
from .factors import Factor, Updated
from .functions import called, name_of, require_function
from .operators import Centered, Mask, Operator, real_parts, tangent
from .projections import Equation
from .solves import Limits, Preconditioning, Sight, Whitened, solved


@dataclass(frozen=True, eq=False)
class Measurement(Seen):
    """y = A x₀ + noise, for continuous data.

    What is NaN in y was not measured. Complex numbers count as their real and imaginary parts, each with its own noise.
    A function that is not an Operator is linearised at m in every step. Where C is a matrix, or has a root (fields of
    known spectra: up to `solves.SHARED` numbers), S is formed and all is exact. Of a network's covariance it is formed
    up to `direct` numbers; beyond, S⁻¹ is applied by conjugate gradients, and the log-determinant, which only values
    need (particles, log_expect), is estimated by Lanczos quadrature with a few probes, the same for every sample; its
    standard error is in `Effort.doubt`. Where values are not asked for and the numbers are many (coils), the move is
    found in the space of states, with a few products AᵀA for each gradient of the network. Several linear measurements
    of one state are one solve, by the stricter of their settings.

    Attributes:
        y: what was measured, of the shape of A x₀ without the batch axis (or with it: one measurement a sample, which
            cannot be one population of particles).
        operator: an Operator, or any differentiable function of a batch of events. One that differs from sample to
            sample (per_sample=True) cannot be one population of particles, either.
        std: of the noise, in the units of y: a number, or one an element (correlated noise: operators.whitener).
        direct: the largest number of measured values for which S is formed.
        tolerance: of the conjugate gradients, relative, for each sample. In the space of states 0.2 keeps what was
            measured right (docs/fields.md), and 1e-4 costs several times as many gradients.
        iterations: of the conjugate gradients, at most; a sample that needs more is reported in `SamplerState.effort`.
        preconditioner: of the conjugate gradients: "gaussian" takes the covariance that Gaussian data of the space's
            `data_std` would have in the place of C (best where that is a spectrum); a function of residuals
            (batch, *y), in the units of y, and the time (a number, or one a sample) applies an approximate inverse of
            R + A C Aᵀ, positive; None = the noise alone.
        probes: of the estimate of log det S; each costs about as many gradients as the solve.
    """

    y: Numbers
    operator: Operator | Callable[[Tensor], Tensor]
    std: Numbers
    direct: int = 64
    tolerance: float = 1e-4
    iterations: int = 100
    preconditioner: Preconditioning = "gaussian"
    probes: int = 2

    def __post_init__(self) -> None:
        require_function(self, self.operator)
        self._take_parts()
        object.__setattr__(self, "y", as_measured(self.y, f"{self._name}: y"))
        if not isinstance(self.std, float | int) or isinstance(self.std, bool):
            object.__setattr__(self, "std", as_numbers(self.std, f"{self._name}: std"))
        std = torch.as_tensor(self.std)
        require_finite(std, f"{self._name}: std")
        if not bool((std > 0).all()):
            raise InputError(
                f"{self._name}: std must be positive; a measurement without noise is a constraint: use Fixed"
            )
        if std.ndim > self.y.ndim or not _fits(std, self.y):
            raise InputError(
                f"{self._name}: std has the shape {tuple(std.shape)}, expected one number, or one for each of the "
                f"elements of y, {tuple(self.y.shape)}"
            )
        self.limits()

    def _take_parts(self) -> None:
        """The real and imaginary parts of complex numbers, along a new last axis, as the measurement."""
        y = as_tensor(self.y, f"{self._name}: y")
        if not y.is_complex():
            return
        y = torch.where(y.isnan(), complex(torch.nan, torch.nan), y)  # or else NaN + 0i would be half a measurement
        object.__setattr__(self, "y", torch.view_as_real(y.resolve_conj()))
        object.__setattr__(self, "operator", real_parts(self.operator))
        if not isinstance(self.std, float | int):
            std = as_numbers(self.std, f"{self._name}: std")
            object.__setattr__(self, "std", std[..., None] if std.ndim else std)

    @property
    def conjugate(self) -> bool:
        return isinstance(self.operator, Operator)

    @property
    def provenance(self) -> Mapping[str, Any]:
        std, missing = self.std if isinstance(self.std, float | int) else "one an element", int(self.y.isnan().sum())
        numbers = {"numbers": self.y.numel() - missing} | ({"not measured": missing} if missing else {})
        return {"factor": "Measurement", "of": name_of(self.operator), **numbers, "std": std}

    def tempered(self, power: float) -> "Measurement":
        return replace(self, std=self.std * power**-0.5)

    def shared(self, x: State) -> bool:
        assert isinstance(x, Tensor)
        if isinstance(self.operator, Operator) and self.operator.samples not in (None, 1):
            return False
        return self.y.ndim < self._linear(x)[0].ndim or len(self.y) == 1

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._posterior(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self._posterior(belief, Place(space, t))

    def through(self, map: Map) -> Factor:
        if type(self).update is not Measurement.update or type(self).log_expect is not Measurement.log_expect:
            return Factor.through(self, map)  # one of a user's own that says something else
        return Behind(self, map)

    @property
    def joins(self) -> bool:
        return type(self) is Measurement and self.conjugate  # one of a user's own may do something else

    def limits(self) -> Limits:
        """How far its solve goes."""
        return Limits(self.direct, self.tolerance, self.iterations, self.preconditioner, self.probes)

    def sight(self, mean: Float[Tensor, "batch ..."]) -> Sight:
        who, mean = self._name, mean.detach()
        seen, operator = self._linear(mean)
        if len(seen) != len(mean):
            raise InputError(f"{who}: the operator gives {len(seen)} results for a batch of {len(mean)} states")
        if self.y.shape not in (seen.shape[1:], seen.shape, (1, *seen.shape[1:])):
            raise InputError(
                f"{who}: y has the shape {tuple(self.y.shape)}, its operator gives {tuple(seen.shape[1:])}"
            )
        std = torch.as_tensor(self.std, dtype=mean.dtype, device=mean.device)
        if std.ndim >= seen.ndim or not _fits(std, seen[0]):
            shapes = f"{tuple(std.shape)}, expected one number, or one for each of {tuple(seen.shape[1:])}"
            raise InputError(f"{who}: std has the shape {shapes}")
        return Sight.of(operator, self.y.to(mean) - seen, std, mean, name_of(self.operator))

    def preconditioned(self, sight: Sight, t: Time) -> Sight:
        """The sight with the user's own preconditioner, in units of the noise, where there is one."""
        own = self.preconditioner
        if not callable(own):
            return sight
        assert isinstance(sight.operator, Whitened)
        std = sight.operator.std.masked_fill(sight.operator.std.isinf(), 0.0)  # of what is missing nothing is said

        def white(u: Tensor) -> Tensor:
            found: Any = called(self, own, u * std, t)
            if not isinstance(found, Tensor) or found.shape != u.shape or not found.is_floating_point():
                got = (
                    f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
                )
                raise InputError(
                    f"{self._name}: the preconditioner gives {got}, expected real numbers {tuple(u.shape)}"
                )
            return found.to(u) * std

        return replace(sight, preconditioner=white)

    def _posterior(self, belief: Belief, place: Place | None = None) -> Updated:
        if not isinstance(belief, Normal):
            raise InputError("a measurement is of continuous data: measure a part of a product with .on(name)")
        sight, limits = self.sight(belief.mean), self.limits()
        if place is None:
            return solved(sight, belief, limits)
        return solved(self.preconditioned(sight, place.t), belief, limits, place.prior(belief, limits))

    @property
    def _name(self) -> str:
        return f"Measurement of {name_of(self.operator)}"

    def _linear(self, mean: Tensor) -> tuple[Tensor, Operator]:
        seen, operator = self._applied(mean)
        if not isinstance(seen, Tensor) or not seen.is_floating_point() or not seen.ndim:
            found = f"numbers of {seen.dtype}" if isinstance(seen, Tensor) else type(seen).__name__
            hint = ": then y is complex, too" if isinstance(seen, Tensor) and seen.is_complex() else ""
            raise InputError(f"{self._name}: the operator gives {found}, expected (batch, ...) real numbers{hint}")
        require_finite(seen, f"{self._name}: what the operator gives")
        return seen, operator

    def _applied(self, mean: Tensor) -> tuple[Any, Operator]:
        if isinstance(self.operator, Operator):
            return called(self, self.operator, mean), self.operator
        return called(self, self._tangent, mean)

    def _tangent(self, mean: Tensor) -> tuple[Tensor, Operator]:
        smooth = True

        def followed(x: Tensor) -> Any:
            nonlocal smooth
            seen: Any = self.operator(x)
            if not isinstance(seen, Tensor) or not (seen.is_floating_point() or seen.is_complex()):
                found = f"numbers of {seen.dtype}" if isinstance(seen, Tensor) else f"a {type(seen).__name__}"
                raise InputError(f"{self._name}: the function could not be linearised: it gives {found}")
            smooth = smooth and seen.requires_grad
            return seen

        seen, operator = tangent(followed, mean)
        if not smooth:
            raise InputError(
                f"{self._name}: the function is not differentiable: torch finds no way back from what it returns to "
                "its argument (was it detached?)"
            )
        return seen, operator


def _fits(std: Tensor, seen: Tensor) -> bool:
    """Whether std broadcasts against what one sample gives."""
    backwards = zip(reversed(std.shape), reversed(seen.shape), strict=False)
    return all(own in (1, whole) for own, whole in backwards)


@dataclass(frozen=True, eq=False)
class Fixed(Exact):
    """Some elements or positions are known and hold exactly: boundary values, fixed atoms, fixed residues.

    Attributes:
        value: of one sample's shape; read only where `where` holds.
        where: which elements (or positions of categories) are fixed.
        slack: with which continuous values are weighed while they are still noisy, in the units of the data.
    """

    value: Numbers
    where: Flags
    slack: float = 1e-3

    def __post_init__(self) -> None:
        who = type(self).__name__
        object.__setattr__(self, "value", as_tensor(self.value, f"{who}: value"))
        object.__setattr__(self, "where", as_mask(self.where, f"{who}: where"))
        if not self.where.any():
            raise InputError("nothing is fixed: `where` holds nowhere")
        if self.value.shape[: self.where.ndim] != self.where.shape:
            shapes = f"{tuple(self.where.shape)}, value {tuple(self.value.shape)}"
            raise InputError(f"{who}: where has the shape {shapes}, expected the same")
        require_finite(self.value[self.where], f"{who}: the value where it is fixed")
        if not self.slack > 0:
            raise InputError(f"{who}: slack is {self.slack}, expected a positive width in the units of the data")

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "Fixed", "elements": int(self.where.sum())}

    @property
    def joins(self) -> bool:
        return type(self) is Fixed

    @property
    def numbers(self) -> int:
        return int(self.where.sum())

    def through(self, map: Map) -> Factor:
        where = left(self.where, self.value).expand(self.value.shape)
        value = as_numbers(torch.where(where, self.value, 0), "Fixed: value").expand(map.batch, *self.value.shape)
        placed = map.placed(value, torch.full_like(value, self.slack), where)
        return super().through(map) if placed is None else Elements(*placed, self)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._chosen(belief)[0] if isinstance(belief, Probs) else super().log_expect(belief)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self._chosen(belief) if isinstance(belief, Probs) else super().update(belief, x_t, t, space)

    def known(self, x_t: Any, space: Space) -> Any:
        """Under masks a token that is known is as good as one that was revealed: the belief about the rest is exact."""
        if not isinstance(space, Categorical) or not space.absorbing:
            return x_t
        return torch.where(self.where.to(x_t.device), self.value.to(x_t.device), x_t)

    def _chosen(self, belief: Probs) -> Updated:
        where, value = self.where.to(belief.logits.device), self.value.to(belief.logits.device)
        states = torch.nn.functional.one_hot(torch.where(where, value, 0), belief.logits.shape[-1]).bool()
        known = belief.log_probs.masked_fill(~states, 0.0).sum(-1)
        logits = torch.where(where[..., None], torch.where(states, 0.0, -torch.inf).to(belief.logits), belief.logits)
        return per_sample_sum(torch.where(where, known, 0.0)), replace(belief, logits=logits)

    def sight(self, mean: Float[Tensor, "batch ..."]) -> Sight:
        return Measurement(self.value[self.where], self._selected, self.slack).sight(mean)

    def equation(self, mean: Float[Tensor, "batch ..."]) -> Equation:
        return Equation(self._selected, self.value[self.where][None], "Fixed")

    @cached_property
    def _selected(self) -> Operator:
        return Mask(self.where)


@dataclass(frozen=True, eq=False)
class RigidMotif(Fixed):
    """Some points of a cloud are known about their own centre and hold exactly, wherever in the cloud they lie.

    For centred clouds, in which positions mean nothing but relative to one another: scaffolds, linkers, fixed atoms.

    Attributes:
        value: (points, dim); read only where `where` holds, and only up to translation.
        where: (points,), which are fixed.
        slack: with which they are weighed while they are still noisy, in the units of the data.
    """

    slack: float = 1e-2

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "RigidMotif", "points": int(self.where.sum())}

    @property
    def joins(self) -> bool:
        return type(self) is RigidMotif

    def through(self, map: Map) -> Factor:
        return Factor.through(self, map)  # points that may lie anywhere are no values of a field

    def limits(self) -> Limits:
        return Limits(direct=12)

    def update(self, belief: Belief, x_t: State, t: Time, space: Any) -> Updated:
        value, given = super().update(belief, x_t, t, space)
        return value, replace(given, mean=space.project(given.mean))

    def _chosen(self, belief: Probs) -> Updated:
        raise InputError("RigidMotif is of points: fix those of a part with .on(name)")

    def sight(self, mean: Float[Tensor, "batch ..."]) -> Sight:
        return Measurement(self._shape(mean), self._selected, self.slack).sight(mean)

    def equation(self, mean: Float[Tensor, "batch ..."]) -> Equation:
        return Equation(self._selected, self._shape(mean)[None], "RigidMotif")

    def _shape(self, mean: Float[Tensor, "batch ..."]) -> Float[Tensor, "seen dim"]:
        return self._selected(self.value.to(mean)[None])[0]

    @cached_property
    def _selected(self) -> Operator:
        return Centered(self.where)
