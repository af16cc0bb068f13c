"""Reading the next batch while this step is computed: one thread, one batch ahead."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf
from types import TracebackType
from typing import Generic, Self, TypeVar

Read = TypeVar("Read")


class Ahead(Generic[Read]):
    """Within `with`, `ahead(step)` returns read(step) and starts read(step + 1) in the thread.

    What `read` raises is raised by the call for that step, and not before. The thread ends with the block, after the
    read that it is in. Steps are asked for in order, and none from `stop` on is read ahead.
    """

    def __init__(self, read: Callable[[int], Read], stop: float = inf) -> None:
        self._read, self._stop = read, stop
        self._thread = ThreadPoolExecutor(1, "ornstein-reading")
        self._next: tuple[int, Future[Read]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __call__(self, step: int) -> Read:
        known, now = self._next or (None, None)
        if now is None or known != step:
            now = self._thread.submit(self._read, step)
        self._next = (step + 1, self._thread.submit(self._read, step + 1)) if step + 1 < self._stop else None
        return now.result()
