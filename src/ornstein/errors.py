"""What goes wrong, the exit code that the command line gives it, and one line that says why and where."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from .text.escaping import printable


class InputError(ValueError):
    """The user's data, configuration or files are not what they must be: says what, where, and what was expected.

    Args:
        message: in one or two sentences.
    """

    exit_code = 2

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message))  # which may quote somebody else's file


class RecordError(InputError):
    """A record of a batch is not clean data of its space.

    Attributes:
        where: what the batch is of.
        record: the number of the record.
        what: is wrong with it.
    """

    def __init__(self, where: str, record: int, what: str) -> None:
        super().__init__(f"{where}: record {record}, {what}")
        self.where, self.record, self.what = where, record, what


class TrainingError(RuntimeError):
    """Training cannot go on; the last checkpoint is intact."""

    exit_code = 1


class SamplingError(RuntimeError):
    """What was drawn is no sample: numbers that are not finite."""

    exit_code = 1


class Interrupted(RuntimeError):
    """Training was asked to stop (SIGTERM, Ctrl-C), finished its step and saved: resume to go on."""

    exit_code = 3


class Incomplete(RuntimeError):
    """Some of many pieces of work could not be done; the others are, and are saved."""

    exit_code = 3


@contextmanager
def needed_for(what: str, extra: str) -> Iterator[None]:
    """Around the import of a package that only an extra brings: InputError, which names both, if it is not there.

    Args:
        what: cannot be done without it, in words.
        extra: of this package, in square brackets behind its name.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{what} needs {error.name!r}: pip install 'ornstein[{extra}]'") from None


# How they end a command ------------------------------------------------------------------------------

OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
}
"""Faults that no other input would mend."""


def exit_code(error: Exception) -> int | None:
    """The exit code of an error that has one; None of a fault of ours, whose traceback is wanted."""
    if isinstance(error, OSError):
        return 1 if error.errno in OF_THE_MACHINE else InputError.exit_code
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return 1
    return getattr(error, "exit_code", None)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether torch asked for more memory than there is, on any device."""
    ours = hasattr(error, "exit_code")  # which may tell of such errors of others
    return (
        isinstance(error, RuntimeError)
        and not ours
        and any(words in str(error) for words in ("out of memory", "can't allocate memory"))
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
