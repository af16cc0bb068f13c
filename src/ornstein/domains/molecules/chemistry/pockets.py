"""A rigid pocket of a protein as a field for small molecules: AutoDock Vina's energy (Trott & Olson 2010), kcal/mol.

With the surface distance d = ‖x_i − y_j‖ − R_i − R_j of a ligand's heavy atom i and one of the pocket's,

    E = Σ −.0356 exp(−(d/.5)²) − .00516 exp(−((d − 3)/2)²) + .840 d²[d < 0] − .0351 greasy(d) − .587 bonded(d)

greasy: both are carbon or halogen, falling from 1 at .5 Å to 0 at 1.5; bonded: one may donate and the other accept a
hydrogen bond, falling from 1 at −.7 Å to 0 at 0. Within a ligand nothing is counted. Elements may be probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ....deferred import deferred
from ....errors import InputError

if TYPE_CHECKING:
    import ase
    import ase.io
else:
    ase = deferred("ase", "ase.io")

RADII = {6: 1.9, 7: 1.8, 8: 1.7, 9: 1.5, 15: 2.1, 16: 2.0, 17: 1.8, 35: 2.0, 53: 2.2}
"""Vina's, Å."""

_GREASY, _POLAR = (6, 9, 17, 35, 53), (7, 8)
_WATER = ("HOH", "WAT", "DOD")


@dataclass(frozen=True, eq=False)
class Pocket:
    """Heavy atoms that stay where they are.

    Attributes:
        numbers: of protons.
        positions: Å, about the point at which the ligand's centre shall be.
        centre: that point in the file's frame.
    """

    numbers: Int[np.ndarray, " atoms"]
    positions: Float[np.ndarray, "atoms 3"]
    centre: Float[np.ndarray, " 3"]


def read_pocket(path: Path, centre: Float[np.ndarray, " 3"] | None = None, reach: float = 14.0) -> Pocket:
    """The heavy atoms of a PDB file within `reach` Å of the centre; waters are left out.

    centre: the middle of the file's hetero atoms (a bound ligand, which is then left out, too) if not given. InputError
    if the file cannot be read, has no hetero atoms and no centre is given, or nothing is near it.

    Args:
        path: of the file.
    """
    atoms = _read(path)
    kinds = np.array(
        [line[:6].strip() for line in path.read_text().splitlines() if line.startswith(("ATOM", "HETATM"))]
    )
    names = np.asarray(atoms.arrays.get("residuenames", np.full(len(atoms), "")))
    solvent = np.isin(np.char.strip(names.astype(str)), _WATER)
    hetero = (kinds[: len(atoms)] == "HETATM") & ~solvent
    if centre is None and not hetero.any():
        raise InputError(f"{path}: has no ligand to show where the pocket is; give its centre, x y z in Å")
    middle = atoms.positions[hetero].mean(0) if centre is None else np.asarray(centre, float)
    gone = solvent | hetero if centre is None else solvent
    near = np.linalg.norm(atoms.positions - middle, axis=1) < reach
    kept = near & ~gone & np.isin(atoms.numbers, list(RADII))
    if not kept.any():
        raise InputError(f"{path}: has no atom within {reach:g} Å of the centre {np.round(middle, 2).tolist()}")
    return Pocket(atoms.numbers[kept], atoms.positions[kept] - middle, middle)


def _read(path: Path) -> ase.Atoms:
    try:
        atoms = ase.io.read(path, format="proteindatabank")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # whatever the parser trips over
        raise InputError(f"{path}: not a PDB file ({error})") from None
    assert isinstance(atoms, ase.Atoms)
    if not len(atoms):
        raise InputError(f"{path}: holds no atoms")
    return atoms


@dataclass(frozen=True, eq=False)
class Vina:
    """The energy of ligands in a pocket, kcal/mol.

    Attributes:
        elements: the numbers of protons that the columns of the ligands' probabilities stand for.
    """

    pocket: Pocket
    elements: tuple[int, ...]

    def __call__(
        self, positions: Float[Tensor, "batch n 3"], probs: Float[Tensor, "batch n elements"]
    ) -> Float[Tensor, " batch"]:
        """Of ligands whose centre is at the pocket's; differentiable."""
        here = torch.as_tensor(self.pocket.positions).to(positions)
        sizes = torch.tensor([RADII.get(z, 0.0) for z in self.elements]).to(probs)
        radii, heavy = probs @ sizes, probs @ (sizes > 0).to(probs)
        greasy, polar = (probs @ _among(self.elements, kinds).to(probs) for kinds in (_GREASY, _POLAR))
        theirs = torch.tensor([RADII[int(z)] for z in self.pocket.numbers]).to(positions)
        d = (positions[:, :, None] - here).norm(dim=-1) - radii[..., None] - theirs
        each = -0.035579 * (-((d / 0.5) ** 2)).exp() - 0.005156 * (-(((d - 3) / 2) ** 2)).exp()
        each = each + 0.840245 * d.clamp(max=0) ** 2
        both_greasy = greasy[..., None] * _among(self.pocket.numbers, _GREASY).to(probs)
        both_polar = polar[..., None] * _among(self.pocket.numbers, _POLAR).to(probs)
        each = heavy[..., None] * each - 0.035069 * both_greasy * (1.5 - d).clamp(0, 1)
        each = each - 0.587439 * both_polar * (-d / 0.7).clamp(0, 1)
        return each.sum((1, 2))


def _among(numbers: Sequence[int] | np.ndarray, kinds: tuple[int, ...]) -> Float[Tensor, " atoms"]:
    """1 for those of a kind, 0 for others."""
    return torch.as_tensor(np.isin(numbers, kinds)).float()
