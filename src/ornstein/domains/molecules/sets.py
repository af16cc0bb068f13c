"""What `ornstein data` makes of molecules: a file of conformers of the SMILES of a file, to learn from."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...deferred import deferred
from ...errors import InputError
from ...events import tell
from .chemistry.embedding import embedded
from .chemistry.records import MOST, Fault, lines_of

if TYPE_CHECKING:
    from rdkit import Chem
else:
    Chem = deferred("rdkit.Chem")

FILE, LEFT_OUT = "conformers.sdf", "left-out.txt"


class Line(NamedTuple):
    """A line of a file of SMILES: its number from 1, the SMILES, and a name or nothing."""

    number: int
    smiles: str
    name: str


def molecules_conformers(
    out: Path,
    smiles: Path,
    conformers: int = 1,
    at_most: int = 100,
    at_least: int = 2,
    first: int | None = None,
    seed: int = 0,
    workers: int = 1,
) -> str:
    """Conformers of the SMILES of a file, by RDKit's ETKDG and MMFF94: a folder that `train molecules --data` reads.

    One of 50 atoms takes about 50 ms. What fails is left out, counted, and named with the reason in left-out.txt.

    Args:
        smiles: text file, may be .gz, a SMILES a line and what else stands behind a blank or a comma as its name.
        conformers: tried of each molecule; those that come out alike are one.
        at_most: atoms of a molecule, hydrogens included; larger ones are left out.
        at_least: likewise.
        first: how many lines are read; all if not given.
        seed: of the random numbers.
        workers: processes at work.
    """
    _require(smiles, conformers, at_least, at_most, first, workers)
    lines, left = _distinct(_lines(smiles, first))
    made = partial(_made, seed=seed, conformers=conformers, sizes=(at_least, at_most))
    molecules = written = 0
    with _pool(workers) as pool, Chem.SDWriter(str(out / FILE)) as writer:
        for k, (line, (found, fault)) in enumerate(zip(lines, _each(pool, made, lines), strict=True), 1):
            if fault:
                left.append((line.number, fault))
            if found:
                molecules += 1
                written += _write(writer, found, line.name or line.smiles)
            tell(k, len(lines), "conformers")
    return _said(out, smiles, (written, molecules), [f"{smiles}: line {n}: {why}" for n, why in sorted(left)])


def _write(writer: Chem.SDWriter, mol: Chem.Mol, name: str) -> int:
    """Writes all conformers of a molecule; returns how many."""
    mol.SetProp("_Name", name)
    for conformer in range(mol.GetNumConformers()):
        writer.write(mol, confId=conformer)
    return mol.GetNumConformers()


SETS: Mapping[str, Callable[..., str]] = {"molecules-conformers": molecules_conformers}
"""What `ornstein data` makes, by name."""


def _require(smiles: Path, conformers: int, least: int, most: int, first: int | None, workers: int) -> None:
    if not smiles.is_file():
        raise InputError(f"--smiles {smiles}: not found, expected a text file with a SMILES a line")
    if not 2 <= least <= most <= MOST:
        raise InputError(f"--at-least {least} --at-most {most}: expected 2 ≤ at least ≤ at most ≤ {MOST}")
    wrong = {"conformers": conformers, "first": 1 if first is None else first, "workers": workers}
    for name, value in wrong.items():
        if value < 1:
            raise InputError(f"--{name} {value}: expected at least 1")


def _lines(file: Path, first: int | None) -> list[Line]:
    """The lines that are not empty; a header "smiles" of a table and comments, from # on, are none of them."""
    raw = file.read_bytes()
    try:
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig", errors="replace")
    except (OSError, EOFError) as error:
        raise InputError(f"{file}: is no whole gzip file: {error}") from None
    lines = [Line(k, *_words(line)) for k, line in enumerate(lines_of(text) if text else [], 1)]
    header = bool(lines) and lines[0].smiles.lower() == "smiles"
    found = [line for line in lines[header:] if line.smiles and not line.smiles.startswith("#")]
    if not found:
        raise InputError(f"{file}: is empty, expected a SMILES a line")
    return found[:first]


def _words(line: str) -> tuple[str, str]:
    """A SMILES, which holds neither blank nor comma, and what stands behind it."""
    smiles, *rest = line.replace(",", " ").replace("\t", " ").strip().split(" ", 1)
    return smiles, " ".join("".join(rest).split())


def _distinct(lines: list[Line]) -> tuple[list[Line], list[tuple[int, str]]]:
    """Each SMILES once, and which lines repeat one."""
    seen: dict[str, int] = {}
    repeated = [(line.number, f"repeats line {seen[line.smiles]}") for line in lines if not _new(line, seen)]
    return [line for line in lines if seen[line.smiles] == line.number], repeated


def _new(line: Line, seen: dict[str, int]) -> bool:
    return seen.setdefault(line.smiles, line.number) == line.number


Made = tuple["Chem.Mol | None", str]


def _made(line: Line, seed: int, conformers: int, sizes: tuple[int, int]) -> Made:
    """A molecule with its conformers, or why there is none."""
    try:
        return embedded(line.smiles, (seed + line.number) % 2**31, conformers, *sizes), ""
    except Fault as fault:
        return None, str(fault)


def _pool(workers: int) -> Executor | nullcontext[None]:
    return ProcessPoolExecutor(workers) if workers > 1 else nullcontext()


def _each(pool: Executor | None, made: Callable[[Line], Made], lines: list[Line]) -> Iterator[Made]:
    return map(made, lines) if pool is None else pool.map(made, lines, chunksize=16)


def _said(out: Path, source: Path, counts: tuple[int, int], left: list[str]) -> str:
    """What was made, and the first of what was not; all of the latter in a file beside."""
    written, molecules = counts
    if not written:
        raise InputError(f"{left[0]}; nothing else in {source} could be used" if left else f"{source}: is empty")
    if left:
        (out / LEFT_OUT).write_text("\n".join(left) + "\n", encoding="utf-8")
    told = [f"{written} conformers of {molecules} molecules in {FILE}; {len(left)} lines left out"]
    more = [f"  … {len(left) - 10} more in {LEFT_OUT}"] if len(left) > 10 else []
    return "\n".join([*told, *(f"  left out: {line}" for line in left[:10]), *more])
