"""A number measured over cases, with its standard error.

A *case* is one truth with its ensemble: a start date of a forecast, a slice, a draw of the prior. Points of one field
are never taken for independent; cases are. Where neighbouring cases hang together (forecasts six hours apart), `block`
consecutive ones are joined, and the blocks are what is independent.

Every estimate is a ratio of sums over cases, v = Σ nᵢ / Σ dᵢ (dᵢ: the weight of the points of case i that have data),
or a smooth function of such ratios. To first order its error is the sum of influences uᵢ = (nᵢ − v dᵢ) / Σ d, so

    error² = B / (B − 1) · Σ uᵢ²      over B blocks,

and a difference of two estimates on the same cases has the difference of their influences: paired, as it should be.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Num

from ..errors import InputError
from ..text import markup

Better = Literal["higher", "lower", "closer"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A measured number; `metric` is what `tasks.figures.Metric` takes.

    Attributes:
        name: of what was measured.
        value: in the units that `meaning` says.
        influences: how far each block of cases pulls the value, (blocks,), in its units.
        better: which way is better.
        meaning: one sentence for a reader from the field.
        cases: that had data.
        missing: the share of the points that had none, of all cases.
        reference: what a calibrated forecast has, if that is known.
        by_point: the same at each point, averaged over cases, (*field); NaN where there were no data.
    """

    name: str
    value: float
    influences: Float[np.ndarray, " blocks"]
    better: Better = "lower"
    meaning: str = ""
    cases: int = 0
    missing: float = 0.0
    reference: float | None = None
    by_point: Float[np.ndarray, "*field"] | None = field(default=None, repr=False)

    @property
    def error(self) -> float | None:
        """The standard error; None if there are not two blocks of cases to compare."""
        n = int(np.count_nonzero(~np.isnan(self.influences)))
        return sqrt(n / (n - 1) * float(np.nansum(self.influences**2))) if n > 1 else None

    @property
    def metric(self) -> dict[str, Any]:
        """The arguments of a `Metric`."""
        names = ("name", "value", "better", "meaning", "reference", "error")
        return {**{name: getattr(self, name) for name in names}, "reference_name": "calibrated"}

    def minus(self, other: "Estimate") -> "Estimate":
        """How much larger this is than the other one, which is of the same cases: a paired difference."""
        self._require_paired(other)
        name = f"{self.name}, difference"
        return self._moved(name, self.value - other.value, self.influences - other.influences)

    def skill_over(self, other: "Estimate") -> "Estimate":
        """1 − this / other, of a score on the same cases: 0 is as good as the other, 1 is perfect."""
        self._require_paired(other)
        ratio = self.value / other.value if other.value else np.nan
        moved = replace(self, better="higher")
        influences = (ratio * other.influences - self.influences) / (other.value or np.nan)
        return moved._moved(f"{self.name}, skill", 1 - ratio, influences)

    def mapped(self, function: Callable[[Any], Any], slope: float, **changes: Any) -> "Estimate":
        """A smooth function of the value.

        Args:
            function: of the value, and of its values by point.
            slope: of the function at the value.
            changes: of the other attributes.
        """
        points = None if self.by_point is None else function(self.by_point)
        value = float(function(self.value))
        return replace(self, value=value, influences=self.influences * slope, by_point=points, **changes)

    def _moved(self, name: str, value: float, influences: np.ndarray) -> "Estimate":
        return replace(self, name=name, value=value, influences=influences, reference=None, by_point=None)

    def _require_paired(self, other: "Estimate") -> None:
        if self.influences.shape != other.influences.shape:
            found = f"{len(self.influences)} and {len(other.influences)} blocks"
            raise InputError(f"{self.name}: two estimates can be compared on the same cases, found {found}")

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.2g}"
        return f"{self.name} {self.value:.4g}{error}"

    def _repr_html_(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.2g}"
        calibrated = [] if self.reference is None else [("calibrated", f"{self.reference:.4g}")]
        rows = [(self.name, f"{self.value:.4g}{error}"), *calibrated, (f"{self.better} is better", self.meaning)]
        return markup.boxed(markup.pairs([*rows, ("cases", f"{self.cases:,}")]))


def ratio(
    name: str,
    tops: Float[np.ndarray, " cases"],
    bottoms: Float[np.ndarray, " cases"],
    block: int = 1,
    **attributes: Any,
) -> Estimate:
    """Σ tops / Σ bottoms, with what each block of cases does to it.

    Args:
        name: of the estimate.
        tops: nᵢ.
        bottoms: dᵢ, not negative; 0 where a case has no data.
        block: how many consecutive cases hang together.
        attributes: of the estimate.

    InputError if no case has data.
    """
    total = bottoms.sum()
    if not total > 0:
        raise InputError(f"{name}: no case has data (weights or values are zero or missing everywhere)")
    value = tops.sum() / total
    pulls, there = blocked(tops - value * bottoms, block), blocked(bottoms, block) > 0
    influences = np.where(there, pulls / total, np.nan)
    return Estimate(name, float(value), influences, cases=int((bottoms > 0).sum()), **attributes)


def blocked(values: Num[np.ndarray, "cases ..."], block: int) -> Num[np.ndarray, "blocks ..."]:
    """Sums over `block` consecutive cases; the last block may be shorter. InputError if a block is no whole number."""
    if isinstance(block, bool) or not isinstance(block, int | np.integer) or block < 1:
        raise InputError(f"block: {block!r}, expected how many consecutive cases hang together, 1 or more")
    return np.add.reduceat(values, np.arange(0, len(values), block), axis=0)
