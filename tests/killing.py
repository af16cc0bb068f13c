"""Work that is killed (SIGKILL) in a process of its own, at a flush to the disk: what a crash leaves."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from ornstein import files


def killed(work: Callable[[], object], flush: int) -> bool:
    """Whether the work, in a child of this process, came to its k-th flush to the disk, at which it is killed."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    flushes, sync = 0, files.sync

    def counted(path: Path) -> None:
        nonlocal flushes
        flushes += 1
        if flushes == flush:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(path)

    files.sync = counted
    try:
        work()
    finally:
        os._exit(0)


def started(*words: str, path: Path | None = None) -> subprocess.Popen[str]:
    """The command line in a process of its own, which finds what this one finds.

    Args:
        words: of the command.
        path: where it finds further modules, before all others.
    """
    search = os.pathsep.join([*([str(path)] if path else []), *map(os.path.abspath, filter(None, sys.path))])
    command, environment = [sys.executable, "-m", "ornstein", *words], {**os.environ, "PYTHONPATH": search}
    return subprocess.Popen(command, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def workers_of(process: int) -> list[int]:
    """The processes below one that draw for it; none if it has ended.

    Args:
        process: its number.
    """
    found = []
    with suppress(psutil.Error):
        for one in psutil.Process(process).children(recursive=True):
            with suppress(psutil.Error):  # it has ended meanwhile
                found += [one.pid] if any("spawn_main" in word for word in one.cmdline()) else []
    return found
