"""Libraries of molecules: written piece by piece in any order, they are the same files as all at once."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest
import torch
from rdkit import Chem

from folders import origin
from ornstein import InputError
from ornstein.domains.molecules import data
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.drawn import remarks
from ornstein.domains.molecules.stored import SDF, XYZ, MoleculeStore, frames
from ornstein.tasks.samples import Samples, read_samples
from ornstein.tasks.storage.packing import without_numbers

ASKED = {"O": ("H2O", 3), "CO": ("CH3OH", 6), "C": ("CH4", 4)}  # of methane a hydrogen is missing


def _made(name: str, atoms: int) -> Molecule:
    found = ase.build.molecule(name)[:atoms]
    return Molecule(found.numbers.astype(np.int64), found.positions)


@cache
def library() -> Samples:
    """Three molecules from number 5 on, drawn for SMILES: two are conformers, the third lacks a hydrogen."""
    model = origin("molecules")
    x, condition = data.states([_made(*one) for one in ASKED.values()], model.metadata)
    noisy = {**x, "positions": x["positions"] + 0.2 * condition["mask"][..., None]}
    each = {"smiles": list(ASKED), "molecule": ["water", "methanol", "methane"]}
    return Samples(x, condition, model, [noisy, x], settings={"first": 5, "trajectory": True}, each=each)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library().save(tmp_path_factory.mktemp("whole") / "library")


def test_pieces_in_any_order_are_the_files_of_all_at_once(saved: Path, tmp_path: Path) -> None:
    drawn, folder = library(), tmp_path / "library"
    assert drawn.origin is not None
    store = MoleculeStore(folder, drawn.origin, range(5, 8))
    store.scratch = tmp_path / "scratch"
    for piece in (slice(2, 3), slice(0, 2)):
        store.add(drawn[piece])
    notes = store.finish(without_numbers(drawn))
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert written == {path.name: path.read_bytes() for path in saved.iterdir() if path.name != "manifest.json"}
    assert {SDF, XYZ, "viewer.html", "figure-0.png", "figure-3.gif"} <= written.keys()
    assert notes == remarks(drawn)
    assert "2 of 3 are conformers" in remarks(drawn)[0]
    x: Any
    x, condition = store.read(range(6, 8))  # bit for bit, though the files hold fewer digits
    assert torch.equal(x["positions"], drawn.x["positions"][1:])
    assert torch.equal(condition["mask"], drawn.condition["mask"][1:])


def test_records_are_numbered_from_1_and_found_alone(saved: Path) -> None:
    text = (saved / SDF).read_text()
    assert [f">  <conformer>  ({k})" in text for k in range(5)] == [False, True, True, True, False]
    names = [mol.GetProp("_Name") for mol in Chem.SDMolSupplier(str(saved / SDF), sanitize=False)]
    assert names == ["water", "methanol", "methane"]
    drawn = library()
    assert drawn.origin is not None
    x: Any
    x, condition = MoleculeStore(saved, drawn.origin, range(5, 8)).read(range(6, 7))
    assert torch.equal(condition["mask"], drawn.condition["mask"][1:2])
    assert (x["positions"] - read_samples(saved).x["positions"][1:2]).abs().max() == 0


def test_frames_begin_where_their_numbers_say(tmp_path: Path) -> None:
    text = b"2\n\nH 0 0 0\nH 0 0 1\n1\na comment\nO 0 0 0\n"
    assert _places(text, tmp_path) == [0, 19]
    assert _places(b"two\n" + text, tmp_path) == [0]  # nothing can be told of what follows


def _places(text: bytes, folder: Path) -> list[int]:
    (folder / XYZ).write_bytes(text)
    with (folder / XYZ).open("rb") as file:
        return list(frames(file))


def test_a_file_of_another_number_of_molecules_is_refused(saved: Path, tmp_path: Path) -> None:
    (tmp_path / XYZ).write_text((saved / XYZ).read_text() * 2)
    drawn = library()
    assert drawn.origin is not None
    with pytest.raises(InputError, match="holds more than 3 records, expected 3"):
        MoleculeStore(tmp_path, drawn.origin, range(5, 8)).read(range(5, 8))
    charged = replace(drawn.origin, metadata={**drawn.origin.metadata, "elements": [1, 6]})
    with pytest.raises(InputError, match=r"record 2: the model does not know the elements with \[8\] protons"):
        MoleculeStore(saved, charged, range(5, 8)).read(range(6, 7))
