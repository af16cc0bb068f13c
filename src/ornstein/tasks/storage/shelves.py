"""Where blocks of samples are put, each whole or not at all: a file, beside the native files of a domain that has them.

What a block's file holds is a function of what is drawn, and of nothing else: whoever draws a block writes the same
bytes, also a worker that was given up for lost and comes late. So the seconds that it took stand in the manifest.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...denoisers.base import Origin
from ...disk.trees import flushed
from ...errors import InputError
from ...files import LISTING, inside, read_json, require, sha256
from ..registry import task
from ..samples import Samples
from ..task import SCRATCH
from .identity import digest_of
from .packing import pack, unpack_with, without_numbers
from .replaced import read_again
from .unfinished import MEMBERS, folder_of

if TYPE_CHECKING:
    from ..native.members import MemberStore

NATIVE = "native"
_WRITTEN = {"drawn": str, "files": {str: str}}


class Shelves(ABC):
    """A place for blocks. It may be sent to other processes that see the same place."""

    @abstractmethod
    def put(self, samples: Samples) -> dict[str, Any]:
        """Writes a block, and returns what the manifest says of it.

        Args:
            samples: of numbers that follow one another.
        """

    @abstractmethod
    def remove(self, block: Mapping[str, Any]) -> None:
        """Removes what `put` wrote.

        Args:
            block: what it returned.
        """

    @abstractmethod
    def require_seen(self) -> None:
        """InputError unless this process sees the place as whoever gives out the work does."""

    def put_late(self, samples: Samples) -> dict[str, Any]:
        """What `put` does, for a worker that may have been given up for lost: InputError if the place is gone by now.

        Nothing is left then of what was written.

        Args:
            samples: of numbers that follow one another.
        """
        self.require_seen()
        block = self.put(samples)
        try:
            self.require_seen()  # it may have gone while this worker stood still
        except InputError:
            self.remove(block)
            raise
        return block


class Shelf(Shelves):
    """A folder for blocks, FOLDER.part. It may be sent to other processes that see the same folder.

    Attributes:
        part: the folder.
        origin: the model.
        numbers: of all the samples.
        drawn: what is drawn, by `digest_of` its identity.
    """

    def __init__(self, part: Path, origin: Origin, numbers: range, drawn: str = "") -> None:
        self.part, self.origin, self.numbers, self.drawn = part, origin, numbers, drawn

    @property
    def native(self) -> Path:
        """Where native files are until all are there: a folder of the name that it will have."""
        return self.part / NATIVE / folder_of(self.part).name

    @cached_property
    def store(self) -> "MemberStore | None":
        """How the domain writes samples one by one, if it does."""
        store = task(self.origin.domain).store(self.native, self.origin, self.numbers)
        if store is not None:
            store.scratch = self.part / SCRATCH
        return store

    def put(self, samples: Samples) -> dict[str, Any]:  # flushed to the disk
        seconds, first, n = samples.seconds, samples.first, len(samples)
        native: list[Path] = []
        if self.store is not None:
            native = flushed(self.store.add(samples), self.part)
            samples = without_numbers(samples)
        files = {str(file.relative_to(self.part)): sha256(file) for file in native}
        path = self.part / f"{first:08d}-{n}.safetensors"
        pack(path, replace(samples, seconds=0.0), {"drawn": self.drawn, "files": files})
        digests = {path.name: sha256(path), **files}
        return {"first": first, "n": n, "file": path.name, "files": digests, "seconds": round(seconds, 3)}

    def remove(self, block: Mapping[str, Any]) -> None:
        for name in block["files"]:
            (self.part / name).unlink(missing_ok=True)
        remove_empty(self.part)

    def found(self, path: Path) -> dict[str, Any] | None:
        """What the manifest says of a block that is whole, but that it does not name yet; None if it is no such block.

        Args:
            path: a file that `put` may have written.
        """
        try:
            samples, written = unpack_with(path)
            require(written, _WRITTEN, path)
        except InputError:  # cut off, or nothing of ours
            return None
        block = {"first": samples.first, "n": len(samples), "file": path.name, "seconds": 0.0}
        files = {path.name: sha256(path), **written["files"]}
        if written["drawn"] != self.drawn or not is_there(self.part, {**block, "files": files}):
            return None
        return {**block, "files": files}

    def _read(self) -> dict[str, Any]:
        return read_json(self.part / MEMBERS, "the manifest of what is drawn", {"drawn": dict}, LISTING)

    def require_seen(self) -> None:
        try:
            drawn = read_again(self._read)["drawn"]
        except (InputError, OSError):
            raise InputError(
                f"{self.part} is not there: workers on other machines need a folder of a shared file system, or a URL"
            ) from None
        if digest_of(drawn) != self.drawn:
            raise InputError(f"{self.part} holds samples of something else: is it the same folder on all machines?")


def remove_empty(folder: Path) -> None:
    """Removes the folders in a folder that hold no file, and itself if it holds none."""
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            path.rmdir()
    with suppress(OSError):
        folder.rmdir()


def is_there(part: Path, block: Mapping[str, Any]) -> bool:
    """Whether all files of a block are as they were written."""
    return all((part / name).is_file() and sha256(part / name) == digest for name, digest in block["files"].items())


def unchanged(part: Path, block: Mapping[str, Any], name: str) -> Path:
    """A file of a block, which must be as it was written; else InputError."""
    path = inside(part, name, part / MEMBERS)
    if sha256(path) != block["files"].get(name):
        raise InputError(f"{path}: changed since it was written; remove it, and its samples are drawn again")
    return path


def unpacked(part: Path, block: Mapping[str, Any]) -> Samples:
    """The samples of a block; InputError if they are others than members.json says."""
    path = unchanged(part, block, block["file"])
    samples, _ = unpack_with(path)
    if (samples.first, len(samples)) != (block["first"], block["n"]):
        raise InputError(f"{path}: holds other samples than {part / MEMBERS} says")
    return replace(samples, seconds=block.get("seconds", samples.seconds))
