"""The table of scores: good molecules beside bad ones, and nothing that is not a number."""

from dataclasses import replace
from math import isfinite

import numpy as np
import pytest
from small_molecules import SMILES, apart, made, turned, without_a_hydrogen

from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.compared import Compared, judged
from ornstein.tasks.figures import Metric
from worlds import rejected

pytest.importorskip("tblite")
GOOD = [turned(made(name), seed)[0] for seed in range(3) for name in SMILES if name != "CH3NO2"]
BROKEN = {
    "molecules stable": [without_a_hydrogen(molecule) for molecule in GOOD],
    "connected": [apart(molecule, molecule) for molecule in GOOD],
    "perceived as a molecule": [without_a_hydrogen(molecule) for molecule in GOOD],
    "valid": [replace(molecule, numbers=np.full(len(molecule), 9)) for molecule in GOOD],
    "unique": [made("H2O")] * len(GOOD),
    "bond lengths": [replace(molecule, positions=1.03 * molecule.positions) for molecule in GOOD],
    "bond angles": [replace(molecule, positions=molecule.positions * np.array([1, 0.9, 1])) for molecule in GOOD],
}


def values(found: list[Molecule], known: tuple[str, ...] = (), slow: int = 0) -> dict[str, float]:
    rows = judged(found, GOOD, known, slow)
    assert all(isfinite(row.value) and row.meaning for row in rows)
    return {row.name: row.value for row in rows}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_molecules_score_worse(name: str) -> None:
    better, worse = values(GOOD)[name], values(BROKEN[name])[name]
    assert worse > better + 0.05 if name.startswith("bond") else worse < better - 0.05


def test_real_molecules_score_as_real_molecules() -> None:
    for row in judged(GOOD, GOOD, ("CCO",), slow=3):
        assert row.reference is not None
        assert row.name.startswith("bond") or row.value == pytest.approx(row.reference)


def test_parts_score_as_all_of_them() -> None:
    mixed = [*BROKEN["connected"][:4], *GOOD, *BROKEN["molecules stable"][:3]]
    rows = judged(mixed, GOOD, ("CCO",), slow=2)
    _scores(rows, mixed)
    rejected(lambda found: _scores(rows, found), mixed[:-1])


def _scores(rows: list[Metric], mixed: list[Molecule]) -> None:
    compared = Compared(GOOD, ("CCO",), slow=2)
    for k in range(0, len(mixed), 4):
        compared.add(mixed[k : k + 4])
    assert compared.metrics() == rows


def test_novelty_is_by_what_was_learned() -> None:
    assert "novel" not in values(GOOD)
    assert values(GOOD, ("CCO", "O"))["novel"] == pytest.approx(5 / 7)


def test_heaps_of_atoms_are_judged_too() -> None:
    heaps = [Molecule(np.array([0, 6, 8]), np.zeros((3, 3))), Molecule(np.array([6, 1]), np.full((2, 3), np.nan))]
    found = values(heaps, slow=3)
    assert found["molecules stable"] == found["perceived as a molecule"] == found["connected"] == 0
    assert "energy released" not in found


def test_strained_molecules_release_energy() -> None:
    strained = [replace(molecule, positions=1.04 * molecule.positions) for molecule in GOOD]
    rows = {row.name: row for row in judged(strained, GOOD, (), slow=4)}
    reference = rows["energy released"].reference
    assert reference is not None
    assert rows["energy released"].value > 2 * reference
    assert rows["relaxations that fail"].value == 0
