"""Files that are sent are what their names say and do no harm, or nothing of them stays on the disk."""

import asyncio
import gzip
import json
import lzma
import os
import pickle
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ornstein.errors import InputError
from ornstein.files import MB
from ornstein.studio import uploads as module
from ornstein.studio.links import wrong
from ornstein.studio.uploads import TooLarge, Upload, Uploads, require_name, sweep

LIMIT = 8 * MB
MODEL = Path(module.__file__).parents[1] / "domains" / "energies" / "models" / "gmm-40" / "model.safetensors"


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploads]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = Uploads(LIMIT)
    found.open()
    yield found
    found.close()


async def pieces(data: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    for k in range(0, len(data), size):
        yield data[k : k + size]


def send(uploads: Uploads, data: bytes, name: str, suffixes: tuple[str, ...] | None = None, **more: object) -> Upload:
    return asyncio.run(uploads.receive(pieces(data), name, suffixes, **more))  # pyright: ignore[reportArgumentType]


def left(uploads: Uploads) -> list[str]:
    return sorted(path.name for path in uploads.folder.rglob("*"))


def png(width: int = 8, height: int = 8) -> bytes:
    """A PNG whose header says so; of pixels it has only what 8 by 8 need."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(72))) + chunk(b"IEND", b"")


def zipped(members: dict[str, bytes]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    return file.getvalue()


def header(said: str, shape: tuple[int, ...] = (2,)) -> bytes:
    """A .npy file of two numbers whose header says this."""
    text = f"{{{said}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + bytes(16)


def npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def weights(header: dict[str, object] | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def hdf5(write: Callable[..., object]) -> bytes:
    import h5py

    file = BytesIO()
    with h5py.File(file, "w") as made:
        write(made)
    return file.getvalue()


def nifti(*sizes: int) -> bytes:
    head = bytearray(352)
    head[0:4], head[344:348] = struct.pack("<i", 348), b"n+1\0"
    head[40:56] = struct.pack("<8h", len(sizes), *sizes, *[1] * (7 - len(sizes)))
    head[70:74] = struct.pack("<2h", 16, 32)
    return bytes(head)


class Opened:
    """Whose pickle runs code when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch opened",)


OBJECTS = np.array([{"a": 1}], dtype=object)
META = {"kind": "model", "domain": "images", "name": "x", "config": {}, "facts": {}}
GOOD: dict[str, bytes] = {
    "seen.png": png(),
    "Zähne 日本 (2).png": png(),
    "a.csv": "x,y,wert\n1,2,größer\n".encode(),
    "a.csv.gz": gzip.compress(b"x,y\n1,2\n" * 10_000),
    "many.csv.gz": gzip.compress(b"x,y\n") + gzip.compress(b"1,2\n"),
    "rays.npz": npz(angles=np.arange(3.0), sinogram=np.zeros((3, 4))),
    "a.npy": npy(np.arange(4)),
    "a.h5": hdf5(lambda file: file.create_dataset("x", data=np.arange(5))),
    "a.nii": nifti(4, 4, 4),
    "a.nii.gz": gzip.compress(nifti(4, 4, 4)),
    "old.nc": b"CDF\x01" + bytes(40),
    "raw.cfl": np.arange(40, dtype=np.complex64).tobytes(),
    "ring.sdf": b"ring\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n$$$$\n",
    "m.safetensors": weights({"__metadata__": {"ornstein": json.dumps(META)}}),
    "store.zarr.zip": zipped({"zarr.json": b'{"codecs": [{"name": "zstd"}]}', "c/0": b"\x28\xb5\x2f\xfd" + b"x" * 90}),
}


@pytest.mark.parametrize("name", GOOD)
def test_files_that_are_what_their_names_say_are_taken(uploads: Uploads, name: str) -> None:
    found = send(uploads, GOOD[name], name)
    assert found.path.read_bytes() == GOOD[name]
    assert uploads[found.id] is found
    assert found.record["file"] == f"file:{found.id}"
    uploads.remove(found.id)
    assert left(uploads) == []


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a pickle": ("a.pkl", lambda: pickle.dumps(Opened()), "a pickle, which can run code"),
    "a pickle as a picture": ("a.png", lambda: pickle.dumps(Opened()), "a pickle, which can run code"),
    "a pickle of raw numbers": ("a.cfl", lambda: pickle.dumps(Opened()), "a pickle, which can run code"),
    "an old pickle as text": ("a.csv", lambda: pickle.dumps(Opened(), 0), "a pickle, which can run code"),
    "an old binary pickle": ("a.bin", lambda: pickle.dumps(Opened(), 1), "a pickle, which can run code"),
    "a pickle as weights": ("a.safetensors", lambda: pickle.dumps(Opened()), "a pickle, which can run code"),
    "a packed pickle": ("a.gz", lambda: gzip.compress(pickle.dumps(Opened())), "a pickle, which can run code"),
    "a packed pickle as text": ("a.csv.gz", lambda: gzip.compress(pickle.dumps(Opened())), "a pickle"),
    "weights of torch": (
        "a.npz",
        lambda: zipped({"x/data.pkl": pickle.dumps(Opened())}),
        "'x/data.pkl' in it is a pickle",
    ),
    "objects": ("a.npy", lambda: npy(OBJECTS), "objects, which are pickles"),
    "objects in an archive": ("a.npz", lambda: npz(a=OBJECTS), "objects, which are pickles"),
    "objects, said at last": ("a.npy", lambda: header("'descr': '<f8', 'descr': '|O'"), "objects, which are pickles"),
    "an array that names more": ("a.npy", lambda: header("'descr': '<f8'", (10**12,)), "it names 8,000,000,000,"),
    "an array in an archive that names more": (
        "a.npz",
        lambda: zipped({"a.npy": header("'descr': '<f8'", (10**6, 10**6))}),
        "in it: a damaged NumPy array: it names",
    ),
    "an array of a strange size": ("a.npy", lambda: header("'descr': '<f8'", (-1,)), "a damaged NumPy array"),
    "an array whose header is code": ("a.npy", lambda: header("**__import__('os').environ"), "a damaged NumPy array"),
    "packed objects": ("a.npy.gz", lambda: gzip.compress(npy(OBJECTS)), "objects, which are pickles"),
    "a codec that unpickles": (
        "a.zarr.zip",
        lambda: zipped({".zarray": b'{"filters":[{"id":"\\u0070ickle"}]}'}),
        "unpickles",
    ),
    "a zip bomb": ("a.npz", lambda: zipped({"a.npy": bytes(40 * MB)}), "more than the limit of 32 MB"),
    "many small bombs": ("a.npz", lambda: zipped({f"{k}.npy": bytes(5 * MB) for k in range(7)}), "limit of 32 MB"),
    "an archive in an archive": ("a.npz", lambda: zipped({"b.zip": zipped({"c": b"1"})}), "is a zip archive"),
    "gzip in an archive": ("a.npz", lambda: zipped({"b": gzip.compress(b"1")}), "is gzip"),
    "a path out of an archive": ("a.npz", lambda: zipped({"../../x.npy": b"1"}), "leads out of the archive"),
    "a whole path in an archive": ("a.npz", lambda: zipped({"/etc/x": b"1"}), "leads out of the archive"),
    "many files in an archive": (
        "a.npz",
        lambda: zipped(dict.fromkeys(map(str, range(10_001)), b"")),
        "more than 10000",
    ),
    "a damaged archive": ("a.npz", lambda: npz(a=np.arange(9))[:-9], "a damaged zip archive"),
    "an archive without its members": ("a.npz", lambda: b"PK\x03\x04" + npz(a=np.arange(9))[-120:], "a damaged zip"),
    "a gzip bomb": ("a.nii.gz", lambda: gzip.compress(bytes(40 * MB)), "more than the limit of 32 MB"),
    "gzip in gzip": ("a.gz", lambda: gzip.compress(gzip.compress(b"1" * 600)), "holds gzip, which is not taken"),
    "a truncated gzip": ("a.csv.gz", lambda: gzip.compress(b"1,2\n" * 999)[:-9], "it ends too early"),
    "xz": ("a.bin", lambda: lzma.compress(b"1" * 99), "xz; such a file is never taken"),
    "a picture bomb": ("a.png", lambda: png(50_000, 50_000), "more than 89,000,000 pixels"),
    "a long picture": ("a.png", lambda: png(90_000, 1000), "more than 89,000,000"),
    "a damaged picture": ("a.png", lambda: png()[:20], "a damaged picture"),
    "a JPEG called PNG": ("a.png", lambda: b"\xff\xd8\xff\xe0" + bytes(600), "not a PNG picture but a JPEG picture"),
    "a page as a picture": ("a.png", lambda: b"<script>alert(1)</script>", "not a PNG picture but something else"),
    "a program": ("a.bin", lambda: b"\x7fELF" + bytes(99), "a program; such a file is never taken"),
    "no text": ("a.csv", lambda: b"1,2\n\xff\xfe,3\n", "line 2 is not UTF-8"),
    "zeros in text": ("a.csv", lambda: b"1,2\n3\x004\n", "line 2 holds a zero byte"),
    "zeros in packed text": ("a.csv.gz", lambda: gzip.compress(b"1,2\n3\x004\n"), "line 2 holds a zero byte"),
    "half a letter": ("a.csv", lambda: "1,ö".encode()[:-1], "is not UTF-8"),
    "no HDF5": ("a.h5", lambda: b"x" * 600, "not HDF5 but something else"),
    "a damaged HDF5": ("a.h5", lambda: b"\x89HDF\r\n\x1a\n" + b"x" * 600, "a damaged HDF5 file"),
    "a link to another file": ("a.h5", lambda: hdf5(linked), "is kept in another file"),
    "a volume bomb": ("a.nii", lambda: nifti(30_000, 30_000, 100), "a volume of more than the limit"),
    "no volume": ("a.nii", lambda: nifti(0, 4), "a damaged NIfTI"),
    "no weights": ("a.safetensors", lambda: b"x" * 99, "not safetensors but something else"),
    "a long header": ("a.safetensors", lambda: struct.pack("<Q", 10**12) + b"{" + bytes(99), "a header of"),
    "a deep header": ("a.safetensors", lambda: weights(b'{"a":' * 50_000), "not valid JSON|nested too deeply"),
    "tensors outside": (
        "a.safetensors",
        lambda: weights({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}, "__metadata__": {}}),
        "lies outside of the file",
    ),
    "weights of others": ("a.safetensors", lambda: weights({"__metadata__": {}}), "not written by ornstein"),
    "a checkpoint of a training": (
        "a.safetensors",
        lambda: weights({"__metadata__": {"ornstein": json.dumps({**META, "kind": "training"})}}),
        "expected a model checkpoint",
    ),
    "nothing": ("a.csv", lambda: b"", "an empty file"),
    "more than the limit": ("a.csv", lambda: b"1,2\n" * 2_500_000, "more than the limit of 8 MB"),
}


def linked(group: object) -> None:
    import h5py

    group["x"] = h5py.ExternalLink("/etc/passwd", "/")  # pyright: ignore[reportIndexIssue]


def outside(file: object) -> None:
    file.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)])  # pyright: ignore[reportAttributeAccessIssue]


def many(group: object) -> None:
    group.create_dataset("x", (10**6, 10**6), "f4", chunks=(9, 9))  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (many, "unpacks to 4e+06 MB"),
        (outside, "'x' in it is kept in another file"),
        (lambda file: linked(file.create_group("a/b")), "'x' in it is kept in another file"),
        (lambda file: file.update(loop=file), ""),
        (lambda file: file.create_dataset("x", data=b"text"), ""),
    ],
    ids=["a bomb", "data elsewhere", "a link deep within", "a loop", "text"],
)
def test_hdf5_files_are_looked_through(write: Callable[..., object], said: str, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(hdf5(write))
    assert wrong(tmp_path / "a.h5", LIMIT).startswith(said)
    assert bool(wrong(tmp_path / "a.h5", LIMIT)) == bool(said)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused_and_nothing_is_left(
    uploads: Uploads, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, made, said = HOSTILE[what]
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        send(uploads, made(), name)
    assert left(uploads) == []
    assert not (tmp_path / "opened").exists()


NAMES = (
    *("", ".", "..", "../x.png", "a/b.png", "a\\b.png", ".x.png", "a..png", "<img src=x>.png", "a&b.png", 'a".png'),
    *("a'.png", "a`.png", "a;b.png", "a\0.png", "a\n.png", "a\x1b[2J.png", "a\u202egnp.exe", "-rf.png", " a.png"),
    *("a／b.png", "＜b＞.png", "a.png ", "C:a.png", "a" * 117 + ".png", "日" * 80 + ".png", "a\ud800.png"),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_that_could_mean_something_else_are_refused(uploads: Uploads, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        send(uploads, png(), name)
    assert left(uploads) == []


@pytest.mark.parametrize("name", ["a.png", "Zähne (2).png", "日本.png", "a b_c-d+e@f,g=h[1].png", "a" * 116 + ".png"])
def test_names_in_any_language_are_taken(name: str) -> None:
    require_name(name)


def test_a_length_beyond_the_limit_is_refused_before_anything_is_read(uploads: Uploads) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("was read")
        yield b""

    with pytest.raises(TooLarge, match="more than the limit"):
        asyncio.run(uploads.receive(never(), "a.png", None, LIMIT + 1))
    assert left(uploads) == []


def test_a_stream_is_read_no_further_than_the_limit(uploads: Uploads) -> None:
    read: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(65536)
            yield b"1,2\n" * 16384

    with pytest.raises(TooLarge):
        asyncio.run(uploads.receive(endless(), "a.csv", None))
    assert sum(read) <= LIMIT + 2 * 65536
    assert left(uploads) == []


def test_who_leaves_in_the_middle_leaves_nothing(uploads: Uploads) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield png()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(uploads.receive(broken(), "a.png", None))
    assert left(uploads) == []


def test_byte_by_byte_is_the_same(uploads: Uploads) -> None:
    data = png()
    assert asyncio.run(uploads.receive(pieces(data, 1), "a.png", (".png",))).path.read_bytes() == data
    with pytest.raises(InputError, match="a pickle"):
        asyncio.run(uploads.receive(pieces(pickle.dumps(Opened()), 1), "a.png", None))


def test_a_field_takes_its_own_suffixes(uploads: Uploads) -> None:
    with pytest.raises(InputError, match=r"a.csv: expected a file of .png, .npz"):
        send(uploads, b"1\n", "a.csv", (".png", ".npz"))
    with pytest.raises(InputError, match="only a run folder"):
        send(uploads, b"1\n", "a.csv", ("",))
    assert send(uploads, png(), "A.PNG", (".png",)).path.name == "A.PNG"


def test_files_that_belong_together_lie_together(uploads: Uploads) -> None:
    first = send(uploads, b"# Dimensions\n4 4\n", "scan.hdr", (".hdr", ".cfl"))
    second = send(uploads, bytes(128), "scan.cfl", (".hdr", ".cfl"), beside=first.id)
    assert (second.id, second.path, second.size) == (first.id, first.path, first.size + 128)
    assert left(uploads) == sorted([first.id, "scan.cfl", "scan.hdr"])
    with pytest.raises(InputError, match="expected the name scan"):
        send(uploads, bytes(128), "other.cfl", None, beside=first.id)
    with pytest.raises(InputError, match="a pickle"):
        send(uploads, pickle.dumps(Opened()), "scan.npz", None, beside=first.id)
    assert left(uploads) == sorted([first.id, "scan.cfl", "scan.hdr"])
    with pytest.raises(InputError, match="no such upload"):
        send(uploads, bytes(128), "scan.cfl", None, beside="nothing")


def test_what_is_kept_is_named_by_its_content(uploads: Uploads, tmp_path: Path) -> None:
    first = send(uploads, b"# Dimensions\n4 4\n", "scan.hdr")
    first = send(uploads, bytes(128), "scan.cfl", beside=first.id)
    kept = uploads.keep(first.path, tmp_path / "inputs")
    assert kept == tmp_path / "inputs" / first.sha256[:16] / "scan.hdr"
    assert sorted(path.name for path in kept.parent.iterdir()) == ["scan.cfl", "scan.hdr"]
    assert uploads.keep(first.path, tmp_path / "inputs") == kept
    assert uploads.kept == {kept.parent}


def test_the_same_header_beside_other_data_is_another_file(uploads: Uploads, tmp_path: Path) -> None:
    kept = []
    for data in (bytes(128), bytes(127) + b"1"):
        first = send(uploads, b"# Dimensions\n4 4\n", "scan.hdr")
        send(uploads, data, "scan.cfl", beside=first.id)
        kept.append(uploads.keep(first.path, tmp_path / "inputs").with_suffix(".cfl").read_bytes())
    assert kept == [bytes(128), bytes(127) + b"1"]


def test_what_belongs_to_a_file_counts_as_it_does(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BESIDE", 9)
    first = send(uploads, b"1\n", "scan.hdr")
    for k in range(7):
        send(uploads, b"1\n" * (LIMIT // 2), f"scan.{k}.csv", beside=first.id)
    with pytest.raises(TooLarge, match="too many uploads"):
        send(uploads, b"1\n" * (LIMIT // 2), "scan.7.csv", beside=first.id)
    monkeypatch.setattr(module, "BESIDE", 0)
    with pytest.raises(InputError, match="expected no more"):
        send(uploads, b"1\n", "scan.csv", beside=first.id)


def test_those_that_are_coming_are_counted(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    monkeypatch.setattr(module, "SILENCE", 0.05)

    async def silent() -> AsyncIterator[bytes]:
        yield png()[:20]
        await asyncio.sleep(60)

    async def three() -> list[object]:
        return await asyncio.gather(
            *(uploads.receive(silent(), "a.png", None) for _ in range(3)), return_exceptions=True
        )

    *slow, third = asyncio.run(three())
    assert all("nothing more of the file came" in str(one) for one in slow)
    assert isinstance(third, TooLarge)
    assert left(uploads) == []


def test_all_together_are_bounded(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for _ in range(3):
        send(uploads, png(), "a.png")
    with pytest.raises(TooLarge, match="too many uploads"):
        send(uploads, png(), "a.png")


def test_shipped_weights_are_a_model(uploads: Uploads) -> None:
    found = send(uploads, MODEL.read_bytes(), "m.safetensors", (".safetensors",))
    assert uploads.models() == [found]


def test_the_folder_is_private_and_gone_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    uploads = Uploads()
    uploads.open()
    send(uploads, png(), "a.png")
    assert stat.S_IMODE(uploads.folder.stat().st_mode) == 0o700
    sweep()
    assert uploads.folder.exists(), "another studio took what is in use"
    uploads.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_is_removed_by_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = """
import os, sys, tempfile
from ornstein.studio.uploads import Uploads
tempfile.tempdir = sys.argv[1]
uploads = Uploads()
uploads.open()
(uploads.new() / "a.csv").write_text("1")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", crash, str(tmp_path)])
    assert len(list(tmp_path.rglob("a.csv"))) == 1
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ornstein-studio-link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "ornstein-studio-link"]


def test_the_picture_of_these_tests_is_one() -> None:
    with Image.open(BytesIO(png())) as picture:
        picture.load()
        assert picture.size == (8, 8)
