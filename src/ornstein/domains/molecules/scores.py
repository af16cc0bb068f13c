"""How molecules are judged: do their bonds close, are they one piece, new, and at rest?

EDM's distance table is what the field reports, but it forgives: `valid` fills in missing hydrogens and keeps the
largest piece. Beside it stand the share that is connected, RDKit's own perception of bonds, and relaxation by GFN2-xTB.
Every number is also measured on held-out real molecules, which no judge passes whole.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.util import find_spec
from math import isfinite
from typing import Literal

from rdkit import Chem

from ...chemistry.busters import passing
from ...chemistry.divergences import angle_divergence, length_divergence
from ...chemistry.hydrogen_bonds import hydrogen_bonds
from ...chemistry.molecule import Molecule
from ...chemistry.perception import from_rdkit, perceived, smiles_of
from ...chemistry.relaxation import Relaxations
from ...chemistry.stability import Stability
from ...tasks import Score

MOST = 2000  # held-out molecules: their shares are then within .5 %

Better = Literal["higher", "lower", "closer"]
_QUICK: Mapping[str, tuple[str, Better, str]] = {
    "atoms": (
        "atoms stable", "higher",
        "Share of atoms whose bonds, by EDM's table of distances, add up to a valence (EDM: 98.7 % at 1000 calls).",
    ),
    "molecules": ("molecules stable", "higher", "Share all of whose atoms are stable (EDM: 82.0 % at 1000 calls)."),
    "valid": (
        "valid", "higher",
        "Share that RDKit accepts with the table's bonds; missing hydrogens and further pieces are forgiven, as in the "
        "literature (EDM: 91.9 % at 1000 calls).",
    ),
    "unique": (
        "valid and unique", "higher",
        "Distinct ones among the valid, as a share of all (EDM: 90.7 % at 1000 calls).",
    ),
    "connected": ("connected", "higher", "Share in one piece, by the table's bonds."),
    "bonded": (
        "with a hydrogen bond", "closer",
        "Share with a hydrogen bond within: at most 2.5 Å from the hydrogen, at least 110° at it.",
    ),
    "perceived": (
        "perceived as a molecule", "higher",
        "Share in which RDKit's rdDetermineBonds finds one neutral molecule and no radical.",
    ),
    "distinct": ("unique", "higher", "Distinct molecules among the perceived."),
    "novel": (
        "novel", "closer",
        "Share of the distinct molecules that are not in the training data; data that list nearly all there are leave "
        "little to find.",
    ),
}  # fmt: skip
_SLOW: Mapping[str, tuple[str, Better, str]] = {
    "released": (
        "energy released", "lower",
        "Median over perceived molecules of what relaxation by GFN2-xTB to forces below .05 eV/Å releases, kcal/mol; "
        "failures count as worst.",
    ),
    "moved": ("moved by relaxation", "lower", "Median root mean square over all atoms, Å, likewise."),
    "failed": ("relaxations that fail", "lower", "Share of them that GFN2-xTB does not bring to rest in 500 steps."),
    "passing": (
        "passes PoseBusters", "higher",
        "Share of the perceived that pass: lengths, angles, clashes, flat rings; the energy ratio is left out.",
    ),
}  # fmt: skip


def judged(
    found: Sequence[Molecule], reference: Sequence[Molecule], known: Collection[str], slow: int = 50
) -> list[Score]:
    """What can be said of these molecules, beside held-out real ones.

    Args:
        found: at least one.
        reference: real ones that were not learned from, in random order; at most MOST are judged.
        known: canonical SMILES (perception.smiles_of) of what was learned from; if empty, nothing is said of novelty.
        slow: how many perceived molecules are relaxed and go to PoseBusters, .2 s each; 0 = none.
    """
    both = tuple(found), tuple(reference[:MOST])
    rows = _rows(_QUICK, *(_quick(part) | _novelty(part, known) for part in both))
    return rows + _rows(_SLOW, *(_slow(part, slow) for part in both)) + _shapes(*both)


def _rows(
    table: Mapping[str, tuple[str, Better, str]], ours: Mapping[str, float], real: Mapping[str, float]
) -> list[Score]:
    """Of the numbers that exist; files of scores hold no infinities."""
    return [
        Score(name, ours[key], better, meaning, real.get(key), "held-out molecules")
        for key, (name, better, meaning) in table.items()
        if isfinite(ours.get(key, float("nan")))
    ]


@lru_cache(maxsize=4)
def _mols(molecules: tuple[Molecule, ...]) -> list[Chem.Mol]:
    """Those that are perceived."""
    return [mol for molecule in molecules if (mol := perceived(molecule))]


@lru_cache(maxsize=4)
def _smiles(molecules: tuple[Molecule, ...]) -> frozenset[str]:
    """The distinct ones."""
    return frozenset(smiles_of(mol) for mol in _mols(molecules))


@lru_cache(maxsize=4)
def _quick(molecules: tuple[Molecule, ...]) -> dict[str, float]:
    count = len(_mols(molecules))
    bonded = sum(bool(hydrogen_bonds(molecule)) for molecule in molecules)
    shares = asdict(Stability.of(molecules)) | {
        "perceived": count / len(molecules),
        "bonded": bonded / len(molecules),
    }
    return shares | ({"distinct": len(_smiles(molecules)) / count} if count else {})


def _novelty(molecules: tuple[Molecule, ...], known: Collection[str]) -> dict[str, float]:
    smiles = _smiles(molecules)
    return {"novel": len(smiles - frozenset(known)) / len(smiles)} if smiles and known else {}


@lru_cache(maxsize=4)
def _slow(molecules: tuple[Molecule, ...], n: int) -> dict[str, float]:
    mols = _mols(molecules)[:n]
    if not mols:
        return {}
    measured = asdict(Relaxations.of([from_rdkit(mol) for mol in mols]))
    return measured | ({"passing": passing(mols)} if find_spec("posebusters") else {})


def _shapes(found: tuple[Molecule, ...], reference: tuple[Molecule, ...]) -> list[Score]:
    """Found and held-out molecules, equally many, against other held-out ones: few molecules alone would differ."""
    n = min(len(found), len(reference) // 2)
    if n == 0:
        return []
    ours, real, others = found[:n], reference[:n], reference[n:]
    meaning = "Jensen–Shannon divergence of histograms by type, from held-out molecules' (0 = the same, 1 = disjoint)."
    measures: dict[str, Callable[..., float]] = {"bond lengths": length_divergence, "bond angles": angle_divergence}
    return [
        Score(name, measure(ours, others), "lower", meaning, measure(real, others), f"{n} other held-out molecules")
        for name, measure in measures.items()
    ]
