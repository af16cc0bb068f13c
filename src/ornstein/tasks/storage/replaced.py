"""Files that whoever gives out the work replaces while workers on other machines read them.

On a network file system (NFS) the file that was opened is gone then, and reading it fails with ESTALE; the new one is
there.
"""

import errno
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

TRIES = 5
"""Readings, each of which a file may be replaced during, before the fault is believed."""


def read_again(read: Callable[[], Value]) -> Value:
    """What a reading gives, which is repeated if its file was replaced meanwhile.

    Args:
        read: opens the file and reads it.
    """
    for _ in range(TRIES - 1):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read()
