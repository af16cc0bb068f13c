"""Samples on the disk as they finish: a crash leaves whole samples, and what is missing is drawn later.

    with Kept(folder, origin, numbers, resume) as kept:    FOLDER.part, one process at a time
        kept.begin(identity)
        yield from kept.reading(events)                    each block is written as it finishes, and dropped
        samples = kept.finish()                            native files and the manifest in FOLDER

The order of writes is what makes a block whole: its file, flushed to the disk and renamed, then members.json, which
names it. The states are read back for the native files, so that what was cut off and what was not are the same.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..config import update
from ..denoisers.base import Origin
from ..errors import InputError
from ..events import Stream
from ..files import flushed, inside, sha256, write_json
from ..keys import Keys
from ..locks import Lock, sweep
from ..states import State, leaves
from .identity import require_same
from .joining import joined
from .packing import pack, unpack, without_numbers
from .planning import METADATA, facts_of
from .registry import task
from .samples import Samples, origin_in, remarked
from .task import SCRATCH
from .unfinished import MEMBERS, WORK, counted, folder_of, numbered, part_of, read_members, require_place, what_is_left

if TYPE_CHECKING:
    from .members import MemberStore

SHARE = 0.1
"""Of the time, at most, that writing takes: blocks that are drawn faster than that are written several at a time."""
MOST_HELD = 64_000_000
"""Bytes of states that wait to be written."""
_NATIVE = "native"


class Kept:
    """The samples of one drawing, on the disk as they finish.

    Attributes:
        folder: where they will be when all are there.
        part: where they are until then.
    """

    def __init__(self, folder: Path, origin: Origin, numbers: range, resume: bool = False) -> None:
        """Looks at nothing yet.

        Args:
            folder: a new one.
            origin: the model.
            numbers: of all the samples.
            resume: go on with a drawing that was cut off.
        """
        self.folder, self.part, self.resume = folder, part_of(folder), resume
        self.origin, self.numbers = origin, numbers
        self._lock, self._made = Lock(self.part, WORK), [self.part]
        self._said: dict[str, Any] = {}
        self._whole: set[int] = set()
        self._pending: list[Samples] = []
        self._failed, self._next = False, 0.0
        self._native = _native(self.part)
        self._store = _store(self.part, origin, numbers)

    def __enter__(self) -> Self:
        require_place(self.folder, self.resume)
        self._made = [self.part, *(parent for parent in self.part.parents if not parent.exists())]
        self._lock.__enter__()
        try:
            require_place(self.folder, self.resume, held=True)  # another may have come and gone
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self._pending and not self._failed:
                self._write()
        finally:
            if isinstance(error, OSError) and self.part in Path(error.filename or self.part).parents:
                error.filename = str(self.folder)  # a file of ours, of which nobody else knows
            if error is not None and self._whole:
                error.add_note(what_is_left(self.folder))
            self._leave()

    def _leave(self) -> None:
        """Lets go of the folder; of one in which no sample is whole nothing is left."""
        try:
            if self._said and not self._whole:
                shutil.rmtree(self.part, ignore_errors=True)
            for folder in self._made:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        finally:
            self._lock.__exit__(None, None, None)

    def begin(self, drawn: Mapping[str, Any], together: bool = False) -> None:
        """Says what is drawn; InputError where samples are there that were drawn with something else.

        Args:
            drawn: what the samples are a function of; see identity.py.
            together: they are not independent, so that none is whole before all are.
        """
        said = {"complete": False, "model": self.origin.record(), "drawn": drawn, "together": together}
        said |= {"first": self.numbers.start, "n": len(self.numbers), "blocks": []}
        if self.resume:
            before = read_members(self.part)
            require_same(before["drawn"], drawn, self.part)
            said["blocks"] = [block for block in before["blocks"] if self._is_there(block)]
        self._said, self._whole = said, {number for block in said["blocks"] for number in _numbers(block)}
        self._note()
        if self._store is not None:
            self._native.mkdir(parents=True, exist_ok=True)

    def _is_there(self, block: Mapping[str, Any]) -> bool:
        """Whether a block's files are; InputError if they are not those that were written."""
        if not all((self.part / name).exists() for name in block["files"]):
            return False
        for name in block["files"]:
            _unchanged(self.part, block, name)
        return True

    @property
    def streams(self) -> bool:
        """Whether the domain writes its samples as they finish, so that they need not be in memory together."""
        return self._store is not None

    def there(self, numbers: range) -> bool:
        """Whether the samples of these numbers are on the disk, all of them that are wanted."""
        wanted = range(max(numbers.start, self.numbers.start), min(numbers.stop, self.numbers.stop))
        return self._whole.issuperset(wanted)

    def reading(self, stream: Stream[Any]) -> Stream[None]:
        """The events, while what they bring that has finished is written."""
        for event in stream:
            if event.finished is not None:
                left = "they were not kept" if self._whole or self._pending else "nothing was saved"
                event.finished.require_finite(self.folder, left)
                self._add(event.finished)
            yield replace(event, result=None)
        if self._pending:
            self._write()

    def _add(self, samples: Samples) -> None:
        """Writes samples now, or with those that follow where writing would take too much of the time."""
        before = self._pending[-1] if self._pending else None
        if before is not None and before.first + len(before) != samples.first:
            self._write()
        self._pending.append(samples)
        held = sum(leaf.numel() * leaf.element_size() for one in self._pending for leaf in leaves(one.x))
        if time.monotonic() >= self._next or held > MOST_HELD:
            self._write()

    def _write(self) -> None:
        """Writes the samples that wait, and then says that they are whole."""
        started = time.monotonic()
        try:
            self._say(joined(self._pending))
        except Exception:
            self._failed = True  # what could not be written is not tried once more on the way out
            raise
        self._pending = []
        ended = time.monotonic()
        self._next = ended + (ended - started) / SHARE

    def _say(self, samples: Samples) -> None:
        path = self.part / f"{samples.first:08d}.safetensors"
        native: list[Path] = []
        if self._store is not None:
            native = flushed(self._store.add(samples), self.part)
            samples = without_numbers(samples)
        pack(path, samples)
        files = {str(file.relative_to(self.part)): sha256(file) for file in [path, *native]}
        block = {"first": samples.first, "n": len(samples), "file": path.name, "files": files}
        others = [one for one in self._said["blocks"] if one["first"] != samples.first]
        self._said["blocks"] = sorted([*others, block], key=lambda one: one["first"])
        self._note()
        self._whole.update(_numbers(block))

    def _note(self) -> None:
        write_json(self.part / MEMBERS, self._said)

    def finish(self) -> Samples:
        """Writes the native files and the manifest, and returns all samples.

        The states of a domain that writes its samples as they finish stay on the disk if they need more than
        `MOST_HELD`: what is returned has their shapes, without numbers (torch's device "meta").
        """
        samples = replace(joined([_unpacked(self.part, block) for block in self._said["blocks"]]), origin=self.origin)
        if len(samples) != self._said["n"]:
            raise InputError(f"{self.part}: {counted(self._said)}, which is not all of them")
        if self._store is None:
            samples = remarked(samples)
            samples.save(self.folder)
        else:
            samples = replace(samples, notes=(*samples.notes, *(self._store.finish(samples) or ())))
            if sum(leaf.numel() * leaf.element_size() for leaf in leaves(samples.x)) <= MOST_HELD:
                x, condition = self._store.read(self.numbers)
                samples = replace(samples, x=x, condition=condition)
            sweep(self._native)
            samples.seal(self._native, self.folder)
        shutil.rmtree(self.part, ignore_errors=True)
        return samples


def read_unfinished(part: Path, allow_code: bool | str | Path = False) -> Samples:
    """The samples that are whole of those that are being drawn, or whose drawing was cut off.

    They must follow one another; a note says how many of how many they are. InputError if none is whole.

    Args:
        part: the folder, FOLDER.part.
        allow_code: see `load`.
    """
    said, where = read_members(part), part / MEMBERS
    this, origin = origin_in(said, where, allow_code)
    if not said["blocks"] or "," in numbered(said["blocks"]):
        raise InputError(f"{part}: {counted(said)}, expected samples that follow one another; --resume draws the rest")
    samples = joined([_unpacked(part, block) for block in said["blocks"]])
    facts = facts_of(this, origin, samples.settings.get(METADATA, {}), where)
    space = this.space(update(this.config(), origin.config, str(where)), facts)
    _require_states(samples.x, space.prior(Keys.of(0, 1)), part)
    numbers = range(samples.first, samples.first + len(samples))
    store = _store(part, origin, _numbers(said))
    if store is not None:
        x, condition = store.read(numbers)
        samples = replace(samples, x=x, condition=condition)
    return replace(samples, origin=origin, notes=(*samples.notes, f"unfinished: {counted(said)}"))


def _store(part: Path, origin: Origin, numbers: range) -> "MemberStore | None":
    """How the domain writes samples one by one, if it does."""
    store = task(origin.domain).store(_native(part), origin, numbers)
    if store is not None:
        store.scratch = part / SCRATCH
    return store


def _native(part: Path) -> Path:
    """Where native files are until all are there: a folder of the name that it will have."""
    return part / _NATIVE / folder_of(part).name


def _numbers(block: Mapping[str, Any]) -> range:
    return range(block["first"], block["first"] + block["n"])


def _unchanged(part: Path, block: Mapping[str, Any], name: str) -> Path:
    """A file of a block, which must be as it was written; else InputError."""
    path = inside(part, name, part / MEMBERS)
    if sha256(path) != block["files"].get(name):
        raise InputError(f"{path}: changed since it was written; remove it, and its samples are drawn again")
    return path


def _unpacked(part: Path, block: Mapping[str, Any]) -> Samples:
    """The samples of a block; InputError if they are others than members.json says."""
    path = _unchanged(part, block, block["file"])
    samples = unpack(path)
    if (samples.first, len(samples)) != (block["first"], block["n"]):
        raise InputError(f"{path}: holds other samples than {part / MEMBERS} says")
    return samples


def _require_states(x: State, like: State, part: Path) -> None:
    """InputError unless states are of the structure, the shapes and the kinds of numbers of a space."""

    def form(state: State) -> Any:
        if isinstance(state, Mapping):
            return {name: form(inner) for name, inner in state.items()}
        return tuple(state.shape[1:]), state.is_floating_point()

    if form(x) != form(like):
        raise InputError(f"{part}: its samples have the form {form(x)}, the model's states {form(like)}")
