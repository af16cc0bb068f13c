"""What a killed write leaves is swept away, what a living process writes is not."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ornstein.disk.locks import beside, sweep
from ornstein.files import write_text

WORK = """
import sys, time
from pathlib import Path
from ornstein.disk.locks import beside
with beside(Path(sys.argv[1]), file=sys.argv[2] == "file") as work:
    (work if work.is_file() else work / "0.png").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def start(target: Path, kind: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", WORK, str(target), kind], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_swept_by_the_next_write(tmp_path: Path, kind: str) -> None:
    killed, alive = start(tmp_path / "a", kind), start(tmp_path / "b", kind)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(list(tmp_path.iterdir())) == 2
    write_text(tmp_path / "c.json", "{}")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2
    assert left[0].startswith(".b.")
    assert left[1] == "c.json"
    alive.kill()
    alive.wait()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    for name in (".cache", ".a.12345678", ".git", "a.12345678", ".b.12345678.tmp.txt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("x")
    (tmp_path / ".c.12345678").symlink_to(tmp_path / ".cache")
    (tmp_path / ".notes").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    sweep(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def fail(folder: Path) -> None:
    """Part of a folder is written when the disk is full."""
    with beside(folder) as work:
        (work / "0.png").write_text("x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_work_is_gone_in_the_end_and_a_full_disk_names_the_target(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as error:
        fail(tmp_path / "a")
    assert error.value.filename == str(tmp_path / "a")
    assert not list(tmp_path.iterdir())
    with beside(tmp_path / "new" / "a") as work:
        work.rename(tmp_path / "new" / "a")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


def test_where_nobody_knows_of_locks_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, where a worker on another machine may be at work."""

    def unknown(descriptor: int, how: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("fcntl.flock", unknown)
    with beside(tmp_path / "a.txt", file=True) as theirs, beside(tmp_path / "b.txt", file=True):
        assert theirs.exists()
    assert not list(tmp_path.iterdir())
