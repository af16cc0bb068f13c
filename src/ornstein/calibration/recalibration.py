"""Ensembles made to say what they should, and the coverage before and after, on cases that had no part in it.

    Widening         x' = x̄ + s (x − x̄),  s² = Σ (y − x̄)² / Σ (M + 1)/M s²          one factor a group of points
    MemberByMember   x' = a + b x̄ + τ (x − x̄),  τ² s² = c s² + d                     (Van Schaeybroeck & Vannitsem 2015)
    Conformal        [l − q, h + q], q the ⌈(n + 1) level⌉-th smallest of max(l − y, y − h) over n cases (Romano et al.
                     2019): it holds a new exchangeable case with probability ≥ level, whatever the law

Widening and member-by-member keep each member's pattern and give members; conformal intervals have a guarantee, but
are intervals. Where a group has many points, each case has the same mass in q, and the guarantee is of a random point
of the group in a new case (Lee, Barber & Willett 2023).

`recalibrate` is the way in: it fits on the first cases and judges, before and after, on the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..errors import InputError
from .ensembles import Ensemble, shaped
from .groups import Groups, grouping
from .moments import Widening
from .ranks import Coverage, Ranks


@runtime_checkable
class Fitted(Protocol):
    """What was fitted: called with samples it gives members, or intervals."""

    def __call__(self, samples: Any) -> Any: ...

    def coverage(self, ensemble: Ensemble, levels: Any, block: int) -> Coverage:
        """Of what it makes of an ensemble."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """For the record."""
        ...

    @property
    def without(self) -> int:
        """Groups of points that had no data to fit."""
        ...


@runtime_checkable
class Method(Protocol):
    """A way to recalibrate: `Widening()`, `MemberByMember()`, `Conformal()`."""

    def fit(self, ensemble: Ensemble, groups: Groups, levels: Any) -> Fitted:
        """What it takes from an ensemble."""
        ...


@dataclass(frozen=True, eq=False)
class Recalibration:
    """A fitted recalibration and what it is worth. Call it with samples to apply it.

    Attributes:
        fitted: is applied.
        method: its name.
        by: the groups of points.
        before: coverage of the ensemble as it was, of cases held out.
        after: coverage of what it becomes, of the same cases.
        fitted_on: cases.
        held_out: cases.
    """

    fitted: Fitted
    method: str
    by: str
    before: Coverage
    after: Coverage
    fitted_on: int
    held_out: int

    def __call__(self, samples: Any) -> Any:
        """Recalibrated members (…, members, *field), or `Intervals` of a conformal one.

        Args:
            samples: (members, *field) or (cases, members, *field).
        """
        return self.fitted(samples)

    @property
    def record(self) -> dict[str, Any]:
        """Plain numbers for a manifest: coverage before and after are always both in it."""
        return {
            "method": self.method,
            "by": self.by,
            "cases fitted": self.fitted_on,
            "cases held out": self.held_out,
            "groups without data": self.fitted.without,
            "parameters": self.fitted.parameters,
            "levels": self.before.levels.tolist(),
            "before": _row(self.before),
            "after": _row(self.after),
        }


def _row(found: Coverage) -> dict[str, Any]:
    return {"coverage": found.values.tolist(), "errors": found.errors.tolist()}


def recalibrate(
    truths: Any,
    samples: Any,
    method: Any = None,
    *,
    weights: Any = None,
    by: Any = "all",
    held_out: Any = 0.5,
    levels: Sequence[float] | None = None,
    block: int = 1,
) -> Recalibration:
    """Fits a recalibration and measures coverage before and after on cases that it has not seen.

    Args:
        truths: (cases, *field), in the order of time; NaN is missing.
        samples: (cases, members, *field).
        method: `Widening()` (None), `MemberByMember()` or `Conformal()`.
        weights: of the points, see `Ensemble.of`.
        by: groups of points that share what is fitted: "all", "element", or whole numbers shaped as the field.
        held_out: the share of cases, the last ones, that is judged, or (truths, samples) of others.
        levels: of the intervals judged (and, of a conformal one, fitted), as in `Ranks.coverage`.
        block: how many consecutive cases hang together.
    """
    method = Widening() if method is None else method
    if isinstance(method, type) or not isinstance(method, Method):
        raise InputError(f"method: {method!r}, expected Widening(), MemberByMember() or Conformal()")
    every = Ensemble.of(truths, samples, weights)
    fit, judge = _split(every, held_out, weights)
    if fit.members != judge.members or fit.shape != judge.shape:
        found = (judge.members, *judge.shape)
        raise InputError(f"held_out: members and field {found}, expected those fitted, {(fit.members, *fit.shape)}")
    groups = grouping(by, fit.shape)
    fitted = method.fit(fit, groups, levels)
    before = Ranks.of(judge.truths, judge.samples, judge.weights).coverage(levels, block)
    after = fitted.coverage(judge, levels, block)
    return Recalibration(fitted, type(method).__name__, groups.by, before, after, fit.cases, judge.cases)


def _split(every: Ensemble, held_out: Any, weights: Any) -> tuple[Ensemble, Ensemble]:
    if isinstance(held_out, tuple):
        if len(held_out) != 2:
            raise InputError(f"held_out: {len(held_out)} arrays, expected truths and samples")
        return every, Ensemble.of(shaped(held_out[0]), shaped(held_out[1]), weights)
    if isinstance(held_out, bool) or not isinstance(held_out, int | float) or not 0 < held_out < 1:
        raise InputError(f"held_out: {held_out!r}, expected a share between 0 and 1, or truths and samples")
    first = every.cases - round(every.cases * held_out)
    if not 0 < first < every.cases:
        raise InputError(f"held_out: {held_out:g} of {every.cases} cases, expected cases both to fit on and to judge")
    return every.part(slice(0, first)), every.part(slice(first, every.cases))
