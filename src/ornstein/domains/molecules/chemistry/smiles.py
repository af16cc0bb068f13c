"""SMILES as molecules that are asked for: read, checked, with the hydrogens they imply.

Atoms are in the order of the SMILES, and behind them the hydrogens in that of the atoms they are bound to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from ....deferred import deferred
from ....errors import InputError
from .molecule import Molecule
from .records import Fault, lines_of, require_neutral

if TYPE_CHECKING:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom
else:
    Chem, rdBase = deferred("rdkit.Chem"), deferred("rdkit.rdBase")
    rdDistGeom = deferred("rdkit.Chem.rdDistGeom")

SUFFIXES = (".smi", ".smiles", ".txt")
FAR = 1e3
"""Å, the upper bound of what is not bound."""


@dataclass(frozen=True)
class Named:
    """A molecule that is asked for.

    Attributes:
        smiles: as it was said.
        name: the file's, or the SMILES.
        where: it was said, for errors.
    """

    smiles: str
    name: str
    where: str


def named_in(said: Sequence[str]) -> Iterator[Named]:
    """What SMILES and files of them say, in order; InputError for a file that cannot be read.

    Args:
        said: SMILES, or paths that end in .smi, .smiles or .txt: of one SMILES a line and its name behind it; lines
            that are empty, begin with # or with the word smiles are passed over.
    """
    for one in said:
        if not one.lower().endswith(SUFFIXES):
            yield Named(one, one, f"--smiles {one}")
            continue
        for number, line in enumerate(lines_of(_text(Path(one))), 1):
            smiles, _, name = line.strip().replace("\t", " ").partition(" ")
            if smiles and not smiles.startswith("#") and not (number == 1 and smiles.lower() == "smiles"):
                yield Named(smiles, name.strip() or smiles, f"{one}: line {number}")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"--smiles {path}: cannot be read: {error.strerror}") from None


@lru_cache(maxsize=4096)
def parsed(smiles: str) -> Chem.Mol:
    """The molecule with its hydrogens; a fault if it is none that could be drawn. Not to be changed."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None or not mol.GetNumAtoms():
        raise Fault(f"{smiles!r} is no SMILES that RDKit reads")
    atoms = list(mol.GetAtoms())
    if any(not atom.GetAtomicNum() for atom in atoms):
        raise Fault(f"{smiles!r} has an atom of no element")
    if any(atom.GetIsotope() for atom in atoms):
        raise Fault(f"{smiles!r} has isotopes, expected elements alone")
    if len(Chem.GetMolFrags(mol)) > 1:
        raise Fault(f"{smiles!r} is several molecules, expected one")
    require_neutral(Chem.GetFormalCharge(mol))
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        raise Fault(f"{smiles!r} is a radical, expected closed shells")
    return Chem.AddHs(mol)


def placeless(mol: Chem.Mol) -> Molecule:
    """The atoms of a molecule that are nowhere yet."""
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], int)
    return Molecule(numbers, np.zeros((len(numbers), 3)))


def distance_bounds(mol: Chem.Mol, length: int) -> Float[np.ndarray, "length length"]:
    """Between which distances, Å, each pair of atoms lies in any conformer: upper bounds above the diagonal.

    RDKit's bounds for its distance geometry (Riniker & Landrum 2015): lengths and angles of the bonds that the graph
    has, ranges of torsions, radii of van der Waals beyond. Pairs that are not there have none, 0 and FAR.

    Args:
        mol: with its hydrogens.
        length: rows, at least the molecule's atoms.
    """
    n = mol.GetNumAtoms()
    try:
        own = rdDistGeom.GetMoleculeBoundsMatrix(mol)
    except (ValueError, RuntimeError):  # bounds of a strained cage may contradict each other
        own = rdDistGeom.GetMoleculeBoundsMatrix(mol, doTriangleSmoothing=False)
    bounds = np.triu(np.full((length, length), FAR), 1)
    bounds[:n, :n] = own
    return bounds


def handedness(mol: Chem.Mol, length: int) -> Int[np.ndarray, "length 5"]:
    """The handed centres of a molecule, a row each: its four neighbours a, b, c, d, and the sign of their volume.

    The volume is (x_a − x_d) · (x_b − x_d) × (x_c − x_d). Centres of which nothing is said have no row, nor have
    those with a lone pair; the rows left over are 0.

    Args:
        mol: with its hydrogens.
        length: rows, at least the molecule's atoms.
    """
    signs = {Chem.ChiralType.CHI_TETRAHEDRAL_CCW: 1, Chem.ChiralType.CHI_TETRAHEDRAL_CW: -1}
    rows = np.zeros((length, 5), int)
    for atom in mol.GetAtoms():
        near = [bond.GetOtherAtomIdx(atom.GetIdx()) for bond in atom.GetBonds()]  # the order that tags are about
        if len(near) == 4 and atom.GetChiralTag() in signs:
            rows[atom.GetIdx()] = [*near, signs[atom.GetChiralTag()]]
    return rows
