"""Requests from a file: a JSON object of flags a line, all read and checked before anything is drawn.

    {"name": "three", "label": 3, "n": 8}
    {"observation": "seen.png", "exact": "particles"}         drawn into OUT/00002, by the number of the line

What the command line says holds for every line that does not say otherwise.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from glob import glob
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import SampleConfig, SpreadConfig
from ..errors import Incomplete, InputError, Interrupted
from ..files import MB, content
from ..text.escaping import printable
from .exits import require_writable, working_in
from .flags import laid_over
from .objects import Reader, flags, laid_over_both, parsed

if TYPE_CHECKING:
    from ..events import Event
    from ..tasks.parallel.outcomes import Ask, Outcome, Refused
    from ..tasks.task import Task

LIMIT = 256 * MB
_TOLD = 10
"""Lines of which it is said what is wrong with them; the others are counted."""
_ONCE = "it holds for all requests"
_ELSEWHERE = {
    "out": "a request's folder is in that of all, by its name",
    "requests": "a file of requests names no other",
    "device": "the model is loaded once",
    **dict.fromkeys(("resume", "allow-code", "code", "on", "workers", "scheduler", "shard"), _ONCE),
}
"""Flags of the command line that a line may not say, and why."""


def unchecked(request_type: type) -> type:
    """The type of a request whose values are not checked yet.

    Flags that only have a meaning with others, such as --noise with --observation, may come from the command line, and
    the others from a line; see `checked`.
    """
    return type(
        request_type.__name__, (request_type,), {"__post_init__": lambda self: None, "__doc__": request_type.__doc__}
    )


def checked(asked: Any, request_type: type) -> Any:
    """What is asked for, as a request; InputError if it is none."""
    return laid_over(request_type(), {(one.name,): getattr(asked, one.name) for one in fields(asked)})


def read_asks(path: Path, this: "Task", asked: Any, how: SampleConfig) -> "Iterator[Ask | Refused]":
    """The requests of a file, in the order of its lines, empty ones aside; InputError if it is none, or too long.

    Args:
        path: the file.
        this: the domain.
        asked, how: what the command line says.
    """
    from ..tasks.parallel.outcomes import Ask, Refused

    reader, names = Reader(flags(this), _ELSEWHERE), dict[str, int]()
    data = content(path, LIMIT, "a file of requests, a JSON object of flags a line").removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(BytesIO(data), 1):
        if not line.strip():
            continue
        name = None
        try:
            said = parsed(line, "the line")
            name = _named(said.pop("name", None), number, names)
            request, way = laid_over_both(reader.values(said), asked, how)
            request = checked(request, this.request_type)
            _require_files(request, this)
            yield Ask(name, request, options_of(way), number)
        except InputError as error:
            yield Refused(str(error), name, number)


def options_of(how: SampleConfig) -> dict[str, Any]:
    """The further arguments of `drawing` that were said; where the model is to be is not among them."""
    options = {name: value for name, value in vars(how).items() if value is not None and value is not False}
    del options["device"]
    return options


def _named(name: Any, line: int, names: dict[str, int]) -> str:
    """The name of a request's folder; InputError if it can be none, or is that of an earlier line."""
    from ..tasks.parallel.outcomes import require_name

    found = require_name(f"{line:05d}" if name is None else name)
    if found in names:
        raise InputError(f"name is {found!r}, as in line {names[found]}: names must differ")
    names[found] = line
    return found


def _require_files(asked: Any, this: "Task") -> None:
    """InputError if a file that is named is not there; what is in it shows when it is read."""
    for name, suffixes in this.files.items():
        path = getattr(asked, name)
        known = tuple(suffix for suffix in suffixes if suffix)
        if isinstance(path, Path) and path.name.lower().endswith(known) and not path.exists() and not glob(str(path)):
            raise InputError(f"--{name.replace('_', '-')} is {path}, which is not there")


# Drawing them -----------------------------------------------------------------------------------------


def readable(
    path: Path, this: "Task", asked: Any, how: SampleConfig, spread: SpreadConfig, out: Path, resume: bool
) -> "list[Ask | Refused]":
    """The requests of a file, once it is said which cannot be drawn; InputError if none can, or nowhere.

    Args:
        path: the file.
        this: the domain.
        asked, how, spread: what the command line says.
        out: the folder of the requests' folders.
        resume: whether what an earlier command has left is to be drawn.
    """
    from ..tasks.parallel.outcomes import Refused, require_place

    if spread.shard is not None:
        raise InputError("--shard is of the samples of one request; of a file of requests each is drawn by one worker")
    require_place(out, resume)
    require_writable(out)
    asks = list(read_asks(path, this, asked, how))
    refused = [ask for ask in asks if isinstance(ask, Refused)]
    told = [f"{path}: {_said(ask)}" for ask in refused[:_TOLD]]
    told += [f"{path}: {len(refused) - _TOLD} other lines are no requests either"] if len(refused) > _TOLD else []
    if not asks:
        raise InputError(f"{path}: empty, expected a JSON object of flags a line")
    if len(refused) == len(asks):
        raise InputError("\n".join([f"{path}: none of {len(asks)} requests can be drawn", *told]))
    for line in told:
        _tell(line)
    return asks


def draw_asks(path: Path, asks: "Sequence[Ask | Refused]", model: Any, out: Path, **options: Any) -> None:
    """Draws requests, names those that fail, and says how many are done; Incomplete unless all are.

    Args:
        path: of the file that they stand in.
        asks: the requests.
        model: trained.
        out: the folder of the requests' folders.
        options: of `drawing_all`.
    """
    from ..events import finished
    from ..events.progress import drawing_progress
    from ..tasks.parallel.asks import drawing_all

    with _saying_what_is_done(out), working_in(out), drawing_progress() as show:

        def heard(event: "Event") -> None:
            if event.finished is not None and event.finished.error is not None:
                _tell(f"{path}: {_said(event.finished)}")
            show(event)

        outcomes = finished(drawing_all(model, asks, out, **options), heard)
    _conclude(outcomes, out)


def _said(one: "Refused | Outcome") -> str:
    """Which line it is, and what is wrong with it."""
    named = "" if one.name in (None, f"{one.line:05d}") else f" ({one.name})"
    return f"line {one.line}{named}: {one.error}"


def _tell(words: str) -> None:
    print(f"ornstein: {printable(words)}", file=sys.stderr, flush=True)


@contextmanager
def _saying_what_is_done(out: Path) -> Iterator[None]:
    """Whoever stops the work, or learns that its workers are lost, is told how many requests are done."""
    from ..distributed.pools import WorkersLost
    from ..tasks.parallel.outcomes import counted

    try:
        yield
    except Interrupted:
        if (done := counted(out)) is None:
            raise
        raise Interrupted(f"stopped; {done} in {out}; the same command with --resume draws the rest") from None
    except WorkersLost as error:
        error.add_note(f"{counted(out)} in {out}; the same command with --resume draws the rest")
        raise


def _conclude(outcomes: "Sequence[Outcome]", out: Path) -> None:
    """Says that all requests are done; Incomplete if some are not."""
    failed = [one for one in outcomes if one.state != "done"]
    if not failed:
        print(printable(f"{len(outcomes)} requests are done\n{out}"))
        return
    lines = ", ".join([str(one.line) for one in failed[:_TOLD]] + ["..."] * (len(failed) > _TOLD))
    which = f"line {lines}" if len(failed) == 1 else f"lines {lines}"
    raise Incomplete(
        f"{out}: {len(outcomes) - len(failed)} of {len(outcomes)} requests are done, not those of {which}; "
        f"{out / 'requests.json'} says why, and the same command with --resume tries them again"
    )
