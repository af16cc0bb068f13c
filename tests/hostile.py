"""Files that nobody should take, made without harm: bombs are a few kilobytes, and code would only leave a mark."""

import gzip
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MARK = "somebody-ran-this"


class Leaving:
    """Leaves a file in the folder of whoever unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(MARK),)


def pickled(protocol: int = 4) -> bytes:
    """A pickle that runs code."""
    return pickle.dumps(Leaving(), protocol)


def archive(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return file.getvalue()


def linking(target: str) -> bytes:
    """An archive with a symbolic link in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        link = zipfile.ZipInfo("x.npy")
        link.external_attr = 0o120777 << 16
        made.writestr(link, target)
    return file.getvalue()


def saved_array(array: Any) -> bytes:
    """A .npy file, of objects if these are what is in it."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def torch_file(legacy: bool = False) -> bytes:
    """What torch.save writes: a pickle within an archive, or in the old form after a magic number."""
    import torch

    file = io.BytesIO()
    torch.save({"x": torch.zeros(2), "run": Leaving()}, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def gzip_bomb(megabytes: int) -> bytes:
    """Zeros that fill the memory of whoever unpacks them at once."""
    return gzip.compress(bytes(megabytes << 20), 9)


def zip_bomb(megabytes: int) -> bytes:
    return archive({"x.npy": saved_array(np.zeros(megabytes << 20, np.uint8))})


def lying_zip(megabytes: int) -> bytes:
    """A bomb whose directory says that it holds a few bytes."""
    honest = zip_bomb(megabytes)
    size = struct.pack("<I", (megabytes << 20) + 128)
    return honest.replace(size, struct.pack("<I", 100))


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A grey PNG picture whose header says these sizes, with chunks before its few pixels."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = (b"IDAT", zlib.compress(bytes((min(width, 64) + 1) * min(height, 64))))
    parts = [header, *chunks, pixels, (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def picture(size: int = 8, kind: str = "PNG") -> bytes:
    """An honest picture."""
    file = io.BytesIO()
    Image.fromarray(np.arange(size * size, dtype=np.uint8).reshape(size, size)).save(file, kind)
    return file.getvalue()


@dataclass(frozen=True)
class Hostile:
    """A file that must be refused.

    Attributes:
        name: that it is sent under.
        content: makes what is in it.
        field: model and field that it is sent for.
        words: a regular expression of what the refusal says.
    """

    name: str
    content: Callable[[], bytes]
    field: tuple[str, str]
    words: str


SEEN, VOLUME, WEIGHTS = ("images/digits", "observation"), ("mri/brain", "kspace"), ("images/digits", "model")
ARRAYS, TABLE = ("poisson/gaussian", "truth"), ("poisson/gaussian", "solution_sensors")

FILES: Mapping[str, Hostile] = {
    "pickle as a picture": Hostile("x.png", pickled, SEEN, "pickle"),
    "pickle of the first protocol as a table": Hostile("x.csv", lambda: pickled(0), TABLE, "pickle"),
    "pickle as weights": Hostile("x.safetensors", lambda: pickled(2), WEIGHTS, "pickle|not"),
    "pickle under a suffix of its own": Hostile("x.pkl", pickled, SEEN, "expected|pickle"),
    "pickle in an archive": Hostile("x.npz", lambda: archive({"x.pkl": pickled()}), ARRAYS, "pickle"),
    "pickle in an archive, called an array": Hostile("x.npz", lambda: archive({"x.npy": pickled()}), ARRAYS, "pickle"),
    "array of objects": Hostile(
        "x.npz", lambda: archive({"x.npy": saved_array(np.array([Leaving()]))}), ARRAYS, "objects"
    ),
    "file of torch as an archive": Hostile("x.npz", torch_file, ARRAYS, "pickle|as torch.save writes"),
    "file of torch as weights": Hostile("x.safetensors", torch_file, WEIGHTS, "not"),
    "old file of torch as weights": Hostile("x.safetensors", lambda: torch_file(True), WEIGHTS, "pickle|not"),
    "zip bomb": Hostile("x.npz", lambda: zip_bomb(200), ARRAYS, "unpacks to"),
    "zip bomb that lies": Hostile("x.npz", lambda: lying_zip(40), ARRAYS, "zip|unpacks|damaged|array"),
    "gzip bomb": Hostile("x.nii.gz", lambda: gzip_bomb(200), VOLUME, "unpacks to"),
    "picture of ten thousand million pixels": Hostile("x.png", lambda: png(100_000, 100_000), SEEN, "pixels"),
    "picture with a text that unpacks": Hostile(
        "x.png", lambda: png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20)))), SEEN, "damaged|text"
    ),
    "archive in an archive": Hostile("x.npz", lambda: archive({"x.npz": archive({"y": b"z"})}), ARRAYS, "zip"),
    "gzip in gzip": Hostile("x.nii.gz", lambda: gzip.compress(gzip.compress(b"a")), VOLUME, "gzip|NIfTI"),
    "archive that leads out of its folder": Hostile(
        "x.npz", lambda: archive({"../../x.npy": b"a"}), ARRAYS, "leads out"
    ),
    "archive with an absolute name": Hostile("x.npz", lambda: archive({"/etc/x.npy": b"a"}), ARRAYS, "leads out"),
    "archive of too many": Hostile(
        "x.npz", lambda: archive({f"{k}.npy": b"" for k in range(10_001)}, zipfile.ZIP_STORED), ARRAYS, "more than"
    ),
    "link in an archive": Hostile("x.npz", lambda: linking("/etc/passwd"), ARRAYS, "link"),
    "text with a zero byte": Hostile("x.csv", lambda: b"x,y,value\n0,0,\x001\n", TABLE, "zero byte"),
    "text that is no text": Hostile("x.csv", lambda: b"x,y,value\n0,0,\xff\xfe\n", TABLE, "UTF-8"),
    "another picture than it says": Hostile("x.png", lambda: picture(8, "GIF"), SEEN, "not a PNG"),
    "a page as a picture": Hostile("x.png", lambda: b"<script>document.title = 'run'</script>", SEEN, "not a PNG"),
    "a picture that is cut off": Hostile("x.png", lambda: picture()[:20], SEEN, "damaged"),
    "nothing": Hostile("x.png", lambda: b"", SEEN, "empty"),
    "a program": Hostile("x.png", lambda: b"\x7fELF\x02\x01\x01" + bytes(200), SEEN, "program"),
    "weights whose header has no end": Hostile(
        "x.safetensors", lambda: struct.pack("<Q", 1 << 40) + b"{", WEIGHTS, "safetensors"
    ),
    "weights with a deep header": Hostile(
        "x.safetensors", lambda: struct.pack("<Q", 200_000) + b"{" + b'"a":[' * 39_999 + b"    ", WEIGHTS, "."
    ),
}

NAMES = (
    *("../../x.png", "..\\..\\x.png", "/etc/x.png", "C:\\x.png", "a/b.png", ".x.png", "..", "x.png/..", "-rf.png", ""),
    *("<script>alert(1)<script>.png", '"><img src=x onerror=alert(1)>.png', "x\0.png", "x\n.png", "x\x1b[2J.png"),
    *("\u202egnp.png", "~x.png", "x" * 300 + ".png", "con|cat.png", "$(touch x).png", "x.png ", " .png"),
)
"""Names that a file may not have."""
