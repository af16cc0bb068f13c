"""Samples that lie in a folder or at a URL, read part by part: no more than a part of them is in memory.

    for samples in parts("samples/digits-0"): ...        or parts("s3://bucket/run")

A field without a store, whose files are read as a whole, reads all of them first; what that needs is asked before.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...config import update
from ...denoisers.base import Origin
from ...distributed.places import Place, is_url
from ...errors import InputError
from ...keys import Keys
from ...states import State, byte_count
from ...states import batch_size as batch_size_of
from ..figures import Metric
from ..memory import require_held
from ..planning import METADATA, facts_of
from ..samples import MANIFEST, Samples, altered, of_record, origin_in, read_manifest, renewed
from ..scores import append_metrics, append_metrics_at
from ..task import Task
from .keeping import require_states
from .records import exactness_of, numbers_of
from .remote import read_complete, read_shard
from .unfinished import MEMBERS

PART = 32_000_000
"""Bytes of states in a part, about."""


def parts(place: Path | str, *, allow_code: bool | str | Path = False) -> Iterator[Samples]:
    """The samples of a finished folder, or of a URL, in the order of their numbers, part by part.

    Args:
        place: a folder that `Samples.save` wrote, or the URL of shards.
        allow_code: see `load`.

    InputError if there are none, not all are there yet, or a file has changed since it was written.
    """
    yield from source(place, allow_code).parts()


def source(place: Path | str, allow_code: bool | str | Path = False) -> "Source":
    """What lies in a folder or at a URL; see `parts` for the arguments."""
    if is_url(place):
        return Shards(Place(str(place)), allow_code)
    folder = Folder(Path(place), allow_code)
    folder.require_unchanged()
    return folder


def require_here(place: Path | str) -> None:
    """InputError for a URL, where only shards are: native files and pages are in folders."""
    if is_url(place):
        where = Place(str(place))
        raise InputError(f"{where}: shards at a URL; ornstein merge URL --out FOLDER writes a folder of them")


class Source(ABC):
    """Finished samples that lie somewhere.

    Attributes:
        where: they lie, for messages.
        this: their domain.
        origin: the model.
        numbers: of the samples.
        settings: that they were drawn with, as `Samples.settings`.
    """

    where: str
    this: Task
    origin: Origin
    numbers: range
    settings: Mapping[str, Any]

    @property
    @abstractmethod
    def manifest(self) -> Path | str:
        """Where it stands what they are, for messages."""

    @property
    @abstractmethod
    def created(self) -> str:
        """When their native files were written; "" if they never were."""

    @property
    @abstractmethod
    def exactness(self) -> Any:
        """As `Samples.exactness`."""

    @abstractmethod
    def parts(self) -> Iterator[Samples]:
        """All of them, part by part."""

    @abstractmethod
    def said(self) -> Iterator[Mapping[str, Sequence[Any]]]:
        """What is said of each of them, as `Samples.each`, part by part."""

    @abstractmethod
    def append(self, metrics: Sequence[Metric]) -> None:
        """Writes down beside them what was measured."""

    def require_room(self, others: Sequence["Source"] = ()) -> None:
        """InputError if all of them cannot be in memory together.

        Args:
            others: of the same model, whose samples are to be in memory, too.
        """
        every = [self, *others]
        require_held(sum(len(one.numbers) for one in every), self._bytes, ", ".join(one.where for one in every))

    @cached_property
    def _state(self) -> State:
        """A state of the model, (1, ...)."""
        where = str(self.manifest)
        facts = facts_of(self.this, self.origin, self.settings.get(METADATA, {}), where)
        return self.this.space(update(self.this.config(), self.origin.config, where), facts).prior(Keys.of(0, 1))

    @property
    def _bytes(self) -> int:
        return byte_count(self._state)


class Folder(Source):
    """A folder of native files with its manifest."""

    def __init__(self, folder: Path, allow_code: bool | str | Path) -> None:
        """Reads the manifest.

        Args:
            folder: that `Samples.save` wrote.
            allow_code: see `load`.
        """
        self.folder, self.where = folder, str(folder)
        self._said = read_manifest(folder)
        self.this, self.origin = origin_in(self._said, self.manifest, allow_code)
        self._renewed = renewed(self._said)
        self.settings = self._renewed
        self.numbers = numbers_of(self._said)

    def require_unchanged(self) -> None:
        """InputError if a file is not the one that the manifest was written with."""
        for name in altered(self.folder, self._said):
            raise InputError(f"{self.folder / name}: changed since the manifest was written")

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST

    @property
    def created(self) -> str:
        return self._said["created"]

    @property
    def exactness(self) -> Any:
        return exactness_of(self._said.get("exactness"), self.manifest)

    def parts(self) -> Iterator[Samples]:
        size = max(1, PART // max(self._bytes, 1))
        if not self._streams:
            self.require_room()
        at = 0
        for x, condition in self.this.parts(self.folder, self._said, size):
            end = at + batch_size_of(x)
            if end > len(self.numbers):
                break
            yield self._part(slice(at, end), x, condition)
            at = end
            del x, condition  # before the next ones are read
        if at != len(self.numbers):
            raise InputError(f"{self.manifest}: n is {len(self.numbers)}, but its files hold another number of samples")

    @property
    def _streams(self) -> bool:
        """Whether the field reads some samples without the others."""
        own = type(self.this).parts is not Task.parts
        return own or self.this.stored(self.folder, self._said) is not None

    def _part(self, some: slice, x: State, condition: Mapping[str, Any]) -> Samples:
        family = self._said.get("family")
        record = {
            **self._said,
            "settings": {**self._renewed, "first": self.numbers.start + some.start},
            "family": None if family is None else family[some],
            "each": {name: values[some] for name, values in (self._said.get("each") or {}).items()},
        }
        return replace(of_record(record, x, dict(condition), self.manifest), origin=self.origin)

    def said(self) -> Iterator[Mapping[str, Sequence[Any]]]:
        yield self._said.get("each") or {}

    def append(self, metrics: Sequence[Metric]) -> None:
        append_metrics(self.folder, metrics)


class Shards(Source):
    """Shards at a URL."""

    def __init__(self, place: Place, allow_code: bool | str | Path) -> None:
        """Reads what they are, and the first of them.

        Args:
            place: the URL.
            allow_code: see `load`.
        """
        self.place, self.where = place, str(place)
        said, self._shards = read_complete(place)
        self.this, self.origin = origin_in(said, Path(self.manifest), allow_code)
        self.numbers = range(said["first"], said["first"] + said["n"])
        self.settings = self._read(0).settings

    @property
    def manifest(self) -> str:
        return f"{self.place}/{MEMBERS}"

    @property
    def created(self) -> str:
        return ""

    @property
    def exactness(self) -> None:
        return None

    def _read(self, k: int) -> Samples:
        shard = self._shards[k]
        return replace(read_shard(self.place, shard), origin=self.origin, seconds=shard.get("seconds") or 0.0)

    def parts(self) -> Iterator[Samples]:
        for k in range(len(self._shards)):
            samples = self._read(k)
            require_states(samples.x, self._state, self.where)
            yield samples
            del samples

    def said(self) -> Iterator[Mapping[str, Sequence[Any]]]:
        yield from (self._read(k).each for k in range(len(self._shards)))

    def append(self, metrics: Sequence[Metric]) -> None:
        append_metrics_at(self.place, metrics)
