"""How far geometries are from the nearest minimum of GFN2-xTB (Bannwarth et al. 2019), in energy and in space."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ....deferred import deferred
from ....events import tell
from ....guidance.calculators import tight_binding
from .files import to_ase
from .molecule import Molecule

if TYPE_CHECKING:
    from ase import optimize, units
else:
    optimize, units = deferred("ase.optimize"), deferred("ase.units")


@dataclass(frozen=True)
class Relaxation:
    """What became of a geometry.

    Attributes:
        released: kcal/mol.
        moved: root mean square over all atoms, Å, after the best superposition.
        end: the relaxed molecule.
    """

    released: float
    moved: float
    end: Molecule


def relaxed(molecule: Molecule, force: float = 0.05, steps: int = 500) -> Relaxation | None:
    """The molecule at rest: no force on an atom above `force`, eV/Å.

    None if the calculation fails or `steps` do not suffice. InputError without tblite.
    """
    atoms = tight_binding(to_ase(molecule))
    try:
        before, converged = atoms.get_potential_energy(), _descended(atoms, force, steps)
    except Exception:  # whatever tblite and the optimiser do with impossible geometries
        return None
    if not converged:
        return None
    released = (before - atoms.get_potential_energy()) / (units.kcal / units.mol)
    end = replace(molecule, positions=atoms.get_positions())
    return Relaxation(released, rmsd(molecule.positions, end.positions), end)


def _descended(atoms: Any, force: float, steps: int) -> bool:
    with optimize.BFGS(atoms, logfile=None) as search:  # pyright: ignore[reportArgumentType]
        return bool(search.run(fmax=force, steps=steps))


@dataclass(frozen=True)
class Relaxations:
    """What became of many; failures count as worse than all others.

    Attributes:
        released: the median, kcal/mol; inf if at least half fail.
        moved: the median, Å; inf likewise.
        failed: share of the molecules.
    """

    released: float
    moved: float
    failed: float

    @classmethod
    def of(cls, molecules: Sequence[Molecule]) -> "Relaxations":
        """Of at least one molecule; about .1 s each for molecules like QM9's."""
        found = []
        for k, molecule in enumerate(molecules, 1):
            found.append(relaxed(molecule))
            tell(k, len(molecules), "relaxing molecules")
        pairs = np.array([(one.released, one.moved) if one else (np.inf, np.inf) for one in found])
        released, moved = np.quantile(pairs, 0.5, axis=0, method="higher")
        return cls(float(released), float(moved), sum(one is None for one in found) / len(found))


def superposed(x: Float[np.ndarray, "atoms 3"], y: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "atoms 3"]:
    """x turned and moved, not mirrored, to be as close to y as it can be (Kabsch 1976)."""
    here, there = x - x.mean(0), y - y.mean(0)
    u, _, v = np.linalg.svd(here.T @ there)
    u[:, -1] *= np.sign(np.linalg.det(u @ v))
    return here @ u @ v + y.mean(0)


def rmsd(x: Float[np.ndarray, "atoms 3"], y: Float[np.ndarray, "atoms 3"]) -> float:
    """Root mean square distance of the atoms after the best superposition."""
    return float(np.sqrt(((superposed(x, y) - y) ** 2).sum(-1).mean()))
