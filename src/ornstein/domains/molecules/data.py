"""Molecules as data: QM9, a sample of it that comes along, or the user's SDF and XYZ files.

Positions are in Å about the centre of mass of the points, atoms are numbers into the elements of the data, properties
are standardised and NaN where unknown. QM9 (Ramakrishnan et al. 2014, B3LYP geometries, 130,831 molecules without the
uncharacterised) is read from the package `qm9pack`, once, into one compact file; the split is that of EDM.
"""

import lzma
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...errors import InputError
from ...keys import Keys
from ...training.clusters import split
from ...training.datasets import Arrays
from .chemistry import files
from .chemistry.graphs import graph
from .chemistry.molecule import Molecule
from .chemistry.perception import perceived, smiles_of
from .chemistry.xyz import HARTREE

SAMPLE, KNOWN = (Path(__file__).parent / name for name in ("qm9-sample.npz", "qm9-known.txt.xz"))
SYMBOLS = ("?", "H", "", "", "", "", "C", "N", "O", "F")  # by number of protons, those of QM9
QM9 = "QM9 (Ramakrishnan et al. 2014), CC0, from the Python package qm9pack (MIT)"
PROPERTIES = {
    "alpha": ("Polarizability_bohr3", 1.0, "isotropic polarisability, bohr³"),
    "gap": ("HOMO_LUMO_gap_au", HARTREE, "HOMO–LUMO gap, eV"),
    "homo": ("HOMO_au", HARTREE, "energy of the highest occupied orbital, eV"),
    "lumo": ("LUMO_au", HARTREE, "energy of the lowest unoccupied orbital, eV"),
    "mu": ("Dipole_debye", 1.0, "dipole moment, D"),
    "cv": ("Heatcapacity_Cv_cal_mol_K", 1.0, "heat capacity at constant volume, cal/(mol K)"),
}
"""What QM9 knows of a molecule: the package's column, its unit in ours, and what it is."""

PARTS = ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv")
TOTAL, _TEST, _VALIDATION = 130_831, 13_083, 17_748  # EDM's split; the rest is learned from


@dataclass(frozen=True, eq=False)
class Table:
    """Molecules one after another, as compact as they are stored.

    Attributes:
        counts: atoms a molecule.
        numbers: protons, atom by atom.
        milli: positions, thousandths of an Å, atom by atom.
        properties: by column, NaN where unknown.
        names: of the columns.
    """

    counts: Int[np.ndarray, " molecules"]
    numbers: Int[np.ndarray, " atoms"]
    milli: Int[np.ndarray, "atoms 3"]
    properties: Float[np.ndarray, "molecules columns"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: np.ndarray) -> "Table":
        """The molecules with these numbers, in this order."""
        ends = self.counts.cumsum()
        atoms = np.concatenate([np.arange(int(ends[k] - self.counts[k]), int(ends[k])) for k in index])
        return Table(self.counts[index], self.numbers[atoms], self.milli[atoms], self.properties[index], self.names)

    def molecules(self) -> Iterator[Molecule]:
        ends = self.counts.cumsum()[:-1]
        both = zip(np.split(self.numbers, ends), np.split(self.milli, ends), self.properties, strict=True)
        for numbers, milli, values in both:
            known = {name: float(v) for name, v in zip(self.names, values, strict=True) if np.isfinite(v)}
            yield Molecule(numbers.astype(np.int64), milli / 1000, "", known)

    def save(self, path: Path) -> None:
        """Writes one file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.npz")
        np.savez_compressed(unfinished, **{**vars(self), "names": np.array(self.names)})
        unfinished.rename(path)

    @classmethod
    def load(cls, path: Path) -> "Table":
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return cls(**{**arrays, "names": tuple(arrays["names"].tolist())})


def table(molecules: Sequence[Molecule], names: Sequence[str] = ()) -> Table:
    """Molecules with the named properties as a table."""
    values = [[molecule.properties.get(name, np.nan) for name in names] for molecule in molecules]
    positions = np.concatenate([molecule.positions - molecule.positions.mean(0) for molecule in molecules])
    return Table(
        np.array([len(molecule) for molecule in molecules], np.int32),
        np.concatenate([molecule.numbers for molecule in molecules]).astype(np.int16),
        (positions * 1000).round().astype(np.int32),
        np.array(values, np.float32).reshape(len(molecules), len(names)),
        tuple(names),
    )


# QM9 ---------------------------------------------------------------------------------------------------


def kept() -> Path:
    """Where QM9 is kept once it was read."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "ornstein" / "qm9.npz"


def qm9() -> Table:
    """All of QM9, ordered as published; read from `qm9pack` the first time. InputError if that is not installed."""
    if not kept().exists():
        package = find_spec("qm9pack")
        if package is None or not package.submodule_search_locations:
            raise InputError("data qm9: needs the package qm9pack (103 MB): pip install 'ornstein[qm9]'")
        folder = Path(package.submodule_search_locations[0]) / "data"
        with ProcessPoolExecutor(2) as pool:
            parts = list(pool.map(_parsed, [folder / part for part in PARTS]))
        joined(parts).save(kept())
    return Table.load(kept())


def joined(parts: Sequence[Table]) -> Table:
    """Tables with the same columns one after another."""
    fields = ("counts", "numbers", "milli", "properties")
    return Table(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}, names=parts[0].names
    )


def _parsed(path: Path) -> Table:
    import pandas

    columns, units = zip(*((column, unit) for column, unit, _ in PROPERTIES.values()), strict=True)
    frame = pandas.read_csv(path, usecols=["Elements", "XYZ_Ang", *columns])
    numbers = [[SYMBOLS.index(s) for s in text[2:-2].split("','")] for text in frame["Elements"]]
    flat = [text.replace("[", "").replace("]", "").split(",") for text in frame["XYZ_Ang"]]
    clouds = [np.array(text, float).reshape(-1, 3) for text in flat]
    return Table(
        np.array([len(one) for one in numbers], np.int16),
        np.concatenate(numbers).astype(np.int16),
        np.concatenate([(cloud - cloud.mean(0)) * 1000 for cloud in clouds]).round().astype(np.int16),
        (frame[list(columns)].to_numpy() * units).astype(np.float32),
        tuple(PROPERTIES),
    )


def split_qm9(whole: Table) -> tuple[Table, Table, Table]:
    """EDM's parts to learn from, to validate with and to test."""
    order = np.random.RandomState(0).permutation(len(whole))
    learned = len(whole) - _TEST - _VALIDATION
    return whole[order[:learned]], whole[order[learned : learned + _VALIDATION]], whole[order[learned + _VALIDATION :]]


# What a model learns from -----------------------------------------------------------------------------


@lru_cache(maxsize=2)
def load(source: str) -> tuple[Arrays, Arrays]:
    """Training and held-out molecules of "qm9", "qm9-sample" or files (SDF, XYZ, a folder of them)."""
    if source == "qm9":
        learned, held_out, _ = split_qm9(qm9())
        return arrays(learned, held_out, source)
    if source == "qm9-sample":
        whole = Table.load(SAMPLE)
        return arrays(whole[np.arange(1000, len(whole))], whole[np.arange(1000)], source)
    return _of_files(source)


def half(part: Arrays, which: str) -> Arrays:
    """The "first" or "second" half of the records, all of them for "": a guide and its judge must not share a molecule.

    InputError if there is one molecule alone.
    """
    if not which:
        return part
    middle = part.metadata.get("middle", len(part) // 2)
    if not 0 < middle < len(part):
        raise InputError(f"{part.metadata['source']}: {len(part)} records of one molecule, which has no halves")
    index = torch.arange(middle) if which == "first" else torch.arange(middle, len(part))
    return Arrays(*part.batch(index), part.metadata)


def _of_files(source: str) -> tuple[Arrays, Arrays]:
    """Split by molecule: all conformers of one, which share their graph, are on one side."""
    found, bad, notes = files.read(Path(source), to_learn=True)
    names, rare = _names(found)
    graphs = np.unique([graph(molecule) for molecule in found], return_inverse=True)[1]
    held_out = split(torch.from_numpy(graphs), [""] * len(found), 0.1).numpy()
    if not held_out.any():
        raise InputError(f"{source}: holds {len(found)} records of one molecule, expected two, one of them held out")
    shuffled = Keys.of(0, 1).fold("split").uniform(int(graphs.max()) + 1)[0].numpy()[graphs].argsort(kind="stable")
    sides = [shuffled[~held_out[shuffled]], shuffled[held_out[shuffled]]]
    whole = table(found, names)
    facts = {
        "molecules": [len(np.unique(graphs[side])) for side in sides],
        "middle": _middle(graphs[sides[0]]),
        **({"notes": [*notes, *rare]} if notes or rare else {}),
    }
    return arrays(whole[sides[0]], whole[sides[1]], source, bad, facts)


def _names(found: Sequence[Molecule]) -> tuple[list[str], list[str]]:
    """The properties that more than half of the molecules have, and notes on the others."""
    counts = Counter(name for molecule in found for name in molecule.properties)
    names = sorted(name for name, count in counts.items() if 2 * count > len(found))
    rare = sorted(counts.keys() - set(names))
    return names, [
        f"property {name!r} is known of {counts[name]} of {len(found)} molecules, expected more than half: left out"
        for name in rare
    ]


def _middle(graphs: Int[np.ndarray, " records"]) -> int:
    """Where one half of the records ends and no molecule is on both sides; all of them, if there is one molecule."""
    ends = np.append(np.diff(graphs).nonzero()[0] + 1, len(graphs))
    return int(ends[np.abs(ends - len(graphs) / 2).argmin()])


def arrays(
    learned: Table, held_out: Table, source: str, skipped: Sequence[str] = (), facts: Mapping[str, Any] | None = None
) -> tuple[Arrays, Arrays]:
    """Padded arrays with what a model must know of them: elements, sizes, spread, properties.

    Args:
        learned: records to train on.
        held_out: records that no model was trained on.
        source: name of a shipped data set, or path of a file or folder.
        skipped: records that were left out, with the reason.
        facts: what else is known of the data, in JSON values.
    """
    elements = sorted({int(z) for part in (learned, held_out) for z in np.unique(part.numbers)})
    metadata = {
        "source": source,
        "elements": elements,
        "length": int(max(learned.counts.max(), held_out.counts.max())),
        "sizes": {str(n): k for n, k in sorted(Counter(learned.counts.tolist()).items())},
        "std": float((learned.milli / 1000).std()),
        "properties": {
            name: [float(np.nanmean(column)), float(np.nanstd(column)) or 1.0]
            for name, column in zip(learned.names, learned.properties.T.astype(np.float64), strict=True)
        },
        "skipped": len(skipped),
        **({"left out": list(skipped)} if skipped else {}),
        **(facts or {}),
    }
    return padded(learned, metadata), padded(held_out, metadata)


def reference(source: str) -> list[Molecule]:
    """Real molecules that were not learned from, in random order."""
    if source == "qm9":
        return list(_sample_of_test())
    held_out = load(source)[1]
    assert isinstance(held_out.x, Mapping)
    return molecules(held_out.x, held_out.condition["mask"], held_out.metadata)


@cache
def _sample_of_test() -> tuple[Molecule, ...]:
    return tuple(Table.load(SAMPLE).molecules())


@cache
def known(source: str) -> frozenset[str]:
    """SMILES of what was learned from, without stereochemistry; of QM9 they come along."""
    if source == "qm9":
        return frozenset(lzma.decompress(KNOWN.read_bytes()).decode().split())
    learned = load(source)[0]
    assert isinstance(learned.x, Mapping)
    found = (perceived(one) for one in molecules(learned.x, learned.condition["mask"], learned.metadata))
    return frozenset(smiles_of(mol) for mol in found if mol)


def require_known(molecule: Molecule, metadata: Mapping[str, Any], what: str) -> None:
    """InputError if a molecule has elements that the model does not know, or more atoms than it has seen.

    Args:
        metadata: of the data that the model was trained on, in JSON values.
        what: what is checked, in words, for the error.
    """
    foreign = sorted({int(z) for z in molecule.numbers} - set(metadata["elements"]))
    if foreign:
        raise InputError(f"{what}: the model does not know the elements with {foreign} protons")
    if len(molecule) > metadata["length"]:
        raise InputError(f"{what}: {len(molecule)} atoms, expected at most {metadata['length']} for this model")


CENTRED = 1e-4
"""Å: a centre of mass as near to 0 as that is 0 up to what files hold."""


def padded(part: Table, metadata: Mapping[str, Any]) -> Arrays:
    """positions (n, length, 3) and atoms (n, length); the condition "mask" says which exist."""
    exists = torch.arange(metadata["length"]) < torch.from_numpy(part.counts.astype(np.int64))[:, None]
    atoms = torch.zeros(exists.shape, dtype=torch.int64)
    atoms[exists] = torch.from_numpy(np.searchsorted(metadata["elements"], part.numbers))
    positions = torch.zeros(*exists.shape, 3)
    positions[exists] = torch.from_numpy(part.milli.astype(np.float32) / 1000)
    centre = positions.sum(1, keepdim=True) / exists.sum(1)[:, None, None]
    condition = {"mask": exists}
    if part.names:
        condition["properties"] = standardised(torch.from_numpy(part.properties), metadata)
    x = {"positions": (positions - centre) * exists[..., None], "atoms": atoms}
    return Arrays(x, condition, metadata)


def states(found: Sequence[Molecule], metadata: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Molecules as a model's states, with their mask: to the last bit where they are centred already, else centred."""
    n, length = len(found), metadata["length"]
    x = {"positions": torch.zeros(n, length, 3), "atoms": torch.zeros(n, length, dtype=torch.int64)}
    mask = torch.zeros(n, length, dtype=torch.bool)
    for k, molecule in enumerate(found):
        centre, size = molecule.positions.mean(0), len(molecule)
        moved = molecule.positions - (centre if np.abs(centre).max() > CENTRED else 0)
        x["positions"][k, :size] = torch.from_numpy(moved).float()
        x["atoms"][k, :size] = torch.from_numpy(np.searchsorted(metadata["elements"], molecule.numbers))
        mask[k, :size] = True
    return x, {"mask": mask}


def standardised(values: Float[Tensor, "n columns"], metadata: Mapping[str, Any]) -> Float[Tensor, "n columns"]:
    """Properties in units of their spread in the data."""
    mean, std = torch.tensor(list(metadata["properties"].values())).to(values).T
    return (values - mean) / std


def in_units(values: Float[Tensor, "n columns"], metadata: Mapping[str, Any]) -> Float[Tensor, "n columns"]:
    """Standardised properties in the units of the data."""
    mean, std = torch.tensor(list(metadata["properties"].values())).to(values).T
    return values * std + mean


def molecules(x: Mapping[str, Tensor], mask: Tensor, metadata: Mapping[str, Any]) -> list[Molecule]:
    """States as molecules.

    Args:
        x: positions in Å and elements.
        mask: true where a position exists.
        metadata: of the data that the model was trained on, in JSON values.
    """
    numbers = torch.tensor([*metadata["elements"], 0])[x["atoms"]]  # 0: still a mask
    both = zip(x["positions"].double(), numbers, mask, strict=True)
    return [Molecule(z[here].numpy(), cloud[here].numpy()) for cloud, z, here in both]
