"""SDF files, record by record: MOL blocks as RDKit reads them, data items line by line (BIOVIA's CTfile Formats).

A record ends at a line $$$$, or where another MOL block begins. A data item is a line "> <NAME>" and what stands below
it, up to a line that is empty or holds only blanks, the next item, or the end of the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ....deferred import deferred
from .graphs import pieces
from .perception import from_rdkit
from .records import LACKING, SEVERAL, Fault, Record, lines_of, require_neutral, sound, without_charge

if TYPE_CHECKING:
    import ase.data
    from rdkit import Chem, rdBase
else:
    ase = deferred("ase", "ase.data")
    Chem, rdBase = deferred("rdkit.Chem"), deferred("rdkit.rdBase")

_COUNTS = re.compile(r"[ \d]{2}\d[ \d]{2}\d", re.ASCII)
_TAGGED = re.compile(r"\s*\d+\s+\d+.*V[23]000\s*", re.ASCII)

BONDS = "bonds"
"""The field in which we write where bonds are from, which is of no use to whoever reads the file again."""


class Block(NamedTuple):
    """The lines of a MOL block, up to M  END, and of the data items below it."""

    mol: list[str]
    data: list[str]


def split(text: str) -> Iterator[Block]:
    """The records of a file."""
    lines = lines_of(text.rstrip())
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and not lines[end].startswith("M  END") and not _is_end(lines[end]):
            end += 1
        closed = end < len(lines) and lines[end].startswith("M  END")
        below = stop = end + closed
        while closed and stop < len(lines) and not _is_end(lines[stop]) and not _begins(lines, stop):
            stop = _after_item(lines, stop) if lines[stop].startswith(">") else stop + 1
        yield Block(lines[start:below], lines[below:stop])
        start = stop + (stop < len(lines) and _is_end(lines[stop]))


def parse(block: Block, hydrogens: bool) -> Record:
    """One molecule; a fault if it cannot be used."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock("\n".join([*block.mol, ""]), sanitize=False, removeHs=False)
    if mol is None:
        raise Fault(_unreadable(block.mol))
    molecule = sound(from_rdkit(mol))
    if len(molecule) > 3 and not molecule.positions[:, 2].any() and block.mol[1][20:22] != "3D":
        raise Fault("is a 2-D drawing: all z are 0")
    require_neutral(Chem.GetFormalCharge(mol))
    fields, remarks = _items(block.data)
    missing = _missing_hydrogens(mol)
    if hydrogens and missing:
        raise Fault(f"lacks {missing} hydrogens")
    if missing and mol.GetNumBonds():
        remarks.append(LACKING)
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    if pieces(len(molecule), np.array(ends, int).reshape(-1, 2)) > 1:
        remarks.append(SEVERAL)
    return Record(molecule, without_charge(fields), remarks)


# Where things end -----------------------------------------------------------------------------------


def _is_end(line: str) -> bool:
    return line.rstrip() == "$$$$"


def _begins(lines: Sequence[str], k: int) -> bool:
    """Whether a MOL block begins here: three lines of a header, the counts line, an atom's or V3000's."""
    if k + 4 >= len(lines) or any(line.startswith((">", "$$$$", "M  END")) for line in lines[k : k + 3]):
        return False
    counts = lines[k + 3]
    return bool(_TAGGED.fullmatch(counts) or (_COUNTS.match(counts) and _coordinates(lines[k + 4])))


def _after_item(lines: Sequence[str], k: int) -> int:
    """The line after the data item that begins at line k. A line $$$$ within one is a value if no record follows."""
    header = k
    k += 1
    while k < len(lines) and lines[k].strip() and not _is_header(lines[k]):
        last = _is_end(lines[k]) and (k + 1 == len(lines) or _begins(lines, k + 1))
        if last or (k > header + 1 and _begins(lines, k)):
            return k
        k += 1
    return k


def _is_header(line: str) -> bool:
    return re.match(r">.*<.*>", line) is not None


# Data items -----------------------------------------------------------------------------------------


def _items(lines: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The values of the data items by name, and remarks on what is no item."""
    fields: dict[str, str] = {}
    remarks: list[str] = []
    k = 0
    while k < len(lines):
        stop = _after_item(lines, k) if lines[k].startswith(">") else k + 1
        if lines[k].startswith(">"):
            name = lines[k][lines[k].find("<") + 1 : max(lines[k].rfind(">"), 1)].strip() if "<" in lines[k] else ""
            if not name:
                remarks.append("a data item without a name, left out")
            elif name in fields:
                remarks.append(f"field {name!r} stands there twice, the last is taken")
            fields |= {name: "\n".join(lines[k + 1 : stop])} if name not in ("", BONDS) else {}
        elif lines[k].strip():
            remarks.append("lines below the MOL block that belong to no data item, left out")
        k = stop
    return fields, list(dict.fromkeys(remarks))


# What is wrong --------------------------------------------------------------------------------------


def _unreadable(lines: Sequence[str]) -> str:
    """What is wrong with a MOL block that RDKit does not read."""
    if len(lines) < 4 or not (_COUNTS.match(lines[3]) or _TAGGED.fullmatch(lines[3])):
        return "line 4 is not the counts line of a MOL block"
    if (blank := next((k for k, line in enumerate(lines) if k > 3 and not line.strip()), None)) is not None:
        return f"line {blank + 1} is blank, within the MOL block: only the first three lines may be"
    if _COUNTS.match(lines[3]) and "V3000" not in lines[3]:
        for number, line in enumerate(lines[4 : 4 + int(lines[3][:3])], 1):
            if not _coordinates(line):
                return f"atom {number} has no coordinates: {line.strip()[:60]!r}"
            if (symbol := line[31:34].strip()) not in ase.data.atomic_numbers:
                return f"atom {number} is of no element: {symbol!r}"
    if not lines[-1].startswith("M  END"):
        return "its MOL block does not end in a line M  END"
    return "not a MOL block that RDKit reads"


def _coordinates(line: str) -> bool:
    """Whether an atom's line of a V2000 block begins with x, y and z."""
    try:
        _ = [float(line[k : k + 10]) for k in (0, 10, 20)]
    except ValueError:
        return False
    return True


def _missing_hydrogens(mol: Chem.Mol) -> int:
    """How many more the bonds of the record ask for."""
    mol.UpdatePropertyCache(strict=False)
    return sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
