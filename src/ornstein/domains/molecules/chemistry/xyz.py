"""XYZ files, frame by frame: plain ones, extended ones (Properties=, key=value), and those that QM9 was published in.

A frame is a number of atoms, a comment and a line an atom: its element (a symbol or a number of protons) and x, y, z in
Å. In extended XYZ `Properties` says which columns these are. A comment of key=value pairs has properties, and may say a
charge; so may one of two numbers, charge and multiplicity, where that multiplicity is possible.

Raw QM9 (Ramakrishnan et al. 2014): the comment is "gdb", a number and 15 values, Mulliken charges are a fifth column,
exponents may be written *^, and frequencies, SMILES and InChI follow the atoms in three lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ....deferred import deferred
from .graphs import pieces, touching
from .molecule import Molecule
from .perception import perceived
from .records import MOST, SEVERAL, Fault, Record, charge_in, lines_of, require_neutral, sound, without_charge

if TYPE_CHECKING:
    import ase.data
else:
    ase = deferred("ase", "ase.data")

HARTREE = 27.211386  # eV
RAW = (
    *(("A", 1.0), ("B", 1.0), ("C", 1.0)),  # rotational constants, GHz
    *(("mu", 1.0), ("alpha", 1.0), ("homo", HARTREE), ("lumo", HARTREE), ("gap", HARTREE)),  # D, bohr³, eV
    *(("r2", 1.0), ("zpve", HARTREE)),  # bohr², eV
    *(("U0", HARTREE), ("U", HARTREE), ("H", HARTREE), ("G", HARTREE), ("cv", 1.0)),  # eV, cal/(mol K)
)
"""The values of a raw QM9 comment, and their units in ours."""

_COUNT = re.compile(r"\s*[0-9]{1,9}\s*")
_QUOTED = r'"(?:[^"\\]|\\.)*+"|\'[^\']*+\''
_PAIR = re.compile(rf"(?<!\S)({_QUOTED}|[^\s\"'=]++)=({_QUOTED}|\{{[^}}]*+\}}|\[[^\]]*+\]|\S++)")
_PROPERTIES = re.compile(r"(?:^|\s)Properties=\"?([^\s\"]*)\"?")
_TWO = re.compile(r"\s*([+-]?[0-9]{1,2})\s+([1-9][0-9]?)\s*")
_PLACES = ("species", "Z", "numbers", "atomic_numbers")
_PLAIN = (0, 1, 4)
_LONGEST = 100_000  # characters of a comment
_RAW_TAIL = 3  # frequencies, SMILES, InChI


def split(text: str) -> Iterator[list[str]]:
    """The lines of each frame; where no number of atoms stands, all that is left is one."""
    lines = lines_of(text)
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        counted = _COUNT.fullmatch(lines[start])
        stop = start + int(lines[start]) + 2 if counted else len(lines)
        if counted and stop <= len(lines) and _raw(lines[start + 1]):
            stop += _RAW_TAIL
        yield lines[start:stop]
        start = stop


def parse(lines: Sequence[str], hydrogens: bool) -> Record:
    """One molecule; a fault if it cannot be used."""
    if not _COUNT.fullmatch(lines[0]):
        said = lines[0].strip()[:40]
        raise Fault(f"line 1 is {said!r}, expected the number of atoms; nothing is read from here on")
    count = int(lines[0])
    if len(lines) > 1 and len(lines[1]) > _LONGEST:
        raise Fault(f"its comment has {len(lines[1])} characters, expected at most {_LONGEST}")
    if len(lines) < count + 2:
        raise Fault(f"ends after {max(len(lines) - 2, 0)} of {count} atoms")
    name, fields = _said(lines[1])
    molecule = sound(_atoms(lines[2 : count + 2], lines[1], name))
    _require_neutral(molecule, lines[1])
    if hydrogens and not (molecule.numbers == 1).any() and perceived(molecule) is None:
        raise Fault("has no hydrogens")
    many = len(molecule) <= MOST and pieces(len(molecule), touching(molecule)) > 1
    return Record(molecule, without_charge(fields), [SEVERAL] * many)


# Atoms ----------------------------------------------------------------------------------------------


def _atoms(lines: Sequence[str], comment: str, name: str) -> Molecule:
    element, place, width = _columns(comment)
    numbers, positions = [], []
    for number, line in enumerate(lines, 1):
        columns = line.split()
        if len(columns) < width:
            raise Fault(f"atom {number} has {len(columns)} columns, expected {width}: {line.strip()[:60]!r}")
        try:
            positions.append([_coordinate(column) for column in columns[place : place + 3]])
        except ValueError:
            raise Fault(f"atom {number} has no coordinates: {line.strip()[:60]!r}") from None
        if (protons := _elements().get(columns[element].capitalize())) is None:
            raise Fault(f"atom {number} is of no element: {columns[element][:20]!r}")
        numbers.append(protons)
    return Molecule(np.array(numbers, int), np.array(positions, float).reshape(-1, 3), name)


def _columns(comment: str) -> tuple[int, int, int]:
    """The columns of the element and of x, and how many there must be."""
    if not (said := _PROPERTIES.search(comment)):
        return _PLAIN
    parts = said[1].split(":")
    names, kinds, counts = parts[::3], parts[1::3], parts[2::3]
    if len(parts) % 3 or not all(re.fullmatch("[1-9][0-9]{0,8}", count) for count in counts):
        raise Fault(f"Properties={said[1][:80]}: expected name:type:columns, and so on")
    begin = dict(zip(names, np.cumsum([0, *map(int, counts)])[:-1].tolist(), strict=True))
    element = next((begin[name] for name in _PLACES if name in begin), None)
    three = ("pos", "R", "3") in zip(names, kinds, counts, strict=True)
    if element is None or not three:
        raise Fault(f"Properties={said[1][:80]}: expected species:S:1 and pos:R:3 among them")
    return element, begin["pos"], sum(map(int, counts))


def _coordinate(text: str) -> float:
    if not text.isascii() or "_" in text:
        raise ValueError
    return float(re.sub(r"\*\^|[dD]", "e", text))


@cache
def _elements() -> Mapping[str, int]:
    """Protons by symbol and by number; 0 for X, which stands for no element. Deuterium and tritium are hydrogen."""
    known = {**ase.data.atomic_numbers, "D": 1, "T": 1}
    return known | {str(protons): protons for protons in known.values() if protons}


# Comments -------------------------------------------------------------------------------------------


def _raw(comment: str) -> bool:
    """Whether the comment is one of raw QM9."""
    words = comment.split()
    return len(words) == 2 + len(RAW) and words[0] == "gdb"


def _said(comment: str) -> tuple[str, dict[str, Any]]:
    """The name and the properties that a comment says."""
    comment = comment.strip()
    if _raw(comment):
        tag, index, *values = comment.split()
        return f"{tag} {index}", {name: _scaled(v, unit) for (name, unit), v in zip(RAW, values, strict=True)}
    fields = {_bare(key): _bare(value) for key, value in _PAIR.findall(comment)}
    _require_vacuum(fields)
    extended = fields.pop("Properties", None) is not None
    for name in ("Lattice", "pbc"):
        fields.pop(name, None)
    return fields.pop("name", "" if extended else comment), fields


def _bare(text: str) -> str:
    """Without its quotation marks."""
    return text[1:-1].replace('\\"', '"') if text[0] in "\"'" and len(text) > 1 else text


def _scaled(text: str, unit: float) -> float | str:
    try:
        return unit * _coordinate(text)
    except ValueError:
        return text


def _require_vacuum(fields: Mapping[str, str]) -> None:
    """A fault if a cell repeats in some direction."""
    repeats = re.split(r"[\s,\[\]{}]+", fields.get("pbc", "T" if "Lattice" in fields else "F").upper())
    if {"T", "TRUE", "1"} & set(repeats):
        raise Fault("is periodic, expected a molecule in a vacuum")


def _require_neutral(molecule: Molecule, comment: str) -> None:
    """A fault if the comment says a charge: by that name, or before a multiplicity that its electrons allow."""
    require_neutral(charge_in(comment) or 0)
    if two := _TWO.fullmatch(comment):
        charge, multiplicity = int(two[1]), int(two[2])
        electrons = int(molecule.numbers.sum()) - charge
        if electrons % 2 != multiplicity % 2 and multiplicity <= electrons + 1:
            require_neutral(charge)
