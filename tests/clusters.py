"""A dask cluster of processes of its own, as a user's is, which can be killed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A scheduler, and the file that says where it is; its workers import what this process can."""
    file = folder / "scheduler.json"
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": path, "text": True}
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *common]
    own = ["--death-timeout", "20", "--local-directory", str(folder)]
    started = [subprocess.Popen([*scheduler, *common], **quiet)]
    try:
        while not file.exists():
            time.sleep(0.05)
        started += [subprocess.Popen([*worker, *own], **quiet) for _ in range(workers)]
        yield started[0], file
    finally:
        for one in started:
            one.kill()
            one.wait()
