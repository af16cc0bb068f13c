"""Records of pairs in memory, if it has room for them, else read when they are asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from ...files import MB
from .files.pairs import Pairs, Read

Window = Sequence[Int[np.ndarray, "n side"]]
"""Where the window of each record is, along each axis of the grid."""
_SAMPLE = 1024
"""Records of a grid that statistics are measured on at most: each has many points."""
_CHUNK = 64 * MB


@dataclass(frozen=True, eq=False)
class Kept:
    """Pairs, of which all records are kept once one was read, or none; the records are the same whichever way.

    Attributes:
        pairs: in files.
        memory: bytes that may be kept.
    """

    pairs: Pairs
    memory: float

    def __len__(self) -> int:
        return len(self.pairs.times)

    @property
    def whole(self) -> bool:
        """Whether all records are kept."""
        return self.pairs.bytes <= self.memory

    @cached_property
    def _all(self) -> Read:
        return self.pairs.read(slice(None))

    def read(self, times: Int[np.ndarray, " n"], window: Window | None = None) -> Read:
        """The records of some times, which may repeat, or a window of each.

        Args:
            times: their numbers.
            window: None = all of the grid.
        """
        if self.whole:
            return _taken(self._all, times, window)
        distinct, place = np.unique(times, return_inverse=True)
        return _taken(self.pairs.read(distinct), place, window)

    def sampled(self) -> "Kept":
        """Records evenly over the times, as many as memory has room for: what statistics are measured on."""
        n = len(self)
        most = n if self.pairs.grid.kind == "stations" else min(n, _SAMPLE)
        most = min(most, max(1, int(self.memory * n / max(1, self.pairs.bytes))))
        if most == n:
            return self
        numbers = np.unique(np.linspace(0, n - 1, most).astype(np.int64))
        found = Kept(self.pairs.part(numbers), self.memory)
        if self.whole:
            found.__dict__["_all"] = _taken(self._all, numbers, None)
        return found

    def chunks(self) -> Iterator[tuple[Read, np.ndarray]]:
        """All records, some at a time, and when these began."""
        n = len(self)
        each = max(1, int(_CHUNK * n / max(1, self.pairs.bytes)))
        for begin in range(0, n, each):
            numbers = np.arange(begin, min(begin + each, n))
            yield self.read(numbers), self.pairs.times[numbers]

    @cached_property
    def gaps(self) -> bool:
        """Whether a truth is missing, as far as all records, or the sample of them, say."""
        rows = self.pairs.rows
        if rows is not None and bool((rows < 0).any()):
            return True
        looked_at = self if self.whole else self.sampled()
        return any(bool(np.isnan(read.truth).any()) for read, _ in looked_at.chunks() if read.truth is not None)


def _taken(read: Read, index: np.ndarray, window: Window | None) -> Read:
    if window is None:
        return read.taken(index)
    fields = (read.mean, read.spread, read.truth)
    mean, spread, truth = (None if one is None else cut(one, index, window) for one in fields)
    assert mean is not None
    return Read(mean, spread, truth)


def cut(
    fields: Float[np.ndarray, "records *channels_and_grid"], index: Int[np.ndarray, " n"], window: Window
) -> Float[np.ndarray, "n *channels_and_sides"]:
    """Of some records the window of each, of which nothing else is copied.

    Args:
        fields: of all records.
        index: which of them.
        window: where, of each of these.
    """
    places = ([place[k] for place in window] for k in range(len(index)))
    return np.stack([fields[n][(..., *np.ix_(*place))] for n, place in zip(index, places, strict=True)])
