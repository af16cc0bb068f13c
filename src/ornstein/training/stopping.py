"""SIGTERM and Ctrl-C: a request to training, which finishes its step and saves; else the end of what is at work."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_signals(cancel: Callable[[], None]) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT, however many, call `cancel`. Only a main thread can listen to them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: cancel()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_PATIENCE = 5.0  # seconds in which a second signal does not disturb the tidying up after the first


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGTERM is what Ctrl-C is, KeyboardInterrupt: whatever is at work unwinds and tidies up.

    Further signals within a few seconds are not heard. Where Ctrl-C is ignored, as in a job in the background, it
    stays so. Only a main thread can listen.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: list[float] = []

    def interrupt(*_: object) -> None:
        if first and time.monotonic() - first[0] < _PATIENCE:
            return
        first[:] = [time.monotonic()]
        raise KeyboardInterrupt

    ours = [number for number in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
