"""Which bonds a geometry has, by RDKit's `rdDetermineBonds` (Kim & Kim 2015), and RDKit's molecules to and fro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ....deferred import deferred
from .molecule import Molecule

if TYPE_CHECKING:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds
else:
    Chem, rdBase = deferred("rdkit.Chem"), deferred("rdkit.rdBase")
    rdDetermineBonds = deferred("rdkit.Chem.rdDetermineBonds")

TRIES = 10_000  # combinations of valences: molecules need a few, a heap of atoms would try exponentially many


def to_rdkit(molecule: Molecule) -> Chem.RWMol:
    """The atoms and where they are, without bonds."""
    mol = Chem.RWMol()
    for number in molecule.numbers.tolist():
        mol.AddAtom(Chem.Atom(number))
    conformer = Chem.Conformer(len(molecule))
    conformer.Set3D(True)
    conformer.SetPositions(np.ascontiguousarray(molecule.positions, dtype=np.float64))
    mol.AddConformer(conformer)
    mol.SetProp("_Name", molecule.name)
    return mol


def from_rdkit(mol: Chem.Mol, properties: Mapping[str, float] | None = None) -> Molecule:
    """The atoms of RDKit's molecule at its first conformer's positions, hydrogens only where it has them as atoms."""
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], dtype=int)
    name = mol.GetProp("_Name") if mol.HasProp("_Name") else ""
    return Molecule(numbers, mol.GetConformer().GetPositions(), name, properties or {})


def perceived(molecule: Molecule) -> Chem.Mol | None:
    """The neutral molecule that these positions are, bonds, stereo and positions included.

    None if RDKit finds none, or one in several pieces, or a radical, and if an atom is of no element or nowhere.
    """
    if not molecule.numbers.all() or not np.isfinite(molecule.positions).all():
        return None
    mol = to_rdkit(molecule)
    with rdBase.BlockLogs():
        try:
            rdDetermineBonds.DetermineBonds(mol, charge=0, maxIterations=TRIES)
            Chem.SanitizeMol(mol)
        except (ValueError, RuntimeError):  # what RDKit raises when valences do not come out, or after all tries
            return None
    return mol.GetMol() if _whole(mol) else None


def _whole(mol: Chem.Mol) -> bool:
    """Whether a molecule is in one piece and has all of its hydrogens."""
    lone = any(atom.GetNumRadicalElectrons() or atom.GetNumImplicitHs() for atom in mol.GetAtoms())
    return not lone and len(Chem.GetMolFrags(mol)) == 1


def smiles_of(mol: Chem.Mol, stereo: bool = False) -> str:
    """The canonical SMILES of a sanitised molecule, hydrogens implied."""
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(Chem.RemoveHs(mol, sanitize=False), isomericSmiles=stereo)
