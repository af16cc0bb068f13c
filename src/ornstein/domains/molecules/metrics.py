"""How molecules are judged: do their bonds close, are they one piece, new, and at rest?

EDM's distance table is what the field reports, but it forgives: `valid` fills in missing hydrogens and keeps the
largest piece. Beside it stand the share that is connected, RDKit's own perception of bonds, and relaxation by GFN2-xTB.
Every number is also measured on held-out real molecules, which no judge passes whole.

Properties that were asked for are judged as EDM does (Hoogeboom et al. 2022): by the mean absolute error from what was
wanted, of a regressor that shares no molecule with the one that guides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from math import isfinite
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...deferred import deferred
from ...denoisers.regressors import Regressor
from ...keys import Keys
from ...tasks.figures import Metric
from ...tasks.runs import load_regressor
from . import data
from .chemistry.busters import passing
from .chemistry.conformers import Conformer
from .chemistry.divergences import angle_divergence, length_divergence
from .chemistry.graphs import known_surroundings
from .chemistry.hydrogen_bonds import hydrogen_bonds
from .chemistry.molecule import Molecule
from .chemistry.perception import from_rdkit, perceived, smiles_of
from .chemistry.relaxation import Relaxations
from .chemistry.stability import Stability

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


def as_asked(found: Sequence[Conformer]) -> list[Metric]:
    """Whether molecules that were drawn for SMILES are these; nothing, if there are none."""
    if not found:
        return []
    right = [one for one in found if one.right]
    rows = [Metric("conformers", len(right) / len(found), "higher", "Share whose graph is the one that was asked for.")]
    if stereo := [bool(one.stereo) for one in right if one.stereo is not None]:
        meaning = "Share of the conformers that are the stereoisomer that was asked for."
        rows.append(Metric("stereo as asked", sum(stereo) / len(stereo), "higher", meaning))
    return rows


def judged(
    found: Sequence[Molecule], reference: Sequence[Molecule], known: Collection[str], slow: int = 50
) -> list[Metric]:
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
) -> list[Metric]:
    """Of the numbers that exist; files of scores hold no infinities."""
    return [
        Metric(name, ours[key], better, meaning, real.get(key), "held-out molecules")
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


def _shapes(found: tuple[Molecule, ...], reference: tuple[Molecule, ...]) -> list[Metric]:
    """Found and held-out molecules, equally many, against other held-out ones: few molecules alone would differ."""
    n = min(len(found), len(reference) // 2)
    if n == 0:
        return []
    ours, real, others = found[:n], reference[:n], reference[n:]
    return [
        Metric(name, measure(ours, others), better, meaning, measure(real, others), f"{n} other held-out molecules")
        for name, (measure, better, meaning) in _MEASURES.items()
    ]


# Properties -------------------------------------------------------------------------------------------

JUDGE = "molecules/qm9-judge"


@dataclass(frozen=True)
class Published:
    """What the literature says of a property of QM9: mean absolute errors in the unit it is reported in.

    Attributes:
        scale: from our unit to that one.
        shuffled, by_size: of molecules with anybody's property, and of the best guess from the number of atoms.
        edm, judge: of EDM's samples (1000 calls), and of EDM's judge about real molecules.
    """

    unit: str
    scale: float
    shuffled: float
    by_size: float
    edm: float
    judge: float


PUBLISHED = {
    "alpha": Published("bohr³", 1.0, 9.01, 3.86, 2.76, 0.10),
    "gap": Published("meV", 1000.0, 1470.0, 866.0, 655.0, 64.0),
    "homo": Published("meV", 1000.0, 645.0, 426.0, 356.0, 39.0),
    "lumo": Published("meV", 1000.0, 1457.0, 813.0, 584.0, 36.0),
    "mu": Published("D", 1.0, 1.616, 1.053, 1.111, 0.043),
    "cv": Published("cal/(mol K)", 1.0, 6.857, 1.971, 1.101, 0.040),
}


def read_off(
    regressor: Regressor, found: Sequence[Molecule], t: float = 0.0, batch: int = 250
) -> Float[Tensor, "n properties"]:
    """Properties by a regressor, in the units of its data; t: the time up to which the molecules are noised first.

    Args:
        found: molecules, positions in Å.
        batch: molecules evaluated at once.
    """
    assert regressor.origin is not None
    part, parts = data.padded(data.table(found), regressor.origin.metadata), []
    for first in range(0, len(found), batch):
        index = torch.arange(first, min(first + batch, len(found)))
        x, condition = part.batch(index)
        noise = Keys.of(0, index.tolist()).fold("noise")
        x_t = regressor.space.with_mask(condition["mask"]).noise(x, t, noise)
        with torch.no_grad():
            parts.append(regressor(x_t, t, condition).mean)
    return data.in_units(torch.cat(parts), regressor.origin.metadata)


def true_properties(found: Sequence[Molecule], names: Sequence[str]) -> Float[Tensor, "n properties"]:
    """What is known of molecules, NaN where nothing is."""
    return torch.tensor([[molecule.properties.get(name, torch.nan) for name in names] for molecule in found])


def absolute_errors(found: Float[Tensor, "n k"], wanted: Float[Tensor, "#n k"]) -> Float[Tensor, " k"]:
    """Mean |found − wanted| over the molecules for which something is known."""
    return (found - wanted).abs().nanmean(0)


def by_size(values: Float[Tensor, "n k"], sizes: Int[Tensor, " n"]) -> Float[Tensor, "n k"]:
    """The mean of each value over the molecules of the same size: the best guess from the number of atoms alone."""
    _, group = sizes.unique(return_inverse=True)
    same = torch.nn.functional.one_hot(group).to(values)
    return same @ (same.T @ values) / same.sum(0)[group, None]


def wanted_and_found(found: Sequence[Molecule], wanted: Mapping[str, float]) -> list[Metric]:
    """How far molecules are from properties of QM9 that were asked for, beside how far the judge is from the truth."""
    if not wanted:
        return []
    judge = judge_of_qm9()
    seen, names = read_off(judge, found), _names(judge)
    own = dict(zip(names, own_errors().tolist(), strict=True))
    rows = [(name, PUBLISHED[name], seen[:, [names.index(name)]], value) for name, value in wanted.items()]
    return [
        Metric(
            f"{name}, mean absolute error ({like.unit})",
            like.scale * float(absolute_errors(values, torch.tensor([[value]]))),
            "lower",
            f"From the wanted {value:g}, by a judge that has seen none of the guide's molecules; the mean is "
            f"{float(values.mean()):.3g}.",
            like.scale * own[name],
            "the judge on held-out molecules",
        )
        for name, like, values, value in rows
    ]


def predictions(regressor: Regressor) -> list[Metric]:
    """How well a regressor of QM9 predicts molecules that it was not trained on, at the noise levels that it knows."""
    found = data.reference("qm9")
    truth, sizes = true_properties(found, _names(regressor)), torch.tensor([len(one) for one in found])
    guess = absolute_errors(by_size(truth, sizes), truth)
    rows = []
    for t in (0.0,) if regressor.clean else (0.0, 0.2, 0.4, 0.6):
        errors = absolute_errors(read_off(regressor, found, t), truth)
        for name, ours, alone in zip(_names(regressor), errors.tolist(), guess.tolist(), strict=True):
            like = PUBLISHED[name]
            meaning = f"Mean absolute error at noise level t = {t:g}."
            yardstick = f"from the number of atoms alone; EDM's classifier {like.judge:g}"
            named = f"{name} at t = {t:g} ({like.unit})"
            rows.append(Metric(named, like.scale * ours, "lower", meaning, like.scale * alone, yardstick))
    return rows


def _names(regressor: Regressor) -> list[str]:
    assert regressor.origin is not None
    return list(regressor.origin.metadata["properties"])


@cache
def judge_of_qm9() -> Regressor:
    """The shipped judge."""
    return load_regressor(JUDGE)


@cache
def own_errors() -> Float[Tensor, " properties"]:
    """How far the judge is from the truth of held-out molecules, in the units of the data."""
    judge, found = judge_of_qm9(), data.reference("qm9")[:MOST]
    return absolute_errors(read_off(judge, found), true_properties(found, _names(judge)))
