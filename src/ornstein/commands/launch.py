"""Commands under `torchrun`: every rank runs the same one, and the first alone writes, shows progress and speaks."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ..config import SampleConfig
from ..distributed.ranks import Ranks, launch_size, launched
from ..errors import InputError, Interrupted, exit_code
from ..events import Event
from ..events.progress import drawing_progress


@contextmanager
def ranked(how: SampleConfig) -> Iterator[Ranks]:
    """The ranks that draw together; other ranks than the first end without a word, with the exit code of the first.

    Args:
        how: how samples are drawn.

    InputError if the samples are not one population: then the ranks would have nothing to say to one another.
    """
    try:
        _require_population(how)
        with launched(how.device) as ranks:
            yield ranks
    except (Exception, KeyboardInterrupt) as error:
        code = Interrupted.exit_code if isinstance(error, KeyboardInterrupt) else exit_code(error)
        if is_first() or code is None:
            raise
        raise SystemExit(code) from error


def is_first() -> bool:
    """Whether this process is the one that speaks: the first rank, or the only one."""
    return launch_size() == 1 or os.environ["RANK"] == "0"


def require_alone(what: str) -> None:
    """InputError if torchrun started this process together with others.

    Args:
        what: cannot be done then, as the user said it.
    """
    if launch_size() > 1:
        raise InputError(
            f"{what} under torchrun: its {launch_size()} ranks hold one population together (--exact particles), and "
            "independent samples are drawn by workers (--on dask)"
        )


def _require_population(how: SampleConfig) -> None:
    if how.exact != "particles":
        require_alone(f"--exact {how.exact}")


def progress_of(ranks: Ranks) -> AbstractContextManager[Callable[[Event], None]]:
    """What shows the events of a drawing: nothing but on the first rank."""
    return drawing_progress() if ranks.rank == 0 else nullcontext(lambda event: None)
