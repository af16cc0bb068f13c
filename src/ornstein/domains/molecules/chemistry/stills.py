"""Molecules as flat drawings (SVG) in milliseconds: those on their way out of noise, and one whose atoms are picked.

Balls lie over one another by their depth, and pairs that are as close as bonded atoms are joined, without any
perception of bonds.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ....tasks.figures import Figure
from . import drawing
from .molecule import Molecule

_SIDE, _GAP = 128, 4  # pixels
_PAPER, _INK = "#ffffff", "#2c3440"


def wall(found: Sequence[Molecule], reach: float, caption: str, columns: int = 8) -> Figure:
    """Molecules beside one another, seen along z, all at one scale, so that nothing turns from step to step.

    Args:
        found: elements, 0 of those that are still hidden, and positions in Å.
        reach: Å from the middle of a picture to its edge; what lies beyond is not seen.
        caption: text below the figure.
        columns: in a row.
    """
    columns = min(columns, len(found))
    cell = _SIDE + _GAP
    width, height = columns * cell - _GAP, -(-len(found) // columns) * cell - _GAP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">']
    for k, molecule in enumerate(found):
        x, y = k % columns * cell, k // columns * cell
        parts.append(f'<svg x="{x}" y="{y}" width="{_SIDE}" height="{_SIDE}" viewBox="{-reach:.3f} {-reach:.3f} '
                     f'{2 * reach:.3f} {2 * reach:.3f}"><rect x="{-reach:.3f}" y="{-reach:.3f}" width="100%" '
                     f'height="100%" fill="{_PAPER}"/>')  # fmt: skip
        parts += [*_atoms(molecule, molecule.positions), "</svg>"]
    return Figure("".join([*parts, "</svg>"]).encode(), caption, "svg+xml", width)


def alone(
    molecule: Molecule, places: Float[np.ndarray, "atoms 3"], extent: tuple[float, float, float, float]
) -> Figure:
    """One molecule, which fills an extent.

    Args:
        molecule: the elements.
        places: of its atoms, Å, to the right, up and to the eye.
        extent: (left, right, bottom, top), Å.
    """
    left, right, bottom, top = extent
    view = f"{left:.3f} {-top:.3f} {right - left:.3f} {top - bottom:.3f}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}">', *_atoms(molecule, places), "</svg>"]
    return Figure("".join(parts).encode(), "The molecule, in the plane in which it is largest", "svg+xml")


def colour(number: int) -> str:
    """Of an element, in CSS.

    Args:
        number: of protons.
    """
    return f"#{drawing.COLOURS.get(number, drawing.OTHER):06x}"


def _atoms(molecule: Molecule, places: Float[np.ndarray, "atoms 3"]) -> list[str]:
    """Sticks and balls, from the back to the front; y grows upwards."""
    pairs = np.array(drawing.bonds(molecule), dtype=int).reshape(-1, 2)
    ends = places[pairs]
    radii = drawing.radii(molecule.numbers)
    drawn = [
        (depth, f'<path d="M{a[0]:.2f} {-a[1]:.2f}L{b[0]:.2f} {-b[1]:.2f}" stroke="{_INK}" stroke-width="0.14"/>')
        for depth, (a, b) in zip(ends[..., 2].min(1).tolist(), ends.tolist(), strict=True)
    ]
    atoms = zip(places.tolist(), radii.tolist(), molecule.numbers.tolist(), strict=True)
    drawn += [
        (z, f'<circle cx="{x:.2f}" cy="{-y:.2f}" r="{radius:.2f}" fill="{colour(number)}" stroke="{_INK}" '
            f'stroke-width="0.05"/>')
        for (x, y, z), radius, number in atoms
    ]  # fmt: skip
    return [part for _, part in sorted(drawn, key=lambda one: one[0])]
