"""Files that were sent: bounded, checked, never executed or unpickled, and gone in the end.

Each is streamed into a folder of its own within one private folder. What is refused leaves nothing there. The private
folder is locked while the studio runs and removed at the end; that of a studio that crashed, whose lock is gone with
it, is removed by the next start.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...disk.locks import Lock
from ...errors import InputError
from ...files import MB
from ...files import sha256 as sha256_of
from .contents import require_content
from .kinds import HEAD, named

_PREFIX = "ornstein-studio-"
_LETTERS, _BYTES = 120, 200
_REFUSED = frozenset("<>&\"'`/\\:;|*?$")
_UNPACKED = 4
"""How many times the limit of a file its content may be, unpacked."""
MOST = 200
"""Files at a time."""
BESIDE = 8
"""Files that may belong to one."""
SILENCE = 60.0
"""Seconds that the next piece of a file may take."""


class TooLarge(InputError):
    """More than is taken: HTTP 413."""


@dataclass(frozen=True)
class Upload:
    """A file that was sent, or made by hand; others may belong to it and lie beside it.

    Attributes:
        id: by which requests name it, "file:ID".
        path: of the file.
        size: bytes, with those of what belongs to it.
        sha256: of its content, and of what belongs to it.
        others: how many files belong to it.
    """

    id: str
    path: Path
    size: int
    sha256: str
    others: int = 0

    def having(self, name: str, size: int, digest: str) -> "Upload":
        """With a file that belongs to it: the same header beside other data is another upload."""
        both = sha256(f"{self.sha256} {name} {digest}".encode()).hexdigest()
        return replace(self, size=self.size + size, sha256=both, others=self.others + 1)

    @property
    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"file": f"file:{self.id}", "name": self.path.name, "size": self.size, "sha256": self.sha256}


@dataclass
class Uploads:
    """All that were sent.

    Attributes:
        limit: bytes of one file; all together may have eight times as many.
        folder: the private one.
        kept: new folders in which `keep` put files.
    """

    limit: int = 512 * MB
    folder: Path = field(init=False)
    _files: dict[str, Upload] = field(default_factory=dict, init=False)
    _coming: dict[Path, int] = field(default_factory=dict, init=False)
    _lock: Lock | None = field(default=None, init=False)
    kept: set[Path] = field(default_factory=set, init=False)

    def open(self) -> None:
        """Makes the private folder, and removes those of studios that are gone."""
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # mode 700
        self._lock = Lock(self.folder, "studio")
        self._lock.__enter__()

    def close(self) -> None:
        """Removes all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
        self._files.clear()

    def __getitem__(self, name: str) -> Upload:
        """The upload of that id; InputError if there is none."""
        if name not in self._files:
            raise InputError(f"file:{name}: no such upload; it may have been removed: send it again")
        return self._files[name]

    def models(self) -> list[Upload]:
        """Those that hold the weights of a model."""
        return [one for one in self._files.values() if one.path.suffix == ".safetensors"]

    async def receive(
        self,
        stream: AsyncIterator[bytes],
        name: str,
        suffixes: Collection[str] | None,
        said: int | None = None,
        beside: str = "",
    ) -> Upload:
        """A file, once all of it is there and checked; nothing is left of one that is refused.

        InputError for what is not taken; TooLarge, if it says so, before anything is written.

        Args:
            stream: its bytes.
            name: as it was called where it came from, without folders.
            suffixes: one of which its name must have; any if None.
            said: how many bytes are said to come.
            beside: the id of an upload that it belongs to, whose name it has but for the suffix.
        """
        require_name(name)
        _require_suffix(name, suffixes)
        self._require_room(said or 0)
        first = self[beside] if beside else None
        if first is not None:
            _require_partner(first, name)
        key = beside or secrets.token_hex(8)
        folder = self.folder / key
        folder.mkdir(exist_ok=first is not None)
        path = folder / name
        self._coming[path] = 0
        try:
            size, digest = await self._written(_brisk(stream), path)
            await _in_thread(require_content, path, name, _UNPACKED * self.limit)
            made = self[beside].having(name, size, digest) if beside else Upload(key, path, size, digest)
        except BaseException:
            path.unlink(missing_ok=True)
            if first is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            del self._coming[path]
        return self._kept(made)

    async def _written(self, stream: AsyncIterator[bytes], path: Path) -> tuple[int, str]:
        """The size and the SHA-256 of what was written; InputError as soon as it is too much, or not wanted."""
        size, digest, head = 0, sha256(), b""
        with path.open("xb") as file:
            async for chunk in stream:
                if len(head) < HEAD <= len(head := head + chunk[:HEAD]):
                    named(head, path.name)
                size += len(chunk)
                self._coming[path] = size
                self._require_room(size, coming=True)
                file.write(chunk)
                digest.update(chunk)
        return size, digest.hexdigest()

    def _require_room(self, size: int, coming: bool = False) -> None:
        if size > self.limit:
            raise TooLarge(f"more than the limit of {self.limit / MB:.4g} MB; put larger files below --data")
        total = sum(one.size for one in self._files.values()) + sum(self._coming.values())
        full = not coming and len(self._files) + len(self._coming) >= MOST
        if full or total + (0 if coming else size) > 8 * self.limit:
            raise TooLarge("too many uploads at a time: remove some, or put the files below --data")

    def made(self, path: Path) -> Upload:
        """A file that was made here, in a folder that `new` gave."""
        return self._kept(Upload(path.parent.name, path, path.stat().st_size, sha256_of(path)))

    def new(self) -> Path:
        """A new, empty folder for a file that is made here."""
        self._require_room(0)
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        return folder

    def _kept(self, upload: Upload) -> Upload:
        self._files[upload.id] = upload
        return upload

    def remove(self, name: str) -> None:
        """Removes an upload, with what belongs to it; InputError if there is none."""
        upload = self[name]
        del self._files[name]
        shutil.rmtree(upload.path.parent, ignore_errors=True)

    def keep(self, path: Path, folder: Path) -> Path:
        """The place of an upload where it outlives the studio: in a folder named by its content.

        Files that belong to it come along. What is there already is the same.

        Args:
            path: of the upload.
            folder: of all that is kept.
        """
        key = next(one.sha256 for one in self._files.values() if one.path == path)[:16]
        place = folder / key
        if not place.exists():
            place.mkdir(parents=True)
            self.kept.add(place)
        for file in path.parent.iterdir():
            if not (place / file.name).exists():
                partial = place / f".{file.name}.{secrets.token_hex(4)}"
                shutil.copyfile(file, partial)
                os.replace(partial, place / file.name)
        return place / path.name


def sweep() -> None:
    """Removes the private folders of studios that are gone: their locks are free."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
                continue
            with Lock(folder, "studio"):
                shutil.rmtree(folder, ignore_errors=True)
        except (InputError, OSError):  # in use, or gone meanwhile
            continue


def require_name(name: str) -> None:
    """InputError unless a file may be called so: one name, of letters, digits, spaces and a few signs."""
    read = name + unicodedata.normalize("NFKC", name)  # which is how some systems read it: "／" as "/"
    wrong = next((letter for letter in read if letter in _REFUSED or not letter.isprintable()), None)
    if wrong is not None:
        raise InputError(f"name: has {unicodedata.name(wrong, repr(wrong)).lower()} in it, which no file's name may")
    if not name or name.startswith((".", " ", "-", "~")) or name.endswith((" ", ".")) or ".." in name:
        raise InputError(f"name is {name!r}, expected the name of a file")
    if len(name) > _LETTERS or len(name.encode()) > _BYTES:
        raise InputError(f"name: has {len(name)} letters, expected at most {_LETTERS}")


def _require_suffix(name: str, suffixes: Collection[str] | None) -> None:
    known = None if suffixes is None else [suffix for suffix in suffixes if suffix]
    if known is not None and not name.lower().endswith(tuple(known)):
        raise InputError(f"{name}: expected a file of {', '.join(known) or 'no kind: only a run folder is taken'}")


def _require_partner(first: Upload, name: str) -> None:
    stem, other = first.path.name.partition(".")[0], name.partition(".")[0]
    if stem != other or (first.path.parent / name).exists():
        raise InputError(f"{name}: belongs to {first.path.name}, so expected the name {stem} with another suffix")
    if first.others >= BESIDE:
        raise InputError(f"{name}: {BESIDE} files belong to {first.path.name} already, expected no more")


async def _brisk(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a stream; InputError if one of them does not come."""
    pieces = aiter(stream)
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise InputError(f"nothing more of the file came for {SILENCE:g} s") from None
        if piece is None:
            return
        yield piece


async def _in_thread(function: Any, *arguments: Any) -> Any:
    from anyio.to_thread import run_sync

    return await run_sync(partial(function, *arguments), abandon_on_cancel=True)
