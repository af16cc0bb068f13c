"""How a command ends that does not succeed: its exit code, and one line that says why and where."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, Interrupted

_OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
}
"""Faults that no other input would mend."""


def require_writable(folder: Path) -> None:
    """An error if a new folder could not be made there: better known before any work than after."""
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        if error.errno in _OF_THE_MACHINE:
            raise OSError(error.errno, error.strerror, str(place)) from None
        raise InputError(f"{folder}: nothing can be written in {place} ({error.strerror})") from None


@contextmanager
def working_in(place: Path | str) -> Iterator[None]:
    """Within it faults of the machine name the folder or URL, and who stops the work is told what is in it."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(place)
        raise
    except KeyboardInterrupt as stopped:
        from ..distributed.places import is_url
        from ..tasks.unfinished import what_is_left

        if is_url(place):
            left = "; ".join(getattr(stopped, "__notes__", ())) or "nothing was written"
            raise Interrupted(f"stopped; {left}") from None
        folder = Path(place)
        saved = f"{folder} holds what was saved" if folder.exists() else "nothing was written"
        raise Interrupted(f"stopped; {what_is_left(folder) or saved}") from None


def exit_code(error: Exception) -> int | None:
    """The exit code of an error that has one; None of a fault of ours, whose traceback is wanted."""
    if isinstance(error, OSError):
        return 1 if error.errno in _OF_THE_MACHINE else InputError.exit_code
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return 1
    return getattr(error, "exit_code", None)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether torch asked for more memory than there is, on any device."""
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )


def why(error: Exception) -> str:
    """What went wrong, in a line or two, with what was added to it; a path where a file is concerned."""
    return "; ".join([_wrong(error), *getattr(error, "__notes__", ())])


def _wrong(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        first = (str(error).splitlines() or [""])[0]
        return f"out of memory ({first or 'no more is known'}); fewer samples at once (--batch-size) take less"
    return str(error)
