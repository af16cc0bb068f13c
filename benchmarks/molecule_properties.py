"""Molecules with properties that were asked for: mean absolute errors by an independent judge, as EDM measures them.

python -m benchmarks.molecule_properties [--n 300] [--steps 50] [--only gap mu] [--ways prompt-1] [--out F] [--report]

Sizes and properties are drawn together from QM9's training molecules (Hoogeboom et al. 2022), each property alone and
all six at once; the judge has learned from one half of these molecules, the regressor that guides from the other. Ways:

    prompt-W     the model is told, with classifier-free guidance of scale W
    regressor-W  the model is not told; p(y | x_t)^W by the regressor of noisy molecules

Beside them stand real molecules: with their own properties (what the judge misses), with the mean of their size
(#atoms) and with anybody's (shuffled), measured here and as published. One JSON row a measurement; --report prints the
table of those in the file and draws nothing. What is drawn is kept in --kept, and not drawn again where it is there.
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
from ornstein.domains.molecules.drawn import STOCHASTIC
from ornstein.guidance.classifiers import NoisyClassifierGuidance
from ornstein.keys import Keys

MODEL, ALL = "molecules/qm9", "all six"
WAYS = ("prompt-1", "prompt-2", "regressor-1")
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

    def batches(self, size: int) -> Iterator[tuple[int, "Wanted"]]:
        """The number of the first of each batch, and the batch."""
        for first in range(0, len(self.y), size):
            part = slice(first, first + size)
            yield first, Wanted(self.mask[part], self.y[part])


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
    if kind == "prompt":
        return model & on.ClassifierFreeGuidance({"properties": None}, float(weight)), {
            "mask": wanted.mask,
            "properties": wanted.y,
        }
    return model & NoisyClassifierGuidance(factors.Agreement(regressor, wanted.y), float(weight)), {"mask": wanted.mask}


def draw(model: NeuralDenoiser, way: str, wanted: Wanted, steps: int, size: int) -> data.Table:
    """Molecules of which something is wanted."""
    assert model.origin is not None
    found, regressor = [], on.load_regressor(factors.REGRESSOR)
    for first, part in wanted.batches(size):
        denoiser, condition = told(model, way, part, regressor)
        how = {**STOCHASTIC, "steps": steps}
        drawn = on.sample(denoiser, len(part.y), **how, condition=condition, first=first)
        found += data.molecules(drawn.x, part.mask, model.origin.metadata)
    return data.table(found)


def errors(drawn: data.Table, wanted: Wanted, metadata: Mapping[str, Any]) -> Float[Tensor, "n properties"]:
    """|judged − wanted| of each molecule, in the units of the data; NaN where nothing was asked."""
    judged = metrics.read_off(metrics.judge_of_qm9(), list(drawn.molecules()))
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
    """All rows that were asked for."""
    model = on.load(MODEL)
    assert model.origin is not None
    names = list(model.origin.metadata["properties"])
    for asked in options.only or [*names, ALL]:
        wanted = drawn_from_data(options.n, asked, names)
        for way in options.ways:
            kept = options.kept / f"{asked}-{way}-{options.n}-{options.steps}.npz".replace(" ", "-")
            if not kept.exists():
                draw(model, way, wanted, options.steps, options.batch).save(kept)
            each = errors(data.Table.load(kept), wanted, model.origin.metadata)
            for name, values in zip(names, each.T, strict=True):
                if not values.isnan().all():
                    yield row(name, way, values, asked=asked, steps=options.steps)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The latest of each measurement, in Markdown."""
    latest = {(row["property"], row["way"], row["asked"] == ALL): row["error"] for row in rows}
    ways = list(dict.fromkeys((way, together) for _, way, together in latest))
    real = of_real_molecules(list(metrics.PUBLISHED))
    heads = [f"{way}{', all six' if together else ''}" for way, together in ways]
    lines = [
        f"| | shuffled | #atoms | {' | '.join(heads)} | EDM | judge on real molecules |",
        "|---" * (len(ways) + 5) + "|",
    ]
    for k, (name, like) in enumerate(metrics.PUBLISHED.items()):
        ours = [latest.get((name, *way), float("nan")) for way in ways]
        shuffled, by_size, own = (like.scale * real[key][k].item() for key in ("shuffled", "#atoms", "real"))
        numbers = [
            f"{shuffled:.4g} ({like.shuffled:g})",
            f"{by_size:.4g} ({like.by_size:g})",
            *(f"{x:.3g}" for x in ours),
        ]
        lines.append(f"| {name}, {like.unit} | {' | '.join(numbers)} | {like.edm:g} | {own:.3g} ({like.judge:g}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=300, help="molecules a measurement")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--only", nargs="*", help="properties, or 'all six'")
    parser.add_argument("--ways", nargs="*", default=WAYS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--kept", type=Path, default=Path("runs/molecule_properties"))
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.report:
        with options.out.open("a") as file:
            for found in measure(options):
                print(json.dumps(found), file=file, flush=True)
                print(json.dumps(found), flush=True)
    print(table([json.loads(line) for line in options.out.read_text().splitlines()]))


if __name__ == "__main__":
    main()
