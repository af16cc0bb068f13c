"""What RDKit perceives: the molecules that they are, and nothing where there is none."""

import numpy as np
import pytest
from small_molecules import SMILES, apart, made, turned, without_a_hydrogen

from ornstein.domains.molecules.chemistry import perception
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.perception import from_rdkit, perceived, smiles_of, to_rdkit

Chem, AllChem = pytest.importorskip("rdkit.Chem"), pytest.importorskip("rdkit.Chem.AllChem")


@pytest.mark.parametrize(("name", "smiles"), SMILES.items())
def test_known_molecules(name: str, smiles: str) -> None:
    mol = perceived(made(name))
    assert mol is not None
    assert smiles_of(mol) == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize("seed", range(5))
def test_neither_pose_nor_numbering_matters(seed: int) -> None:
    for name, smiles in SMILES.items():
        mol = perceived(turned(made(name), seed)[0])
        assert mol is not None
        assert smiles_of(mol) == Chem.CanonSmiles(smiles)


def test_radicals_pieces_and_heaps_are_none() -> None:
    water = made("H2O")
    assert perceived(without_a_hydrogen(water)) is None
    assert perceived(apart(water, water)) is None
    rng = np.random.default_rng(0)
    assert perceived(Molecule(rng.choice([1, 6, 7, 8], 40), rng.uniform(0, 4, (40, 3)))) is None
    assert perceived(Molecule(water.numbers, np.zeros((3, 3)))) is None


def test_a_search_that_takes_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perception, "TRIES", 1)
    assert perceived(made("CH3NO2")) is None


def test_stereo_is_seen_where_asked_for() -> None:
    here = Chem.AddHs(Chem.MolFromSmiles("C[C@H](N)O"))
    AllChem.EmbedMolecule(here, randomSeed=0)
    molecule = from_rdkit(here)
    mirrored = Molecule(molecule.numbers, molecule.positions * np.array([1, 1, -1]))
    mols = [perceived(molecule), perceived(mirrored)]
    assert len({smiles_of(mol) for mol in mols if mol}) == 1
    assert {smiles_of(mol, stereo=True) for mol in mols if mol} == {"C[C@H](N)O", "C[C@@H](N)O"}


def test_to_rdkit_and_back() -> None:
    molecule = made("CH3CH2OH")
    back = from_rdkit(to_rdkit(molecule), {"gap": 0.1})
    assert (back.numbers == molecule.numbers).all()
    assert (back.positions == molecule.positions).all()
    assert (back.name, back.properties) == ("CH3CH2OH", {"gap": 0.1})
