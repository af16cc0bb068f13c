"""The files of a request: whoever reads them again, at any time and anywhere, reads the same."""

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ornstein as on
from ornstein.distributed.pools import Here
from ornstein.domains.images.requests import ImagesRequest
from ornstein.errors import InputError
from ornstein.tasks.requests import draw
from ornstein.tasks.storage.inputs import Inputs


@dataclass(frozen=True)
class Asked:
    what: Any
    others: list[str] = field(default_factory=list)


def code_beside(folder: Path) -> Asked:
    (folder / "energy.py").write_text("import beside\n")
    (folder / "beside.py").write_text("SHARE = 1\n")
    return Asked(f"{folder / 'energy.py'}:energy")


def a_pattern(folder: Path) -> Asked:
    (folder / "beside.py").write_text("0")
    return Asked(folder / "b?side.py")


def a_folder(folder: Path) -> Asked:
    (folder / "store").mkdir()
    (folder / "beside.py").write_text("0")
    os.link(folder / "beside.py", folder / "store" / "0")  # one file by two names
    return Asked(folder / "store")


def a_file(folder: Path) -> Asked:
    (folder / "beside.py").write_text("0")
    return Asked(None, [str(folder / "beside.py")])


@pytest.mark.parametrize("asked", [code_beside, a_pattern, a_folder, a_file])
def test_a_file_that_changes_is_named(asked: Callable[[Path], Asked], tmp_path: Path) -> None:
    """Of the same size, so that only its content tells."""
    said = asked(tmp_path)
    here = Inputs(said)
    there = pickle.loads(pickle.dumps(here))
    os.utime(tmp_path / "beside.py")
    for inputs in (here, there):
        inputs.require_unchanged()
    text = (tmp_path / "beside.py").read_text()
    (tmp_path / "beside.py").write_text(text.replace("0", "1").replace("SHARE = 1", "SHARE = 2"))
    for inputs in (here, there):
        with pytest.raises(InputError, match=r".*: is not what it was when drawing began"):
            inputs.require_unchanged()
    assert Inputs(said).digests.keys() == here.digests.keys()
    assert Inputs(said).digests != here.digests
    (tmp_path / "beside.py").write_text(text)
    here.require_unchanged()


def test_what_is_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "CO").write_text("what the SMILES C* would match as a pattern")
    said = ["a: b", "x" * 9999, "a\0b", "", "no*such", str(tmp_path / "C*")]
    assert Inputs(Asked(str(tmp_path), said)).digests == {}


def picture(path: Path, grey: int) -> None:
    Image.fromarray(np.full((8, 8), grey, dtype=np.uint8)).save(path)


def test_a_measurement_that_is_edited_is_refused(tmp_path: Path) -> None:
    """By the worker that reads it after that, and by who resumes."""
    seen, model = tmp_path / "seen.png", on.load("images/digits")
    picture(seen, 0)
    asked = ImagesRequest(observation=seen, operator="blur")
    how: dict[str, Any] = {"n": 2, "steps": 1, "batch_size": 1, "threads": 1, "out": tmp_path / "out"}

    class Meanwhile(Here):
        def results(self, work: Any, shared: Any, pieces: Any) -> Any:
            for k, piece in enumerate(pieces):
                if k:
                    picture(seen, 255)
                yield from super().results(work, shared, [piece])

    with pytest.raises(InputError, match=r"seen\.png: is not what it was when drawing began") as error:
        draw(model, asked, **how, on=Meanwhile())
    assert "1 of 2 samples are whole (0)" in error.value.__notes__[0]
    with pytest.raises(InputError, match=r"out\.part: drawn with file .*seen\.png = "):
        draw(model, asked, **how, resume=True)
