"""Whether bond lengths and angles are distributed as they are in other molecules.

Values are counted by type in bins of .01 Å and 2°; a type of bond is its elements and order (by the distance table), a
type of angle its two bonds. What is reported is the Jensen–Shannon divergence in bits, 0 (the same) to 1 (nothing in
common), averaged over the types with their frequencies in the reference. Few molecules leave bins empty, which alone
makes it positive: compare only numbers from equally many.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from .molecule import Molecule
from .stability import bond_orders

LENGTHS = np.linspace(0, 4, 401)  # edges, Å: the table's longest bond has 2.76
ANGLES = np.linspace(0, 180, 91)  # edges, degrees

Measured = tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]  # types, as numbers, and values


def length_divergence(found: Sequence[Molecule], reference: Sequence[Molecule]) -> float:
    """Of bond lengths; 1 if the reference has bonds and the others have none."""
    return _divergence(bond_lengths, LENGTHS, found, reference)


def angle_divergence(found: Sequence[Molecule], reference: Sequence[Molecule]) -> float:
    """Of the angles between bonds at one atom."""
    return _divergence(bond_angles, ANGLES, found, reference)


def jensen_shannon(p: Float[np.ndarray, " bins"], q: Float[np.ndarray, " bins"]) -> float:
    """The divergence of two distributions, bits; 1 if one of them is all zero."""
    if not p.any() or not q.any():
        return 1.0
    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def entropy(p: Float[np.ndarray, " bins"]) -> float:
    """Bits."""
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def bond_lengths(molecule: Molecule) -> Measured:
    """Å."""
    orders, x, z = bond_orders(molecule), molecule.positions, molecule.numbers
    i, j = np.nonzero(np.triu(orders))
    low, high = np.minimum(z[i], z[j]), np.maximum(z[i], z[j])
    return (low * 128 + high) * 4 + orders[i, j], np.linalg.norm(x[i] - x[j], axis=-1)


def bond_angles(molecule: Molecule) -> Measured:
    """Degrees."""
    orders, x, z = bond_orders(molecule), molecule.positions, molecule.numbers
    bound = orders > 0
    i, j, k = np.nonzero(bound[:, :, None] & bound & np.triu(np.ones_like(bound), 1)[:, None])
    a, b = x[i] - x[j], x[k] - x[j]
    cosine = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)).clip(min=1e-12)
    one, other = z[i] * 4 + orders[i, j], z[k] * 4 + orders[k, j]
    types = (np.minimum(one, other) * 512 + np.maximum(one, other)) * 128 + z[j]
    return types, np.degrees(np.arccos(cosine.clip(-1, 1)))


def _divergence(
    measure: Callable[[Molecule], Measured], edges: np.ndarray, found: Sequence[Molecule], reference: Sequence[Molecule]
) -> float:
    """The average over the reference's types; nan if it has none."""
    ours, theirs = _gathered(measure, found), _gathered(measure, reference)
    types, counts = np.unique(theirs[0], return_counts=True)
    each = [jensen_shannon(*(_histogram(part, kind, edges) for part in (ours, theirs))) for kind in types.tolist()]
    return float(np.average(each, weights=counts)) if len(types) else float("nan")


def _gathered(measure: Callable[[Molecule], Measured], molecules: Sequence[Molecule]) -> Measured:
    types, values = zip(*map(measure, molecules), strict=True)
    return np.concatenate(types), np.concatenate(values)


def _histogram(measured: Measured, kind: int, edges: np.ndarray) -> Float[np.ndarray, " bins"]:
    types, values = measured
    counts, _ = np.histogram(values[types == kind], edges)
    return counts / max(counts.sum(), 1)
