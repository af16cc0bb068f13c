"""Scores of one truth whose ensemble comes some members at a time, however many there are.

    running = RunningMembers(truth)
    for members in parts: running.add(members)
    running.crps(), running.spread_skill(), running.ranks()

The scores are those of all members together. These meet at every point, in the CRPS, so that they are laid aside by
points, as distances from the truth in single precision: in memory, and on the disk (in the folder for temporary files)
where they are many.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from .ensembles import BLOCK, Ensemble, Piece, piece_of, point_weights, real
from .estimates import Estimate
from .ranks import Ranks
from .scores import PointSums, crps_of, crps_score
from .spool import Spool
from .spread import SpreadSkill, spread_of, spread_sums


class RunningMembers:
    """Scores of a truth and of members that come some at a time."""

    def __init__(self, truth: Any, weights: Any = None) -> None:
        """Of no members yet.

        Args:
            truth: a field; NaN is missing.
            weights: of its points, see `Ensemble.of`.
        """
        self._truth = real(truth, "truth").astype(np.float64)
        self._weights = point_weights(weights, self._truth.shape)
        self._members = _ByPoints(self._truth)

    def add(self, members: Any) -> None:
        """Takes in further members.

        Args:
            members: (members, *field), in the units of the truth; missing where the others are.
        """
        found = real(members, "members")
        if found.shape[1:] != self._truth.shape:
            raise InputError(f"members: shape {found.shape}, expected (members, *field) of {self._truth.shape}")
        self._members.add(found)

    def __len__(self) -> int:
        return self._members.count

    def _ensemble(self, least: int = 1) -> Ensemble:
        """InputError of fewer members."""
        if len(self) < least:
            raise InputError(f"members: {len(self)} came, expected at least {least}")
        return _OneCase(self._truth[None], self._members, self._weights)

    def crps(self) -> Estimate:
        """See `scores.crps`."""
        return crps_of(PointSums.of(self._ensemble(), crps_score(len(self) > 1)), 1)

    def spread_skill(self) -> SpreadSkill:
        """See `spread.spread_skill`; all points are in one bin."""
        return spread_of(*spread_sums(self._ensemble(2)), 1)

    def ranks(self) -> Ranks:
        """See `ranks.Ranks.of`."""
        return Ranks.of_ensemble(self._ensemble())


class _OneCase(Ensemble):
    """A truth whose members are read by points."""

    def pieces(self) -> Iterator[Piece]:
        truth, weights = self.truths.reshape(1, -1), self.weights.reshape(-1)
        width = max(1, BLOCK // self.members)
        for first in range(0, truth.shape[1], width):
            points = slice(first, min(first + width, truth.shape[1]))
            yield piece_of(slice(0, 1), points, truth[:, points], self.samples.at(points)[None], weights[points])


class _ByPoints:
    """Members as distances from a truth, in blocks of some members in which the numbers of a point lie together."""

    def __init__(self, truth: Float[np.ndarray, "*field"]) -> None:
        self._truth = truth
        self.count = 0
        self._spool = Spool()
        self._blocks: list[tuple[int, int]] = []  # where each begins, and its members
        self._waiting: list[np.ndarray] = []

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array of one case."""
        return (1, self.count, *self._truth.shape)

    def add(self, members: Float[np.ndarray, "n *field"]) -> None:
        self._waiting.append((members - self._truth).reshape(len(members), -1).astype(np.float32))
        self.count += len(members)
        if sum(one.size for one in self._waiting) >= BLOCK:
            self._write()

    def _write(self) -> None:
        """Lays aside the members that wait; few blocks, as each is sought when points are read."""
        if not self._waiting:
            return
        block = np.concatenate(self._waiting)
        self._waiting.clear()
        self._blocks.append((self._spool.add(block.T), len(block)))

    def at(self, points: slice) -> Float[np.ndarray, "members points"]:
        """All members at some points of the flat field."""
        self._write()
        width, row = points.stop - points.start, 0
        found = np.empty((self.count, width))
        for first, members in self._blocks:
            numbers = self._spool.read(first + members * points.start, members * width)
            found[row : row + members] = numbers.reshape(width, members).T
            row += members
        return found + self._truth.reshape(-1)[points]
