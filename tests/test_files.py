"""What is read is checked against a schema, and a folder is held by one at a time."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fuzz import mutations, require_clean
from ornstein import InputError
from ornstein.disk.locks import Lock
from ornstein.files import content, gunzipped, inside, parse_json, require, text

SCHEMA = {"name": str, "sizes": [int], "std": float, "model": {"step": int}, "note?": str}
GOOD = {"name": "a", "sizes": [1, 2], "std": 3, "model": {"step": 1, "more": None}, "note": None, "more": []}


def test_what_has_the_form_is_returned_as_it_is() -> None:
    assert require(GOOD, SCHEMA, "f.json") is GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "f.json: field name is 3, expected text"),
        ({"name": None}, "f.json: field name is null, expected text"),
        ({"sizes": {}}, "f.json: field sizes is {}, expected a list"),
        ({"sizes": [1, "2"]}, "f.json: field sizes[1] is '2', expected a whole number"),
        ({"std": True}, "f.json: field std is True, expected a number"),
        ({"std": "x" * 10**6}, "expected a number"),
        ({"model": []}, "f.json: field model is [], expected an object"),
        ({"model": {"step": 1.5}}, "f.json: field model: field step is 1.5, expected a whole number"),
        ({"note": 1}, "f.json: field note is 1, expected text"),
    ],
)
def test_what_has_not_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        require({**GOOD, **change}, SCHEMA, "f.json")
    assert message in str(refused.value)
    assert len(str(refused.value)) < 200


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"f.json: field model is not there, expected an object"):
        require({key: value for key, value in GOOD.items() if key != "model"}, SCHEMA, "f.json")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5000, '{"a": 1} 2'])
def test_texts_that_are_no_json(text: str) -> None:
    with pytest.raises(InputError, match=r"f.json: .*, expected a manifest"):
        parse_json(text, "f.json", "a manifest")


HOLD = "import sys; from pathlib import Path; from ornstein.disk.locks import Lock\n"
HOLD += "with Lock(Path(sys.argv[1]), 'training'): print('held', flush=True); sys.stdin.read()"


def test_a_folder_is_held_by_one_process_until_it_dies(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "run", "training")
    command = [sys.executable, "-c", HOLD, str(lock.folder)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="run: another training is at work in this folder"), lock:
        pass
    other.kill()
    other.communicate()
    with lock, lock:  # again within itself
        assert not list(lock.folder.iterdir())
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    with lock, pytest.raises(InputError), Lock(lock.folder, "training"):
        pass
    assert not descriptors or len(os.listdir("/proc/self/fd")) == descriptors


# Reading within limits --------------------------------------------------------------------------------


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfna\xc3\xafve")
    assert text(path, 9, "text") == "naïve"
    with pytest.raises(InputError, match=r"a.txt: 9e-06 MB, more than the limit of 8e-06 MB"):
        text(path, 8, "text")
    path.write_bytes(b"a\nb\xff")
    with pytest.raises(InputError, match="line 2 holds the byte 0xff, which is not UTF-8"):
        text(path, 100, "text")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    refused = {
        tmp_path: "not a file but a folder",
        tmp_path / "pipe": "not a file but a pipe",
        Path("/dev/zero"): "not a file but a device",
        tmp_path / "absent": "not found .No such file or directory., expected text",
        tmp_path / "loop": "Too many levels of symbolic links",
        tmp_path / ("a" * 300): "File name too long",
        tmp_path / "nul\0": "no such file",
    }
    for path, message in refused.items():
        with pytest.raises(InputError, match=message):
            content(path, 100, "text")


def test_a_file_that_hides_its_size_is_limited_too() -> None:
    with pytest.raises(InputError, match="more than the limit"):
        content(Path("/proc/self/status"), 100, "text")


def test_gzip_is_unpacked_up_to_its_limit() -> None:
    two = gzip.compress(b"ab") + gzip.compress(b"cd")
    assert gunzipped(two, 4, "f") == b"abcd"
    assert gunzipped(b"plain", 2, "f") == b"plain"
    with pytest.raises(InputError, match="f: unpacks to more than the limit of 1 MB"):
        gunzipped(gzip.compress(bytes(10**7)), 10**6, "f")
    with pytest.raises(InputError, match="f: damaged gzip file"):
        gunzipped(two[:-1], 100, "f")


def test_any_gzip_is_read_or_refused() -> None:
    good = gzip.compress(b"some text\n" * 20)
    accepted, refused = require_clean(lambda data: gunzipped(data, 10**5, "f"), mutations(good, 200, 0))
    assert accepted + refused == 200
    assert refused > 50


@pytest.mark.parametrize(
    "name",
    [
        *("../secret", "/etc/passwd", "0/../../secret", "", ".", "a/", "a//b", "a\0", "\x1b[31m", "a" * 300, "pipe"),
        *("loop", "out/secret", "absent", "in", "0.txt/x", "null"),
    ],
)
def test_a_name_in_a_folder_stays_there(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    (folder / "in").mkdir(parents=True)
    for path in (tmp_path / "secret", folder / "0.txt", folder / "in" / "1.txt"):
        path.write_text("x")
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("0.txt")
    (folder / "out").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    (folder / "null").symlink_to("/dev/null")
    with pytest.raises(InputError, match=r"m\.json: names"):
        inside(folder, name, "m.json")
    assert inside(folder, "0.txt", "m.json").read_text() == "x"
    assert inside(folder, "in/1.txt", "m.json").read_text() == "x"
    assert inside(folder, "link", "m.json").read_text() == "x"
