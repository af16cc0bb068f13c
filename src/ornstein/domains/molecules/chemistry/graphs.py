"""Which atoms touch, by covalent radii (Cordero et al. 2008), and what follows: pieces, and which molecules are one.

Two atoms touch if they are closer than the sum of their radii and a slack. The graph of the elements that touch is the
same for all conformers of a molecule, whatever a file says of bond orders; stereoisomers share it.
"""

from collections.abc import Sequence
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
    """Pairs of atoms that touch, each once; none of a molecule that has atoms nowhere."""
    if not np.isfinite(molecule.positions).all():
        return np.empty((0, 2), np.int64)
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
    neighbours = _neighbours(molecule)
    kinds = 0
    while len(set(labels)) > kinds:
        kinds = len(set(labels))
        labels = [hash((labels[k], *sorted(labels[j] for j in near))) for k, near in enumerate(neighbours)]
    return hash(tuple(sorted(labels)))


def known_surroundings(found: Sequence[Molecule], reference: Sequence[Molecule]) -> float:
    """The share of atoms whose element and neighbours' elements an atom of the reference has, too.

    It knows no bond orders, so that it judges aromatic rings, charged groups and all elements alike.
    """
    known = {around for molecule in reference for around in _surroundings(molecule)}
    each = [around in known for molecule in found for around in _surroundings(molecule)]
    return sum(each) / len(each)


def _surroundings(molecule: Molecule) -> list[tuple[int, ...]]:
    """Of each atom its element and, sorted, those that it touches."""
    numbers: list[int] = molecule.numbers.tolist()
    both = zip(numbers, _neighbours(molecule), strict=True)
    return [(number, *sorted(numbers[k] for k in near)) for number, near in both]


def _neighbours(molecule: Molecule) -> list[list[int]]:
    """Of each atom those that it touches."""
    near: list[list[int]] = [[] for _ in range(len(molecule))]
    for i, j in touching(molecule).tolist():
        near[i].append(j)
        near[j].append(i)
    return near
