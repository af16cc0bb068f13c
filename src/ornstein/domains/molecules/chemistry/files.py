"""Molecules from and to SDF and XYZ files. A bad record is left out and said, never guessed at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....deferred import deferred
from ....errors import InputError
from ....files import write_text
from . import sdf, xyz
from .conformers import with_bonds
from .molecule import Molecule
from .perception import perceived, to_rdkit
from .records import LACKING, Fault, Found, Record, Tally, require_geometry
from .stability import table_mol

if TYPE_CHECKING:
    import ase
    import ase.io
    from rdkit import Chem, rdBase
else:
    ase = deferred("ase", "ase.io")
    Chem, rdBase = deferred("rdkit.Chem"), deferred("rdkit.rdBase")


# Reading --------------------------------------------------------------------------------------------

_FORMATS: dict[str, tuple[Callable[[str], Iterable[Any]], Callable[[Any, bool], Record]]] = {
    ".sdf": (sdf.split, sdf.parse),
    ".xyz": (xyz.split, xyz.parse),
}
SUFFIXES = tuple(_FORMATS)
"""Of files that are read."""
_FLOAT32 = float(np.finfo(np.float32).max)


def read(path: Path, hydrogens: bool = False, to_learn: bool = False) -> Found:
    """The molecules of an .sdf or .xyz file, or of all of those in a folder, and what is wrong with bad records.

    Units are Å; of raw QM9 see xyz.py. SDF fields and the keys of extended XYZ become properties where they are
    numbers; names are the title line's and the comment line's. Bad records are those that cannot be parsed, 2-D
    drawings, charged or periodic ones and, with `hydrogens`, those that lack hydrogens. Of each: file, number from 1,
    reason. InputError if the path is not there or nothing in it can be used.

    Args:
        path: of a file or folder.
        to_learn: single atoms and atoms at one place are bad, too, and so are numbers that float32 does not hold.
    """
    good: list[Molecule] = []
    bad: list[str] = []
    tally = Tally(_FLOAT32 if to_learn else inf)
    for file in _found(path):
        for where, record in _records(_text(file), file, hydrogens, to_learn):
            if isinstance(record, Fault):
                bad.append(f"{where}: {record}")
                continue
            tally.remark([remark for remark in record.remarks if to_learn or remark != LACKING], where)
            good.append(_with_properties(record.molecule, tally.numbers(record.fields, where)))
    if not good:
        raise InputError(f"{path}: holds no usable molecule; {bad[0] if bad else 'it is empty'}")
    return Found(good, bad, tally.notes())


def read_text(text: str, file: Path, first: int = 1) -> list[Molecule]:
    """The molecules of some records of a file, all of which must be good: else InputError.

    Args:
        text: of the records.
        file: in which they stand, for its suffix and for the error.
        first: number of the first one there.
    """
    found = []
    for where, record in _records(text, file, first=first):
        if isinstance(record, Fault):
            raise InputError(f"{where}: {record}")
        found.append(record.molecule)
    return found


def _records(
    text: str, file: Path, hydrogens: bool = False, to_learn: bool = False, first: int = 1
) -> Iterator[tuple[str, Record | Fault]]:
    """Where each record stands, in words, and what it holds or why it cannot be used."""
    split, parse = _FORMATS[file.suffix.lower()]
    for number, lines in enumerate(split(text), first):
        try:
            record = parse(lines, hydrogens)
            if to_learn:
                require_geometry(record.molecule)
        except Fault as fault:
            record = fault
        yield f"{file}: record {number}", record


def _with_properties(molecule: Molecule, properties: Mapping[str, float]) -> Molecule:
    return Molecule(molecule.numbers, molecule.positions, molecule.name, properties)


def _found(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(f"{path}: not found, expected an .sdf or .xyz file, or a folder of those")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if file.suffix.lower() in _FORMATS]
    if not files:
        raise InputError(f"{path}: expected an .sdf or .xyz file, or a folder of those")
    return files


def _text(file: Path) -> str:
    """UTF-8, with or without a mark of the order of bytes, or UTF-16 with one, as editors on Windows write."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors="replace")


# Writing --------------------------------------------------------------------------------------------


def to_ase(molecule: Molecule) -> ase.Atoms:
    """The same for the Atomic Simulation Environment; its `info` has the name and the properties."""
    info = {**({"name": molecule.name} if molecule.name else {}), **molecule.properties}
    return ase.Atoms(molecule.numbers, molecule.positions, info=info)


def bonded(molecule: Molecule) -> tuple[Chem.Mol, str]:
    """RDKit's molecule, and where its bonds are from: its SMILES, perception, the distance table, or there are none."""
    if molecule.smiles:
        return with_bonds(molecule), "SMILES"
    if mol := perceived(molecule):
        return mol, "rdDetermineBonds"
    mol, bare = _closed(table_mol(molecule)), _closed(to_rdkit(molecule))
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(mol)
        except ValueError:
            bare.UpdatePropertyCache(strict=False)
            return bare, "none"
    return mol, "distance table"


def _closed(mol: Chem.RWMol) -> Chem.RWMol:
    """Without hydrogens that are not there."""
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(True)
    return mol


def write_sdf(path: Path, molecules: Sequence[Molecule], properties: Sequence[Mapping[str, float]] = ()) -> None:
    """Atomically writes an SDF file; see `sdf_text`.

    Args:
        path: of the file.
    """
    write_text(path, sdf_text(molecules, properties))


def sdf_text(molecules: Sequence[Molecule], properties: Sequence[Mapping[str, float]] = (), first: int = 1) -> str:
    """Records of an SDF file; `properties`, one mapping a molecule, are written beside the molecules' own.

    The field `bonds` of each record says where its bonds are from; see `bonded`.

    Args:
        first: number of the first record in its file, which stands beside every field.
    """
    both = enumerate(zip(molecules, properties or [{}] * len(molecules), strict=True), first - 1)
    return "".join(Chem.SDWriter.GetText(_labelled(one, extra), molid=k) for k, (one, extra) in both)


def _labelled(molecule: Molecule, extra: Mapping[str, float]) -> Chem.Mol:
    mol, bonds = bonded(molecule)
    for name, value in {**molecule.properties, **extra}.items():
        mol.SetProp(name, repr(float(value)))
    mol.SetProp(sdf.BONDS, bonds)
    return mol


def write_xyz(path: Path, molecules: Sequence[Molecule]) -> None:
    """Atomically writes extended XYZ; see `xyz_text`."""
    write_text(path, xyz_text(molecules))


def xyz_text(molecules: Sequence[Molecule]) -> str:
    """Extended XYZ, one frame a molecule, with names and properties."""
    text = StringIO()
    for molecule in molecules:  # one at a time: ASE's molecules take far more memory than their text
        ase.io.write(text, to_ase(molecule), format="extxyz")
    return text.getvalue()
