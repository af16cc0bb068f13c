"""Sets of whole numbers that come in rows, such as the numbers of the samples that are there."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Intervals:
    """Whole numbers, kept as the intervals that they fill: a million in a row take as much as two."""

    def __init__(self, rows: Iterable[range] = ()) -> None:
        self._low: list[int] = []
        self._high: list[int] = []
        for row in rows:
            self.add(row)

    def add(self, row: range) -> None:
        """Puts the numbers of a row in, those that are there already included."""
        if not row:
            return
        # from k on, up to but without m: the intervals that overlap the row or touch it
        k = bisect_right(self._high, row.start - 1)
        m = bisect_right(self._low, row.stop)
        low, high = min([row.start, *self._low[k:m]]), max([row.stop, *self._high[k:m]])
        self._low[k:m], self._high[k:m] = [low], [high]

    def covers(self, row: range) -> bool:
        """Whether all numbers of a row are there."""
        k = bisect_right(self._low, row.start) - 1
        return not row or (k >= 0 and row.stop <= self._high[k])

    def meets(self, row: range) -> bool:
        """Whether any number of a row is there."""
        k = bisect_right(self._high, row.start)
        return bool(row) and k < len(self._low) and self._low[k] < row.stop

    def __len__(self) -> int:
        return sum(self._high) - sum(self._low)

    def __iter__(self) -> Iterator[range]:
        """The intervals, in order."""
        return map(range, self._low, self._high)
