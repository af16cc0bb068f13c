"""Conformers of molecules of QM9 that the model has not seen, beside those of RDKit's ETKDG.

python -m benchmarks.molecule_conformers [--model M] [--n 100] [--conformers 5] [--steps 20] [--ways bounds] [--report]

The graph and the stereo of each molecule are read from its held-out geometry, whose one DFT conformer is the reference.
Each way draws the same number of conformers of each molecule:

    bounds       elements given from the start, distances within the graph's bounds (`--smiles`)
    elements     elements given from the start and nothing else: which isomer comes is left to chance
    etkdg        RDKit's ETKDGv3 (Riniker & Landrum 2015), as it comes
    etkdg-mmff   the same, relaxed in MMFF94

    right        share of the draws with the graph and the stereo that were asked for
    coverage     share of the molecules of which a right draw lies within .5 Å of the reference
    median RMSD  over the molecules, of the nearest right draw; infinite where there is none

RMSD is that of heavy atoms after the best rotation and the best exchange of like atoms. Standard errors are over
molecules, those of medians from 1,000 resamples. Each way of the model takes about seven CPU minutes for 100 × 5
conformers of 50 calls; one JSON row a way, --report prints the table and draws nothing.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolAlign

import ornstein as on
from ornstein.denoisers.base import NeuralDenoiser
from ornstein.domains.molecules import data
from ornstein.domains.molecules.chemistry.conformers import Conformer, conformer, with_bonds
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.perception import from_rdkit, perceived, smiles_of
from ornstein.domains.molecules.chemistry.smiles import parsed
from ornstein.domains.molecules.drawn import conformers_of
from ornstein.domains.molecules.task import MoleculesRequest
from ornstein.tasks import requests

from .molecule_runs import measured

MODEL, NEAR = "molecules/qm9", 0.5  # Å
WAYS = ("bounds", "elements", "etkdg", "etkdg-mmff")
RESULTS = Path(__file__).parent / "results" / "molecule_conformers.jsonl"


@dataclass(frozen=True)
class Case:
    """A held-out molecule.

    Attributes:
        smiles: with its stereo.
        reference: its geometry, atoms in the order of the SMILES.
    """

    smiles: str
    reference: Molecule


def cases(found: Sequence[Molecule], n: int) -> list[Case]:
    """The first n molecules whose graph and stereo are perceived and come back from their SMILES; small ones first."""
    kept: list[Case] = []
    for molecule in found:
        mol = perceived(molecule)
        smiles = "" if mol is None else smiles_of(mol, stereo=True)
        same = conformer(molecule, smiles, mirror=False) if smiles else None
        if same is not None and same.right and same.stereo is not False:
            kept.append(Case(smiles, same.molecule))
        if len(kept) == n:
            break
    return sorted(kept, key=lambda case: len(case.reference))


def by_model(
    model: NeuralDenoiser, some: Sequence[Case], each: int, steps: int, batch: int, bounds: float | None
) -> list[list[Conformer]]:
    """Conformers by the model, of each molecule."""
    asked = MoleculesRequest(smiles=tuple(case.smiles for case in some), conformers=each, bounds=bounds)
    found = conformers_of(requests.draw(model, asked, len(some) * each, steps=steps, batch_size=batch))
    return [found[k * each : (k + 1) * each] for k in range(len(some))]


def by_etkdg(some: Sequence[Case], each: int, relaxed: bool) -> list[list[Conformer]]:
    """Conformers by RDKit, of each molecule; fewer where its geometry does not come out."""
    options = rdDistGeom.ETKDGv3()
    options.randomSeed = 0
    found = []
    for case in some:
        mol = Chem.Mol(parsed(case.smiles))
        with rdBase.BlockLogs():
            numbers = list(rdDistGeom.EmbedMultipleConfs(mol, each, options))
            if relaxed and numbers and rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
                rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol)
        drawn = [from_rdkit(Chem.Mol(mol, confId=number)) for number in numbers]
        found.append([conformer(one, case.smiles, mirror=False) for one in drawn])
    return found


def distance(found: Molecule, reference: Molecule) -> float:
    """RMSD of the heavy atoms, Å, of molecules in the order of one SMILES."""
    ours, theirs = (Chem.RemoveHs(with_bonds(one), sanitize=False) for one in (found, reference))
    return float(rdMolAlign.GetBestRMS(ours, theirs))


def scores(some: Sequence[Case], found: Sequence[Sequence[Conformer]], each: int) -> dict[str, Any]:
    """Right draws, coverage and median RMSD, with standard errors over molecules."""
    kept = [[one.molecule for one in drawn if one.right and one.stereo is not False] for drawn in found]
    right = np.array([len(good) / each for good in kept])
    graph = np.array([sum(one.right for one in drawn) / each for drawn in found])
    nearest = np.array(
        [
            min((distance(one, case.reference) for one in good), default=inf)
            for case, good in zip(some, kept, strict=True)
        ]
    )
    resampled = nearest[np.random.default_rng(0).integers(len(some), size=(1000, len(some)))]
    medians = np.median(resampled, 1)
    spread = float(medians.std()) if np.isfinite(medians).all() else None
    return {
        "graph": _rounded(graph.mean()),
        "right": _rounded(right.mean()),
        "right_error": _error(right),
        "coverage": _rounded((nearest < NEAR).mean()),
        "coverage_error": _error(nearest < NEAR),
        "median_rmsd": _rounded(np.median(nearest)),
        "median_rmsd_error": None if spread is None else _rounded(spread),
    }


def _rounded(value: Any) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _error(values: np.ndarray) -> float | None:
    return _rounded(values.std() / len(values) ** 0.5)


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row a way."""
    some, model = cases(data.reference("qm9"), options.n), on.load(options.model)
    for way in options.ways:
        started = time.process_time()
        if way.startswith("etkdg"):
            found = by_etkdg(some, options.conformers, way.endswith("mmff"))
        else:
            weight = 0.0 if way == "elements" else options.bounds
            found = by_model(model, some, options.conformers, options.steps, options.batch, weight)
        minutes = (time.process_time() - started) / 60
        yield {
            "way": way,
            **scores(some, found, options.conformers),
            "molecules": len(some),
            "conformers": options.conformers,
            "steps": None if way.startswith("etkdg") else options.steps,
            "minutes": round(minutes, 2),
            "model": None if way.startswith("etkdg") else options.name,
            "date": date.today().isoformat(),
        }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The latest row of each way and number of calls, in Markdown."""
    latest = {(row["model"], row["way"], row["steps"]): row for row in rows}
    lines = [
        "| | right graph | right graph and stereo | coverage at 0.5 Å | median RMSD, Å | minutes |",
        "|---" * 6 + "|",
    ]
    for (model, way, steps), row in latest.items():
        calls = f", {model}, {steps} steps" if steps else ""
        shares = [f"{row[name]:.3f} ± {row[f'{name}_error']:.3f}" for name in ("right", "coverage")]
        rmsd = (
            "none" if row["median_rmsd"] is None else f"{row['median_rmsd']:.3f} ± {row['median_rmsd_error'] or 0:.3f}"
        )
        lines.append(f"| {way}{calls} | {row['graph']:.3f} | {shares[0]} | {shares[1]} | {rmsd} | {row['minutes']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL, help="a shipped model, a run folder or a weights file")
    parser.add_argument("--name", default=None, help="of the model in the rows; its own if not given")
    parser.add_argument("--n", type=int, default=100, help="molecules")
    parser.add_argument("--conformers", type=int, default=5, help="of each molecule")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--bounds", type=float, default=None, help="their weight, 1/Å²")
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    options.name = options.name or options.model
    torch.set_num_threads(1)
    if not options.report:
        measured(measure(options), options.out)
    print(table([json.loads(line) for line in options.out.read_text().splitlines()]))


if __name__ == "__main__":
    main()
