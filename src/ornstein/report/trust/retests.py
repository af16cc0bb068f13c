"""What can be tested of samples from their files alone, whatever they are: nothing here is quoted.

distinct    samples that are not copies of others
families    of F families with shares s_f of the samples, 1/Σ s_f² are independent
groups      R̂ of four groups of samples in their order, over random projections of the states: samples of one
            distribution agree, up to 1 + 12·4/n by chance
figures     what the field measures at once (Task.retest), beside what scores.json says and what is known exactly
record      whether the record of exactness agrees with itself
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...keys import Keys
from ...sampling.convergence import r_hat
from ...states import State, batch_size, leaves
from ...tasks.figures import Metric
from ...tasks.samples import Samples, not_finite
from .claims import kind
from .statements import Statement, count, listed, value

GROUPS = 4
PROJECTIONS = 16
FEWEST = 100
"""Independent samples whose groups can be compared."""
JUDGED = 4 * GROUPS
"""Sources from which on R̂ and drift of a record are judged."""
NEAR, FAR = 3.0, 5.0
"""Standard errors from a value that is known exactly: up to the one it agrees, beyond the other it does not."""
TRUSTED = 0.7
"""The largest k̂ with which weights alone are trusted (Vehtari et al. 2024)."""

_COMPUTED = "computed now"


def sound(samples: Samples) -> Statement:
    """Whether all are finite numbers, and how many of them are copies of others."""
    n, different, most = len(samples), *_copies(samples.x)
    if wrong := not_finite(samples.x):
        return Statement(f"{wrong[0]}.", _COMPUTED, False)
    if n == 1:
        return Statement("The sample is finite.", _COMPUTED, True)
    if different == n:
        return Statement(f"All {count(n, 'sample')} are finite and distinct.", _COMPUTED, True)
    said = f"All {count(n, 'sample')} are finite; {different:,} are distinct, and one of them comes {most} times."
    return Statement(said, _COMPUTED, True)


def copies(samples: Samples) -> int:
    """How many samples are copies of others before them."""
    return len(samples) - _copies(samples.x)[0]


def _copies(x: State) -> tuple[int, int]:
    """How many different samples there are, and how often the most frequent of them comes."""
    rows = zip(*(leaf.flatten(1).cpu().contiguous().numpy() for leaf in leaves(x)), strict=True)
    found = Counter(b"".join(part.tobytes() for part in row) for row in rows)
    return len(found), max(found.values())


def effective_families(genealogy: Tensor) -> float:
    """How many independent families samples amount to: (Σ n_f)² / Σ n_f²."""
    sizes = genealogy.unique(return_counts=True)[1].double()
    return float(sizes.sum().square() / sizes.square().sum())


def families(samples: Samples, record: Mapping[str, Any] | None) -> Statement | None:
    """Which samples descend from the same first particle."""
    if samples.genealogy is None:
        return None
    found, worth = len(samples.genealogy.unique()), effective_families(samples.genealogy)
    said = f"The samples stem from {count(found, 'first particle')}, in effect {worth:.0f}"
    most = value(record or {}, "families")
    if kind(record) == "particles" and found > most:
        return Statement(f"{said}: more than the {most:.0f} that the record has left.", "genealogy", False)
    return Statement(f"{said} independent ones.", "genealogy", True)


# Groups -----------------------------------------------------------------------------------------------


def groups(samples: Samples, independent: float, claims: bool) -> Statement | None:
    """Whether samples agree with one another in the order of their numbers, where all are given the same.

    Args:
        samples: the samples.
        independent: how many they are worth.
        claims: whether they are said to be exact, so that groups must agree.
    """
    if independent < FEWEST or len(samples) < FEWEST or not _alike(samples):
        return None
    found, most = groups_r_hat(samples.x), 1 + 12 * GROUPS / independent
    if isnan(found):
        return None
    said = f"R̂ {found:.3f} of {GROUPS} groups in the order of their numbers, by chance up to {most:.3f}"
    if found <= most:
        return Statement(f"Parts of the samples agree: {said}.", _COMPUTED, True)
    return Statement(f"Parts of the samples disagree: {said}.", _COMPUTED, False if claims else None)


def _alike(samples: Samples) -> bool:
    """Whether all samples are given the same, so that any order of them is as good."""
    given = [tensor for name, tensor in samples.condition.items() if name != "mask"]
    return all(bool((tensor == tensor[:1]).all()) for tensor in given) and all(
        all(one == values[0] for one in values) for values in samples.each.values()
    )


def groups_r_hat(x: State) -> float:
    """The largest R̂ of groups of samples, one after the other, as chains.

    Args:
        x: states, (n, ...).
    """
    size = batch_size(x) // GROUPS
    varying = [one for one in _projections(x).T if (one != one[0]).any()]
    found = [r_hat(one[: GROUPS * size].reshape(GROUPS, size)) for one in varying]
    return max((one for one in found if not isnan(one)), default=float("nan"))


def _projections(x: State) -> Float[Tensor, "n projections"]:
    """Random sums over all that a sample is: of its numbers, or of a number for each category at each position."""
    total = torch.zeros(batch_size(x), PROJECTIONS, dtype=torch.float64)
    for k, leaf in enumerate(leaves(x)):
        flat, keys = leaf.detach().cpu().flatten(1), Keys.of(k, PROJECTIONS)
        if leaf.is_floating_point() or leaf.is_complex() or int(flat.max()) - int(flat.min()) > 1000:
            total += flat.double().nan_to_num() @ keys.normal(flat.shape[1]).double().T
            continue
        code = flat.long() - int(flat.min())
        table, place = keys.normal(flat.shape[1], int(code.max()) + 1).double(), torch.arange(flat.shape[1])
        total += torch.stack([one[place, code].sum(1) for one in table], 1)
    return total


# Figures ----------------------------------------------------------------------------------------------


def figures(again: Sequence[Metric], scores: Sequence[Metric], claims: bool) -> list[Statement]:
    """What the field measures at once, beside what scores.json says and what is known exactly.

    Args:
        again: measured now.
        scores: of scores.json.
        claims: whether the samples are said to be exact, so that they must reach what is known.
    """
    known = [one for one in again if one.off is not None and one.reference_name == "exact"]
    others = [one for one in again if one not in known]
    said = [_beside_exact(one, claims) for one in known]
    if others:
        said.append(Statement(f"Measured anew: {listed(others)}.", _COMPUTED))
    return [*said, *_reproduced(again, scores)]


def _beside_exact(metric: Metric, claims: bool) -> Statement:
    off = abs(metric.off or 0.0)
    text = f"{metric.name} {metric.measured}, exactly {metric.reference:.4g}: {off:.1f} standard errors off."
    return Statement(text, _COMPUTED, True if off <= NEAR else False if claims and off > FAR else None)


def _reproduced(again: Sequence[Metric], scores: Sequence[Metric]) -> list[Statement]:
    """Whether scores.json says what is measured now."""
    old = {metric.name: metric.value for metric in scores}
    both = [(one, old[one.name]) for one in again if one.name in old and isfinite(one.value)]
    wrong = [(one, said) for one, said in both if not abs(one.value - said) <= _slack(one)]
    if not both:
        return []
    if not wrong:
        same = ", ".join(one.name for one, _ in both)
        return [Statement(f"As scores.json says: {same}.", _COMPUTED, True)]
    return [
        Statement(f"scores.json says {one.name} {said:.4g}, measured now it is {one.value:.4g}.", _COMPUTED, False)
        for one, said in wrong
    ]


def _slack(metric: Metric) -> float:
    """How far the same figure may be off on another machine."""
    return max(1e-3 * abs(metric.value), 1e-3 * (metric.error or 0.0), 1e-9)


# The record -------------------------------------------------------------------------------------------


def consistency(record: Mapping[str, Any] | None) -> Statement | None:
    """Whether the figures of a record of mcmc bear out that the samples are to be trusted."""
    if record is None or kind(record) != "mcmc":
        return None
    wrong = [said for said, fails in _gates(record).items() if fails]
    if wrong:
        return Statement(f"The record contradicts itself: {'; '.join(wrong)}.", "its own figures", False)
    return Statement("The record agrees with itself: k̂, R̂, drift and bounds.", "its own figures", True)


def _gates(record: Mapping[str, Any]) -> dict[str, bool]:
    k_hat, hat, drift, sources, missing, low, high, log_z = (
        value(record, name) for name in ("k_hat", "r_hat", "drift", "sources", "missing", "low", "high", "log_evidence")
    )
    most, judged, warned = 1 + 12 * GROUPS / max(sources, 1.0), sources >= JUDGED, bool(record.get("concerns"))
    return {
        f"samples by weights whose k̂ is {k_hat:.2f}": record["method"] == "weights" and k_hat >= TRUSTED and not warned,
        f"R̂ is {hat:.3f}, above {most:.3f}": judged and hat > max(1.01, most) and not warned,
        f"the energy drifts by {drift:+.1f} standard errors": judged and abs(drift) > FAR and not warned,
        f"{missing:.3g} is no share of the mass": missing < 0 or missing > 1,
        f"log Z {log_z:.3f} is not between {low:.3f} and {high:.3f}": log_z < low or log_z > high,
        "it is passed and has concerns": bool(record.get("passed")) and warned,
    }
