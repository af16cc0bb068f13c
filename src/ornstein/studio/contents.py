"""Whether a file that somebody sent is what its name says, found out without executing, unpickling or unpacking it all.

What a file is, its first bytes say. A name whose suffix is known must belong to such a file; what has a suffix that is
not known here, such as that of a third party's format, is taken as it is, unless it turns out to be one of those that
could do harm. Sizes after unpacking are counted first, from directories and headers, or by unpacking into nothing.
"""

import pickletools
import re
import struct
import zipfile
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError
from ..files import MB, SMALL, parse_json, require

RATIO = 200
"""How many times larger than the file its content may be, beyond `FREE`."""
FREE = 64 * MB
MEMBERS = 10_000
"""Files in an archive."""
PIXELS = 89_000_000
"""Of a picture: the limit that Pillow warns at."""
_CHUNK = 1 << 20
_HEAD = 1 << 16

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
    ".npz": ("a zip archive",),
    ".zip": ("a zip archive",),
    ".npy": ("a NumPy array",),
    ".h5": ("HDF5",),
    ".hdf5": ("HDF5",),
    ".nc": ("HDF5", "NetCDF"),
    ".nc4": ("HDF5", "NetCDF"),
    ".nii": ("NIfTI",),
    ".gz": ("gzip",),
    ".grib": ("GRIB",),
    ".grib2": ("GRIB",),
    ".grb": ("GRIB",),
    ".parquet": ("Parquet",),
    ".safetensors": ("safetensors",),
}
_TEXT = (
    *(".a2m", ".a3m", ".aln", ".cif", ".csv", ".fa", ".faa", ".fasta", ".fna", ".json", ".mol", ".mol2", ".pdb"),
    *(".sdf", ".smi", ".smiles", ".stk", ".sto", ".toml", ".tsv", ".txt", ".xyz", ".yaml", ".yml"),
)
PICKLE = "a pickle, which can run code when it is read"
_NEVER = ("bzip2", "xz", "zstd", "7-Zip", "RAR", "PDF", "a program", PICKLE)
"""What no field takes, whatever it is called."""


def require_content(path: Path, name: str, unpacked: int) -> None:
    """InputError unless a file is what its name says, and does no harm to whoever reads it.

    Args:
        path: of the file, which is only read.
        name: as it was sent, for its suffix and for the error.
        unpacked: bytes that it may hold after unpacking.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise InputError(f"{name}: an empty file")
    kind = _named(head, name)
    if kind == "text":
        _require_text(_chunks(path), name)
    elif kind in _CHECKS:
        _CHECKS[kind](path, name, unpacked)


HEAD = 512
"""Bytes that tell what a file is."""


def require_head(head: bytes, name: str) -> None:
    """InputError if the first bytes of a file, `HEAD` at least, already say that nobody wants it."""
    _named(head, name)


def _named(head: bytes, name: str) -> str:
    """What a file is, which its name must agree with; InputError if it does not, or if no field takes such files."""
    suffix = Path(name.lower()).suffix
    found = "safetensors" if suffix == ".safetensors" and head[8:9] == b"{" else _kind(head)
    expected = ("text",) if suffix in _TEXT else _BY_SUFFIX.get(suffix)
    if found in _NEVER:
        raise InputError(f"{name}: {found}; such a file is never taken")
    if expected is None:
        return found
    if suffix in _TEXT and found == "":
        return "text"
    if found not in expected:
        raise InputError(f"{name}: not {' or '.join(expected)} but {found or 'something else'}")
    return found


def _kind(head: bytes) -> str:
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


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _require_text(chunks: Iterator[bytes], name: str) -> None:
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


# Archives ---------------------------------------------------------------------------------------------


def _require_zip(path: Path, name: str, unpacked: int) -> None:
    """An archive's directory says how large it is unpacked; readers stop there."""
    with path.open("rb") as file:
        _require_directory(file, name)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _require_size(sum(info.file_size for info in infos), path.stat().st_size, name, unpacked)
            for info in infos:
                _require_member(archive, info, name)
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: a damaged zip archive ({error})") from None


def _require_directory(file: BinaryIO, name: str) -> None:
    """What lists the members of an archive is itself of a bounded size."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 22 - 65535 - 20))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise InputError(f"{name}: a damaged zip archive (it has no directory)")
    _, _, _, count, length, _, _ = struct.unpack("<4H2LH", tail[end + 4 : end + 22])
    if b"PK\x06\x07" in tail[:end] or count > MEMBERS or length > 16 * MB:
        raise InputError(f"{name}: an archive of more than {MEMBERS} files")


def _require_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> None:
    where = f"{name}: {info.filename!r} in it"
    if info.filename.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", info.filename):
        raise InputError(f"{where} leads out of the archive")
    if info.flag_bits & 1:
        raise InputError(f"{where} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{where} is neither stored nor deflated")
    if info.is_dir():
        return
    with archive.open(info) as file:
        head = file.read(min(info.file_size, _HEAD))
    found = _kind(head)
    if found in _NEVER or found in ("a zip archive", "gzip"):
        raise InputError(f"{where} is {found}, which is not taken")
    if found == "a NumPy array":
        _require_numbers(head, where)


def _require_size(size: int, packed: int, name: str, limit: int) -> None:
    if size > limit:
        raise InputError(f"{name}: unpacks to {size / MB:.4g} MB, more than the limit of {limit / MB:.4g} MB")
    if size > FREE and size > RATIO * packed:
        raise InputError(f"{name}: unpacks to {size / MB:.4g} MB, {size / packed:.0f} times its size: no data do")


def _require_gzip(path: Path, name: str, unpacked: int) -> None:
    """Unpacked into nothing, up to the limit."""
    packed, inner = path.stat().st_size, name.lower().removesuffix(".gz")
    head, size = b"", 0
    for piece in _gunzipped(path, name):
        size += len(piece)
        _require_size(size, packed, name, unpacked)
        head += piece[: _HEAD - len(head)] if len(head) < _HEAD else b""
    found = _named(head, inner)
    if found == "text":
        _require_text(_gunzipped(path, name), name)
    if found in ("a zip archive", "gzip"):
        raise InputError(f"{name}: holds {found}, which is not taken")
    if found == "a NumPy array":
        _require_numbers(head, name)


def _gunzipped(path: Path, name: str) -> Iterator[bytes]:
    """What a gzip file holds, piece by piece."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        for chunk in _chunks(path):
            while chunk:
                if unpack.eof:  # another member follows
                    chunk, unpack = unpack.unused_data + chunk, zlib.decompressobj(wbits=31)
                yield unpack.decompress(chunk, _CHUNK)
                chunk = unpack.unconsumed_tail or (unpack.unused_data.lstrip(b"\0") if unpack.eof else b"")
                if unpack.eof and chunk:
                    unpack = zlib.decompressobj(wbits=31)
    except zlib.error as error:
        raise InputError(f"{name}: a damaged gzip file ({error})") from None
    if not unpack.eof:
        raise InputError(f"{name}: a damaged gzip file, it ends too early")


# Pictures and arrays ----------------------------------------------------------------------------------


def _require_picture(path: Path, name: str, unpacked: int) -> None:
    """The number of pixels stands in the header; nothing is decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("PNG", "JPEG", "GIF")) as picture:
            width, height = picture.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name}: a picture of more than {PIXELS:,} pixels") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name}: a damaged picture ({error})".replace(str(path), name)) from None
    if width * height > PIXELS:
        raise InputError(f"{name}: a picture of {width} by {height} pixels, more than {PIXELS:,}")


def _require_array(path: Path, name: str, unpacked: int) -> None:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    _require_numbers(head, name)


def _require_numbers(head: bytes, where: str) -> None:
    """The header of an array is text; it must name no type of objects, which are pickles."""
    length = struct.unpack("<H", head[8:10])[0] if head[6:7] == b"\x01" else int.from_bytes(head[8:12], "little")
    start = 10 if head[6:7] == b"\x01" else 12
    header = head[start : start + length]
    if len(header) < length or not header.startswith(b"{"):
        raise InputError(f"{where}: a damaged NumPy array")
    kind = re.search(rb"'descr':\s*'([^']*)'", header)
    if kind is None or b"O" in kind[1]:
        raise InputError(f"{where}: a NumPy array of objects, which are pickles; expected numbers or text")


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


# Weights ----------------------------------------------------------------------------------------------

_TENSOR = {"dtype": str, "shape": [int], "data_offsets": [int, int]}
_SAID = {"kind": str, "domain": str, "name": str, "config": dict, "facts": dict}


def header_of(path: Path, name: str = "") -> dict[str, Any]:
    """What the header of a model's weights says of it; no tensor is read.

    InputError if the file is no safetensors file, its tensors lie outside of it, or it is not a model of ornstein's.

    Args:
        path: of the file.
        name: for the error, if not the path.
    """
    where = name or str(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(SMALL, size - 8):
            raise InputError(f"{where}: not a safetensors file, or a truncated one (a header of {length} bytes)")
        text = file.read(length)
    try:
        header = require(parse_json(text.decode("utf-8"), where, "the header of a safetensors file"), dict, where)
    except UnicodeDecodeError:
        raise InputError(f"{where}: not a safetensors file (its header is not UTF-8 text)") from None
    said = require(header.pop("__metadata__", {}), {str: str}, f"{where}: metadata")
    for tensor, value in header.items():
        begin, end = require(value, _TENSOR, f"{where}: tensor {tensor[:80]!r}")["data_offsets"]
        if not 0 <= begin <= end <= size - 8 - length:
            raise InputError(f"{where}: tensor {tensor[:80]!r} lies outside of the file: truncated, or damaged")
    if "ornstein" not in said:
        raise InputError(f"{where}: a safetensors file, but not written by ornstein")
    meta = require(parse_json(said["ornstein"], where, "what ornstein writes of a checkpoint"), _SAID, where)
    if meta["kind"] != "model":
        raise InputError(f"{where}: a {meta['kind']} checkpoint, expected a model checkpoint")
    return meta


_CHECKS: Mapping[str, Callable[[Path, str, int], object]] = {
    "a zip archive": _require_zip,
    "gzip": _require_gzip,
    "a PNG picture": _require_picture,
    "a JPEG picture": _require_picture,
    "a GIF picture": _require_picture,
    "a NumPy array": _require_array,
    "NIfTI": _require_nifti,
    "safetensors": lambda path, name, unpacked: header_of(path, name),
}
