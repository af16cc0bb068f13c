"""What is read is checked against a schema, and a folder is held by one at a time."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ornstein import InputError
from ornstein.files import Lock, parse_json, require

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


HOLD = "import sys; from pathlib import Path; from ornstein.files import Lock\n"
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
