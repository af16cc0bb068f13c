"""The scores of benchmarks/molecule_conformers.py: the reference itself is found, what is far from it is not."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rdkit")

from ornstein.domains.molecules import data
from ornstein.domains.molecules.chemistry.conformers import Conformer, conformer
from ornstein.domains.molecules.chemistry.molecule import Molecule

ROOT = Path(__file__).parent.parent


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.molecule_conformers")


def test_the_reference_is_found_and_an_isomer_is_not(bench: Any) -> None:
    cases = bench.cases(data.reference("qm9")[:20], 4)
    assert len(cases) == 4
    assert [len(case.reference) for case in cases] == sorted(len(case.reference) for case in cases)
    found = [[Conformer(case.reference, True, True)] for case in cases]
    scored = bench.scores(cases, found, 1)
    assert (scored["right"], scored["coverage"], scored["coverage_error"]) == (1, 1, 0)
    assert scored["median_rmsd"] < 1e-3
    stretched = [Molecule(c.reference.numbers, 2 * c.reference.positions, smiles=c.smiles) for c in cases]
    far = bench.scores(cases, [[Conformer(one, True, True)] for one in stretched], 1)
    assert (far["right"], far["coverage"]) == (1, 0)
    isomers = bench.scores(cases, [[Conformer(case.reference, False)] for case in cases], 1)
    assert (isomers["right"], isomers["median_rmsd"]) == (0, None)


def test_rdkit_s_conformers_have_the_graph_and_the_stereo(bench: Any) -> None:
    cases = bench.cases(data.reference("qm9")[:8], 2)
    found = bench.by_etkdg(cases, 2, relaxed=True)
    assert all(one.right and one.stereo is not False for drawn in found for one in drawn)
    row = {"way": "etkdg", "model": None, "steps": None, "minutes": 0, **bench.scores(cases, found, 2)}
    assert bench.table([row]).count("\n") == 2
    assert conformer(cases[0].reference, cases[0].smiles, mirror=False).right
