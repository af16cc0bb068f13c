"""Samples on the disk as they finish: a crash leaves whole samples, and what is missing is drawn later.

    with Kept(folder, origin, numbers, resume) as kept:    FOLDER.part, one process at a time
        kept.begin(identity)
        yield from kept.reading(events)                    each block is written as it finishes, and dropped
        samples = kept.finish()                            native files and the manifest in FOLDER

Where workers draw, each writes its blocks itself (`shelf`), and who gives out the work takes `note` of them:

        kept.note(kept.shelf().put(samples))

The order of writes is what makes a block whole: its file, flushed to the disk and renamed, then members.json, which
names it. The states are read back for the native files, so that what was cut off and what was not are the same.
"""

import shutil
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ...config import update
from ...denoisers.base import Origin
from ...disk.locks import Lock, sweep
from ...errors import InputError
from ...events import Stream
from ...files import write_json
from ...keys import Keys
from ...states import State, byte_count
from ..planning import METADATA, facts_of
from ..samples import Samples, origin_in, remarked
from ..task import SCRATCH
from .identity import digest_of, require_same
from .intervals import Intervals
from .joining import joined
from .shelves import Shelf, unchanged, unpacked
from .throttle import Throttle
from .unfinished import (
    MEMBERS,
    WORK,
    begun,
    counted,
    numbered,
    part_of,
    read_members,
    require_countable,
    require_place,
    what_is_left,
)

if TYPE_CHECKING:
    from ..native.members import MemberStore

SHARE = 0.1
"""Of the time, at most, that writing takes: blocks that are drawn faster than that are written several at a time."""
MOST_HELD = 64_000_000
"""Bytes of samples, at most, that wait to be written, are read back from native files in the end, or are one shard."""

PATIENCE = 60.0
"""Seconds of drawing, at most, that wait for the rest of their unit: a crash loses them."""


class Kept:
    """The samples of one drawing, on the disk as they finish.

    Attributes:
        folder: where they will be when all are there.
        part: where they are until then.
        units: as `MemberStore.units`, once it was said what is drawn.
    """

    units: range | None = None

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
        self._whole = Intervals()
        self._pending: list[Samples] = []
        self._since = 0.0
        self._failed, self._unsaid, self._writes = False, False, Throttle(SHARE)
        self._shelf = Shelf(self.part, origin, numbers)

    def __enter__(self) -> Self:
        require_countable(self.numbers, self.folder)
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
            if error is not None and self._unsaid:
                self._say()
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

    def begin(
        self, drawn: Mapping[str, Any], together: bool = False, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Says what is drawn; InputError where samples are there that were drawn with something else.

        Args:
            drawn: what the samples are a function of; see identity.py.
            together: they are not independent, so that none is whole before all are.
            settings: of the samples, as far as they are the same for all.
        """
        said = begun(self.origin, drawn, self.numbers, together)
        self._shelf.drawn = digest_of(drawn)
        if not self.resume:
            self._clear()
        if self.resume:
            before = read_members(self.part)
            require_same(before["drawn"], drawn, self.part)
            said["blocks"] = [block for block in before["blocks"] if self._is_there(block)]
        self._said, self._whole = said, Intervals(map(_numbers, said["blocks"]))
        if self.resume:
            self._adopt()
        self._say()
        if self._shelf.store is not None:
            self._shelf.native.mkdir(parents=True, exist_ok=True)
            self._shelf.store.settings = settings
            self._shelf.store.begin()
            self.units = self._shelf.store.units

    def _clear(self) -> None:
        """Removes what another drawing left that was cut off before any of its samples was named."""
        for path in self.part.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _is_there(self, block: Mapping[str, Any]) -> bool:
        """Whether a block's files are; InputError if they are not those that were written."""
        if not all((self.part / name).exists() for name in block["files"]):
            return False
        if self._shelf.store is not None and not self._shelf.store.is_added(_numbers(block)):
            return False  # of a version that kept samples of this domain otherwise
        for name in block["files"]:
            unchanged(self.part, block, name)
        return True

    def _adopt(self) -> None:
        """Takes in the blocks that are whole, but that were not named before the end; removes what belongs to none.

        Of the scratch folder, that is the files which are called by the number of a sample.
        """
        named = {name for block in self._said["blocks"] for name in block["files"]}
        for path in sorted(self.part.glob("*.safetensors")):
            block = None if path.name in named else self._shelf.found(path)
            if block is not None and self._is_wanted(_numbers(block)):
                self._enter(block)
                named |= block["files"].keys()
        scratch = (path for path in (self.part / SCRATCH).rglob("[0-9]*") if path.is_file())
        for path in (*self.part.glob("*.safetensors"), *scratch):
            if str(path.relative_to(self.part)) not in named:
                path.unlink()

    def _is_wanted(self, numbers: range) -> bool:
        """Whether all of these samples were asked for, and none is there."""
        wanted = self.numbers.start <= numbers.start and numbers.stop <= self.numbers.stop
        return wanted and not self._whole.meets(numbers)

    @property
    def streams(self) -> bool:
        """Whether the domain writes its samples as they finish, so that they need not be in memory together."""
        return self._shelf.store is not None

    def shelf(self) -> Shelf:
        """Where workers put the blocks that they draw, once it was said what is drawn."""
        return Shelf(self.part.absolute(), self.origin, self.numbers, self._shelf.drawn)

    def there(self, numbers: range) -> bool:
        """Whether the samples of these numbers are on the disk, all of them that are wanted."""
        wanted = range(max(numbers.start, self.numbers.start), min(numbers.stop, self.numbers.stop))
        return self._whole.covers(wanted)

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
        self._since = self._since if self._pending else time.monotonic()
        self._pending.append(samples)
        if self._is_time():
            self._write()

    def _is_time(self) -> bool:
        """Whether what waits is to be written: at the end of a unit, if memory holds one and it does not take long."""
        last = self._pending[-1]
        end, state = last.first + len(last), byte_count(last.x) // len(last)
        if self.units is None or end in self.units or end == self.numbers.stop or self.units.step * state > MOST_HELD:
            return self._writes.due or sum(_size(one) for one in self._pending) > MOST_HELD
        held = sum(byte_count(one.x) for one in self._pending)
        return held > MOST_HELD or time.monotonic() - self._since > PATIENCE

    def _write(self) -> None:
        """Writes the samples that wait, and then says that they are whole."""
        try:
            with self._writes.spent():
                self._put(joined(self._pending))
        except Exception:
            self._failed = True  # what could not be written is not tried once more on the way out
            raise
        self._pending = []

    def _put(self, samples: Samples) -> None:
        self._enter(self._shelf.put(samples))
        self._say()

    def note(self, block: Mapping[str, Any]) -> None:
        """Takes note of a block that a worker has put on a shelf of this folder.

        The manifest names it now, or with those that follow: what it does not name in the end is found by its file.

        Args:
            block: what `Shelf.put` returned.
        """
        self._enter(block)
        if self._writes.due:
            with self._writes.spent():
                self._say()

    def _enter(self, block: Mapping[str, Any]) -> None:
        blocks, first = self._said["blocks"], block["first"]
        k = bisect_left(blocks, first, key=lambda one: one["first"])
        again = k < len(blocks) and blocks[k]["first"] == first  # who was interrupted writes it once more
        blocks[k : k + again] = [block]
        self._whole.add(_numbers(block))
        self._unsaid = True

    def _say(self) -> None:
        write_json(self.part / MEMBERS, self._said)
        self._unsaid = False

    def finish(self) -> Samples:
        """Writes the native files and the manifest, and returns all samples.

        The states of a domain that writes its samples as they finish are read back if they are few. Of many the shapes
        are returned, without numbers (torch's device "meta").
        """
        samples = replace(joined([unpacked(self.part, block) for block in self._said["blocks"]]), origin=self.origin)
        if len(samples) != self._said["n"]:
            raise InputError(f"{self.part}: {counted(self._said)}, which is not all of them")
        if self._shelf.store is None:
            samples = remarked(samples)
            samples.save(self.folder)
        else:
            samples = self._finished_by(self._shelf.store, samples)
        shutil.rmtree(self.part, ignore_errors=True)
        return samples

    def _finished_by(self, store: "MemberStore", samples: Samples) -> Samples:
        """The samples of a domain that writes them as they finish."""
        samples = replace(samples, notes=(*samples.notes, *(store.finish(samples) or ())))
        few = byte_count(*store.read(self.numbers[:1])) * len(samples) <= MOST_HELD
        x, condition = store.read(self.numbers) if few else (samples.x, samples.condition)
        sweep(self._shelf.native)
        created = samples.seal(self._shelf.native, self.folder)
        return replace(samples, x=x, condition=condition, created=created)


def _size(samples: Samples) -> int:
    """The bytes of their states, conditions and trajectories."""
    return byte_count(samples.x, samples.condition, *samples.trajectory)


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
    samples = joined([unpacked(part, block) for block in said["blocks"]])
    facts = facts_of(this, origin, samples.settings.get(METADATA, {}), where)
    space = this.space(update(this.config(), origin.config, str(where)), facts)
    require_states(samples.x, space.prior(Keys.of(0, 1)), part)
    numbers = range(samples.first, samples.first + len(samples))
    store = Shelf(part, origin, _numbers(said)).store
    if store is not None:
        store.settings = samples.settings
        x, condition = store.read(numbers)
        written = datetime.fromtimestamp(where.stat().st_mtime, UTC).isoformat(timespec="seconds")
        samples = replace(samples, x=x, condition=condition, created=written)
    return replace(samples, origin=origin, notes=(*samples.notes, f"unfinished: {counted(said)}"))


def _numbers(block: Mapping[str, Any]) -> range:
    return range(block["first"], block["first"] + block["n"])


def require_states(x: State, like: State, part: object) -> None:
    """InputError unless states are of the structure, the shapes and the kinds of numbers of a space."""

    def form(state: State) -> Any:
        if isinstance(state, Mapping):
            return {name: form(inner) for name, inner in state.items()}
        return tuple(state.shape[1:]), state.is_floating_point()

    if form(x) != form(like):
        raise InputError(f"{part}: its samples have the form {form(x)}, the model's states {form(like)}")
