"""Molecules as figures with captions: a wall of them, turning ones, ones to turn by hand, the way out of noise."""

from collections.abc import Sequence

import numpy as np

from ....report import pictures, plots
from ....tasks.figures import Figure, Interactive
from . import drawing
from .hydrogen_bonds import contacts, hydrogen_bonds
from .molecule import Molecule
from .viewer import interactive


def gallery(found: Sequence[Molecule], of: int) -> list[Figure | Interactive]:
    """Some molecules out of so many."""
    columns = min(6, len(found))
    alt = f"Balls and sticks of {len(found)} molecules"
    wall = Figure(
        pictures.png(drawing.wall(found, columns)), f"{len(found)} of {of} molecules", width=160 * columns, alt=alt
    )
    turning = Figure(pictures.gif(drawing.spinning(found[::3], 4), 0.1, 0.1), "Turning", "gif", 640, f"{alt}, turning")
    return [wall, turning, interactive(found[:8], "Turn them with the mouse", 4)]


def emergence(frames: Sequence[Sequence[Molecule]]) -> list[Figure]:
    """A few molecules out of noise, moving and step by step; frames[step][k] is molecule k."""
    alt = f"Balls that come out of a cloud of noise and become molecules, in {len(frames)} steps"
    strip = drawing.strip([frame[1:2] for frame in frames], 10)
    return [
        Figure(pictures.gif(list(drawing.trajectory(frames, 4))), "From noise to molecule", "gif", 640, alt),
        Figure(pictures.png(strip), "The same of one, step by step", width=960, alt=f"{alt}, of one"),
    ]


def bonded(found: Sequence[Molecule], most: int = 6) -> list[Figure]:
    """The first molecules with a hydrogen bond within, dashed; nothing, if there is none."""
    some = [one for one in found if hydrogen_bonds(one)][:most]
    dashes = [[(bond.hydrogen, bond.acceptor) for bond in hydrogen_bonds(one)] for one in some]
    alt = f"Balls and sticks of {len(some)} molecules, each with a dashed line between a hydrogen and what accepts it"
    drawn = [pictures.png(drawing.wall(some, most, dashed=dashes))] if some else []
    return [Figure(image, "With a hydrogen bond", width=160 * most, alt=alt) for image in drawn]


def shortest_contacts(groups: dict[str, Sequence[Molecule]]) -> Figure:
    """Histograms of each molecule's shortest distance from a hydrogen to what may accept it."""
    distances = {
        name: np.array([_shortest(one) for one in found if contacts(one)] or [0.0]) for name, found in groups.items()
    }
    image = plots.histograms(distances, "H···A, Å", 20)
    alt = f"Histograms of the shortest distance from a hydrogen to an acceptor, Å: {', '.join(groups)}"
    return Figure(image, f"Distances {' and '.join(groups)}", "svg+xml", alt=alt)


def _shortest(molecule: Molecule) -> float:
    return min(contact.distance for contact in contacts(molecule))
