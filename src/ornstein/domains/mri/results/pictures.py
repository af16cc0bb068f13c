"""Slices as radiologists look at them: grey, the patient's right at the left, front or top up; the spread beside.

One window for all magnitudes, from 0 to what 99.5 % of the mean is below; the standard deviation and the error have a
colour bar of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Shaped

from ....deferred import deferred
from ....report import plots
from ....tasks.figures import Figure
from ..words import CLINICAL
from .held_out import DISTRUST
from .volumes import Frame

if TYPE_CHECKING:
    from matplotlib import colors
else:
    colors = deferred("matplotlib.colors")

MEMBERS = 3
"""Samples beside the mean."""
WINDOW = 0.995
SIDES: Mapping[str, str] = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}
"""The other way."""
RIGHTWARDS, DOWNWARDS = {"R": "L", "A": "P"}, {"A": "P", "S": "I"}
"""Where pictures go to the right and down: to the patient's left, else to the back; to the back, else to the feet."""


@dataclass(frozen=True, eq=False)
class Row:
    """What is shown of a slice.

    Attributes:
        name: of it.
        members: magnitudes of its samples, in the units of k-space.
        truth: magnitude, if it is known.
    """

    name: str
    members: Float[np.ndarray, "members h w"]
    truth: Float[np.ndarray, "h w"] | None = None

    @property
    def mean(self) -> Float[np.ndarray, "h w"]:
        """Of the magnitude."""
        return self.members.mean(0)

    @property
    def spread(self) -> Float[np.ndarray, "h w"] | None:
        """The standard deviation of the magnitude; None of one sample."""
        return self.members.std(0, ddof=1) if len(self.members) > 1 else None


@dataclass(frozen=True)
class View:
    """How an image (H, W) is turned into a picture.

    Attributes:
        transposed: whether columns of the image go down.
        flipped: whether rows and columns of what that gives are counted the other way.
        letters: of the patient's sides at the picture's left, right, top and bottom; "" where nobody knows.
    """

    transposed: bool = False
    flipped: tuple[bool, bool] = (False, False)
    letters: tuple[str, str, str, str] | None = None

    @classmethod
    def of(cls, frame: Frame) -> View:
        """The radiologist's, where the scan says where the patient lay; else as rows and columns are stored.

        Args:
            frame: of the volume.
        """
        _, down, right = frame.directions()
        axes = [_axis(down), _axis(right)]
        if not frame.oriented or axes[0] == axes[1]:
            return cls()
        transposed = axes[0] == "R" or axes[1] == "S"
        if transposed:
            down, right = right, down
        wanted_right, wanted_down = RIGHTWARDS[_axis(right)], DOWNWARDS[_axis(down)]
        letters = (SIDES[wanted_right], wanted_right, SIDES[wanted_down], wanted_down)
        return cls(transposed, (down != wanted_down, right != wanted_right), letters)

    def __call__(self, image: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "rows columns"]:
        """The picture.

        Args:
            image: of a slice.
        """
        turned = image.T if self.transposed else image
        return turned[:: -1 if self.flipped[0] else 1, :: -1 if self.flipped[1] else 1]

    @property
    def words(self) -> str:
        """What is where."""
        if self.letters is None:
            return "as stored: the file does not say where the patient lay"
        left, _, top, _ = self.letters
        names = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}
        return f"radiological: the patient's {names[left]} at the left, {names[top]} at the top"


def _axis(letter: str) -> str:
    """R, A or S, whichever way it goes."""
    return {"L": "R", "P": "A", "I": "S"}.get(letter, letter)


def sheet(rows: Sequence[Row], frame: Frame, notes: Sequence[str] = ()) -> Figure:
    """Slices one below the other: mean, standard deviation, samples, and where it is known the truth and the error.

    Args:
        rows: what is shown, at least one.
        frame: of the volume.
        notes: above it, such as a warning.
    """
    view, columns = View.of(frame), _columns(rows)
    aspect = _aspect(frame, view)
    high = float(np.quantile(np.stack([row.mean for row in rows]), WINDOW)) or 1.0
    width, height = 1.75 * len(columns) + 0.9, (1.75 * aspect + 0.1) * len(rows) + 0.75
    canvas = plots.empty(width, height)
    canvas.set_layout_engine("constrained")
    canvas.set_facecolor("white")
    panels: Any = canvas.subplots(len(rows), len(columns), squeeze=False)
    wide = _highest([row.spread for row in rows]) or high
    looks = {"spread": (colors.Normalize(0, wide), "magma"), "error": (colors.Normalize(0, wide), "magma")}
    for row, line in zip(rows, panels, strict=True):
        for name, axes in zip(columns, line, strict=True):
            look = looks.get(name, (colors.Normalize(0, high), "gray"))
            _panel(axes, columns[name] if row is rows[0] else "", _shown(row, name), view, look, _ratio(frame, view))
        line[0].set_ylabel(row.name, fontsize=10)
        if view.letters is not None:
            _lettered(line[0], view.letters)
    _bars(canvas, panels, columns)
    said = [note for note in notes if note]
    colour = "#b00020" if any(DISTRUST in note for note in said) else "black"
    title = "\n".join(fill(note, int(10 * width)) for note in [*said, CLINICAL])
    canvas.suptitle(title, fontsize=10, color=colour)
    buffer = BytesIO()
    canvas.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    caption = (
        f"{', '.join(columns.values())}; grey from 0 to {high:.4g} (the {100 * WINDOW:g} % quantile of the mean), "
        f"{view.words}. {CLINICAL[0].upper()}{CLINICAL[1:]}."
    )
    return Figure(buffer.getvalue(), caption, "png", int(130 * width))


def _columns(rows: Sequence[Row]) -> dict[str, str]:
    """What every row shows, and its title."""
    count = min(len(row.members) for row in rows)
    found = {"truth": "truth"} if all(row.truth is not None for row in rows) else {}
    if count > 1:
        found |= {"mean": f"mean of {count}", "spread": "standard deviation"}
        found |= {"error": "|error of the mean|"} if "truth" in found else {}
    return found | {f"member {k}": f"sample {k + 1}" for k in range(min(MEMBERS, count))}


def _shown(row: Row, name: str) -> np.ndarray:
    if name.startswith("member"):
        return row.members[int(name.split()[1])]
    if name == "error":
        assert row.truth is not None
        return np.abs(row.mean - row.truth)
    found = {"truth": row.truth, "mean": row.mean, "spread": row.spread}[name]
    assert found is not None
    return found


def _panel(axes: Any, title: str, image: np.ndarray, view: View, look: tuple[Any, str], ratio: float) -> None:
    norm, cmap = look
    axes.imshow(view(image), norm=norm, cmap=cmap, interpolation="nearest", aspect=ratio)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10, pad=3)
    for side in axes.spines.values():
        side.set_visible(False)


def _lettered(axes: Any, letters: tuple[str, str, str, str]) -> None:
    """The patient's sides, at the rim of a picture."""
    places = ((0.03, 0.5), (0.97, 0.5), (0.5, 0.97), (0.5, 0.03))
    for letter, (x, y), ends in zip(letters, places, (("left", "center"), ("right", "center"), ("center", "top"),
                                                      ("center", "bottom")), strict=True):  # fmt: skip
        across, along = ends
        axes.text(x, y, letter, color="#ffd24d", fontsize=10, ha=across, va=along, transform=axes.transAxes)


def _bars(canvas: Any, panels: Any, columns: Mapping[str, str]) -> None:
    """A colour bar for the magnitudes, and one for the spread and the error."""
    names = list(columns)
    for name, label in (("member 0", "magnitude"), ("spread", "standard deviation, error")):
        if name in names:
            place = names.index(name)
            bar = canvas.colorbar(panels[0][place].images[0], ax=panels, fraction=0.02, pad=0.01, label=label)
            bar.ax.tick_params(labelsize=9)
            bar.ax.yaxis.label.set_size(9)
            bar.outline.set_visible(False)


def _highest(fields: Sequence[np.ndarray | None]) -> float:
    found = [field[np.isfinite(field)] for field in fields if field is not None]
    values = np.concatenate(found) if found else np.zeros(0)
    return float(np.quantile(values, WINDOW)) if len(values) else 0.0


def _ratio(frame: Frame, view: View) -> float:
    """Height over width of a pixel of the picture."""
    affine = np.array(frame.affine)[:3, :3]
    h, w = (float(np.linalg.norm(affine[:, frame.axes.index(axis)])) or 1.0 for axis in (1, 2))
    return w / h if view.transposed else h / w


def _aspect(frame: Frame, view: View) -> float:
    """Height over width of a picture."""
    h, w = frame.size
    sides = (w, h) if view.transposed else (h, w)
    return min(1.6, max(0.5, sides[0] / sides[1] * _ratio(frame, view)))
