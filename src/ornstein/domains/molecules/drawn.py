"""What is drawn of molecules: how, of which sizes, and in which frame the samples are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...states import take
from ...tasks.samples import Samples
from . import data
from .chemistry.conformers import Conformer, Conformers, conformer
from .chemistry.molecule import Molecule

STOCHASTIC: Mapping[str, Any] = {
    "steps": 40,
    "eta": 1.0,
    "order": 2,
    "grid": "uniform",
    "restarts": 4,
    "restart_at": 0.35,
}
"""How molecules are drawn: fresh noise, of second order, leaves fewer broken ones than the flow does; four times they
are noised again up to 0.27 Å, where bonds and elements are decided, and drawn anew: 96 calls in all."""
ONCE: Mapping[str, Any] = {**STOCHASTIC, "restarts": 0}
"""How they are drawn with a wish that says something of shapes alone, of which restarts would forget much."""


def sizes(numbers: range, metadata: Mapping[str, Any], atoms: int | None = None, held: int = 0) -> Tensor:
    """Atoms of the molecules of these numbers: quantiles of the data's sizes above what is held, by number alone.

    InputError if the model has never seen molecules as large.

    Args:
        metadata: of the data that the model was trained on, in JSON values.
        atoms: how many atoms each molecule has, hydrogens included.
    """
    least = max(held + 1, 2)
    if atoms is not None and not least <= atoms <= metadata["length"]:
        raise InputError(f"--atoms {atoms}: expected {least} to {metadata['length']}, what this model knows")
    if atoms is not None:
        return torch.full((len(numbers),), atoms)
    counts = [(int(size), count) for size, count in metadata["sizes"].items() if int(size) > held]
    if not counts:
        raise InputError(f"{held} atoms are fixed; this model knows molecules of at most {metadata['length']}")
    known, weights = torch.tensor(counts).T
    quantiles = (torch.arange(numbers.start, numbers.stop).double() + 1) * 0.6180339887498949 % 1.0
    return known[torch.searchsorted(weights.cumsum(0).double(), quantiles * weights.sum())]


def molecules_of(samples: Samples) -> list[Molecule]:
    """In the frame of what was asked for: fixed atoms where they were, the pocket where it is, a SMILES' atoms in its
    order.
    """
    return [one.molecule for one in conformers_of(samples)] if samples.each.get("smiles") else placed(samples)


def conformers_of(samples: Samples) -> list[Conformer]:
    """What each of the molecules that were drawn for a SMILES is of it; nothing, if none was said.

    Without a pocket and a handed network the law does not know a mirror, so that mirror images may be taken.
    """
    assert samples.origin is not None
    handed = "centre" in samples.settings or samples.origin.config["network"].get("chiral", False)
    said = zip(placed(samples), samples.each.get("smiles", ()), samples.each.get("molecule", ()), strict=False)
    return [conformer(replace(one, name=name), smiles, not handed) for one, smiles, name in said]


def remarks(samples: Samples) -> list[str]:
    """How many of the molecules that were drawn for SMILES are conformers of them, in words."""
    return Conformers.of(conformers_of(samples)).told


def placed(samples: Samples) -> list[Molecule]:
    """As they were drawn, fixed atoms where they were and the pocket where it is."""
    assert samples.origin is not None
    found = data.molecules(samples.x, samples.condition["mask"], samples.origin.metadata)
    if centre := samples.settings.get("centre") or samples.settings.get("positions_centre"):
        found = [replace(molecule, positions=molecule.positions + np.array(centre)) for molecule in found]
    held = samples.settings.get("held")
    return [_put_back(molecule, np.array(held["positions"])) for molecule in found] if held else found


def _put_back(molecule: Molecule, held: np.ndarray) -> Molecule:
    """The first atoms are where they were: to round-off by a shift, then to the last bit."""
    k = len(held)
    positions = molecule.positions - molecule.positions[:k].mean(0) + held.mean(0)
    return replace(molecule, positions=np.concatenate([held, positions[k:]]))


def evenly(total: int, n: int) -> list[int]:
    """The places of at most n of so many, spread over all."""
    return torch.linspace(0, total - 1, min(n, total)).round().long().tolist()


def spread(samples: Samples, n: int) -> Samples:
    """Some of the samples, spread over all."""
    places = evenly(len(samples), n)
    index = torch.tensor(places)
    return replace(
        samples,
        x=take(samples.x, index),
        condition=take(samples.condition, index),
        trajectory=[take(frame, index) for frame in samples.trajectory],
        each={name: [values[k] for k in places] for name, values in samples.each.items()},
    )
