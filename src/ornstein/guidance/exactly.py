"""Numbers that are linear in x₀, measured or known exactly: what they have in common, and several of them as one solve.

What is known exactly, A x₀ = b, is a measurement whose noise goes to 0. A belief is conditioned on it with a slack, by
its covariance, which says where x₀ has to give way, and is then moved to the nearest state in which it holds to
round-off (projections.py). The projection alone would take all directions for equally uncertain.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Normal
from ..covariances import Rooted
from ..denoisers.maps import Map
from ..errors import InputError
from ..spaces import Categorical, Space
from ..states import State, Time
from .factors import Factor, Updated
from .projections import Equation
from .solves import Limits, Sight, solved, together


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

    def through(self, map: Map) -> "Several":
        through: Any = tuple(part.through(map) for part in self.parts)
        return Several(through)

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


def _merged(parts: tuple[Seen, ...], other: Factor) -> Several | None:
    """All as one factor, if they are linear; what holds exactly takes measurements in only where it is much."""
    members: tuple[Any, ...] = (*parts, other)
    if not all(isinstance(member, Seen) and member.joins for member in members):
        return None
    exact = [member for member in members if isinstance(member, Exact)]
    few = 0 < sum(member.numbers for member in exact) <= Limits().direct  # these are cheap to condition on first
    return None if few and len(exact) < len(members) else Several(members)
