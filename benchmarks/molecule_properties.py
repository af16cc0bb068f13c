"""Molecules with properties that were asked for: mean absolute errors by an independent judge, as EDM measures them.

python -m benchmarks.molecule_properties [--n 100] [--steps 50] [--only gap mu] [--ways prompt-3] [--model M] [--report]

Sizes and properties are drawn together from QM9's training molecules (Hoogeboom et al. 2022), each property alone and
all six at once; the judge has learned from one half of these molecules, the regressor that guides from the other. Ways:

    free         nothing is asked: what a wish costs is read against it
    prompt-W     the model is told, with classifier-free guidance of scale W
    regressor-W  the model is not told; p(y | x_t)^W by the regressor of noisy molecules

Beside them stand real molecules: with their own properties (what the judge misses), with the mean of their size
(#atoms) and with anybody's (shuffled), measured here and as published. One JSON row a measurement, with its standard
error and the share of its molecules that are stable; --report prints the tables of those in the file and draws nothing.

A run can be broken off and begun again: batches that are in --kept are not drawn anew.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

import ornstein as on
from ornstein.denoisers.base import Denoiser, NeuralDenoiser
from ornstein.denoisers.regressors import Regressor
from ornstein.domains.molecules import data, factors, metrics
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.stability import Stability
from ornstein.keys import Keys

from .molecule_runs import Drawing, add_arguments, digest, measured

ALL = "all six"
WAYS = ("free", "prompt-3", "regressor-3")
RESULTS = Path(__file__).parent / "results" / "molecule_properties.jsonl"


@dataclass(frozen=True)
class Wanted:
    """What is asked of molecules, small ones first.

    Attributes:
        mask: the atoms of each.
        y: standardised properties, NaN where nothing is asked.
    """

    mask: Bool[Tensor, "n length"]
    y: Float[Tensor, "n properties"]

    def __getitem__(self, part: slice) -> "Wanted":
        return Wanted(self.mask[part], self.y[part])


def drawn_from_data(n: int, name: str, names: Sequence[str], seed: int = 0) -> Wanted:
    """Sizes with one property, or all, of n training molecules."""
    learned = data.load("qm9")[0]
    records = Keys.of(seed, n).fold("wanted").uniform().mul(len(learned)).long()
    mask, y = learned.condition["mask"][records], learned.condition["properties"][records].clone()
    asked = torch.tensor([name in (one, ALL) for one in names])
    order = mask.sum(1).argsort(stable=True)
    return Wanted(mask[order], y.where(asked, torch.nan)[order])


def told(model: NeuralDenoiser, way: str, wanted: Wanted, regressor: Regressor) -> tuple[Denoiser, dict[str, Tensor]]:
    """The model under a way of asking, and what each molecule is given."""
    kind, _, weight = way.partition("-")
    if kind == "free":
        return model, {}
    if kind == "prompt":
        return model & on.ClassifierFreeGuidance({"properties": None}, float(weight)), {"properties": wanted.y}
    return model & factors.agreement(regressor, wanted.y, float(weight)), {}


def errors(found: Sequence[Molecule], wanted: Wanted, metadata: Mapping[str, Any]) -> Float[Tensor, "n properties"]:
    """|judged − wanted| of each molecule, in the units of the data; NaN where nothing was asked."""
    judged = metrics.read_off(metrics.judge_of_qm9(), found)
    return (judged - data.in_units(wanted.y, metadata)).abs()


def of_real_molecules(names: Sequence[str]) -> dict[str, Float[Tensor, " properties"]]:
    """The same of held-out molecules: the judge's own errors, #atoms, and shuffled."""
    found = data.reference("qm9")
    truth, sizes = metrics.true_properties(found, names), torch.tensor([len(one) for one in found])
    judged = metrics.read_off(metrics.judge_of_qm9(), found)
    shuffled = truth[Keys.of(0, 1).bits(len(truth))[0].argsort()]
    return {
        "real": metrics.absolute_errors(judged, truth),
        "#atoms": metrics.absolute_errors(judged, metrics.by_size(truth, sizes)),
        "shuffled": metrics.absolute_errors(judged, shuffled),
    }


def row(name: str, way: str, each: Float[Tensor, " n"], **more: Any) -> dict[str, Any]:
    """One measurement, in the unit the literature reports; its standard error tells how far n goes."""
    scale = metrics.PUBLISHED[name].scale
    return {
        "property": name,
        "way": way,
        "error": round(scale * each.mean().item(), 4),
        "standard_error": round(scale * each.std().item() / len(each) ** 0.5, 4),
        "unit": metrics.PUBLISHED[name].unit,
        "n": len(each),
        "date": date.today().isoformat(),
        **more,
    }


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rows that were asked for, cheap ones first."""
    drawing, regressor = Drawing.of(options), on.load_regressor(options.regressor)
    names = list(drawing.metadata["properties"])
    for asked in options.only or [ALL, *names]:
        wanted = drawn_from_data(options.n, asked, names)
        for way in options.ways:
            if way == "free" and asked != ALL:
                continue  # the same molecules again

            def asked_for(part: slice, way: str = way, wanted: Wanted = wanted) -> tuple[Denoiser, dict[str, Tensor]]:
                return told(drawing.model, way, wanted[part], regressor)

            name = f"{asked}-{way}-{options.n}" + (f"-{digest(regressor)}" if way.startswith("regressor") else "")
            found = drawing.draw(name, wanted.mask, options.steps, asked_for)
            each, stable = errors(found, wanted, drawing.metadata), Stability.of(found)
            more = {"molecules_stable": round(stable.molecules, 4), "atoms_stable": round(stable.atoms, 4)}
            for name, values in zip(names, each.T, strict=True):
                if not values.isnan().all():
                    yield row(name, way, values, asked=asked, steps=options.steps, model=drawing.folder.name, **more)


def latest(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, bool], Mapping[str, Any]]:
    """The latest of each measurement: of a property, by a way, alone or with the others."""
    return {(row["property"], row["way"], row["asked"] == ALL): row for row in rows}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Errors, in Markdown."""
    measured = latest(rows)
    ways = list(dict.fromkeys((way, together) for _, way, together in measured if way != "free"))
    real = of_real_molecules(list(metrics.PUBLISHED))
    heads = [f"{way}{', all six' if together else ''}" for way, together in ways]
    lines = [
        f"| | shuffled | #atoms | {' | '.join(heads)} | EDM | judge on real molecules |",
        "|---" * (len(ways) + 5) + "|",
    ]
    for k, (name, like) in enumerate(metrics.PUBLISHED.items()):
        shuffled, by_size, own = (like.scale * real[key][k].item() for key in ("shuffled", "#atoms", "real"))
        numbers = [
            f"{shuffled:.4g} ({like.shuffled:g})",
            f"{by_size:.4g} ({like.by_size:g})",
            *(_with_error(measured.get((name, *way))) for way in ways),
        ]
        lines.append(f"| {name}, {like.unit} | {' | '.join(numbers)} | {like.edm:g} | {own:.3g} ({like.judge:g}) |")
    return "\n".join(lines)


def _with_error(row: Mapping[str, Any] | None) -> str:
    places = 0 if row and row["error"] >= 20 else 2
    return "" if row is None else f"{row['error']:.{places}f} ± {row['standard_error']:.{places}f}"


def prices(rows: Sequence[Mapping[str, Any]]) -> str:
    """What each way costs in stability, in Markdown: the mean over the properties that were asked for."""
    lines = ["| | molecules stable | atoms stable | molecules |", "|---" * 4 + "|"]
    groups: dict[tuple[str, bool], dict[str, Mapping[str, Any]]] = {}
    for (_, way, together), row in latest(rows).items():
        if "molecules_stable" in row:
            groups.setdefault((way, together), {})[row["asked"]] = row
    for (way, together), by in groups.items():
        n = sum(row["n"] for row in by.values())
        molecules, atoms = (
            sum(row[key] * row["n"] for row in by.values()) / n for key in ("molecules_stable", "atoms_stable")
        )
        error = (molecules * (1 - molecules) / n) ** 0.5
        named = way + (", all six" if together and way != "free" else "")
        lines.append(f"| {named} | {molecules:.3f} ± {error:.3f} | {atoms:.4f} | {n} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--n", type=int, default=100, help="molecules a measurement")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--only", nargs="*", help="properties, or 'all six'")
    parser.add_argument("--ways", nargs="*", default=WAYS)
    parser.add_argument("--regressor", default=factors.REGRESSOR, help="that guides")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true")
    add_arguments(parser, "molecule_properties")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.report:
        measured(measure(options), options.out)
    rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    print(table(rows), prices(rows), sep="\n\n")


if __name__ == "__main__":
    main()
