"""Which atoms touch, by covalent radii (Cordero et al. 2008), and what follows: pieces, and which molecules are one.

Two atoms touch if they are closer than the sum of their radii and a slack. The graph of the elements that touch is the
same for all conformers of a molecule, whatever a file says of bond orders; stereoisomers share it.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from ....deferred import deferred
from .molecule import Molecule

if TYPE_CHECKING:
    import ase.data
    from scipy import sparse, spatial
    from scipy.sparse import csgraph
else:
    ase = deferred("ase", "ase.data")
    sparse, spatial, csgraph = map(deferred, ("scipy.sparse", "scipy.spatial", "scipy.sparse.csgraph"))

SLACK = 0.4
"""Å, beyond the sum of two radii."""


def touching(molecule: Molecule) -> Int[np.ndarray, "pairs 2"]:
    """Pairs of atoms that touch, each once."""
    radii = ase.data.covalent_radii[molecule.numbers]
    pairs = spatial.KDTree(molecule.positions).query_pairs(2 * radii.max() + SLACK, output_type="ndarray")
    first, second = pairs.T
    apart = np.linalg.norm(molecule.positions[first] - molecule.positions[second], axis=1)
    return pairs[apart < radii[first] + radii[second] + SLACK]


def pieces(atoms: int, bonds: Int[np.ndarray, "pairs 2"]) -> int:
    """How many pieces so many atoms are in."""
    first, second = bonds.T
    links = sparse.coo_array((np.ones(len(first)), (first, second)), (atoms, atoms))
    return int(csgraph.connected_components(links, directed=False)[0])


def graph(molecule: Molecule) -> int:
    """A number that conformers of one molecule share: of each atom's element and surroundings (Weisfeiler & Leman).

    Atoms are told apart by their neighbours', until that tells no more apart. Others than conformers seldom share it.
    """
    labels: list[int] = molecule.numbers.tolist()
    neighbours: list[list[int]] = [[] for _ in labels]
    for i, j in touching(molecule).tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    kinds = 0
    while len(set(labels)) > kinds:
        kinds = len(set(labels))
        labels = [hash((labels[k], *sorted(labels[j] for j in near))) for k, near in enumerate(neighbours)]
    return hash(tuple(sorted(labels)))
