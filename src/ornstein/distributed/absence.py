"""How long there has been nobody to do the work: said at once and then now and then, and not waited for without end."""

import time
from dataclasses import dataclass

from ..errors import Incomplete

TELL = 30.0
"""Seconds between two `Waiting`."""


class WorkersLost(Incomplete):
    """Work that could not be done because workers, or the scheduler they are told by, are gone."""


@dataclass(frozen=True)
class Waiting:
    """Pieces are left, and nobody is there who could do them.

    Attributes:
        where: the scheduler, in words.
        seconds: for how long now.
        patience: after how many seconds the work ends.
    """

    where: str
    seconds: float
    patience: float

    def __str__(self) -> str:
        has = f"has had 0 for {self.seconds:.0f} s" if self.seconds >= 1 else "has 0"
        return f"waiting for workers: {self.where} {has}; without any the work ends after {self.patience:g} s"


class Absence:
    """Counts the seconds without any worker."""

    def __init__(self, where: str, patience: float) -> None:
        """Of a scheduler that has workers, as far as is known.

        Args:
            where: the scheduler, in words.
            patience: seconds that may pass.
        """
        self.where, self.patience = where, patience
        self._since: float | None = None
        self._tell = 0.0

    def seen(self, workers: int) -> Waiting | None:
        """Takes in how many there are now; what is to be told of it. WorkersLost once there were none for too long.

        Args:
            workers: their number.
        """
        now = time.monotonic()
        if workers:
            self._since = None
            return None
        if self._since is None:
            self._since = self._tell = now
        seconds = now - self._since
        if seconds >= self.patience:
            raise WorkersLost(
                f"{self.where} has had no worker for {seconds:.0f} s: start workers that reach it, or wait longer "
                "(--patience SECONDS)"
            )
        if now < self._tell:
            return None
        self._tell = now + TELL
        return Waiting(self.where, seconds, self.patience)
