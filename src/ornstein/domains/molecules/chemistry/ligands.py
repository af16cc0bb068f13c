"""Which residues of a structure are its ligand, which belong to the wall, and which are left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....deferred import deferred
from ....errors import InputError
from .pdb import WATER, Residue, Structure

if TYPE_CHECKING:
    from scipy import sparse, spatial
    from scipy.sparse import csgraph
else:
    sparse, spatial, csgraph = map(deferred, ("scipy.sparse", "scipy.spatial", "scipy.sparse.csgraph"))

_ADDITIVES = """
SO4 PO4 PI NO3 CO3 BCT CO2 SCN AZI CYN NH4 CL BR IOD F GOL EDO EGL PEG PGE PG4 PE3 PE4 1PE P6G 2PE 12P 15P P33
PEU MPD MRD DMS DMF ACT ACY FMT FOR TRS BTB EPE MES MOP BIS HEZ IPA IOH EOH MOH POL ACN IMD CIT FLC TLA TAR
MLI MLA SIN OXL CAC BO3 BO4 ALF BEF MGF DTT DTV BME MER SGM URE GAI CPS LDA LMT BOG BNG HTG OLC OLA UNX DOX
DIO ETX PDO PGO PGR BU1 BU3 HED TBU CCN NHE CXS TAM SPM SPD PUT EEE TFA TCA XE KR AR NE
"""
ADDITIVES = frozenset(_ADDITIVES.split())
"""Buffers, salts, cryoprotectants and detergents of crystals: neither of the protein nor what binds it."""

_MODIFIED = """
MSE SEP TPO PTR CSO CSD CME CSX CSS CAS CAF OCS OCY SCH SMC YCM SNC MLY MLZ M3L ALY KCX LLP HYP PCA HIC MHO
SME FME TYS TYI IAS ACE NH2 NME CGU BFD PHD ASX SAC SEC PYL 2MR AGM CR2 CRO CRQ TRQ TOX HTR PSU 5MU 5MC H2U
OMC OMG 1MA 2MG M2G 7MG YYG 4SU
"""
MODIFIED = frozenset(_MODIFIED.split())
"""Residues of chains that are written as HETATM."""

_PEPTIDE, _NUCLEOTIDE = {"N", "CA", "C"}, {"C3'", "O3'", "C5'", "O5'"}
_BOUND = 2.0  # Å between heavy atoms
_NEIGHBOURS = 32  # within that distance, more than atoms can have
_AT_CENTRE = 5.0  # Å


def candidates(structure: Structure) -> list[list[Residue]]:
    """Groups of residues that may be the ligand: no water, ion, additive or modified residue of a chain.

    Residues that are bound to one another are one ligand; so are single atoms of one name and chain, which some
    programs number one by one.
    """
    return [
        group
        for group in _joined([one for one in structure.residues if one.hetero and _may_bind(one, structure)])
        if sum(len(one.numbers) for one in group) > 1
    ]


def chosen(structure: Structure, name: str, path: Path) -> list[Residue]:
    """The ligand RES[:CHAIN[:NUMBER]]; InputError if there is none, or more than one."""
    parts = [part.strip() for part in name.split(":")]
    if len(parts) > 3 or not parts[0]:
        raise InputError(f"--ligand {name}: expected RES, RES:CHAIN or RES:CHAIN:NUMBER, as in STI:A:201")
    groups = _joined([one for one in structure.residues if _is_named(one, parts)])
    if len(groups) != 1:
        known = _listed(groups or candidates(structure))
        found = (
            f"{len(groups)} of that name: {known}" if groups else f"none of that name; it has {known or 'no ligand'}"
        )
        raise InputError(f"{path}: --ligand {name}: {found}")
    return groups[0]


def _is_named(residue: Residue, parts: Sequence[str]) -> bool:
    """Whether it has the name, and the chain and number where these are said."""
    found = (residue.name.upper(), residue.chain, residue.number)
    return all(said in (one, "") for said, one in zip((parts[0].upper(), *parts[1:]), found, strict=False))


def only(structure: Structure, path: Path) -> list[Residue]:
    """The only candidate; InputError, which lists them, if there is another number of them."""
    groups = candidates(structure)
    if len(groups) == 1:
        return groups[0]
    if groups:
        raise InputError(
            f"{path}: has {len(groups)} ligands: {_listed(groups)}; say which, as in --ligand {groups[0][0]}"
        )
    others = sorted({one.name for one in structure.residues if one.hetero})
    ruled_out = f" ({', '.join(others)} are ions, additives or residues of its chains)" if others else ""
    raise InputError(
        f"{path}: has no ligand to show where the pocket is{ruled_out}; give its --centre, x y z in Å, or --ligand"
    )


def at(structure: Structure, centre: np.ndarray) -> list[Residue]:
    """The candidate that is nearest to a point, if an atom of it is at most 5 Å away; none else."""
    near = [(_distance(group, centre), group) for group in candidates(structure)]
    distance, group = min(near, key=lambda pair: pair[0], default=(np.inf, []))
    return group if distance <= _AT_CENTRE else []


def _distance(group: Sequence[Residue], point: np.ndarray) -> float:
    """Of the atom that is nearest."""
    return min(float(np.linalg.norm(one.positions - point, axis=1).min()) for one in group)


def named(group: Sequence[Residue]) -> str:
    """A ligand by its first residue; "" if there is none."""
    return "" if not group else f"{group[0]} and {len(group) - 1} more" if len(group) > 1 else str(group[0])


def left_out(residue: Residue) -> bool:
    """Whether a residue is no part of the wall: water, and what the crystal was grown with. Metals stay."""
    return residue.name in WATER or (residue.hetero and residue.name in ADDITIVES)


def _may_bind(residue: Residue, structure: Structure) -> bool:
    if left_out(residue) or residue.name in MODIFIED | structure.modified:
        return False
    return not _in_chain(residue, structure)


def _in_chain(residue: Residue, structure: Structure) -> bool:
    """Whether it has the backbone of a chain and is bound to others by it."""
    backbone = set(residue.atoms)
    if not (backbone >= _PEPTIDE or backbone >= _NUCLEOTIDE):
        return False
    ends = residue.positions[[name in ("N", "C", "P", "O3'") for name in residue.atoms]]
    others = [one.positions for one in structure.residues if one.chain == residue.chain and one is not residue]
    if not others:
        return False
    return bool(spatial.KDTree(np.concatenate(others)).query(ends)[0].min() < _BOUND)


def _joined(residues: Sequence[Residue]) -> list[list[Residue]]:
    """Residues in groups that are bound, or single atoms of one name and chain."""
    if not residues:
        return []
    positions = np.concatenate([one.positions for one in residues])
    owner = np.repeat(np.arange(len(residues)), [len(one.numbers) for one in residues])
    near = np.asarray(spatial.KDTree(positions).query(positions, _NEIGHBOURS, distance_upper_bound=_BOUND)[1])
    atom, slot = np.nonzero(near < len(positions))
    pairs = np.stack([owner[atom], owner[near[atom, slot]]], 1)
    first: dict[tuple[str, str], int] = {}
    alone = [(first.setdefault((one.name, one.chain), k), k) for k, one in enumerate(residues) if len(one.numbers) == 1]
    links = np.concatenate([pairs, np.array(alone, int).reshape(-1, 2)])
    graph = sparse.coo_array((np.ones(len(links)), tuple(links.T)), (len(residues),) * 2)
    count, label = csgraph.connected_components(graph, directed=False)
    return [[one for one, of in zip(residues, label, strict=True) if of == k] for k in range(count)]


def _listed(groups: Sequence[Sequence[Residue]]) -> str:
    names = [named(group) for group in groups]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} others" if len(names) > 20 else "")
