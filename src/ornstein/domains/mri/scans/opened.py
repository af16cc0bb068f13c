"""Any file of k-space, by what it is called and what is in it."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from ....config import suggestion
from ....errors import InputError
from .bart import open_bart
from .base import Scan
from .fastmri import open_fastmri
from .npz import open_npz


def _hdf5(path: Path) -> Callable[..., Scan]:
    return open_fastmri


READERS: dict[str, Callable[[Path], Callable[..., Scan]]] = {
    **dict.fromkeys((".h5", ".hdf5", ".mrd"), _hdf5),
    **{suffix: lambda path: open_bart for suffix in (".cfl", ".hdr")},
    ".npz": lambda path: open_npz,
}
"""By suffix, what finds the reader of a file."""


def open_scan(path: str | Path, **settings: Any) -> Scan:
    """The k-space of a volume, read slice by slice; see `Scan`.

    Args:
        path: of the file, whose suffix says what it is: see the table of the package.
        settings: of the format's reader, such as `repetition` of ISMRMRD.

    Raises:
        InputError: no such file, not of a format that is read, or a setting that the format does not have.
    """
    path = Path(path)
    suffix = next((one for one in READERS if path.name.lower().endswith(one)), None)
    if suffix is None:
        raise InputError(f"{path}: not a file of k-space by its name, expected one of {', '.join(READERS)}")
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'not found'}, expected a file of k-space")
    reader = READERS[suffix](path)
    known = list(signature(reader).parameters)[1:]
    for name in settings:
        if name not in known:
            hint = suggestion(name, known) if known else ""
            raise InputError(f"{path}: {reader.__name__.removeprefix('open_')} has no setting {name!r}{hint}")
    return reader(path, **settings)
