"""How often something that takes time may be done beside the work itself."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throttle:
    """Lets something be done again only when what it took is a small share of the time since.

    writes = Throttle(0.1)
    if writes.due:
        with writes.spent():
            write()
    """

    def __init__(self, share: float) -> None:
        """Due at once.

        Args:
            share: of the time that may be spent, above 0.
        """
        self.share, self._next = share, 0.0

    @property
    def due(self) -> bool:
        """Whether it may be done now."""
        return time.monotonic() >= self._next

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Within it the thing is done; if that fails, it is due again at once."""
        started = time.monotonic()
        yield
        ended = time.monotonic()
        self._next = ended + (ended - started) / self.share
