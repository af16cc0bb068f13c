"""What a correction may cost: particles, moves, and a budget of evaluations, or of seconds, turned into evaluations."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..values import is_number
from .densities import EvaluationCount
from .report import TOLERANCE

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
CLOUD = 1000
"""Particles that are annealed from a cloud."""
CAUTION = 0.8
"""The share of the seconds left that is planned with: moves cost more than the energy."""


@dataclass(frozen=True)
class Budget:
    """The most evaluations of the energy, or seconds.

    Attributes:
        evaluations: None if seconds are given.
        seconds: None if evaluations are.
        started: when, on the clock that counts seconds.
    """

    evaluations: int | None = None
    seconds: float | None = None
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(cls, said: Any) -> "Budget | None":
        """A whole number of evaluations, or text such as "90 s", "5 min", "1 h"; None stays None.

        Args:
            said: what a user said; InputError if it is neither.
        """
        if said is None or isinstance(said, cls):
            return said
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*(s|min|h)?\s*", str(said).replace(",", ""))
        value = float(found[1]) if found else 0.0
        if isinstance(said, bool) or not found or not value > 0 or (not found[2] and value != int(value)):
            raise InputError(
                f"budget is {said!r}, expected a number of evaluations of the energy, such as 100000, or a time, such "
                "as '90 s', '5 min' or '1 h'"
            )
        return cls(seconds=value * _UNITS[found[2]]) if found[2] else cls(evaluations=int(value))

    def __str__(self) -> str:
        if self.evaluations is not None:
            return f"{self.evaluations:,} evaluations of the energy"
        return f"{self.seconds:g} s"

    def left(self, count: EvaluationCount, rate: float) -> int:
        """Evaluations that may still be made.

        Args:
            count: those made so far.
            rate: evaluations a second.
        """
        if self.evaluations is not None:
            return max(0, self.evaluations - count.evaluations)
        assert self.seconds is not None
        seconds = self.started + self.seconds - time.perf_counter()
        return max(0, int(CAUTION * seconds * rate))


@dataclass(frozen=True)
class Effort:
    """What a correction may cost.

    Attributes:
        moves: local moves of every sample, after twice as many for learning the step.
        check: particles of the search, of its first population within a budget; 0 = none.
        cloud: particles of a cloud; as many as samples, if these are more and draws cannot be weighed.
        tolerance: the share that may be missing from what is called exact.
        budget: evaluations or seconds, all included; None = as many as the particles take.
    """

    moves: int = 20
    check: int = 2000
    cloud: int = CLOUD
    tolerance: float = TOLERANCE
    budget: Budget | None = None

    @classmethod
    def of(cls, budget: Any = None, tolerance: Any = TOLERANCE, **sizes: int) -> "Effort":
        """What a user says; InputError if it makes no sense."""
        if not (is_number(tolerance) and 0 < tolerance < 1):
            raise InputError(f"tolerance is {tolerance!r}, expected a share between 0 and 1, such as 0.01")
        return cls(tolerance=tolerance, budget=Budget.of(budget), **sizes)

    @property
    def work(self) -> int:
        """Units of work of a correction."""
        return 300 + 3 * self.moves

    def mending(self, n: int) -> int:
        """Evaluations of the local moves of n samples."""
        return (3 * self.moves + 1) * n
