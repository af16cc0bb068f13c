"""A handful of molecules whose bonds are known: ASE's g2 set, and formamide."""

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("rdkit")

from ase.build import molecule as g2

from ornstein.domains.molecules.chemistry.molecule import Molecule

SMILES = {
    "H2O": "O", "CH4": "C", "CH3CH2OH": "CCO", "C6H6": "c1ccccc1", "HCONH2": "NC=O", "C4H4NH": "c1cc[nH]c1",
    "CH3NO2": "C[N+](=O)[O-]", "CH3SCH3": "CSC",
}  # fmt: skip
_FORMAMIDE = [
    [0.0, 0.42, 0], [1.19, 0.24, 0], [-0.94, -0.56, 0], [-0.45, 1.43, 0], [-0.64, -1.52, 0], [-1.92, -0.33, 0]
]  # fmt: skip


def made(name: str) -> Molecule:
    """The molecule of this name."""
    if name == "HCONH2":
        return Molecule(np.array([6, 8, 7, 1, 1, 1]), np.array(_FORMAMIDE), name)
    atoms = g2(name)
    return Molecule(atoms.numbers, atoms.positions, name)


def apart(*molecules: Molecule, distance: float = 30.0) -> Molecule:
    """All of them as one, far from one another."""
    positions = [molecule.positions + distance * k for k, molecule in enumerate(molecules)]
    return Molecule(np.concatenate([m.numbers for m in molecules]), np.concatenate(positions))


def rotation(seed: int) -> np.ndarray:
    """A proper one."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return turn * np.linalg.det(turn)


def turned(molecule: Molecule, seed: int) -> tuple[Molecule, np.ndarray]:
    """Turned, moved, its atoms in another order; and that order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(molecule))
    positions = molecule.positions @ rotation(seed).T + rng.normal(size=3)
    return Molecule(molecule.numbers[order], positions[order], molecule.name), order


def without_a_hydrogen(molecule: Molecule) -> Molecule:
    """Less its last hydrogen."""
    keep = np.arange(len(molecule)) != np.flatnonzero(molecule.numbers == 1)[-1]
    return Molecule(molecule.numbers[keep], molecule.positions[keep])
