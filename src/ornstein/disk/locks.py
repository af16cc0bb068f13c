"""What one process holds: a folder it works in, and what it writes beside a target before that takes its place.

A lock (flock) goes with its process, however that ends. So what is left of a write that was killed can be told from one
that goes on, and is swept away by the next write in that place.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from ..errors import InputError


class Busy(InputError):
    """Another process is at work in a folder."""


class Lock:
    """`with Lock(folder):` one process at a time is at work in a folder; Busy in every other.

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
            if not os.fstat(self._descriptor).st_nlink:  # which another removed when it was done
                os.close(self._descriptor)
                self._refuse()
        self._depth += 1

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            self._refuse()
        except OSError:  # NFS, for one, locks no folders
            pass

    def _refuse(self) -> NoReturn:
        raise Busy(
            f"{self.folder}: another {self.work} is at work in this folder; wait for it or choose another folder"
        ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            os.close(self._descriptor)


# Work beside a target ---------------------------------------------------------------------------------

_UNFINISHED = re.compile(r"\.(?P<target>.+)\.[a-z0-9_]{8}(?P<file>\.tmp)?")


@contextmanager
def beside(target: Path, file: bool = False) -> Iterator[Path]:
    """A new folder (with a folder of the target's name in it) or file, beside the target, which is gone in the end.

    Its name is hidden. What a killed process left there is removed first. An OSError within names the target.

    Args:
        target: what will take the place; its folder is made if there is none.
        file: whether that is a file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    work, descriptor = _held(target, file)
    try:
        yield work if file else work / target.name
    except OSError as error:  # a full disk names no file
        if error.errno:
            error.filename = str(target)
        raise
    finally:
        _remove(work)
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes what killed processes left unfinished in a folder; what a living one works at stays."""
    for path in folder.iterdir():
        if _is_unfinished(path) and (descriptor := _taken(path, sure=True)) is not None:
            _remove(path)
            os.close(descriptor)


def _is_unfinished(path: Path) -> bool:
    """Whether a path is what `beside` makes: of its name, and if a folder, with nothing in it but the target."""
    found = _UNFINISHED.fullmatch(path.name)
    if not found or path.is_symlink():
        return False
    if found["file"]:
        return path.is_file()
    return path.is_dir() and {inner.name for inner in path.iterdir()} <= {found["target"]}


def _held(target: Path, file: bool) -> tuple[Path, int]:
    """A new path beside the target, and the descriptor of its lock."""
    prefix = f".{target.name}."
    while True:
        if file:
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=".tmp")
            os.close(handle)
        else:
            name = tempfile.mkdtemp(dir=target.parent, prefix=prefix)
        descriptor = _taken(Path(name))
        if descriptor is not None:
            if not file:
                (Path(name) / target.name).mkdir()
            return Path(name), descriptor


def _taken(path: Path, sure: bool = False) -> int | None:
    """The descriptor that locks a path; None if another process does, or has removed it.

    Args:
        path: of a file or a folder.
        sure: None, too, where nobody knows: a process of another machine may be at work there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # NFS, for one, locks no folders
        if sure:
            os.close(descriptor)
            return None
    if not os.fstat(descriptor).st_nlink or not path.exists():
        os.close(descriptor)
        return None
    return descriptor


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
