"""Members spread about their mean by a factor for each variable and lead, fitted on times that validate.

    u' = ū + f (u − ū)        f² = Σ (y − ū)² / Σ (M + 1)/M s²                      (`calibration.Widening`)

u is the variable, or its root where it is never negative. The factors are fitted on the first half of the times and
judged on the second: they are used if the fair CRPS is lower there and spread/skill nearer to 1. If so, they are fitted
again, on all of these times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from .... import calibration
from ....calibration import Ensemble, Widening
from ....calibration.groups import grouping
from ..metrics import Layout
from .drawn import Drawn
from .frame import Frame

FEWEST = 4
"""Times of which factors are fitted and judged, at least."""


@dataclass(frozen=True, eq=False)
class Factors:
    """What was fitted, and what it is worth on times that had no part in it.

    Attributes:
        factors: of variable v and lead s, at v · S + s.
        helps: whether members are better with them.
        before, after: of the times that judged: name of a score → its values, as the factors are.
        fitted_on, judged_on: how many times.
        members: of each.
    """

    factors: Sequence[float]
    helps: bool
    before: dict[str, list[float]]
    after: dict[str, list[float]]
    fitted_on: int
    judged_on: int
    members: int

    @property
    def words(self) -> str:
        """What was found, in a sentence."""
        changes = np.array(self.after["CRPS"]) / np.array(self.before["CRPS"]) - 1
        ratios = (np.array(scores["spread / skill"]) for scores in (self.before, self.after))
        before, after = (f"{one.min():.2f}–{one.max():.2f}" for one in ratios)
        kept = "on by default (--no-recalibrate leaves members as they are drawn)" if self.helps else "off by default"
        return (
            f"recalibration by factors {min(self.factors):.3f} to {max(self.factors):.3f} "
            f"{'helps' if self.helps else 'does not help'}, and is {kept}: on {self.judged_on} times that it was not "
            f"fitted on the CRPS changes by {changes.mean():+.2%}, spread / skill from {before} to {after}"
        )

    @property
    def record(self) -> dict[str, Any]:
        """In JSON values, for the metadata."""
        return {**vars(self), "factors": list(self.factors), "words": self.words}


def fitted(drawn: Drawn, frame: Frame) -> Factors | None:
    """The factors, and whether they help.

    Args:
        drawn: for times that validate, in their order, with what happened.
        frame: of its samples.

    None of fewer than `FEWEST` times, or of one member.
    """
    n, m = drawn.members.shape[:2]
    if n < FEWEST or m < 2 or drawn.truths is None:
        return None
    first, second = slice(0, n // 2), slice(n // 2, n)
    factors = _fit(drawn, frame, first)
    before, after = (_scores(drawn, second, members) for members in (
        drawn.members[second], widened(drawn.members[second], factors, frame)
    ))  # fmt: skip
    helps = _better(before, after)
    factors = _fit(drawn, frame, slice(0, n)) if helps else factors
    return Factors(factors, helps, before, after, n // 2, n - n // 2, m)


def widened(
    members: Float[np.ndarray, "n m v s *grid"], factors: Sequence[float], frame: Frame
) -> Float[np.ndarray, "n m v s *grid"]:
    """Members spread about their mean.

    Args:
        members: in the units of the variables.
        factors: see `Factors`.
        frame: of the samples.
    """
    v, s = members.shape[2:4]
    factor = torch.tensor(factors).reshape(v, s, *(1,) * (members.ndim - 4))
    found = np.empty_like(members)
    for k, one in enumerate(members):
        fields = torch.from_numpy(one)
        found[k] = frame.spread(fields, frame.rooted(fields).mean(0), factor).numpy()
    return found


def _fit(drawn: Drawn, frame: Frame, times: slice) -> list[float]:
    assert drawn.truths is not None
    y, x = drawn.truths[times], drawn.members[times]
    u = frame.rooted(torch.from_numpy(x.reshape(-1, *x.shape[2:]))).numpy().reshape(x.shape)
    v, s, *grid = y.shape[1:]
    weights = np.broadcast_to(drawn.grid.weights, (v, s, *grid))
    ensemble = Ensemble.of(frame.rooted(torch.from_numpy(y)).numpy(), u, weights)
    channels = np.arange(v * s).reshape(v, s, *(1,) * len(grid))
    moved = Widening().fit(ensemble, grouping(channels, (v, s, *grid)), None)
    return np.sqrt(moved.widen.reshape(v * s, -1)[:, 0]).tolist()


def _scores(drawn: Drawn, times: slice, members: Float[np.ndarray, "n m v s *grid"]) -> dict[str, list[float]]:
    """Of each channel."""
    assert drawn.truths is not None
    found: dict[str, list[float]] = {"CRPS": [], "spread / skill": []}
    for (v, s), _ in Layout.of(drawn).cells():
        y, x = drawn.truths[times, v, s], members[:, :, v, s]
        found["CRPS"].append(calibration.crps(y, x, drawn.grid.weights).value)
        found["spread / skill"].append(calibration.spread_skill(y, x, drawn.grid.weights).ratio.value)
    return found


def _better(before: dict[str, list[float]], after: dict[str, list[float]]) -> bool:
    """Whether the CRPS is lower and spread/skill nearer to 1, over the channels."""
    crps = [np.log(np.maximum(scores["CRPS"], 1e-300)).mean() for scores in (before, after)]
    off = [np.abs(np.log(np.maximum(scores["spread / skill"], 1e-6))).mean() for scores in (before, after)]
    return bool(crps[1] < crps[0] and off[1] < off[0])
