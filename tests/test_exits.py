"""How commands end that do not succeed: stopped, out of space, on a terminal with other letters."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from ornstein import cli
from ornstein.commands.exits import require_writable, working_in
from ornstein.domains.images.stored import PictureStore
from ornstein.domains.images.task import Images
from ornstein.errors import InputError, exit_code
from ornstein.tasks import runs

DRAW = ["sample", "images/digits", "--n", "2", "--steps", "2", "--out", "out"]


def interrupting(number: signal.Signals, original: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which is sent a signal twice while it is at work."""

    def interrupted(*args: Any, **options: Any) -> Any:
        try:
            os.kill(os.getpid(), number)
            return original(*args, **options)
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # while what was begun is tidied up

    return interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("place", "name", "said"),
    [
        (runs, "load", "ornstein: stopped"),
        (Images, "request", "ornstein: stopped; nothing was written"),
        (
            PictureStore,
            "write",
            "ornstein: stopped; 2 of 2 samples are whole (0 to 1) in out.part; the same command with --resume goes on",
        ),
    ],
)
def test_a_signal_ends_any_phase_in_one_line(
    place: Any,
    name: str,
    said: str,
    number: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place, name, interrupting(number, getattr(place, name)))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert cli.main(DRAW) == 3
    assert capsys.readouterr().err.splitlines() == [said]
    assert [path.name for path in tmp_path.iterdir()] == (["out.part"] if "out.part" in said else [])
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_what_was_saved_before_a_signal_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(RuntimeError, match=r"stopped; .*run holds what was saved"), working_in(tmp_path / "run"):
        raise KeyboardInterrupt


def test_a_full_disk_fails_with_the_place(tmp_path: Path) -> None:
    """A limit on the size of files is what a full disk is to a program."""
    code = f"import sys; from ornstein.cli import main; sys.exit(main({DRAW}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)),
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr == "ornstein: out: File too large\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), 1),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), 2),
        (MemoryError(), 1),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), 1),
        (InputError("x"), 2),
        (RuntimeError("x"), None),
        (ValueError("x"), None),
    ],
)
def test_exit_codes(error: Exception, code: int | None) -> None:
    assert exit_code(error) == code


def test_a_place_where_nobody_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**options: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    with pytest.raises(PermissionError) as error:
        require_writable(tmp_path / "a" / "b")
    assert error.value.filename == str(tmp_path)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_terminals_with_other_letters(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a terminal cannot show is replaced; nothing is cut, and 80 columns are enough."""
    monkeypatch.setenv("COLUMNS", "80")
    screen = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(screen, encoding, write_through=True))
    for command in (["models"], ["show", "images/digits"]):
        assert cli.main(command) == 0
    for command in (["--help"], ["sample", "energies/gmm-40", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            cli.main(command)
    said = screen.getvalue().decode(encoding)
    models = said[: said.index("ornstein show MODEL")]
    assert "images/digits" in models
    assert max(map(len, models.splitlines())) <= 80
