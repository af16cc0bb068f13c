"""Where a command works: whether anything can be written there, and what is there if it ends early."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OF_THE_MACHINE, InputError, Interrupted


def require_writable(folder: Path) -> None:
    """An error if a new folder could not be made there: better known before any work than after."""
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
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
        from ..tasks.storage.unfinished import what_is_left

        if is_url(place):
            left = "; ".join(getattr(stopped, "__notes__", ())) or "nothing was written"
            raise Interrupted(f"stopped; {left}") from None
        folder = Path(place)
        saved = f"{folder} holds what was saved" if folder.exists() else "nothing was written"
        raise Interrupted(f"stopped; {what_is_left(folder) or saved}") from None
