"""Numbers that are linear in x₀, measured or known exactly: what they have in common, and several of them as one solve.

What is known exactly, A x₀ = b, is a measurement whose noise goes to 0. A belief is conditioned on it with a slack, by
its covariance, which says where x₀ has to give way, and is then moved to the nearest state in which it holds to
round-off (projections.py). The projection alone would take all directions for equally uncertain.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from math import log, pi
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..beliefs import Belief, Normal
from ..covariances import Rooted
from ..denoisers.maps import Map
from ..errors import InputError
from ..spaces import Categorical, Space
from ..states import State, Time
from .factors import Factor, Updated
from .operators import Mask, Operator, tangent
from .projections import Equation
from .solves import Limits, Sight, Whitened, solved, together


@dataclass(frozen=True)
class Place:
    """Where a belief was formed."""

    space: Any
    t: Time

    def prior(self, belief: Normal, limits: Limits) -> Rooted | None:
        """The covariance that Gaussian data would have, if that is what preconditions."""
        known = getattr(self.space, "gaussian_cov", None)  # a space of a user's own may not say
        return known(self.t, belief.mean) if known and limits.preconditioner == "gaussian" else None


class Seen(Factor):
    """Numbers that are linear in x₀: with noise, or exactly. Several of one state are one linear solve."""

    @property
    @abstractmethod
    def joins(self) -> bool:
        """Whether one solve takes it together with others."""

    @abstractmethod
    def limits(self) -> Limits:
        """How far its solve goes."""

    @abstractmethod
    def sight(self, mean: Float[Tensor, "batch ..."]) -> Sight:
        """What it says of x₀ at the mean of a belief, in units of its noise."""

    def equation(self, mean: Float[Tensor, "batch ..."]) -> Equation | None:
        """What holds exactly; None where some doubt is left."""
        return None

    def preconditioned(self, sight: Sight, t: Time) -> Sight:
        """The sight with a preconditioner of the user's own, where there is one."""
        return sight

    def merged(self, other: Factor) -> "Several | None":
        return _merged((self,), other)

    def through(self, map: Map) -> Factor:
        return Behind(self, map)


class Exact(Seen):
    """What holds exactly of x₀: it is conditioned on with a slack, and then made to hold to round-off."""

    first: ClassVar[bool] = True

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many equations it is."""

    @property
    def conjugate(self) -> bool:
        return True

    @abstractmethod
    def equation(self, mean: Float[Tensor, "batch ..."]) -> Equation:
        """What holds exactly."""

    def tempered(self, power: float) -> Factor:
        return self

    def limits(self) -> Limits:
        return Limits()

    def through(self, map: Map) -> Factor:
        if not map.affine:
            raise InputError(
                f"{type(self).__name__}: what is linear in the field is not in the states behind {map.name}, and so "
                "cannot hold exactly: say it as a Measurement with a small std"
            )
        return ExactBehind(self, map)

    def held(self, x: Any, space: Space) -> Any:
        return x if isinstance(space, Categorical) else self.equation(x).held(x, space)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._conditioned(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        value, given = self._conditioned(belief, Place(space, t))
        return value, self.equation(given.mean).pinned(given, space)

    def _conditioned(self, belief: Belief, place: Place | None = None) -> tuple[Float[Tensor, " batch"], Normal]:
        if not isinstance(belief, Normal):
            raise InputError(
                f"{type(self).__name__} is of continuous data: say it of a part of a product with .on(name)"
            )
        limits = self.limits()
        prior = place.prior(belief, limits) if place else None
        return solved(self.sight(belief.mean), belief, limits, prior)


@dataclass(frozen=True, eq=False)
class Several(Factor):
    """Measurements, and what holds exactly, of one state as one factor: one linear solve for all of them."""

    parts: tuple[Seen, ...]

    @property
    def conjugate(self) -> bool:
        return True

    def tempered(self, power: float) -> "Several":
        tempered: Any = tuple(part.tempered(power) for part in self.parts)
        return Several(tempered)

    def merged(self, other: Factor) -> "Several | None":
        return _merged(self.parts, other)

    def held(self, x: Any, space: Space) -> Any:
        exactly = self._equation(x)
        return x if exactly is None else exactly.held(x, space)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._posterior(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        value, given = self._posterior(belief, Place(space, t))
        exactly = self._equation(given.mean)
        return value, given if exactly is None else exactly.pinned(given, space)

    def _equation(self, mean: Float[Tensor, "batch ..."]) -> Equation | None:
        """Of all that holds exactly, together: a projection onto one after the other would leave the first."""
        equations = [exactly for part in self.parts if (exactly := part.equation(mean)) is not None]
        return Equation.of_all(equations) if equations else None

    def _posterior(self, belief: Belief, place: Place | None = None) -> Updated:
        if not isinstance(belief, Normal):
            raise InputError("measurements are of continuous data: measure a part of a product with .on(name)")
        limits = reduce(Limits.with_those_of, [part.limits() for part in self.parts])
        sights = [part.sight(belief.mean) for part in self.parts]
        if place is None:
            return solved(together(sights), belief, limits)
        pairs = zip(self.parts, sights, strict=True)
        sights = [part.preconditioned(sight, place.t) for part, sight in pairs]
        return solved(together(sights), belief, limits, place.prior(belief, limits))


# Behind a map -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Behind(Seen):
    """Numbers that are linear in the field base + M x, as numbers that are linear in the model's states: through A M.

    A map that is not affine is linearised at the mean, in every step.

    Attributes:
        factor: what is known of the field.
        map: from the states to the field, bound to what the samples are given.
    """

    factor: Seen
    map: Map

    @property
    def conjugate(self) -> bool:
        return self.factor.conjugate and self.map.affine

    @property
    def joins(self) -> bool:
        return self.factor.joins and self.map.affine

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.factor.provenance

    def limits(self) -> Limits:
        return self.factor.limits()

    def tempered(self, power: float) -> Factor:
        return self.factor.tempered(power).through(self.map)

    def sight(self, mean: Float[Tensor, "batch ..."]) -> Sight:
        mean = mean.detach()
        field, slope = (self.map(mean), self.map.operator) if self.map.affine else tangent(self.map, mean)
        sight = self.factor.sight(field)
        white: Any = sight.operator
        event = tuple(mean.shape[1:])
        return replace(sight, operator=Whitened(white.operator @ slope, white.std, event, white.name))

    def preconditioned(self, sight: Sight, t: Time) -> Sight:
        return self.factor.preconditioned(sight, t)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return Several((self,)).log_expect(belief)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return Several((self,)).update(belief, x_t, t, space)


@dataclass(frozen=True, eq=False)
class ExactBehind(Behind, Exact):
    """What holds exactly of the field."""

    factor: Exact

    @property
    def numbers(self) -> int:
        return self.factor.numbers

    def equation(self, mean: Float[Tensor, "batch ..."]) -> Equation:
        base = self.map(torch.zeros_like(mean, dtype=torch.float64))
        known = self.factor.equation(base.to(mean))
        b = known.b.to(base) - known.operator(base)
        return Equation(known.operator @ self.map.operator, b.to(known.b.dtype), known.name)


@dataclass(frozen=True, eq=False)
class Elements(Exact):
    """Single elements of the states that are known exactly, as those of the field that they lead to are.

    Attributes:
        value: of the states, (1 or batch, ...).
        std: the slacks of the field in units of the states, likewise.
        where: of one state, which are known.
        of: what is fixed of the field, whose density counts.
    """

    value: Float[Tensor, "#batch ..."]
    std: Float[Tensor, "#batch ..."]
    where: Bool[Tensor, "..."]
    of: Any

    @property
    def joins(self) -> bool:
        return True

    @property
    def numbers(self) -> int:
        return int(self.where.sum())

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.of.provenance

    def sight(self, mean: Float[Tensor, "batch ..."]) -> Sight:
        value, std = (numbers.to(mean)[:, self.where] for numbers in (self.value, self.std))
        white = Whitened(self._selected, std, tuple(mean.shape[1:]), "Fixed")
        volume = mean.new_tensor(self.numbers * (log(self.of.slack) + log(2 * pi) / 2))
        return Sight(white, (value - self._selected(mean.detach())) / std, volume)

    def equation(self, mean: Float[Tensor, "batch ..."]) -> Equation:
        return Equation(self._selected, self.value[:, self.where], "Fixed")

    @cached_property
    def _selected(self) -> Operator:
        return Mask(self.where)


def _merged(parts: tuple[Seen, ...], other: Factor) -> Several | None:
    """All as one factor, if they are linear; what holds exactly takes measurements in only where it is much."""
    members: tuple[Any, ...] = (*parts, other)
    if not all(isinstance(member, Seen) and member.joins for member in members):
        return None
    exact = [member for member in members if isinstance(member, Exact)]
    few = 0 < sum(member.numbers for member in exact) <= Limits().direct  # these are cheap to condition on first
    return None if few and len(exact) < len(members) else Several(members)
