"""Knobs on molecules: the mean of a property under exp(γ w), beside what unguided molecules predict.

python -m benchmarks.molecule_knobs [--n 64] [--steps 40] [--atoms 18] [--gammas -0.8 0.8] [--particles 96]

Molecules of one size from the shipped model: nitrogen atoms, tilted atom by atom (apart) and foreseen by the model
(counted); the HOMO–LUMO gap, foreseen by the regressor (foreseen) and weighed by particles. One JSON row a measurement.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import ornstein as on
from ornstein.denoisers.base import Guide, NeuralDenoiser
from ornstein.domains import molecules
from ornstein.domains.molecules.drawn import STOCHASTIC
from ornstein.sampling.diagnostics import mean_and_error
from ornstein.tasks.brackets import tilted_mean
from ornstein.tasks.strength import Law, StrengthSearch

NITROGEN = 7


def apart(model: NeuralDenoiser, gamma: float) -> Guide:
    """exp(γ · nitrogen atoms), expanded at the belief's mean, in which atoms are independent."""
    assert model.origin is not None
    column = model.origin.metadata["elements"].index(NITROGEN)
    return on.Energy(lambda atoms: atoms[..., column].sum(-1), -gamma).on("atoms")


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Means at each γ, with what unguided molecules predict of them."""
    model = on.load("molecules/qm9")
    assert model.origin is not None
    metadata, n = model.origin.metadata, options.n

    def drawn(denoiser: Any, count: int, **how: Any) -> on.Samples:
        mask = (torch.arange(metadata["length"]) < options.atoms).expand(count, -1)
        return on.sample(denoiser, count, condition={"mask": mask}, **how)

    way = {**STOCHASTIC, "steps": options.steps}
    free = drawn(model, n, **way)
    nitrogen = StrengthSearch(model, molecules.element_count(NITROGEN), n)
    gap = StrengthSearch(model, molecules.property_value("gap"), n)
    for name, knob in (("nitrogen", nitrogen), ("gap", gap)):
        values = knob.value(free)
        yield row(name, "unguided", 0.0, values, values)
        for gamma in options.gammas:
            ways = {"ahead": knob.guide(gamma), **({"apart": apart(model, gamma)} if name == "nitrogen" else {})}
            for by, guide in ways.items():
                yield row(name, by, gamma, knob.value(drawn(model & guide, n, **way)), values)
            if name == "gap" and gamma > 0:
                size = options.particles
                weighed = drawn(model & knob.guide(gamma), size, steps=50, exact="particles", particles=size)
                yield row(name, "particles", gamma, knob.value(weighed), values, weighed.genealogy)


def row(name: str, way: str, gamma: float, found: Tensor, free: Tensor, family: Tensor | None = None) -> dict[str, Any]:
    """One measurement; particles of one family count once."""
    mean, error = mean_and_error(found, torch.arange(len(found)) if family is None else family)
    return {
        "property": name,
        "way": way,
        "gamma": gamma,
        "mean": round(mean, 3),
        "standard_error": round(error, 3),
        "reweighted": round(tilted_mean(free, gamma), 3),
        "line": round(Law.of(free)(gamma), 3),
        "n": len(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--atoms", type=int, default=18)
    parser.add_argument("--gammas", type=float, nargs="*", default=(-0.8, 0.8))
    parser.add_argument("--particles", type=int, default=96)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for found in measure(options):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
