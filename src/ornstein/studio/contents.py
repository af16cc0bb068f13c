"""Whether a file that somebody sent is what its name says, found out without executing, unpickling or unpacking it all.

What a file is, its first bytes say. A name whose suffix is known must belong to such a file; what has a suffix that is
not known here, such as that of a third party's format, is taken as it is, unless it turns out to be one of those that
could do harm. Sizes after unpacking are counted first, from directories and headers, or by unpacking into nothing.
"""

import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

from ..errors import InputError
from ..files import MB
from .archives import require_gzip, require_zip
from .kinds import WHOLE, chunks, named, require_numbers, require_text
from .weights import header_of

PIXELS = 89_000_000
"""Of a picture: the limit that Pillow warns at."""
_LOOKING = 30
"""Seconds."""


def require_content(path: Path, name: str, unpacked: int) -> None:
    """InputError unless a file is what its name says, and does no harm to whoever reads it.

    Args:
        path: of the file, which is only read.
        name: as it was sent, for its suffix and for the error.
        unpacked: bytes that it may hold after unpacking.
    """
    with path.open("rb") as file:
        head = file.read(WHOLE)
    if not head:
        raise InputError(f"{name}: an empty file")
    kind = named(head, name)
    if kind == "text":
        require_text(chunks(path), name)
    elif kind in _CHECKS:
        _CHECKS[kind](path, name, unpacked)


# Pictures and arrays ----------------------------------------------------------------------------------


def _require_picture(path: Path, name: str, unpacked: int) -> None:
    """The number of pixels stands in the header; nothing is decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")) as picture:
            width, height = picture.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name}: a picture of more than {PIXELS:,} pixels") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name}: a damaged picture ({error})".replace(str(path), name)) from None
    if width * height > PIXELS:
        raise InputError(f"{name}: a picture of {width} by {height} pixels, more than {PIXELS:,}")


def _require_array(path: Path, name: str, unpacked: int) -> None:
    with path.open("rb") as file:
        head = file.read(WHOLE)
    require_numbers(head, name, path.stat().st_size)


def _require_nifti(path: Path, name: str, unpacked: int) -> None:
    """The volume that the header describes fits the limit."""
    with path.open("rb") as file:
        head = file.read(544)
    for order in "<>":
        if struct.unpack(f"{order}i", head[:4])[0] == 348:
            dims, bits = struct.unpack(f"{order}8h", head[40:56]), struct.unpack(f"{order}h", head[72:74])[0]
            break
        if struct.unpack(f"{order}i", head[:4])[0] == 540:
            dims, bits = struct.unpack(f"{order}8q", head[16:80]), struct.unpack(f"{order}h", head[14:16])[0]
            break
    else:
        raise InputError(f"{name}: a damaged NIfTI file (its header has another size)")
    count = dims[0]
    if not 1 <= count <= 7 or any(size < 1 for size in dims[1 : 1 + count]):
        raise InputError(f"{name}: a damaged NIfTI file (its sizes are {dims})")
    if prod(dims[1 : 1 + count]) * bits // 8 > unpacked:
        raise InputError(f"{name}: a volume of more than the limit of {unpacked / MB:.4g} MB")


def _require_hdf5(path: Path, name: str, unpacked: int) -> None:
    """Nothing in it is kept in another file, of this machine; and it is no larger than the limit, unpacked.

    A process of its own looks, since a file may be damaged so that its library ends the process.
    """
    look = [sys.executable, "-m", f"{__package__}.links", str(path), str(unpacked)]
    try:
        done = subprocess.run(look, capture_output=True, text=True, timeout=_LOOKING)
    except subprocess.TimeoutExpired:
        raise InputError(f"{name}: an HDF5 file that takes too long to look through") from None
    if done.returncode:
        raise InputError(f"{name}: a damaged HDF5 file")
    if done.stdout:
        raise InputError(f"{name}: {done.stdout.strip()}")


_CHECKS: Mapping[str, Callable[[Path, str, int], object]] = {
    **{f"a {format} picture": _require_picture for format in ("PNG", "JPEG", "GIF", "TIFF", "WebP", "BMP")},
    "a zip archive": require_zip,
    "gzip": require_gzip,
    "a NumPy array": _require_array,
    "NIfTI": _require_nifti,
    "HDF5": _require_hdf5,
    "safetensors": lambda path, name, unpacked: header_of(path, name),
}
