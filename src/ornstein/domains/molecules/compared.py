"""Molecules beside held-out real ones: do their bonds close, are they one piece, new, and at rest?

EDM's distance table is what the field reports, but it forgives: `valid` fills in missing hydrogens and keeps the
largest piece. Beside it stand the share that is connected, RDKit's own perception of bonds, and relaxation by GFN2-xTB.
Every number is also measured on held-out real molecules, which no judge passes whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.util import find_spec
from math import isfinite
from typing import TYPE_CHECKING, Literal

from ...deferred import deferred
from ...tasks.distinct import Distinct
from ...tasks.figures import Metric
from .chemistry.busters import passing
from .chemistry.divergences import angle_divergence, length_divergence
from .chemistry.graphs import known_surroundings
from .chemistry.hydrogen_bonds import hydrogen_bonds
from .chemistry.molecule import Molecule
from .chemistry.perception import from_rdkit, perceived, smiles_of
from .chemistry.relaxation import Relaxations
from .chemistry.stability import StabilityTally

if TYPE_CHECKING:
    from rdkit import Chem
else:
    Chem = deferred("rdkit.Chem")

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


_DIVERGENCE = "Jensen–Shannon divergence of histograms by type, from held-out molecules' (0 = the same, 1 = disjoint)."
_MEASURES: Mapping[str, tuple[Callable[..., float], Better, str]] = {
    "bond lengths": (length_divergence, "lower", _DIVERGENCE),
    "bond angles": (angle_divergence, "lower", _DIVERGENCE),
    "atoms in known surroundings": (
        known_surroundings, "higher",
        "Share of atoms whose element and neighbours' elements occur in held-out molecules; it knows no bond orders.",
    ),
}  # fmt: skip


class Compared:
    """What can be said of molecules that come part by part, beside held-out real ones.

    Of all of them counts are kept and 32 bytes a different molecule; of the first, the molecules themselves: those that
    are relaxed, and as many as half of the held-out ones, whose histograms are compared with the other half's.
    """

    def __init__(self, reference: Sequence[Molecule], known: Collection[str], slow: int = 50) -> None:
        """Of no molecules yet.

        Args:
            reference: real ones that were not learned from, in random order; at most MOST are judged.
            known: canonical SMILES (perception.smiles_of) of what was learned from; if empty, nothing is said of
                novelty.
            slow: how many perceived molecules are relaxed and go to PoseBusters, .2 s each; 0 = none.
        """
        self._reference, self._known, self._slow = tuple(reference[:MOST]), frozenset(known), slow
        self._tally, self._first = _Tally(self._known, slow), list[Molecule]()

    def add(self, found: Sequence[Molecule]) -> None:
        """Takes in molecules."""
        self._tally.add(found)
        self._first += found[: len(self._reference) // 2 - len(self._first)]

    def metrics(self) -> list[Metric]:
        """The scores of all that came, at least one."""
        quick, slow = _of_real(self._reference, self._known, self._slow)
        rows = _rows(_QUICK, self._tally.quick(), quick) + _rows(_SLOW, self._tally.slow(), slow)
        return rows + _shapes(self._first, self._reference)


class _Tally:
    """What is counted of molecules, and the first perceived ones, which are to be relaxed."""

    def __init__(self, known: frozenset[str], slow: int) -> None:
        self._known, self._slow = known, slow
        self._stability, self._bonded = StabilityTally(), 0
        self._perceived, self._mols = 0, list[Chem.Mol]()
        self._distinct, self._novel = Distinct(), Distinct()

    def add(self, molecules: Sequence[Molecule]) -> None:
        self._stability.add(molecules)
        self._bonded += sum(bool(hydrogen_bonds(molecule)) for molecule in molecules)
        mols = [mol for molecule in molecules if (mol := perceived(molecule))]
        smiles = [smiles_of(mol) for mol in mols]
        self._perceived += len(mols)
        self._mols += mols[: self._slow - len(self._mols)]
        self._distinct.add(smiles)
        self._novel.add(one for one in smiles if one not in self._known)

    def quick(self) -> dict[str, float]:
        """By the keys of _QUICK."""
        n, different = self._stability.molecules, len(self._distinct)
        shares = asdict(self._stability.shares) | {"perceived": self._perceived / n, "bonded": self._bonded / n}
        if different:
            shares |= {"distinct": different / self._perceived}
        return shares | ({"novel": len(self._novel) / different} if different and self._known else {})

    def slow(self) -> dict[str, float]:
        """By the keys of _SLOW."""
        if not self._mols:
            return {}
        measured = asdict(Relaxations.of([from_rdkit(mol) for mol in self._mols]))
        return measured | ({"passing": passing(self._mols)} if find_spec("posebusters") else {})


@lru_cache(maxsize=4)
def _of_real(
    molecules: tuple[Molecule, ...], known: frozenset[str], slow: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Both kinds of numbers of molecules that many sets are compared with; none of no molecules."""
    if not molecules:
        return {}, {}
    tally = _Tally(known, slow)
    tally.add(molecules)
    return tally.quick(), tally.slow()


def judged(
    found: Sequence[Molecule], reference: Sequence[Molecule], known: Collection[str], slow: int = 50
) -> list[Metric]:
    """What can be said of these molecules, at least one, beside held-out real ones; see `Compared`.

    Args:
        found: the molecules.
        reference, known, slow: as those of `Compared`.
    """
    compared = Compared(reference, known, slow)
    compared.add(found)
    return compared.metrics()


def _rows(
    table: Mapping[str, tuple[str, Better, str]], ours: Mapping[str, float], real: Mapping[str, float]
) -> list[Metric]:
    """Of the numbers that exist; files of scores hold no infinities."""
    return [
        Metric(name, ours[key], better, meaning, real.get(key), "held-out molecules")
        for key, (name, better, meaning) in table.items()
        if isfinite(ours.get(key, float("nan")))
    ]


def _shapes(found: Sequence[Molecule], reference: Sequence[Molecule]) -> list[Metric]:
    """Found and held-out molecules, equally many, against other held-out ones: few molecules alone would differ."""
    n = min(len(found), len(reference) // 2)
    if n == 0:
        return []
    ours, real, others = found[:n], reference[:n], reference[n:]
    return [
        Metric(name, measure(ours, others), better, meaning, measure(real, others), f"{n} other held-out molecules")
        for name, (measure, better, meaning) in _MEASURES.items()
    ]
