"""What goes wrong, and the exit code that the command line gives it."""

from collections.abc import Iterator
from contextlib import contextmanager

from .escaping import printable


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
