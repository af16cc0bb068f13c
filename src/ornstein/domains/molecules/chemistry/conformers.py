"""Whether a molecule that was drawn is the one that was asked for: its graph, in which order, and its stereo.

The graph is that of the elements that touch, by the rule of RDKit's `rdDetermineBonds` (perception.py): of neutral
molecules it decides the bonds. Atoms that only exchange places are tried in every order, up to a cap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int

from ....deferred import deferred
from .molecule import Molecule
from .perception import to_rdkit
from .smiles import parsed

if TYPE_CHECKING:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds
else:
    Chem, rdBase = deferred("rdkit.Chem"), deferred("rdkit.rdBase")
    rdDetermineBonds = deferred("rdkit.Chem.rdDetermineBonds")

Adjacency = Bool[np.ndarray, "atoms atoms"]
_MOST = 256
"""Orders of the atoms that are tried for one whose stereo is the wanted one."""


@dataclass(frozen=True)
class Conformer:
    """A molecule that was drawn for a SMILES.

    Attributes:
        molecule: its atoms in the order of the SMILES, where it is a conformer; else an isomer, as it was drawn.
        right: its graph is the wanted one.
        stereo: its stereo is what the SMILES says; None where that says nothing, or the graph is another.
        mirrored: it was drawn as the mirror image.
    """

    molecule: Molecule
    right: bool
    stereo: bool | None = None
    mirrored: bool = False


@dataclass(frozen=True)
class Conformers:
    """How many of molecules that were drawn for SMILES are conformers of them.

    Attributes:
        drawn: how many there are.
        right: those whose graph is the wanted one.
        handed: of these, those whose SMILES says something of stereo.
        stereo: of these, those whose stereo is what it says.
        mirrored: of the right ones, those that were drawn as the mirror image.
    """

    drawn: int = 0
    right: int = 0
    handed: int = 0
    stereo: int = 0
    mirrored: int = 0

    @classmethod
    def of(cls, found: Sequence[Conformer]) -> "Conformers":
        """Counts them."""
        right = [one for one in found if one.right]
        handed = [one.stereo for one in right if one.stereo is not None]
        return cls(len(found), len(right), len(handed), sum(handed), sum(one.mirrored for one in right))

    def __add__(self, other: "Conformers") -> "Conformers":
        return Conformers(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def told(self) -> list[str]:
        """The same in words; nothing, if there are none."""
        if not self.drawn:
            return []
        others = ", the others are isomers" if self.right < self.drawn else ""
        said = [f"{self.right} of {self.drawn} are conformers of the molecule that was asked for{others}"]
        if self.handed:
            mirrored = f"of which {self.mirrored} were drawn as mirror images"
            said.append(f"{self.stereo} of {self.handed} have its stereo, {mirrored}")
        return said


def conformer(drawn: Molecule, smiles: str, mirror: bool = True) -> Conformer:
    """What a molecule is of the one that was asked for.

    Args:
        drawn: positions in Å.
        smiles: of a molecule that `smiles.parsed` accepts.
        mirror: a molecule whose centres are all the wrong ones is replaced by its mirror image, which a law without
            handedness draws as often.
    """
    wanted, first = parsed(smiles), None
    for order in _orders(drawn, smiles):
        placed = Molecule(drawn.numbers[order], drawn.positions[order], drawn.name, drawn.properties, smiles)
        stereo = _stereo(placed, wanted)
        first = first or Conformer(placed, True, None if stereo is None else stereo > 0)
        if stereo is None or stereo > 0:
            return Conformer(placed, True, None if stereo is None else True)
        if mirror and stereo < 0:
            reflected = replace(placed, positions=placed.positions * [1.0, 1.0, -1.0])
            first = Conformer(reflected, True, True, True)
    return first or Conformer(drawn, False)


def with_bonds(molecule: Molecule) -> Chem.Mol:
    """RDKit's molecule with the bonds of its SMILES, at these positions and with their stereo."""
    mol = Chem.Mol(parsed(molecule.smiles))
    held = Chem.Conformer(len(molecule))
    held.Set3D(True)
    held.SetPositions(np.ascontiguousarray(molecule.positions, dtype=np.float64))
    mol.AddConformer(held)
    mol.SetProp("_Name", molecule.name)
    with rdBase.BlockLogs():
        Chem.AssignStereochemistryFrom3D(mol)
    return mol


# Graphs -----------------------------------------------------------------------------------------------


def _orders(drawn: Molecule, smiles: str) -> Iterator[Int[np.ndarray, " atoms"]]:
    """The orders in which the drawn atoms have the bonds of the wanted molecule; the drawn order first, if it does."""
    theirs, adjacency = _adjacency_of(smiles), _touching(drawn)
    numbers = np.array([atom.GetAtomicNum() for atom in parsed(smiles).GetAtoms()])
    if adjacency is None or adjacency.sum() != theirs.sum() or sorted(numbers) != sorted(drawn.numbers):
        return
    if (numbers == drawn.numbers).all() and (adjacency == theirs).all():
        yield np.arange(len(drawn))
    ours, wanted = _skeleton(drawn.numbers, adjacency), _skeleton(numbers, theirs)
    if len(ours.heavy) != len(wanted.heavy):
        return
    for match in ours.mol.GetSubstructMatches(wanted.mol, uniquify=False, maxMatches=_MOST):
        order = np.empty(len(drawn), int)
        for place, found in zip(wanted.heavy, (ours.heavy[k] for k in match), strict=True):
            order[[place, *wanted.leaves[place]]] = [found, *ours.leaves[found]]
        yield order


def _touching(molecule: Molecule) -> Adjacency | None:
    """Which atoms are bound, whatever their valences; None if an atom is of no element or nowhere."""
    if not molecule.numbers.all() or not np.isfinite(molecule.positions).all():
        return None
    mol = to_rdkit(molecule)
    with rdBase.BlockLogs():
        try:
            rdDetermineBonds.DetermineConnectivity(mol)
        except (ValueError, RuntimeError):
            return None
    return _adjacency(mol)


def _adjacency(mol: Chem.Mol) -> Adjacency:
    return np.asarray(Chem.GetAdjacencyMatrix(mol)) > 0


@lru_cache(maxsize=4096)
def _adjacency_of(smiles: str) -> Adjacency:
    return _adjacency(parsed(smiles))


@dataclass(frozen=True)
class _Skeleton:
    """The atoms but for hydrogens at the ends.

    Attributes:
        mol: with bonds of one kind; an isotope says how many hydrogens are at an atom.
        heavy: the atoms' numbers in the whole.
        leaves: the hydrogens of each.
    """

    mol: Chem.Mol
    heavy: list[int]
    leaves: dict[int, list[int]]


def _skeleton(numbers: Int[np.ndarray, " atoms"], adjacency: Adjacency) -> _Skeleton:
    near = [np.flatnonzero(row).tolist() for row in adjacency]
    leaf = [bool(z == 1 and len(near[k]) == 1 and numbers[near[k][0]] != 1) for k, z in enumerate(numbers)]
    heavy = [k for k, end in enumerate(leaf) if not end]
    leaves = {k: [j for j in near[k] if leaf[j]] for k in heavy}
    mol = Chem.RWMol()
    for k in heavy:
        atom = Chem.Atom(int(numbers[k]))
        atom.SetIsotope(len(leaves[k]) + 1)
        mol.AddAtom(atom)
    for a, k in enumerate(heavy):
        for b, j in enumerate(heavy[:a]):
            if adjacency[k, j]:
                mol.AddBond(a, b, Chem.BondType.SINGLE)
    return _Skeleton(mol.GetMol(), heavy, leaves)


# Stereo -----------------------------------------------------------------------------------------------


def _stereo(placed: Molecule, wanted: Chem.Mol) -> int | None:
    """1 if the stereo is what is wanted, −1 if it is the mirror image's, 0 if neither; None if nothing is wanted."""
    centres = [atom for atom in wanted.GetAtoms() if atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED]
    bonds = [bond for bond in wanted.GetBonds() if bond.GetStereo() > Chem.BondStereo.STEREOANY]
    if not centres and not bonds:
        return None
    found = with_bonds(placed)
    tags = [found.GetAtomWithIdx(atom.GetIdx()).GetChiralTag() for atom in centres]
    kept = [tag == atom.GetChiralTag() for tag, atom in zip(tags, centres, strict=True)]
    known = [tag != Chem.ChiralType.CHI_UNSPECIFIED for tag in tags]
    if not all(known) or any(found.GetBondWithIdx(bond.GetIdx()).GetStereo() != bond.GetStereo() for bond in bonds):
        return 0
    return 1 if all(kept) else 0 if any(kept) else -1
