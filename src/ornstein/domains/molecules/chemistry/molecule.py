"""A molecule in space: which atoms there are, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Molecule:
    """Atoms in space; bonds are not stored, they follow (stability.py, perception.py).

    Attributes:
        numbers: of protons, one an atom.
        positions: Å.
        name: a title for files.
        properties: numbers known of it, by name.
        smiles: of which its atoms are in the order, hydrogens behind them, where it is known; it then has its bonds.
    """

    numbers: Int[np.ndarray, " atoms"]
    positions: Float[np.ndarray, "atoms 3"]
    name: str = ""
    properties: Mapping[str, float] = field(default_factory=dict)
    smiles: str = ""

    def __len__(self) -> int:
        return len(self.numbers)
