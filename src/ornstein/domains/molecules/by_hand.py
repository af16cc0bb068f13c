"""Which atoms of a molecule stay where they are, picked from a drawing of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...deferred import deferred
from ...tasks.hands import Backdrop, Hand, Mark, Picked, Said
from .asked.requests import one_of
from .chemistry import drawing, files, stills
from .chemistry.molecule import Molecule

if TYPE_CHECKING:
    from ase import data as periodic
else:
    periodic = deferred("ase.data")

NOTE = "Pick the atoms that stay where they are; the rest is drawn anew around them."
_MARGIN = 0.8
"""Å about the outermost atoms."""


def look(given: Said, metadata: Mapping[str, Any]) -> Backdrop:
    """The whole molecule, in the plane in which it is largest.

    Args:
        given: the request's fields so far, of which `fixed` is the file of the whole molecule.
        metadata: of the model.
    """
    molecule, notes = one_of(given["fixed"])
    view = drawing.view_of(molecule)
    places = (molecule.positions - view.middle) @ view.axes.T
    reach = float(np.abs(places[:, :2]).max()) + _MARGIN
    extent = (-reach, reach, -reach, reach)
    numbers = molecule.numbers.tolist()
    marks = [
        Mark(float(x), float(y), periodic.chemical_symbols[number], stills.colour(number))
        for (x, y, _), number in zip(places, numbers, strict=True)
    ]
    picture = stills.alone(molecule, places, extent)
    return Backdrop(extent, picture, marks=marks, note="\n".join([NOTE, *notes]))


def save(chosen: Sequence[int], given: Said, metadata: Mapping[str, Any], folder: Path) -> Path:
    """The atoms that were picked, where they are, as XYZ: an SDF file would round them to 1e-4 Å.

    Args:
        chosen: numbers of the atoms, from 0.
        given: see `look`.
        metadata: of the model.
        folder: for the file.
    """
    molecule, _ = one_of(given["fixed"])
    index, path = list(chosen), folder / "picked.xyz"
    files.write_xyz(path, [Molecule(molecule.numbers[index], molecule.positions[index], molecule.name)])
    return path


BY_HAND: Mapping[str, Hand] = {"fixed": Picked(over="fixed", look=look, save=save)}
