"""Many requests, and what has become of each: OUT/requests.json, which is there before anything is drawn.

It says of a request by which flags it was asked for. So a later call knows whether the folder of that name, which is
whole, was drawn for the same; what has become of a request it sees by the folder itself, since the file is written at a
bounded rate and may be late after a crash.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

from ...config import SampleConfig
from ...denoisers.base import NeuralDenoiser
from ...disk.locks import Lock, sweep
from ...errors import InputError
from ...files import GB, Within, own, plain, read_json, write_atomic
from ..samples import MANIFEST
from ..storage.inputs import files_of
from ..storage.replaced import read_again
from ..storage.throttle import Throttle
from ..storage.unfinished import require_absent

RECORD = "requests.json"
SHARE = 0.02
"""Of the time, at most, that writing the record takes."""

_LONGEST = 200
"""Bytes of a name: a file system's limit is 255, and names beside it are longer."""
_USUAL = vars(SampleConfig())

_SCHEMA = {
    "model": {"domain": str, "name": str, "weights": str},
    "requests": [
        {
            "name?": str,
            "line?": Within(int, 1, 10**9),
            "state": ("done", "failed", "left"),
            "error?": str,
            "seconds?": Within(float, 0, 1e12),
            "flags?": dict,
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of many.

    Attributes:
        name: of its folder.
        asked: the domain's request, a frozen dataclass.
        options: further arguments of `drawing`, such as n, seed and steps.
        line: of the file that it stands in, from 1; None if in none.
    """

    name: str
    asked: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = None

    def __post_init__(self) -> None:
        require_name(self.name)

    def __str__(self) -> str:
        return f"request {self.name!r}"


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that cannot be drawn, which is known before anything is.

    Attributes:
        error: why, in words.
        name: that its folder would have; None if that is not known.
        line: of the file that it stands in, from 1; None if in none.
    """

    error: str
    name: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of one request.

    Attributes:
        name: of its folder; None if it names none.
        line: of the file that it stands in, from 1; None if in none.
        state: done, failed, or left for a later call.
        error: why it failed, in words.
        seconds: that it was worked at.
        traceback: of a fault of the program.
    """

    name: str | None
    line: int | None
    state: Literal["done", "failed", "left"]
    error: str | None = None
    seconds: float | None = None
    traceback: str | None = None


class Outcomes:
    """What has become of each request, in a folder that one process at a time works in.

    Attributes:
        folder: of the requests' folders.
        waiting: requests that are to be drawn.
        run: a word that stands in the record while this process works there.
        refused: those that are not, since there is a folder that was drawn for something else.
    """

    def __init__(self, folder: Path, model: NeuralDenoiser, asks: Iterable[Ask | Refused], resume: bool) -> None:
        """Looks at nothing yet.

        Args:
            folder: the folder of the requests' folders.
            model: of which they are.
            asks: the requests; those that can be drawn have names of their own.
            resume: go on with what an earlier call has left.
        """
        if model.origin is None:
            raise InputError("only a trained model knows a domain whose requests it understands; take sample")
        self.folder, self.resume, self._lock = folder, resume, Lock(folder, "drawing")
        self._model = {name: getattr(model.origin, name) for name in ("domain", "name", "weights")}
        self._asks, self._writes = list(asks), Throttle(SHARE)
        self._found: list[Outcome] = []
        self._flags: list[Mapping[str, Any] | None] = []
        self._others: list[Mapping[str, Any]] = []
        self._place: dict[str | None, int] = {}
        self.waiting: list[Ask] = []
        self.refused: list[Outcome] = []
        self.run = uuid4().hex

    def __enter__(self) -> Self:
        require_place(self.folder, self.resume)
        made = not self.folder.exists()
        self._lock.__enter__()
        try:
            require_place(self.folder, self.resume)  # another may have come and gone
            self._begin()
            self._write()
        except BaseException:
            if made and not any(self.folder.iterdir()):
                self.folder.rmdir()
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._write()
        finally:
            self._lock.__exit__(None, None, None)

    def _begin(self) -> None:
        """Finds out what is there already, and what is to be drawn."""
        before: dict[str, Mapping[str, Any]] = {}
        if self.resume:
            said = _read(self.folder)
            for name, value in self._model.items():
                if said["model"][name] != value:
                    was = said["model"][name]
                    raise InputError(
                        f"{self.folder / RECORD}: of a model whose {name} is {was!r}, this one's {value!r}"
                    )
            before = {one["name"]: one for one in said["requests"] if one.get("name")}
        for ask in self._asks:
            self._add(ask, before.pop(ask.name, None) if ask.name else None)
        self._others = [one for name, one in before.items() if (self.folder / name).is_dir()]

    def _add(self, ask: Ask | Refused, before: Mapping[str, Any] | None) -> None:
        """Takes in a request, with what an earlier call said of it."""
        flags = None if before is None else before.get("flags")
        if isinstance(ask, Refused):
            outcome = Outcome(ask.name, ask.line, "failed", ask.error)
        elif ask.name in self._place:
            raise InputError(f"two requests have the name {ask.name!r}, expected names that differ")
        else:
            outcome = self._there(ask, flags)
            self.refused += [outcome] if outcome.state == "failed" else []
            self._place[ask.name] = len(self._found)
            if not (self.folder / ask.name).exists():
                flags = flags_of(ask)
                self.waiting.append(ask)
        self._found.append(replace(outcome, seconds=(before or {}).get("seconds")))
        self._flags.append(flags)

    def _there(self, ask: Ask, flags: Mapping[str, Any] | None) -> Outcome:
        """What has become of a request so far: its folder is there, for just these flags, or it is to be drawn."""
        folder, outcome = self.folder / ask.name, Outcome(ask.name, ask.line, "left")
        if not folder.exists():
            return outcome
        asked, file = flags_of(ask), _newer(ask, folder)
        if flags is None or not (folder / MANIFEST).is_file():
            error = f"{folder}: exists already, and not by a request; remove it, or give the request another name"
        elif flags != asked:
            error = f"{folder}: drawn with {_other(flags, asked)}; give the request another name, or remove the folder"
        elif file is not None:
            error = f"{folder}: {file} has changed since it was drawn; remove the folder, and it is drawn anew"
        else:
            return replace(outcome, state="done")
        return replace(outcome, state="failed", error=error)

    def note(self, outcome: Outcome) -> None:
        """What has become of a request of that name; it is written now, or later where that would take too long."""
        self._found[self._place[outcome.name]] = outcome
        if self._writes.due:
            self._write()

    def _write(self) -> None:
        with self._writes.spent():
            write_atomic(self.folder / RECORD, self._lines)

    def _lines(self, path: Path) -> None:
        """Writes the record, a request a line: there may be many."""
        with path.open("w", encoding="utf-8") as file:
            file.write(f'{{"run": "{self.run}",\n "model": {json.dumps(self._model)},\n "requests": [')
            for k, row in enumerate(self._rows()):
                file.write(f"{',' if k else ''}\n  {json.dumps(row, allow_nan=False)}")
            file.write("\n ]}\n")

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        for one, flags in zip(self._found, self._flags, strict=True):
            folder = one.name if one.state == "done" else None
            row = {"name": one.name, "line": one.line, "state": one.state, "error": one.error, "folder": folder}
            row |= {"seconds": one.seconds, "flags": flags, "traceback": one.traceback}
            yield {name: value for name, value in row.items() if value is not None}
        yield from self._others

    def all(self) -> list[Outcome]:
        """What has become of each request, in the order of the requests."""
        return list(self._found)


def require_name(name: object) -> str:
    """A name that can be that of a request's folder, and of nothing else there; InputError for any other."""
    if not isinstance(name, str) or not _is_name(name):
        raise InputError(
            f"name is {name!r:.80}, expected that of a folder: {_LONGEST} bytes at most, no / or \\ in it, no dot or "
            f"hyphen in front, no .part at the end, and not {RECORD}"
        )
    return name


def _is_name(name: str) -> bool:
    wrong = name.startswith((".", "-")) or name.endswith(".part") or name in ("", RECORD) or name != name.strip()
    return not wrong and name.isprintable() and not {"/", "\\"} & {*name} and len(name.encode()) <= _LONGEST


def require_place(folder: Path, resume: bool) -> None:
    """InputError unless a folder of requests' folders is a new one, or that of what is to be resumed.

    Args:
        folder: the folder.
        resume: whether an earlier call's requests are to go on.
    """
    begun = (folder / RECORD).is_file()
    if begun and not resume:
        raise InputError(
            f"{folder}: begun already, {counted(folder)}; --resume (in Python resume=True) draws the rest, or choose "
            "another folder or remove it"
        )
    if resume and not begun:
        raise InputError(f"{folder}: nothing to resume, there is no {folder / RECORD}")
    if folder.is_dir():
        sweep(folder)
    if not begun and not (folder.is_dir() and not any(folder.iterdir())):
        require_absent(folder)


def require_seen(folder: Path, run: str) -> None:
    """InputError unless the folder that another process works in is seen here, too.

    Args:
        folder: the folder of the requests' folders.
        run: the word in its record.
    """
    path = folder / RECORD
    if not path.is_file() or run not in read_again(partial(_first_line, path)):
        raise InputError(
            f"worker {gethostname()} does not see {folder}: workers on other machines need a shared folder"
        )


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline()


def counted(folder: Path) -> str | None:
    """How many requests are done, in words; None if none has begun there."""
    if not (folder / RECORD).is_file():
        return None
    said = _read(folder)["requests"]
    return f"{sum(one['state'] == 'done' for one in said)} of {len(said)} requests are done"


def _read(folder: Path) -> dict[str, Any]:
    return read_json(own(folder, RECORD), "what has become of each request", _SCHEMA, limit=GB)


def flags_of(ask: Ask) -> dict[str, Any]:
    """What was said of a request, in JSON values: fields and options that have other values than by default."""
    said = {
        one.name: getattr(ask.asked, one.name)
        for one in fields(ask.asked)
        if getattr(ask.asked, one.name) != one.default
    }
    return plain(said | {name: value for name, value in ask.options.items() if value != _USUAL.get(name)})


def _other(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two requests, in words."""
    name = next(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))
    said = [f"{name} = {flags[name]!r}" if name in flags else f"{name} not said" for flags in (before, now)]
    return f"{said[0]}, asked for is {said[1]}"


def _newer(ask: Ask, folder: Path) -> Path | None:
    """A file that a request names and that is newer than its samples, if there is one."""
    manifest = folder / MANIFEST
    drawn = manifest.stat().st_mtime if manifest.exists() else 0.0
    return next((path for path, stat in files_of(ask.asked) if stat.st_mtime > drawn), None)
