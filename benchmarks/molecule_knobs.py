"""Knobs on molecules: the mean of a property under exp(γ w), beside what unguided molecules predict.

python -m benchmarks.molecule_knobs [--n 64] [--steps 40] [--atoms 18] [--gammas -0.8 0.8] [--particles 96] [--model M]

Molecules of one size: nitrogen atoms, tilted atom by atom (apart) and foreseen by the model (ahead); the HOMO–LUMO gap,
foreseen by the regressor (ahead) and weighed by particles. One JSON row a measurement, with the share of molecules that
are stable; --report prints the table of those in the file and draws nothing.

A run can be broken off and begun again: rows that stand in --out are not measured, and batches that are in --kept not
drawn anew.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ornstein as on
from ornstein.denoisers.base import Denoiser, Guide, NeuralDenoiser
from ornstein.domains import molecules
from ornstein.domains.molecules import data, factors
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.stability import Stability
from ornstein.sampling.diagnostics import mean_and_error
from ornstein.tasks.brackets import tilted_mean
from ornstein.tasks.strength import Law, StrengthSearch, ValueFunction

from .molecule_runs import Drawing, add_arguments, digest

RESULTS = Path(__file__).parent / "results" / "molecule_knobs.jsonl"
NITROGEN = 7


def apart(model: NeuralDenoiser, gamma: float) -> Guide:
    """exp(γ · nitrogen atoms), expanded at the belief's mean, in which atoms are independent."""
    assert model.origin is not None
    column = model.origin.metadata["elements"].index(NITROGEN)
    return on.Energy(lambda atoms: atoms[..., column].sum(-1), -gamma).on("atoms")


def measure(options: argparse.Namespace, done: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Means at each γ, with what unguided molecules predict of them; not those that are done."""
    drawing, regressor = Drawing.of(options), on.load_regressor(options.regressor)
    known = {tuple(row.get(key) for key in KEY) for row in done}
    free = drawn(drawing, options, "free", drawing.model, options.n)[0]
    knobs = {
        "nitrogen": StrengthSearch(drawing.model, molecules.element_count(NITROGEN), options.n),
        "gap": StrengthSearch(drawing.model, molecules.property_value("gap", regressor), options.n),
    }
    for name, knob in knobs.items():
        values = value(knob, free, drawing)
        for way, gamma, guide in wishes(name, knob, options.gammas):
            n = options.particles if way == "particles" else options.n
            about = {"property": name, "way": way, "gamma": gamma, "n": n, "steps": options.steps}
            about |= {"atoms": options.atoms, "model": drawing.folder.name}
            if tuple(about[key] for key in KEY) in known:
                continue
            label = "free" if guide is None else f"{name}-{way}-{gamma:g}-{digest(regressor)}"
            guided = drawing.model if guide is None else drawing.model & guide
            found, family = drawn(drawing, options, label, guided, n, way == "particles")
            yield {**about, **row(gamma, value(knob, found, drawing), values, family), **stable(found)}


def wishes(name: str, knob: StrengthSearch, gammas: Sequence[float]) -> Iterator[tuple[str, float, Guide | None]]:
    """Ways to push a property, and how far."""
    assert isinstance(knob.denoiser, NeuralDenoiser)
    yield "unguided", 0.0, None
    for gamma in gammas:
        yield "ahead", gamma, knob.guide(gamma)
        if name == "nitrogen":
            yield "apart", gamma, apart(knob.denoiser, gamma)
        elif gamma > 0:
            yield "particles", gamma, knob.guide(gamma)


def drawn(
    drawing: Drawing, options: argparse.Namespace, label: str, guided: Denoiser, n: int, population: bool = False
) -> tuple[list[Molecule], Tensor | None]:
    """Molecules of one size and, of one population of particles, their families."""
    mask = (torch.arange(drawing.metadata["length"]) < options.atoms).expand(n, -1)
    if not population:
        return drawing.draw(f"{label}-{options.atoms}", mask, options.steps, lambda part: (guided, {})), None
    with drawing.arithmetic():
        how: dict[str, Any] = {"exact": "particles", "particles": n, "condition": {"mask": mask}}
        found = on.sample(guided, n, steps=options.steps, **how)
    return data.molecules(found.x, mask, drawing.metadata), found.genealogy


def stable(found: Sequence[Molecule]) -> dict[str, float]:
    return {"molecules_stable": round(Stability.of(found).molecules, 3)}


KEY = ("property", "way", "gamma", "n", "steps", "atoms", "model")


def value(knob: StrengthSearch, found: Sequence[Molecule], drawing: Drawing) -> Tensor:
    """The property of finished molecules, as the knob foresees it without noise."""
    assert isinstance(knob.of, ValueFunction)
    x, condition = data.states(found, drawing.metadata)
    with torch.no_grad():
        return knob.of(drawing.model.space.with_mask(condition["mask"]).point_mass(x).mean).double()


def row(gamma: float, found: Tensor, free: Tensor, family: Tensor | None = None) -> dict[str, float]:
    """One measurement; particles of one family count once."""
    mean, error = mean_and_error(found, torch.arange(len(found)) if family is None else family)
    return {
        "mean": round(mean, 3),
        "standard_error": round(error, 3),
        "reweighted": round(tilted_mean(free, gamma), 3),
        "line": round(Law.of(free)(gamma), 3),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The latest of each measurement, in Markdown."""
    latest = {(row["property"], row["way"], row["gamma"]): row for row in rows}
    gammas = sorted({gamma for _, _, gamma in latest})
    lines = [
        f"| | {' | '.join(f'γ = {gamma:g}' for gamma in gammas)} | molecules stable |",
        "|---" * (len(gammas) + 2) + "|",
    ]
    for name, way in dict.fromkeys((name, way) for name, way, _ in latest):
        of = {gamma: latest.get((name, way, gamma)) for gamma in gammas}
        if way == "unguided":
            some = [latest[key] for key in latest if key[0] == name]
            predicted = {row["gamma"]: f"{row['reweighted']:.2f} ({row['line']:.2f})" for row in some}
            lines.append(f"| {name}, reweighted (the line) | {' | '.join(predicted.get(g, '') for g in gammas)} | |")
        cells = [f"{one['mean']:.2f} ± {one['standard_error']:.2f}" if one else "" for one in of.values()]
        shares = ", ".join(f"{one['molecules_stable']:.2f}" for one in of.values() if one)
        lines.append(f"| {name}, {way} | {' | '.join(cells)} | {shares} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--atoms", type=int, default=18)
    parser.add_argument("--gammas", type=float, nargs="*", default=(-0.8, 0.8))
    parser.add_argument("--particles", type=int, default=96)
    parser.add_argument("--regressor", default=factors.REGRESSOR, help="that foresees the gap")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true")
    add_arguments(parser, "molecule_knobs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    if not options.report:
        with options.out.open("a") as file:
            for found in measure(options, rows):
                rows.append(found)
                print(json.dumps(found), file=file, flush=True)
                print(json.dumps(found), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
