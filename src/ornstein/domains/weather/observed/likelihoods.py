"""Factors about observations that each sample has of its own, and of variables that a model knows by their roots.

Samples of one request belong to several times, and are drawn block by block: what was observed of each is a condition,
of which the factor is made when it is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ....beliefs import Belief
from ....denoisers.base import Condition
from ....denoisers.maps import Map
from ....errors import InputError
from ....guidance.factors import Factor, Smooth, Updated
from ....guidance.measurements import Measurement
from ....spaces import Space
from ....states import State, Time
from ..roots import to_u
from .places import Gather

VALUES, PLACES = "observed", "observed_at"
"""Conditions: what was observed of each sample, and where."""
_DIRECT = 64
"""Numbers up to which a solve is exact; see Measurement."""


@dataclass(frozen=True, eq=False)
class _OfConditions(Factor):
    """What the conditions say of each sample; nothing by itself.

    Attributes:
        shape: of a state.
    """

    shape: tuple[int, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset((VALUES, PLACES))

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": type(self).__name__, "of": VALUES}

    def tempered(self, power: float) -> Factor:
        return self

    def through(self, map: Any) -> Factor:
        return self

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        raise self._unbound

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        raise self._unbound

    @property
    def _unbound(self) -> InputError:
        return InputError(f"{type(self).__name__}: pass the condition {VALUES!r}, which `Observed.of_records` gives")

    def _rows(self, condition: Condition | None, kind: int) -> tuple[Tensor, Tensor, Gather]:
        """Which rows are of a kind, their values, and what reads the state there; one for all, where all are alike."""
        if VALUES not in (condition or {}) or PLACES not in (condition or {}):
            raise self._unbound
        values, places = (condition or {})[VALUES], (condition or {})[PLACES]
        if bool((values == values[:1]).all()) and bool((places == places[:1]).all()):
            values, places = values[:1], places[:1]
        own = values[..., 0] == kind
        rows = own.any(0)
        values, places, own = values[:, rows], places[:, rows], own[:, rows]
        return own, values[..., 1], Gather(places, values[..., 2:] * own[..., None], self.shape)


@dataclass(frozen=True, eq=False)
class AtStations(_OfConditions):
    """Observations of each sample: a `Measurement`."""

    @property
    def conjugate(self) -> bool:
        return True

    def bound(self, condition: Condition | None) -> Factor:
        own, values, operator = self._rows(condition, 1)
        if not bool(own.any()):
            return _Nothing()
        y = values.masked_fill(~own, torch.nan)
        return OfRoots(Measurement(y[0] if len(y) == 1 else y, operator, 1.0, direct=_DIRECT))


@dataclass(frozen=True, eq=False)
class AtDryStations(_OfConditions):
    """Zeros that were observed of each sample, of variables whose zeros are values that are not seen."""

    def bound(self, condition: Condition | None) -> Factor:
        own, _, operator = self._rows(condition, 2)
        return OfRoots(Dry(operator, own)) if bool(own.any()) else _Nothing()


@dataclass(frozen=True, eq=False)
class Dry(Smooth):
    """g = Π Φ(−2 u/√s) over places where a 0 ± s was observed: u is not above 0.

    Attributes:
        operator: u in units of √s, sample by sample.
        own: which of its rows count, (samples or 1, rows).
        power: of g.
    """

    operator: Gather
    own: Bool[Tensor, "#batch rows"]
    power: float = 1.0

    def log_g(self, code: Any) -> Float[Tensor, " batch"]:
        each = torch.special.log_ndtr(-2 * self.operator(code))
        return self.power * (each * self.own.to(each)).sum(1)

    def tempered(self, power: float) -> "Dry":
        return replace(self, power=self.power * power)


@dataclass(frozen=True, eq=False)
class OfRoots(Factor):
    """What is said of u, where a model's map goes on to what is never negative.

    Attributes:
        of_u: the same of u.
    """

    of_u: Factor

    @property
    def conjugate(self) -> bool:
        return self.of_u.conjugate

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.of_u.provenance

    def tempered(self, power: float) -> "OfRoots":
        return OfRoots(self.of_u.tempered(power))

    def through(self, map: Map) -> Factor:
        of_u = to_u(map)
        return self.of_u if of_u is None else self.of_u.through(of_u)

    def shared(self, x: State) -> bool:
        return self.of_u.shared(x)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self.of_u.log_expect(belief)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self.of_u.update(belief, x_t, t, space)


@dataclass(frozen=True)
class _Nothing(Factor):
    """1: nothing was observed of these samples."""

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return torch.zeros(len(belief.mean), dtype=torch.float64, device=belief.mean.device)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self.log_expect(belief), belief

    def tempered(self, power: float) -> "_Nothing":
        return self

    def through(self, map: Any) -> Factor:
        return self
