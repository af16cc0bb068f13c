"""Molecules of SMILES in space: ETKDG (Riniker & Landrum 2015, version 3) and MMFF94 (Halgren 1996), both of RDKit.

ETKDG draws distances between their bounds, embeds them, and turns torsions to what crystals prefer; MMFF94 then brings
the atoms to rest. The same seed gives the same conformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....deferred import deferred
from .records import MOST, Fault, require_neutral

if TYPE_CHECKING:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
else:
    Chem, rdBase = deferred("rdkit.Chem"), deferred("rdkit.rdBase")
    rdDistGeom = deferred("rdkit.Chem.rdDistGeom")
    rdForceFieldHelpers = deferred("rdkit.Chem.rdForceFieldHelpers")

TRIES, STEPS = 20, 5000
"""Of an embedding, and of the force field: molecules need one or two, and some hundreds."""
APART = 0.5
"""Å, root mean square over heavy atoms: conformers that are closer count as one."""


def parsed(smiles: str, least: int = 2, most: int = MOST) -> Chem.Mol:
    """The molecule with all of its hydrogens; a fault if it cannot be built or is no neutral molecule in one piece.

    Formal charges that add up to 0 are fine: nitro groups, zwitterions.

    Args:
        smiles: of one molecule.
        least, most: atoms it may have, hydrogens included.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or not mol.GetNumAtoms():
            raise Fault(f"{_short(smiles)!r} is no SMILES that RDKit reads")
        pieces = len(Chem.GetMolFrags(mol))
        mol = Chem.AddHs(mol)
    if pieces > 1:
        raise Fault(f"has {pieces} pieces, as salts have, expected one molecule")
    require_neutral(Chem.GetFormalCharge(mol))
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        raise Fault("has an unpaired electron")
    if not least <= mol.GetNumAtoms() <= most:
        raise Fault(f"has {mol.GetNumAtoms()} atoms, expected {least} to {most}")
    with rdBase.BlockLogs():
        if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
            raise Fault("has an atom that MMFF94 does not know")
    return mol


def embedded(smiles: str, seed: int = 0, conformers: int = 1, least: int = 2, most: int = MOST) -> Chem.Mol:
    """RDKit's molecule with up to so many different conformers at rest, the one of least energy first.

    A fault if there is none.

    Args:
        smiles: of one molecule.
        seed: of all random numbers.
        conformers: that are tried; those that come out alike, or do not come to rest, are left out.
        least, most: atoms it may have, hydrogens included.
    """
    mol, how = parsed(smiles, least, most), rdDistGeom.ETKDGv3()
    how.randomSeed, how.maxIterations, how.pruneRmsThresh = seed, TRIES, APART
    with rdBase.BlockLogs():
        found = list(rdDistGeom.EmbedMultipleConfs(mol, conformers, how))
        if not found:
            raise Fault(f"ETKDG finds no conformer in {TRIES} tries")
        ends = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, maxIters=STEPS)
    rest = sorted((energy, k) for k, (unfinished, energy) in zip(found, ends, strict=True) if not unfinished)
    if not rest:
        raise Fault(f"MMFF94 does not come to rest in {STEPS} steps")
    return _with(mol, [k for _, k in rest])


def _with(mol: Chem.Mol, kept: list[int]) -> Chem.Mol:
    """The molecule with these of its conformers, in this order."""
    chosen = Chem.Mol(mol)
    chosen.RemoveAllConformers()
    for k in kept:
        chosen.AddConformer(mol.GetConformer(k), assignId=True)
    return chosen


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
