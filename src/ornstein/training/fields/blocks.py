"""Blocks of records, read once and kept while the memory lasts: what was used last stays (least recently used goes).

A block is what the file stores as one, so that a chunk is not unpacked once a record. Threads read several at once; one
that finds no room waits for the others.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Condition

import numpy as np


class Blocks:
    """Arrays by name, of so many bytes at most, those that are being read among them.

    Attributes:
        bound: bytes.
        reads: how many blocks were read.
    """

    def __init__(self, bound: int) -> None:
        self.bound, self.reads = bound, 0
        self._kept: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._users: dict[Hashable, int] = {}
        self._taken = 0  # bytes, of blocks that are kept or being read
        self._free = Condition()

    @contextmanager
    def using(self, name: Hashable, size: int, read: Callable[[], np.ndarray]) -> Iterator[np.ndarray]:
        """The block of that name, which is not let go within.

        Args:
            name: of the block.
            size: bytes that are needed while it is read: what is stored, and what is made of it.
            read: the block, if it is not kept.
        """
        found = self._enter(name, size)
        try:
            if found is None:
                found = self._put(name, size, read)
            yield found
        finally:
            self._leave(name)

    def _enter(self, name: Hashable, size: int) -> np.ndarray | None:
        """The block, if it is kept, and as long as another reads it, waits; else room for it is taken."""
        with self._free:
            while True:
                found = self._kept.get(name)
                if found is not None or (name not in self._users and self._made_room(size)):
                    break
                self._free.wait()
            self._users[name] = self._users.get(name, 0) + 1
            if found is None:
                self._taken += size
            else:
                self._kept.move_to_end(name)
            return found

    def _made_room(self, size: int) -> bool:
        """Lets blocks go that nobody uses, those first that were not used for longest; whether there is room now."""
        for name in list(self._kept):
            if self._taken + size <= self.bound:
                break
            if not self._users.get(name):
                self._taken -= self._kept.pop(name).nbytes
        return self._taken + size <= self.bound or not self._users  # alone, it is read whatever its size

    def _put(self, name: Hashable, size: int, read: Callable[[], np.ndarray]) -> np.ndarray:
        try:
            found = read()
        except BaseException:
            with self._free:
                self._taken -= size
            raise
        with self._free:
            self.reads += 1
            self._kept[name] = found
            self._taken += found.nbytes - size
            self._free.notify_all()
        return found

    def _leave(self, name: Hashable) -> None:
        with self._free:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
            self._free.notify_all()
