"""Molecules from and to SDF and XYZ files. A bad record is left out and said, never guessed at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....deferred import deferred
from ....errors import InputError
from ....files import write_atomic
from .molecule import Molecule
from .perception import from_rdkit, perceived, to_rdkit
from .stability import table_mol

if TYPE_CHECKING:
    import ase
    import ase.data
    import ase.io
    from rdkit import Chem, rdBase
else:
    ase = deferred("ase", "ase.data", "ase.io")
    Chem, rdBase = deferred("rdkit.Chem"), deferred("rdkit.rdBase")


class _Fault(ValueError):
    """What is wrong with a record."""


# Reading --------------------------------------------------------------------------------------------


def read(path: Path, hydrogens: bool = False) -> tuple[list[Molecule], list[str]]:
    """The molecules of an .sdf or .xyz file, or of all of those in a folder, and what is wrong with bad records.

    Units are Å. SDF fields and the keys of extended XYZ become properties where they are numbers; names are the title
    line's and the comment line's. Bad records are those that cannot be parsed, 2-D drawings, charged or periodic ones
    and, with `hydrogens`, those that lack hydrogens. Of each: file, number from 1, reason. InputError if the path is
    not there or nothing in it can be used.
    """
    good: list[Molecule] = []
    bad: list[str] = []
    for file in _found(path):
        split, parse = _FORMATS[file.suffix.lower()]
        for number, record in enumerate(split(_text(file)), 1):
            try:
                good.append(parse(record, hydrogens))
            except _Fault as fault:
                bad.append(f"{file}: record {number}: {fault}")
    if not good:
        raise InputError(f"{path}: holds no usable molecule; {bad[0] if bad else 'it is empty'}")
    return good, bad


def _found(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(f"{path}: not found, expected an .sdf or .xyz file, or a folder of those")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if file.suffix.lower() in _FORMATS]
    if not files:
        raise InputError(f"{path}: expected an .sdf or .xyz file, or a folder of those")
    return files


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None


def _sound(molecule: Molecule) -> Molecule:
    """The molecule; a fault if it has no atoms, or some without an element or a place."""
    if not len(molecule):
        raise _Fault("has no atoms")
    if (molecule.numbers == 0).any():
        raise _Fault(f"atom {molecule.numbers.argmin() + 1} is of no element")
    if not np.isfinite(molecule.positions).all():
        raise _Fault("has coordinates that are not finite")
    return molecule


# SDF ------------------------------------------------------------------------------------------------


def _split_sdf(text: str) -> list[str]:
    records = re.split(r"^\$\$\$\$.*\n?", text, flags=re.MULTILINE)
    return records if records[-1].strip() else records[:-1]


def _from_sdf(record: str, hydrogens: bool) -> Molecule:
    supplier = Chem.SDMolSupplier()
    with rdBase.BlockLogs():
        supplier.SetData(record + "\n$$$$\n", sanitize=False, removeHs=False)
        mol = next(iter(supplier), None)
    if mol is None:
        raise _Fault(_unreadable(record.splitlines()))
    molecule = _sound(from_rdkit(mol, _numeric(mol.GetPropsAsDict(autoConvertStrings=False))))
    if len(molecule) > 3 and not molecule.positions[:, 2].any() and record.splitlines()[1][20:22] != "3D":
        raise _Fault("is a 2-D drawing: all z are 0")
    if charge := Chem.GetFormalCharge(mol):
        raise _Fault(f"its charge is {charge:+d}, expected a neutral molecule")
    if hydrogens and (missing := _missing_hydrogens(mol)):
        raise _Fault(f"lacks {missing} hydrogens")
    return molecule


def _unreadable(lines: Sequence[str]) -> str:
    """What is wrong with a MOL block that RDKit does not read."""
    if len(lines) < 4 or not lines[3][:3].strip().isdigit():
        return "line 4 is not the counts line of a MOL block"
    for number, line in enumerate(lines[4 : 4 + int(lines[3][:3])], 1):
        try:
            _ = [float(line[k : k + 10]) for k in (0, 10, 20)]
        except ValueError:
            return f"atom {number} has no coordinates: {line.strip()!r}"
        if (symbol := line[31:34].strip()) not in ase.data.atomic_numbers:
            return f"atom {number} is of no element: {symbol!r}"
    return "not a MOL block that RDKit reads"


def _missing_hydrogens(mol: Chem.Mol) -> int:
    """How many more the bonds of the record ask for."""
    mol.UpdatePropertyCache(strict=False)
    return sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())


def _numeric(fields: Mapping[str, Any]) -> dict[str, float]:
    """Those fields that are numbers."""
    found = {}
    for name, value in fields.items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            continue
    return found


# XYZ ------------------------------------------------------------------------------------------------


def _split_xyz(text: str) -> Iterator[str]:
    """Frames; where no number of atoms stands, all that is left is one."""
    lines = text.splitlines()
    while any(line.strip() for line in lines):
        if not lines[0].strip():
            lines = lines[1:]
            continue
        head = lines[0].strip()
        length = int(head) + 2 if head.isdigit() else len(lines)
        yield "\n".join(lines[:length])
        lines = lines[length:]


def _from_xyz(record: str, hydrogens: bool) -> Molecule:
    lines = record.splitlines()
    if not lines[0].strip().isdigit():
        raise _Fault(f"line 1 is {lines[0].strip()[:40]!r}, expected the number of atoms; nothing is read from here on")
    if len(lines) < int(lines[0]) + 2:
        raise _Fault(f"ends after {max(len(lines) - 2, 0)} of {lines[0].strip()} atoms")
    molecule = _sound(_from_ase(_parsed(record, lines[1]), lines[1].strip()))
    if hydrogens and not (molecule.numbers == 1).any() and perceived(molecule) is None:
        raise _Fault("has no hydrogens")
    return molecule


def _parsed(record: str, comment: str) -> ase.Atoms:
    extended = "Properties=" in comment
    try:
        atoms = ase.io.read(StringIO(record.replace("*^", "e") + "\n"), format="extxyz" if extended else "xyz")
    except Exception as error:  # ASE's parsers raise whatever they stumble on
        raise _Fault(f"not XYZ that ASE reads ({type(error).__name__}: {error})") from None
    assert isinstance(atoms, ase.Atoms)
    return atoms


def _from_ase(atoms: ase.Atoms, comment: str) -> Molecule:
    if atoms.pbc.any():
        raise _Fault("is periodic, expected a molecule in a vacuum")
    known = {**atoms.info, **(atoms.calc.results if atoms.calc else {})}
    name = str(known.pop("name", "")) if "Properties=" in comment else comment
    return Molecule(atoms.numbers, atoms.positions, name, _numeric(known))


_FORMATS: dict[str, tuple[Callable[[str], Any], Callable[[str, bool], Molecule]]] = {
    ".sdf": (_split_sdf, _from_sdf),
    ".xyz": (_split_xyz, _from_xyz),
}


# Writing --------------------------------------------------------------------------------------------


def to_ase(molecule: Molecule) -> ase.Atoms:
    """The same for the Atomic Simulation Environment; its `info` has the name and the properties."""
    info = {**({"name": molecule.name} if molecule.name else {}), **molecule.properties}
    return ase.Atoms(molecule.numbers, molecule.positions, info=info)


def bonded(molecule: Molecule) -> tuple[Chem.Mol, str]:
    """RDKit's molecule, and where its bonds are from: perception, else the distance table, else there are none."""
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
    """Atomically writes an SDF file; `properties`, one mapping a molecule, are written beside the molecules' own.

    The field `bonds` of each record says where its bonds are from; see `bonded`.

    Args:
        path: of the file.
    """
    given = properties or [{}] * len(molecules)
    mols = [_labelled(molecule, extra) for molecule, extra in zip(molecules, given, strict=True)]

    def write(temporary: Path) -> None:
        with Chem.SDWriter(str(temporary)) as writer:
            for mol in mols:
                writer.write(mol)

    write_atomic(path, write)


def _labelled(molecule: Molecule, extra: Mapping[str, float]) -> Chem.Mol:
    mol, bonds = bonded(molecule)
    for name, value in {**molecule.properties, **extra}.items():
        mol.SetProp(name, repr(float(value)))
    mol.SetProp("bonds", bonds)
    return mol


def write_xyz(path: Path, molecules: Sequence[Molecule]) -> None:
    """Atomically writes extended XYZ, one frame a molecule, with names and properties."""
    frames = [to_ase(molecule) for molecule in molecules]
    write_atomic(path, lambda temporary: ase.io.write(temporary, frames, format="extxyz"))
