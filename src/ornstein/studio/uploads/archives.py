"""Archives that were sent: how large they are unpacked is known before anybody unpacks them."""

import json
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...disk.arrays import DAMAGED
from ...errors import InputError
from ...files import MB, SMALL, parse_json
from .kinds import CHUNK, NEVER, WHOLE, chunks, kind_of, named, require_numbers, require_text

RATIO = 200
"""How many times larger than the file its content may be, beyond `FREE`."""
FREE = 64 * MB
MEMBERS = 10_000
"""Files in an archive."""


def require_zip(path: Path, name: str, unpacked: int) -> None:
    """An archive's directory says how large it is unpacked; readers stop there."""
    with path.open("rb") as file:
        _require_directory(file, name)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _require_size(sum(info.file_size for info in infos), path.stat().st_size, name, unpacked)
            store = name.lower().endswith(".zarr.zip")
            for info in infos:
                _require_place(info, f"{name}: {info.filename!r} in it")
                look = _require_part_of_store if store else _require_member
                look(archive, info, f"{name}: {info.filename!r} in it")
    except InputError:
        raise
    except DAMAGED as error:
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
    if tail[:end][-20:-16] == b"PK\x06\x07":  # its count of files is elsewhere, and may be of any size
        raise InputError(f"{name}: a zip archive in its 64-bit form, as torch.save writes it; expected a plain one")
    if count > MEMBERS or length > 16 * MB:
        raise InputError(f"{name}: an archive of more than {MEMBERS} files")


def _require_place(info: zipfile.ZipInfo, where: str) -> None:
    if info.filename.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", info.filename):
        raise InputError(f"{where} leads out of the archive")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise InputError(f"{where} is a link")
    if info.flag_bits & 1:
        raise InputError(f"{where} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{where} is neither stored nor deflated")


def _require_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> None:
    with archive.open(info) as file:
        head = file.read(WHOLE)
    found = kind_of(head)
    if found in NEVER or found in ("a zip archive", "gzip"):
        raise InputError(f"{where} is {found}, which is not taken")
    if found == "a NumPy array":
        require_numbers(head, where, info.file_size)


def _require_part_of_store(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> None:
    """A Zarr's chunks may be bytes of any kind; what describes them must name no codec that unpickles."""
    if Path(info.filename).name not in (".zarray", ".zmetadata", "zarr.json"):
        return
    with archive.open(info) as file:
        text = file.read(SMALL).decode("utf-8", "replace")
    if "pickle" in json.dumps(parse_json(text, where, "what describes a Zarr")):
        raise InputError(f"{where} names a codec that unpickles, which can run code")


def _require_size(size: int, packed: int, name: str, limit: int) -> None:
    if size > limit:
        raise InputError(f"{name}: unpacks to {size / MB:.4g} MB, more than the limit of {limit / MB:.4g} MB")
    if size > FREE and size > RATIO * packed:
        raise InputError(f"{name}: unpacks to {size / MB:.4g} MB, {size / packed:.0f} times its size: no data do")


def require_gzip(path: Path, name: str, unpacked: int) -> None:
    """Unpacked into nothing, up to the limit."""
    packed, inner = path.stat().st_size, name.lower().removesuffix(".gz")
    head, size = b"", 0
    for piece in _gunzipped(path, name):
        size += len(piece)
        _require_size(size, packed, name, unpacked)
        head += piece[: WHOLE - len(head)] if len(head) < WHOLE else b""
    found = named(head, inner)
    if found == "text":
        require_text(_gunzipped(path, name), name)
    if found in ("a zip archive", "gzip"):
        raise InputError(f"{name}: holds {found}, which is not taken")
    if found == "a NumPy array":
        require_numbers(head, name)


def _gunzipped(path: Path, name: str) -> Iterator[bytes]:
    """What a gzip file holds, piece by piece."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks(path):
            while chunk:
                if unpack.eof:  # another member follows
                    chunk, unpack = unpack.unused_data + chunk, zlib.decompressobj(wbits=31)
                yield unpack.decompress(chunk, CHUNK)
                chunk = unpack.unconsumed_tail or (unpack.unused_data.lstrip(b"\0") if unpack.eof else b"")
                if unpack.eof and chunk:
                    unpack = zlib.decompressobj(wbits=31)
    except zlib.error as error:
        raise InputError(f"{name}: a damaged gzip file ({error})") from None
    if not unpack.eof:
        raise InputError(f"{name}: a damaged gzip file, it ends too early")
