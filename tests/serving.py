"""The studio as its users start it: a server process, its workers, and the folders that it may write in."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import httpx

START, END = 90.0, 30.0  # seconds that a server may take to answer, and to end, on a machine that is busy
_ADDRESS = re.compile(r"http://[\w.\[\]:-]+:\d+")


@dataclass(frozen=True)
class Served:
    """A studio that runs.

    Attributes:
        address: where it answers, such as http://127.0.0.1:8421.
        folder: its own: `samples` and `runs` are below it, and `tmp`, where uploads go.
        said: what it printed when it started.
        pid: of the server.
    """

    address: str
    folder: Path
    said: str
    pid: int

    @property
    def out(self) -> Path:
        return self.folder / "samples"

    def client(self, **more: Any) -> httpx.Client:
        """That asks this studio, and no proxy."""
        return httpx.Client(base_url=self.address, timeout=START, trust_env=False, **more)

    def workers(self) -> list[int]:
        """The processes that compute, by age."""
        return [pid for pid in children(self.pid) if "spawn_main" in command_of(pid)]

    def memory(self) -> float:
        """MB that the server and its workers hold together."""
        return sum(resident(pid) for pid in (self.pid, *self.workers()))

    def tree(self) -> dict[str, str]:
        """Every file, folder and link that it may have written, with what is in it."""
        return {str(path.relative_to(self.folder)): _content(path) for path in sorted(self.folder.rglob("*"))}


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Served]:
    """A studio on any free port, which ends with the context, and all its processes with it."""
    for name in ("samples", "runs", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    words = ["studio", "--no-open", "--port", "0", "--out", "samples", "--runs", "runs", *flags]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "ornstein.cli", *words],
        cwd=folder, env={**os.environ, "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        said = _address(process)
        yield Served(_ADDRESS.findall(said)[-1], folder, said, process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[str]) -> str:
    """What a server prints until it names its address, once that answers; the rest is read and dropped."""
    lines: Queue[str | None] = Queue()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    Thread(target=read, daemon=True).start()
    said = ""
    while not (found := _ADDRESS.search(said)):
        try:
            line = lines.get(timeout=START)
        except Empty:
            line = None
        assert line is not None, f"the studio did not start: {said}"
        said += line
    with httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False, timeout=START) as client:
        client.get(found[0])
    return said


# Processes --------------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """The processes that a process started and that still are."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return sorted(found)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:  # it has ended
        return ""


def resident(pid: int) -> float:
    """MB that a process holds; 0 of one that has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else "a folder"
