"""Samples by their numbers: any split between workers gives the same files, and parts go together again."""

import json
from pathlib import Path
from typing import Any

import pytest

import ornstein as on
from ornstein.cli import main
from ornstein.domains.energies.task import EnergiesRequest
from ornstein.errors import InputError
from ornstein.events import finished
from ornstein.tasks import requests
from ornstein.tasks.registry import task
from ornstein.tasks.samples import read_samples
from ornstein.tasks.storage import merging

SPLIT = {
    "images/digits": ["--steps", "3"],
    "images/openmoji": ["--steps", "2", "--prompt", "a cat TO a dog", "a red heart"],
    "sequences/riboswitch": ["--steps", "6"],
    "molecules/qm9": ["--steps", "2"],
    "energies/gmm-40": ["--steps", "3"],
}


def files(folder: Path) -> dict[str, str]:
    return json.loads((folder / "manifest.json").read_text())["files"]


def native(folder: Path) -> dict[str, str]:
    """The samples' own files; pictures of molecules are drawn from more digits than those files hold."""
    return {name: digest for name, digest in files(folder).items() if not name.startswith("figure")}


def sampled(model: str, out: Path, *flags: str) -> Path:
    assert main(["sample", model, *SPLIT[model], *flags, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("model", SPLIT)
def test_eight_samples_are_four_and_four_byte_for_byte(model: str, tmp_path: Path) -> None:
    whole = sampled(model, tmp_path / "whole", "--n", "8")
    low = sampled(model, tmp_path / "low", "--n", "4")
    high = sampled(model, tmp_path / "high", "--n", "4", "--first", "4")
    assert main(["merge", str(high), str(low), "-o", str(tmp_path / "merged")]) == 0
    kept, drawn = native(tmp_path / "merged"), native(whole)
    assert kept == drawn
    assert len(kept) > 0
    other = sampled(model, tmp_path / "other", "--n", "4", "--first", "8")
    assert main(["merge", str(low), str(other), "-o", str(tmp_path / "gap")]) == 2  # numbers 4 … 7 are missing
    assert not (tmp_path / "gap").exists()


def test_what_does_not_belong_together_is_not_merged(tmp_path: Path) -> None:
    low, twice = (sampled("energies/gmm-40", tmp_path / name, "--n", "4") for name in ("low", "twice"))
    with pytest.raises(InputError, match="begins at sample 0, expected 4"):
        merging.merge([low, twice])
    seeded = sampled("energies/gmm-40", tmp_path / "seeded", "--n", "4", "--first", "4", "--seed", "1")
    with pytest.raises(InputError, match=r"seeded: drawn with seed = 1, .*low with 0"):
        merging.merge([low, seeded])
    exact = sampled("energies/gmm-40", tmp_path / "exact", "--n", "20", "--exact", "mcmc", "--check", "100")
    with pytest.raises(InputError, match="exact: one population"):
        merging.merge([low, exact])
    with pytest.raises(InputError, match="two folders or more"):
        merging.merge([low])


def test_finished_blocks_come_as_they_are_done() -> None:
    model = on.load("energies/gmm-40")
    asked = EnergiesRequest()
    found: list[Any] = []
    whole = finished(requests.drawing(model, asked, 5, batch_size=2, first=1, steps=3), found.append)
    parts = [event.finished for event in found if event.finished is not None]
    assert [(part.first, len(part)) for part in parts] == [(1, 1), (2, 2), (4, 2)]
    assert all(part.x.equal(whole.x[part.first - 1 :][: len(part)]) for part in parts)
    standing = [len(event.state) for event in found]
    assert standing == [1] * 3 + [2] * 6 + [5], "those on their way are those that are asked for, too"
    assert found[-1].result.x.equal(whole.x)
    assert {event.total for event in found} == {9}
    assert found[-1].done == 9


EXACT = {
    "images/digits": ({"steps": 2, "exact": "particles", "particles": 4}, 2),
    "sequences/riboswitch": ({"steps": 2, "exact": "particles", "particles": 4}, 2),
    "molecules/qm9": ({"steps": 2, "exact": "particles", "particles": 4}, 2),
    "energies/gmm-40": ({"steps": 3, "exact": "mcmc", "check": 100, "moves": 2}, 20),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_was_measured_about_exactness_is_read_back(name: str, tmp_path: Path, capsys: Any) -> None:
    options, n = EXACT[name]
    model = on.load(name)
    asked = task(name.partition("/")[0]).request_type()
    drawn = requests.draw(model, asked, n, **options)
    again = read_samples(drawn.save(tmp_path / "out"))
    assert type(again.exactness) is type(drawn.exactness)
    assert str(again.exactness) == str(drawn.exactness)
    assert (again.genealogy is None) == (drawn.genealogy is None)
    if drawn.genealogy is not None:
        assert again.genealogy is not None
        assert again.genealogy.equal(drawn.genealogy)
    assert main(["show", str(tmp_path / "out")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.index("exactness") < said.index("weights")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index('<p class="verdict') < page.index("<td>weights</td>")
