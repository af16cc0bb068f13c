"""Molecules to pictures: balls and sticks, one or a wall of them, turning, or coming out of noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8

from ....deferred import deferred
from ....report import pictures
from ....report.solids import Solids, pixels
from .molecule import Molecule

if TYPE_CHECKING:
    from ase import data as periodic
else:
    periodic = deferred("ase.data")

Pairs = Sequence[tuple[int, int]]

COLOURS = {
    0: 0x8A9BC0,  # still hidden
    1: 0xF1F1EE,
    5: 0xE0A48C,
    6: 0x5E6674,
    7: 0x3D6FB4,
    8: 0xCF4A3C,
    9: 0x7DB565,
    14: 0xC2A878,
    15: 0xE08A3E,
    16: 0xE3BC45,
    17: 0x4E9F62,
    35: 0x9C4F33,
    53: 0x7B559C,
}
OTHER = 0xB98AA8
_DASH = 0x5FA3A3
_STICK, _DASHED, _HIDDEN = 0.15, 0.07, 0.3  # radii, Å
_TILT = 0.3  # radians, towards the eye: what lies flat shows its depth
_MARGIN = 0.5  # Å, room for the outermost ball


@dataclass(frozen=True)
class View:
    """From where a molecule is seen: the middle of the picture, and its axes as rows, to the right, up, to the eye."""

    middle: Float[np.ndarray, " 3"]
    axes: Float[np.ndarray, "3 3"]

    def seen(self, positions: Float[np.ndarray, "atoms 3"], turn: float = 0.0) -> Float[np.ndarray, "atoms 3"]:
        """Positions in the picture, Å, after a turn about its vertical axis by so many radians."""
        cos, sin, cos_tilt, sin_tilt = np.cos(turn), np.sin(turn), np.cos(_TILT), np.sin(_TILT)
        spin = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        tilt = np.array([[1, 0, 0], [0, cos_tilt, -sin_tilt], [0, sin_tilt, cos_tilt]])
        return (positions - self.middle) @ (tilt @ spin @ self.axes).T


def view_of(molecule: Molecule) -> View:
    """The view along the shortest principal axis, the longest to the right.

    Which end of an axis is which is decided by the skewness along it, so that a molecule looks the same wherever it
    lies; its mirror image is another picture. Atoms weigh a little more the later they come, which gives axes to
    symmetric molecules, too.
    """
    weights = 1 + 0.01 * np.arange(len(molecule))
    places = molecule.positions - np.average(molecule.positions, 0, weights)
    _, vectors = np.linalg.eigh(weights * places.T @ places)
    right, up = (axis * (1 if weights @ (places @ axis) ** 3 >= 0 else -1) for axis in vectors.T[:0:-1])
    axes = np.stack([right, up, np.cross(right, up)])
    along = molecule.positions @ axes.T
    return View((along.max(0) + along.min(0)) / 2 @ axes, axes)


def bonds(molecule: Molecule, slack: float = 1.25) -> list[tuple[int, int]]:
    """Pairs of atoms closer than `slack` × the sum of their covalent radii: to draw half-formed molecules, too."""
    reach = np.where(molecule.numbers > 0, periodic.covalent_radii[molecule.numbers], -np.inf)
    apart = np.linalg.norm(molecule.positions[:, None] - molecule.positions, axis=-1)
    close = apart < slack * (reach[:, None] + reach)
    return [(int(i), int(j)) for i, j in np.argwhere(np.triu(close, 1))]


def fitting(frames: Sequence[Sequence[Molecule]], views: Sequence[View], size: int) -> float:
    """Pixels per Å at which each molecule fits its picture in every frame, however it turns.

    Args:
        frames: molecules at each step.
        views: rotation of each view.
        size: side of a picture, pixels.
    """
    pairs = [pair for frame in frames for pair in zip(frame, views, strict=True)]
    reach = [np.linalg.norm(molecule.positions - view.middle, axis=1).max(initial=0) for molecule, view in pairs]
    return size / 2 / (max(reach, default=0) + _MARGIN)


def rendered(
    molecule: Molecule,
    size: int = 160,
    turn: float = 0.0,
    scale: float | None = None,
    dashed: Pairs = (),
    view: View | None = None,
) -> UInt8[np.ndarray, "size size 3"]:
    """A molecule as balls and sticks on white; atoms of unknown kind (number 0) are small and pale.

    Args:
        size: pixels, of both sides.
        turn: about the vertical axis, radians.
        scale: pixels per Å; as large as fits, if not given.
        dashed: atoms that are joined by a dashed line: hydrogen bonds.
        view: along the shortest principal axis, if not given.
    """
    view = view or view_of(molecule)
    places = view.seen(molecule.positions, turn)
    parts = [_balls(molecule.numbers, places), _sticks(molecule.numbers, places, bonds(molecule))]
    parts += [_dashes(places, i, j) for i, j in dashed]
    return pixels(_together(parts), size, scale or fitting([[molecule]], [view], size))


def wall(
    molecules: Sequence[Molecule], columns: int, size: int = 160, turn: float = 0.0, dashed: Sequence[Pairs] = ()
) -> UInt8[np.ndarray, "height width 3"]:
    """Molecules in rows of `columns`, all at one scale; `dashed` lists the dashed lines of each.

    Args:
        molecules: elements and positions in Å.
        size: side of a picture, pixels.
        turn: rotation of the view, degrees.
    """
    views, lines = [view_of(molecule) for molecule in molecules], dashed or [()] * len(molecules)
    scale = fitting([molecules], views, size)
    drawn = [
        rendered(molecule, size, turn, scale, pairs, view)
        for molecule, view, pairs in zip(molecules, views, lines, strict=True)
    ]
    return pictures.tile(np.stack(drawn), columns)


def spinning(
    molecules: Sequence[Molecule], columns: int, frames: int = 24, size: int = 160, dashed: Sequence[Pairs] = ()
) -> list[np.ndarray]:
    """The frames of a wall in which each molecule turns once about its vertical axis.

    Args:
        molecules: elements and positions in Å.
        columns: pictures a row.
        size: side of a picture, pixels.
        dashed: pairs of atoms joined by a dashed line, such as hydrogen bonds.
    """
    return [wall(molecules, columns, size, 2 * np.pi * k / frames, dashed) for k in range(frames)]


def trajectory(frames: Sequence[Sequence[Molecule]], columns: int, size: int = 160) -> list[np.ndarray]:
    """A wall at every step, noise first; frames[step][k] is molecule k.

    Each is seen as its last step asks for, so that the view does not move.

    Args:
        columns: pictures a row.
        size: side of a picture, pixels.
    """
    return [pictures.tile(np.stack(drawn), columns) for drawn in _steady(frames, frames, size)]


def strip(
    frames: Sequence[Sequence[Molecule]], stills: int = 8, size: int = 160
) -> UInt8[np.ndarray, "height width 3"]:
    """Steps of a trajectory from left to right, a row a molecule.

    Args:
        frames: molecules at each step.
        stills: number of steps shown.
        size: side of a picture, pixels.
    """
    chosen = [frames[k] for k in np.linspace(0, len(frames) - 1, stills).round().astype(int)]
    steps = list(_steady(chosen, frames, size))
    return pictures.tile(np.stack([drawn for row in zip(*steps, strict=True) for drawn in row]), stills)


def _steady(
    chosen: Sequence[Sequence[Molecule]], frames: Sequence[Sequence[Molecule]], size: int
) -> Iterator[list[np.ndarray]]:
    """The pictures of chosen frames, all in the views of the last."""
    views = [view_of(molecule) for molecule in frames[-1]]
    scale = fitting(frames, views, size)
    for frame in chosen:
        yield [rendered(molecule, size, 0.0, scale, (), view) for molecule, view in zip(frame, views, strict=True)]


def _balls(numbers: Int[np.ndarray, " atoms"], places: np.ndarray) -> Solids:
    return Solids(places, places, radii(numbers), _colours(numbers), numbers == 0)


def radii(numbers: Int[np.ndarray, " atoms"]) -> Float[np.ndarray, " atoms"]:
    """Of the balls that atoms are drawn as, Å.

    Args:
        numbers: of protons; 0 of those of unknown kind.
    """
    return np.where(numbers == 0, _HIDDEN, 0.2 + 0.31 * periodic.covalent_radii[numbers])


def _sticks(numbers: np.ndarray, places: np.ndarray, pairs: Pairs) -> Solids:
    """Each bond as two halves in the colours of their atoms."""
    i, j = np.array(pairs, dtype=int).reshape(-1, 2).T
    ends = np.concatenate([i, j])
    middle = np.tile((places[i] + places[j]) / 2, (2, 1))
    return _of_one_kind(places[ends], middle, _STICK, _colours(numbers[ends]))


def _dashes(places: np.ndarray, i: int, j: int) -> Solids:
    """Rounded dashes from one atom to another, 0.45 Å apart."""
    count = max(round(float(np.linalg.norm(places[i] - places[j])) / 0.45), 2)
    start, end = ((np.arange(count) + part)[:, None] / count for part in (0.3, 0.7))
    start, end = ((1 - share) * places[i] + share * places[j] for share in (start, end))
    line = np.concatenate([start, start, end]), np.concatenate([end, start, end])
    return _of_one_kind(*line, _DASHED, np.tile(_rgb(_DASH), (3 * count, 1)))


def _of_one_kind(start: np.ndarray, end: np.ndarray, radius: float, colour: np.ndarray) -> Solids:
    return Solids(start, end, np.full(len(start), radius), colour, np.zeros(len(start), dtype=bool))


def _together(parts: Sequence[Solids]) -> Solids:
    return Solids(*(np.concatenate([vars(part)[name] for part in parts]) for name in Solids.__annotations__))


def _colours(numbers: np.ndarray) -> np.ndarray:
    return np.array([_rgb(COLOURS.get(int(number), OTHER)) for number in numbers]).reshape(-1, 3)


def _rgb(code: int) -> np.ndarray:
    return np.array([code >> 16, code >> 8 & 255, code & 255], dtype=float)
