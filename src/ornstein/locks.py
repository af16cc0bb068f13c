"""A folder for one process at a time, and folders of work that only live as long as the process that fills them."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from .errors import InputError


class Lock:
    """`with Lock(folder):` one process at a time is at work in a folder; InputError in every other.

    The lock is on the folder itself (flock), so it leaves no file and goes with the process, however that ends. The
    same object may be entered again while it is held. Where a file system knows no locks, there is none.
    """

    def __init__(self, folder: Path, work: str) -> None:
        """work: what is done there, for the error, such as "training"."""
        self.folder, self.work = folder, work
        self._depth, self._descriptor = 0, -1

    def __enter__(self) -> None:
        if not self._depth:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.folder, os.O_RDONLY)
            self._take()
        self._depth += 1

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise InputError(
                f"{self.folder}: another {self.work} is at work in this folder; wait for it or choose another folder"
            ) from None
        except OSError:  # NFS, for one, locks no folders
            pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            os.close(self._descriptor)
