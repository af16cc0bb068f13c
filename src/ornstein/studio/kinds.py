"""What a file is, as its first bytes say, which its name must agree with; and what text and arrays must be."""

import pickletools
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

from ..errors import InputError

_MAGIC: tuple[tuple[bytes, int, str], ...] = (
    (b"PK\x03\x04", 0, "a zip archive"),
    (b"PK\x05\x06", 0, "a zip archive"),
    (b"\x1f\x8b", 0, "gzip"),
    (b"BZh", 0, "bzip2"),
    (b"\xfd7zXZ\0", 0, "xz"),
    (b"\x28\xb5\x2f\xfd", 0, "zstd"),
    (b"7z\xbc\xaf\x27\x1c", 0, "7-Zip"),
    (b"Rar!", 0, "RAR"),
    (b"\x89PNG\r\n\x1a\n", 0, "a PNG picture"),
    (b"\xff\xd8\xff", 0, "a JPEG picture"),
    (b"GIF8", 0, "a GIF picture"),
    (b"II*\0", 0, "a TIFF picture"),
    (b"MM\0*", 0, "a TIFF picture"),
    (b"WEBP", 8, "a WebP picture"),
    (b"BM", 0, "a BMP picture"),
    (b"\x89HDF\r\n\x1a\n", 0, "HDF5"),
    (b"CDF\x01", 0, "NetCDF"),
    (b"CDF\x02", 0, "NetCDF"),
    (b"CDF\x05", 0, "NetCDF"),
    (b"\x93NUMPY", 0, "a NumPy array"),
    (b"GRIB", 0, "GRIB"),
    (b"PAR1", 0, "Parquet"),
    (b"%PDF", 0, "PDF"),
    (b"\x7fELF", 0, "a program"),
    (b"MZ\x90", 0, "a program"),
    (b"n+1\0", 344, "NIfTI"),
    (b"n+2\0", 4, "NIfTI"),
)
"""First bytes, where they stand, and what they say."""

_BY_SUFFIX: Mapping[str, tuple[str, ...]] = {
    ".png": ("a PNG picture",),
    ".jpg": ("a JPEG picture",),
    ".jpeg": ("a JPEG picture",),
    ".gif": ("a GIF picture",),
    ".tif": ("a TIFF picture",),
    ".tiff": ("a TIFF picture",),
    ".webp": ("a WebP picture",),
    ".bmp": ("a BMP picture",),
    ".npz": ("a zip archive",),
    ".zip": ("a zip archive",),
    ".npy": ("a NumPy array",),
    ".h5": ("HDF5",),
    ".hdf5": ("HDF5",),
    ".nc": ("HDF5", "NetCDF"),
    ".nc4": ("HDF5", "NetCDF"),
    ".cdf": ("HDF5", "NetCDF"),
    ".netcdf": ("HDF5", "NetCDF"),
    ".nii": ("NIfTI",),
    ".gz": ("gzip",),
    ".grib": ("GRIB",),
    ".grib2": ("GRIB",),
    ".grib1": ("GRIB",),
    ".grb": ("GRIB",),
    ".grb2": ("GRIB",),
    ".parquet": ("Parquet",),
    ".pq": ("Parquet",),
    ".safetensors": ("safetensors",),
}
_TEXT = (
    *(".a2m", ".a3m", ".aln", ".cif", ".csv", ".ent", ".fa", ".faa", ".fasta", ".fna", ".json", ".jsonl", ".mol"),
    *(".mol2", ".pdb", ".sdf", ".smi", ".smiles", ".stk", ".sto", ".toml", ".tsv", ".txt", ".xyz", ".yaml", ".yml"),
)
PICKLE = "a pickle, which can run code when it is read"
NEVER = ("bzip2", "xz", "zstd", "7-Zip", "RAR", "PDF", "a program", PICKLE)
"""What no field takes, whatever it is called."""
HEAD = 512
"""Bytes that tell what a file is."""
WHOLE = 1 << 16
"""Bytes that hold the header of any of them, and a whole pickle of the old protocols that does harm."""
CHUNK = 1 << 20


def named(head: bytes, name: str) -> str:
    """What a file is, which its name must agree with; InputError if it does not, or if no field takes such files."""
    suffix = Path(name.lower()).suffix
    found = "safetensors" if suffix == ".safetensors" and head[8:9] == b"{" else kind_of(head)
    expected = ("text",) if suffix in _TEXT else _BY_SUFFIX.get(suffix)
    if found in NEVER:
        raise InputError(f"{name}: {found}; such a file is never taken")
    if expected is None:
        return found
    if suffix in _TEXT and found == "":
        return "text"
    if found not in expected:
        raise InputError(f"{name}: not {' or '.join(expected)} but {found or 'something else'}")
    return found


def kind_of(head: bytes) -> str:
    if is_pickle(head):
        return PICKLE
    return next((kind for magic, place, kind in _MAGIC if head[place : place + len(magic)] == magic), "")


_CALLS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "PERSID"})


def is_pickle(head: bytes) -> bool:
    """Whether bytes begin a pickle: with the mark of protocols 2 to 5, or with one of the older ones that calls."""
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 1:
        return True
    called = False
    try:
        for opcode, _, _ in pickletools.genops(head):
            called |= opcode.name in _CALLS
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError):
        return False
    return called


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def require_text(chunks: Iterator[bytes], name: str) -> None:
    """InputError, with the line, unless bytes are UTF-8 text without zero bytes."""
    decoder, line = getincrementaldecoder("utf-8")(), 1
    for chunk in chunks:
        _require_letters(decoder, chunk, name, line)
        line += chunk.count(b"\n")
    _require_letters(decoder, b"", name, line, final=True)


def _require_letters(decoder: Any, chunk: bytes, name: str, line: int, final: bool = False) -> None:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        at = line + error.object.count(b"\n", 0, error.start)
        raise InputError(f"{name}: line {at} is not UTF-8 text, as expected") from None
    if b"\0" in chunk:
        at = line + chunk.count(b"\n", 0, chunk.index(0))
        raise InputError(f"{name}: line {at} holds a zero byte, expected text")


def require_numbers(head: bytes, where: str, size: int | None = None) -> None:
    """InputError unless the header of an array names numbers or text, and as many as there are.

    Objects are pickles; and whoever reads an array makes room for all that it names first.

    Args:
        head: the first bytes.
        where: the array stands, for the error.
        size: bytes of all of it; not asked for if None.
    """
    from numpy.lib import format as npy

    file, read = BytesIO(head), {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        shape, _, kind = read[npy.read_magic(file)](file)
    except (KeyError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise InputError(f"{where}: a damaged NumPy array") from None
    if kind.hasobject or kind.names:
        raise InputError(f"{where}: a NumPy array of objects, which are pickles; expected numbers or text")
    said = file.tell() + prod(map(int, shape)) * kind.itemsize
    if size is not None and said != size:
        raise InputError(f"{where}: a damaged NumPy array: it names {said:,} bytes and has {size:,}")
