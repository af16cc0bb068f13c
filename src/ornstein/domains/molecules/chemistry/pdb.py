"""Atoms and residues of a PDB file (wwPDB format 3.3): its first model, one alternate location an atom."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from ....deferred import deferred
from ....errors import InputError
from .records import FARTHEST

if TYPE_CHECKING:
    import ase.data
else:
    ase = deferred("ase", "ase.data")

WATER = frozenset({"HOH", "WAT", "DOD", "H2O", "TIP", "TP3", "SOL"})
_OF_CHAINS = frozenset(["C", "N", "O", "S", "P", "SE", "H", "D"])  # elements of what is written as ATOM


@dataclass(frozen=True)
class Atom:
    """One line.

    Attributes:
        hetero: written as HETATM.
        name, residue, chain, number: CA of LEU, A, 12; the number with its insertion code.
        place: which of its alternate locations, "" if there is one.
        position: Å.
        protons: 0 where the element is not known.
    """

    hetero: bool
    name: str
    residue: str
    chain: str
    number: str
    place: str
    occupancy: float
    position: tuple[float, float, float]
    protons: int


@dataclass(frozen=True, eq=False)
class Residue:
    """The atoms of one residue, its heavy ones first of all.

    Attributes:
        hetero: all of it is written as HETATM.
        atoms: names of the atoms.
        numbers: of protons.
        positions: Å.
    """

    name: str
    chain: str
    number: str
    hetero: bool
    atoms: Sequence[str]
    numbers: Int[np.ndarray, " atoms"]
    positions: Float[np.ndarray, "atoms 3"]

    def __str__(self) -> str:
        return ":".join((self.name, self.chain, self.number)).rstrip(":")


@dataclass(frozen=True)
class Structure:
    """What a file holds.

    Attributes:
        residues: of heavy atoms whose element is known.
        modified: names of residues that the file says are modified ones of its chains (MODRES, SEQRES).
        models: how many it holds; the first was read.
        others: atoms left out, since another of their alternate locations is the more occupied.
    """

    residues: Sequence[Residue]
    modified: frozenset[str] = frozenset()
    models: int = 1
    others: int = 0


def read_pdb(path: Path) -> Structure:
    """The structure in a PDB file; InputError if it cannot be read, holds no atoms, or a line has no coordinates."""
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    lines = re.split(r"\r\n|\n|\r", text)
    atoms = [_atom(line, path, k) for k, line in _first_model(lines) if line.startswith(("ATOM  ", "HETATM"))]
    if not atoms:
        kind = " (this is mmCIF; save it as PDB)" if text.startswith("data_") else ""
        raise InputError(f"{path}: not a PDB file: holds no atoms, which are lines ATOM and HETATM{kind}")
    chosen = _one_place_each(atoms)
    heavy = [atom for atom in chosen if atom.protons > 1]
    if not heavy:
        raise InputError(f"{path}: none of its {len(atoms)} atoms is a heavy one whose element is known")
    models = sum(line.startswith("MODEL ") for line in lines)
    return Structure(_residues(heavy), _modified(lines), max(models, 1), len(atoms) - len(chosen))


def _first_model(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Its lines, with their numbers."""
    for k, line in enumerate(lines, 1):
        if line.startswith("ENDMDL"):
            return
        yield k, line


def _atom(line: str, path: Path, k: int) -> Atom:
    x, y, z = (_number(line[start : start + 8]) for start in (30, 38, 46))
    if not all(np.isfinite(value) and abs(value) < FARTHEST for value in (x, y, z)):
        raise InputError(f"{path}: line {k}: has no coordinates in columns 31 to 54, found {line[30:54]!r}")
    hetero, occupancy = line.startswith("HETATM"), _number(line[54:60])
    return Atom(
        hetero,
        name=line[12:16].strip(),
        residue=line[17:20].strip(),
        chain=line[21:22].strip(),
        number=line[22:27].replace(" ", ""),
        place=line[16:17].strip(),
        occupancy=occupancy if np.isfinite(occupancy) else 1.0,
        position=(x, y, z),
        protons=_protons(line[76:78].strip(), line[12:16], hetero),
    )


def _number(text: str) -> float:
    """NaN where there is none."""
    return float(text) if re.fullmatch(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)\s*", text) else np.nan


def _protons(element: str, name: str, hetero: bool) -> int:
    """By the element's column, else by the columns of the name, where an element of two letters begins one earlier."""
    if not element.isalpha():
        two, letters = name[:2].strip().upper(), re.sub("[^A-Za-z]", "", name).upper()
        one = letters[:1]
        if hetero:
            element = two if two.isalpha() and len(name) > 3 and name[3:4] == " " else one
        else:
            element = "SE" if letters.startswith("SE") else one if one in _OF_CHAINS else two
    return {**ase.data.atomic_numbers, "D": 1}.get(element.capitalize(), 0)


def _one_place_each(atoms: Sequence[Atom]) -> list[Atom]:
    """Of each atom the place with the highest occupancy, the first of equals; of two residues at one place the same."""
    best: dict[tuple[str, str], Atom] = {}
    for atom in atoms:
        if atom.place:
            where = (atom.chain, atom.number)
            best[where] = max(best.get(where, atom), atom, key=lambda one: one.occupancy)
    found: dict[tuple[str, str, str, str], Atom] = {}
    for atom in atoms:
        main = best.get((atom.chain, atom.number), atom)
        if atom.place and atom.residue != main.residue:
            continue
        key = (atom.chain, atom.number, atom.residue, atom.name)
        known = found.get(key)
        if known is None or (atom.occupancy, atom.place == main.place) > (known.occupancy, known.place == main.place):
            found[key] = atom
    return list(found.values())


def _residues(atoms: Sequence[Atom]) -> list[Residue]:
    members: dict[tuple[str, str, str], list[Atom]] = {}
    for atom in atoms:
        members.setdefault((atom.residue, atom.chain, atom.number), []).append(atom)
    return [
        Residue(
            *key,
            all(atom.hetero for atom in some),
            [atom.name for atom in some],
            np.array([atom.protons for atom in some]),
            np.array([atom.position for atom in some]),
        )
        for key, some in members.items()
    ]


def _modified(lines: Sequence[str]) -> frozenset[str]:
    """Residues that the file names as modified, or as members of a sequence."""
    named = {line[12:15].strip() for line in lines if line.startswith("MODRES")}
    for line in lines:
        if line.startswith("SEQRES"):
            named.update(line[19:70].split())
    return frozenset(named)
