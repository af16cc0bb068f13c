"""From what is asked to guides, to what each molecule is given, and to what is known from the start.

Where the elements are given they are clean data all along, and positions come from pure noise around them: a path on
which one part is known (spaces/paths.py). Where positions are given it is the other way round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....denoisers.base import Guide
from ....errors import InputError
from ....spaces import TimePath
from ....states import take
from ....tasks.task import Request
from .. import data, factors
from ..bounds import BOUNDS, CENTRES, WEIGHT, DistanceBounds
from ..chemistry import files
from ..chemistry.formulas import doubts, protons_of
from ..chemistry.molecule import Molecule
from ..chemistry.pockets import read_pocket
from ..chemistry.smiles import distance_bounds, handedness, parsed, placeless
from ..drawn import ONCE, STOCHASTIC, sizes
from .flags import MoleculesRequest, properties
from .named import CONFORMERS, wanted


def request(asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """What the flags mean for the molecules of these numbers.

    Args:
        metadata: of the data that the model was trained on, in JSON values.
    """
    made = _begun(asked, numbers, metadata)
    guides, record, notes = [*made.guides], dict(made.record), [*made.notes]
    if asked.properties:
        by = factors.property_regressor if asked.guide_by == "regressor" else factors.property_condition
        guides.append(by(properties(asked.properties), asked.guidance))
    if asked.fixed is not None:
        part, said = one_of(asked.fixed)
        notes += said
        guides.append(factors.fixed(part))
        record["held"] = {"numbers": part.numbers.tolist(), "positions": part.positions.tolist()}
    if asked.pocket is not None:
        centre = None if asked.centre is None else np.array(asked.centre)
        pocket = read_pocket(asked.pocket, centre, asked.ligand)
        notes += pocket.notes
        guides.append(factors.docking_energy(pocket, 1.0 if asked.binding is None else asked.binding))
        record["centre"] = pocket.centre.tolist()
    guides += _wishes(asked)
    how = ONCE if asked.hydrogen_bond else STOCHASTIC
    return replace(made, guides=guides, record=record, notes=notes, defaults=how)


def _wishes(asked: MoleculesRequest) -> list[Guide]:
    """What is wanted of any molecule."""
    found: list[Guide] = []
    if asked.hydrogen_bond:
        found.append(factors.hydrogen_bond(asked.hydrogen_bond))
    if asked.temperature_kelvin is not None:
        found.append(factors.energy(asked.temperature_kelvin))
    return found


def count(asked: MoleculesRequest, metadata: Mapping[str, Any]) -> int | None:
    """How many samples the request speaks of: so many conformers of each molecule of --smiles, else any number.

    Args:
        metadata: of the data that the model was trained on, in JSON values.
    """
    if not asked.smiles:
        return None
    molecules = len(wanted(asked.smiles, metadata)[0])
    return None if molecules == 1 and asked.conformers is None else molecules * (asked.conformers or CONFORMERS)


def _begun(asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """What the molecules begin with: noise, a formula, SMILES, or a file."""
    if asked.smiles:
        return _from_smiles(asked, numbers, metadata)
    if asked.formula is not None:
        return _from_formula(asked, numbers, metadata)
    if asked.elements_of is not None:
        return _from_positions(asked.elements_of, numbers, metadata)
    if asked.reference is not None:
        return _from_reference(asked, numbers, metadata)
    held = 0 if asked.fixed is None else len(one_of(asked.fixed)[0])
    mask = torch.arange(metadata["length"]) < sizes(numbers, metadata, asked.atoms, held)[:, None]
    return Request(condition={"mask": mask})


def one_of(path: Path) -> tuple[Molecule, list[str]]:
    """The only molecule of a file, and what else should be known of the file.

    Args:
        path: of an SDF or XYZ file.

    InputError for one that holds several, or none.
    """
    found, bad, notes = files.read(path)
    if len(found) != 1:
        raise InputError(f"{path}: holds {len(found)} molecules, expected one")
    return found[0], [*(f"left out: {reason}" for reason in bad), *notes]


# What they begin with ---------------------------------------------------------------------------------


def _from_formula(asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    assert asked.formula is not None
    where = f"--formula {asked.formula}"
    protons = protons_of(asked.formula, where)
    order = protons if asked.fixed is None else _around(one_of(asked.fixed)[0], protons, where)
    given = [of_elements(order)] * len(numbers)
    return replace(with_elements(given, metadata, where), notes=doubts(protons, asked.formula))


def _from_smiles(asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """Conformers of each molecule one after another."""
    named, notes = wanted(asked.smiles, metadata)
    each = asked.conformers or CONFORMERS
    chosen = [named[0 if len(named) == 1 else min(k // each, len(named) - 1)] for k in numbers]
    made = with_elements([placeless(parsed(one.smiles)) for one in chosen], metadata, "--smiles")
    told: dict[str, Any] = {
        "each": {"smiles": [one.smiles for one in chosen], "molecule": [one.name for one in chosen]}
    }
    weight = WEIGHT if asked.bounds is None else asked.bounds
    if weight:
        told["guides"] = [DistanceBounds(BOUNDS, weight, CENTRES).on("positions")]
        told["condition"] = {**made.condition, **_of_graphs([one.smiles for one in chosen], metadata["length"])}
    return replace(made, notes=notes, **told)


def _of_graphs(smiles: Sequence[str], length: int) -> dict[str, torch.Tensor]:
    """Bounds and handed centres, one a sample."""
    bounds = {one: distance_bounds(parsed(one), length).astype(np.float32) for one in set(smiles)}
    centres = {one: handedness(parsed(one), length) for one in set(smiles)}
    of_each = {BOUNDS: [bounds[one] for one in smiles], CENTRES: [centres[one] for one in smiles]}
    return {name: torch.from_numpy(np.stack(rows)) for name, rows in of_each.items()}


def _around(part: Molecule, protons: tuple[int, ...], where: str) -> tuple[int, ...]:
    """The elements of a molecule, those of the fixed part first; InputError if the formula does not hold them all."""
    rest = list(protons)
    for z in part.numbers.tolist():
        if z not in rest:
            raise InputError(f"{where}: does not hold the atoms of --fixed, which has more with {z} protons")
        rest.remove(z)
    if not rest:
        raise InputError(f"{where}: has the atoms of --fixed and no more: nothing is left to draw")
    return (*part.numbers.tolist(), *rest)


def of_elements(protons: tuple[int, ...]) -> Molecule:
    """Atoms of these elements that are nowhere yet."""
    return Molecule(np.array(protons, int), np.zeros((len(protons), 3)))


def with_elements(given: list[Molecule], metadata: Mapping[str, Any], where: str) -> Request:
    """Molecules, one a sample, whose elements are known; where they are is drawn.

    Args:
        metadata: of the data that the model was trained on, in JSON values.
        where: they were said, for errors.
    """
    for molecule in dict.fromkeys(given):
        data.require_known(molecule, metadata, where)
        if len(molecule) < 2:
            raise InputError(f"{where}: one atom has no shape, expected two or more")
    start, condition = data.states(given, metadata)
    return Request(condition=condition, start=start, strength=1.0, path=TimePath.known("atoms"))


def _from_positions(path: Path, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """Positions that are known; which elements they are is drawn."""
    molecule, notes = one_of(path)
    if not 2 <= len(molecule) <= metadata["length"]:
        raise InputError(f"{path}: {len(molecule)} atoms, expected 2 to {metadata['length']} for this model")
    nameless = replace(molecule, numbers=np.full(len(molecule), metadata["elements"][0]))
    start, condition = data.states([nameless] * len(numbers), metadata)
    there = {"positions_centre": molecule.positions.mean(0).tolist()}
    path_of = TimePath.known("positions")
    return Request(condition=condition, start=start, strength=1.0, path=path_of, record=there, notes=notes)


def _from_reference(asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    assert asked.reference is not None
    molecule, notes = one_of(asked.reference)
    data.require_known(molecule, metadata, str(asked.reference))
    part = data.padded(data.table([molecule], list(metadata["properties"])), metadata)
    repeated = torch.zeros(len(numbers)).long()
    condition = {"mask": part.condition["mask"][repeated]}
    return Request(condition=condition, start=take(part.x, repeated), strength=asked.strength or 0.3, notes=notes)
