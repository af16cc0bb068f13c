"""What is said of samples that were brought to exp(−E): how, how well, and how much could still be wrong."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import ceil, floor, isnan, log10, nan
from typing import Any

from ..files import number, plain
from ..text import markup

TOLERANCE = 0.01
"""The largest share of the mass that may be missing from samples that are called exact."""

_SINCE: Mapping[str, Any] = {
    "divergences": 0,
    "uncovered": nan,
    "low": nan,
    "high": nan,
    "missing": 1.0,
    "tolerance": TOLERANCE,
    "families": 0.0,
    "sources": nan,
    "budget": None,
}
"""What records of earlier versions do not say."""


@dataclass(frozen=True)
class MCMCReport:
    """How samples were brought to exp(−E), and how well that went.

    Attributes:
        method: what the samples are taken from: draws of a model, the search, a cloud about what these have found.
        proposals: how many draws were weighed.
        ess: effective sample size of the draws' own weights, as a share of them; NaN if their density was not known.
        k_hat: shape of these weights' tail; NaN likewise.
        uncovered: share of the mass where the draws are fewer than what the search found there; NaN if not known.
        jumps: acceptance of independence moves against other members of the pool; None if there were none.
        acceptance: of the local moves.
        drift: change of the mean energy under the local moves, in standard errors: exact samples do not drift.
        r_hat: of the final samples, in four groups of families; NaN if they are fewer than sixteen.
        log_evidence: log Z, nats.
        error: its standard error, with what the search cannot resolve.
        low, high: between them log Z lies with 95 %; the upper end allows for what may be missing.
        missing: the largest share of the mass that could be missing, at 95 %; 1 if nothing has searched.
        tolerance: up to which share missing samples are called exact.
        families: how many independent samples the search is worth.
        sources: how many independent draws the n samples of a pool that is worth m are worth, 1/(1/n + 1/m).
        check, check_error: log Z of the search alone; None if there was none.
        gradients, values: evaluations of the energy, all included.
        budget: what was allowed, in words; None if nothing was said.
        concerns: what is wrong, in words.
        notes: what else should be known, in words.
        divergences: local moves whose energy went astray.
    """

    method: str
    proposals: int
    ess: float
    k_hat: float
    uncovered: float
    jumps: float | None
    acceptance: float
    drift: float
    r_hat: float
    log_evidence: float
    error: float
    low: float
    high: float
    missing: float
    tolerance: float
    families: float
    sources: float
    check: float | None
    check_error: float | None
    gradients: int
    values: int
    budget: str | None = None
    concerns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    divergences: int = 0

    @property
    def passed(self) -> bool:
        """Whether no gate speaks against the samples."""
        return not self.concerns

    @property
    def exact(self) -> bool:
        """Whether no gate does, and no more than the tolerance could be missing."""
        return self.passed and self.missing <= self.tolerance

    @property
    def verdict(self) -> str:
        """In words."""
        said = "; ".join((*self.concerns, *self.notes))
        return self._grade + (f"; {said}" if said and self.passed else f": {said}" if said else "")

    @property
    def _grade(self) -> str:
        share, most = percent(self.missing), percent(self.tolerance)
        if not self.passed:
            return "NOT TO BE TRUSTED"
        if self.exact:
            return f"exact within the errors stated: at most {share} of the mass could be missing (95 %)"
        if self.missing >= 1 and not self.families:
            return "as far as the draws reach: nothing has searched for what they may lack"
        return (
            f"as far as was searched: up to {share} of the mass could be missing (95 %), more than the tolerance of "
            f"{most}"
        )

    @property
    def holds(self) -> bool | None:
        """Whether the samples are exact; None if no gate speaks against them, but more could be missing."""
        return self.exact or (None if self.passed else False)

    def rows(self) -> list[tuple[str, str]]:
        """Names and values of what was measured, in words."""
        found = {
            "taken from": self.method,
            "effective sample size": "" if isnan(self.ess) else f"{self.ess:.0%} of {self.proposals:,} draws",
            "tail of the weights": "" if isnan(self.k_hat) else f"k̂ {self.k_hat:.2f}",
            "accepted moves": f"{self.acceptance:.0%}",
            "accepted jumps": "" if self.jumps is None else f"{self.jumps:.0%}",
            "divergences": f"{self.divergences:,}" if self.divergences else "",
            "agreement of chains": "" if isnan(self.r_hat) else f"R̂ {self.r_hat:.3f}",
            "log Z": f"{self.log_evidence:.3f} ± {self.error:.3f} nats",
            "log Z with 95 %": "" if isnan(self.low) else f"{self.low:.3f} to {self.high:.3f}",
            "log Z of the search alone": "" if self.check is None else f"{self.check:.3f} ± {self.check_error:.3f}",
            "mass that could be missing": f"at most {percent(self.missing)} (95 %)",
            "evaluations of the energy": f"{self.gradients + self.values:,}, {self.gradients:,} with gradient",
        }
        return [(name, said) for name, said in found.items() if said]

    def _repr_html_(self) -> str:
        return markup.boxed(markup.verdict(self.verdict, self.holds), markup.pairs(self.rows()))

    def __str__(self) -> str:
        checked = "" if self.check is None else f" (the search alone: {self.check:.3f} ± {self.check_error:.3f})"
        jumps = "" if self.jumps is None else f", jumps {self.jumps:.0%}"
        jumps += f", {self.divergences} divergences" if self.divergences else ""
        weights = "" if isnan(self.ess) else f"ESS {self.ess:.0%} of {self.proposals}, k̂ {self.k_hat:.2f}; "
        within = "" if isnan(self.low) else f", 95 % from {self.low:.3f} to {self.high:.3f}"
        return (
            f"from {self.method}: {weights}accepted: moves "
            f"{self.acceptance:.0%}{jumps}; R̂ {self.r_hat:.3f}; log Z {self.log_evidence:.3f} ± {self.error:.3f}"
            f"{within}{checked}; {self.gradients + self.values:,} evaluations of the energy, {self.gradients:,} of "
            f"them with gradient; {self.verdict}"
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "MCMCReport":
        """What `record` was made of."""
        record = {**_SINCE, **record}
        values: dict[str, Any] = {field.name: record[field.name] for field in fields(cls)}
        numbers = {field.name: number(values[field.name]) for field in fields(cls) if field.type is float}
        return cls(**{**values, **numbers, "concerns": tuple(values["concerns"]), "notes": tuple(values["notes"])})

    def record(self) -> dict[str, Any]:
        """In JSON values, for the manifest."""
        return plain({**asdict(self), "passed": self.passed, "exact": self.exact, "verdict": self.verdict})


def percent(share: float) -> str:
    """A share in words, of two digits, rounded up."""
    if not 0 < share < 1:
        return f"{100 * share:g} %"
    unit = 10.0 ** (floor(log10(100 * share)) - 1)
    return f"{ceil(100 * share / unit - 1e-6) * unit:.2g} %"
