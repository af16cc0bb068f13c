"""Hydrogen bonds within a molecule, D–H···A, by geometry (Arunan et al. 2011, IUPAC: the angle exceeds 110°)."""

from dataclasses import dataclass

import numpy as np

from .molecule import Molecule
from .stability import bond_orders

REACH, ANGLE = 2.5, 110.0  # Å from hydrogen to acceptor at most, degrees at the hydrogen at least
_POLAR = (7, 8)  # nitrogen and oxygen, the usual donors and acceptors


@dataclass(frozen=True)
class HydrogenBond:
    """Numbers of the atoms, the distance H···A in Å and the angle D–H–A in degrees."""

    donor: int
    hydrogen: int
    acceptor: int
    distance: float
    angle: float

    @property
    def formed(self) -> bool:
        """Whether it is short and straight enough."""
        return self.distance <= REACH and self.angle >= ANGLE


def contacts(molecule: Molecule) -> list[HydrogenBond]:
    """Every donor's hydrogen with every acceptor that is not bound to the donor, formed or not."""
    z, x, bound = molecule.numbers, molecule.positions, bond_orders(molecule) > 0
    polar = [int(k) for k in np.flatnonzero(np.isin(z, _POLAR))]
    donors = [(d, int(h)) for d in polar for h in np.flatnonzero(bound[d] & (z == 1))]
    found = [(d, h, a) for d, h in donors for a in polar if a != d and not bound[a, d]]
    return [HydrogenBond(d, h, a, *_measured(x[d], x[h], x[a])) for d, h, a in found]


def hydrogen_bonds(molecule: Molecule) -> list[HydrogenBond]:
    """Those that are formed."""
    return [contact for contact in contacts(molecule) if contact.formed]


def _measured(donor: np.ndarray, hydrogen: np.ndarray, acceptor: np.ndarray) -> tuple[float, float]:
    back, onward = donor - hydrogen, acceptor - hydrogen
    distance = float(np.linalg.norm(onward))
    cosine = back @ onward / (np.linalg.norm(back) * distance)
    return distance, float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
