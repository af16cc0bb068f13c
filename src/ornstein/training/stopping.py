"""SIGTERM and Ctrl-C as requests: what is at work finishes its step and saves."""

import signal
import threading
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
