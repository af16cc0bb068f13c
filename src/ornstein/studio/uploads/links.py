"""Whether an HDF5 file keeps data elsewhere on this machine, or more of them than a limit.

    python -m ornstein.studio.uploads.links FILE LIMIT

Prints what is wrong with it, nothing if nothing is. Only names and sizes are read.
"""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...files import MB

_MOST = 100_000
"""Groups and data sets."""


def wrong(path: Path, limit: int) -> str:
    """What is wrong with a file, in words; "" if nothing is.

    Args:
        path: of the file.
        limit: bytes of all its data together, unpacked.
    """
    import h5py
    import h5py.h5o

    size, seen = 0, set[int]()
    with h5py.File(path, "r") as file:
        waiting: list[Any] = [file]
        while waiting:
            group = waiting.pop()
            for name in group:
                if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                    return f"{name!r} in it is kept in another file, which is not opened"
                found = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
                if found is None or (place := h5py.h5o.get_info(found.id).addr) in seen:
                    continue
                seen.add(place)
                if len(seen) > _MOST:
                    return f"more than {_MOST} data sets"
                if isinstance(found, h5py.Group):
                    waiting.append(found)
                elif isinstance(found, h5py.Dataset):
                    if found.external or found.is_virtual:
                        return f"{name!r} in it is kept in another file, which is not opened"
                    size += found.nbytes
    return f"unpacks to {size / MB:.4g} MB, more than the limit of {limit / MB:.4g} MB" if size > limit else ""


if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # then nobody here reads such files
        print(wrong(Path(sys.argv[1]), int(sys.argv[2])), end="")
