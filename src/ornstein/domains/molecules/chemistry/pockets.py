"""A rigid pocket of a protein as a field for small molecules: AutoDock Vina's energy (Trott & Olson 2010), kcal/mol.

With the surface distance d = ‖x_i − y_j‖ − R_i − R_j of a ligand's heavy atom i and one of the pocket's,

    E = Σ −.0356 exp(−(d/.5)²) − .00516 exp(−((d − 3)/2)²) + .840 d²[d < 0] − .0351 greasy(d) − .587 bonded(d)

greasy: both are carbon or halogen, falling from 1 at .5 Å to 0 at 1.5; bonded: one may donate and the other accept a
hydrogen bond, falling from 1 at −.7 Å to 0 at 0. Within a ligand nothing is counted. Elements may be probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ....errors import InputError
from . import ligands
from .pdb import Residue, Structure, read_pdb

RADII = {6: 1.9, 7: 1.8, 8: 1.7, 9: 1.5, 15: 2.1, 16: 2.0, 17: 1.8, 35: 2.0, 53: 2.2}
"""Vina's of what a ligand is made of, Å."""
WALL = {**RADII, 14: 2.2, 34: 2.0}
"""And of what a protein is made of: selenium is as wide as sulphur."""
METALS = (3, 11, 12, 13, 19, 20, *range(22, 32), 37, 38, *range(40, 49), 55, 56, *range(57, 81), 82, 92)
"""Elements whose atoms are metals of the wall; Vina gives all of them one radius and lets them bind as donors do."""

_METAL_RADIUS = 1.2
_GREASY, _POLAR = (6, 9, 17, 35, 53), (7, 8)


@dataclass(frozen=True, eq=False)
class Pocket:
    """Heavy atoms that stay where they are.

    Attributes:
        numbers: of protons.
        positions: Å, about the point at which the ligand's centre shall be.
        centre: that point in the file's frame.
        notes: what was read and what left out, in words.
    """

    numbers: Int[np.ndarray, " atoms"]
    positions: Float[np.ndarray, "atoms 3"]
    centre: Float[np.ndarray, " 3"]
    notes: Sequence[str] = ()


def read_pocket(
    path: Path, centre: Float[np.ndarray, " 3"] | None = None, ligand: str | None = None, reach: float = 14.0
) -> Pocket:
    """The heavy atoms of a PDB file within `reach` Å of the centre, less those of the ligand that is bound there.

    Waters and what crystals are grown with (see ligands.py) are left out; metals, cofactors and modified residues are
    of the wall. Of several models the first is read, of alternate locations the most occupied. InputError if the file
    cannot be read, if there is not exactly one ligand and neither a name nor a centre is given, or nothing is near.

    Args:
        path: of the file.
        centre: Å; where the ligand's heavy atoms are in the mean, if not given.
        ligand: RES, RES:CHAIN or RES:CHAIN:NUMBER; if not given, the only one, or with a centre that which is there.
    """
    structure = read_pdb(path)
    if ligand is not None:
        bound = ligands.chosen(structure, ligand, path)
    else:
        bound = ligands.only(structure, path) if centre is None else ligands.at(structure, np.asarray(centre, float))
    if centre is None:
        centre = np.concatenate([one.positions for one in bound]).mean(0)
    middle = np.asarray(centre, float)
    numbers, positions = _wall(structure, bound)
    near = np.linalg.norm(positions - middle, axis=1) < reach
    kept = near & np.isin(numbers, [*WALL, *METALS])
    if not kept.any():
        raise InputError(f"{path}: has no atom within {reach:g} Å of the centre {np.round(middle, 2).tolist()}")
    notes = _notes(path, structure, bound, int((near & ~kept).sum()))
    return Pocket(numbers[kept], positions[kept] - middle, middle, notes)


def _wall(structure: Structure, bound: Sequence[Residue]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of protons and positions of all that stays."""
    stays = [one for one in structure.residues if one not in bound and not ligands.left_out(one)]
    numbers = np.concatenate([np.zeros(0, int), *(one.numbers for one in stays)])
    return numbers, np.concatenate([np.zeros((0, 3)), *(one.positions for one in stays)])


def _notes(path: Path, structure: Structure, bound: Sequence[Residue], strange: int) -> tuple[str, ...]:
    said = (
        (bool(bound), f"the ligand {ligands.named(bound)} is taken out of the pocket"),
        (structure.models > 1, f"the first of {structure.models} models is read"),
        (structure.others > 0, f"{structure.others} atoms at less occupied alternate locations are left out"),
        (strange > 0, f"{strange} atoms near the centre are of elements without a radius, and left out"),
    )
    return tuple(f"{path.name}: {text}" for true, text in said if true)


def _radius(protons: int) -> float:
    return WALL.get(protons, _METAL_RADIUS)


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
        theirs = torch.tensor([_radius(int(z)) for z in self.pocket.numbers]).to(positions)
        d = (positions[:, :, None] - here).norm(dim=-1) - radii[..., None] - theirs
        each = -0.035579 * (-((d / 0.5) ** 2)).exp() - 0.005156 * (-(((d - 3) / 2) ** 2)).exp()
        each = each + 0.840245 * d.clamp(max=0) ** 2
        both_greasy = greasy[..., None] * _among(self.pocket.numbers, _GREASY).to(probs)
        both_polar = polar[..., None] * _among(self.pocket.numbers, (*_POLAR, *METALS)).to(probs)
        each = heavy[..., None] * each - 0.035069 * both_greasy * (1.5 - d).clamp(0, 1)
        each = each - 0.587439 * both_polar * (-d / 0.7).clamp(0, 1)
        return each.sum((1, 2))


def _among(numbers: Sequence[int] | np.ndarray, kinds: tuple[int, ...]) -> Float[Tensor, " atoms"]:
    """1 for those of a kind, 0 for others."""
    return torch.as_tensor(np.isin(numbers, kinds)).float()
