"""Places that every worker reaches by a URL: object stores, servers and folders, through fsspec.

    place = Place("s3://bucket/run")          gs://, abfs://, sftp://, file://, memory://, …
    place.put("shards/0-64", data)            one object at once
    place.get("shards/0-64")                  None where it is not there
    place.names("shards")

An object store has an object whole or not at all. Where a protocol writes in place (sftp, a local folder), what was
cut off may lie there: who needs to tell puts `sealed` bytes, whose last 1024 say what the others must be. Credentials
and endpoints come from where the packages of a protocol look for them: the environment, and fsspec's own
configuration. The same must be found by every worker.
"""

import errno
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeGuard

from ..errors import InputError, needed_for

SEAL = 1024
"""Bytes of a seal."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+")
_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")


def is_url(text: object) -> TypeGuard[str]:
    """Whether a text is a URL, rather than the path of a file or a folder."""
    return isinstance(text, str) and "://" in text


@dataclass(frozen=True)
class Place:
    """A folder at a URL, whose objects are written once and whole.

    Attributes:
        url: of the folder, with the protocol that it is reached by.
    """

    url: str

    def __post_init__(self) -> None:
        if not _URL.fullmatch(self.url) or "::" in self.url:
            raise InputError(f"{self}: expected the URL of a folder, such as s3://bucket/folder")
        self._opened()

    def __str__(self) -> str:
        """The URL without a password."""
        return _PASSWORD.sub(r"\1@", self.url).rstrip("/")

    def put(self, name: str, data: bytes) -> None:
        """Writes an object, over one of that name.

        Args:
            name: of the object in this folder.
            data: all of it.

        InputError where nothing can be written; OSError where the protocol fails.
        """
        with self._reached(name) as (files, path):
            try:
                files.pipe_file(path, data)
            except FileNotFoundError:
                if not path.startswith("/"):  # a bucket, which nobody has made
                    raise InputError(f"{self}: there is no such place to write in") from None
                files.makedirs(path.rpartition("/")[0], exist_ok=True)
                files.pipe_file(path, data)

    def put_new(self, name: str, data: bytes) -> bool:
        """Writes an object unless there is one of that name; whether it did.

        Of two that do so at once one is told that it did not, if the protocol makes a new object in one step, as those
        of S3 and of Google do. Else both may be told that they did, and the last one's object is there.

        Args:
            name: of the object in this folder.
            data: all of it.
        """
        if self.size(name) is not None:
            return False
        with self._reached(name) as (files, path):
            try:
                files.pipe_file(path, data, mode="create")
                return True
            except FileExistsError:
                return False
            except (TypeError, ValueError, NotImplementedError, FileNotFoundError):
                pass  # a protocol that knows no such step, or a place that is not there
        self.put(name, data)
        return True

    def get(self, name: str, limit: int | None = None) -> bytes | None:
        """An object; None if it is not there.

        Args:
            name: of the object in this folder.
            limit: bytes; InputError for a longer one.
        """
        size = None if limit is None else self.size(name)
        if limit is not None and size is not None and size > limit:
            raise InputError(f"{self}/{name}: has {size:,} bytes, expected {limit:,} at most")
        with suppress(FileNotFoundError), self._reached(name) as (files, path):
            return files.cat_file(path)
        return None

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if it is not there, or its server does not say.

        Args:
            name: of the object in this folder.
        """
        with suppress(FileNotFoundError), self._reached(name) as (files, path):
            files.invalidate_cache()
            return files.info(path)["size"]
        return None

    def names(self, folder: str) -> list[str]:
        """The names of the objects that are in a folder of this one now, sorted.

        Args:
            folder: its name; "" is this folder.
        """
        with suppress(FileNotFoundError), self._reached(folder) as (files, path):
            files.invalidate_cache()
            found = [one.rstrip("/") for one in files.ls(path, detail=False)]
            return sorted(one.rpartition("/")[2] for one in found if one != path)
        return []

    def remove(self, name: str) -> None:
        """Removes an object, if it is there.

        Args:
            name: of the object in this folder.
        """
        with suppress(FileNotFoundError), self._reached(name) as (files, path):
            files.rm_file(path)

    # Sealed -------------------------------------------------------------------------------------------

    def put_sealed(self, name: str, data: bytes, said: Mapping[str, Any]) -> dict[str, Any]:
        """Writes an object with a seal behind it, and returns what the seal says.

        Where the very same is there nothing is written: who reads it would find it cut off for a moment, or for good if
        the writer is killed.

        Args:
            name: of the object in this folder.
            data: all of it.
            said: what its seal is to say, JSON values.
        """
        seal = {**said, "size": len(data), "sha256": sha256(data).hexdigest()}
        text = json.dumps(seal).encode()
        if len(text) > SEAL:
            raise ValueError(f"a seal says {len(text)} bytes, expected {SEAL} at most")
        text = text.rjust(SEAL)
        if not self._ends(name, len(data) + SEAL, text):
            self.put(name, data + text)
        return seal

    def _ends(self, name: str, size: int, end: bytes) -> bool:
        """Whether an object of this size is there that ends with these bytes."""
        if self.size(name) != size:
            return False
        with suppress(FileNotFoundError), self._reached(name) as (files, path):
            return files.cat_file(path, start=size - len(end), end=size) == end
        return False

    def seals(self, folder: str) -> dict[str, dict[str, Any]]:
        """What the seals of the objects in a folder of this one say, by name; of those that are whole by their size.

        Nothing else of them is read, so that their bytes may still have changed; `get_sealed` finds that.

        Args:
            folder: its name.
        """
        with suppress(FileNotFoundError), self._reached(folder) as (files, path):
            files.invalidate_cache()
            listed = [(one["name"], one["size"]) for one in files.ls(path, detail=True) if one["type"] == "file"]
            long = {name: size for name, size in listed if size >= SEAL}
            starts = [size - SEAL for size in long.values()]
            ends = files.cat_ranges([*long], starts, [*long.values()], on_error="return") if long else []
            seals = {name: _seal_in(end) for name, end in zip(long, ends, strict=True) if isinstance(end, bytes)}
            whole = {name: one for name, one in seals.items() if one and one.get("size") == long[name] - SEAL}
            return {name.rpartition("/")[2]: whole[name] for name in sorted(whole)}
        return {}

    def get_sealed(self, name: str, limit: int | None = None) -> tuple[bytes, dict[str, Any]] | None:
        """An object and what its seal says; None if it is not there, was cut off, or is not what was written.

        Args:
            name: of the object in this folder.
            limit: bytes; InputError for a longer one.
        """
        found = self.get(name, limit)
        seal = None if found is None else _seal_in(found[-SEAL:])
        if found is None or seal is None:
            return None
        data = found[:-SEAL]
        whole = seal.get("size") == len(data) and seal.get("sha256") == sha256(data).hexdigest()
        return (data, seal) if whole else None

    # Through fsspec -----------------------------------------------------------------------------------

    @contextmanager
    def _reached(self, name: str) -> Iterator[tuple[Any, str]]:
        """fsspec's file system, and the path of an object in it; errors of any protocol as ours."""
        files, path = self._opened()
        where = f"{self}/{name}".rstrip("/")
        try:
            yield files, f"{path}/{name}".rstrip("/")
        except (FileNotFoundError, InputError):
            raise
        except NotImplementedError:
            raise InputError(f"{where}: nothing can be written there") from None
        except OSError as error:
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), where) from error
        except Exception as error:  # each package of a protocol has its own
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}", where) from error

    def _opened(self) -> tuple[Any, str]:
        """fsspec's file system, and the path in it; InputError that names the package which the protocol needs."""
        with needed_for(f"{self}: a URL", "dask"):
            from fsspec.core import url_to_fs
        try:
            files, path = url_to_fs(self.url)
        except ImportError as error:
            missing = getattr(error.__cause__, "name", None)
            how = f": pip install {missing}" if missing in _PROVIDERS else ""
            raise InputError(f"{self}: {error}{how}") from None
        except ValueError as error:
            raise InputError(f"{self}: {error}") from None
        return files, path.rstrip("/")


_PROVIDERS = ("s3fs", "gcsfs", "adlfs", "paramiko", "ossfs", "aiohttp")
"""Packages that are installed by the name that they are imported by."""


def _seal_in(data: bytes) -> dict[str, Any] | None:
    """The seal that these bytes are; None if they are none."""
    try:
        seal = json.loads(data)
    except ValueError:  # letters that are none, too
        return None
    return seal if isinstance(seal, dict) else None
