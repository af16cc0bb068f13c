"""Onto the states that fulfil A x = b, to round-off: the nearest one, and the directions that are left free.

    x ↦ x + A⁺ (b − A x),      P = 1 − A⁺ A,      A⁺ = Aᵀ (A Aᵀ)⁺

A belief's covariance becomes P C P, or, where it has a root L, L (1 − Q Qᵀ) Lᵀ with Q spanning Lᵀ Aᵀ, which has one,
too. All is done in float64, with refinement. Several equations of one state are one: a projection onto the second alone
would leave the first. In a space with fewer degrees of freedom than numbers, A x = b is solved within these.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..beliefs import Normal
from ..covariances import Covariance, Dense, Rooted
from ..errors import InputError
from ..spectral.roots import Downdated
from .grams import Gram, gram
from .operators import Mask, Operator, Stack

_ROOTED = 2**22
"""Numbers in the matrices (m × m, a sample) up to which a covariance with a root gets one again."""
_PASSES = 4


class Projection(ABC):
    """Onto the states x with A x = b."""

    @property
    @abstractmethod
    def lengths(self) -> Float[Tensor, "#batch ..."]:
        """|a_i| of the rows of A, 1 for rows of zeros; it broadcasts against A x."""

    @abstractmethod
    def onto(
        self, x: Float[Tensor, "batch ..."], b: Float[Tensor, "#batch ..."], who: str = "A x = b"
    ) -> Float[Tensor, "batch ..."]:
        """The nearest state with A x = b; InputError, in the name of `who`, where there is none."""

    @abstractmethod
    def within(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """P v."""

    @abstractmethod
    def rows(self, like: Float[Tensor, "batch ..."], most: int) -> Float[Tensor, "1 m ..."] | None:
        """The rows of A as events, float64; None where each sample has its own, or they are more than so many."""

    def confined(self, cov: Covariance, mean: Float[Tensor, "batch ..."]) -> Covariance:
        """P C P: a matrix again where C is one, with a root where C has one and the rows are few, else a map."""
        if isinstance(cov, Dense):
            return Dense(self._both_sides(cov.matrix, mean))
        rows = self.rows(mean, int((_ROOTED / cov.batch) ** 0.5)) if isinstance(cov, Rooted) else None
        if isinstance(cov, Rooted) and rows is not None:
            return Downdated.within(cov, rows)
        return Confined(cov, self.within)

    def _both_sides(self, matrix: Float[Tensor, "batch d d"], mean: Float[Tensor, "batch ..."]) -> Tensor:
        """P C P, all rows of one sample after all rows of the other."""
        for _ in range(2):
            matrix = self._rows_within(matrix.mT, mean)
        return (matrix + matrix.mT) / 2

    def _rows_within(self, matrix: Float[Tensor, "batch d d"], mean: Float[Tensor, "batch ..."]) -> Tensor:
        return torch.stack([self.within(row.reshape(mean.shape)).flatten(1) for row in matrix.unbind(1)], 1)


@dataclass(frozen=True)
class Confined:
    """P C P as a map.

    Attributes:
        within: P.
    """

    cov: Covariance
    within: Callable[[Tensor], Tensor]

    def __call__(self, v: Tensor) -> Tensor:
        return self.within(self.cov(self.within(v)))


@dataclass(frozen=True, eq=False)
class Selected(Projection):
    """Of elements that are known themselves: to the last bit.

    Attributes:
        where: those, in one event.
    """

    where: Bool[Tensor, "..."]

    @property
    def lengths(self) -> Float[Tensor, " 1"]:
        return torch.ones(1, dtype=torch.float64, device=self.where.device)

    def onto(
        self, x: Float[Tensor, "batch ..."], b: Float[Tensor, "#batch ..."], who: str = "A x = b"
    ) -> Float[Tensor, "batch ..."]:
        known = x.new_zeros(len(b), *self.where.shape)
        known[:, self.where] = b.flatten(1).to(x)
        return torch.where(self.where, known, x)

    def within(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return v * ~self.where

    def rows(self, like: Float[Tensor, "batch ..."], most: int) -> Float[Tensor, "1 m ..."] | None:
        places = self.where.flatten().nonzero()[:, 0]
        if len(places) > most:
            return None
        units = torch.zeros(len(places), self.where.numel(), dtype=torch.float64, device=self.where.device)
        units[torch.arange(len(places)), places] = 1.0
        return units.reshape(1, -1, *like.shape[1:])

    def _both_sides(self, matrix: Float[Tensor, "batch d d"], mean: Float[Tensor, "batch ..."]) -> Tensor:
        free = (~self.where).flatten().to(matrix)
        return matrix * free[:, None] * free


@dataclass(frozen=True, eq=False)
class Nearest(Projection):
    """Of any equations.

    Attributes:
        operator: A.
        gram: the lengths of its rows, and (A Aᵀ)⁺.
        shared: whether A is the same for all samples.
    """

    operator: Operator
    gram: Gram
    shared: bool

    @property
    def lengths(self) -> Float[Tensor, "#batch ..."]:
        return self.gram.lengths

    def onto(
        self, x: Float[Tensor, "batch ..."], b: Float[Tensor, "#batch ..."], who: str = "A x = b"
    ) -> Float[Tensor, "batch ..."]:
        goal, precise = b.double() / self._lengths(x), x.double()
        scale = max(_largest(goal), _largest(precise), 1e-300)
        worst = torch.inf
        for _ in range(_PASSES):
            missed = goal - self._seen(precise)
            before, worst = worst, _largest(missed) / scale
            if worst <= 1e-15 or worst > before / 2:
                break  # nothing more to gain
            precise = precise + self._back(self.gram.inverse(missed, 1e-15 * scale))
        missed = goal - self._seen(precise)
        if _largest(missed) / scale > (1e-9 if b.dtype == torch.float64 else 1e-5):
            self._raise(missed * self._lengths(x), b, who)
        return precise.to(x)

    def within(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        precise = v.double()
        return (precise - self._back(self.gram.inverse(self._seen(precise), 0.0))).to(v)

    def rows(self, like: Float[Tensor, "batch ..."], most: int) -> Float[Tensor, "1 m ..."] | None:
        seen = self.gram.lengths.shape[1:]
        m = prod(seen)
        if not self.shared or m > most:
            return None
        units = torch.eye(m).to(like).double().reshape(m, *seen)
        return self._back(units)[None]

    def _rows_within(self, matrix: Float[Tensor, "batch d d"], mean: Float[Tensor, "batch ..."]) -> Tensor:
        if not self.shared:
            return super()._rows_within(matrix, mean)
        return self.within(matrix.reshape(-1, *mean.shape[1:])).reshape(matrix.shape)

    def _lengths(self, x: Tensor) -> Tensor:
        lengths = self.gram.lengths
        return lengths if len(lengths) == len(x) else lengths[:1]

    def _seen(self, x: Tensor) -> Tensor:
        return self.operator(x) / self._lengths(x)

    def _back(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(y / self._lengths(y))

    def _raise(self, missed: Tensor, b: Tensor, who: str) -> None:
        """InputError that names the worst element."""
        missed = missed.detach()
        sample, *place = (int(k) for k in torch.unravel_index(missed.abs().argmax(), missed.shape))
        value = b[min(sample, len(b) - 1)][tuple(place)].item()
        gap, towards = float(missed.abs().max()), self._back(missed / self._lengths(missed)).abs().max()
        found = f"the nearest state misses element {tuple(place)} of b, {value:.6g}, by {gap:.2g}"
        if len(b) > 1:
            found += f" in sample {sample}"
        if float(towards) > 1e-6 * gap:
            raise InputError(f"{who} was not reached: {found}; its equations are too many, or too nearly alike")
        raise InputError(f"{who} contradicts itself, no state fulfils it: {found}")


def _largest(x: Tensor) -> float:
    return float(x.detach().abs().max())


# Equations -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Equation:
    """A x₀ = b.

    Attributes:
        operator: A.
        b: of one sample, or one a sample, (1 or batch, *seen).
        name: for errors.
    """

    operator: Operator
    b: Float[Tensor, "#batch ..."]
    name: str

    @classmethod
    def of_all(cls, equations: "Sequence[Equation]") -> "Equation":
        """Several of one state as one."""
        if len(equations) == 1:
            return equations[0]
        shapes = tuple(tuple(one.b.shape[1:]) for one in equations)
        n = max(len(one.b) for one in equations)
        b = torch.cat([one.b.flatten(1).expand(n, -1).to(equations[0].b.device) for one in equations], 1)
        name = " with ".join(one.name for one in equations)
        return cls(Stack(tuple(one.operator for one in equations), shapes), b, name)

    def held(self, x: Float[Tensor, "batch ..."], space: Any) -> Float[Tensor, "batch ..."]:
        """The nearest state in which it holds, within the degrees of freedom of the space."""
        return projection(self.operator, x, space).onto(x, self.b.to(x.device), self.name)

    def pinned(self, belief: Normal, space: Any) -> Normal:
        """The belief in whose mean it holds, and which leaves no doubt about it.

        Args:
            space: whose degrees of freedom count; None = all.
        """
        found = projection(self.operator, belief.mean, space)
        mean = found.onto(belief.mean, self.b.to(belief.mean.device), self.name)
        return replace(belief, mean=mean, cov=found.confined(belief.spread, mean))


@dataclass(frozen=True)
class Inside(Operator):
    """A as it acts on the degrees of freedom of a space: A Π.

    Attributes:
        project: Π.
    """

    operator: Operator
    project: Callable[[Tensor], Tensor]

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.operator(self.project(x))

    def adjoint(self, y: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.project(self.operator.adjoint(y))


def projection(operator: Operator, like: Float[Tensor, "batch ..."], space: Any = None) -> Projection:
    """Onto A x = b, within the degrees of freedom of a space; remembered where it is the same for all samples.

    Args:
        operator: A.
        like: states, whose shape, device and number count.
        space: whose degrees of freedom count; None = all.
    """
    project, event = getattr(space, "project", None), _Event(tuple(like.shape[1:]), like.device)
    if project is not None and project(like) is not like and not _inside(operator, like, project):
        inside = Inside(operator, project)
        return Nearest(inside, gram(inside, like, shared=False), shared=False)
    key = _hashable(operator)
    return _of_all(key, event) if _shared(key, event, len(like)) else _of_each(key, event, len(like))


def _inside(operator: Operator, like: Tensor, project: Callable[[Tensor], Tensor]) -> bool:
    """Whether the rows are of the degrees of freedom alone, so that a projection onto them stays inside."""
    seen = operator(like)
    y = torch.randn(seen.shape[1:], generator=torch.Generator().manual_seed(2)).to(seen).expand_as(seen)
    back = operator.adjoint(y)
    return bool((project(back) - back).abs().max() <= 1e-5 * back.abs().max())


@dataclass(frozen=True)
class _Event:
    """The shape and the device of one event."""

    shape: tuple[int, ...]
    device: torch.device

    def zeros(self, n: int) -> Tensor:
        return torch.zeros(n, *self.shape, dtype=torch.float64, device=self.device)

    def drawn(self, n: int) -> Tensor:
        """One event n times."""
        one = torch.randn(self.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        return one.to(self.device).expand(n, *self.shape)


@dataclass(frozen=True, eq=False)
class _Itself(Operator):
    """An operator of a user's own that cannot be hashed, known by its identity."""

    operator: Operator

    def __call__(self, x: Tensor) -> Tensor:
        return self.operator(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(y)

    def __hash__(self) -> int:
        return id(self.operator)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.operator is self.operator


def _hashable(operator: Operator) -> Operator:
    try:
        hash(operator)
    except TypeError:
        return _Itself(operator)
    return operator


@lru_cache(maxsize=128)
def _shared(operator: Operator, event: _Event, n: int) -> bool:
    """Whether an operator does the same to every sample."""
    if n > 1:
        seen = operator(event.drawn(n))
        return bool((seen - seen[:1]).abs().max() <= 1e-9 * seen.abs().max())
    try:  # a batch of two is refused by one that has a single sample's own
        return len(operator(event.drawn(2))) == 2
    except (InputError, RuntimeError):
        return False


@lru_cache(maxsize=32)
def _of_all(operator: Operator, event: _Event) -> Projection:
    if isinstance(operator, Mask):
        seen = operator(event.zeros(1))  # of the first axes or of the last: the adjoint knows the places
        return Selected(operator.adjoint(torch.ones_like(seen))[0] != 0)
    return Nearest(operator, gram(operator, event.zeros(1), shared=True), shared=True)


@lru_cache(maxsize=32)
def _of_each(operator: Operator, event: _Event, n: int) -> Projection:
    return Nearest(operator, gram(operator, event.zeros(n), shared=False), shared=False)
