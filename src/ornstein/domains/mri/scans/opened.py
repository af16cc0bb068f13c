"""Any file of k-space, by what it is called and what is in it."""

from collections.abc import Callable
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

from ....config import suggestion
from ....errors import InputError
from .bart import open_bart
from .base import Scan
from .fastmri import open_fastmri
from .ismrmrd import group_of, open_ismrmrd
from .nifti import open_nifti
from .npz import open_npz
from .retrospective import Retrospective, undersampled
from .stored import store


def _hdf5(path: Path) -> Callable[..., Scan]:
    """ISMRMRD has acquisitions and a header in a group, fastMRI an array."""
    return open_ismrmrd if group_of(store(path).names()) else open_fastmri


READERS: dict[str, Callable[[Path], Callable[..., Scan]]] = {
    **dict.fromkeys((".h5", ".hdf5", ".mrd"), _hdf5),
    **{suffix: lambda path: open_bart for suffix in (".cfl", ".hdr")},
    ".npz": lambda path: open_npz,
    **{suffix: lambda path: open_nifti for suffix in (".nii", ".nii.gz")},
}
"""By suffix, what finds the reader of a file."""


def open_scan(path: str | Path, **settings: Any) -> Scan:
    """The k-space of a volume, read slice by slice; see `Scan`.

    Args:
        path: of the file, whose suffix says what it is: see the table of the package.
        settings: of the format's reader, such as `repetition` of ISMRMRD, and those of `Retrospective`, such as
            `acceleration`: an image is always undersampled, k-space only where one of them is given.

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
    known, later = list(signature(reader).parameters)[1:], [field.name for field in fields(Retrospective)]
    for name in settings:
        if name not in (*known, *later):
            raise InputError(f"{path}: no setting {name!r} of such a file{suggestion(name, [*known, *later])}")
    own = {name: value for name, value in settings.items() if name in known}
    drawn = {name: value for name, value in settings.items() if name in later}
    if reader is open_nifti:
        return reader(path, **({"retrospective": Retrospective(**drawn)} | own))
    for name in ("coils", "sigma", "phase", "known_maps"):
        if name in drawn:
            raise InputError(f"{path}: {name!r} is a setting of images, expected none for k-space that was measured")
    return undersampled(reader(path, **own), Retrospective(**drawn)) if drawn else reader(path, **own)
