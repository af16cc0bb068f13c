"""What is sent to workers: something packed once, which each of their threads opens once."""

import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..code import allow_also, allowed, hashes_of
from ..errors import InputError, needed_for

NEEDS = "work on the workers of a cluster"


@dataclass(frozen=True)
class Parcel:
    """Something packed to be sent: dask passes on its bytes, and only whoever does the work unpacks them.

    Attributes:
        content: as cloudpickle packs it.
        digest: SHA-256 of that and of the code.
        code: of the user's that may be run, as `code.allowed` gives it.
    """

    content: bytes
    digest: str
    code: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> "Parcel":
        """A value, packed; InputError for one that cannot be sent."""
        with needed_for(NEEDS, "dask"):
            import cloudpickle
        try:
            content = cloudpickle.dumps(value)
        except (TypeError, pickle.PicklingError, AttributeError) as error:
            raise InputError(f"cannot be sent to workers: {error}") from None
        code = allowed()
        files = [hashes_of(place) for places in code.values() for place in places if place.is_file()]
        return cls(content, sha256(content + repr(files).encode()).hexdigest(), code)

    def opened(self) -> Any:
        """What is in it, the same object every time that a thread asks for it; threads do not share it."""
        if getattr(_KEPT, "digest", None) != self.digest:
            _KEPT.digest, _KEPT.value = None, None  # the one before is gone before this one comes
            allow_also(self.code)
            _KEPT.digest, _KEPT.value = self.digest, pickle.loads(self.content)
        return _KEPT.value


_KEPT = threading.local()
"""The parcel that a thread has opened last."""
